"""One host that is the machine itself, with the interface of an emulated cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Mapping, Optional, Sequence, Tuple


class SingleMachine:
    """Starts programs directly, each under a keeper that ends whatever they leave behind."""

    hosts: Tuple[str, ...] = ("algo-1",)
    lost: Tuple[str, ...] = ()

    def __init__(self) -> None:
        self._processes: list[SingleProcess] = []

    def popen(
        self, host: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, stdin: int, stdout: int, stderr: int
    ) -> SingleProcess:
        """Start a program in a session of its own, so that a terminal's interrupt does not reach it."""
        del host
        keeper = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "keeper.py"), "--", *argv]
        process = subprocess.Popen(
            keeper, env=dict(env), cwd=cwd, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, start_new_session=True
        )
        del stdin
        self._processes.append(SingleProcess(process))
        return self._processes[-1]

    def close(self) -> None:
        """End what still runs."""
        for process in self._processes:
            process.end()

    def __enter__(self) -> SingleMachine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class SingleProcess:
    """A program under its keeper, which passes signals on and exits as the program did."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def returncode(self) -> Optional[int]:
        """Exit code, negative for a signal, None while it runs."""
        return self._process.returncode

    def poll(self) -> Optional[int]:
        """Exit code if it has ended."""
        return self._process.poll()

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait for its end."""
        return self._process.wait(timeout)

    def send_signal(self, number: int) -> None:
        """Send a signal to the program."""
        self._process.send_signal(number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the program and all that it started, at once."""
        self.end()

    def end(self) -> None:
        """Close the keeper's lifeline: it kills all that is left and exits."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()
