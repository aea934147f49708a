r"""The patterns of the service model, as Python regular expressions that accept the same strings.

The service is written in Java, and matches the whole string.  What differs from Python: ``.`` matches no line terminator of
any kind, ``\d``, ``\w`` and ``\s`` know ASCII only, ``\p{Alnum}`` and its like are ASCII classes, and ``\p{L}`` and its like,
which ``re`` lacks, are Unicode's categories; for those the ``regex`` package is used (source: java.util.regex.Pattern).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Callable, Optional, Tuple

# Classes of \p{…} that are ASCII in Java.
_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7F",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1F\x7F",
    "XDigit": "0-9a-fA-F",
    "Space": r" \t\n\x0B\f\r",
}
_SHORT = {"d": _POSIX["Digit"], "w": "a-zA-Z_0-9", "s": _POSIX["Space"]}
_NOT_LINE_END = r"[^\n\r\u0085\u2028\u2029]"
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_TOKEN = re.compile(r"\\[pP]\{(?P<name>\w+)\}|\\(?P<short>[dws])|(?P<escaped>\\.)|(?P<other>.)", re.DOTALL)


def translate(pattern: str) -> Tuple[str, bool]:
    r"""A pattern in Python's syntax, and whether it needs the ``regex`` package.

    >>> translate(r"\p{Alnum}.\d{2}"), translate(r"[\p{L}_]+")
    (('[a-zA-Z0-9][^\\n\\r\\u0085\\u2028\\u2029][0-9]{2}', False), ('[\\p{L}_]+', True))
    """
    text, inside, unicode = "", False, False
    for token in _TOKEN.finditer(_PAIR.sub(_character, pattern)):
        name, short = token["name"], token["short"]
        negated = token[0].startswith("\\P")
        if short or (name in _POSIX and not negated):
            members = _SHORT[short] if short else _POSIX[name]
            text += members if inside else f"[{members}]"
        elif name in _POSIX and not inside:
            text += f"[^{_POSIX[name]}]"
        elif name:
            unicode = True
            text += token[0]
        elif token["escaped"]:
            text += token[0]
        else:
            character = token["other"]
            if character == "." and not inside:
                text += _NOT_LINE_END
            elif character == "[" and inside:
                text += r"\["
            else:
                text += character
            # A bracket right after the opening one, or after its ^, closes it here as in Java: no pattern of AWS has one.
            inside = character == "[" or (inside and character != "]")
    return text, unicode


def _character(pair: re.Match[str]) -> str:
    """A character that Java writes as its two halves in UTF-16."""
    return f"\\U{0x10000 + ((int(pair[1], 16) - 0xD800) << 10) + int(pair[2], 16) - 0xDC00:08X}"


@lru_cache(maxsize=None)
def compiled(pattern: str) -> Callable[[str], Any]:
    """A function that answers whether a whole string matches a pattern of the service model.

    Raises:
        ValueError: neither ``re`` nor ``regex`` can compile it.
    """
    text, unicode = translate(pattern)
    if not unicode:
        try:
            return re.compile(text, re.ASCII).fullmatch
        except re.error:
            pass  # such as a possessive quantifier before Python 3.11
    import regex  # type: ignore[import-untyped,unused-ignore]

    try:
        match: Callable[[str], Any] = regex.compile(text).fullmatch
        return match
    except regex.error as error:
        raise ValueError(f"the pattern {pattern!r} cannot be compiled: {error}") from None


def matches(pattern: str, text: str) -> Optional[bool]:
    """Whether a whole string matches a pattern of the service model; None when that pattern cannot be compiled."""
    try:
        return bool(compiled(pattern)(text))
    except ValueError:
        return None
