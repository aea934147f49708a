"""Finds and ends the processes of a job on this host, by ``/proc``."""

from __future__ import annotations

import os
import signal
from typing import Dict, List


def kill(pid: int, number: int) -> None:
    """Send a signal; a process that is gone is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def processes_of(session: str) -> List[int]:
    """Processes of this job on this host by their environment, this one excepted; daemons that ranks left behind too."""
    mark = f"HVDSM_SESSION={session}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.append(int(name))
            except OSError:
                continue
    return found


def end_processes(session: str) -> int:
    """Kill whatever of the job is left on this host; returns how many there were."""
    left = processes_of(session) if os.path.isdir("/proc/self") else []
    for pid in left:
        kill(pid, signal.SIGKILL)
    return len(left)


def descendants(pid: int) -> List[int]:
    """The processes below a process, by ``/proc``; none where there is no ``/proc``."""
    parents: Dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    parents[int(name)] = int(file.read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found = [pid]
    for parent in found:
        found += [child for child, above in parents.items() if above == parent]
    return found[1:]
