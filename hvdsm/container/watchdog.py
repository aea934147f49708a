"""Decides whether a job hangs, from what its hosts tell of their ranks; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

Activity = Mapping[str, Any]


@dataclass(frozen=True)
class RankActivity:
    """A running rank: seconds since its last output or progress, and the last step that it reported."""

    rank: int
    local_rank: int
    host: str
    idle: float
    step: Optional[int]

    @property
    def who(self) -> str:
        """``rank 1 (algo-2, local rank 0)``."""
        return f"rank {self.rank} ({self.host}, local rank {self.local_rank})"


class Watchdog:
    """Keeps the last activity of every host; :meth:`hangs` says whether all ranks have been silent for ``limit`` seconds."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._hosts: Dict[str, List[RankActivity]] = {}
        self._heard: Dict[str, float] = {}
        self._since = 0.0

    def begin(self, now: float) -> None:
        """The ranks run (again) as of now."""
        self._since = now
        self._hosts.clear()

    def hear(self, host: str, ranks: List[Activity], now: float) -> None:
        """A host tells of its running ranks: rank, local_rank, idle, step."""
        self._heard[host] = now
        self._hosts[host] = [
            RankActivity(int(r["rank"]), int(r["local_rank"]), host, float(r["idle"]), r.get("step")) for r in ranks
        ]

    def ranks(self) -> List[RankActivity]:
        """All running ranks by number."""
        return sorted((rank for ranks in self._hosts.values() for rank in ranks), key=lambda rank: rank.rank)

    def hangs(self, now: float) -> bool:
        """Whether there are ranks and none of them has shown a sign of life for the limit."""
        ranks = self.ranks()
        if not ranks or now - self._since < self.limit:
            return False
        return all(rank.idle + now - self._heard[rank.host] >= self.limit for rank in ranks)

    def behind(self) -> List[RankActivity]:
        """The ranks whose step is below the greatest, the furthest behind first."""
        steps = [rank.step for rank in self.ranks() if rank.step is not None]
        if not steps:
            return []
        late = [rank for rank in self.ranks() if rank.step is None or rank.step < max(steps)]
        return sorted(late, key=lambda rank: (-1 if rank.step is None else rank.step, rank.rank))

    def best_step(self) -> Optional[int]:
        """The greatest step that a rank reported."""
        return max((rank.step for rank in self.ranks() if rank.step is not None), default=None)


def hang_message(limit: float, ranks: List[RankActivity], behind: List[RankActivity], stopped: List[RankActivity]) -> str:
    """One line: for how long, which ranks are behind or stopped, or else which one fell silent first."""
    count = len(ranks)
    text = f"hang: no output and no progress from any of {count} rank{'s' if count != 1 else ''} for {limit:g} s"
    top = max((rank.step for rank in ranks if rank.step is not None), default=None)
    if stopped:
        text += "; stopped: " + _names(stopped)
    if behind:
        text += f"; behind step {top}: " + ", ".join(
            f"{rank.who} at {'no step' if rank.step is None else f'step {rank.step}'}" for rank in behind[:5]
        )
        text += f" and {len(behind) - 5} more" if len(behind) > 5 else ""
    elif not stopped and count > 1:
        first = max(ranks, key=lambda rank: rank.idle)
        text += f"; silent longest: {first.who}"
    return text


def _names(ranks: List[RankActivity]) -> str:
    return ", ".join(rank.who for rank in ranks[:5]) + (f" and {len(ranks) - 5} more" if len(ranks) > 5 else "")
