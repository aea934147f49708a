"""Who is slow: by construction of the numbers, one host, one link, all, or nobody."""

from __future__ import annotations

import itertools
from typing import Callable, Dict, FrozenSet, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.bench.analysis import SLOW_HOST, SLOW_PAIR, findings, summary
from hvdsm.bench.parts import AllReduce, AllReducePoint, Pair, Point, Rates, Times
from hvdsm.bench.program.rounds import FIRST, KINDS, RING, rounds

Cost = Callable[[str, str], float]


def names(count: int) -> List[str]:
    return [f"algo-{number}" for number in range(1, count + 1)]


def pair(a: str, b: str, latency: float, rate: float, noise: float = 1.0) -> Pair:
    """A pair whose best samples are better than its medians."""
    small = Times(latency * noise, latency * noise * 0.8, latency * noise * 3, 50)
    large = Times(1e6 / rate, 1e6 / rate, 1e6 / rate, 5)
    return Pair(a, b, (Point(8, small, Rates(1.0, 1.0, 3)), Point(1 << 20, large, Rates(rate / noise, rate / noise * 1.2, 5))))


def network(count: int, latency: Cost, rate: Cost, noise: Dict[Tuple[int, int], float], kind: str = "all") -> List[Pair]:
    hosts = names(count)
    return [
        pair(hosts[a], hosts[b], latency(hosts[a], hosts[b]), rate(hosts[a], hosts[b]), noise.get((a, b), 1.0))
        for part in rounds(count, kind)
        for a, b in part
    ]


def noises(count: int) -> st.SearchStrategy[Dict[Tuple[int, int], float]]:
    """For each pair a factor that other load may have: 30 % up or down."""
    keys = list(itertools.combinations(range(count), 2))
    return st.lists(st.floats(0.72, 1.3), min_size=len(keys), max_size=len(keys)).map(lambda values: dict(zip(keys, values)))


sizes = st.integers(2, 9)


@given(sizes.flatmap(lambda count: st.tuples(st.just(count), noises(count))), st.sampled_from(KINDS), st.floats(1.0, 1e5))
def test_noise_names_nobody_however_slow_all_are(made: Tuple[int, Dict[Tuple[int, int], float]], kind: str, base: float) -> None:
    count, noise = made
    assert findings(network(count, lambda _a, _b: base, lambda _a, _b: 1e4 / base, noise, kind)) == ()


@given(
    st.integers(3, 9).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1), noises(count))),
    st.sampled_from([1.0, 5.0, 500.0]),
    st.sampled_from([1.0, 5.0, 100.0]),
)
def test_one_slow_host_is_named_and_nothing_else(
    made: Tuple[int, int, Dict[Tuple[int, int], float]], slower: float, narrower: float
) -> None:
    count, number, noise = made
    slow = names(count)[number]
    found = findings(
        network(
            count,
            lambda a, b: 40.0 * (slower if slow in (a, b) else 1),
            lambda a, b: 1000.0 / (narrower if slow in (a, b) else 1),
            noise,
        )
    )
    if slower == narrower == 1.0:
        assert found == ()
        return
    (one,) = found
    assert one.kind == SLOW_HOST and one.hosts == (slow,) and one.what.startswith(f"{slow} is slow: ")
    assert one.latency_ratio == pytest.approx(slower, rel=0.9)
    assert one.bandwidth_ratio == pytest.approx(1 / narrower, rel=0.9)
    assert ("latency" in one.what) >= (slower > 2) and ("bandwidth" in one.what) >= (narrower > 2)


@given(
    st.integers(4, 9).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.sets(st.sampled_from(list(itertools.combinations(range(count), 2))), min_size=1, max_size=2),
            noises(count),
        )
    ),
    st.sampled_from([5.0, 500.0]),
)
def test_slow_links_are_named_and_not_their_hosts(
    made: Tuple[int, FrozenSet[Tuple[int, int]], Dict[Tuple[int, int], float]], slower: float
) -> None:
    count, links, noise = made
    hosts = names(count)
    slow = {frozenset((hosts[a], hosts[b])) for a, b in links}
    found = findings(network(count, lambda a, b: 40.0 * (slower if {a, b} in slow else 1), lambda _a, _b: 1000.0, noise))
    assert {frozenset(one.hosts) for one in found} == slow
    assert all(one.kind == SLOW_PAIR for one in found)


