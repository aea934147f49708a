"""The arithmetic of the benchmarks: medians, ratios, goals and the table; nothing is measured here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from measure import Goal, Row, cpu_seconds, table
from programs import Arrivals
from relay import LINES, relayed
from scale import Started
from scale import table as scale_table


def test_goal_is_a_line_over_the_peer() -> None:
    goal = Goal(1.15, 0.3)
    row = Row("job", "s", (9.0, 1.4, 1.5), goal, "bare mpirun", (1.0, 5.0, 1.0))
    assert (row.value, row.peer, row.ratio) == (1.5, 1.0, 1.5)
    assert row.limit == pytest.approx(1.45)
    assert row.met is False
    assert Row("job", "s", (1.45,), goal, "bare mpirun", (1.0,)).met is True


def test_goal_without_peer() -> None:
    goal = Goal(allowance=0.2)
    assert [Row("end", "s", (value,), goal).met for value in (0.2, 0.2001)] == [True, False]
    assert Row("end", "s", (0.1,), goal).ratio is None


def test_goal_that_is_a_least_value() -> None:
    goal = Goal(0.99, at_least=True)
    assert [Row("speed", "samples/s", (v,), goal, "bare", (100.0,)).met for v in (98.9, 99.0, 120.0)] == [False, True, True]


def test_a_goal_over_an_unmeasured_peer_is_neither_met_nor_missed() -> None:
    row = Row("job", "s", (1.0,), Goal(1.15, 0.3))
    assert (row.limit, row.met, row.rounds_met) == (None, None, 0)
    assert table([row]).splitlines()[1].split()[-1] == "-"


def test_row_without_goal() -> None:
    row = Row("end of 2 hosts", "s", (0.1, 0.2))
    assert (row.met, row.rounds_met, row.limit) == (None, None, None)
    assert row.value == pytest.approx(0.15)


def test_rounds_that_disagree_with_the_median_are_told() -> None:
    mixed = Row("speed", "samples/s", (90.0, 100.0, 100.0), Goal(0.99, at_least=True), "bare", (100.0, 100.0, 100.0))
    assert mixed.rounds_met == 2
    assert table([mixed]).endswith("yes (2 of 3 rounds)")
    missed = Row("end", "s", (0.5, 0.6, 0.1), Goal(allowance=0.2))
    assert table([missed]).endswith("NO (1 of 3 rounds)")
    assert table([Row("end", "s", (0.1, 0.2), Goal(allowance=0.2))]).endswith("yes")
    assert table([Row("end", "s", (0.3, 0.4), Goal(allowance=0.2))]).endswith("NO")


def test_table_shows_measured_peer_ratio_goal_and_its_value_in_aligned_columns() -> None:
    rows = [Row("job", "s", (1.5, 1.7), Goal(1.15, 0.3), "bare mpirun", (1.0, 1.0)), Row("a longer name", "s", (0.1,))]
    head, first, second = table(rows).splitlines()
    for text in ("1.600 s", "1.500..1.700", "1.000 (bare mpirun)", "1.600", "<= 1.15 x peer + 0.3 s = 1.450"):
        assert text in first
    assert head.index("measured") == first.index("1.600 s") == second.index("0.100 s")


def test_row_becomes_json() -> None:
    row = Row("job", "s", (1.0, 2.0), Goal(1.15, 0.3), "bare mpirun", (1.0, 1.0))
    read = json.loads(json.dumps(row.as_dict()))
    assert (read["value"], read["values"], read["ratio"], read["met"], read["rounds_met"]) == (1.5, [1.0, 2.0], 1.5, False, 1)


def test_cpu_seconds_counts_the_command_and_refuses_another_exit_code() -> None:
    assert cpu_seconds([sys.executable, "-c", "pass"]) > 0
    assert cpu_seconds([sys.executable, "-c", "raise SystemExit(78)"], codes=(78,)) > 0
    with pytest.raises(RuntimeError, match="ended with 3"):
        cpu_seconds([sys.executable, "-c", "raise SystemExit(3)"])


def log_of(*pieces: bytes) -> Arrivals:
    log = Arrivals()
    for piece in pieces:
        os.write(log.write, piece)
    log.finish()
    return log


@pytest.mark.parametrize(
    ("kind", "tag"),
    [
        ("hvdsm", "[{},algo-1] "),
        ("mpirun", "[1,{}]<stdout>:"),
        ("toolkit", "[1,mpirank:{},algo-1]<stdout>:"),
    ],
)
def test_lines_that_are_whole_are_counted_once(kind: str, tag: str) -> None:
    text = "r{} n{:06d} the quick brown fox jumps over the lazy dog"
    begins = [tag.format(rank) + "relay begins at 100.5" for rank in range(4)]
    whole = [tag.format(rank) + text.format(rank, number) for rank in range(4) for number in range(3)]
    broken = [tag.format(0) + text.format(0, 9)[:20], text.format(1, 9), whole[0], tag.format(2) + text.format(2, 9) + "r"]
    log = log_of("\n".join([*begins, *whole, *broken, ""]).encode())
    assert relayed(log, kind).broken == 4 * LINES - len(whole)
    assert relayed(log, kind).seconds > 0


def test_a_relay_without_its_start_is_not_measured() -> None:
    with pytest.raises(RuntimeError, match="0 of 4 ranks"):
        relayed(log_of(b"nothing\n"), "mpirun")


def test_when_a_byte_arrived() -> None:
    log = log_of()
    log.pieces, log.times = [b"abc", b"de"], [1.0, 2.0]
    assert [log.arrival(offset) for offset in range(5)] == [1.0, 1.0, 1.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="no byte 5"):
        log.arrival(5)


def test_table_of_sizes() -> None:
    head, row = scale_table([Started(128, "flat", 0.5, (1.0, 2.0, 3.0, 4.0), 5.25)]).splitlines()
    assert " ".join(head.split()) == "hosts spawn emulated hosts joined ssh ready ranks running ranks ended all ended"
    assert row.split() == ["128", "flat", "0.50", "1.00", "2.00", "3.00", "4.00", "5.25"]
    assert len(head) == len(row)
