"""The page of ``hvdsm bench network``: one HTML file with its pictures, to be opened anywhere.  Pure."""

from __future__ import annotations

import json
from statistics import median
from typing import Callable, List, Optional, Sequence, Tuple

from hvdsm.bench import shell
from hvdsm.bench.axes import gigabyte_text, rate_text, ratio_text, size_text, time_text
from hvdsm.bench.markup import DASH, Child, Markup, element
from hvdsm.bench.pictures import SHOWN, Shown, allreduce_plots, median_name, pair_map, pair_plot
from hvdsm.bench.record import Bench, to_json
from hvdsm.bench.series import (
    BANDWIDTH,
    LATENCY,
    at_size,
    is_slow,
    key,
    name_of,
    ordered,
    points_of,
    spreads,
    telling_size,
    usual_pairs,
    values_of,
)
from hvdsm.bench.words import moment, mpi_text, plural, shaping_text

FILE = "network.json"

OPEN_ROWS = 30
"""Pairs of a table that is open from the beginning; a longer one is folded."""


def render(bench: Bench) -> str:
    """The page of a run: what stands out first, then curves, matrices, all-reduce, tables, and the data itself.

    It loads nothing from anywhere, and everything on it can be read without its script.

    Args:
        bench: what was measured.
    """
    title = f"Network of {len(bench.hosts)} hosts" if len(bench.hosts) != 1 else "Network of one host"
    body: List[Child] = [
        element("h1", title),
        element("p", f"{bench.label}, {moment(bench.made)}", class_="soft"),
        shell.verdict(verdict_lines(bench), slow=bool(bench.findings)),
        shell.tiles(_tiles(bench)),
        _curves(bench),
        _maps(bench),
        _allreduce(bench),
        _pairs(bench),
        _not_measured(bench),
        shell.section("How it was measured", shell.facts(fact_pairs(bench)), _hosts(bench)),
    ]
    return shell.document(f"{title}: {bench.label}", body, {FILE: to_json(bench)})


def verdict_lines(bench: Bench) -> List[str]:
    """What stands out, in sentences; the range of all pairs where nothing does."""
    if bench.findings:
        return shell.sentences([finding.what for finding in bench.findings])
    ranges = [text for text in (_range(bench, shown) for shown in SHOWN.values()) if text]
    if not ranges:
        return ["Nothing was measured between hosts."]
    between = f"Between all {len(bench.pairs)} pairs, {' and '.join(ranges)}."
    if len(bench.pairs) == 1:
        return ["Two hosts are one pair: there is nothing to compare it with.", f"Measured: {' and '.join(ranges)}."]
    return ["No host and no pair stands out.", between]


def _range(bench: Bench, shown: Shown) -> str:
    size = telling_size(bench.pairs, shown.measure)
    values = list(at_size(bench.pairs, shown.measure, size).values())
    if size is None:
        return ""
    low, high = shown.axis.text(min(values)), shown.axis.text(max(values))
    return f"{shown.measure.name} is {low if low == high else f'{low} to {high}'} ({size_text(size)})"


def _tiles(bench: Bench) -> List[Tuple[str, str, str]]:
    found = []
    for shown in SHOWN.values():
        size = telling_size(bench.pairs, shown.measure)
        pairs = ordered(bench.pairs, shown.measure)
        if size is None:
            continue
        values = at_size(pairs, shown.measure, size)
        usual = [pair for pair in usual_pairs(bench) if key(pair) in values] or pairs
        remark = name_of(pairs[0])
        if len(pairs) > 1:
            worst = f"worst {shown.axis.text(values[key(pairs[-1])])}, {name_of(pairs[-1])}"
            remark = f"{median_name(len(usual), len(pairs))}; {worst}"
        middle = median(at_size(usual, shown.measure, size).values())
        found.append((f"{shown.axis.label}, {size_text(size)}", shown.axis.text(middle), remark))
    for engine in bench.allreduce:
        if engine.points:
            last = max(engine.points, key=lambda point: point.bytes)
            what = f"all-reduce with {engine.engine}, {size_text(last.bytes)}"
            found.append((what, gigabyte_text(last.bus_bandwidth_gb_s), f"bus bandwidth; {time_text(last.time_us.median)}"))
    return found


def _curves(bench: Bench) -> Optional[Markup]:
    plots = [plot for plot in (pair_plot(bench, shown) for shown in SHOWN.values()) if plot is not None]
    if not plots:
        return None
    words = "Latency is half of a round trip. Each point of a pair is the median of its samples."
    return shell.section("Between two hosts", element("p", words), shell.figures([shell.plot_figure(plot) for plot in plots]))


def _maps(bench: Bench) -> Optional[Markup]:
    maps = [found for found in (pair_map(bench, shown) for shown in SHOWN.values()) if found is not None]
    if not maps:
        return None
    broad = any(found.wide for found in maps)
    return shell.section("Every pair of hosts", shell.figures([shell.heat_figure(found) for found in maps], broad=broad))


