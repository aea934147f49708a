"""The life of a job on its hosts: programs started, output read, limits kept, ends noticed; one thread, no polling."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Callable, Collection, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence

from hvdsm.backends.base import NOTE, OUTPUT, PHASE, Event
from hvdsm.backends.local.stream import HostStream

# How long the other hosts may go on when one has ended: they all end together unless something is wrong.
STRAGGLE = 30.0
# What the container program may take beyond the grace of the ranks before its host is killed, seconds.
MARGIN = 5.0
PROGRAM = (sys.executable, "-m", "hvdsm.container")
TIMEOUT = "timeout"
STOPPED = "stopped"
INTERRUPTED = "interrupted"
# The container program says so once: the lines of ranks begin with a bracket.
_RUNNING = re.compile(rb"^hvdsm: (\d+) of \1 ranks? running", re.MULTILINE)


class Process(Protocol):
    """A program on a host."""

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait for its end; the exit code, negative for a signal."""

    def send_signal(self, number: int) -> None:
        """Send a signal."""


class Cluster(Protocol):
    """Hosts that programs can be started on: emulated ones, or the machine itself."""

    def popen(
        self, host: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, stdin: int, stdout: int, stderr: int
    ) -> Process:
        """Start a program on a host."""

    @property
    def lost(self) -> Collection[str]:
        """Names of the hosts that ended while they should run."""

    def close(self) -> None:
        """End everything on all hosts."""


@dataclass
class HostRun:
    """One host's program and its output."""

    name: str
    process: Process
    stream: HostStream
    exit_code: Optional[int] = None
    ended_at: float = 0.0


