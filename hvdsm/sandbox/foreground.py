"""Runs a command in the foreground, as a shell does: on the same terminal, in the same process group."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from typing import FrozenSet, Iterable, Mapping, Sequence

from hvdsm.emulator import syscalls
from hvdsm.errors import UsageError

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
# siginfo's code of a signal that the kernel sends, as for keys of a terminal: then it goes to the whole foreground process group.
_SI_KERNEL = 0x80
# Seconds between a signal and an end that it has brought about.
PROMPT = 5.0


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code, 128 + N for signal N.
        signals: what was sent to it through this process.
        promptly: whether it ended within a few seconds of the last of them.
    """

    code: int
    signals: FrozenSet[int]
    promptly: bool = False


def find_program(name: str, environ: Mapping[str, str]) -> str:
    """Where a command is.

    Raises:
        UsageError: there is no such program.
    """
    found = shutil.which(name, path=environ.get("PATH", os.defpath))
    if found is not None:
        return found
    if os.path.isfile(name):
        what = f"{name} is not an executable program"
        remedy = f"hvdsm sandbox -- python {name}" if name.endswith(".py") else f"chmod +x {name}"
        raise UsageError(what, where="hvdsm sandbox -- COMMAND", remedy=remedy)
    remedy = "check its name and PATH" if os.sep not in name else "check its path"
    raise UsageError(f"{name}: command not found", where="hvdsm sandbox -- COMMAND", remedy=remedy)


def _begin(mask: Iterable[int]) -> None:
    """In the child: signals as they were; and SIGTERM if this program is killed, since the sandbox is gone then."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    syscalls.die_with_parent(signal.SIGTERM)


def run(argv: Sequence[str], environ: Mapping[str, str]) -> Ended:
    """Run a command until it ends; its standard streams, terminal and process group are those of this process.

    Signals that a person or a program sends to this process go on to the command; those of a terminal's keys it has already.  The
    command alone decides what they mean to it: an interactive program lives on after Ctrl-C.  SIGQUIT kills it.

    Args:
        argv: the command.
        environ: its environment.

    Raises:
        UsageError: it cannot be started.
    """
    taken = {number for number in _FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
    awaited = {*taken, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        try:
            # Only this thread is here, so that the function is safe between fork and exec.
            child = subprocess.Popen(list(argv), env=dict(environ), preexec_fn=partial(_begin, before))
        except OSError as error:
            remedy = f"hvdsm sandbox -- python {argv[0]}" if str(argv[0]).endswith(".py") else "check the program"
            raise UsageError(f"{argv[0]}: {error.strerror}", where="hvdsm sandbox -- COMMAND", remedy=remedy) from None
        sent, last = set(), float("-inf")
        while child.poll() is None:
            told = signal.sigwaitinfo(awaited)
            if told.si_signo == signal.SIGCHLD:
                continue
            sent.add(told.si_signo)
            last = time.monotonic()
            if told.si_code != _SI_KERNEL:
                child.send_signal(told.si_signo)
            if told.si_signo == signal.SIGQUIT:
                child.kill()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    promptly = time.monotonic() - last < PROMPT
    return Ended(child.returncode if child.returncode >= 0 else 128 - child.returncode, frozenset(sent), promptly)
