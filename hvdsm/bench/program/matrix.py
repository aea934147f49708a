"""Measures pairs of hosts in rounds; a rank that has no part in one rests meanwhile.

A pair that stands out a little is measured again, twice at most, and what is better counts: the effect of a core that was busy
with something else goes away, that of a slow link does not.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import here
from .pairs import PairMeter
from .pausing import rest_until_all
from .rounds import ALL, Pair, apart, rounds

# A pair is measured again when its latency or bandwidth is worse than what is usual by the first factor.  Where even the best
# sample of all pairs of a host is worse by the second one, that is no matter of a busy core, and they are not.
_STANDS_OUT, _SURELY = 1.5, 10.0
_AGAIN = 2
Say = Callable[[Any, str], None]
Costs = Dict[Pair, Tuple[float, float]]


class Plan(NamedTuple):
    """What is measured: bytes, seconds for each quantity, the limit of a point in seconds, which pairs, how many at a time."""

    sizes: Sequence[int]
    seconds: float
    limit: float
    kind: str = ALL
    together: bool = False


def measure_pairs(comm: Any, hosts: Sequence[str], plan: Plan, say: Say) -> Optional[Dict[str, Any]]:
    """Pairs, hosts and the transport between them, of rank 0; None of others.

    Args:
        comm: communicator with one rank of each host, in their order.
        hosts: their names.
        plan: what is measured.
        say: is told how it goes on.
    """
    before = here.counters()
    meters: List[PairMeter] = []
    schedule = rounds(len(hosts), plan.kind, together=plan.together)
    total, begun, found = sum(map(len, schedule)), time.monotonic(), []
    for part in schedule:
        for pair in _round(comm, hosts, part, {}, plan, meters):
            found.append(pair)
            left = (time.monotonic() - begun) / len(found) * (total - len(found))
            say(comm, f"{line_of(pair)} ({len(found)} of {total}{f', about {left:.0f} s to go' if left >= 2 else ''})")
    again: List[str] = []
    for _ in range(_AGAIN):
        told: Dict[Pair, List[int]] = comm.bcast(standing_out(found, hosts) if comm.rank == 0 else None)
        if not told:
            break
        say(comm, f"measuring again what stands out: {len(told)} of {total} pairs")
        for part in apart(sorted(told)) if plan.together else [[pair] for pair in sorted(told)]:
            for pair in _round(comm, hosts, part, told, plan, meters):
                again.append(f"{pair['a']} - {pair['b']}")
                better(next(old for old in found if (old["a"], old["b"]) == (pair["a"], pair["b"])), pair)
    transport, device = here.carried(before, here.counters(), sum(meter.sent for meter in meters))
    facts = here.facts(hosts[comm.rank], os.environ)
    if transport == here.TCP:
        facts["interface"] = device
    facts["address"] = here.address_of(facts["interface"])
    every = comm.gather((facts, transport))
    if every is None:
        return None
    transports = {kind for _, kind in every}
    order = {host: number for number, host in enumerate(hosts)}
    return {
        "hosts": [one for one, _ in every],
        "transport": transports.pop() if len(transports) == 1 else None,
        "pairs": sorted(found, key=lambda pair: (order[pair["a"]], order[pair["b"]])),
        "measured_again": sorted(set(again)),
    }


def _round(
    comm: Any,
    hosts: Sequence[str],
    part: Sequence[Pair],
    sizes: Mapping[Pair, Sequence[int]],
    plan: Plan,
    meters: List[PairMeter],
) -> List[Dict[str, Any]]:
    """Measure the pairs of a round, at sizes of their own if they have any; rank 0 gets them."""
    mine = next((pair for pair in part if comm.rank in pair), None)
    found = None
    if mine is not None:
        asks = comm.rank == mine[0]
        meter = PairMeter(comm, mine[1] if asks else mine[0], asks=asks, seconds=plan.seconds, limit=plan.limit)
        meters.append(meter)
        points = meter.points(sizes.get(mine, plan.sizes))
        found = {"a": hosts[mine[0]], "b": hosts[mine[1]], "points": points} if asks else None
    rest_until_all(comm)
    return [pair for pair in comm.gather(found) or () if pair is not None]


def standing_out(pairs: Sequence[Dict[str, Any]], hosts: Sequence[str]) -> Dict[Pair, List[int]]:
    """The pairs to measure again, as numbers, and the sizes that it takes."""
    if len(pairs) < 3:
        return {}
    sizes = sorted(set.intersection(*({point["bytes"] for point in pair["points"]} for pair in pairs)))
    small, large = sizes[0], sizes[-1]
    numbers = {host: number for number, host in enumerate(hosts)}
    found: Dict[Pair, List[int]] = {}
    latency: Costs = {}
    cost: Costs = {}
    for pair in pairs:
        key = (numbers[pair["a"]], numbers[pair["b"]])
        points = {point["bytes"]: point for point in pair["points"]}
        times, rates = points[small]["latency_us"], points[large]["bandwidth_mb_s"]
        latency[key] = (times["median"], times["min"])
        cost[key] = (1 / max(rates["median"], 1e-9), 1 / max(rates["max"], 1e-9))
    # The smallest size goes along: by what a large message takes beyond it, a window is chosen that a slow link carries in time.
    for needed, costs in (({small}, latency), ({small, large}, cost)):
        for key in _standing_out(costs):
            found[key] = sorted({*found.get(key, ()), *needed})
    return found


def _standing_out(costs: Costs) -> List[Pair]:
    """Pairs whose cost (median, best sample) is not that of hosts' best pairs: of all pairs, those of a slow host may be half."""
    hosts = sorted({host for pair in costs for host in pair})
    least = [[min(cost[kind] for pair, cost in costs.items() if host in pair) for host in hosts] for kind in (0, 1)]
    usual = sorted(least[0])[(len(hosts) - 1) // 2]
    surely = {host for host, best in zip(hosts, least[1]) if best > _SURELY * usual}
    return [pair for pair, cost in costs.items() if cost[0] > _STANDS_OUT * usual and not surely & set(pair)]


def better(old: Dict[str, Any], new: Dict[str, Any]) -> None:
    """Take over from ``new`` what is better than in ``old``; the best sample is that of both."""
    points = {point["bytes"]: point for point in old["points"]}
    for point in new["points"]:
        before = points[point["bytes"]]
        least = min(one["latency_us"]["min"] for one in (before, point))
        most = max(one["bandwidth_mb_s"]["max"] for one in (before, point))
        if point["latency_us"]["median"] < before["latency_us"]["median"]:
            before["latency_us"] = point["latency_us"]
        if point["bandwidth_mb_s"]["median"] > before["bandwidth_mb_s"]["median"]:
            before["bandwidth_mb_s"] = point["bandwidth_mb_s"]
        before["latency_us"]["min"], before["bandwidth_mb_s"]["max"] = least, most


def line_of(pair: Dict[str, Any]) -> str:
    """A pair's latency at the smallest size and bandwidth at the largest, in a line."""
    first, last = pair["points"][0], pair["points"][-1]
    rate = f"{last['bandwidth_mb_s']['median']:.1f} MB/s"
    return f"{pair['a']} - {pair['b']}: {first['latency_us']['median']:.1f} us, {rate} at {last['bytes']} bytes"
