"""Relaying between the caller's streams and a terminal on a host."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import threading
import tty
from contextlib import contextmanager
from typing import Iterator, NamedTuple, Tuple

from hvdsm.emulator.process import HostProcess
from hvdsm.emulator.program import set_window

_DEFAULT_SIZE = (24, 80)  # rows, columns, where there is no window
_END_OF_FILE = b"\x04"  # Ctrl-D
_PIECE = 1 << 16
_MAX_ENDS = 100


class Screen(NamedTuple):
    """The caller's standard streams, and which of them are terminals."""

    input: int
    output: int
    input_is_terminal: bool
    output_is_terminal: bool
    error_is_terminal: bool

    @classmethod
    def of_caller(cls) -> Screen:
        """The streams of this process."""
        return cls(0, 1, _is_terminal(0), _is_terminal(1), _is_terminal(2))

    @property
    def is_terminal(self) -> bool:
        """Whether somebody sits there: input and output are terminals."""
        return self.input_is_terminal and self.output_is_terminal

    def size(self) -> Tuple[int, int]:
        """Rows and columns."""
        for fd, known in ((self.output, self.output_is_terminal), (self.input, self.input_is_terminal)):
            if known:
                rows, columns = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))[:2]
                if rows and columns:
                    return rows, columns
        return _DEFAULT_SIZE


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def relay(process: HostProcess, screen: Screen) -> None:
    """Pass bytes both ways until the host's side of the terminal is closed or the process has ended.

    The caller's terminal is raw meanwhile, so that Ctrl-C and the like go to the host's; it is restored in the end.
    """
    terminal = process.terminal
    if terminal is None:
        return
    done_read, done_write = os.pipe()
    watcher = threading.Thread(target=_tell_end, args=(process, done_write), daemon=True)
    watcher.start()
    try:
        with _raw(screen), _window_follows(terminal, screen):
            _Relay(terminal, done_read, screen).run()
    finally:
        os.close(terminal)
        watcher.join()
        os.close(done_read)


def _tell_end(process: HostProcess, done: int) -> None:
    process.wait()
    os.close(done)


class _Relay:
    """Passes bytes between the caller's streams and the terminal; never waits for one side only."""

    def __init__(self, terminal: int, done: int, screen: Screen) -> None:
        self._terminal = terminal
        self._done = done
        self._screen = screen
        self._pending = b""  # from the caller, not yet taken by the terminal
        self._input_open = True
        self._ends_left = 0  # how often an end of input may still be repeated
        os.set_blocking(terminal, False)

    def run(self) -> None:
        """Until the terminal is closed or the process has ended."""
        while self._step():
            pass

    def _step(self) -> bool:
        poll = select.poll()
        poll.register(self._done, select.POLLIN)
        poll.register(self._terminal, select.POLLIN | (select.POLLOUT if self._pending else 0))
        if self._input_open and not self._pending:
            poll.register(self._screen.input, select.POLLIN)
        ready = dict(poll.poll())
        events = ready.get(self._terminal, 0)
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            if not self._output():
                return False
        elif self._done in ready:
            return False
        if events & select.POLLOUT:
            self._pending = self._pending[_write_some(self._terminal, self._pending) :]
        if self._screen.input in ready:
            self._pending = os.read(self._screen.input, _PIECE)
            if not self._pending:
                self._input_open = False
                self._pending = _END_OF_FILE
                self._ends_left = _MAX_ENDS
        return True

    def _output(self) -> bool:
        try:
            data = os.read(self._terminal, _PIECE)
        except BlockingIOError:
            return True
        except OSError:  # EIO: nobody has the other side open
            return False
        _write(self._screen.output, data)
        # A shell that changes the terminal's mode loses an end of input sent before; its prompt shows that it waits again.
        if self._ends_left and not self._pending and not data.endswith(b"\n"):
            self._ends_left -= 1
            self._pending = _END_OF_FILE
        return bool(data)


def _write_some(fd: int, data: bytes) -> int:
    try:
        return os.write(fd, data)
    except (BlockingIOError, OSError):  # full, or closed: then reading says so
        return 0


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextmanager
def _raw(screen: Screen) -> Iterator[None]:
    if not screen.input_is_terminal:
        yield
        return
    before = termios.tcgetattr(screen.input)
    try:
        tty.setraw(screen.input, termios.TCSADRAIN)  # what was typed ahead is kept
        yield
    finally:
        termios.tcsetattr(screen.input, termios.TCSADRAIN, before)


@contextmanager
def _window_follows(terminal: int, screen: Screen) -> Iterator[None]:
    if not screen.is_terminal or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: set_window(terminal, *screen.size()))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
