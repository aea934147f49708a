"""What a host has received for its parts: files of rows, so that memory does not follow their size."""

from __future__ import annotations

import os
from typing import Any, Dict, Tuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Store:
    """Rows of each of a host's parts by name; a place is a number of rows, whose width is that of the first ones written.

    Args:
        directory: where to; it is made.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self._kinds: Dict[Tuple[int, str], Tuple[Any, Tuple[int, ...], int]] = {}
        self._names: Dict[str, int] = {}

    def path(self, part: int, name: str) -> str:
        """The file of a part's rows; names may hold anything."""
        return os.path.join(self.directory, f"part{part}-{self._names.setdefault(name, len(self._names))}")

    def write(self, part: int, name: str, place: int, rows: Array) -> None:
        """Write rows from a place on."""
        path = self.path(part, name)
        before = self._kinds.get((part, name))
        end = place + len(rows)
        self._kinds[part, name] = (rows.dtype, rows.shape[1:], max(end, before[2] if before else 0))
        with open(path, "r+b" if before else "wb") as file:
            file.seek(place * (rows.nbytes // len(rows) if len(rows) else 0))
            file.write(np.ascontiguousarray(rows).data)

    def append(self, part: int, name: str, rows: Array) -> None:
        """Write rows behind those that are there."""
        self.write(part, name, self.count(part, name), rows)

    def count(self, part: int, name: str) -> int:
        """Rows there are."""
        return self._kinds[part, name][2] if (part, name) in self._kinds else 0

    def read(self, part: int, name: str, count: int, dtype: Any, tail: Tuple[int, ...] = ()) -> Array:
        """A part's rows, mapped into memory; so many must be there."""
        if self.count(part, name) != count:
            raise RuntimeError(f"part {part} has {self.count(part, name)} rows of {name} instead of {count}")
        if not count or 0 in tail:
            return np.empty((count, *tail), dtype=dtype)
        mapped: Array = np.memmap(self.path(part, name), dtype=dtype, mode="r+", shape=(count, *tail))
        return mapped

    def remove(self, part: int, name: str) -> None:
        """Forget a part's rows, and free their place on the disk."""
        if self._kinds.pop((part, name), None) is not None:
            os.remove(self.path(part, name))