@dataclass
class Run:
    """A job that runs on one set of hosts: started by :meth:`start_programs`, driven by :meth:`events`.

    ``max_run`` is the time limit in seconds, of which ``used`` are gone; ``stop_grace`` what ranks get between SIGTERM and
    SIGKILL, whoever ends them; after ``interrupt_after`` seconds of ranks running the hosts are taken away.  ``together`` says
    that the programs are parts of one job of hvdsm's and end together; others end when they like, but a failing one ends all.
    ``alone`` says that its hosts do not wait for each other, so that each shows its own lines.
    ``on_output`` is told that a log has grown.
    """

    started: float
    max_run: float
    stop_grace: float
    interrupt_after: Optional[float] = None
    used: float = 0.0
    margin: float = MARGIN
    straggle: float = STRAGGLE
    together: bool = True
    alone: bool = False
    on_output: Callable[[], None] = lambda: None
    hosts: List[HostRun] = field(default_factory=list)
    reason: Optional[str] = None
    stop_signal: int = 0
    stragglers: List[str] = field(default_factory=list)
    lost: List[str] = field(default_factory=list)
    _cluster: Optional[Cluster] = None
    _stops: int = 0
    _noticed: int = 0
    _kill_at: Optional[float] = None
    _interrupt_at: Optional[float] = None
    _closing: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        # Reentrant: a signal handler may wake us while this thread holds it.
        self._lock = threading.RLock()
        self._open = True

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask for the end; again: at once.  From any thread or signal handler."""
        self._stops += 1
        self.stop_signal = self.stop_signal or number
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if not self._open:
                return
            try:
                os.write(self._wake_write, b"\0")
            except BlockingIOError:
                # A full pipe wakes the reader as well.
                return

    def asked_to_stop(self) -> bool:
        """Whether anyone has called :meth:`stop`."""
        return self._stops > 0

    def seconds(self) -> float:
        """Seconds since the job was submitted."""
        return time.monotonic() - self.started

    def at_close(self, callback: Callable[[], None]) -> None:
        """Have something done when everything on the hosts has ended."""
        self._closing.callback(callback)

    def start_programs(
        self,
        cluster: Cluster,
        environments: Mapping[str, Mapping[str, str]],
        logs: str,
        argv: Sequence[str] = PROGRAM,
        launcher: Optional[str] = None,
    ) -> None:
        """Start the container program on every host.

        Args:
            cluster: the hosts.
            environments: variables of the program by host.
            logs: directory for ``algo-N.log``.
            argv: the program.
            launcher: the host whose output has the lines of all ranks; the first one by default.
        """
        launcher = launcher or next(iter(environments))
        self._closing.callback(self._close_pipes)
        streams = self._closing.enter_context(ExitStack())
        # Closed in the reverse order: first the hosts end, then nobody reads them any more.
        self._closing.callback(cluster.close)
        self._cluster = cluster
        self.program_start = time.monotonic()
        if not self.together and self.interrupt_after is not None:
            # A program that is not hvdsm's says nothing of ranks.
            self._interrupt_at = self.program_start + self.interrupt_after
        for host, environment in environments.items():
            read, write = os.pipe()
            is_launcher = host == launcher or not self.together
            stream = HostStream(read, os.path.join(logs, f"{host}.log"), is_launcher, host if self.alone else None)
            streams.callback(stream.close)
            try:
                process = cluster.popen(
                    host, argv, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=write, stderr=write
                )
            finally:
                os.close(write)
            self.hosts.append(HostRun(host, process, stream))
        for run in self.hosts:
            threading.Thread(target=self._await, args=(run,), daemon=True, name=f"hvdsm-{run.name}").start()

    def _await(self, run: HostRun) -> None:
        try:
            code = run.process.wait()
        except OSError:
            code = -signal.SIGKILL
        run.ended_at = time.monotonic()
        run.exit_code = code
        self._wake()

    def events(self) -> Iterator[Event]:
        """Events until the last host has ended and its output was read; then everything is closed."""
        with self._closing:
            yield from self._loop()

    def close(self) -> None:
        """End everything at once."""
        self._closing.close()

    def _loop(self) -> Iterator[Event]:
        poller = select.poll()
        streams: Dict[int, HostRun] = {run.stream.descriptor: run for run in self.hosts}
        for descriptor in (self._wake_read, *streams):
            poller.register(descriptor, select.POLLIN)
        deadline = self.program_start + self.max_run - self.used
        straggle_at: Optional[float] = None
        while any(run.exit_code is None for run in self.hosts):
            ahead = (deadline, self._interrupt_at) if self.reason is None else ()
            limits = [at for at in (self._kill_at, straggle_at, *ahead) if at is not None]
            # An hour at most: poll counts milliseconds in 32 bits.
            timeout = min([3600.0, *(max(0.0, at - time.monotonic()) for at in limits)])
            for descriptor, _ in poller.poll(timeout * 1000 + 1):
                if descriptor == self._wake_read:
                    os.read(self._wake_read, 4096)
                    continue
                run = streams[descriptor]
                yield from self._output(run)
                if run.stream.ended:
                    poller.unregister(descriptor)
            yield from self._heed_losses()
            yield from self._heed_stops()
            now = time.monotonic()
            if self.reason is None and now >= deadline:
                yield self._end(TIMEOUT, f"the time limit of {self.max_run:g} s has passed: SIGTERM to all hosts")
            elif self.reason is None and self._interrupt_at is not None and now >= self._interrupt_at:
                text = f"interruption after {self.interrupt_after:g} s: SIGTERM to all hosts, as when spot capacity is taken back"
                yield self._end(INTERRUPTED, text)
            ended = [run for run in self.hosts if run.exit_code is not None]
            failed = next((run for run in ended if run.exit_code), None)
            if failed is not None and not self.together and self._kill_at is None:
                yield self._end_others(failed)
            if ended and straggle_at is None and self.together:
                straggle_at = now + self.straggle + (self.stop_grace if self.reason else 0)
            if (self._kill_at is not None and now >= self._kill_at) or (straggle_at is not None and now >= straggle_at):
                self.stragglers = [run.name for run in self.hosts if run.exit_code is None]
                if self.stragglers:
                    yield self._event(NOTE, f"{', '.join(self.stragglers)} did not end in time: killed")
                break
        # What a host has written before its end is in the pipe by now; a daemon that holds the pipe open does not keep us.
        for run in self.hosts:
            while not run.stream.ended:
                shown = run.stream.read()
                if shown is None:
                    break
                if shown:
                    yield self._event(OUTPUT, data=shown, host=run.name)
            rest = run.stream.flush()
            if rest:
                yield self._event(OUTPUT, data=rest, host=run.name)

    def _end(self, reason: str, text: str) -> Event:
        """Ask the container programs to end; they give the ranks their grace."""
        self.reason = reason
        self._kill_at = time.monotonic() + self.stop_grace + self.margin
        self._signal_all(signal.SIGTERM)
        return self._event(NOTE, text)

    def _end_others(self, failed: HostRun) -> Event:
        """A failing host ends the job, as in the service."""
        self._kill_at = time.monotonic() + self.stop_grace + self.margin
        self._signal_all(signal.SIGTERM)
        code = failed.exit_code or 0
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        return self._event(NOTE, f"{failed.name} has failed ({how}): SIGTERM to all other hosts")

    def _output(self, run: HostRun) -> Iterator[Event]:
        shown = run.stream.read()
        if shown:
            self.on_output()
            if (
                self.interrupt_after is not None
                and self._interrupt_at is None
                and run.stream.is_launcher
                and _RUNNING.search(shown)
            ):
                self._interrupt_at = time.monotonic() + self.interrupt_after
            yield self._event(OUTPUT, data=shown, host=run.name)

    def _heed_losses(self) -> Iterator[Event]:
        for name in sorted(self._cluster.lost) if self._cluster is not None else ():
            if name not in self.lost:
                self.lost.append(name)
                yield self._event(NOTE, f"{name} was lost")

    def _heed_stops(self) -> Iterator[Event]:
        if self._stops == self._noticed:
            return
        first = self._noticed == 0 and self._stops == 1
        self._noticed = self._stops
        reason = STOPPED if self.reason in (None, INTERRUPTED) else self.reason
        if first:
            yield self._end(reason, "stopping: SIGTERM to all hosts (interrupt again: SIGKILL at once)")
        else:
            self.reason = reason
            self._kill_at = time.monotonic()
            yield self._event(NOTE, "stopped at once")

    def _signal_all(self, number: int) -> None:
        for run in self.hosts:
            if run.exit_code is None:
                try:
                    run.process.send_signal(number)
                except OSError:
                    # It has just ended; its exit code is about to be noticed.
                    continue

    def _event(self, kind: str, text: str = "", data: bytes = b"", host: Optional[str] = None) -> Event:
        return Event(kind, text, data, host, self.seconds())

    def phase(self, text: str) -> Event:
        """A phase that has been reached now."""
        return self._event(PHASE, text)

    def _close_pipes(self) -> None:
        with self._lock:
            if self._open:
                self._open = False
                os.close(self._wake_write)
                os.close(self._wake_read)
