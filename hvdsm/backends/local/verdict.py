"""How a job ended whose hosts ran a command of the request's own: from exit codes and ``output/failure``, as in the service."""

from __future__ import annotations

import os
import signal
import stat
from typing import Mapping, Sequence

from hvdsm.backends.local.run import HostRun
from hvdsm.model import JobOutcome, RankFailure
from hvdsm.model.outcome import COMPLETED, FAILED, KIND_EXIT, KIND_HOST_LOST, KIND_SIGNAL

# What the service shows of the file.
REASON_LENGTH = 1024


def exit_code(run: HostRun) -> int:
    """A host's exit code as a shell gives it: 128+N for signal N; of a host that was killed here, 137."""
    code = -signal.SIGKILL if run.exit_code is None else run.exit_code
    return 128 - code if code < 0 else code


def verdict(job_name: str, hosts: Sequence[HostRun], said: Mapping[str, str], lost: Sequence[str]) -> JobOutcome:
    """The outcome: completed when the command ended with 0 on all hosts; else the host that failed first says why.

    Args:
        job_name: TrainingJobName.
        hosts: the commands with their exit codes.
        said: what each host has written into ``output/failure``.
        lost: hosts that ended before their command.
    """
    failed = sorted((run for run in hosts if exit_code(run)), key=lambda run: (run.exit_code is None, run.ended_at))
    if not failed:
        return JobOutcome(job_name, COMPLETED, 0)
    first = failed[0]
    code = exit_code(first)
    if first.name in lost:
        failure = RankFailure(KIND_HOST_LOST, "the host was lost while the job ran", 1, host=first.name)
        return JobOutcome(job_name, FAILED, 1, failure=failure)
    number = -first.exit_code if first.exit_code is not None and first.exit_code < 0 else None
    kind = KIND_EXIT if number is None else KIND_SIGNAL
    message = gist(said.get(first.name, ""))
    return JobOutcome(job_name, FAILED, code, failure=RankFailure(kind, message, code, host=first.name, signal=number))


def gist(text: str) -> str:
    """The line of a failure text that says most: its first, or the last one of a traceback."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def failure_file(base: str) -> str:
    """The beginning of a host's ``output/failure``; empty without one."""
    return read_in(base, "output", "failure", 4 * REASON_LENGTH).decode("utf-8", "replace")[:REASON_LENGTH]


def read_in(base: str, directory: str, name: str, limit: int) -> bytes:
    """The beginning of a file that a host has written; empty where there is none.

    What a host may have put there instead, links out of its directory or a pipe without an end, is not followed.

    Args:
        base: the host's directory.
        directory: name of a directory in it.
        name: name of a file in that.
        limit: bytes to read at most.
    """
    try:
        folder = os.open(os.path.join(base, directory), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return b""
    finally:
        os.close(folder)
    with open(descriptor, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
