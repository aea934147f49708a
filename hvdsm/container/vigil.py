"""Watches for a hang on the launcher: asks all hosts for the stacks of their ranks, then fails the run."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Set

from hvdsm.container.loop import Loop, Timer
from hvdsm.container.watchdog import RankActivity, Watchdog, hang_message
from hvdsm.errors import EXIT_TIMEOUT
from hvdsm.model import RankFailure
from hvdsm.model.outcome import KIND_HANG

CHECK_SECONDS = 0.5
ANSWER_SECONDS = 5.0


class Vigil:
    """Runs the watchdog of a job; without a limit it does nothing.

    Args:
        loop: the loop.
        limit: seconds without a sign of life that are a hang; None for no watch.
        ask: asks every host for the stacks of its ranks.
        fail: gets the failure.
    """

    def __init__(self, loop: Loop, limit: Optional[float], ask: Callable[[], None], fail: Callable[[RankFailure], None]) -> None:
        self._loop = loop
        self._limit = limit or 0.0
        self._ask = ask
        self._fail = fail
        self._dog = Watchdog(self._limit)
        self._timer: Optional[Timer] = None
        self._waiting: Set[str] = set()
        self._stacks: Dict[int, str] = {}
        self._stopped: Set[int] = set()

    def begin(self) -> None:
        """All ranks run."""
        if self._limit:
            self._dog.begin(time.monotonic())
            self._check_later()

    def end(self) -> None:
        """The run is ending: no watch until the next :meth:`begin`."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _check_later(self) -> None:
        self._timer = self._loop.later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        if not self._dog.hangs(time.monotonic()):
            self._check_later()
            return
        self._stacks.clear()
        self._stopped.clear()
        self._waiting = {rank.host for rank in self._dog.ranks()}
        self._timer = self._loop.later(ANSWER_SECONDS, self._conclude)
        self._ask()

    def hear(self, host: str, ranks: List[Mapping[str, Any]]) -> None:
        """A host tells of its running ranks."""
        self._dog.hear(host, ranks, time.monotonic())

    def hear_stacks(self, host: str, ranks: List[Mapping[str, Any]]) -> None:
        """A host sends the stacks of its ranks."""
        for rank in ranks:
            self._stacks[int(rank["rank"])] = str(rank["text"])
            if rank.get("stopped"):
                self._stopped.add(int(rank["rank"]))
        if host in self._waiting:
            self._waiting.discard(host)
            if not self._waiting:
                self._conclude()

    def _conclude(self) -> None:
        if self._timer is None:
            return
        self.end()
        ranks = self._dog.ranks()
        stopped = [rank for rank in ranks if rank.rank in self._stopped]
        behind = self._dog.behind()
        self._fail(self._failure(ranks, behind, stopped))

    def _failure(self, ranks: List[RankActivity], behind: List[RankActivity], stopped: List[RankActivity]) -> RankFailure:
        suspects = stopped or behind
        # One rank alone can be named as the cause; of several nobody knows which one the others wait for.
        one = suspects[0] if len(suspects) == 1 else None
        shown = [rank for rank in (suspects or ranks)[:4] if rank.rank in self._stacks]
        return RankFailure(
            kind=KIND_HANG,
            message=hang_message(self._limit, ranks, behind, stopped),
            exit_code=EXIT_TIMEOUT,
            host=one.host if one else None,
            rank=one.rank if one else None,
            local_rank=one.local_rank if one else None,
            traceback="\n".join(f"stack of {rank.who}:\n{self._stacks[rank.rank]}" for rank in shown),
            reported=True,
            time=time.time(),
        )
