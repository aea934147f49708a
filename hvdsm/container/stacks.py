"""Asks the local ranks for their Python stacks, and reads the kernel's view of those that cannot answer.

A rank's Python process registers a dump of all its threads for one real-time signal, which works while its main thread waits
inside of MPI or NCCL; the dump goes to a file of the session, whose name tells rank and process.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Callable, Dict, Iterable, List, Mapping, Tuple

from hvdsm.container.loop import Loop

# Not SIGUSR1 and SIGUSR2, which mpirun forwards and training libraries use.
STACK_SIGNAL = int(getattr(signal, "SIGRTMIN", signal.SIGUSR2)) + (9 if hasattr(signal, "SIGRTMIN") else 0)
DIRECTORY = "stacks"
STACK_SECONDS = 2.0
LOOK_SECONDS = 0.1
_RUNNERS = ("hvdsm/container/script.py", "/hvdsm_script.py", "<frozen runpy>", "/runpy.py")


def dump(loop: Loop, session: str, children: Callable[[], List[Tuple[int, int]]], done: Callable[[Dict[int, str]], None]) -> None:
    """Ask all ranks of this host, wait until they have answered (two seconds at most), and give their stacks by rank.

    Args:
        loop: the loop.
        session: the session directory.
        children: tells (rank, process id of its program) of the ranks that run.
        done: gets what :func:`collect` finds.
    """
    asked, deadline = ask(session), time.monotonic() + STACK_SECONDS

    def look(before: Mapping[Tuple[int, int], int]) -> None:
        now = written(session, asked)
        if (asked and all(now.values()) and now == before) or not asked or time.monotonic() > deadline:
            done(collect(session, asked, children()))
        else:
            loop.later(LOOK_SECONDS, lambda: look(now))

    look({})


def ask(session: str) -> Dict[Tuple[int, int], int]:
    """Send the signal to every registered process that is still there and handles it.

    Returns:
        Size of the dump's file before, by (rank, process id).
    """
    asked = {}
    for rank, pid in registered(session):
        path = _path(session, rank, pid)
        try:
            asked[rank, pid] = os.path.getsize(path)
            if _catches(pid):
                os.kill(pid, STACK_SIGNAL)
        except OSError:
            asked.pop((rank, pid), None)
    return asked


def registered(session: str) -> List[Tuple[int, int]]:
    """(rank, process id) of each process that registered itself and has not ended."""
    found = []
    try:
        names = os.listdir(os.path.join(session, DIRECTORY))
    except OSError:
        return []
    for name in sorted(names):
        rank, _, pid = name.partition("-")
        if rank.isdigit() and pid.isdigit() and os.path.isdir(f"/proc/{pid}"):
            found.append((int(rank), int(pid)))
    return found


def written(session: str, asked: Dict[Tuple[int, int], int]) -> Dict[Tuple[int, int], int]:
    """How many bytes each process that was asked has written since; complete when all have some and none writes more."""
    sizes = {}
    for key, before in asked.items():
        try:
            sizes[key] = os.path.getsize(_path(session, *key)) - before
        except OSError:
            sizes[key] = 0
    return sizes


def collect(session: str, asked: Dict[Tuple[int, int], int], running: Iterable[Tuple[int, int]]) -> Dict[int, str]:
    """The stacks of each rank that runs; where there is none, the state that the kernel tells.

    Args:
        session: the session directory.
        asked: what :func:`ask` returned.
        running: (rank, process id of its program) of the ranks that have not ended.
    """
    found = {}
    for rank, child in running:
        texts = [text for key, size in asked.items() if key[0] == rank for text in [_dump(session, key, size).strip()] if text]
        stopped = state(child).startswith("T") or any(state(pid).startswith("T") for key, pid in asked if key == rank)
        if texts and not stopped:
            found[rank] = "\n".join(texts)
        else:
            found[rank] = kernel_view(child)
    return found


def kernel_view(pid: int) -> str:
    """State and place of a process and its descendants' first, one line each."""
    lines = []
    for process in (pid, *_children(pid)):
        name = _read(f"/proc/{process}/comm").strip() or "?"
        lines.append(
            f"process {process} ({name}): state {state(process) or 'ended'}, in {_read(f'/proc/{process}/wchan') or '?'}"
        )
    return "\n".join(lines)


def state(pid: int) -> str:
    """``T (stopped)`` and the like from ``/proc/PID/status``; empty when the process has ended."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("State:"):
            return line.partition(":")[2].strip()
    return ""


def _children(pid: int) -> List[int]:
    return [int(word) for word in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _catches(pid: int) -> bool:
    """Whether a process handles the signal: one that has become another program would die of it."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.partition(":")[2], 16) >> (STACK_SIGNAL - 1) & 1)
    return False


def _dump(session: str, key: Tuple[int, int], size: int) -> str:
    try:
        with open(_path(session, *key), "rb") as file:
            file.seek(size)
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    # What runs the script is of no interest.
    return "".join(line for line in text.splitlines(keepends=True) if not any(name in line for name in _RUNNERS))


def _path(session: str, rank: int, pid: int) -> str:
    return os.path.join(session, DIRECTORY, f"{rank}-{pid}")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
