"""The resources of a stack while an operation goes on: a live tree with durations on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, TextIO, Tuple

from hvdsm.aws.cloudformation import StackEvent
from hvdsm.vpc.stacks.causes import is_failure, readable

DONE, UNDER_WAY, FAILED, CANCELLED, GONE = "done", "under way", "failed", "cancelled", "gone"
_SYMBOLS = {DONE: "✔", UNDER_WAY: "…", FAILED: "✘", CANCELLED: "-", GONE: "✔"}
_COLOURS = {DONE: "green", UNDER_WAY: "cyan", FAILED: "red", CANCELLED: "yellow", GONE: "bright_black"}
# Lines of a terminal that are left to what stands before the tree.
_SPARE = 4


@dataclass(frozen=True)
class Row:
    """A resource in an operation.

    Attributes:
        name: logical name.
        kind: type, such as ``AWS::EC2::Subnet``.
        status: as CloudFormation calls it, such as ``CREATE_COMPLETE``.
        began: when what it is in now began: a roll-back is another thing than what it undoes.
        changed: when its status changed last.
        look: done, under way, failed, cancelled or gone.
        reason: why it failed, readable; else empty.
        failure: why it failed before, as in what is rolled back; else empty.
    """

    name: str
    kind: str
    status: str
    began: datetime
    changed: datetime
    look: str
    reason: str = ""
    failure: str = ""

    @property
    def seconds(self) -> float:
        """Seconds from its beginning to the last change."""
        return max(0.0, (self.changed - self.began).total_seconds())


class Resources:
    """The rows of an operation, from its events as they come."""

    def __init__(self) -> None:
        self.rows: Dict[str, Row] = {}
        self.stack: Optional[Row] = None
        self.began: Optional[datetime] = None
        # Why each resource failed, by what was done to it.
        self._failed: Dict[str, Dict[str, str]] = {}

    def take(self, event: StackEvent) -> Optional[Row]:
        """Take an event; the row that it made or changed, None where it says nothing new."""
        if self.began is None:
            self.began = event.time
        before = self.stack if event.of_stack else self.rows.get(event.logical_id)
        row = _row(event, before)
        if event.of_stack:
            self.stack = row
        else:
            row = replace(row, failure=self._failure(row))
            self.rows[event.logical_id] = row
        return row if before is None or (before.status, before.reason) != (row.status, row.reason) else None

    def _failure(self, row: Row) -> str:
        """Why a resource has failed: that stays so, whatever becomes of it in the roll-back; one that works at last has not."""
        failed = self._failed.setdefault(row.name, {})
        if row.look == FAILED:
            failed[_verb(row.status)] = row.reason
        elif row.look in (DONE, GONE):
            failed.pop(_verb(row.status), None)
        return next((reason for verb, reason in failed.items() if row.look != FAILED or verb != _verb(row.status)), "")

    def since(self, row: Row) -> float:
        """Seconds from the beginning of the operation to a row's last change."""
        return max(0.0, (row.changed - self.began).total_seconds()) if self.began is not None else 0.0

    def counts(self) -> Tuple[int, int]:
        """How many rows are through, and how many there are."""
        return sum(row.look not in (UNDER_WAY,) for row in self.rows.values()), len(self.rows)


def _row(event: StackEvent, before: Optional[Row]) -> Row:
    """The row of a resource after an event."""
    same = before is not None and _verb(before.status) == _verb(event.status)
    began = before.began if same and before is not None else event.time
    look = _look(event)
    # The stack's own words say who wanted a roll-back.
    telling = look in (FAILED, CANCELLED) or (event.of_stack and event.reason not in ("", "User Initiated"))
    return Row(event.logical_id, event.kind, event.status, began, event.time, look, readable(event.reason) if telling else "")


def _verb(status: str) -> str:
    """What is done: ``CREATE`` of ``CREATE_COMPLETE``, ``ROLLBACK`` of ``ROLLBACK_IN_PROGRESS``.

    A stack cleans up as a part of its update.
    """
    for end in ("_COMPLETE_CLEANUP_IN_PROGRESS", "_IN_PROGRESS", "_COMPLETE", "_FAILED", "_SKIPPED"):
        if status.endswith(end):
            return status[: -len(end)]
    return status


def _look(event: StackEvent) -> str:
    if event.status.endswith("_FAILED"):
        return FAILED if is_failure(event) or event.of_stack else CANCELLED
    if event.status.endswith("_IN_PROGRESS"):
        return UNDER_WAY
    if event.of_stack and "ROLLBACK" in event.status:
        return FAILED
    return GONE if event.status == "DELETE_COMPLETE" and not event.of_stack else DONE


def plain_line(row: Row, since: float) -> str:
    """A change of a resource in one line, with the seconds since the operation began."""
    took = f" ({row.seconds:.0f} s)" if row.look in (DONE, GONE, FAILED) and row.seconds >= 1 else ""
    why = f": {row.reason}" if row.reason else ""
    return f"{since:6.1f} s  {row.status:<18}  {row.name} ({row.kind}){took}{why}"


