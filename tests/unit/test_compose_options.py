"""custom_mpi_options, script arguments and failure texts."""

from __future__ import annotations

import shlex
from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.compose.arguments import pack_arguments, script_arguments, unpack_arguments
from hvdsm.compose.failure import ENDED_BY_MPIRUN, failure_text, first_cause, headline, tail
from hvdsm.compose.options import exported_names, mca, merge, parse_options, switch, valued, variable, with_double_dashes
from hvdsm.errors import MpiError
from hvdsm.model import RankFailure

DEFAULTS = [
    switch("allow-run-as-root"),
    valued("hostfile", "/h"),
    valued("np", "4"),
    valued("bind-to", "none"),
    valued("map-by", "slot"),
    mca("btl", "^openib"),
    mca("btl_tcp_if_include", "eth0"),
    variable("NCCL_DEBUG", "INFO"),
]


def words(custom: str) -> List[str]:
    return [word for option in merge(DEFAULTS, parse_options(custom)) for word in option.words]


@pytest.mark.parametrize(
    ("custom", "expected", "gone"),
    [
        ("--NCCL_DEBUG=WARN", ["-x", "NCCL_DEBUG=WARN"], "NCCL_DEBUG=INFO"),
        ("--NCCL_DEBUG WARN", ["-x", "NCCL_DEBUG=WARN"], "NCCL_DEBUG=INFO"),
        ("-x NCCL_DEBUG=TRACE", ["-x", "NCCL_DEBUG=TRACE"], "NCCL_DEBUG=INFO"),
        ("-x A='b c'", ["-x", "A=b c"], None),
        ("-mca btl tcp,self", ["--mca", "btl", "tcp,self"], "^openib"),
        ("--mca btl tcp", ["--mca", "btl", "tcp"], "^openib"),
        ("-mca btl_tcp_if_exclude lo", ["--mca", "btl_tcp_if_exclude", "lo"], "btl_tcp_if_include"),
        ("-bind-to core", ["--bind-to", "core"], "none"),
        ("--bind-to=core", ["--bind-to", "core"], "none"),
        ("-np 2", ["-np", "2"], "4"),
        ("-n 2", ["-n", "2"], "4"),
        ("--host a:1,b:1", ["--host", "a:1,b:1"], "/h"),
        ("-N 1", ["-N", "1"], "4"),
        ("--N 1", ["-N", "1"], "slot"),
        ("--hvdsm-unset btl", [], "^openib"),
        ("--hvdsm-unset NCCL_DEBUG", [], "NCCL_DEBUG=INFO"),
        ("--hvdsm-unset map-by", [], "--map-by"),
    ],
)
def test_the_users_option_takes_the_place_of_ours(custom: str, expected: List[str], gone: str) -> None:
    result = words(custom)
    assert result[len(result) - len(expected) :] == expected
    assert gone not in result
    assert not any("hvdsm-unset" in word for word in result)


def test_nothing_is_set_twice() -> None:
    result = words("-mca btl a -mca btl b -x V=1 -x V=2 -np 1 -np 2")
    assert result.count("btl") == 1
    assert result[-6:] == ["b", "-x", "V=2", "-np", "2"][-6:] or result[-5:] == ["b", "-x", "V=2", "-np", "2"]


@pytest.mark.parametrize("custom", ["-x 'a", "-x", "--mca btl", "--NCCL_DEBUG", "-np"])
def test_an_incomplete_option_is_refused(custom: str) -> None:
    with pytest.raises(MpiError, match="custom_mpi_options"):
        parse_options(custom)


@given(st.lists(st.text("abcdefg -'\"\\é", min_size=1, max_size=8).filter(lambda w: not w.startswith("-")), max_size=8))
def test_words_that_mean_nothing_to_us_are_passed_on(found: List[str]) -> None:
    text = " ".join(shlex.quote(word) for word in ["-verbose", *found])
    assert [word for option in parse_options(text) for word in option.words] == ["-verbose", *found]


def test_prrte_spelling_and_exported_names() -> None:
    options = parse_options("-verbose -x A=1 -np 2 --B_C=3 -H a")
    assert [o.words for o in with_double_dashes(options)] == [
        ("--verbose",),
        ("-x", "A=1"),
        ("-np", "2"),
        ("-x", "B_C=3"),
        ("-H", "a"),
    ]
    assert exported_names(options) == {"A", "B_C"}


