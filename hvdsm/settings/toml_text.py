"""TOML with the line of every key, and with keys like ``data.batch_size = 64`` as they are written.

The parser of the standard library gives values alone.  A document is cut into its statements, and each is parsed by that parser:
nothing here has to know the grammar of a value.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

Path = Tuple[str, ...]

_AT = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)")
_TEXTS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'")
_DOTTED_INSIDE = re.compile(r"[{,]\s*([\w-]+\s*\.[\s\w.-]*?)\s*=")


class WrongToml(ValueError):
    """A text that is no TOML, or cannot be meant.

    Args:
        what: what is wrong.
        line: line of the text, from 1.
        remedy: what to change.
    """

    def __init__(self, what: str, line: Optional[int], remedy: Optional[str] = None) -> None:
        super().__init__(what)
        self.line = line
        self.remedy = remedy


class Statement(NamedTuple):
    """``key = value``, or the header of a table.

    Attributes:
        table: the table that it stands in, or is.
        key: parts of the key; none of a header.
        value: None of a header.
        line: where it begins, from 1.
    """

    table: Path
    key: Path
    value: Any
    line: int


def parse(text: str) -> Dict[str, Any]:
    """The document.

    Raises:
        WrongToml: it is none.
    """
    try:
        found: Dict[str, Any] = _parser().loads(text)
    except ValueError as error:
        at = _AT.search(str(error))
        line = None if at is None else int(at[1]) if at[1] else len(text.splitlines())
        what = _AT.sub("", str(error))
        remedy = None
        if "overwrite" in what or "namespace" in what or "twice" in what:
            remedy = 'a key with dots that is one name stands in quotes: "data.batch_size" = 64'
        raise WrongToml(f"is no TOML: {what}", line, remedy) from None
    return found


def statements(text: str) -> List[Statement]:
    """The statements of a document that :func:`parse` has accepted.

    Raises:
        WrongToml: a key with dots inside of an inline table, which would be a table in it.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    found: List[Statement] = []
    table: Path = ()
    start = 0
    while start < len(lines):
        first = lines[start].strip()
        end = start + 1
        if first.startswith("["):
            table = _only_path(_parser().loads(lines[start]))
            found.append(Statement(table, (), None, start + 1))
        elif first and not first.startswith("#"):
            while not _complete("\n".join(lines[start:end])):
                end += 1
                if end > len(lines):
                    raise WrongToml("is no TOML", start + 1)
            chunk = "\n".join(lines[start:end])
            dotted = _DOTTED_INSIDE.search(_TEXTS.sub('""', chunk))
            if dotted:
                name = re.sub(r"\s", "", dotted[1])
                raise WrongToml(f"{name} inside of an inline table", start + 1, f'write it in quotes: "{name}" = …')
            key = _key(chunk)
            value: Any = _parser().loads(chunk)
            for part in key:
                value = value[part]
            found.append(Statement(table, key, value, start + 1))
        start = end
    return found


def _parser() -> Any:
    return import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


def _complete(chunk: str) -> bool:
    try:
        _parser().loads(chunk)
    except ValueError:
        return False
    return True


def _key(chunk: str) -> Path:
    """The parts of a statement's key: what stands before the first equals sign that is in no quotes."""
    position = chunk.index("=")
    while not _complete(chunk[:position] + "= 0"):
        position = chunk.index("=", position + 1)
    return _only_path(_parser().loads(chunk[:position] + "= 0"))


def _only_path(nested: Mapping[str, Any]) -> Path:
    path: List[str] = []
    inner: Any = nested
    while isinstance(inner, dict) and inner:
        ((name, inner),) = inner.items()
        path.append(name)
        if isinstance(inner, list):
            inner = inner[0]
    return tuple(path)
