"""A sandbox in a process of its own, for as long as this process lives: what ``hvdsm sandbox`` and notebooks have.

It has a session of its own, so that a terminal's or a notebook's interrupts do not reach it, and it ends when its standard
input does: also when this process is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from typing import Any, Dict, List, Mapping, Optional, Sequence

import hvdsm
from hvdsm.errors import HvdsmError
from hvdsm.sandbox.serving import Serving

Job = Dict[str, Any]
# As `python -m hvdsm.sandbox`, but modules of the working directory do not stand in for those of Python.
_PROGRAM = """
import sys
sys.path[:] = [place for place in (*sys.path, sys.argv.pop(1)) if place]
from hvdsm.sandbox.__main__ import main
sys.exit(main())
"""


class Companion:
    """A sandbox that serves this process and those that it starts.

    Args:
        given: how it serves.
        environ: the environment of the person whom it serves.
        python: the interpreter that has what it needs; this process's by default.

    Attributes:
        url: its address.
        output: absolute path of the jobs' results.
        environ: variables for programs that are to use it.

    Raises:
        HvdsmError: it cannot start.
    """

    def __init__(self, given: Serving, environ: Mapping[str, str], python: str = "") -> None:
        words = json.dumps({**asdict(given), "local": dict(given.local)})
        place = os.path.dirname(os.path.dirname(hvdsm.__file__))
        command = [python or sys.executable, "-c", _PROGRAM, "" if python else place, "--led", words]
        self._temporary = ""
        self._process = subprocess.Popen(
            command, env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdin is not None
        try:
            told = self._read()
        except BaseException:
            self._process.stdin.close()
            self._process.wait()
            raise
        if told is None or "error" in told:
            self._process.wait()
            raise NotStarted(told or {"error": "it ended before it served", "exit_code": 1})
        self.url: str = told["url"]
        self.output: str = told["output"]
        self.environ: Dict[str, str] = told["environ"]
        self._temporary = str(told["temporary"])

    @property
    def is_there(self) -> bool:
        """Whether it serves yet."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def jobs(self) -> List[Job]:
        """Its jobs; see :func:`hvdsm.sandbox.serving.described`."""
        return self._ask("jobs")

    def wait(self) -> List[Job]:
        """The jobs when all have ended."""
        return self._ask("wait")

    def end(self) -> List[Job]:
        """End all jobs and the sandbox; the jobs as they were at last."""
        jobs = self._ask("end")
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            # It was gone already.
            pass
        # An answer to a question that was given up may stand before the last one.
        for line in self._process.stdout:
            jobs = json.loads(line)
        self._process.stdout.close()
        self._process.wait()
        return jobs

    def kill(self) -> None:
        """End it at once, whatever it does; its hosts end with it."""
        self._process.kill()
        self._process.wait()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _ask(self, word: str) -> List[Job]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return []
        found = self._read()
        return found if isinstance(found, list) else []

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


class NotStarted(HvdsmError):
    """A sandbox could not start, for a reason that it has told."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(told["error"], where=told.get("where") or "sandbox", remedy=told.get("remedy"))
        self.exit_code = told["exit_code"]


def running(jobs: Sequence[Job]) -> List[Job]:
    """Those that have not ended."""
    return [job for job in jobs if job["seconds"] is None]


def _in_one_line(reason: str) -> str:
    """A FailureReason in short: of a traceback its last line, which has the exception."""
    text, end, code = reason.rpartition(", exit code: ")
    lines = [line for line in (text or reason).splitlines() if line.strip()] or [""]
    begin, found, _ = lines[0].partition("Traceback (most recent call last)")
    shown = begin + lines[-1].strip() if found and len(lines) > 1 else lines[0]
    return shown + end + code if text else shown


def summary(jobs: Sequence[Job], output: str, *, shelf: Optional[str] = None) -> List[str]:
    """Lines that tell what has become of jobs, and where their results are."""
    if not jobs:
        return []
    count = len(jobs)
    lines = [f"{count} training job{'s' if count > 1 else ''}, results in {output}"]
    for job in jobs:
        seconds = "" if job["seconds"] is None else f" after {job['seconds']:.1f} s"
        lines.append(f"  {job['name']} {job['status']}{seconds}")
        if job["reason"]:
            lines.append(f"    reason: {_in_one_line(job['reason'])}")
        if job["results"]:
            lines.append(f"    results: {job['results']}")
        if job["model"] and job["results"]:
            lines.append(f"    model: {job['model']}")
    if shelf is None and any(job["model"] for job in jobs):
        lines.append("S3 has ended with the sandbox; a model's files are in model/ of its results (--s3 DIR keeps objects)")
    return lines
