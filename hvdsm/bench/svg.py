"""The parts that pictures are made of: a frame with a title and a description, texts, lines, marks.  Pure.

Colours are classes, so that the page's style decides them for light, dark and paper.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from hvdsm.bench.markup import Child, Markup, element, joined, number

# Widths in heights of the font, of a wide sans serif: estimates, since no browser is at hand here.
_USUAL, _CAPITAL, _BROAD, _FOREIGN = 0.62, 0.76, 1.0, 1.1

Place = Tuple[float, float]


def picture(identifier: str, title: str, description: str, size: Place, *children: Child, class_: str = "picture") -> Markup:
    """A picture that tells what it shows to those who do not see it.

    Args:
        identifier: unique on the page.
        title: its name in a few words.
        description: what there is to be seen.
        size: width and height of its own coordinates; the page scales it down where there is less room.
        children: its parts.
        class_: its class.
    """
    width, height = size
    return element(
        "svg",
        element("title", title, id=f"{identifier}-title"),
        element("desc", description, id=f"{identifier}-desc"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"{identifier}-title",
        aria_describedby=f"{identifier}-desc",
        class_=class_,
        id=identifier,
    )


def label(x: float, y: float, words: str, *, class_: str = "tick", anchor: str = "start", turn: float = 0.0) -> Markup:
    """A text; ``anchor`` is start, middle or end, ``turn`` is in degrees."""
    turned = f"rotate({number(turn)} {number(x)} {number(y)})" if turn else None
    return element("text", words, x=x, y=y, class_=class_, text_anchor=None if anchor == "start" else anchor, transform=turned)


def line(start: Place, end: Place, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def path(places: Sequence[Place], class_: str, *, closed: bool = False, title: Optional[str] = None) -> Markup:
    """A line through places, or an area when closed."""
    steps = " ".join(f"{'L' if index else 'M'}{number(x)} {number(y)}" for index, (x, y) in enumerate(places))
    return element("path", _title(title), d=steps + (" Z" if closed else ""), class_=class_)


def dot(x: float, y: float, class_: str, title: str) -> Markup:
    """A measured point, with what it is when pointed at."""
    return element("circle", element("title", title), cx=x, cy=y, r=3.2, class_=class_)


def box(x: float, y: float, width: float, height: float, class_: str, **more: Optional[str]) -> Markup:
    """A rectangle; ``title`` is what it says when pointed at, ``fill`` its colour where that is a value's."""
    title = more.pop("title", None)
    return element("rect", _title(title), x=x, y=y, width=width, height=height, class_=class_, **more)


def group(*children: Child, class_: str) -> Markup:
    """Parts that belong together."""
    return element("g", joined(children), class_=class_)


def text_width(words: str, height: float) -> float:
    """About how wide a text of a font of that height is; rather more than less."""
    return height * sum(_width(character) for character in words)


def _width(character: str) -> float:
    if character > "\u024f":
        return _FOREIGN
    if character in "WMmw@%":
        return _BROAD
    return _CAPITAL if character.isupper() else _USUAL


def _title(words: Optional[str]) -> Optional[Markup]:
    return None if words is None else element("title", words)
