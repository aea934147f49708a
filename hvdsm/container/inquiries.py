"""Programs that are asked something, each with a time limit; nothing that they have started is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence, Set

# Characters of a program's words that are told.
_LONGEST = 300


@dataclass(frozen=True)
class Ran:
    """How a program ended: its exit code, None where it did not start or had to be ended; and what it said, all together."""

    code: Optional[int]
    text: str

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.code == 0

    @property
    def last(self) -> str:
        """The last line of what it said, for messages."""
        said = self.text.strip().splitlines()
        if said:
            return said[-1].strip()[:_LONGEST]
        if self.code is None:
            return "it says nothing"
        return f"exit code {self.code}" if self.code >= 0 else f"ended by signal {-self.code}"


Run = Callable[[Sequence[str], Mapping[str, str], float], Ran]


class _Programs:
    """The programs that are running for checks; they and what they started are ended with the examination."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Set[Any] = set()

    def run(self, argv: Sequence[str], environ: Mapping[str, str], limit: float, *, apart: bool = False) -> Ran:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return Ran(None, str(error))
        if not apart:
            with self._lock:
                self._running.add(process)
        try:
            said = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            _end(process)
            try:
                said = process.communicate(timeout=2)[0]
            except subprocess.TimeoutExpired:
                said = b""
            text = said.decode(errors="replace").strip()
            return Ran(None, f"{text}\nno answer within {limit:g} s".strip())
        except BaseException:
            # Interrupted: nobody else would end it.
            _end(process)
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        return Ran(process.returncode, said.decode(errors="replace"))

    def end(self) -> None:
        with self._lock:
            for process in self._running:
                _end(process)


def _end(process: Any) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass


_programs = _Programs()


def run(argv: Sequence[str], environ: Mapping[str, str], limit: float = 20.0) -> Ran:
    """Run a program to its end, or for ``limit`` seconds; never raises."""
    return _programs.run(argv, environ, limit)


def run_apart(argv: Sequence[str], environ: Mapping[str, str], limit: float = 20.0) -> Ran:
    """The same of one that cleans up behind itself: where the examination is interrupted, it is left to do so."""
    return _programs.run(argv, environ, limit, apart=True)


def end_programs() -> None:
    """End those that are still running, with what they have started."""
    _programs.end()
