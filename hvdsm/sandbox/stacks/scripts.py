"""What becomes of stacks: how long their resources take, and which of them fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Dict, List, Mapping, Optional, Tuple, Union

Failure = Union[str, Tuple[str, int]]


@dataclass(frozen=True)
class StackScript:
    """What becomes of a stack.  Resources are named by their logical IDs.

    Attributes:
        seconds: how long each resource takes to be created, updated or deleted.
        seconds_of: the same for single resources.
        fail: resources that fail to be created or updated, and why; the operation is rolled back.
        fail_delete: resources that fail to be deleted, and why; ``(reason, times)`` fails so often and then works.
        fail_rollback: resources that fail when an operation is rolled back, and why.
        change_set_fails: status reason of a change set that cannot be made.
        change_set_seconds: how long a change set takes to be made.
        times: operations that it applies to; None is all.  A change set counts only when it fails by this script.
    """

    seconds: float = 0.0
    seconds_of: Mapping[str, float] = field(default_factory=dict)
    fail: Mapping[str, str] = field(default_factory=dict)
    fail_delete: Mapping[str, Failure] = field(default_factory=dict)
    fail_rollback: Mapping[str, Failure] = field(default_factory=dict)
    change_set_fails: Optional[str] = None
    change_set_seconds: float = 0.0
    times: Optional[int] = None


class Entry:
    """A script, and what of it has been used up."""

    def __init__(self, script: StackScript, stack: str) -> None:
        self.script = script
        self.stack = stack
        self.met = 0
        self._struck: Dict[Tuple[str, str], int] = {}

    @property
    def is_used_up(self) -> bool:
        """Whether it applies to no further operation."""
        return self.script.times is not None and self.met >= self.script.times

    def seconds(self, name: str) -> float:
        """How long a resource takes."""
        return self.script.seconds_of.get(name, self.script.seconds)

    def failure(self, name: str, when: str) -> Optional[str]:
        """Why a resource fails now, None when it does not.

        Args:
            name: logical ID.
            when: ``fail``, ``fail_delete`` or ``fail_rollback``.
        """
        found = getattr(self.script, when).get(name)
        if found is None or isinstance(found, str):
            return found
        reason, times = found
        struck = self._struck.get((when, name), 0)
        if struck >= times:
            return None
        self._struck[when, name] = struck + 1
        return str(reason)


class Scripts:
    """The scripts of a sandbox; safe to change while requests come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limited: List[Entry] = []
        self._always: List[Entry] = []

    def add(self, script: StackScript, stack: str) -> None:
        """Add a script for stacks of a name; ``*`` and ``?`` stand for other characters.

        One for some operations goes before one for all, those for some in the order in which they were added; one for all takes
        the place of another of the same name.
        """
        entry = Entry(script, stack)
        with self._lock:
            if script.times is None:
                self._always = [entry, *(other for other in self._always if other.stack != stack)]
            else:
                self._limited.append(entry)

    def clear(self) -> None:
        """Forget all scripts."""
        with self._lock:
            self._limited, self._always = [], []

    def find(self, stack: str, *, use: bool = True) -> Entry:
        """The script for an operation: those of the exact name go first.

        Args:
            stack: its name.
            use: whether the operation counts.
        """
        with self._lock:
            live = [entry for entry in self._limited if not entry.is_used_up] + self._always
            fitting = [entry for entry in live if entry.stack == stack]
            fitting += [entry for entry in live if fnmatchcase(stack, entry.stack)]
            found = fitting[0] if fitting else Entry(StackScript(), stack)
            if use:
                found.met += 1
            return found
