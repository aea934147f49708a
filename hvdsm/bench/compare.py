"""Two runs of ``hvdsm bench network`` beside each other: what got better, what got worse, and what is only noise.  Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

from hvdsm.bench.axes import size_text
from hvdsm.bench.changes import Change, Value, change, middle_of, of_allreduce, of_pair
from hvdsm.bench.comparison import Compared, Comparison
from hvdsm.bench.record import Bench, Pair
from hvdsm.bench.series import BANDWIDTH, LATENCY, Measure, is_slow, key, name_of, spreads, values_of
from hvdsm.bench.words import mpi_text, shaping_text

__all__ = ["Comparison", "compare"]


def compare(a: Bench, b: Bench) -> Comparison:
    """Compare two runs, of the same hosts or of others.

    Pairs and message sizes that both have are compared; the others are named.  Without a common pair, the median pair of
    each is.  What counts as noise is described at :func:`hvdsm.bench.changes.change`.

    Args:
        a: the run that is compared with.
        b: the run whose ratios are given.
    """
    measures = [found for found in (_compared(a, b, LATENCY), _compared(a, b, BANDWIDTH)) if found is not None]
    first = {engine.engine: engine for engine in a.allreduce}
    second = {engine.engine: engine for engine in b.allreduce}
    common = {name: of_allreduce(first[name].points, second[name].points) for name in first if name in second}
    return Comparison(
        a,
        b,
        tuple(measures),
        {name: changes for name, changes in common.items() if changes},
        tuple(_differences(a, b)),
        tuple(_not_compared(a, b)),
    )


def _compared(a: Bench, b: Bench, measure: Measure) -> Optional[Compared]:
    others = {key(pair): pair for pair in b.pairs}
    both = [(pair, others[key(pair)]) for pair in a.pairs if key(pair) in others]
    found = [(pair, of_pair(pair, other, measure)) for pair, other in both]
    found = [(pair, changes) for pair, changes in found if changes]
    if not found:
        by_size = _of_medians(a.pairs, b.pairs, measure)
        return Compared(measure, by_size, 0, _telling(list(by_size), measure), {}) if by_size else None
    usual = [(pair, changes) for pair, changes in found if not is_slow(a, key(pair)) and not is_slow(b, key(pair))] or found
    by_size = _middles([changes for _, changes in usual], measure)
    # The slow pairs may not have come to the largest size: one that all have says more about them.
    having = {size: sum(size in changes for _, changes in found) for size in by_size}
    size = _telling([size for size in by_size if having[size] == max(having.values())], measure)
    pairs = {(pair.a, pair.b): changes[size] for pair, changes in found if size in changes}
    return Compared(measure, by_size, len(usual), size, pairs)


def _middles(changes: Sequence[Mapping[int, Change]], measure: Measure) -> Dict[int, Change]:
    sizes = sorted({size for one in changes for size in one})
    return {size: middle_of([one[size] for one in changes if size in one], low_is_good=measure.low_is_good) for size in sizes}


def _of_medians(a: Sequence[Pair], b: Sequence[Pair], measure: Measure) -> Dict[int, Change]:
    first, second = ({at.bytes: Value(at.middle, at.low, at.high) for at in spreads(pairs, measure)} for pairs in (a, b))
    return {size: change(first[size], second[size], low_is_good=measure.low_is_good) for size in first if size in second}


def _telling(sizes: Sequence[int], measure: Measure) -> int:
    return min(sizes) if measure.low_is_good else max(sizes)


def _differences(a: Bench, b: Bench) -> List[str]:
    """Circumstances that may be the reason of a difference."""
    named = (
        ("instance type", a.instance_type, b.instance_type),
        ("region", a.region, b.region),
        ("back end", a.backend, b.backend),
        ("hosts", len(a.hosts), len(b.hosts)),
        ("processes on each host", a.processes_per_host, b.processes_per_host),
        ("MPI", mpi_text(a), mpi_text(b)),
        ("network", shaping_text(a), shaping_text(b)),
    )
    return [f"{name}: {_known(there)} in A, {_known(here)} in B" for name, there, here in named if there != here]


def _known(value: object) -> str:
    return "not known" if value is None else str(value)


def _not_compared(a: Bench, b: Bench) -> List[str]:
    """What only one of the runs has, in words."""
    lines = []
    named: List[Tuple[str, List[str], List[str]]] = [("hosts", [host.name for host in a.hosts], [host.name for host in b.hosts])]
    shared = {host.name for host in a.hosts} & {host.name for host in b.hosts}
    pairs = [[name_of(pair) for pair in _sorted_pairs(run, shared)] for run in (a, b)]
    named.append(("pairs", pairs[0], pairs[1]))
    for measure in (LATENCY, BANDWIDTH):
        sizes = [sorted({size for pair in run.pairs for size in values_of(pair, measure)}) for run in (a, b)]
        named.append((f"sizes of {measure.name}", [size_text(size) for size in sizes[0]], [size_text(size) for size in sizes[1]]))
    named.append(("engines", [one.engine for one in a.allreduce], [one.engine for one in b.allreduce]))
    for what, first, second in named:
        for side, only in (
            ("A", [one for one in first if one not in second]),
            ("B", [one for one in second if one not in first]),
        ):
            if only:
                lines.append(f"{what} only in {side}: {_few(only)}")
    return lines


def _sorted_pairs(run: Bench, shared: Set[str]) -> List[Pair]:
    """The pairs of hosts that both runs have, each in one direction whatever the run's."""
    found = [pair for pair in run.pairs if pair.a in shared and pair.b in shared]
    return [pair if pair.a <= pair.b else replace(pair, a=pair.b, b=pair.a) for pair in found]


def _few(names: Sequence[str], most: int = 12) -> str:
    """Names with commas; only the first of many."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"
