"""The page of a comparison: both runs' curves in one picture, a matrix of ratios, tables.  Pure."""

from __future__ import annotations

from typing import Callable, List, Optional, Tuple

from hvdsm.bench import shell
from hvdsm.bench.axes import BUS, SIZE, TIME, Axis, digits, ratio_text, size_text, time_text
from hvdsm.bench.changes import WORSE, Change, count
from hvdsm.bench.comparison import Compared, Comparison
from hvdsm.bench.heatmap import Heatmap, changes
from hvdsm.bench.markup import DASH, Child, Markup, element
from hvdsm.bench.pictures import SHOWN, bandwidth_axis
from hvdsm.bench.plots import Band, Line, Plot, points_text
from hvdsm.bench.record import Bench, to_json
from hvdsm.bench.series import Key, Measure, slow_hosts, spreads, usual_pairs
from hvdsm.bench.words import circumstances, clipped, mpi_text, plural, shaping_text

OPEN_ROWS = 30
_STYLES = (("A", "median"), ("B", "second"))


def render(comparison: Comparison) -> str:
    """The page of a comparison; it loads nothing, and all of it can be read without its script."""
    a, b = comparison.a, comparison.b
    worse = any(one.middle.verdict == WORSE for one in comparison.measures)
    body: List[Child] = [
        element("h1", "Two networks compared"),
        element("p", f"A: {circumstances(a)}", class_="soft"),
        element("p", f"B: {circumstances(b)}", class_="soft"),
        shell.verdict(shell.sentences([comparison.verdict, *comparison.slow_lines()]), slow=worse),
        shell.tiles(_tiles(comparison)),
        _curves(comparison),
        _maps(comparison),
        _allreduce(comparison),
        *(_pairs(compared, comparison) for compared in comparison.measures),
        _circumstances(comparison),
    ]
    data = {"A.json": to_json(a), "B.json": to_json(b), "comparison.json": comparison.as_json()}
    return shell.document(f"Networks compared: {a.label} and {b.label}", body, data)


def _tiles(comparison: Comparison) -> List[Tuple[str, str, str]]:
    found = []
    for compared in comparison.measures:
        shown, middle = SHOWN[compared.measure.name], compared.middle
        what = f"{compared.measure.name} of the median pair, {size_text(compared.size)}"
        found.append(
            (what, _ratio(middle), f"{shown.axis.text(middle.a)} in A, {shown.axis.text(middle.b)} in B: {middle.verdict}")
        )
    for engine, by_size in comparison.allreduce.items():
        size = max(by_size)
        one = by_size[size]
        what = f"time of an all-reduce with {engine}, {size_text(size)}"
        found.append((what, _ratio(one), f"{time_text(one.a)} in A, {time_text(one.b)} in B: {one.verdict}"))
    return found


def _curves(comparison: Comparison) -> Optional[Markup]:
    plots = [_pair_plot(comparison, compared.measure) for compared in comparison.measures]
    if not plots:
        return None
    words = "The median of the pairs of each run that no finding names; the bands are all pairs."
    return shell.section("Between two hosts", element("p", words), shell.figures([shell.plot_figure(plot) for plot in plots]))


def _pair_plot(comparison: Comparison, measure: Measure) -> Plot:
    lines, bands, axis = [], [], SHOWN[measure.name].axis
    for run, (side, style) in zip((comparison.a, comparison.b), _STYLES):
        whole = spreads(run.pairs, measure)
        middle = spreads(usual_pairs(run), measure) or whole
        lines.append(Line(f"{side}: {clipped(run.label)}", style, tuple((float(at.bytes), at.middle) for at in middle)))
        bands.append(Band(f"all pairs of {side}", style, tuple((float(at.bytes), at.low, at.high) for at in whole)))
    both = [*spreads(comparison.a.pairs, measure), *spreads(comparison.b.pairs, measure)]
    said = "; ".join(f"{line.name}: {points_text(line.points, SIZE, axis)}" for line in lines)
    title = f"{measure.name.capitalize()} by message size"
    return Plot(
        f"curve-{measure.name}",
        title,
        said,
        SIZE,
        bandwidth_axis(both, measure) or axis,
        tuple(lines),
        tuple(bands),
        top_first=False,
    )


def _maps(comparison: Comparison) -> Optional[Markup]:
    maps = [found for found in (_map(comparison, compared) for compared in comparison.measures) if found is not None]
    if not maps:
        return None
    words = "Ratios of B to A. Pale is no change; numbers below 1 are less in B."
    shown = shell.figures([shell.heat_figure(found) for found in maps], broad=any(found.wide for found in maps))
    return shell.section("Every pair that both have", element("p", words), shown)


