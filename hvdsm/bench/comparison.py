"""What two runs of ``hvdsm bench network`` have in common and where they differ, in words and as JSON.  Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

from hvdsm.bench.axes import ratio_text, size_text, time_text
from hvdsm.bench.changes import SAME, Change, count
from hvdsm.bench.markup import DASH
from hvdsm.bench.pictures import SHOWN
from hvdsm.bench.record import Bench
from hvdsm.bench.series import Measure
from hvdsm.bench.words import circumstances, plural

SCHEMA = "hvdsm.bench.comparison/1"
SHOWN_PAIRS = 10


@dataclass(frozen=True)
class Compared:
    """One measure in both runs.

    Attributes:
        measure: latency or bandwidth.
        by_size: message size → the middle of the pairs that no finding of either run names.
        pair_count: of how many pairs that is the middle; 0 when the runs share no pair, and each run's own pairs were taken.
        size: the message size that ``pairs`` is of.
        pairs: the hosts of a pair, in the order of the first run → change.
    """

    measure: Measure
    by_size: Mapping[int, Change]
    pair_count: int
    size: int
    pairs: Mapping[Tuple[str, str], Change]

    @property
    def middle(self) -> Change:
        """The change at the message size that says most."""
        return self.by_size[self.size]


@dataclass(frozen=True)
class Comparison:
    """Both runs and their differences; the ratios are the second's (B) to the first's (A)."""

    a: Bench
    b: Bench
    measures: Tuple[Compared, ...]
    allreduce: Mapping[str, Mapping[int, Change]]
    differences: Tuple[str, ...]
    not_compared: Tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The most important of it in a sentence."""
        if not self.measures:
            return "A and B have nothing in common that could be compared"
        changed = [one for one in self.measures if one.middle.verdict != SAME]
        alike = [one.measure.name for one in self.measures if one.middle.verdict == SAME]
        of_what = "median pair" if self.measures[0].pair_count else "median pair of each, the hosts are others"
        if not changed:
            return f"A and B have the same {' and the same '.join(alike)}, but for noise ({of_what})"
        ratios = [f"{ratio_text(one.middle.ratio or 0.0)} the {one.measure.name}" for one in changed]
        rest = f" and the same {alike[0]}" if alike else ""
        return f"B has {' and '.join(ratios)} of A{rest} ({of_what})"

    def slow_lines(self) -> List[str]:
        """Hosts and pairs that findings name, and in which of the runs."""
        lines = []
        first, second = _named(self.a), _named(self.b)
        for name in [*first, *(name for name in second if name not in first)]:
            where = (
                "in A and in B" if name in first and name in second else "in A, not in B" if name in first else "in B, not in A"
            )
            lines.append(f"{name} is slow {where}")
        return lines

    def lines(self) -> List[str]:
        """All of it for a terminal, the verdict first."""
        lines = [self.verdict, *self.slow_lines()]
        lines += [f"{side}: {circumstances(run)}" for side, run in (("A", self.a), ("B", self.b))]
        lines += [f"other in B: {text}" for text in self.differences]
        for compared in self.measures:
            text = SHOWN[compared.measure.name].axis.text
            pairs = f"median of {plural(compared.pair_count, 'pair')}" if compared.pair_count else "median pair of each"
            lines += [f"{compared.measure.name}, {pairs}:", *_rows(_by_size(compared.by_size), text)]
            if len(compared.pairs) > 1:
                counted = count(list(compared.pairs.values()))
                words = ", ".join(f"{number} {verdict}" for verdict, number in counted.items() if number)
                lines.append(f"{compared.measure.name} of each pair, {size_text(compared.size)}: {words}")
                lines += _rows(_furthest(compared), text)
        for engine, changes in self.allreduce.items():
            lines += [f"time of an all-reduce with {engine}:", *_rows(_by_size(changes), time_text)]
        return [*lines, *(f"not compared: {text}" for text in self.not_compared)]

    def as_json(self) -> Dict[str, Any]:
        """All of it for programs."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "a": _identity(self.a),
            "b": _identity(self.b),
            "slow": {"a": _named(self.a), "b": _named(self.b)},
            "differences": list(self.differences),
            "not_compared": list(self.not_compared),
            **{compared.measure.name: _measure_json(compared) for compared in self.measures},
            "allreduce": {engine: _sizes_json(changes) for engine, changes in self.allreduce.items()},
        }

    def page(self) -> str:
        """Both runs' curves in one picture, a matrix of ratios, and tables, as one HTML file."""
        from hvdsm.bench.compare_page import render

        return render(self)


def _named(bench: Bench) -> List[str]:
    """Hosts and pairs that findings name."""
    return list(dict.fromkeys(f" {DASH} ".join(finding.hosts) for finding in bench.findings if finding.hosts))


def _furthest(compared: Compared) -> List[Tuple[str, Change]]:
    """The pairs that changed most, in words; none where none changed."""
    changed = [(pair, one) for pair, one in compared.pairs.items() if one.verdict != SAME and one.ratio]
    changed.sort(key=lambda item: -abs(math.log(item[1].ratio or 1.0)))
    return [(f" {DASH} ".join(pair), one) for pair, one in changed[:SHOWN_PAIRS]]


def _by_size(changes: Mapping[int, Change]) -> List[Tuple[str, Change]]:
    return [(size_text(size), one) for size, one in changes.items()]


def _rows(rows: Sequence[Tuple[str, Change]], text: Callable[[float], str]) -> List[str]:
    """Aligned lines: what, A, B, ratio, verdict."""
    cells = [(name, text(one.a), "->", text(one.b), _ratio(one), one.verdict) for name, one in rows]
    widths = [max((len(row[column]) for row in cells), default=0) for column in range(6)]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def _ratio(one: Change) -> str:
    return DASH if one.ratio is None else ratio_text(one.ratio)


def _identity(bench: Bench) -> Dict[str, Any]:
    names = [host.name for host in bench.hosts]
    return {"label": bench.label, "job_name": bench.job_name, "made": bench.made, "hosts": names}


def _measure_json(compared: Compared) -> Dict[str, Any]:
    pairs = [{"pair": list(pair), **one.as_json()} for pair, one in compared.pairs.items()]
    by_size = _sizes_json(compared.by_size)
    return {"bytes": compared.size, "median_of_pairs": compared.pair_count, "by_size": by_size, "pairs": pairs}


def _sizes_json(changes: Mapping[int, Change]) -> List[Dict[str, Any]]:
    return [{"bytes": size, **one.as_json()} for size, one in changes.items()]
