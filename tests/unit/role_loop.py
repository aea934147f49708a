"""Processes beside the ranks on a loop of their own, and what came of them."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

from hvdsm.container.loop import Loop
from hvdsm.container.roles import Roles


class RoleLoop:
    """Events and lines of roles; the loop runs until something is so."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = Loop()
        self.events: List[Dict[str, Any]] = []
        self.lines = b""
        self.until: Callable[[], bool] = lambda: False
        self.roles = Roles(self.loop, "algo-1", on_event=self._event, on_lines=self._line)
        self.loop.on_signals({signal.SIGCHLD: self._child})
        self.limit = self.loop.later(60, self.loop.stop)

    def _event(self, event: Dict[str, Any]) -> None:
        self.events.append(event)
        self._look()

    def _line(self, lines: bytes) -> None:
        self.lines += lines
        self._look()

    def _child(self) -> None:
        self.roles.reap()
        self._look()

    def _look(self) -> None:
        if self.until():
            self.loop.stop()

    def run(self, until: Callable[[], bool]) -> None:
        """Serve until something is so; a hang ends after a minute, and the assertion that follows tells."""
        self.until = until
        self.loop._stopped = False
        if not until():
            self.loop.run()


@contextmanager
def signals_kept() -> Iterator[None]:
    """What a loop has set is as it was before."""
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, before)
