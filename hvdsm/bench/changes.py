"""What changed between two runs, value by value, and what of it is more than noise.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any, Dict, List, Optional, Sequence, Tuple

from hvdsm.bench.record import AllReducePoint, Pair, Point
from hvdsm.bench.series import LATENCY, Measure, points_of

BETTER, WORSE, SAME = "better", "worse", "the same"

# Two runs of the same network differ by about so much, however many samples each of them has.
FLOOR = 1.05


@dataclass(frozen=True)
class Value:
    """A median and the range that most of its samples are in; for bandwidth the lower end mirrors the upper."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Change:
    """A value in both runs.

    Attributes:
        a: in the first run.
        b: in the second.
        ratio: b to a; None where a is zero.
        noise: ratios between these two are noise: within 5 %, or each median within the range of the other's samples.
        verdict: ``better``, ``worse`` or ``the same``.
    """

    a: float
    b: float
    ratio: Optional[float]
    noise: Tuple[float, float]
    verdict: str

    def as_json(self) -> Dict[str, Any]:
        """All of it."""
        return {"a": self.a, "b": self.b, "ratio": self.ratio, "noise": list(self.noise), "verdict": self.verdict}


def change(a: Value, b: Value, *, low_is_good: bool) -> Change:
    """Compare two values.

    Noise is a ratio for which either run's median could have come from the other: b's lies between the least and the 95th
    percentile of a's samples, and a's between those of b's.  A ratio within 5 % is noise in any case.
    """
    if a.median <= 0 or b.median <= 0:
        return Change(a.median, b.median, None, (1 / FLOOR, FLOOR), SAME)
    low = min(max(a.low / a.median, b.median / b.high if b.high > 0 else 0.0), 1 / FLOOR)
    high = max(min(a.high / a.median, b.median / b.low if b.low > 0 else a.high / a.median), FLOOR)
    return judged(a.median, b.median, (low, high), low_is_good=low_is_good)


def judged(a: float, b: float, noise: Tuple[float, float], *, low_is_good: bool) -> Change:
    """A change whose range of noise is known."""
    if a <= 0:
        return Change(a, b, None, noise, SAME)
    ratio = b / a
    if noise[0] <= ratio <= noise[1]:
        return Change(a, b, ratio, noise, SAME)
    return Change(a, b, ratio, noise, BETTER if (ratio < 1) == low_is_good else WORSE)


def middle_of(changes: Sequence[Change], *, low_is_good: bool) -> Change:
    """The median of several values in each run, with the usual noise of one of them."""
    noise = (median(one.noise[0] for one in changes), median(one.noise[1] for one in changes))
    return judged(median(one.a for one in changes), median(one.b for one in changes), noise, low_is_good=low_is_good)


def of_pair(a: Pair, b: Pair, measure: Measure) -> Dict[int, Change]:
    """Message size → change, of the sizes that were measured in both runs."""
    first, second = points_of(a, measure), points_of(b, measure)
    return {
        size: change(_value(first[size], measure), _value(second[size], measure), low_is_good=measure.low_is_good)
        for size in first
        if size in second
    }


def of_allreduce(a: Sequence[AllReducePoint], b: Sequence[AllReducePoint]) -> Dict[int, Change]:
    """Message size → change of the time of an all-reduce, of the sizes that were measured in both runs."""
    first, second = ({point.bytes: _time(point) for point in points} for points in (a, b))
    return {size: change(first[size], second[size], low_is_good=True) for size in sorted(first) if size in second}


def count(changes: Sequence[Change]) -> Dict[str, int]:
    """How many are better, worse and the same."""
    return {verdict: sum(one.verdict == verdict for one in changes) for verdict in (BETTER, WORSE, SAME)}


def _value(point: Point, measure: Measure) -> Value:
    if measure is LATENCY and point.latency_us is not None:
        return Value(
            point.latency_us.median,
            min(point.latency_us.min, point.latency_us.median),
            max(point.latency_us.p95, point.latency_us.median),
        )
    rates = point.bandwidth_mb_s
    if rates is None:
        return Value(0.0, 0.0, 0.0)
    above = max(rates.max - rates.median, 0.0)
    return Value(rates.median, max(rates.median - above, 0.0), rates.median + above)


def _time(point: AllReducePoint) -> Value:
    return Value(point.time_us.median, min(point.time_us.min, point.time_us.median), max(point.time_us.p95, point.time_us.median))


def missing(a: Sequence[str], b: Sequence[str]) -> Tuple[List[str], List[str]]:
    """What is only in the first and what is only in the second, in their order."""
    return [one for one in a if one not in b], [one for one in b if one not in a]
