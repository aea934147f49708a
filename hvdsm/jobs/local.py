"""Jobs of this machine: directories of results, ``DIR/JOB-NAME``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.local.layout import distribution_hosts, distribution_of, hosts_of
from hvdsm.backends.local.program import command_of
from hvdsm.backends.local.running import NAME as RUNNING_FILE
from hvdsm.compose.mask import mask_request
from hvdsm.errors import ConfigError, HvdsmError
from hvdsm.jobs.base import IN_PROGRESS, LOCAL, LOST, SAGEMAKER, SUBMITTED, JobState, Line, Say, Summary
from hvdsm.jobs.files import LogFiles
from hvdsm.jobs.process import Running
from hvdsm.model import NONE, JobOutcome
from hvdsm.model.outcome import FAILED

REQUEST_FILE, OUTCOME_FILE, CLOUD_FILE = "request.json", "outcome.json", "job.json"
# TrainingJobName, as the service has it.
NAME = re.compile(r"[a-zA-Z0-9](?:-?[a-zA-Z0-9]){0,62}")
# Seconds between two looks at a job that runs.
INTERVAL = 0.2


@dataclass(frozen=True)
class LocalRun:
    """A job in a directory of this machine.

    Args:
        directory: its results.
        clock: seconds since the epoch.
        pause: waits for so many seconds.
    """

    directory: str
    clock: Callable[[], float] = time.time
    pause: Callable[[float], Any] = threading.Event().wait
    backend: str = LOCAL

    @property
    def name(self) -> str:
        """TrainingJobName."""
        return os.path.basename(self.directory)

    @property
    def place(self) -> str:
        """The directory."""
        return self.directory

    @property
    def request(self) -> Mapping[str, Any]:
        """The request that it executes, its secrets masked; empty when it is not there (yet)."""
        return _json(self._path(REQUEST_FILE))

    @property
    def cloud(self) -> Mapping[str, Any]:
        """Name and region of the job of SageMaker that was submitted from here; empty for a job of this machine."""
        found = _json(self._path(CLOUD_FILE))
        return found if found.get("backend") == SAGEMAKER else {}

    @property
    def launcher(self) -> str:
        """The host whose log has the lines of all ranks."""
        return launcher_of(self.request)

    def _path(self, *names: str) -> str:
        return os.path.join(self.directory, *names)

    def outcome(self) -> Optional[JobOutcome]:
        """How it ended; None when it has not, or was lost."""
        data = _json(self._path(OUTCOME_FILE))
        try:
            return JobOutcome.from_dict(data) if data else None
        except (TypeError, AttributeError):
            return None

    def running(self) -> Optional[Running]:
        """The process that runs it, dead or alive; None when none is named."""
        data = _json(self._path(RUNNING_FILE))
        try:
            start = data.get("process_start")
            return Running(int(data["pid"]), float(data["started"]), None if start is None else int(start)) if data else None
        except (KeyError, TypeError, ValueError):
            return None

    def status(self) -> Tuple[str, Optional[JobOutcome]]:
        """Status, and the outcome of a job that has ended."""
        running = self.running()
        if running is not None and running.is_alive:
            return IN_PROGRESS, None
        # In this order: the outcome is written before running.json goes.
        outcome = self.outcome()
        if outcome is not None:
            return outcome.status, outcome
        return (SUBMITTED if self.cloud else LOST), None

    def created(self) -> float:
        """When it began: its request is written then, and never again."""
        running = self.running()
        if running is not None:
            return running.started
        times = [at for at in (_changed(self._path(name)) for name in (REQUEST_FILE, CLOUD_FILE, OUTCOME_FILE, "")) if at]
        return times[0] if times else 0.0

    def ended(self) -> Optional[float]:
        """When it ended; None when that is not known."""
        return _changed(self._path(OUTCOME_FILE)) if self.outcome() is not None else None

    def summary(self) -> Summary:
        """Its line in a list."""
        status, outcome = self.status()
        cloud = self.cloud
        return Summary(
            self.name,
            SAGEMAKER if cloud else LOCAL,
            status,
            self.created(),
            self.ended() if outcome is not None else None,
            str(cloud.get("region") or self.directory),
            None if outcome is None else outcome.exit_code,
        )

    def state(self) -> JobState:
        """How it is now."""
        summary = self.summary()
        outcome = self.outcome() if summary.status not in (IN_PROGRESS, LOST) else None
        notes: List[str] = []
        running = self.running()
        if summary.status == LOST:
            gone = f"its process {running.pid} is gone" if running is not None else "nothing runs it"
            notes.append(f"it was lost: {gone}, and it has left no outcome (killed, or this machine was started anew)")
        if summary.status == SUBMITTED:
            notes.append(f"it was submitted to SageMaker; how it is there: hvdsm jobs status {self.name} --backend sagemaker")
        if outcome is not None:
            seconds = outcome.seconds
        else:
            seconds = self.clock() - summary.created if summary.status == IN_PROGRESS else 0.0
        try:
            hosts = tuple(host.name for host in hosts_of(self.request)) if self.request else ()
        except (HvdsmError, LookupError, TypeError, ValueError):
            hosts = ()
        return JobState(
            summary,
            f"process {running.pid}" if running is not None and summary.status == IN_PROGRESS else "",
            hosts,
            seconds,
            outcome.phases if outcome is not None else {},
            outcome,
            tuple(notes),
            self.directory,
        )

    def describe(self) -> Dict[str, Any]:
        """The request, masked, the outcome, and the process that runs it."""
        return {
            **self.state().as_json(),
            "request": mask_request(self.request) if self.request else None,
            "process": _json(self._path(RUNNING_FILE)) or None,
        }

    def repeats(self) -> bool:
        """Whether hosts' logs repeat what the launcher's has: where hvdsm's own program runs the job."""
        request = self.request
        try:
            return bool(request) and command_of(request) is None
        except (AttributeError, TypeError):
            return False

    def alone(self) -> bool:
        """Whether hvdsm's program runs the job and its hosts do not wait for each other: it has no distribution."""
        return self.repeats() and distribution_of(self.request) == NONE

    def lines(self, *, hosts: Optional[Sequence[str]], since: Optional[float], follow: bool, say: Say) -> Iterator[List[Line]]:
        """The lines of hosts; see :class:`hvdsm.jobs.base.Job`.

        A log has no times: ``since`` leaves out logs that have not been written to since then, and takes the others whole.
        """
        files = LogFiles(self.directory, self.launcher, hosts, since)
        left_out = files.left_out()
        if since is not None and not self.cloud:
            text = f"; left out: {', '.join(left_out)}" if left_out else ""
            say(f"local logs have no times: those that have been written to since then are shown whole{text}")
        while True:
            # Looked at before reading: what comes until then is read in any case.
            goes_on = follow and self.status()[0] == IN_PROGRESS
            yield from files.batches(last=not goes_on)
            if not goes_on:
                return
            yield []
            self._rest()

    def stop(self, *, now: bool) -> str:
        """SIGTERM to the process that runs it, which stops all ranks; with ``now`` a second signal, which kills all hosts.

        Raises:
            ConfigError: this user may not signal the process.
        """
        running = self.running()
        if running is None or not running.is_alive:
            status, _ = self.status()
            return f"{self.name} has ended already ({status})" if status != LOST else f"{self.name} was lost: nothing runs it"
        numbers = (signal.SIGTERM, signal.SIGINT) if now else (signal.SIGTERM,)
        try:
            for number in numbers:
                running.send(number)
        except ProcessLookupError:
            return f"{self.name} has just ended"
        except PermissionError:
            raise ConfigError(
                f"process {running.pid} belongs to another user",
                where=f"job {self.name}",
                remedy=f"sudo hvdsm jobs stop {self.name}",
            ) from None
        return f"{self.name} is being {'killed' if now else 'stopped'} (process {running.pid})"

    def wait(self, say: Say) -> JobOutcome:
        """Wait for its end."""
        del say
        while True:
            status, outcome = self.status()
            if status != IN_PROGRESS:
                return outcome if outcome is not None else lost(self.name)
            self._rest()

    def _rest(self) -> None:
        """Wait a moment, shorter if its process ends meanwhile."""
        running = self.running()
        # A process may live on when the job has ended, as a notebook's does.
        if running is None or not running.watch(INTERVAL):
            self.pause(INTERVAL)


