"""The frame of a page of ``hvdsm bench``: one file that loads nothing and runs no script but its own.  Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from hvdsm.bench.heatmap import Heatmap
from hvdsm.bench.markup import DASH, Child, Markup, element, joined
from hvdsm.bench.plots import Plot
from hvdsm.bench.style import SCRIPT, STYLE


def document(title: str, body: Sequence[Child], data: Mapping[str, Mapping[str, Any]]) -> str:
    """A whole page.

    Args:
        title: of the window.
        body: the page's parts.
        data: file name → JSON that the page was made from, embedded as it is.
    """
    blocks = [json_block(name, value) for name, value in data.items()]
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(STYLE)),
    ]
    parts = [element("main", *body), _files(list(data)), *blocks, element("script", Markup(SCRIPT))]
    whole = element("html", element("head", joined(head, "\n")), element("body", joined(parts, "\n")), lang="en")
    return f"<!doctype html>\n{whole}\n"


def policy() -> str:
    """The content security policy: the page's own style and script, known by their hashes, and nothing else."""
    return f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def json_block(name: str, value: Mapping[str, Any]) -> Markup:
    """JSON in a page, as data that no browser runs; characters that could end the block are written as escapes of JSON."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return element("script", Markup(text), type="application/json", id=_identifier(name))


def _identifier(name: str) -> str:
    return "data-" + "".join(character if character.isalnum() else "-" for character in name)


def _files(names: Sequence[str]) -> Markup:
    buttons = [
        element("button", f"Save {name}", type="button", class_="file", hidden=True, data_from=_identifier(name), data_name=name)
        for name in names
    ]
    words = f"All numbers of this page are in it as JSON: {', '.join(names)}."
    return element("footer", element("h2", "Data"), element("p", words), element("p", joined(buttons, " ")))


def section(title: str, *children: Child) -> Markup:
    """A part of the page with a heading."""
    return element("section", element("h2", title), *children)


def figures(pictures: Sequence[Markup], *, broad: bool = False) -> Markup:
    """Pictures side by side where there is room; broad ones need more of it."""
    return element("div", *pictures, class_="figures broad" if broad else "figures")


def plot_figure(plot: Plot, caption: str = "") -> Markup:
    """A plot with its heading, legend and a line for values that are pointed at."""
    return element(
        "figure",
        element("h3", plot.title),
        plot.drawn(),
        plot.legend(),
        _caption(caption),
    )


def _caption(words: str) -> Markup:
    return element("figcaption", words, element("div", class_="readout", aria_hidden="true"))


def heat_figure(heatmap: Heatmap, caption: str = "") -> Markup:
    """A matrix with its heading; where it is wider than the window, it scrolls by itself."""
    scrolled = element("div", heatmap.drawn(), class_="scroll", tabindex="0", role="group", aria_label=heatmap.title)
    return element(
        "figure",
        element("h3", heatmap.title),
        scrolled,
        _caption(caption),
        class_="wide" if heatmap.wide else None,
    )


def facts(pairs: Sequence[Tuple[str, Child]]) -> Markup:
    """Names and values; those without a value are left out."""
    shown = [(name, value) for name, value in pairs if value]
    return element("dl", *(joined([element("dt", name), element("dd", value)]) for name, value in shown), class_="facts")


def tiles(values: Sequence[Tuple[str, str, str]]) -> Markup:
    """Important numbers: what, value, remark."""
    items = [
        element("li", element("span", what, class_="soft"), element("strong", value), element("span", remark, class_="soft"))
        for what, value, remark in values
    ]
    return element("ul", *items, class_="tiles")


def verdict(lines: Sequence[str], *, slow: bool) -> Markup:
    """What is to be known before all else."""
    kind = "verdict slow" if slow else "verdict"
    return element("section", *(element("p", line) for line in lines), class_=kind, aria_label="Verdict")


Cell = Tuple[str, Optional[float]]
"""What a cell says and the number that it is sorted by; None sorts by the words, or last where those are a dash."""


def table(
    heads: Sequence[str], rows: Sequence[Tuple[bool, Sequence[Cell]]], *, caption: str, words: Sequence[int] = (0,)
) -> Markup:
    """A table that can be sorted by each of its columns.

    Args:
        heads: titles of the columns.
        rows: whether the row is marked, and its cells.
        caption: what the table is.
        words: columns that are text, aligned to the left.
    """
    kinds = ["words" if column in words else None for column in range(len(heads))]
    head = element("tr", *(element("th", name, scope="col", class_=kind) for name, kind in zip(heads, kinds)))
    body = [
        element(
            "tr",
            *(element("td", text, class_=kind, data_value=_sorted_by(text, value)) for (text, value), kind in zip(cells, kinds)),
            class_="slow" if marked else None,
        )
        for marked, cells in rows
    ]
    whole = element(
        "table", element("caption", caption, class_="soft"), element("thead", head), element("tbody", *body), class_="sorted"
    )
    return element("div", whole, class_="scroll", tabindex="0", role="group", aria_label=caption)


def folded(title: str, content: Markup, *, opened: bool) -> Markup:
    """What is shown when its title is clicked, or from the beginning."""
    return element("details", element("summary", title), content, open=opened)


def listed(items: Sequence[Child]) -> Markup:
    """A list of remarks."""
    return element("ul", *(element("li", item) for item in items))


def _sorted_by(text: str, value: Optional[float]) -> Optional[str]:
    if value is not None:
        return repr(float(value))
    return None if text == DASH else text


def sentences(parts: Sequence[str]) -> List[str]:
    """Texts that end as sentences do."""
    return [part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part]
