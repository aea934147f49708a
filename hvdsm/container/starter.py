"""A program that starts ranks (mpirun on the launcher, torchrun on every host): runs it, hears it, ends it."""

from __future__ import annotations

import os
import selectors
import subprocess
from typing import Callable, Mapping, Optional, Sequence

from hvdsm.container.loop import Loop

LEAVE_SECONDS = 0.2
TAIL = 8192


class Starter:
    """The running program; what it says goes to ``say`` with its name in front, and its end is kept in :attr:`tail`.

    Args:
        loop: the loop that hears it.
        name: what its lines are prefixed by.
        say: gets text and prefix.
    """

    def __init__(self, loop: Loop, name: str, say: Callable[[str, str], None]) -> None:
        self._loop = loop
        self.name = name
        self._say = say
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._said = b""
        self._quiet = False
        self.ended = False

    def start(self, argv: Sequence[str], environ: Mapping[str, str], directory: str) -> None:
        """Start it in a session of its own, so that no terminal's signal reaches it past the container program.

        Raises:
            OSError: it cannot be started.
        """
        self._said, self._quiet, self.ended = b"", False, False
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=dict(environ),
            start_new_session=True,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._loop.watch(self._process.stdout, selectors.EVENT_READ, lambda _events: self._hear())

    @property
    def code(self) -> int:
        """Its exit code, negative for a signal; 0 while it runs."""
        return (self._process.returncode or 0) if self._process else 0

    @property
    def running(self) -> bool:
        """Whether it was started and its end has not been noticed."""
        return self._process is not None and not self.ended

    @property
    def process(self) -> Optional[subprocess.Popen[bytes]]:
        """The process, None before its start and after :meth:`close`."""
        return self._process

    @property
    def tail(self) -> str:
        """The last 8 KiB that it said."""
        return self._said.decode(errors="replace")

    def just_ended(self) -> bool:
        """Whether it has ended since the last time this was asked."""
        if self._process is None or self.ended or self._process.poll() is None:
            return False
        self.ended = True
        while self._hear():
            pass
        return True

    def _hear(self) -> bool:
        assert self._process is not None and self._process.stdout is not None
        data = self._process.stdout.read(1 << 16)
        if not data:
            if data == b"":
                self._loop.unwatch(self._process.stdout)
            return False
        self._said = (self._said + data)[-TAIL:]
        if not self._quiet:
            self._say(data.decode(errors="backslashreplace"), f"{self.name}: ")
        return True

    def quieten(self) -> None:
        """The ranks are being ended: what it says of that is no news."""
        self._quiet = True

    def terminate(self) -> None:
        """The run is over: end it if it has not ended; what it says of that is no news."""
        self._quiet = True
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def close(self) -> None:
        """Wait a moment for its end, then kill it."""
        if self._process is None:
            return
        assert self._process.stdout is not None
        self._loop.unwatch(self._process.stdout)
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process, self.ended = None, True