def launcher_of(request: Mapping[str, Any]) -> str:
    """The host that starts the ranks and has their lines."""
    try:
        if command_of(request) is not None:
            return hosts_of(request)[0].name
        return distribution_hosts(request, hosts_of(request))[0].name
    except (HvdsmError, LookupError, TypeError, ValueError, AttributeError):
        return "algo-1"


def lost(name: str) -> JobOutcome:
    """The outcome of a job that has none."""
    text = "it was lost: its process is gone, and has left no outcome"
    return JobOutcome(name, FAILED, 1, warnings=(text,))


def runs_in(output: str) -> List[LocalRun]:
    """The jobs of a directory, the newest first."""
    found: List[Tuple[float, LocalRun]] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(output):
            run = find_run(entry.name, output)
            if run is not None:
                found.append((run.created(), run))
    return [run for _, run in sorted(found, key=lambda pair: (-pair[0], pair[1].name))]


def find_run(name: str, output: str) -> Optional[LocalRun]:
    """The job of that name in a directory, None when there is none."""
    if not NAME.fullmatch(name):
        return None
    directory = os.path.join(os.path.abspath(os.path.expanduser(output)), name)
    names = (RUNNING_FILE, REQUEST_FILE, OUTCOME_FILE, CLOUD_FILE)
    return LocalRun(directory) if any(os.path.isfile(os.path.join(directory, name)) for name in names) else None


def _json(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _changed(path: str) -> Optional[float]:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