def test_two_slow_hosts_of_five_are_both_named() -> None:
    slow = {"algo-2", "algo-5"}
    found = findings(network(5, lambda a, b: 40.0 + 1000.0 * len(slow & {a, b}), lambda _a, _b: 1000.0, {}))
    assert sorted(one.hosts for one in found) == [("algo-2",), ("algo-5",)]


@pytest.mark.parametrize("kind", [RING, FIRST])
def test_a_slow_host_is_named_where_not_all_pairs_are_measured(kind: str) -> None:
    slow = "algo-3"
    (one,) = findings(network(6, lambda a, b: 4000.0 if slow in (a, b) else 40.0, lambda _a, _b: 1000.0, {}, kind))
    assert one.hosts == (slow,)


def test_a_busy_core_is_no_slow_link() -> None:
    # The median suffers, the best samples do not.
    hosts = names(4)
    pairs = network(4, lambda _a, _b: 40.0, lambda _a, _b: 1000.0, {})
    busy = Point(8, Times(400.0, 33.0, 4000.0, 50), Rates(1.0, 1.0, 3))
    pairs[0] = Pair(hosts[0], hosts[1], (busy, pairs[0].points[1]))
    assert findings(pairs) == ()


def test_the_best_of_a_few_samples_under_load_is_no_slow_link() -> None:
    # All medians are of a loaded machine; one pair's best of twelve samples was not as lucky as that of others.
    slow = "algo-1"
    loaded = {("algo-2", "algo-3"): (903.3, 122.2), ("algo-2", "algo-4"): (248.9, 47.5), ("algo-3", "algo-4"): (168.1, 14.1)}
    pairs = network(4, lambda _a, _b: 1500.0, lambda _a, _b: 1000.0, {})
    for number, one in enumerate(pairs):
        if slow not in (one.a, one.b):
            median, least = loaded[one.a, one.b]
            point = Point(8, Times(median, least, 3800.0, 12), Rates(1.0, 1.0, 3))
            pairs[number] = Pair(one.a, one.b, (point, one.points[1]))
    assert [one.hosts for one in findings(pairs)] == [(slow,)]


def test_a_busy_core_that_costs_even_the_best_sample_a_little_is_no_slow_host() -> None:
    # Measured beside two processes that kept both cores busy: ranks that share a core are slower by half at their best.
    told = {
        ("algo-1", "algo-2"): (251.8, 9.0), ("algo-1", "algo-3"): (5.1, 4.8), ("algo-1", "algo-4"): (411.7, 12.1),
        ("algo-2", "algo-3"): (99.0, 7.3), ("algo-2", "algo-4"): (179.1, 7.3), ("algo-3", "algo-4"): (5.2, 4.8),
    }  # fmt: skip
    pairs = [
        Pair(*key, (Point(8, Times(median, least, 1500.0, 40), Rates(1.0, 1.0, 3)),)) for key, (median, least) in told.items()
    ]
    assert findings(pairs) == ()


def test_two_hosts_have_nobody_to_be_compared_with() -> None:
    assert findings(network(2, lambda _a, _b: 1e6, lambda _a, _b: 1.0, {})) == ()
    assert findings([]) == ()


def test_points_that_a_pair_lacks_are_not_compared() -> None:
    pairs = network(3, lambda _a, _b: 40.0, lambda _a, _b: 1000.0, {})
    pairs[1] = Pair(pairs[1].a, pairs[1].b, (Point(8, Times(41.0, 30.0, 50.0, 9), None),))
    assert findings(pairs) == ()
    told = summary(pairs, ())
    assert told.bandwidth_mb_s is None and told.latency_us is not None and told.latency_us.worst.value == 41.0


def test_the_summary_names_best_and_worst() -> None:
    slow = "algo-1"
    pairs = network(3, lambda a, b: 400.0 if slow in (a, b) else 40.0, lambda a, b: 10.0 if slow in (a, b) else 1000.0, {})
    curve = AllReduce(
        "mpi", "1", "x", (AllReducePoint(8, Times(1, 1, 1, 3), 1.0, 2.0), AllReducePoint(64, Times(1, 1, 1, 3), 3.0, 4.0))
    )
    told = summary(pairs, (curve,))
    assert told.latency_us is not None and told.bandwidth_mb_s is not None
    assert told.latency_us.best.pair == ("algo-2", "algo-3") and told.latency_us.best.value == 40.0
    assert told.latency_us.median == 400.0
    assert told.bandwidth_mb_s.best.value == 1000.0 and slow in told.bandwidth_mb_s.worst.pair
    assert told.bus_bandwidth_gb_s == {"mpi": 4.0}
