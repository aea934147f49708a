"""Small tools of the benchmarks: medians, child CPU time, and a table that never hides a missed goal."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Dict, List, Optional, Sequence


@dataclass(frozen=True)
class Row:
    """One measured value.

    ``peer`` is what the same run measured of the peer; ``goal`` is met when ``value`` (or value over peer, when ``of_ratio``) is
    at most, or with ``at_least`` at least, ``limit``.
    """

    name: str
    value: float
    unit: str
    peer: Optional[float] = None
    peer_name: str = ""
    limit: Optional[float] = None
    goal: str = ""
    of_ratio: bool = False
    at_least: bool = False

    @property
    def ratio(self) -> Optional[float]:
        """Value over peer."""
        return None if not self.peer else self.value / self.peer

    @property
    def met(self) -> Optional[bool]:
        """Whether the goal is met; None without one."""
        measured = self.ratio if self.of_ratio else self.value
        if self.limit is None or measured is None:
            return None
        return measured >= self.limit if self.at_least else measured <= self.limit

    def as_dict(self) -> Dict[str, object]:
        """For the JSON file."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines: List[List[str]] = [["what", "measured", "peer", "ratio", "goal", "met"]]
    for row in rows:
        peer = f"{row.peer:.3f} {row.unit} ({row.peer_name})" if row.peer is not None else "-"
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else "-"
        met = {True: "yes", False: "NO", None: "-"}[row.met]
        lines.append([row.name, f"{row.value:.3f} {row.unit}", peer, ratio, row.goal or "-", met])
    widths = [max(len(line[i]) for line in lines) for i in range(6)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def cpu_seconds(argv: Sequence[str], repeats: int, env: Optional[Dict[str, str]] = None) -> float:
    """Median user and system time of a command, in seconds, whatever its exit code."""
    times = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times)


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"{text} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
