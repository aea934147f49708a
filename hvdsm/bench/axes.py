"""Scales, ticks, and numbers with fitting units for the pictures of ``hvdsm bench``.  Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Iterable, List, Sequence, Tuple

# What no network is beyond; keeps a strange document from overflowing the arithmetic.
SMALLEST, LARGEST = 1e-12, 1e18
TIME_UNITS = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"))
RATE_UNITS = ((1e3, "GB/s"), (1.0, "MB/s"), (1e-3, "kB/s"))
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` to ``high`` to coordinates from ``start`` to ``end``; values outside are put at the nearer end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The coordinate of a value."""
        bounded = min(max(value, self.low), self.high)
        return self.start + (self.end - self.start) * part_of(bounded, self.low, self.high, self.log)

    def holds(self, value: float) -> bool:
        """Whether a value is within the scale."""
        return self.low <= value <= self.high


def part_of(value: float, low: float, high: float, log: bool) -> float:
    """Where a value is between low (0) and high (1)."""
    if high <= low:
        return 0.5
    if log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def bounded(value: float) -> float:
    """A value that logarithms and products can be made of."""
    return min(max(value, SMALLEST), LARGEST)


def log_scale(values: Iterable[float], start: float, end: float, margin: float = 1.15) -> Scale:
    """A logarithmic scale with room for all values; ``margin`` is the factor of free room at both ends."""
    found = [bounded(value) for value in values] or [1.0]
    low, high = min(found), max(found)
    # A single value, or values that are nearly one: room for a factor of two, so that noise does not look like a mountain.
    if high < low * 2:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(2), middle * math.sqrt(2)
    return Scale(low / margin, high * margin, start, end, log=True)


def linear_scale(values: Iterable[float], start: float, end: float) -> Scale:
    """A scale from 0 to a little above the largest value."""
    high = bounded(max(values, default=1.0))
    return Scale(0.0, high * 1.06, start, end)


def linear_ticks(scale: Scale, count: int = 7) -> List[float]:
    """At most ``count`` + 1 round values, multiples of 1, 2 or 5 times a power of ten."""
    raw = (scale.high - scale.low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= raw * 0.999999), power * 10)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(scale: Scale, count: int = 7) -> List[float]:
    """At most about ``count`` round values: 1, 2 and 5 of each decade, or whole decades where there are many."""
    low, high = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    for factors in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in range(low, high + 1) for factor in factors]
        inside = [tick for tick in ticks if scale.holds(tick)]
        if len(inside) <= count:
            return inside
    every = math.ceil((high - low + 1) / count)
    return [10.0**power for power in range(low, high + 1) if power % every == 0 and scale.holds(10.0**power)]


def byte_ticks(scale: Scale, count: int = 7) -> List[float]:
    """At most ``count`` powers of two; with steps of 2, 5 or 10 powers, so that KiB and MiB are among them."""
    low, high = math.ceil(math.log2(scale.low) - 1e-9), math.floor(math.log2(scale.high) + 1e-9)
    inside: List[float] = []
    for step in (1, 2, 5, 10, 20):
        inside = [2.0**power for power in range(low, high + 1) if power % step == 0]
        if len(inside) <= count:
            break
    return inside


def digits(value: float, significant: int = 3) -> str:
    """A number with so many significant digits, never in powers of ten; whole from 10^digits up."""
    if value == 0:
        return "0"
    places = max(significant - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{round(value, places):.{min(places, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def size_text(count: float) -> str:
    """Bytes: ``8 B``, ``64 KiB``, ``4 MiB``; sizes that are no whole number of them have three digits."""
    power = 0
    while power + 1 < len(_BINARY) and count >= 1024 ** (power + 1):
        power += 1
    scaled = count / 1024**power
    return f"{scaled:.0f} {_BINARY[power]}" if scaled == int(scaled) else f"{digits(scaled)} {_BINARY[power]}"


def time_text(microseconds: float) -> str:
    """A time: ``31.2 µs``, ``5.03 ms``, ``1.2 s``."""
    return _with_unit(microseconds, TIME_UNITS)


def rate_text(megabytes: float) -> str:
    """A bandwidth from 10^6 bytes a second: ``118 MB/s``, ``1.25 GB/s``."""
    return _with_unit(megabytes, RATE_UNITS)


def gigabyte_text(gigabytes: float) -> str:
    """A bandwidth from 10^9 bytes a second."""
    return rate_text(gigabytes * 1e3)


def ratio_text(ratio: float) -> str:
    """A ratio: ``0.21x``, ``4.8x``, ``12x``."""
    return f"{digits(ratio, 2)}x"


def _with_unit(value: float, units: Sequence[Tuple[float, str]]) -> str:
    if value == 0:
        return "0"
    # Rounded first: 999.7 µs are 1 ms, not 1000 µs.
    rounded = float(f"{value:.3g}")
    divisor, unit = next(((divisor, unit) for divisor, unit in units if rounded >= divisor), units[-1])
    return f"{digits(value / divisor)} {unit}"


def common_unit(values: Sequence[float], units: Sequence[Tuple[float, str]]) -> Tuple[float, str]:
    """The unit for cells that share one: the largest that leaves the least value at 1 or more, unless the greatest gets too long.

    Args:
        values: in the unit whose divisor is 1.
        units: divisor and name, the largest first.
    """
    least, greatest = min(values, default=1.0), max(values, default=1.0)
    fitting = [unit for unit in units if greatest / unit[0] < 99999] or list(units[:1])
    return next((unit for unit in fitting if least >= unit[0]), fitting[-1])


@dataclass(frozen=True)
class Axis:
    """An axis of a plot.

    Attributes:
        label: what it shows, with units where the ticks have none.
        text: a value in words, for ticks and tooltips.
        log: whether its scale is logarithmic.
        binary: whether its ticks are powers of two.
    """

    label: str
    text: Callable[[float], str]
    log: bool = True
    binary: bool = False

    def scale(self, values: Sequence[float], start: float, end: float) -> Scale:
        """A scale with room for all values."""
        return log_scale(values, start, end) if self.log else linear_scale(values, start, end)

    def ticks(self, scale: Scale) -> List[float]:
        """Round values on a scale of this axis."""
        if self.binary:
            return byte_ticks(scale)
        return log_ticks(scale) if self.log else linear_ticks(scale)


SIZE = Axis("message size", size_text, binary=True)
LATENCY = Axis("latency, one way", time_text)
BANDWIDTH = Axis("bandwidth", rate_text, log=False)
BANDWIDTH_LOG = Axis("bandwidth", rate_text)
TIME = Axis("time of an all-reduce", time_text)
BUS = Axis("bus bandwidth", gigabyte_text, log=False)
