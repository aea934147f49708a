"""Identical lines of several ranks become one, and nothing else changes."""

from __future__ import annotations

from typing import Dict, List, Tuple

from hypothesis import given
from hypothesis import strategies as st

from hvdsm.jobs.base import Line
from hvdsm.jobs.fold import Folded, Folder, host_ranges, label
from hvdsm.jobs.lines import origin_of

# Rank, text, seconds since the line before.
LINES = st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.floats(0, 2, allow_nan=False)), max_size=80)


def fold(lines: List[Tuple[int, str, float]], folder: Folder) -> List[Folded]:
    now, found = 0.0, []
    for rank, text, pause in lines:
        now += pause
        line = Line("algo-1", f"[{rank},algo-{rank // 2 + 1}] {text}".encode())
        found += folder.feed(origin_of(line), line.host, line.data, now)
    return found + folder.flush()


def by_rank(lines: List[Tuple[int, str]]) -> Dict[int, List[str]]:
    found: Dict[int, List[str]] = {}
    for rank, text in lines:
        found.setdefault(rank, []).append(text)
    return found


@given(LINES, st.integers(1, 40))
def test_nothing_is_lost_and_ranks_keep_their_order(lines: List[Tuple[int, str, float]], most: int) -> None:
    found = fold(lines, Folder(window=1.0, most=most))
    unfolded = [(rank, group.text.decode()) for group in found for rank, _, _ in group.sources if rank is not None]
    assert by_rank(unfolded) == by_rank([(rank, text) for rank, text, _ in lines])
    assert all(len(set(group.sources)) == len(group.sources) for group in found)


@given(LINES, st.integers(1, 10), st.integers(1, 200))
def test_what_waits_is_bounded(lines: List[Tuple[int, str, float]], most: int, most_bytes: int) -> None:
    folder = Folder(window=1e9, most=most, most_bytes=most_bytes)
    now = 0.0
    for rank, text, pause in lines:
        now += pause
        line = Line("algo-1", f"[{rank},algo-1] {text}".encode())
        folder.feed(origin_of(line), line.host, line.data, now)
        assert len(folder._waiting) <= most
        assert len(folder._waiting) <= 1 or sum(len(group.original) for group in folder._waiting) <= most_bytes
        assert sum(len(groups) for groups in folder._by_text.values()) == len(folder._waiting)
        assert len(folder._last) <= 6
    folder.flush()
    assert not folder._by_text and not folder._last and folder._bytes == 0


@given(LINES)
def test_lines_of_one_rank_alone_stay_as_they_are(lines: List[Tuple[int, str, float]]) -> None:
    alone = [(0, text, pause) for _, text, pause in lines]
    assert [group.line for group in fold(alone, Folder())] == [f"[0,algo-1] {text}".encode() for _, text, _ in alone]


def test_the_same_line_of_all() -> None:
    lines = [(rank, "loss 0.5", 0.0) for rank in (0, 2, 1, 3)]
    assert [group.line for group in fold(lines, Folder())] == [b"[0-3,algo-1..algo-2] loss 0.5"]


def test_a_line_that_comes_too_late_stands_alone() -> None:
    lines = [(0, "a", 0.0), (1, "a", 0.5), (2, "a", 0.6)]
    assert [len(group.sources) for group in fold(lines, Folder(window=1.0))] == [2, 1]


def test_a_line_never_passes_one_of_its_own_rank() -> None:
    lines = [(0, "a", 0.0), (1, "b", 0.0), (1, "a", 0.0), (0, "b", 0.0)]
    found = [(group.text, len(group.sources)) for group in fold(lines, Folder())]
    assert found in ([(b"a", 1), (b"b", 2), (b"a", 1)], [(b"a", 1), (b"b", 1), (b"a", 1), (b"b", 1)])


def test_pieces_and_roles_are_told_apart() -> None:
    folder = Folder()
    for data in (b"[0,algo-1]~ x", b"[1,algo-1] x", b"[server,algo-1] x", b"[server,algo-2] x", b"x"):
        line = Line("algo-1", data)
        assert not folder.feed(origin_of(line), line.host, data, 0.0)
    lines = [group.line for group in folder.flush()]
    assert lines == [b"[0,algo-1]~ x", b"[1,algo-1] x", b"[server,algo-1..algo-2] x", b"x"]


def test_labels() -> None:
    assert label([(3, "", "algo-2"), (1, "", "algo-1")]) == "[1,3,algo-1..algo-2]"
    assert label([(None, "", "algo-1"), (None, "", "algo-3")]) == "[algo-1,algo-3]"
    assert host_ranges(f"algo-{n}" for n in (1, 2, 3, 200)) == ["algo-1..algo-3", "algo-200"]
