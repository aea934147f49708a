"""A matrix of hosts whose cells are coloured by a value of the pair.  Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Callable, List, Mapping, Sequence, Set, Tuple

from hvdsm.bench import svg
from hvdsm.bench.axes import bounded, part_of
from hvdsm.bench.colours import diverging, sequential, text_on
from hvdsm.bench.markup import DASH, Markup
from hvdsm.bench.series import Key

NUMBERS_UP_TO = 16
"""Hosts of a matrix whose cells still have room for a number."""

_HEIGHT = 12.0
_LONGEST = 14
_LEGEND_STEPS = 24


@dataclass(frozen=True)
class Shade:
    """How a value becomes a colour.

    Attributes:
        low: the value at one end.
        high: the value at the other end; the scale between them is logarithmic.
        colour: the colour of a part between 0 and 1.
        low_end: what the low end means, in a word.
        high_end: what the high end means, in a word.
        open_ended: whether there may be values beyond both ends, which have the colours of the ends.
    """

    low: float
    high: float
    colour: Callable[[float], str]
    low_end: str
    high_end: str
    open_ended: bool = False

    def of(self, value: float) -> str:
        """The colour of a value."""
        return self.colour(min(max(part_of(bounded(value), self.low, self.high, True), 0.0), 1.0))


@dataclass(frozen=True)
class Heatmap:
    """A picture of all pairs.

    Attributes:
        identifier: unique on the page.
        title: in a few words.
        description: what is to be seen, for those who do not see it.
        hosts: names, in order.
        values: pair → value; a pair that is not there was not measured.
        cell: a value in a cell, without its unit, short.
        text: a value with its unit.
        shade: value → colour.
        marked: hosts whose row and column are outlined.
        marked_pairs: pairs whose cells are outlined.
    """

    identifier: str
    title: str
    description: str
    hosts: Tuple[str, ...]
    values: Mapping[Key, float]
    cell: Callable[[float], str]
    text: Callable[[float], str]
    shade: Shade
    marked: Tuple[str, ...] = ()
    marked_pairs: Tuple[Key, ...] = ()

    @property
    def pitch(self) -> float:
        """Width and height of a cell."""
        count = len(self.hosts)
        return next(
            (size for most, size in ((4, 58.0), (8, 50.0), (16, 40.0), (32, 20.0)) if count <= most), max(640 / count, 4.0)
        )

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the page."""
        return len(self.hosts) > 8

    def drawn(self) -> Markup:
        """The picture."""
        names = [shortened(host) for host in self.hosts]
        pitch, count = self.pitch, len(self.hosts)
        # Marked names are bold, which is wider.
        longest = max(svg.text_width(name, _HEIGHT) for name in names) * (1.12 if self.marked else 1.0)
        upright = longest > pitch - 4
        left, top = longest + 12, (longest if upright else _HEIGHT) + 12
        side = pitch * count
        width, height = left + max(side, 308.0) + 8, top + side + 54
        return svg.picture(
            self.identifier,
            self.title,
            self.description,
            (width, height),
            *self._labels(names, left, top, upright),
            *self._cells(left, top),
            *self._outlines(left, top),
            *self._legend(left, top + side + 14),
            class_="picture heat",
        )

    def _labels(self, names: Sequence[str], left: float, top: float, upright: bool) -> List[Markup]:
        parts = []
        for index in sorted(labelled(self.hosts, self.marked, self.pitch)):
            middle = (index + 0.5) * self.pitch
            kind = "host marked" if self.hosts[index] in self.marked else "host"
            parts.append(svg.label(left - 6, top + middle + 4, names[index], class_=kind, anchor="end"))
            if upright:
                parts.append(svg.label(left + middle + 4, top - 6, names[index], class_=kind, turn=-90))
            else:
                parts.append(svg.label(left + middle, top - 6, names[index], class_=kind, anchor="middle"))
        return parts

    def _cells(self, left: float, top: float) -> List[Markup]:
        pitch = self.pitch
        # Gaps between small cells would be a net over the colours; without an overlap the page shines through.
        gap = 1.0 if pitch >= 16 else -0.4
        parts = []
        for row, a in enumerate(self.hosts):
            for column, b in enumerate(self.hosts):
                x, y, size = left + column * pitch, top + row * pitch, pitch - gap
                value = self.values.get(frozenset((a, b))) if a != b else None
                if value is None:
                    said = None if a == b else f"{a} {DASH} {b}: not measured"
                    parts.append(svg.box(x, y, size, size, "self" if a == b else "missing", title=said))
                    continue
                colour = self.shade.of(value)
                parts.append(svg.box(x, y, size, size, "cell", fill=colour, title=f"{a} {DASH} {b}: {self.text(value)}"))
                if len(self.hosts) <= NUMBERS_UP_TO:
                    kind = "number light" if text_on(colour) == "#ffffff" else "number"
                    middle = (x + size / 2, y + size / 2 + 4)
                    parts.append(svg.label(*middle, self.cell(value), class_=kind, anchor="middle"))
        return parts

    def _outlines(self, left: float, top: float) -> List[Markup]:
        pitch, side = self.pitch, self.pitch * len(self.hosts)
        parts = []
        for index in (index for index, host in enumerate(self.hosts) if host in self.marked):
            parts.append(svg.box(left - 1, top + index * pitch - 1, side + 1, pitch + 1, "outline"))
            parts.append(svg.box(left + index * pitch - 1, top - 1, pitch + 1, side + 1, "outline"))
        for row, a in enumerate(self.hosts):
            for column, b in enumerate(self.hosts):
                if a != b and frozenset((a, b)) in self.marked_pairs:
                    parts.append(svg.box(left + column * pitch - 1, top + row * pitch - 1, pitch + 1, pitch + 1, "outline"))
        return parts

    def _legend(self, left: float, top: float) -> List[Markup]:
        width = 300.0
        step = width / _LEGEND_STEPS
        parts = [
            # A little wider than a step, or the page shines through between two.
            svg.box(left + index * step, top, step + 0.5, 12, "shade", fill=self.shade.colour((index + 0.5) / _LEGEND_STEPS))
            for index in range(_LEGEND_STEPS)
        ]
        less, more = (" or less", " or more") if self.shade.open_ended else ("", "")
        low, high = f"{self.text(self.shade.low)}{less}", f"{self.text(self.shade.high)}{more}"
        parts.append(svg.label(left, top + 28, f"{self.shade.low_end}: {low}"))
        parts.append(svg.label(left + width, top + 28, f"{self.shade.high_end}: {high}", anchor="end"))
        return parts


