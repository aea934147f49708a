"""Log groups, their streams and events, as CloudWatch Logs keeps them; in memory."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

# An event may have 256 KiB, of which 26 bytes are counted for each.  Source: CloudWatch Logs quotas.
OVERHEAD = 26
MAX_EVENT = (256 << 10) - OVERHEAD


class Event(NamedTuple):
    """A log event; times in milliseconds since the epoch.  ``number`` counts through all events of the store."""

    timestamp: int
    ingested: int
    number: int
    message: str


@dataclass
class Stream:
    """A log stream.  Events keep the order in which they came, by which tokens count."""

    name: str
    created: int
    number: int
    events: List[Event] = field(default_factory=list)
    size: int = 0


@dataclass
class Group:
    """A log group."""

    name: str
    created: int
    streams: Dict[str, Stream] = field(default_factory=dict)
    names: List[str] = field(default_factory=list)
    tags: Dict[str, str] = field(default_factory=dict)
    # Days that events are kept; None is for ever.
    retention: Optional[int] = None


class LogStore:
    """All log groups of a region; hold ``lock`` while looking into groups and streams."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.groups: Dict[str, Group] = {}
        self._streams = 0
        self._events = 0

    def group(self, name: str) -> Group:
        """The group, made if it is missing."""
        with self.lock:
            if name not in self.groups:
                self.groups[name] = Group(name, milliseconds())
            return self.groups[name]

    def stream(self, group: str, name: str) -> Stream:
        """The stream, made if it is missing, with its group."""
        with self.lock:
            owner = self.group(group)
            if name not in owner.streams:
                self._streams += 1
                owner.streams[name] = Stream(name, milliseconds(), self._streams)
                owner.names.insert(bisect_left(owner.names, name), name)
            return owner.streams[name]

    def has_stream(self, group: str, prefix: str, suffix: str) -> bool:
        """Whether a stream's name begins and ends so."""
        with self.lock:
            names = self.groups[group].names if group in self.groups else []
            for name in names[bisect_left(names, prefix) :]:
                if not name.startswith(prefix):
                    return False
                if name.endswith(suffix):
                    return True
            return False

    def drop_stream(self, group: str, name: str) -> None:
        """Forget a stream."""
        with self.lock:
            owner = self.groups[group]
            del owner.streams[name]
            owner.names.remove(name)

    def append(self, group: str, stream: str, messages: Iterable[Tuple[Optional[int], str]]) -> None:
        """Add events to a stream, which is made if it is missing.

        Args:
            group: the group's name.
            stream: the stream's name.
            messages: timestamps (milliseconds; None is now) and texts.
        """
        with self.lock:
            target = self.stream(group, stream)
            now = milliseconds()
            for timestamp, message in messages:
                self._events += 1
                target.events.append(Event(now if timestamp is None else timestamp, now, self._events, message))
                target.size += len(message) + OVERHEAD


def milliseconds() -> int:
    """Now, in milliseconds since the epoch."""
    return int(time.time() * 1000)
