"""Follows a job in SageMaker: its statuses, the lines of all hosts, its end."""

from __future__ import annotations

import queue
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence, Tuple

from hvdsm.backends.base import NOTE, OUTPUT, PHASE, WARNING, Event
from hvdsm.errors import HvdsmError
from hvdsm.model import JobOutcome

ENDED = ("Completed", "Failed", "Stopped")
# What the last lines may take to arrive after the job has ended, where the launcher has said that there will be more.
LATE_LINES = 10.0
# The same where it has not said anything yet.
FIRST_LINES = 3.0
# How many times longer to wait after a failure to read the logs.
RELUCTANT = 5
# A worker's lines of ranks, which the launcher's log has too; and the lines that only hvdsm's program writes.
_RANK_LINE = re.compile(rb"^\[(?:[^\],\s]+,)?([^\],\s]+)\]~? ")
_OWN_LINE = re.compile(rb"^hvdsm: ")


class Line(Protocol):
    """A line of a host's log."""

    host: str
    seconds: float
    data: bytes


class LogSource(Protocol):
    """Reads the logs of a job; see :class:`hvdsm.aws.logs.Follower`."""

    def poll(self) -> Sequence[Any]:
        """Lines that are new."""

    def flush(self) -> Sequence[Any]:
        """Lines that are new, until there are no more."""

    def collected(self) -> Sequence[Any]:
        """What had been read when a call failed."""


@dataclass
class Lines:
    """What becomes of the lines of all hosts: shown once, kept by host, looked through for metrics and the outcome.

    Attributes:
        open_log: opens the file that keeps a host's lines; None keeps none.
        reported: the outcome that the launcher's last line told.
        alone: whether the hosts do not wait for each other: then a host may print before the launcher hears of it, and each
            shows its own lines.
    """

    launcher: str
    open_log: Optional[Callable[[str], BinaryIO]] = None
    reported: Optional[JobOutcome] = None
    alone: bool = False
    _own: Dict[str, bool] = field(default_factory=dict)
    _files: Dict[str, BinaryIO] = field(default_factory=dict)

    def take(self, lines: Sequence[Any]) -> List[Tuple[str, bytes]]:
        """The host and bytes of what is to be shown of some lines."""
        from hvdsm.compose.outcome_line import decode_outcome

        shown: List[Tuple[str, bytes]] = []
        for line in lines:
            host, data = line.host, line.data
            if self.open_log is not None:
                self._file(host).write(data + b"\n")
            outcome = decode_outcome(data) if host == self.launcher else None
            if outcome is not None:
                self.reported = outcome
                continue
            self._own[host] = self._own.get(host, False) or bool(_OWN_LINE.match(data))
            if self._own[host] and self._elsewhere(host, _RANK_LINE.match(data)):
                continue
            shown.append((host, data + b"\n"))
        for file in self._files.values():
            file.flush()
        return shown

    def _elsewhere(self, host: str, tag: Optional[re.Match[bytes]]) -> bool:
        """Whether a line with this tag is shown from another log."""
        if tag is None:
            return False
        return tag[1] != host.encode() if self.alone else host != self.launcher

    def is_own(self, host: str) -> Optional[bool]:
        """Whether hvdsm's program has written to a host's log; None before its first line."""
        return self._own.get(host)

    def _file(self, host: str) -> BinaryIO:
        if host not in self._files:
            assert self.open_log is not None
            self._files[host] = self.open_log(host)
        return self._files[host]

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