def _map(comparison: Comparison, compared: Compared) -> Optional[Heatmap]:
    ratios = {frozenset(pair): one.ratio for pair, one in compared.pairs.items() if one.ratio}
    values = {pair: ratio for pair, ratio in ratios.items() if ratio is not None}
    if not values:
        return None
    named: Key = frozenset().union(*values)
    counted = count(list(compared.pairs.values()))
    return Heatmap(
        f"map-{compared.measure.name}",
        f"{compared.measure.name.capitalize()} of B to A, messages of {size_text(compared.size)}",
        ", ".join(f"{number} pairs are {verdict}" for verdict, number in counted.items() if number),
        tuple(host.name for host in comparison.a.hosts if host.name in named),
        values,
        lambda value: digits(value, 2),
        ratio_text,
        changes(list(values.values()), low_is_good=compared.measure.low_is_good),
        tuple(host for host in dict.fromkeys((*slow_hosts(comparison.a), *slow_hosts(comparison.b))) if host in named),
    )


def _allreduce(comparison: Comparison) -> Optional[Markup]:
    if not comparison.allreduce:
        return None
    plots = [plot for engine in comparison.allreduce for plot in _engine_plots(comparison, engine)]
    return shell.section("All-reduce", shell.figures([shell.plot_figure(plot) for plot in plots]))


def _engine_plots(comparison: Comparison, engine: str) -> List[Plot]:
    found: List[Plot] = []
    for part, title, y in (("time", "Time of an all-reduce", TIME), ("bus", "Bus bandwidth", BUS)):
        lines = [
            _engine_line(run, engine, part, side, style) for run, (side, style) in zip((comparison.a, comparison.b), _STYLES)
        ]
        said = "; ".join(f"{line.name}: {points_text(line.points, SIZE, y)}" for line in lines)
        found.append(_engine_plot(f"allreduce-{part}-{len(found)}-{engine}", f"{title} with {engine}", said, y, lines))
    return found


def _engine_plot(identifier: str, title: str, said: str, y: Axis, lines: List[Line]) -> Plot:
    return Plot("".join(one if one.isalnum() else "-" for one in identifier), title, said, SIZE, y, tuple(lines), top_first=False)


def _engine_line(run: Bench, engine: str, part: str, side: str, style: str) -> Line:
    points = next(one.points for one in run.allreduce if one.engine == engine)
    values = {float(point.bytes): point.time_us.median if part == "time" else point.bus_bandwidth_gb_s for point in points}
    return Line(f"{side}: {clipped(run.label)}", style, tuple(sorted(values.items())))


def _pairs(compared: Compared, comparison: Comparison) -> Optional[Markup]:
    """Tables of a measure: the median pair by size, and every pair."""
    text = SHOWN[compared.measure.name].axis.text
    heads = ("A", "B", "B to A", "Verdict")
    sizes = [(False, [(size_text(size), float(size)), *_cells(one, text)]) for size, one in compared.by_size.items()]
    by_size = shell.table(
        ("Size", *heads), sizes, caption=f"{compared.measure.name.capitalize()} of the median pair", words=(0, 4)
    )
    parts: List[Child] = [by_size]
    if len(compared.pairs) > 1:
        marked = set(slow_hosts(comparison.a)) | set(slow_hosts(comparison.b))
        rows = [
            (not marked.isdisjoint(pair), [(f" {DASH} ".join(pair), None), *_cells(one, text)])
            for pair, one in compared.pairs.items()
        ]
        caption = f"{compared.measure.name.capitalize()} of each pair, {size_text(compared.size)}"
        table = shell.table(("Pair", *heads), rows, caption=caption, words=(0, 4))
        parts.append(shell.folded(f"Table of {plural(len(rows), 'pair')}", table, opened=len(rows) <= OPEN_ROWS))
    return shell.section(f"{compared.measure.name.capitalize()} in numbers", *parts)


def _circumstances(comparison: Comparison) -> Markup:
    runs = (comparison.a, comparison.b)
    known: List[Tuple[str, Child]] = []
    for side, run in zip("AB", runs):
        words = [circumstances(run), f"job {run.job_name}", mpi_text(run) or "", f"network {shaping_text(run)}"]
        known.append((side, "; ".join(word for word in words if word)))
    parts: List[Child] = [shell.facts(known)]
    if comparison.differences:
        parts.append(shell.listed([f"Other in B: {text}" for text in comparison.differences]))
    if comparison.not_compared:
        parts.append(shell.listed([f"Not compared: {text}" for text in comparison.not_compared]))
    return shell.section("How they were measured", *parts)


def _cells(one: Change, text: Callable[[float], str]) -> List[shell.Cell]:
    ratio: shell.Cell = (_ratio(one), one.ratio)
    return [(text(one.a), one.a), (text(one.b), one.b), ratio, (one.verdict, None)]


def _ratio(one: Change) -> str:
    return DASH if one.ratio is None else ratio_text(one.ratio)
