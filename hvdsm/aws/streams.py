"""Log streams of hosts, and the lines in them."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional, Sequence, Tuple


@dataclass(frozen=True)
class LogLine:
    """A line of a host.

    Attributes:
        host: its name, such as ``algo-1``.
        seconds: when it was logged, seconds since the epoch.
        data: the line without its newline.
        attempt: when the host's stream was made, as its name says: greater for hosts of a job that was started again.
    """

    host: str
    seconds: float
    data: bytes
    attempt: int = 0


@dataclass
class Stream:
    """A stream, and how far it has been read."""

    name: str
    host: str
    attempt: int
    lock: Any = field(default_factory=threading.Lock)
    token: Optional[str] = None
    consumed: int = 0
    skip: int = 0
    due: float = 0.0
    pause: float = 0.0
    news: Optional[float] = None
    end: Optional[float] = None
    lines: List[LogLine] = field(default_factory=list)


def lines_of(stream: Stream, event: Mapping[str, Any]) -> List[LogLine]:
    """The lines of an event; one, unless a host wrote an event with newlines in it."""
    data = str(event.get("message") or "").encode("utf-8", "surrogatepass")
    seconds = float(event.get("timestamp") or 0) / 1000
    pieces = (data[:-1] if data.endswith(b"\n") else data).split(b"\n")
    return [LogLine(stream.host, seconds, piece, stream.attempt) for piece in pieces]


def timed(lines: Sequence[LogLine]) -> List[Tuple[float, Tuple[int, str], LogLine]]:
    """Lines with the time that they are sorted by: never earlier than that of a line before them in the stream."""
    latest, timed = float("-inf"), []
    number = re.search(r"(\d+)$", lines[0].host)
    order = (int(number[1]) if number else 0, lines[0].host)
    for line in lines:
        latest = max(latest, line.seconds)
        timed.append((latest, order, line))
    return timed