@dataclass
class Follower:
    """Follows one job.

    Args:
        describe: gives the job's description.
        source: reads its logs.
        lines: what becomes of them.
        interval: seconds between two looks.
        wait: waits for so many seconds, or shorter when it is called off; True then.
        awaits_report: whether hvdsm's program runs the job, so that its last line is known.
        kept: called when there are more lines in the files of the logs.
    """

    describe: Callable[[], Mapping[str, Any]]
    source: LogSource
    lines: Lines
    interval: float = 1.0
    wait: Callable[[float], bool] = field(default_factory=lambda: threading.Event().wait)
    clock: Callable[[], float] = time.monotonic
    awaits_report: bool = False
    kept: Callable[[], None] = lambda: None
    notes: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    description: Mapping[str, Any] = field(default_factory=dict)

    def events(self) -> Iterator[Event]:
        """Events until the job has ended and all its lines have come."""
        seen: List[str] = []
        try:
            with self._reading() as arrived:
                while True:
                    self.description = self.describe()
                    yield from self._transitions(seen)
                    yield from self._taken(arrived)
                    if self.description.get("TrainingJobStatus") in ENDED:
                        break
                    self.wait(self.interval)
            yield from self._taken(arrived)
            yield from self._rest()
        finally:
            self.lines.close()

    @contextmanager
    def _reading(self) -> Iterator[queue.SimpleQueue[Any]]:
        """Reads lines in a thread of its own: many hosts take longer than one look at the status."""
        arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        ended = threading.Event()

        def read() -> None:
            failed = False
            while not ended.is_set():
                try:
                    lines = self.source.poll()
                except HvdsmError as error:
                    # The status goes on, and no line is passed over: the next look begins where this one did.
                    if not failed:
                        self.notes.put(f"the logs cannot be read now: {error.what}")
                    failed = True
                else:
                    if failed:
                        self.notes.put("the logs can be read again")
                    failed = False
                    if lines:
                        arrived.put(lines)
                ended.wait(self.interval * (RELUCTANT if failed else 1))

        thread = threading.Thread(target=read, name="hvdsm-logs", daemon=True)
        thread.start()
        try:
            yield arrived
        except BaseException:
            # Detached: a request that is under way may take long, and nobody waits for its answer.
            ended.set()
            raise
        ended.set()
        thread.join()

    def _rest(self) -> Iterator[Event]:
        """The lines that come after the end."""
        ended = self.clock()
        while True:
            try:
                lines = self.source.flush()
            except HvdsmError as error:
                yield from self._shown(self.source.collected())
                yield self._event(WARNING, f"the end of the logs cannot be read: {error}")
                return
            yield from self._shown(lines)
            if self.clock() - ended >= self._patience():
                return
            self.wait(self.interval / 4)

    def _patience(self) -> float:
        """How long the launcher's last line is waited for, seconds after the end."""
        started = any(change.get("Status") == "Training" for change in self.description.get("SecondaryStatusTransitions") or ())
        if not (self.awaits_report and started) or self.lines.reported is not None:
            return 0.0
        own = self.lines.is_own(self.lines.launcher)
        return FIRST_LINES if own is None else LATE_LINES if own else 0.0

    def _taken(self, arrived: queue.SimpleQueue[Any]) -> Iterator[Event]:
        while not self.notes.empty():
            yield self._event(NOTE, self.notes.get())
        while not arrived.empty():
            yield from self._shown(arrived.get())

    def _shown(self, lines: Sequence[Any]) -> Iterator[Event]:
        pieces: List[Tuple[str, bytes]] = []
        for host, data in self.lines.take(lines):
            if pieces and pieces[-1][0] == host:
                pieces[-1] = (host, pieces[-1][1] + data)
            else:
                pieces.append((host, data))
        self.kept()
        for host, data in pieces:
            yield self._event(OUTPUT, data=data, host=host)

    def _transitions(self, seen: List[str]) -> Iterator[Event]:
        """What is new among the statuses; the last one's message can change while it lasts."""
        begin, changes = self.description.get("CreationTime"), self.description.get("SecondaryStatusTransitions") or ()
        for index, change in enumerate(changes):
            message, status = str(change.get("StatusMessage") or "").strip(), str(change.get("Status"))
            text = f"{status} ({message})" if message and message != status else status
            if index < len(seen) and seen[index] == text:
                continue
            at = change.get("StartTime") if index >= len(seen) else self.description.get("LastModifiedTime")
            seen[index:] = [text]
            yield Event(PHASE, text, seconds=max(0.0, (at - begin).total_seconds()) if at and begin else 0.0)

    def _event(self, kind: str, text: str = "", data: bytes = b"", host: Optional[str] = None) -> Event:
        return Event(kind, text, data, host)
