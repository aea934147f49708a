"""Two runs of the network bench beside each other."""

from __future__ import annotations

import dataclasses
import json

import pytest
from bench_page_samples import document, sample
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.bench.changes import BETTER, SAME, WORSE, Value, change
from hvdsm.bench.compare import compare
from hvdsm.bench.record import Bench, from_json

positive = st.floats(1e-3, 1e9)


@st.composite
def spread(draw: st.DrawFn) -> Value:
    low, middle, high = sorted(draw(st.tuples(positive, positive, positive)))
    return Value(middle, low, high)


def tight(median: float) -> Value:
    return Value(median, median * 0.99, median * 1.01)


@pytest.mark.parametrize(
    ("a", "b", "low_is_good", "verdict"),
    [
        (tight(30), tight(6), True, BETTER),
        (tight(6), tight(30), True, WORSE),
        (tight(100), tight(480), False, BETTER),
        (tight(480), tight(100), False, WORSE),
        (tight(100), tight(104), True, SAME),
        (tight(100), tight(107), True, WORSE),
        # Each median could be one of the other's samples.
        (Value(31, 28, 44), Value(36, 29, 50), True, SAME),
        # Here a's never is: 31 is below all that b had.
        (Value(31, 28, 44), Value(40, 36, 50), True, WORSE),
        (Value(0, 0, 0), tight(5), True, SAME),
    ],
)
def test_a_change_is_more_than_noise(a: Value, b: Value, low_is_good: bool, verdict: str) -> None:
    assert change(a, b, low_is_good=low_is_good).verdict == verdict


@given(spread(), spread(), st.booleans())
def test_the_other_way_round_the_verdict_is_the_opposite(a: Value, b: Value, low_is_good: bool) -> None:
    there, back = change(a, b, low_is_good=low_is_good), change(b, a, low_is_good=low_is_good)
    assert {there.verdict, back.verdict} in ({SAME}, {BETTER, WORSE})
    assert there.noise[0] <= 1 / 1.049 and there.noise[1] >= 1.049


@given(spread(), st.booleans())
def test_a_run_does_not_differ_from_itself(value: Value, low_is_good: bool) -> None:
    assert change(value, value, low_is_good=low_is_good).verdict == SAME


def test_the_verdict_has_both_ratios_of_the_median_pair() -> None:
    compared = compare(sample(4, latency=31.0, bandwidth=1150.0), sample(4, latency=6.5, bandwidth=5520.0))
    assert compared.verdict == "B has 0.21x the latency and 4.8x the bandwidth of A (median pair)"
    assert compared.lines()[0] == compared.verdict
    assert any("8 B" in line and "0.21x" in line and line.endswith("better") for line in compared.lines())


def test_the_same_run_twice_has_no_difference() -> None:
    run = sample(4)
    compared = compare(run, run)
    assert compared.verdict == "A and B have the same latency and the same bandwidth, but for noise (median pair)"
    assert not [line for line in compared.lines() if "better" in line or "worse" in line]
    assert compared.differences == () and compared.not_compared == ()


def test_runs_that_differ_by_a_few_percent_are_the_same() -> None:
    compared = compare(sample(6, seed=1), sample(6, seed=2))
    assert [one.middle.verdict for one in compared.measures] == [SAME, SAME]


def test_one_measure_may_change_alone() -> None:
    verdict = compare(sample(3, bandwidth=1150.0), sample(3, bandwidth=300.0)).verdict
    assert verdict == "B has 0.26x the bandwidth of A and the same latency (median pair)"


def test_a_host_that_became_quick_is_named_and_does_not_stand_for_all() -> None:
    compared = compare(sample(4, slow=("algo-3",)), sample(4))
    assert compared.verdict.startswith("A and B have the same latency and the same bandwidth")
    lines = compared.lines()
    assert lines[1] == "algo-3 is slow in A, not in B"
    assert "latency of each pair, 8 B: 3 better, 3 the same" in lines
    assert sum("algo-3 \u2013" in line or "\u2013 algo-3" in line for line in lines if line.endswith("better")) == 6
    assert compare(sample(4), sample(4, slow=("algo-3",))).lines()[1] == "algo-3 is slow in B, not in A"
    slow = sample(4, slow=("algo-3",))
    assert compare(slow, slow).lines()[1] == "algo-3 is slow in A and in B"


