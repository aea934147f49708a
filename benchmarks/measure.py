"""Small tools of the benchmarks: rows with goals, a table that never hides a missed one, CPU time of children, progress."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

HEADINGS = ("what", "measured", "spread", "peer", "ratio", "goal", "met")


@dataclass(frozen=True)
class Goal:
    """``factor`` times the peer's value plus ``allowance`` (of the row's unit), as the most or, with ``at_least``, the least."""

    factor: float = 0.0
    allowance: float = 0.0
    at_least: bool = False

    def limit(self, peer: Optional[float]) -> Optional[float]:
        """The limit in the row's unit; None while the peer that it refers to was not measured."""
        if not self.factor:
            return self.allowance
        return None if peer is None else self.factor * peer + self.allowance

    def met(self, value: float, peer: Optional[float]) -> Optional[bool]:
        """Whether ``value`` keeps to the limit; None while the limit is unknown."""
        limit = self.limit(peer)
        if limit is None:
            return None
        return value >= limit if self.at_least else value <= limit

    def text(self, unit: str) -> str:
        """As a table shows it."""
        parts = [f"{self.factor:g} x peer"] if self.factor else []
        parts += [f"{self.allowance:g} {unit}"] if self.allowance else []
        return f"{'>=' if self.at_least else '<='} {' + '.join(parts) or '0'}"


@dataclass(frozen=True)
class Row:
    """One measured thing: its values and those of its peer, all of the same run.  The median counts."""

    name: str
    unit: str
    values: Tuple[float, ...]
    goal: Optional[Goal] = None
    peer_name: str = ""
    peer_values: Tuple[float, ...] = ()

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def peer(self) -> Optional[float]:
        """The peer's median; None without a peer."""
        return statistics.median(self.peer_values) if self.peer_values else None

    @property
    def ratio(self) -> Optional[float]:
        """Value over peer."""
        return self.value / self.peer if self.peer else None

    @property
    def limit(self) -> Optional[float]:
        """What the goal means in this run, in ``unit``."""
        return self.goal.limit(self.peer) if self.goal else None

    @property
    def met(self) -> Optional[bool]:
        """Whether the goal is met; None without one."""
        return None if self.goal is None else self.goal.met(self.value, self.peer)

    @property
    def rounds_met(self) -> Optional[int]:
        """In how many rounds, each taken alone with its own peer, the goal is met; None where that cannot be said."""
        if self.goal is None or (self.peer_values and len(self.peer_values) != len(self.values)):
            return None
        peers: Sequence[Optional[float]] = self.peer_values or [None] * len(self.values)
        return sum(self.goal.met(value, peer) is True for value, peer in zip(self.values, peers))

    def as_dict(self) -> Dict[str, object]:
        """For the JSON file."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "values": self.values,
            "peer_name": self.peer_name or None,
            "peer": self.peer,
            "peer_values": self.peer_values,
            "ratio": self.ratio,
            "goal": self.goal.text(self.unit) if self.goal else None,
            "limit": self.limit,
            "met": self.met,
            "rounds_met": self.rounds_met,
        }


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _cells(row: Row) -> Tuple[str, ...]:
    goal = row.goal.text(row.unit) if row.goal else "-"
    if row.goal and row.goal.factor and row.limit is not None:
        goal += f" = {_number(row.limit)}"
    return (
        row.name,
        f"{_number(row.value)} {row.unit}",
        f"{_number(min(row.values))}..{_number(max(row.values))}" if len(row.values) > 1 else "-",
        "-" if row.peer is None else f"{_number(row.peer)} ({row.peer_name})",
        "-" if row.ratio is None else f"{row.ratio:.3f}",
        goal,
        _verdict(row),
    )


def _verdict(row: Row) -> str:
    """Yes or NO by the medians; how many rounds say so is told where they do not agree."""
    if row.met is None:
        return "-"
    word, rounds = "yes" if row.met else "NO", len(row.values)
    return word if row.rounds_met in (None, rounds if row.met else 0) else f"{word} ({row.rounds_met} of {rounds} rounds)"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3f}"


def cpu_seconds(argv: Sequence[str], codes: Sequence[int] = (0,), env: Optional[Mapping[str, str]] = None) -> float:
    """User and system time of a command and of what it waited for, in seconds.

    Args:
        argv: the command.
        codes: its acceptable exit codes.
        env: its environment; this process's by default.

    Raises:
        RuntimeError: another exit code, with the end of its output.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in codes:
        raise RuntimeError(f"{argv} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def load() -> float:
    """Processes that wanted a core in the last minute, on average."""
    return os.getloadavg()[0]


def say(text: str) -> None:
    """A line of progress, on standard error, with the load beside it."""
    print(f"{text} (load {load():.1f} on {os.cpu_count()} cores)", file=sys.stderr, flush=True)


def shown(values: Mapping[str, List[float]]) -> str:
    """The last value of each series, for a line of progress."""
    return ", ".join(f"{name} {_number(series[-1])}" for name, series in values.items() if series)
