"""Which objects of a channel a replay takes; pure, and the same for the same objects.

Objects stand in this order: first one of every kind, where a kind is a folder and an ending (so that ``labels.csv`` beside ten
thousand images is there, and every class of a folder tree); then all others.  Both parts are ordered by the SHA-256 of the
key, which is as good as by chance, but the same each time.  From the beginning of this order as many are taken as the
sample allows, and one at least.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import List, Protocol, Sequence, Tuple, TypeVar

from hvdsm.jobs.times import Sample, shown_size


class Sized(Protocol):
    """An object of a bucket."""

    @property
    def key(self) -> str:
        """Its key."""

    @property
    def size(self) -> int:
        """Bytes."""


Entry = TypeVar("Entry", bound=Sized)


@dataclass(frozen=True)
class Taken:
    """How much was taken of how much; ``more`` when there are more objects than were looked at."""

    objects: int
    size: int
    all_objects: int
    all_size: int
    more: bool = False

    def __str__(self) -> str:
        """In words."""
        if (self.objects, self.size, self.more) == (self.all_objects, self.all_size, False):
            return f"all {self.objects:,} objects, {shown_size(self.size)}"
        whole = f"{'more than ' if self.more else ''}{self.all_objects:,}, {shown_size(self.all_size)}"
        return f"{self.objects:,} objects, {shown_size(self.size)} of {whole}"


def ordered(entries: Sequence[Entry]) -> List[Entry]:
    """The objects in the order in which they are taken."""
    by_chance = sorted(entries, key=lambda entry: hashlib.sha256(entry.key.encode("utf-8", "surrogatepass")).digest())
    kinds = set()
    first: List[Entry] = []
    others: List[Entry] = []
    for entry in by_chance:
        folder, name = os.path.split(entry.key)
        kind = (folder, os.path.splitext(name)[1])
        (others if kind in kinds else first).append(entry)
        kinds.add(kind)
    return first + others


def choose(entries: Sequence[Entry], sample: Sample, *, least: int = 1) -> Tuple[List[Entry], str]:
    """The objects of a sample in the order of their keys, and what is to be said of it.

    Args:
        entries: all objects.
        sample: how many at most, and how many bytes.
        least: so many at least, where there are so many: every host of a sharded channel needs one.
    """
    if not entries:
        return [], ""
    count = len(entries) if sample.objects is None else max(sample.objects, least)
    # With a limit of bytes small ones fill up what must be there.
    needed = min(least, len(entries))
    taken: List[Entry] = []
    size = 0
    for entry in ordered(entries):
        if len(taken) >= count or (sample.size is not None and size + entry.size > sample.size):
            break
        taken.append(entry)
        size += entry.size
    note = ""
    if len(taken) < needed:
        have = {entry.key for entry in taken}
        rest = sorted((entry for entry in entries if entry.key not in have), key=lambda entry: (entry.size, entry.key))
        taken += rest[: needed - len(taken)]
        size = sum(entry.size for entry in taken)
        if sample.size is not None and size > sample.size:
            note = f"{len(taken)} needed at least: {shown_size(size)}, more than --sample allows"
    return sorted(taken, key=lambda entry: entry.key), note
