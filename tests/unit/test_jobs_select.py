"""Which lines of a job are shown."""

from __future__ import annotations

import pytest

from hvdsm.errors import UsageError
from hvdsm.jobs.base import Line
from hvdsm.jobs.lines import Once, origin_of
from hvdsm.jobs.select import Selection, Wanted, hosts_to_read, pattern

LAUNCHER = [
    Line("algo-1", b"hvdsm: 2 of 2 hosts joined"),
    Line("algo-1", b"[0,algo-1] zero"),
    Line("algo-1", b"[1,algo-2] one"),
    Line("algo-1", b'hvdsm: outcome {"job_name": "x"}'),
]
WORKER = [Line("algo-2", b"hvdsm: joined algo-1"), Line("algo-2", b"[1,algo-2] one"), Line("algo-2", b"oops")]


def shown(wanted: Wanted, *, sure: bool = True, hosts: str = "12") -> list[bytes]:
    selection = Selection(wanted, "algo-1", sure)
    lines = [line for line in LAUNCHER + WORKER if line.host[-1] in hosts]
    return [data for _, data in selection.take(lines) + selection.finish()]


@pytest.mark.parametrize(
    ("data", "rank", "host", "text"),
    [
        (b"[3,algo-2] x", 3, "algo-2", b"x"),
        (b"[3,algo-2]~ x\r", 3, "algo-2", b"x\r"),
        (b"[scheduler,algo-2] x", None, "algo-2", b"x"),
        (b"[algo-2] x", None, "algo-2", b"x"),
        (b"[1,mpirank:3,algo-2]<stdout>:x", 3, "algo-2", b"x"),
        (b"[1,3]<stderr>: x", 3, "algo-1", b"x"),
        (b"[3, 4] is a list", None, "algo-1", b"[3, 4] is a list"),
        (b"[2026-01-31 10:00] x", None, "algo-1", b"[2026-01-31 10:00] x"),
        (b"", None, "algo-1", b""),
    ],
)
def test_tags(data: bytes, rank: int | None, host: str, text: bytes) -> None:
    origin = origin_of(Line("algo-1", data))
    assert (origin.rank, origin.host, origin.text) == (rank, host, text)


@pytest.mark.parametrize("sure", [True, False])
def test_every_line_once(sure: bool) -> None:
    assert shown(Wanted(), sure=sure) == [
        b"hvdsm: 2 of 2 hosts joined", b"[0,algo-1] zero", b"[1,algo-2] one", b"hvdsm: joined algo-1", b"oops",
    ]  # fmt: skip


def test_lines_that_only_look_like_a_ranks_stay() -> None:
    # Another program than hvdsm's: every host has lines of its own.
    once = Once("algo-1")
    line = Line("algo-2", b"[1,algo-2] mine")
    assert once.is_new(line, origin_of(line))


def test_hosts_that_begin_alone_show_their_own_lines() -> None:
    early = Line("algo-2", b"[1,algo-2] early")
    selection = Selection(Wanted(), "algo-1", True, alone=True)
    taken = selection.take([*LAUNCHER, early, *WORKER]) + selection.finish()
    assert [data for _, data in taken] == [
        b"hvdsm: 2 of 2 hosts joined", b"[0,algo-1] zero", b"[1,algo-2] early", b"hvdsm: joined algo-1",
        b"[1,algo-2] one", b"oops",
    ]  # fmt: skip
    assert hosts_to_read(Wanted(ranks=frozenset([1])), "algo-1", True, True) is None


def test_of_ranks_and_hosts() -> None:
    assert shown(Wanted(ranks=frozenset([1]))) == [b"[1,algo-2] one"]
    assert shown(Wanted(hosts=frozenset(["algo-2"])), hosts="2") == [b"hvdsm: joined algo-1", b"[1,algo-2] one", b"oops"]
    both = shown(Wanted(hosts=frozenset(["algo-1", "algo-2"])))
    assert both == shown(Wanted())
    assert hosts_to_read(Wanted(ranks=frozenset([1])), "algo-1", True) == ["algo-1"]
    assert hosts_to_read(Wanted(ranks=frozenset([1])), "algo-1", False) is None
    assert hosts_to_read(Wanted(ranks=frozenset([1]), hosts=frozenset(["algo-2"])), "algo-1", True) == ["algo-2"]
    assert hosts_to_read(Wanted(), "algo-1", True) is None


def test_grep_sees_the_text_alone() -> None:
    assert shown(Wanted(grep=pattern("algo-1$"))) == [b"hvdsm: joined algo-1"]
    assert shown(Wanted(grep=pattern("^one"))) == [b"[1,algo-2] one"]
    with pytest.raises(UsageError, match="regular expression"):
        pattern("(")


def test_since_leaves_out_what_is_older() -> None:
    selection = Selection(Wanted(since=10.0), "algo-1")
    lines = [Line("algo-1", b"old", 9.0), Line("algo-1", b"new", 10.0), Line("algo-1", b"untimed")]
    assert [data for _, data in selection.take(lines)] == [b"new", b"untimed"]


def test_folded_lines_name_their_hosts_themselves() -> None:
    selection = Selection(Wanted(fold=True), "algo-1")
    lines = [Line("algo-2", b"same", 1.0), Line("algo-3", b"same", 1.1), Line("algo-3", b"other", 1.2)]
    assert selection.take(lines) + selection.finish() == [("algo-1", b"[algo-2..algo-3] same"), ("algo-3", b"other")]