class Shown:
    """Shows events as they come; see :func:`shown`."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.resources = Resources()
        self._write = write

    def __call__(self, events: Sequence[StackEvent]) -> None:
        """Show what has happened."""
        for event in events:
            row = self.resources.take(event)
            if row is not None:
                self._write(f"hvdsm: {plain_line(row, self.resources.since(row))}")

    def say(self, text: str) -> None:
        """A line of hvdsm's own among what is shown."""
        self._write(f"hvdsm: {text}")


class Tree(Shown):
    """The live tree; safe to be drawn by one thread while another one takes events.

    Args:
        name: the stack's name.
        write: prints a line above the tree.
        clock: gives seconds.
        height: gives the lines that there is room for.
    """

    def __init__(
        self, name: str, write: Callable[[str], None], clock: Callable[[], float], height: Optional[Callable[[], int]] = None
    ) -> None:
        super().__init__(write)
        self._name = name
        self._clock = clock
        self._height = height
        self._began = clock()
        # When this machine saw a row begin: the service's clock may be another one.
        self._seen: Dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, events: Sequence[StackEvent]) -> None:
        """Take what has happened; the next drawing shows it."""
        with self._lock:
            newest = max((event.time for event in events), default=None)
            for event in events:
                row = self.resources.take(event)
                if row is not None and row.look == UNDER_WAY and newest is not None and row.began == event.time:
                    self._seen[row.name] = self._clock() - (newest - row.began).total_seconds()

    def lines(self) -> List[Tuple[str, str]]:
        """The tree as it is now, line by line: text and colour; the heading is first."""
        with self._lock:
            now = self._clock()
            rows = list(self.resources.rows.values())
            stack = self.resources.stack
            ready, count = self.resources.counts()
            state = f"{stack.status}  " if stack is not None else ""
            heading = f"stack {self._name}  {state}{clock_text(now - self._began)}"
            heading += f"  {ready} of {count} resources" if count else ""
            found = [(heading, _COLOURS[stack.look] if stack is not None else "")]
            room = len(rows) if self._height is None else max(1, self._height() - _SPARE)
            kept = chosen(rows, room)
            widths = [max((len(text) for text in column), default=0) for column in zip(*((r.name, r.status) for r in kept))]
            for row in kept:
                took = now - self._seen.get(row.name, now) if row.look == UNDER_WAY else row.seconds
                # The type is last: where the terminal is narrow, it is what is cut.
                cells = [text.ljust(width) for text, width in zip((row.name, row.status), widths)]
                kind = row.kind[len("AWS::") :] if row.kind.startswith("AWS::") else row.kind
                found.append((f"{_SYMBOLS[row.look]} {'  '.join(cells)}  {clock_text(took):>7}  {kind}", _COLOURS[row.look]))
                for reason in dict.fromkeys(text for text in (row.failure, row.reason) if text):
                    found.append((f"    {reason}", "red" if row.look != CANCELLED else _COLOURS[CANCELLED]))
            if len(kept) < len(rows):
                found.append((f"  and {len(rows) - len(kept)} more", ""))
            return found

    def __rich__(self) -> Any:
        """What :mod:`rich` draws."""
        from rich.text import Text
        from rich.tree import Tree as Drawn

        (heading, colour), *rest = self.lines()
        tree = Drawn(Text(heading, style=f"bold {colour}".strip()), guide_style="bright_black")
        branch = tree
        for text, shade in rest:
            if text.startswith("    "):
                branch.add(Text(text.strip(), style=shade))
            else:
                branch = tree.add(Text(text, style=shade, no_wrap=True, overflow="ellipsis"))
        return tree


def chosen(rows: Sequence[Row], room: int) -> List[Row]:
    """The rows that there is room for, in their order: failures first, then what is under way, then what changed last."""
    if len(rows) <= room:
        return list(rows)
    rank = {FAILED: 0, UNDER_WAY: 1}
    ordered = sorted(rows, key=lambda row: (rank.get(row.look, 2), -row.changed.timestamp()))
    kept = {row.name for row in ordered[:room]}
    return [row for row in rows if row.name in kept]


def clock_text(seconds: float) -> str:
    """A duration in few characters.

    >>> [clock_text(seconds) for seconds in (0.4, 59.6, 75, 4000)]
    ['0 s', '1m00s', '1m15s', '1h06m']
    """
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"


@contextmanager
def shown(
    name: str,
    stream: TextIO,
    *,
    terminal: Optional[bool] = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Shown]:
    """What shows the events of an operation as they come; it is called with them, and its ``say`` prints a line.

    Args:
        name: the stack's name.
        stream: where to.
        terminal: whether to draw a live tree; by default when the stream is a terminal.  It stays there, as it was last, at
            the end.
        clock: gives seconds.
    """
    if not (stream.isatty() if terminal is None else terminal):

        def write(text: str) -> None:
            print(text, file=stream, flush=True)

        yield Shown(write)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=stream, force_terminal=True)
    # Above a live display rich prints by itself; what is cut now is whole at the end.
    view = Tree(name, lambda text: console.print(Text(text)), clock, lambda: console.size.height)
    with Live(view, console=console, refresh_per_second=4, transient=True, redirect_stdout=False, redirect_stderr=False):
        yield view
    view._height = None
    if view.resources.rows or view.resources.stack is not None:
        console.print(view)
