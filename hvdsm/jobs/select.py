"""Which lines of a job are shown, and in which form; pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Deque, FrozenSet, Iterable, Iterator, List, Optional, Pattern, Sequence, Tuple

from hvdsm.errors import UsageError
from hvdsm.jobs.base import Line
from hvdsm.jobs.fold import MOST, WINDOW, Folded, Folder
from hvdsm.jobs.lines import Once, Origin, origin_of

# Lines that wait to be folded where a log has no times.
UNTIMED = 500


@dataclass(frozen=True)
class Wanted:
    """What of a job's lines is wanted.

    Attributes:
        ranks: only lines of these ranks; all when empty.
        hosts: only lines of these hosts; all when empty.
        since: not the lines before, seconds since the epoch; of a local log only whether it has been written to since then.
        tail: only the last so many lines; None is no limit.
        grep: only lines that this is found in.
        fold: whether identical lines of ranks become one.
    """

    ranks: FrozenSet[int] = frozenset()
    hosts: FrozenSet[str] = frozenset()
    since: Optional[float] = None
    tail: Optional[int] = None
    grep: Optional[Pattern[bytes]] = None
    fold: bool = False


def pattern(text: Optional[str]) -> Optional[Pattern[bytes]]:
    """The regular expression of ``--grep``.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise UsageError(f"{text!r} is no regular expression: {error}", where="--grep", remedy="quote signs with a \\") from None


def check_hosts(wanted: Wanted, names: Sequence[str]) -> None:
    """Find out whether a job has the hosts that are asked for.

    Args:
        wanted: what is wanted.
        names: the job's hosts; none where they are not known.

    Raises:
        UsageError: it has no such host.
    """
    absent = sorted(wanted.hosts - set(names)) if names else []
    if absent:
        said = ", ".join(names[:8]) + (f", … {names[-1]}" if len(names) > 8 else "")
        raise UsageError(f"the job has no host {', '.join(absent)}", where="--host", remedy=f"its hosts are {said}")


def hosts_to_read(wanted: Wanted, launcher: str, sure: bool, alone: bool = False) -> Optional[List[str]]:
    """The hosts whose logs have what is wanted; None for all.

    A host's own log has all that it said.  The lines of all ranks are in the launcher's, where hvdsm's program runs the job.
    """
    if wanted.hosts:
        return sorted(wanted.hosts)
    return [launcher] if wanted.ranks and sure and not alone else None


@dataclass
class Selection:
    """Lets the wanted lines through.

    Args:
        wanted: what is wanted.
        launcher: the host whose log has the lines of all ranks.
        sure: whether hosts repeat them, for sure.
        alone: see :class:`hvdsm.jobs.lines.Once`.
    """

    wanted: Wanted
    launcher: str
    sure: bool = False
    timed: bool = True
    alone: bool = False
    _once: Once = field(init=False)
    _folder: Optional[Folder] = field(init=False)
    _now: float = float("-inf")

    def __post_init__(self) -> None:
        with_launcher = not self.wanted.hosts or self.launcher in self.wanted.hosts
        self._once = Once(self.launcher, self.sure, with_launcher, self.alone)
        self._folder = Folder(WINDOW, MOST if self.timed else UNTIMED) if self.wanted.fold else None

    def take(self, lines: Iterable[Line], clock: Optional[float] = None) -> List[Tuple[str, bytes]]:
        """Host and data of the lines to show now.

        Args:
            lines: lines of all logs that are read.
            clock: seconds now, for lines that come live; without it the lines' own times count.
        """
        shown: List[Tuple[str, bytes]] = []
        for line in lines:
            origin = origin_of(line)
            if not self._once.is_new(line, origin) or not self._matches(line, origin):
                continue
            if self._folder is None:
                # A tag names its host itself.
                shown.append((self.launcher if origin.tagged else line.host, line.data))
                continue
            # Times of several streams may go back a little.
            self._now = max(self._now, clock if clock is not None else line.seconds or 0.0)
            shown += self._lines(self._folder.feed(origin, line.host, line.data, self._now))
        if self._folder is not None and clock is not None:
            self._now = max(self._now, clock)
            shown += self._lines(self._folder.expire(self._now))
        return shown

    def finish(self) -> List[Tuple[str, bytes]]:
        """What was still waiting for others of its kind."""
        return self._lines(self._folder.flush()) if self._folder is not None else []

    def _lines(self, groups: Sequence[Folded]) -> List[Tuple[str, bytes]]:
        named = [group.tagged or len(group.sources) > 1 for group in groups]
        return [(self.launcher if is_named else group.host, group.line) for is_named, group in zip(named, groups)]

    def _matches(self, line: Line, origin: Origin) -> bool:
        wanted = self.wanted
        if wanted.ranks and origin.rank not in wanted.ranks:
            return False
        if wanted.hosts and origin.host not in wanted.hosts:
            return False
        if wanted.since is not None and line.seconds is not None and line.seconds < wanted.since:
            return False
        return wanted.grep is None or wanted.grep.search(origin.text) is not None


def last(shown: Iterator[Tuple[str, bytes]], count: int) -> Deque[Tuple[str, bytes]]:
    """The last so many."""
    return deque(shown, maxlen=count)
