"""HTML and SVG as text that cannot be broken out of: what is not marked as markup is escaped.  Pure."""

from __future__ import annotations

import html
import math
import re
from typing import Iterable, Union

# Control characters, lone surrogates and changes of the direction of writing: none of them belongs in a name.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
DASH = "\u2013"
"""Between two hosts of a pair, and where there is no value."""

_VOID = frozenset(("br", "meta", "col"))


class Markup(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


Child = Union[str, Markup, None]
Value = Union[str, float, bool, None]


def escaped(text: str) -> Markup:
    """A text for use between tags or in a quoted attribute; characters that cannot be shown become U+FFFD."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNSHOWABLE.sub("\ufffd", text), quote=True))


def number(value: float) -> str:
    """A coordinate with two decimals at most.

    Raises:
        ValueError: it is not finite; a picture with such a coordinate would be silently empty.
    """
    if not math.isfinite(value):
        raise ValueError(f"a coordinate must be finite, not {value}")
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def element(name: str, /, *children: Child, **attributes: Value) -> Markup:
    """An element of HTML or SVG.

    Args:
        name: of the element.
        children: texts, escaped unless they are markup; None is left out.
        attributes: a trailing underscore of a name is dropped and others become hyphens (``class_``, ``stroke_width``);
            None and False leave an attribute out, True gives it no value, numbers are rounded.
    """
    opening = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        if value is True:
            opening.append(written)
            continue
        shown = value if isinstance(value, str) else number(value)
        opening.append(f'{written}="{escaped(shown)}"')
    start = f"<{' '.join(opening)}>"
    if name in _VOID:
        return Markup(start)
    return Markup(f"{start}{joined(children)}</{name}>")


def joined(parts: Iterable[Child], between: str = "") -> Markup:
    """Several parts one after the other; those that are no markup are escaped."""
    return Markup(between.join(escaped(part) for part in parts if part is not None))
