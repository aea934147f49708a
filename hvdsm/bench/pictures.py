"""The pictures of one run: curves of all pairs, matrices of hosts, all-reduce.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from hvdsm.bench import axes
from hvdsm.bench.axes import BUS, SIZE, TIME, Axis, common_unit, digits, size_text
from hvdsm.bench.heatmap import Heatmap, speeds
from hvdsm.bench.plots import Band, Level, Line, Plot, points_text
from hvdsm.bench.record import AllReducePoint, Bench
from hvdsm.bench.series import (
    BANDWIDTH,
    LATENCY,
    Measure,
    Spread,
    at_size,
    is_slow,
    key,
    name_of,
    ordered,
    slow_hosts,
    slow_pairs,
    spreads,
    telling_size,
    usual_pairs,
    values_of,
)

THIN_LINES = 64
"""Slow pairs that are drawn at most, the slowest first: more would be a blot."""

# Times that the fastest pair may be as fast as the slowest on a linear axis.
_APART = 8.0

ENGINE_STYLES = ("median", "second", "third")


@dataclass(frozen=True)
class Shown:
    """How a measure is shown: its axis and the units of cells."""

    measure: Measure
    axis: Axis
    units: Tuple[Tuple[float, str], ...]


SHOWN: Dict[str, Shown] = {
    "latency": Shown(LATENCY, axes.LATENCY, axes.TIME_UNITS),
    "bandwidth": Shown(BANDWIDTH, axes.BANDWIDTH, axes.RATE_UNITS),
}


def pair_plot(bench: Bench, shown: Shown) -> Optional[Plot]:
    """Median, best and worst pair and the slow ones by message size; None where nothing was measured."""
    measure = shown.measure
    pairs = ordered(bench.pairs, measure)
    if not pairs:
        return None
    spread = spreads(pairs, measure)
    usual = [pair for pair in usual_pairs(bench) if values_of(pair, measure)] or pairs
    middle = tuple((float(at.bytes), at.middle) for at in spreads(usual, measure))
    lines = []
    if len(pairs) > 1:
        lines += _slow_lines(bench, shown)
        for pair, style, word in ((pairs[0], "best", "best"), (pairs[-1], "worst", "worst")):
            points = tuple((float(size), value) for size, value in values_of(pair, measure).items())
            lines.append(Line(f"{word} pair, {name_of(pair)}", style, points))
    lines.append(Line(median_name(len(usual), len(pairs)) if len(pairs) > 1 else name_of(pairs[0]), "median", middle))
    said = [f"{line.name}: {points_text(line.points, SIZE, shown.axis)}" for line in reversed(lines) if line.dots]
    return Plot(
        f"curve-{measure.name}",
        f"{measure.name.capitalize()} by message size",
        "; ".join(said),
        SIZE,
        bandwidth_axis(spread, measure) or shown.axis,
        tuple(lines),
        (Band("all pairs, least to most", "all", tuple((float(at.bytes), at.low, at.high) for at in spread)),)
        if len(pairs) > 1
        else (),
        levels(bench, measure),
    )


def median_name(usual: int, all_pairs: int) -> str:
    """What the median is of, in words."""
    return f"median of {all_pairs} pairs" if usual == all_pairs else f"median of the {usual} other pair{'s' if usual > 1 else ''}"


def bandwidth_axis(spread: Sequence[Spread], measure: Measure) -> Optional[Axis]:
    """A logarithmic axis where slow pairs would lie on the bottom of a linear one; None for the usual axis."""
    apart = any(at.high > _APART * at.low for at in spread)
    return axes.BANDWIDTH_LOG if measure is BANDWIDTH and apart else None


def _slow_lines(bench: Bench, shown: Shown) -> List[Line]:
    """A thin line for each pair that a finding names, by itself or by one of its hosts."""
    slow = [pair for pair in reversed(ordered(bench.pairs, shown.measure)) if is_slow(bench, key(pair))]
    lines = []
    for pair in slow[:THIN_LINES]:
        points = tuple((float(size), value) for size, value in values_of(pair, shown.measure).items())
        hosts = [host for host in slow_hosts(bench) if host in (pair.a, pair.b)]
        legend = f"pairs of {hosts[0]}" if hosts else f"slow pair, {name_of(pair)}"
        lines.append(Line(name_of(pair), "slowly", points, dots=False, legend=legend))
    return lines


def levels(bench: Bench, measure: Measure) -> Tuple[Level, ...]:
    """What the network was shaped to, where it was: a delay for latency, a rate for bandwidth."""
    shaping = bench.shaping
    if shaping is None:
        return ()
    found = []
    if measure is LATENCY:
        if shaping.delay_ms > 0:
            found.append(Level("delay that was set", shaping.delay_ms * 1e3))
        for host, shape in list(shaping.hosts.items())[:2]:
            if shape.delay_ms > 0:
                found.append(Level(f"delay that was set for {host}", (shaping.delay_ms + shape.delay_ms) * 1e3))
        return tuple(found)
    if shaping.mbit > 0:
        found.append(Level("rate that was set", shaping.mbit / 8))
    for host, shape in list(shaping.hosts.items())[:2]:
        if shape.mbit > 0 and (shaping.mbit <= 0 or shape.mbit < shaping.mbit):
            found.append(Level(f"rate that was set for {host}", shape.mbit / 8))
    return tuple(found)


def pair_map(bench: Bench, shown: Shown) -> Optional[Heatmap]:
    """The matrix of hosts at the message size that says most; None where nothing was measured."""
    measure = shown.measure
    size = telling_size(bench.pairs, measure)
    values = at_size(bench.pairs, measure, size)
    if size is None:
        return None
    divisor, unit = common_unit(list(values.values()), shown.units)
    slow = slow_hosts(bench)
    pairs = ordered(bench.pairs, measure)
    worst = pairs[-1]
    description = f"A row and a column for each of {len(bench.hosts)} hosts; the worst pair is {name_of(worst)}"
    if slow:
        description += f"; slow: {', '.join(slow)}"
    return Heatmap(
        f"map-{measure.name}",
        f"{measure.name.capitalize()} of each pair, messages of {size_text(size)}, in {unit}",
        description,
        tuple(host.name for host in bench.hosts),
        values,
        lambda value: short(value / divisor),
        shown.axis.text,
        speeds(list(values.values()), low_is_good=measure.low_is_good),
        slow,
        slow_pairs(bench),
    )


def short(value: float) -> str:
    """A number for a cell: five characters at most for what is usual, and no dot where there are thousands."""
    return digits(value) if 0.01 <= value < 99999 or value == 0 else f"{value:.0e}"


def allreduce_plots(bench: Bench) -> List[Plot]:
    """Time and bus bandwidth by message size, a line for each engine; none where nothing was measured."""
    if not any(engine.points for engine in bench.allreduce):
        return []
    return [
        _allreduce_plot(bench, "allreduce-time", "Time of an all-reduce", TIME, lambda point: point.time_us.median),
        _allreduce_plot(bench, "allreduce-bus", "Bus bandwidth of an all-reduce", BUS, lambda point: point.bus_bandwidth_gb_s),
    ]


def _allreduce_plot(bench: Bench, identifier: str, title: str, y: Axis, value: Callable[[AllReducePoint], float]) -> Plot:
    lines = []
    for index, engine in enumerate(bench.allreduce):
        ascending: Sequence[AllReducePoint] = sorted(engine.points, key=lambda point: point.bytes)
        points = tuple((float(point.bytes), value(point)) for point in ascending)
        lines.append(Line(engine.engine, ENGINE_STYLES[index % len(ENGINE_STYLES)], points))
    said = "; ".join(f"{line.name}: {points_text(line.points, SIZE, y)}" for line in lines)
    return Plot(identifier, title, said, SIZE, y, tuple(reversed(lines)))
