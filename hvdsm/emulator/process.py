"""A program on an emulated host, with the manners of ``subprocess.Popen``."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import IO, Any, Callable, List, Optional, Tuple, Union

from hvdsm.errors import UsageError

Stdio = Union[None, int, IO[Any]]

LOST_HOST_CODE = -int(signal.SIGKILL)


class HostProcess:
    """A program that runs, or ran, on an emulated host.

    Attributes:
        host: name of the host.
        argv: the program and its arguments.
        terminal: the controlling side (a descriptor that the caller closes) of its terminal, if it was given one.
    """

    def __init__(self, host: str, argv: Tuple[str, ...], signaller: Callable[[int, bool], None]) -> None:
        self.host = host
        self.argv = argv
        self.terminal: Optional[int] = None
        self._signaller = signaller
        self._code: Optional[int] = None
        self._error: Optional[Exception] = None
        self._started = threading.Event()
        self._ended = threading.Event()

    def __repr__(self) -> str:
        """Host, program and state."""
        state = "running" if self._code is None else f"code {self._code}"
        return f"<HostProcess {self.host}: {self.argv[0]} {state}>"

    @property
    def returncode(self) -> Optional[int]:
        """None while it runs, else its exit code, negative for a signal; -9 when its host was lost."""
        return self._code

    def poll(self) -> Optional[int]:
        """The same as :attr:`returncode`."""
        return self._code

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait until it ends.

        Args:
            timeout: seconds; None to wait for ever.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(list(self.argv), timeout or 0.0)
        assert self._code is not None
        return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal to this process only; nothing happens when it has ended."""
        if self._code is None:
            self._signaller(int(number), False)

    def send_signal_to_group(self, number: int) -> None:
        """Send a signal to the process and those it has started, as a terminal does."""
        if self._code is None:
            self._signaller(int(number), True)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def wait_started(self) -> None:
        """Wait until the program runs.

        Raises:
            OSError: it cannot be executed; the type tells why, as with ``subprocess.Popen``.
            HostLost: the host ended first.
        """
        self._started.wait()
        if self._error is not None:
            raise self._error

    def mark_started(self, terminal: Optional[int]) -> None:
        """The host says that the program runs."""
        self.terminal = terminal
        self._started.set()

    def mark_failed(self, error: Exception) -> None:
        """The host says that the program cannot run."""
        self._error = error
        self.mark_ended(127)

    def mark_lost(self, error: Exception) -> None:
        """The host ended, and the program with it."""
        if not self._started.is_set():
            self._error = error
        self.mark_ended(LOST_HOST_CODE)

    def mark_ended(self, code: int) -> None:
        """The host says how the program ended."""
        if self._code is None:
            self._code = code
        self._started.set()
        self._ended.set()


def execution_error(number: Optional[int], file: Optional[str], text: Optional[str]) -> OSError:
    """The error that ``subprocess.Popen`` would raise (FileNotFoundError, PermissionError…)."""
    if number is None:
        return OSError(text or "the program cannot be executed")
    return OSError(number, os.strerror(number), file)


def descriptor(stream: Stdio, own: int, opened: List[int]) -> int:
    """The descriptor for a program's stream; what is opened for it is added to ``opened``."""
    if stream is None:
        try:
            os.fstat(own)
            return own
        except OSError:  # this process runs without it
            stream = subprocess.DEVNULL
    if stream == subprocess.DEVNULL:
        opened.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        return opened[-1]
    number = stream if isinstance(stream, int) else stream.fileno()
    if number < 0:
        raise UsageError("not a file: pass a descriptor, a file object or subprocess.DEVNULL", where=f"stream {own}")
    return number
