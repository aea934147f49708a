"""Processes of one host beside its ranks, such as a parameter server: started before the ranks, ended after them."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import time
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from hvdsm.container.loop import Loop, Timer
from hvdsm.container.relay import LineTagger
from hvdsm.errors import ConfigError
from hvdsm.model import RoleProcess

Event = Dict[str, Any]
READ_BYTES = 1 << 18
GRACE = 5.0


class Running:
    """A role's process, the reading end of its output, and whether its end has been seen.

    ``on_lines`` gets its lines as they are tagged, ``on_end`` is called when it has ended; without it the end of a role is an
    event of its host.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], pipe: int, host: str) -> None:
        self.name = name
        self.process = process
        self.pipe = pipe
        self.tagger = LineTagger(f"{name},{host}")
        self.ended = False
        self.on_lines: Optional[Callable[[bytes], None]] = None
        self.on_end: Optional[Callable[[], None]] = None

    @property
    def end(self) -> Event:
        """How it has ended: the exit code is 128+N for signal N, and ``signal`` is None without one."""
        code = self.process.returncode
        return {
            "name": self.name,
            "exit_code": code if code >= 0 else 128 - code,
            "signal": -code if code < 0 else None,
            "output_tail": self.tail,
        }

    @property
    def tail(self) -> str:
        """The end of what it wrote."""
        return self.tagger.tail.decode(errors="replace")


class Roles:
    """The roles of this host, each in a session of its own.

    ``on_lines`` gets their output, each line behind ``[name,host] ``.  ``on_event`` gets, for a role that ends with anything but
    0 before it was asked to, ``{"say": "role-failed", "name", "exit_code", "signal", "output_tail"}``: the exit code is 128+N
    for signal N, and ``signal`` is None without one.
    """

    def __init__(self, loop: Loop, host: str, *, on_event: Callable[[Event], None], on_lines: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._host = host
        self._on_event = on_event
        self._on_lines = on_lines
        self._roles: List[Running] = []
        self._ending = False
        self._paused = False
        self._flushing = False
        self._kill: Optional[Timer] = None

    @property
    def processes(self) -> List[subprocess.Popen[bytes]]:
        """Their processes, which whoever reaps orphans must leave alone."""
        return [role.process for role in self._roles]

    @property
    def running(self) -> Tuple[str, ...]:
        """Names of the roles that have not ended."""
        return tuple(role.name for role in self._roles if not role.ended)

    def start(self, role: RoleProcess, environment: Mapping[str, str], directory: str) -> Running:
        """Start one.

        Args:
            role: what to run.
            environment: that of this host's ranks; ``HVDSM_SESSION`` in it marks what the role leaves behind.
            directory: its working directory.

        Raises:
            ConfigError: its program cannot be started.
        """
        read, write = os.pipe()
        try:
            process = subprocess.Popen(
                list(role.command),
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                cwd=directory,
                env={**environment, **role.variables},
                start_new_session=True,
            )
        except OSError as error:
            os.close(read)
            raise ConfigError(
                f"cannot start {role.command[0]}: {error.strerror}",
                where=f"role {role.name} on {self._host}",
                remedy="name a program on PATH or by its absolute path, in the image of every host that starts the role",
            ) from None
        finally:
            os.close(write)
        os.set_blocking(read, False)
        if not self._flushing:
            self._flushing = True
            self._loop.every(0.25, self._flush_partial)
        started = Running(role.name, process, read, self._host)
        self._roles.append(started)
        if not self._paused:
            self._watch(started)
        return started

    def reap(self) -> None:
        """SIGCHLD: see which have ended."""
        # Whoever hears of it may start others.
        for role in list(self._roles):
            if role.ended or role.process.poll() is None:
                continue
            role.ended = True
            self._drain(role)
            if self._ending:
                continue
            if role.on_end is not None:
                role.on_end()
            elif role.process.returncode:
                self._on_event({"say": "role-failed", **role.end})

    def pause(self, paused: bool) -> None:
        """Stop or resume reading their output: they wait while their lines cannot go on."""
        if paused == self._paused:
            return
        self._paused = paused
        for role in self._roles:
            if role.pipe >= 0:
                if paused:
                    self._loop.unwatch(role.pipe)
                else:
                    self._watch(role)

    def end(self, grace: float = GRACE) -> None:
        """Ask all to end: SIGTERM to their process groups, SIGKILL after ``grace`` seconds; returns at once."""
        self._ending = True
        self._signal(signal.SIGTERM)
        self._kill = self._loop.later(grace, partial(self._signal, signal.SIGKILL))

    def close(self, grace: float = GRACE) -> None:
        """End all and wait for it: SIGTERM, and SIGKILL after ``grace`` seconds; works when the loop has stopped.

        Then others can be started.
        """
        if not self._ending:
            self._ending = True
            self._signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while True:
            self.reap()
            left = deadline - time.monotonic()
            if not self.running or left <= 0:
                break
            # A role that writes must not wait for a reader; its end closes the pipe, or is seen at the next look.
            pipes = [role.pipe for role in self._roles if role.pipe >= 0 and not role.ended]
            select.select(pipes, [], [], min(left, 0.05))
            for role in self._roles:
                self._read(role)
        self._signal(signal.SIGKILL)
        for role in self._roles:
            role.process.wait()
        self.reap()
        for role in self._roles:
            self._shut(role)
        self._roles, self._ending = [], False
        if self._kill is not None:
            self._kill.cancel()

    def _signal(self, number: int) -> None:
        for role in self._roles:
            send(role, number)

    def _watch(self, role: Running) -> None:
        self._loop.watch(role.pipe, selectors.EVENT_READ, lambda _events: self._read(role))

    def _read(self, role: Running) -> bool:
        """One read; False when nothing more is there now."""
        if role.pipe < 0:
            return False
        try:
            data = os.read(role.pipe, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._shut(role)
            return False
        self._emit(role, role.tagger.feed(data, time.monotonic()))
        return True

    def _drain(self, role: Running) -> None:
        """What it has written by now; a grandchild that holds the pipe is not waited for."""
        while self._read(role):
            pass
        self._emit(role, role.tagger.finish())

    def _shut(self, role: Running) -> None:
        if role.pipe >= 0:
            self._loop.unwatch(role.pipe)
            os.close(role.pipe)
            role.pipe = -1
            self._emit(role, role.tagger.finish())

    def _flush_partial(self) -> None:
        for role in self._roles:
            self._emit(role, role.tagger.overdue(time.monotonic()))

    def _emit(self, role: Running, lines: bytes) -> None:
        if lines:
            self._on_lines(lines)
            if role.on_lines is not None:
                role.on_lines(lines)


def send(role: Running, number: int) -> None:
    """Send a signal to the process group of a role, unless it has ended."""
    if role.process.poll() is None:
        try:
            os.killpg(role.process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass
