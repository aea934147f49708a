"""A training job of the sandbox: its statuses with their times and messages.

What carries a job out, a runner, moves it by :meth:`TrainingJob.enter`, :meth:`TrainingJob.log` and :meth:`TrainingJob.end`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union

from hvdsm.sandbox.logstore import MAX_EVENT, LogStore

GROUP = "/aws/sagemaker/TrainingJobs"
IN_PROGRESS, COMPLETED, FAILED, STOPPING, STOPPED = "InProgress", "Completed", "Failed", "Stopping", "Stopped"
ENDED = (COMPLETED, FAILED, STOPPED)
MAX_RUNTIME, MAX_WAIT, INTERRUPTED = "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Interrupted"
_BEFORE_THE_END = frozenset(("Starting", "Pending", "Downloading", "Training", INTERRUPTED, "Restarting"))
# What the service says of a status where nothing more is known.
MESSAGES = {
    "Starting": "Starting the training job",
    "Pending": "Training job waiting for capacity",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Interrupted": "Training job interrupted",
    "Restarting": "Restarting the training job",
    MAX_RUNTIME: "Training job runtime exceeded MaxRuntimeInSeconds provided",
    MAX_WAIT: "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}


@dataclass
class Transition:
    """A secondary status from its begin to its end, seconds since the epoch."""

    status: str
    start: float
    message: str
    end: Optional[float] = None


@dataclass
class TrainingJob:
    """A job.

    Attributes:
        request: what CreateTrainingJob was given.
        created: seconds since the epoch.
        stop_requested: set by StopTrainingJob.
        abandoned: set when the sandbox ends.
        interrupted: set when spot capacity is taken from the job, until its runner has seen it.
        results: directory of an emulated job's results.
        client: User-Agent of the program that has made it.
        points: values of metrics that CloudWatch has not got yet, by name and second: their number, sum, least and most.
    """

    name: str
    arn: str
    request: Dict[str, Any]
    created: float
    store: LogStore
    tags: Dict[str, str] = field(default_factory=dict)
    status: str = IN_PROGRESS
    secondary: str = "Starting"
    failure_reason: Optional[str] = None
    model_artifacts: str = ""
    billable: Optional[int] = None
    metrics: List[Dict[str, Any]] = field(default_factory=list)
    points: Dict[Tuple[str, int], List[float]] = field(default_factory=dict)
    transitions: List[Transition] = field(default_factory=list)
    started: Optional[float] = None
    ended_at: Optional[float] = None
    modified: float = 0.0
    epoch: int = 0
    stop_requested: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    interrupted: threading.Event = field(default_factory=threading.Event)
    results: Optional[str] = None
    changed: threading.Condition = field(default_factory=threading.Condition)
    thread: Optional[threading.Thread] = None
    on_line: Optional[Callable[[str, str], None]] = None
    client: str = ""
    _on_stop: List[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.modified = self.created
        self.transitions.append(Transition("Starting", self.created, MESSAGES["Starting"]))

    @property
    def is_ended(self) -> bool:
        """Whether it is Completed, Failed or Stopped."""
        return self.status in ENDED

    def enter(self, secondary: str, message: Optional[str] = None) -> None:
        """Come to a secondary status, or to another message of the one that it is in; a job that is stopped goes no further."""
        with self.changed:
            if self.stop_requested.is_set() and secondary in _BEFORE_THE_END:
                return
            now = max(time.time(), self.modified)
            text = MESSAGES.get(secondary, secondary) if message is None else message
            last = self.transitions[-1]
            if last.status == secondary and last.end is None:
                last.message = text
            else:
                last.end = now
                self.transitions.append(Transition(secondary, now, text))
            self.secondary, self.modified = secondary, now
            if secondary == "Training" and self.started is None:
                self.started = now
            self.changed.notify_all()

    def begin_attempt(self) -> None:
        """From now on logs go to new streams, as when the service starts the containers anew."""
        with self.changed:
            epoch = max(int(time.time()), self.epoch + 1)
            # A job of this name may have been deleted a moment ago: its streams are there yet.
            while self.store.has_stream(GROUP, f"{self.name}/", f"-{epoch}"):
                epoch += 1
            self.epoch = epoch

    def log(self, host: str, messages: Iterable[Union[str, Tuple[Optional[float], str]]]) -> None:
        """Append lines to a host's log stream.

        Args:
            host: such as ``algo-1``.
            messages: lines, or times (seconds since the epoch) and lines.
        """
        if not self.epoch:
            self.begin_attempt()
        events: List[Tuple[Optional[int], str]] = []
        for entry in messages:
            at, text = (None, entry) if isinstance(entry, str) else entry
            if self.on_line is not None:
                self.on_line(host, text)
            events += [(None if at is None else int(at * 1000), piece) for piece in _pieces(text)]
        self.store.append(GROUP, f"{self.name}/{host}-{self.epoch}", events)

    def stop(self) -> bool:
        """What StopTrainingJob does; False of a job that has ended."""
        with self.changed:
            if self.is_ended:
                return False
            if self.status == STOPPING:
                return True
            self.status = STOPPING
            self.enter("Stopping")
            self.stop_requested.set()
            called = list(self._on_stop)
        for callback in called:
            callback()
        return True

    def interrupt(self) -> None:
        """Take the hosts from the job, as when spot capacity is taken back."""
        with self.changed:
            self.interrupted.set()
            called = list(self._on_stop)
        for callback in called:
            callback()

    def to_end(self) -> bool:
        """Whether the job was stopped, or the sandbox has."""
        return self.stop_requested.is_set() or self.abandoned.is_set()

    def abandon(self) -> None:
        """End the runner at once."""
        with self.changed:
            self.abandoned.set()
            self.released.set()
            called = list(self._on_stop)
            self.changed.notify_all()
        for callback in called:
            callback()

    def call_on_stop(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have something called, from another thread, when the job is to end; now if that is so already.

        Returns:
            a function that takes it back.
        """
        with self.changed:
            self._on_stop.append(callback)
            due = self.to_end()
        if due:
            callback()

        def forget() -> None:
            with self.changed:
                if callback in self._on_stop:
                    self._on_stop.remove(callback)

        return forget

    def pause(self, seconds: Optional[float]) -> bool:
        """Stay in a status for so many seconds (None: until it is released); False as soon as the job is to end."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self.changed:
            while not self.to_end():
                if seconds is None and self.released.is_set():
                    self.released.clear()
                    return True
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return True
                self.changed.wait(left)
        return False

    def release(self) -> None:
        """End a pause without a limit."""
        with self.changed:
            self.released.set()
            self.changed.notify_all()

    def end(self, status: str, *, reason: Optional[str] = None, secondary: Optional[str] = None) -> None:
        """Come to the last status.

        Args:
            status: Completed, Failed or Stopped.
            reason: FailureReason.
            secondary: the secondary status where it is another, such as MaxRuntimeExceeded.
        """
        with self.changed:
            if self.is_ended:
                return
            last = secondary or status
            self.enter(last)
            self.status, self.failure_reason = status, reason[:1024] if reason else None
            self.transitions[-1].end = self.ended_at = self.modified
            self.changed.notify_all()

    def wait(self, until: Callable[[TrainingJob], bool], timeout: float = 60.0) -> bool:
        """Wait until something is so of the job; whether it is."""
        with self.changed:
            return self.changed.wait_for(lambda: until(self), timeout)


def _pieces(text: str) -> List[str]:
    """A line in pieces that fit into log events."""
    if len(text) * 4 <= MAX_EVENT:
        return [text]
    data = text.encode("utf-8", "surrogatepass")
    return [data[at : at + MAX_EVENT].decode("utf-8", "replace") for at in range(0, len(data), MAX_EVENT)] or [text]
