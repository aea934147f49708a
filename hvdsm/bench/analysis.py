"""Which hosts and pairs are slow, and what is best, usual and worst; pure.

A host is slow when even its best partner does not reach it as others are reached: a good host has one good pair at least, however
many bad links and bad hosts there are beside it, as long as another good host is there.  A pair is slow when both of its hosts
are good and their link is not.  What is usual is a median, so that a few slow ones do not change it; where all are alike, however
slow, none is named.

Named is what is slower by a factor of :data:`SLOW` in its medians and, so that a busy core is not taken for a slow link, of
:data:`SURELY` in its best samples, which other load hardly touches; and its best samples are worse than what is usual by median:
where load makes all medians bad and the samples few, the best of a few tells little.  What a link costs, each sample costs: of
what the median is worse by, the best sample is worse by :data:`SHARE` at least.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.bench.parts import AllReduce, Extreme, Extremes, Finding, Pair, Point, Summary

# Factors against what is usual, of medians and of best samples.
SLOW, SURELY = 2.0, 1.5
SHARE = 0.2
# Findings of pairs at most; the worst come first.
MOST = 10
SLOW_HOST, SLOW_PAIR = "slow-host", "slow-pair"
Key = Tuple[str, str]
Matrix = Mapping[Key, float]


@dataclass(frozen=True)
class Quantity:
    """A cost of each pair, larger is slower, at a size that all pairs have: of medians, and of best samples.

    Attributes:
        size: bytes of a message.
        usual: cost by median.
        best: cost by the best sample.
        text: a cost in words.
    """

    size: int
    usual: Matrix
    best: Matrix
    text: Callable[[float], str]


def findings(pairs: Sequence[Pair]) -> Tuple[Finding, ...]:
    """Slow hosts, then slow pairs, the worst first."""
    latency, bandwidth = latency_of(pairs), bandwidth_of(pairs)
    known = [quantity for quantity in (latency, bandwidth) if quantity is not None]
    hosts: Dict[str, float] = {}
    links: Dict[Key, float] = {}
    for quantity in known:
        slow = slow_hosts(quantity)
        for name, factor in slow.items():
            hosts[name] = max(factor, hosts.get(name, 0.0))
        for key, factor in slow_pairs(quantity, slow).items():
            links[key] = max(factor, links.get(key, 0.0))
    # Where a host is slow in one quantity, its pairs that stand out in the other one say nothing new.
    links = {key: factor for key, factor in links.items() if not set(key) & set(hosts)}

    def good(key: Key) -> bool:
        return key not in links and not set(key) & set(hosts)

    found = [_of_host(name, latency, bandwidth, good) for name in sorted(hosts, key=lambda name: -hosts[name])]
    worst = sorted(links, key=lambda key: -links[key])
    found += [_of_pair(key, latency, bandwidth, good) for key in worst[:MOST]]
    return tuple(found)


def latency_of(pairs: Sequence[Pair]) -> Optional[Quantity]:
    """Latency at the smallest size that all pairs have; None without any."""
    size = _common(pairs, lambda point: point.latency_us is not None, min)
    if size is None:
        return None
    points = {(pair.a, pair.b): _point(pair, size).latency_us for pair in pairs}
    usual = {key: times.median for key, times in points.items() if times is not None}
    best = {key: times.min for key, times in points.items() if times is not None}
    return Quantity(size, usual, best, time_text)


def bandwidth_of(pairs: Sequence[Pair]) -> Optional[Quantity]:
    """Microseconds for a byte at the largest size that all pairs have; None without any."""
    size = _common(pairs, lambda point: point.bandwidth_mb_s is not None, max)
    if size is None:
        return None
    points = {(pair.a, pair.b): _point(pair, size).bandwidth_mb_s for pair in pairs}
    usual = {key: 1 / max(rates.median, 1e-9) for key, rates in points.items() if rates is not None}
    best = {key: 1 / max(rates.max, 1e-9) for key, rates in points.items() if rates is not None}
    return Quantity(size, usual, best, lambda cost: rate_text(1 / cost))


def slow_hosts(quantity: Quantity) -> Dict[str, float]:
    """Slow hosts, and by which factor."""
    leasts: List[Dict[str, float]] = []
    for matrix in (quantity.usual, quantity.best):
        least: Dict[str, float] = {}
        for key, cost in matrix.items():
            for name in key:
                least[name] = min(cost, least.get(name, cost))
        leasts.append(least)
    return _slow(*leasts)


def slow_pairs(quantity: Quantity, hosts: Mapping[str, float]) -> Dict[Key, float]:
    """Slow pairs of hosts that are not slow, and by which factor."""
    well = [
        {key: cost for key, cost in matrix.items() if not set(key) & set(hosts)} for matrix in (quantity.usual, quantity.best)
    ]
    return _slow(*well)


def _slow(medians: Mapping[Any, float], bests: Mapping[Any, float]) -> Dict[Any, float]:
    """What stands out of three or more, and by which factor of medians."""
    # Two hosts have one pair: neither can be told from the other.
    if len(medians) < 3:
        return {}
    usual, best = statistics.median_low(medians.values()), statistics.median_low(bests.values())
    surely = max(SURELY * best, usual)
    return {
        one: cost / usual
        for one, cost in medians.items()
        if cost >= SLOW * usual > 0 and bests[one] >= surely and bests[one] - best >= SHARE * (cost - usual)
    }


def summary(pairs: Sequence[Pair], allreduce: Sequence[AllReduce]) -> Summary:
    """Best, usual and worst."""
    latency, bandwidth = latency_of(pairs), bandwidth_of(pairs)
    return Summary(
        latency_us=None if latency is None else _extremes(latency.usual, lambda cost: cost),
        bandwidth_mb_s=None if bandwidth is None else _extremes(bandwidth.usual, lambda cost: round(1 / cost, 4)),
        bus_bandwidth_gb_s={one.engine: one.points[-1].bus_bandwidth_gb_s for one in allreduce if one.points},
    )


def _extremes(matrix: Matrix, value: Callable[[float], float]) -> Extremes:
    ordered = sorted(matrix, key=lambda key: matrix[key])
    best, worst = ordered[0], ordered[-1]
    median = statistics.median(value(cost) for cost in matrix.values())
    return Extremes(median, Extreme(best, value(matrix[best])), Extreme(worst, value(matrix[worst])))


def _common(pairs: Sequence[Pair], there: Callable[[Point], bool], choose: Callable[[Sequence[int]], int]) -> Optional[int]:
    sizes = [{point.bytes for point in pair.points if there(point)} for pair in pairs]
    common = set.intersection(*sizes) if sizes else set()
    return choose(sorted(common)) if common else None


def _point(pair: Pair, size: int) -> Point:
    return next(point for point in pair.points if point.bytes == size)


def _of_host(name: str, latency: Optional[Quantity], bandwidth: Optional[Quantity], others: Callable[[Key], bool]) -> Finding:
    what, ratios = _against(lambda key: name in key, others, latency, bandwidth)
    return Finding(SLOW_HOST, (name,), f"{name} is slow: {what}", *ratios)


def _of_pair(pair: Key, latency: Optional[Quantity], bandwidth: Optional[Quantity], others: Callable[[Key], bool]) -> Finding:
    what, ratios = _against(lambda key: key == pair, others, latency, bandwidth)
    return Finding(SLOW_PAIR, pair, f"the link between {pair[0]} and {pair[1]} is slow: {what}", *ratios)


def _against(
    mine: Callable[[Key], bool], others: Callable[[Key], bool], latency: Optional[Quantity], bandwidth: Optional[Quantity]
) -> Tuple[str, Tuple[Optional[float], Optional[float]]]:
    """Its numbers beside what is usual for pairs that are not slow, as far as they are worse, in words; and the ratios."""
    texts: List[str] = []
    ratios: List[Optional[float]] = []
    for quantity in (latency, bandwidth):
        own = [] if quantity is None else [cost for key, cost in quantity.usual.items() if mine(key)]
        rest = [] if quantity is None else [cost for key, cost in quantity.usual.items() if others(key)]
        if quantity is None or not own or not rest:
            ratios.append(None)
            continue
        cost, usual = statistics.median(own), statistics.median(rest)
        ratios.append(round(cost / usual if quantity is latency else usual / cost, 5))
        if cost >= SURELY * usual and quantity is latency:
            texts.append(f"latency {quantity.text(cost)}, {cost / usual:.3g} times the usual {quantity.text(usual)}")
        elif cost >= SURELY * usual:
            texts.append(f"bandwidth {quantity.text(cost)}, 1/{cost / usual:.3g} of the usual {quantity.text(usual)}")
    return "; ".join(texts), (ratios[0], ratios[1])


def time_text(microseconds: float) -> str:
    """Microseconds in a fitting unit."""
    if microseconds < 1000:
        return f"{microseconds:.3g} us"
    return f"{microseconds / 1e3:.3g} ms" if microseconds < 1e6 else f"{microseconds / 1e6:.3g} s"


def rate_text(mb_s: float) -> str:
    """10^6 bytes a second in a fitting unit."""
    return f"{mb_s:.3g} MB/s" if mb_s < 1000 else f"{mb_s / 1e3:.3g} GB/s"


def size_text(size: int) -> str:
    """Bytes as they are given to ``--sizes``."""
    for unit, factor in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
