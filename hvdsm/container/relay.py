"""Carries the lines of ranks to the log, tagged, with their bytes untouched and in order, in bounded memory."""

from __future__ import annotations

import os
import threading
from typing import List

MAX_LINE = 8 << 20
PARTIAL_SECONDS = 1.0
TAIL = 8 << 10


class LineTagger:
    """Puts ``[label] `` in front of each line of one process's output; a rank's label is ``rank,host``.

    A line up to 8 MiB travels whole.  A longer one, a partial line that ends in a carriage return, and (by :meth:`overdue`) a
    partial line older than a second go in pieces marked ``[label]~ ``: the next record of that label continues the line.
    """

    def __init__(self, label: str) -> None:
        name = f"[{label}]".encode()
        self._tag = name + b" "
        self._piece = name + b"~ "
        self._partial: List[bytes] = []
        self._size = 0
        self._since = 0.0
        self.tail = b""

    def feed(self, data: bytes, now: float) -> bytes:
        """The records that ``data`` completes, ready to be written."""
        self.tail = (self.tail + data)[-TAIL:] if len(data) < TAIL else data[-TAIL:]
        end = data.rfind(b"\n")
        out = b""
        if end >= 0:
            lines = b"".join([*self._partial, data[:end]])
            out = self._tag + lines.replace(b"\n", b"\n" + self._tag) + b"\n"
            self._partial, self._size = [], 0
            data = data[end + 1 :]
        if data:
            if not self._partial:
                self._since = now
            self._partial.append(data)
            self._size += len(data)
            if self._size > MAX_LINE or data.endswith(b"\r"):
                out += self._cut()
        return out

    def overdue(self, now: float) -> bytes:
        """The partial line as a piece, when it is older than a second; else nothing."""
        return self._cut() if self._partial and now - self._since >= PARTIAL_SECONDS else b""

    def finish(self) -> bytes:
        """The last line, when the output ended without a newline."""
        if not self._partial:
            return b""
        line = self._tag + b"".join(self._partial) + b"\n"
        self._partial, self._size = [], 0
        return line

    def _cut(self) -> bytes:
        piece = self._piece + b"".join(self._partial) + b"\n"
        self._partial, self._size = [], 0
        return piece


class Output:
    """Writes to a descriptor from a thread of its own, so that a slow reader of the log never stops heartbeats.

    About ``limit`` bytes may wait: :attr:`full` tells producers to hold back, :attr:`roomy` that half of them are gone again.
    """

    def __init__(self, descriptor: int, limit: int = 32 << 20) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._chunks: List[bytes] = []
        self._waiting = 0
        self._condition = threading.Condition()
        self._closed = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="hvdsm-output", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether producers should hold back."""
        return self._waiting > self._limit

    @property
    def roomy(self) -> bool:
        """Whether producers may go on."""
        return self._waiting <= self._limit // 2

    def write(self, data: bytes) -> None:
        """Queue bytes; never blocks."""
        if not data:
            return
        with self._condition:
            if not self._broken:
                self._chunks.append(data)
                self._waiting += len(data)
            self._condition.notify()

    def say(self, text: str, prefix: str = "hvdsm: ") -> None:
        """Queue a text, each line with a prefix."""
        self.write("".join(f"{prefix}{line}\n" for line in text.rstrip("\n").split("\n")).encode(errors="backslashreplace"))

    def close(self, timeout: float = 30.0) -> None:
        """Wait until everything is written, at most ``timeout`` seconds."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._chunks and not self._closed:
                    self._condition.wait()
                if not self._chunks:
                    return
                data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
                self._chunks = []
            self._put(data)
            with self._condition:
                self._waiting -= len(data)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except InterruptedError:
                continue
            except BlockingIOError:
                # Somebody made the shared descriptor non-blocking: wait until it takes more.
                import select

                select.select([], [self._descriptor], [])
            except OSError:
                # The reader of the log is gone; the job goes on.
                self._broken = True
                return
