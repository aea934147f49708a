"""``running.json``: which process runs a job, so that a run that was lost can be told from one that goes on."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Optional

NAME = "running.json"


def process_start(pid: int) -> Optional[int]:
    """When a process started, in clock ticks since boot (proc_pid_stat(5), field 22); None when there is none.

    With its number this names a process for good: a number alone is given anew.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
        # The second field is a name in parentheses that may hold anything.
        return int(text.rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def write_running(job_dir: str) -> None:
    """Say that this process runs the job."""
    pid = os.getpid()
    content = {"pid": pid, "started": round(time.time(), 3), "process_start": process_start(pid)}
    descriptor = os.open(os.path.join(job_dir, NAME), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(content) + "\n")


def remove_running(job_dir: str) -> None:
    """The job has ended."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(job_dir, NAME))
