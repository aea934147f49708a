"""Holds ranks back while the log cannot take more."""

from __future__ import annotations

from typing import Callable

from hvdsm.container.loop import Loop
from hvdsm.container.relay import Output

RESUME_SECONDS = 0.02


class Brake:
    """Writes lines to the log; ``hold(True)`` is called when too much waits there, ``hold(False)`` when half of it is gone."""

    def __init__(self, loop: Loop, output: Output, hold: Callable[[bool], None]) -> None:
        self._loop = loop
        self._output = output
        self._hold = hold
        self._held = False

    def write(self, lines: bytes) -> None:
        """Queue lines for the log."""
        self._output.write(lines)
        if self._output.full and not self._held:
            self._held = True
            self._hold(True)
            self._loop.later(RESUME_SECONDS, self._resume)

    def _resume(self) -> None:
        if self._output.roomy:
            self._held = False
            self._hold(False)
        else:
            self._loop.later(RESUME_SECONDS, self._resume)
