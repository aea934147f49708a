"""What a bench measured, by message size: the numbers that the page, the comparison and their pictures show.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Callable, Dict, FrozenSet, Iterable, List, Optional, Sequence, Tuple

from hvdsm.bench.markup import DASH
from hvdsm.bench.record import Bench, Pair, Point

Key = FrozenSet[str]


@dataclass(frozen=True)
class Measure:
    """One of the two things that are measured between two hosts.

    Attributes:
        name: ``latency`` or ``bandwidth``.
        low_is_good: whether less is better.
        value: the median at a point; None where it was not measured.
    """

    name: str
    low_is_good: bool
    value: Callable[[Point], Optional[float]]


LATENCY = Measure("latency", True, lambda point: point.latency_us.median if point.latency_us else None)
BANDWIDTH = Measure("bandwidth", False, lambda point: point.bandwidth_mb_s.median if point.bandwidth_mb_s else None)


@dataclass(frozen=True)
class Spread:
    """The values of all pairs at a message size."""

    bytes: int
    low: float
    middle: float
    high: float


def key(pair: Pair) -> Key:
    """A pair without its direction."""
    return frozenset((pair.a, pair.b))


def name_of(pair: Pair) -> str:
    """A pair in words."""
    return f"{pair.a} {DASH} {pair.b}"


def points_of(pair: Pair, measure: Measure) -> Dict[int, Point]:
    """Message size → point, of those where this was measured; sizes ascend."""
    return {
        point.bytes: point for point in sorted(pair.points, key=lambda point: point.bytes) if measure.value(point) is not None
    }


def values_of(pair: Pair, measure: Measure) -> Dict[int, float]:
    """Message size → median; sizes ascend."""
    found = {size: measure.value(point) for size, point in points_of(pair, measure).items()}
    return {size: value for size, value in found.items() if value is not None}


def spreads(pairs: Iterable[Pair], measure: Measure) -> List[Spread]:
    """Least, middle and greatest median of all pairs, for each message size."""
    by_size: Dict[int, List[float]] = {}
    for pair in pairs:
        for size, value in values_of(pair, measure).items():
            by_size.setdefault(size, []).append(value)
    return [Spread(size, min(found), median(found), max(found)) for size, found in sorted(by_size.items())]


def telling_size(pairs: Sequence[Pair], measure: Measure) -> Optional[int]:
    """The message size that says most: the smallest for latency, the largest for bandwidth.

    Only of those that most pairs have: a slow pair may not have come to the largest in its time.
    """
    counts: Dict[int, int] = {}
    for pair in pairs:
        for size in values_of(pair, measure):
            counts[size] = counts.get(size, 0) + 1
    sizes = [size for size, count in counts.items() if count == max(counts.values())]
    if not sizes:
        return None
    return min(sizes) if measure.low_is_good else max(sizes)


def at_size(pairs: Iterable[Pair], measure: Measure, size: Optional[int]) -> Dict[Key, float]:
    """Pair → median at a message size, of those that were measured there."""
    found = {key(pair): values_of(pair, measure).get(size) for pair in pairs} if size is not None else {}
    return {pair: value for pair, value in found.items() if value is not None}


def ordered(pairs: Sequence[Pair], measure: Measure) -> List[Pair]:
    """The pairs that were measured, the best first; by the size that says most, and by name where they are alike."""
    values = at_size(pairs, measure, telling_size(pairs, measure))
    known = [pair for pair in pairs if key(pair) in values]
    sign = 1 if measure.low_is_good else -1
    return sorted(known, key=lambda pair: (sign * values[key(pair)], pair.a, pair.b))


def slow_hosts(bench: Bench) -> Tuple[str, ...]:
    """Hosts that findings name alone."""
    return tuple(dict.fromkeys(finding.hosts[0] for finding in bench.findings if len(finding.hosts) == 1))


def slow_pairs(bench: Bench) -> Tuple[Key, ...]:
    """Pairs that findings name."""
    return tuple(dict.fromkeys(frozenset(finding.hosts) for finding in bench.findings if len(finding.hosts) == 2))


def usual_pairs(bench: Bench) -> List[Pair]:
    """The pairs that no finding names: what is usual in this network.  All of them where findings leave none.

    A single slow host among four is in half of all pairs, so a median of all would tell of no pair that there is.
    """
    return [pair for pair in bench.pairs if not is_slow(bench, key(pair))] or list(bench.pairs)


def is_slow(bench: Bench, pair: Key) -> bool:
    """Whether a finding names the pair or a host of it."""
    return pair in slow_pairs(bench) or not pair.isdisjoint(slow_hosts(bench))