def shortened(name: str) -> str:
    """A name that fits beside a matrix; its end says most, since hosts are numbered there."""
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"


def labelled(hosts: Sequence[str], marked: Sequence[str], pitch: float) -> Set[int]:
    """Which hosts have a label: all where there is room, else every so many, and those that are marked in any case."""
    every = 1
    while every * pitch < _HEIGHT + 1:
        every += 1
    chosen: Set[int] = set()
    for index in [*(hosts.index(host) for host in marked if host in hosts), *range(0, len(hosts), every)]:
        if all(abs(index - other) >= every for other in chosen):
            chosen.add(index)
    return chosen


def speeds(values: Sequence[float], *, low_is_good: bool) -> Shade:
    """A shade from fast to slow that does not make a mountain of noise: its ends are a factor of two apart at least."""
    known = [bounded(value) for value in values] or [1.0]
    middle = median(known)
    low, high = min(*known, middle / math.sqrt(2)), max(*known, middle * math.sqrt(2))
    if low_is_good:
        return Shade(low, high, sequential, "fast", "slow")
    return Shade(low, high, lambda part: sequential(1 - part), "slow", "fast")


def changes(ratios: Sequence[float], *, low_is_good: bool) -> Shade:
    """A shade of ratios that is pale where nothing changed; its ends are 2x and 0.5x at least, 10x and 0.1x at most."""
    furthest = max([2.0, *(max(bounded(ratio), 1 / bounded(ratio)) for ratio in ratios)])
    beyond, furthest = furthest > 10, min(furthest, 10.0)
    if low_is_good:
        return Shade(1 / furthest, furthest, diverging, "better", "worse", beyond)
    return Shade(1 / furthest, furthest, lambda part: diverging(1 - part), "worse", "better", beyond)
