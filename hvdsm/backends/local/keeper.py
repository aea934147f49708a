"""Runs one program and ends every process that it leaves behind; started as a file, standard library only.

It is the subreaper of all that the program starts, also of daemons that gave up their session.  When the program has ended,
or the pipe on standard input closes because the caller has gone, it kills what is left and exits as the program did.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from typing import List, Optional

PR_SET_CHILD_SUBREAPER = 36


def main(argv: List[str]) -> int:
    """``keeper.py -- PROGRAM ARGS…``."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    passed = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    child = _start(argv[1:])

    def forward(number: int, _frame: object) -> None:
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass

    for number in passed:
        signal.signal(number, forward)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    # The wakeup descriptor gets a byte for every signal from here on; a child that ended before is found by the first look.
    status: Optional[int] = _reap(child)
    while status is None:
        ready, _, _ = select.select([wake_read, sys.stdin.fileno()], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            status = _reap(child)
        if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 4096):
            break
    _kill_descendants()
    if status is None:
        return 128 + signal.SIGKILL
    if os.WIFSIGNALED(status):
        # Exit as the program did, so that the caller sees the same signal.
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL) if os.WTERMSIG(status) != signal.SIGKILL else None
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.WEXITSTATUS(status)


def _start(argv: List[str]) -> int:
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        signal.set_wakeup_fd(-1)
        try:
            os.execvp(argv[0], argv)  # noqa: S606
        except OSError as error:
            os.write(2, f"hvdsm: {argv[0]}: {error.strerror}\n".encode())
        os._exit(127)
    return child


def _reap(child: int) -> Optional[int]:
    """Collect all that has ended; the status of the program if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def _kill_descendants() -> None:
    """Kill children until there are none: the children of a killed one become ours, as we are their subreaper."""
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            children = [int(word) for word in file.read().split()]
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
