"""The process that runs a job of this machine."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from typing import Optional

from hvdsm.backends.local.running import process_start


@dataclass(frozen=True)
class Running:
    """The process that runs a job: its number, when it began to run the job, and when it started (ticks since boot)."""

    pid: int
    started: float
    process_start: Optional[int]

    @property
    def is_alive(self) -> bool:
        """Whether that very process is still there: its number alone is given anew."""
        if self.process_start is not None:
            return process_start(self.pid) == self.process_start
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def watch(self, seconds: float) -> bool:
        """Wait so long, or until the process ends; False where it cannot be watched, or is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (OSError, AttributeError):
            return False
        try:
            select.select([descriptor], [], [], seconds)
        finally:
            os.close(descriptor)
        return True

    def send(self, number: signal.Signals) -> None:
        """Signal exactly that process.

        Raises:
            ProcessLookupError: it is gone.
            PermissionError: it is another user's.
        """
        if not hasattr(os, "pidfd_open") or not hasattr(signal, "pidfd_send_signal"):
            os.kill(self.pid, number)
            return
        descriptor = os.pidfd_open(self.pid)
        try:
            # The descriptor holds one process, whatever becomes of its number: look again which one that is.
            if not self.is_alive:
                raise ProcessLookupError
            signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
