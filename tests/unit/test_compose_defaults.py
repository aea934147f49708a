"""Every default of the mpirun command gives way to the user's option, under Open MPI 4.1 and 5."""

from __future__ import annotations

import shlex
from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.compose.arguments import unpack_arguments
from hvdsm.compose.mpirun import job_command
from hvdsm.compose.options import merge, parse_options, switch, valued
from hvdsm.errors import MpiError
from hvdsm.model import MpiImplementation

VERSIONS = [(4, 1, 8), (5, 0, 11)]


def command(version: tuple, custom: str) -> List[str]:
    found = job_command(
        MpiImplementation("/mpi/bin/mpirun", version, "/mpi"),
        ["python", "t.py"],
        python="python",
        hosts=("a", "b"),
        slots=(2, 2),
        world_size=None,
        session="/tmp/s",
        interface="eth0",
        custom_options=custom,
        environ={"PATH": "/bin"},
        rehearsal=True,
    )
    words = list(found.argv)
    return words[: words.index("hvdsm.container.rank") - 2]


def settings(version: tuple) -> List[str]:
    """Every MCA parameter of ours as ``kind name``."""
    words = command(version, "")
    return [f"{w} {words[i + 1]}" for i, w in enumerate(words) if w in ("--mca", "--prtemca")]


MCA = [(version, setting) for version in VERSIONS for setting in settings(version)]


@pytest.mark.parametrize(("version", "setting"), MCA)
@pytest.mark.parametrize("spelling", ["{}", "single dash", "last of two"])
def test_an_mca_parameter_of_ours_is_replaced(version: tuple, setting: str, spelling: str) -> None:
    option = setting[1:] if spelling == "single dash" else setting
    custom = f"{option} theirs" if spelling != "last of two" else f"{option} first {option} theirs"
    words, name = command(version, custom), setting.split()[1]
    assert words.count(name) == 1
    assert words[words.index(name) + 1] == "theirs"


@pytest.mark.parametrize(("version", "setting"), MCA)
def test_an_mca_parameter_of_ours_is_removed(version: tuple, setting: str) -> None:
    name = setting.split()[1]
    assert name not in command(version, f"--hvdsm-unset {name}")
    assert name not in command(version, f"--hvdsm-unset={name}")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("custom", ["-N 8", "--N 8", "--N=8", "-npernode 8"])
def test_a_count_a_host_is_no_variable_and_replaces_ours(version: tuple, custom: str) -> None:
    words = command(version, custom)
    assert "-np" not in words
    assert "--map-by" not in words
    assert "N=8" not in " ".join(words)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "custom", ["-verbose --NCCL_DEBUG=INFO", "-x NCCL_DEBUG=INFO", "--NCCL_DEBUG INFO", "-x=NCCL_DEBUG=INFO"]
)
def test_a_variable_is_sent_once(version: tuple, custom: str) -> None:
    words = command(version, custom)
    assert [w for w in words if "NCCL_DEBUG" in w] == ["NCCL_DEBUG=INFO"]
    assert words[words.index("NCCL_DEBUG=INFO") - 1] == "-x"


@pytest.mark.parametrize(
    ("custom", "value"), [('-x A="b c"', "A=b c"), ("-x 'A=b c'", "A=b c"), ('--A_B="b c"', "A_B=b c"), ("-x A=", "A=")]
)
def test_quotes_are_a_shells(custom: str, value: str) -> None:
    assert value in command((4, 1, 8), custom)


@pytest.mark.parametrize("custom", ["-x A='b", '-x A="b', "-x A=b\\"])
def test_quotes_that_do_not_end(custom: str) -> None:
    with pytest.raises(MpiError) as caught:
        parse_options(custom)
    assert "custom_mpi_options" in str(caught.value)
    assert caught.value.exit_code == 78


def test_to_remove_nothing_removes_nothing() -> None:
    assert merge([switch("allow-run-as-root"), valued("np", "4")], parse_options("--hvdsm-unset ''")) == [
        switch("allow-run-as-root"),
        valued("np", "4"),
    ]


def test_a_binding_policy_as_mca_parameter_replaces_bind_to() -> None:
    words = command((4, 1, 8), "-mca hwloc_base_binding_policy core")
    assert "--bind-to" not in words


UNKNOWN = st.from_regex(r"--?[a-z]{1,3}zz[a-z-]{0,6}(=[a-z ]{0,4})?", fullmatch=True) | st.text(
    "abc é'\"\\$;", min_size=1, max_size=6
)


@given(st.lists(UNKNOWN, max_size=10))
def test_words_of_unknown_options_keep_their_order(words: List[str]) -> None:
    options = parse_options(" ".join(shlex.quote(word) for word in words))
    assert [word for option in options for word in option.words] == words
    assert [word for option in merge([valued("np", "4")], options) for word in option.words] == ["-np", "4", *words]


def test_a_missing_first_piece_is_noticed() -> None:
    with pytest.raises(ValueError, match="sagemaker_hvdsm_args is missing"):
        unpack_arguments({"sagemaker_hvdsm_args_1": '"]'})