def test_hosts_sizes_and_engines_of_only_one_run_are_named() -> None:
    compared = compare(sample(3, sizes=(8, 64), engines=("mpi", "torch")), sample(4, sizes=(64, 512), engines=("mpi",)))
    assert set(compared.not_compared) == {
        "hosts only in B: algo-4",
        "sizes of latency only in A: 8 B",
        "sizes of latency only in B: 512 B",
        "sizes of bandwidth only in A: 8 B",
        "sizes of bandwidth only in B: 512 B",
        "engines only in A: torch",
    }
    assert [list(one.by_size) for one in compared.measures] == [[64], [64]]
    assert all(len(one.pairs) == 3 for one in compared.measures)


def test_a_pair_that_is_named_the_other_way_round_is_the_same_pair() -> None:
    values = document(3)
    values["pairs"] = [{**pair, "a": pair["b"], "b": pair["a"]} for pair in values["pairs"]]
    compared = compare(sample(3), from_json(values))
    assert compared.not_compared == () and all(len(one.pairs) == 3 for one in compared.measures)


def test_other_hosts_are_compared_by_their_median_pairs() -> None:
    compared = compare(sample(3, latency=30.0), sample(3, names=("x", "y", "z"), latency=300.0))
    assert compared.verdict.startswith("B has 9.") or compared.verdict.startswith("B has 10x the latency")
    assert "the hosts are others" in compared.verdict
    assert [one.pairs for one in compared.measures] == [{}, {}]


def test_nothing_in_common_says_so() -> None:
    compared = compare(sample(3, sizes=(8,), engines=()), sample(3, sizes=(16,), engines=()))
    assert compared.measures == () and "nothing in common" in compared.verdict
    assert "nothing in common" in compared.page()


def test_circumstances_that_differ_are_named() -> None:
    a = sample(2)
    b = dataclasses.replace(sample(2), instance_type="ml.p4d.24xlarge", region="eu-west-1", backend="sagemaker", mpi=None)
    text = "\n".join(compare(a, b).lines())
    assert "other in B: instance type: local in A, ml.p4d.24xlarge in B" in text
    assert "other in B: MPI: Open MPI 4.1.8, mpi4py 4.1.2 in A, not known in B" in text


def test_a_size_that_slow_pairs_did_not_reach_is_not_what_pairs_are_compared_by() -> None:
    values = document(4, slow=("algo-3",))
    for pair in values["pairs"]:
        if "algo-3" in (pair["a"], pair["b"]):
            pair["points"][-1]["bandwidth_mb_s"] = None
    bandwidth = compare(sample(4), from_json(values)).measures[1]
    assert bandwidth.size == 1048576 and len(bandwidth.pairs) == 6
    assert [one.verdict for one in bandwidth.pairs.values()].count(WORSE) == 3


def test_the_json_has_what_the_lines_say() -> None:
    compared = compare(sample(4, slow=("algo-3",)), sample(4, latency=12.0))
    found = json.loads(json.dumps(compared.as_json(), allow_nan=False))
    assert found["schema"] == "hvdsm.bench.comparison/1" and found["verdict"] == compared.verdict
    assert found["slow"] == {"a": ["algo-3"], "b": []}
    assert [one["bytes"] for one in found["latency"]["by_size"]] == [8, 64, 512, 4096, 32768, 262144, 1048576, 4194304]
    first = found["latency"]["by_size"][0]
    assert first["ratio"] == pytest.approx(first["b"] / first["a"]) and first["verdict"] == BETTER
    assert len(found["bandwidth"]["pairs"]) == 6 and len(found["allreduce"]["mpi"]) == 8


def test_a_pair_in_json_has_its_hosts_and_both_values() -> None:
    found = compare(sample(3), sample(3, latency=90.0)).as_json()["latency"]["pairs"]
    assert [one["pair"] for one in found] == [["algo-1", "algo-2"], ["algo-1", "algo-3"], ["algo-2", "algo-3"]]
    assert all(one["b"] > 2 * one["a"] and one["verdict"] == WORSE for one in found)


@pytest.mark.parametrize("runs", [(sample(2), sample(3)), (sample(20), sample(20, slow=("algo-2",))), (sample(1), sample(2))])
def test_the_page_has_both_runs_and_the_verdict(runs: tuple[Bench, Bench]) -> None:
    compared = compare(*runs)
    page = compared.page()
    assert compared.verdict in page
    for name in ("A-json", "B-json", "comparison-json"):
        assert f'id="data-{name}"' in page
