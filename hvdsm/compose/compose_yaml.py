"""YAML of what JSON can express, as text that every reader takes for the same: all texts stand in double quotes.

Source: YAML 1.2, sections 5.7 (escapes) and 7.3.1 (double quotes).  A plain ``no``, ``12:30`` or ``1e3`` would be something
else to some readers; a quoted one is not.
"""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Sequence

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
# Names that stand without quotes: letters first, and none of the words that mean something.
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))


class Unwritable(ValueError):
    """A text that YAML, or a program's arguments, cannot hold."""


def quoted(text: str) -> str:
    """A text in double quotes.

    Raises:
        Unwritable: it has a zero byte, or bytes that are no UTF-8.
    """
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if code == 0 or 0xD800 <= code <= 0xDFFF:
        raise Unwritable("has a zero byte" if code == 0 else "has bytes that are no UTF-8")
    if 0x20 <= code < 0x7F or (code >= 0xA0 and character.isprintable()):
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def yaml_text(value: Mapping[str, Any]) -> str:
    """A mapping as YAML; inside are mappings, lists, texts, numbers, True, False and None.

    Raises:
        Unwritable: a text in it cannot be written.
    """
    return "".join(f"{line}\n" for line in _mapping(value))


def _mapping(value: Mapping[str, Any]) -> Iterator[str]:
    for name, below in value.items():
        key = name if _is_plain(name) else quoted(name)
        if isinstance(below, (Mapping, list, tuple)) and below:
            yield f"{key}:"
            yield from _indented(_lines(below))
        else:
            scalar = _scalar(below)
            yield f"{key}: {scalar}" if scalar else f"{key}:"


def _lines(value: Any) -> Iterator[str]:
    return _mapping(value) if isinstance(value, Mapping) else _sequence(value)


def _sequence(value: Sequence[Any]) -> Iterator[str]:
    for item in value:
        lines: List[str] = list(_lines(item)) if isinstance(item, (Mapping, list, tuple)) and item else [_scalar(item)]
        yield f"- {lines[0]}"
        yield from _indented(lines[1:])


def _indented(lines: Any) -> Iterator[str]:
    for line in lines:
        yield f"  {line}"


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, (list, tuple)):
        return "[]"
    return quoted(value)


def _is_plain(name: str) -> bool:
    parts = name.replace("-", "_")
    return name[:1].isalpha() and parts.isidentifier() and parts.isascii() and name.lower() not in _WORDS