def test_script_arguments_follow_the_toolkit() -> None:
    values = {"b": 1, "batch-size": 128, "d": {"k2": "v", "k": 1}, "l": [1, "a"], "n": None, "t": True, "f": 1e-3}
    assert script_arguments(values) == (
        ["-b", "1", "--batch-size", "128", "-d", "k=1,k2=v", "-f", "0.001", "-l", "[1, 'a']", "-n", "", "-t", "True"]
    )


@given(st.lists(st.text(max_size=3000), max_size=6))
def test_verbatim_arguments_survive_their_pieces(arguments: List[str]) -> None:
    packed = pack_arguments(arguments)
    assert all(len(value) <= 2500 for value in packed.values())
    assert unpack_arguments(packed) == tuple(arguments)


def test_a_missing_piece_is_noticed() -> None:
    packed = pack_arguments(["x" * 6000])
    del packed["sagemaker_hvdsm_args_1"]
    with pytest.raises(ValueError, match="sagemaker_hvdsm_args_1 is missing"):
        unpack_arguments(packed)


def failure(kind: str, time: float, rank: int = 0, **more: object) -> RankFailure:
    return RankFailure(kind=kind, message=str(more.pop("message", "")), exit_code=1, host="a", rank=rank, time=time, **more)  # type: ignore[arg-type]


def test_the_earliest_failure_is_the_cause() -> None:
    assert first_cause([]) is None
    one, two = failure("exception", 1.0, 0, exception="ValueError"), failure("exception", 1.1, 1, exception="KeyError")
    assert first_cause([two, one]) == one


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (failure("exception", 1.0, exception="HorovodInternalError"), failure("exception", 1.2, 1, exception="ValueError")),
        (
            failure("exception", 1.0, exception="RuntimeError", message="Connection closed by peer"),
            failure("signal", 1.5, 1, signal=9),
        ),
        (failure("exit", 1.0), failure("signal", 1.1, 1, signal=9)),
        (failure("signal", 1.0, signal=9, message=ENDED_BY_MPIRUN), failure("exit", 1.1, 1)),
        (failure("signal", 1.0, signal=15), failure("exit", 1.1, 1)),
        (failure("exception", 1.0, exception="EOFError"), failure("role", 1.1, signal=9)),
        (failure("exit", 1.0, reported=True), failure("role", 1.1, signal=11)),
        (failure("exit", 1.0), failure("role", 1.1, signal=9)),
    ],
)
def test_a_consequence_gives_way_to_its_cause(first: RankFailure, second: RankFailure) -> None:
    assert first_cause([first, second]) == second


def test_an_exit_that_the_script_reported_stands() -> None:
    one, two = failure("exit", 1.0, reported=True), failure("signal", 1.1, 1, signal=9)
    assert first_cause([one, two]) == one


@pytest.mark.parametrize("second", [failure("role", 1.1), failure("role", 1.1, signal=15), failure("role", 2.5, signal=9)])
def test_a_process_beside_the_ranks_that_ends_after_a_rank_is_not_its_cause(second: RankFailure) -> None:
    one = failure("exception", 1.0, exception="ValueError")
    assert first_cause([one, second]) == one
    killed = failure("signal", 1.0, signal=9)
    assert first_cause([killed, second]) == killed


@given(st.text(max_size=5000), st.text(max_size=5000), st.text(max_size=2000))
def test_the_reason_holds_headline_and_the_traceback_end(message: str, traceback: str, output: str) -> None:
    found = RankFailure(
        "exception", message, 1, "algo-2", 3, 1, "ValueError", traceback + "\nValueError: the end", output_tail=output
    )
    text = failure_text(found)
    assert text.startswith("rank 3 (algo-2, local rank 1): ValueError")
    assert "ValueError: the end" in text[:1024]
    assert headline(found) in text


def test_signals_have_names_and_hints() -> None:
    assert "killed by SIGKILL (often the kernel's out-of-memory killer" in headline(failure("signal", 0, signal=9))
    assert "killed by SIGSEGV (a crash in native code)" in headline(failure("signal", 0, signal=11))
    assert tail("aaaa\nb\nccc", 8) == "...\nccc"
