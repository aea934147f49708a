"""Identical lines of several ranks as one line, with the set of ranks; pure.

A line joins the first waiting group of the same text that stands behind all other waiting lines of its rank.  Groups leave in the
order in which they came, when they have waited for the window, or when too many wait.  So every line is in exactly one group, the
lines of a rank keep their order, and what waits is bounded.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Deque, Dict, Iterable, List, Optional, Tuple

from hvdsm.jobs.lines import Origin

# Seconds that a line waits for those of other ranks.
WINDOW = 1.0
# Lines and bytes that wait at most.
MOST = 2000
MOST_BYTES = 16 << 20
# Who says a line: rank, role, host.
Source = Tuple[Optional[int], str, str]


@dataclass
class Folded:
    """A line, and who said it.

    Attributes:
        text: the line without a tag.
        piece: whether the next line of the same sources continues it.
        tagged: whether it had a tag.
        host: whose log it is from; of the first one.
        sources: rank, role and host of all who said it, in the order in which they did.
    """

    text: bytes
    piece: bool
    tagged: bool
    host: str
    sources: List[Source]
    original: bytes
    number: int = 0
    since: float = 0.0

    @property
    def line(self) -> bytes:
        """The line as it is shown: unchanged for a single source."""
        if len(self.sources) == 1:
            return self.original
        return label(self.sources).encode() + (b"~ " if self.piece else b" ") + self.text


@dataclass
class Folder:
    """Folds lines.

    Args:
        window: seconds that a line waits for the same of other ranks.
        most: how many different lines wait at most.
        most_bytes: how many bytes of them.
    """

    window: float = WINDOW
    most: int = MOST
    most_bytes: int = MOST_BYTES
    _waiting: Deque[Folded] = field(default_factory=deque)
    _by_text: Dict[Tuple[bytes, bool, str, bool], List[Folded]] = field(default_factory=dict)
    _last: Dict[Source, int] = field(default_factory=dict)
    _number: int = 0
    _bytes: int = 0

    def feed(self, origin: Origin, host: str, original: bytes, now: float) -> List[Folded]:
        """Take a line; the groups that leave by it.

        Args:
            origin: whose line it is.
            host: whose log it is from.
            original: the line as it is.
            now: seconds, on any scale that does not go back.
        """
        left = self.expire(now)
        source = (origin.rank, origin.role, origin.host)
        # A rank's line never joins one that no rank said, nor a role's of another name.
        key = (origin.text, origin.piece, origin.role if origin.rank is None else "rank", origin.tagged)
        behind = self._last.get(source, -1)
        groups = self._by_text.setdefault(key, [])
        place = bisect_right([group.number for group in groups], behind)
        if place < len(groups):
            group = groups[place]
            group.sources.append(source)
        else:
            group = Folded(origin.text, origin.piece, origin.tagged, host, [source], original, self._number, now)
            self._number += 1
            self._waiting.append(group)
            groups.append(group)
            self._bytes += len(original)
        self._last[source] = group.number
        while len(self._waiting) > self.most or (self._bytes > self.most_bytes and len(self._waiting) > 1):
            left.append(self._leave())
        return left

    def expire(self, now: float) -> List[Folded]:
        """The groups that have waited long enough."""
        left = []
        while self._waiting and now - self._waiting[0].since >= self.window:
            left.append(self._leave())
        return left

    def flush(self) -> List[Folded]:
        """All that wait."""
        return [self._leave() for _ in range(len(self._waiting))]

    def _leave(self) -> Folded:
        group = self._waiting.popleft()
        role = group.sources[0][1] if group.sources[0][0] is None else "rank"
        key = (group.text, group.piece, role, group.tagged)
        groups = self._by_text[key]
        groups.pop(0)
        if not groups:
            del self._by_text[key]
        for source in group.sources:
            if self._last.get(source) == group.number:
                del self._last[source]
        self._bytes -= len(group.original)
        return group


def label(sources: Iterable[Source]) -> str:
    """The tag of a folded line.

    >>> label([(0, "", "algo-1"), (1, "", "algo-1"), (2, "", "algo-2"), (5, "", "algo-3")])
    '[0-2,5,algo-1..algo-3]'
    """
    listed = list(sources)
    ranks = sorted({rank for rank, _, _ in listed if rank is not None})
    roles = sorted({role for rank, role, _ in listed if rank is None and role not in ("", "-")})
    return f"[{','.join([*ranges(ranks), *roles, *host_ranges({host for _, _, host in listed})])}]"


def ranges(numbers: Iterable[int], between: str = "-", before: str = "") -> List[str]:
    """Sorted numbers as single ones and runs.

    >>> ranges([0, 1, 2, 5])
    ['0-2', '5']
    """
    runs: List[List[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [f"{before}{a}" if a == b else f"{before}{a}{between}{before}{b}" for a, b in runs]


def host_ranges(hosts: Iterable[str]) -> List[str]:
    """Names of hosts as single ones and runs.

    >>> host_ranges(["algo-1", "algo-2", "algo-10", "other"])
    ['algo-1..algo-2', 'algo-10', 'other']
    """
    numbers: Dict[str, List[int]] = {}
    others: List[str] = []
    for host in set(hosts):
        found = re.fullmatch(r"(.*?-)(0|[1-9]\d*)", host)
        if found:
            numbers.setdefault(found[1], []).append(int(found[2]))
        else:
            others.append(host)
    runs = [text for prefix in sorted(numbers) for text in ranges(sorted(numbers[prefix]), "..", prefix)]
    return [*runs, *sorted(others)]
