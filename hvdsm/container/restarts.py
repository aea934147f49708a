"""Whether ranks are started again after a failure; no I/O.

A job that fails again and again without getting further is given up: three runs in a row without a new file in the
checkpoints and without a greater step.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

FRUITLESS = 3


class Restarts:
    """Counts the restarts of a job; ``limit`` is how many it may have."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.done = 0
        self._allowed = True
        self._checkpoints: Dict[str, str] = {}
        self._before: Dict[str, str] = {}
        self._best: Optional[int] = None
        self._step: Optional[int] = None
        self._fruitless = 0

    @property
    def left(self) -> bool:
        """Whether another restart may follow."""
        return self._allowed and self.done < self.limit

    def forbid(self) -> None:
        """The hosts are not what they were, or the job is being stopped: no restart any more."""
        self._allowed = False

    def hear(self, host: str, ready: Mapping[str, Any]) -> None:
        """A host is ready for a run: what is in its checkpoints, and the greatest step of the run before."""
        self._checkpoints[host] = str(ready.get("checkpoints", ""))
        if ready.get("step") is not None:
            self._step = max(int(ready["step"]), -1 if self._step is None else self._step)

    def begin(self) -> Optional[str]:
        """All hosts are ready: count the run before; returns why the job is given up, None when it goes on."""
        first = not self._before
        changed = any(self._before.get(host) != found for host, found in self._checkpoints.items())
        further = self._step is not None and (self._best is None or self._step > self._best)
        self._before = dict(self._checkpoints)
        if further:
            self._best = self._step
        self._step = None
        if first:
            return None
        self._fruitless = 0 if changed or further else self._fruitless + 1
        if self._fruitless < FRUITLESS:
            return None
        return f"given up: {FRUITLESS} runs in a row ended without a new checkpoint file and without a greater step"
