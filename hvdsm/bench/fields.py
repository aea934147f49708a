"""Typed fields of a JSON document that somebody else may have written; each error names the file and the field."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

from hvdsm.errors import ConfigError

Value = TypeVar("Value")
_LARGEST = 2**63


class Fields:
    """An object of the document.

    Args:
        value: what stands there.
        where: the file's name.
        path: the object's place in the document, empty for the whole.

    Raises:
        ConfigError: it is no object.
    """

    def __init__(self, value: Any, where: str, path: str = "") -> None:
        self.where = where
        self.path = path
        if not isinstance(value, dict):
            raise self.wrong("", "must be a JSON object")
        self.values: Mapping[str, Any] = value

    def wrong(self, name: str, what: str) -> ConfigError:
        """The error that says what is wrong with a field."""
        place = self._place(name)
        return ConfigError(
            f"{place}: {what}" if place else what, where=self.where, remedy="a network.json that `hvdsm bench network` wrote"
        )

    def _place(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path and name else self.path or name

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(name) is not None

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise self.wrong(name, "is missing")
        return self.values[name]

    def text(self, name: str) -> str:
        """A string."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self.wrong(name, f"must be a string, not {_shown(value)}")
        return value

    def optional_text(self, name: str) -> Optional[str]:
        """A string, or None where it is null or missing."""
        return self.text(name) if self.has(name) else None

    def number(self, name: str) -> float:
        """A finite number, zero or more."""
        return self._number(name, self._get(name))

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LARGEST or math.isnan(value):
            raise self.wrong(name, f"must be a finite number, zero or more, not {_shown(value)}")
        return value

    def optional_number(self, name: str) -> Optional[float]:
        """A finite number, or None where it is null or missing."""
        return self.number(name) if self.has(name) else None

    def numbers(self, name: str) -> Dict[str, float]:
        """An object of numbers."""
        inner = self.object(name)
        return {key: inner.number(key) for key in inner.values}

    def integer(self, name: str, least: int = 0) -> int:
        """An integer of at least so much."""
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
            raise self.wrong(name, f"must be an integer of {least} or more, not {_shown(value)}")
        return value

    def object(self, name: str) -> Fields:
        """An object."""
        return Fields(self._get(name), self.where, self._place(name))

    def optional(self, name: str, made: Callable[[Fields], Value]) -> Optional[Value]:
        """What is made of an object, or None where it is null or missing."""
        return made(self.object(name)) if self.has(name) else None

    def mapping(self, name: str) -> Dict[str, Any]:
        """An object whose fields are not looked at."""
        return dict(self.object(name).values)

    def _list(self, name: str) -> List[Any]:
        value = self._get(name)
        if not isinstance(value, list):
            raise self.wrong(name, f"must be a list, not {_shown(value)}")
        return value

    def each(self, name: str, made: Callable[[Fields], Value]) -> Tuple[Value, ...]:
        """What is made of each object of a list."""
        return tuple(
            made(Fields(value, self.where, f"{self._place(name)}[{number}]")) for number, value in enumerate(self._list(name))
        )

    def texts(self, name: str) -> Tuple[str, ...]:
        """A list of strings."""
        values = self._list(name)
        for value in values:
            if not isinstance(value, str):
                raise self.wrong(name, f"must be a list of strings, not of {_shown(value)}")
        return tuple(values)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = "null" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
