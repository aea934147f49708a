"""Colours of values that people with any kind of colour vision can put in order, and the colour of text on them.  Pure."""

from __future__ import annotations

from typing import Tuple

Rgb = Tuple[int, int, int]

# From fast to slow: lightness falls all the way, so that the order is there in grey and on paper too.
_SEQUENTIAL: Tuple[Rgb, ...] = ((250, 240, 190), (214, 214, 150), (143, 186, 157), (76, 142, 158), (42, 92, 140), (33, 34, 92))
# From better (blue) over alike (nearly white) to worse (orange): blue and orange stay apart for everybody.
_DIVERGING: Tuple[Rgb, ...] = ((18, 78, 140), (96, 160, 210), (244, 243, 238), (238, 150, 80), (150, 60, 5))
BLACK, WHITE = "#000000", "#ffffff"


def sequential(part: float) -> str:
    """The colour of a value between fast (0) and slow (1)."""
    return _hex(_between(_SEQUENTIAL, part))


def diverging(part: float) -> str:
    """The colour of a change between better (0), none (0.5) and worse (1)."""
    return _hex(_between(_DIVERGING, part))


def text_on(colour: str) -> str:
    """Black or white, whichever has more contrast on a colour: at least 4.5 to 1 on any."""
    return BLACK if contrast(colour, BLACK) >= contrast(colour, WHITE) else WHITE


def contrast(first: str, second: str) -> float:
    """The contrast of two colours, from 1 to 21, as WCAG 2 defines it."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _between(stops: Tuple[Rgb, ...], part: float) -> Rgb:
    place = min(max(part, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    rest = place - index
    red, green, blue = (round(a + (b - a) * rest) for a, b in zip(stops[index], stops[index + 1]))
    return red, green, blue


def _hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
