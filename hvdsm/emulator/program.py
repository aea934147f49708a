"""Starting a program in a host: fork, a session of its own, perhaps a terminal, exec."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import termios
from typing import Dict, List, Optional, Sequence


class Program:
    """A program that was started.

    Attributes:
        identity: the client's number for it.
        pid: its process, in the host.
        exec_pipe: reads as empty when exec has succeeded, else as JSON with ``errno`` and ``file``.
        terminal: the controlling side of its terminal, or None.
        announced: whether the client knows that it was started.
        code: how it ended, negative for a signal; None while it runs.
    """

    def __init__(self, identity: int, pid: int, exec_pipe: int, terminal: Optional[int]) -> None:
        self.identity = identity
        self.pid = pid
        self.exec_pipe = exec_pipe
        self.terminal = terminal
        self.announced = False
        self.code: Optional[int] = None


def start_program(
    identity: int,
    argv: Sequence[str],
    environment: Dict[str, str],
    cwd: Optional[str],
    fds: Sequence[int],
    *,
    terminal: Optional[Sequence[int]],
) -> Program:
    """Fork and execute.

    Args:
        identity: the client's number for the program.
        argv: the program and its arguments; found on the PATH of ``environment``.
        environment: its whole environment.
        cwd: its directory; None for the home directory.
        fds: standard input, output and error.
        terminal: rows and columns of a new controlling terminal; it replaces those of ``fds`` that are -1 or missing.
    """
    read, write = os.pipe()
    main, side = os.openpty() if terminal is not None else (None, None)
    if main is not None and terminal is not None:
        set_window(main, terminal[0], terminal[1])
    pid = os.fork()
    if pid == 0:
        _become(argv, environment, cwd, list(fds), side, write)
    os.close(write)
    if side is not None:
        os.close(side)
    return Program(identity, pid, read, main)


def wakeup_pipe() -> int:
    """A descriptor that becomes readable when a child ends."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def set_window(terminal: int, rows: int, columns: int) -> None:
    """Set the size of a terminal, in characters; the job in its foreground gets SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _become(
    argv: Sequence[str], environment: Dict[str, str], cwd: Optional[str], fds: List[int], side: Optional[int], write: int
) -> None:
    """In the child: execute the program or report why not.  Never returns."""
    place: Optional[str] = argv[0]
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if signal.getsignal(number) is not signal.SIG_DFL and number not in (signal.SIGKILL, signal.SIGSTOP):
                try:
                    signal.signal(number, signal.SIG_DFL)
                except (OSError, ValueError):  # reserved by the C library
                    pass
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        if side is not None:
            fcntl.ioctl(side, termios.TIOCSCTTY, 0)
            # With a terminal only standard error may come from the caller, when it goes to a file there.
            fds = [side, side, fds[0] if fds else side]
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
        place = cwd or environment.get("HOME", "/")
        try:
            os.chdir(place)
        except OSError:
            if cwd:
                raise
        place = argv[0]
        os.execvpe(argv[0], list(argv), environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(write, json.dumps({"errno": error.errno, "file": place}).encode())
    except BaseException as error:
        os.write(write, json.dumps({"errno": None, "file": place, "error": repr(error)}).encode())
    os._exit(127)
