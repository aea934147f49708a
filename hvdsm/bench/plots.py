"""Curves by message size: axes, bands and lines.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

from hvdsm.bench import svg
from hvdsm.bench.axes import Axis, Scale, bounded
from hvdsm.bench.markup import Markup, element

WIDTH, HEIGHT = 600.0, 350.0
LEFT, RIGHT, TOP, BOTTOM = 74.0, 20.0, 34.0, 46.0
TICK_HEIGHT = 13.0


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: what it is, for the legend and for tooltips.
        style: the class that gives it colour and dashes.
        points: message size and value.
        dots: whether its points are marked; thin lines of many pairs are not.
        legend: the legend's entry, shared by lines that belong together; the name where there is none.
    """

    name: str
    style: str
    points: Tuple[Tuple[float, float], ...]
    dots: bool = True
    legend: str = ""


@dataclass(frozen=True)
class Band:
    """An area between two curves: message size, least and greatest value."""

    name: str
    style: str
    points: Tuple[Tuple[float, float, float], ...]


@dataclass(frozen=True)
class Level:
    """A value that was set or is expected, drawn across the plot."""

    name: str
    value: float


@dataclass(frozen=True)
class Plot:
    """A picture with curves.

    Attributes:
        identifier: unique on the page.
        title: in a few words.
        description: what is to be seen, for those who do not see it.
        x: the axis of message sizes.
        y: the axis of values.
        lines: drawn in this order, the last on top.
        bands: drawn below all lines.
        levels: values across the plot.
        top_first: whether the legend begins with the line on top.
    """

    identifier: str
    title: str
    description: str
    x: Axis
    y: Axis
    lines: Tuple[Line, ...]
    bands: Tuple[Band, ...] = ()
    levels: Tuple[Level, ...] = ()
    top_first: bool = True

    def drawn(self) -> Markup:
        """The picture."""
        sizes = [x for line in self.lines for x, _ in line.points] + [x for band in self.bands for x, _, _ in band.points]
        values = [y for line in self.lines for _, y in line.points]
        values += [value for band in self.bands for _, low, high in band.points for value in (low, high)]
        values += [level.value for level in self.levels]
        x = self.x.scale(sizes, LEFT, WIDTH - RIGHT)
        y = self.y.scale(values, HEIGHT - BOTTOM, TOP)
        parts: List[Markup] = [*self._grid(x, y)]
        parts += [_band(band, x, y) for band in self.bands if len(band.points) > 1]
        parts += [_level(level, y, self.y) for level in self.levels]
        parts += [self._line(line, x, y) for line in self.lines]
        return svg.picture(self.identifier, self.title, self.description, (WIDTH, HEIGHT), *parts)

    def _grid(self, x: Scale, y: Scale) -> List[Markup]:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = [svg.label(4, 18, self.y.label, class_="axis")]
        parts.append(svg.label((LEFT + right) / 2, HEIGHT - 6, self.x.label, class_="axis", anchor="middle"))
        for tick in self.y.ticks(y):
            at = y.at(tick)
            parts.append(svg.line((LEFT, at), (right, at), "grid"))
            parts.append(svg.label(LEFT - 8, at + 4.5, self.y.text(tick), anchor="end"))
        for tick in self.x.ticks(x):
            at = x.at(tick)
            parts.append(svg.line((at, bottom), (at, bottom + 5), "base"))
            words = self.x.text(tick)
            # A label at the very end of the axis would be cut by the picture's edge.
            furthest = WIDTH - svg.text_width(words, TICK_HEIGHT) / 2 - 2
            parts.append(svg.label(min(at, furthest), bottom + 20, words, anchor="middle"))
        parts.append(svg.line((LEFT, bottom), (right, bottom), "base"))
        return parts

    def _line(self, line: Line, x: Scale, y: Scale) -> Markup:
        places = [(x.at(bounded(size)), y.at(value)) for size, value in line.points]
        parts = [svg.path(places, "stroke", title=None if line.dots else line.name)] if len(places) > 1 else []
        if line.dots or len(places) == 1:
            for (across, up), (size, value) in zip(places, line.points):
                said = f"{line.name}, {self.x.text(size)}: {self.y.text(value)}"
                parts.append(svg.dot(across, up, "dot", said))
        return svg.group(*parts, class_=f"line {line.style}")

    def legend(self) -> Markup:
        """What the colours mean: a list for below the picture; alike entries once."""
        entries = [(band.name, f"band {band.style}") for band in self.bands if len(band.points) > 1]
        entries += [
            (line.legend or line.name, f"line {line.style}") for line in (reversed(self.lines) if self.top_first else self.lines)
        ]
        entries += [(level.name, "line level") for level in self.levels]
        return element("ul", *(element("li", swatch(style), name) for name, style in dict(entries).items()), class_="legend")


def swatch(style: str) -> Markup:
    """A small sample of a line or band."""
    if style.startswith("band"):
        sample = svg.box(0, 1, 30, 10, style)
    else:
        sample = svg.group(svg.path([(0, 6), (30, 6)], "stroke"), class_=style)
    return element("svg", sample, width=30.0, height=12.0, viewBox="0 0 30 12", aria_hidden="true", class_="swatch")


def _band(band: Band, x: Scale, y: Scale) -> Markup:
    upper = [(x.at(bounded(size)), y.at(high)) for size, _, high in band.points]
    lower = [(x.at(bounded(size)), y.at(low)) for size, low, _ in reversed(band.points)]
    return svg.path([*upper, *lower], f"band {band.style}", closed=True, title=band.name)


def _level(level: Level, y: Scale, axis: Axis) -> Markup:
    at = y.at(level.value)
    said = f"{level.name}: {axis.text(level.value)}"
    return svg.group(svg.path([(LEFT, at), (WIDTH - RIGHT, at)], "stroke", title=said), class_="line level")


def points_text(points: Sequence[Tuple[float, float]], x: Axis, y: Axis) -> str:
    """The first and the last point of a curve in words, for descriptions."""
    if not points:
        return "nothing was measured"
    first, last = points[0], points[-1]
    start = f"{y.text(first[1])} at {x.text(first[0])}"
    return start if len(points) == 1 else f"{start}, {y.text(last[1])} at {x.text(last[0])}"
