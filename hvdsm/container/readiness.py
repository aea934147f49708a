"""Whether a process beside the ranks is ready: it said so, wrote a file, or listens on its port."""

from __future__ import annotations

import os
import re
import socket
from typing import Callable, Optional, Tuple

from hvdsm.container.loop import Loop, Timer
from hvdsm.model.plan import Ready

LOOK_SECONDS = 0.05
# The state of a socket that listens (TCP_LISTEN in the kernel's tcp_states.h).
_LISTENING = "0A"
# What the relay puts in front of a line, or of a piece of one.
_TAG = re.compile(r"^\[[^\]]*\]~? ")
_Stamp = Optional[Tuple[int, int, int]]


class Readiness:
    """Waits until a process is ready, then calls ``done`` once.

    Args:
        loop: the loop.
        ready: what is waited for, its placeholders replaced.
        directory: what the path of a file is relative to.
        done: called when it is ready.
    """

    def __init__(self, loop: Loop, ready: Ready, directory: str, done: Callable[[], None]) -> None:
        self._loop = loop
        self._ready = ready
        self._done = done
        self._path = os.path.join(directory, ready.file) if ready.file is not None else ""
        # A file of a run before says nothing of this process.
        self._before = stamp(self._path) if self._path else None
        self._pattern = re.compile(ready.line) if ready.line is not None else None
        self._timer: Optional[Timer] = None
        self.over = False

    @property
    def missing(self) -> str:
        """What has not come, for a message."""
        if self._ready.file is not None:
            return f"there is no new file {self._path}"
        if self._ready.port is not None:
            return f"nothing listens on TCP port {self._ready.port}"
        return f"no line of its output matches {self._ready.line!r}"

    def begin(self) -> None:
        """The process runs."""
        if not self._ready.anything:
            self._end()
        elif self._pattern is None:
            self._look()

    def hear(self, lines: bytes) -> None:
        """Tagged lines of its output."""
        if self._pattern is None or self.over:
            return
        for line in lines.decode(errors="replace").splitlines():
            if self._pattern.search(_TAG.sub("", line, count=1)):
                self._end()
                return

    def cancel(self) -> None:
        """Wait no longer."""
        self.over = True
        if self._timer is not None:
            self._timer.cancel()

    def check(self) -> None:
        """Look once more, before the process is said to have ended unready."""
        if not self.over and self._pattern is None and self._is_so():
            self._end()

    def _look(self) -> None:
        if self.over:
            return
        if self._is_so():
            self._end()
        else:
            self._timer = self._loop.later(LOOK_SECONDS, self._look)

    def _is_so(self) -> bool:
        if self._ready.port is not None:
            return listens(int(self._ready.port))
        found = stamp(self._path)
        return found is not None and found != self._before

    def _end(self) -> None:
        self.cancel()
        self._done()


def stamp(path: str) -> _Stamp:
    """What tells a file from one that was there before; None without a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def listens(port: int) -> bool:
    """Whether something on this host listens on a TCP port.

    The kernel's table tells.  A connection would be one that many servers count, so it is tried only where there is no table.
    """
    tables = [table for table in map(_table, ("/proc/net/tcp", "/proc/net/tcp6")) if table is not None]
    if tables:
        return any(_listens_in(table, port) for table in tables)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def _table(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _listens_in(table: str, port: int) -> bool:
    """A row is ``0: 0100007F:1F90 00000000:0000 0A …``; see proc(5)."""
    wanted = f":{port:04X}"
    for row in table.splitlines()[1:]:
        fields = row.split(None, 4)
        if len(fields) > 3 and fields[3] == _LISTENING and fields[1].endswith(wanted):
            return True
    return False


def is_free(port: int) -> bool:
    """Whether a program can listen on a TCP port of all addresses of this host."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