def _allreduce(bench: Bench) -> Optional[Markup]:
    plots = allreduce_plots(bench)
    if not plots:
        return None
    words = f"All {bench.world_size} ranks together. Bus bandwidth is bytes by time, times 2(n-1)/n: what each link carried."
    engines = [(engine.engine, f"{engine.detail}{f', {engine.version}' if engine.version else ''}") for engine in bench.allreduce]
    rows = []
    for engine in bench.allreduce:
        for point in sorted(engine.points, key=lambda point: point.bytes):
            times = [point.time_us.median, point.time_us.min, point.time_us.p95]
            cells: List[shell.Cell] = [(engine.engine, None), (size_text(point.bytes), point.bytes)]
            cells += [(time_text(value), value) for value in times]
            cells += [(gigabyte_text(value), value) for value in (point.algorithm_bandwidth_gb_s, point.bus_bandwidth_gb_s)]
            rows.append((False, [*cells, (str(point.time_us.samples), point.time_us.samples)]))
    heads = ("Engine", "Size", "Median", "Least", "95 %", "Bytes by time", "Bus bandwidth", "Samples")
    table = shell.table(heads, rows, caption="All-reduce by engine and message size")
    shown = shell.figures([shell.plot_figure(plot) for plot in plots])
    folded = shell.folded(f"Table of {plural(len(rows), 'point')}", table, opened=False)
    return shell.section("All-reduce", element("p", words), shell.facts(engines), shown, folded)


def _pairs(bench: Bench) -> Optional[Markup]:
    latency, bandwidth = telling_size(bench.pairs, LATENCY), telling_size(bench.pairs, BANDWIDTH)
    if latency is None and bandwidth is None:
        return None
    heads, rows = ["Pair"], []
    usual = usual_pairs(bench)
    middle = {shown.measure.name: {at.bytes: at.middle for at in spreads(usual, shown.measure)} for shown in SHOWN.values()}
    if latency is not None:
        heads += [f"Latency, {size_text(latency)}", "Least", "95 %", "Of the median"]
    if bandwidth is not None:
        heads += [f"Bandwidth, {size_text(bandwidth)}", "Most", "Of the median"]
    first, second = (LATENCY, BANDWIDTH) if latency is not None else (BANDWIDTH, LATENCY)
    known = list(reversed(ordered(bench.pairs, first)))
    seen = {key(pair) for pair in known}
    for pair in [*known, *(pair for pair in bench.pairs if key(pair) not in seen and values_of(pair, second))]:
        cells: List[shell.Cell] = [(name_of(pair), None)]
        if latency is not None:
            point = points_of(pair, LATENCY).get(latency)
            times = point.latency_us if point else None
            cells += [_cell(value, time_text) for value in ((times.median, times.min, times.p95) if times else (None,) * 3)]
            cells.append(_ratio(times.median if times else None, middle["latency"].get(latency, 0.0)))
        if bandwidth is not None:
            point = points_of(pair, BANDWIDTH).get(bandwidth)
            rates = point.bandwidth_mb_s if point else None
            cells += [_cell(value, rate_text) for value in ((rates.median, rates.max) if rates else (None,) * 2)]
            cells.append(_ratio(rates.median if rates else None, middle["bandwidth"].get(bandwidth, 0.0)))
        rows.append((is_slow(bench, key(pair)), cells))
    table = shell.table(heads, rows, caption="All pairs, the slowest first")
    return shell.section("Pairs", shell.folded(f"Table of {plural(len(rows), 'pair')}", table, opened=len(rows) <= OPEN_ROWS))


def _cell(value: Optional[float], text: Callable[[float], str]) -> shell.Cell:
    return (DASH, None) if value is None else (text(value), value)


def _ratio(value: Optional[float], middle: float) -> shell.Cell:
    return (DASH, None) if value is None or middle <= 0 else (ratio_text(value / middle), value / middle)


def _not_measured(bench: Bench) -> Optional[Markup]:
    if not bench.not_measured:
        return None
    items = [f"{one.engine}: {one.why}" for one in bench.not_measured]
    return shell.section("What was not measured", shell.listed(items))


def _hosts(bench: Bench) -> Markup:
    rows: List[Tuple[bool, Sequence[shell.Cell]]] = []
    for host in bench.hosts:
        memory = None if host.memory_bytes is None else (size_text(host.memory_bytes), float(host.memory_bytes))
        counts = [(DASH, None) if value is None else (str(value), float(value)) for value in (host.cpus, host.gpus)]
        words = [(value or DASH, None) for value in (host.address, host.interface, host.kernel)]
        rows.append((False, [(host.name, None), *words, *counts, memory or (DASH, None)]))
    heads = ("Host", "Address", "Interface", "Kernel", "CPUs", "GPUs", "Memory")
    table = shell.table(heads, rows, caption="Hosts", words=(0, 1, 2, 3))
    return shell.folded(f"Table of {plural(len(rows), 'host')}", table, opened=len(rows) <= OPEN_ROWS // 2)


def fact_pairs(bench: Bench) -> List[Tuple[str, Child]]:
    """The circumstances of a run, as names and values."""
    mpi = bench.mpi
    return [
        ("Job", bench.job_name),
        ("Measured", f"{moment(bench.made)}, in {bench.seconds:.0f} s, with hvdsm {bench.hvdsm}"),
        ("Hosts", f"{len(bench.hosts)} of {bench.instance_type}, back end {bench.backend}" + _in(bench.region)),
        ("Placement", json.dumps(bench.placement) if bench.placement else None),
        ("Ranks", f"{bench.world_size}, {bench.processes_per_host} on each host"),
        ("MPI", mpi_text(bench)),
        ("Transport", (mpi.transport or "not known") if mpi else None),
        ("Network", shaping_text(bench)),
    ]


def _in(region: Optional[str]) -> str:
    return f", {region}" if region else ""
