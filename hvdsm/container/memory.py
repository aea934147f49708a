"""What the kernel counted of memory: the evidence after a SIGKILL.

Sources: the kernel's documentation of control groups, version 1 (``memory.oom_control``) and version 2 (``memory.events``),
and ``oom_kill`` of ``/proc/vmstat``, which counts for the whole machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, Optional

# Version 1 says "no limit" by a number near 2**63.
NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class MemoryCounters:
    """Processes that the out-of-memory killer ended, in this container and on the machine; limit and peak in bytes."""

    container_kills: Optional[int] = None
    machine_kills: Optional[int] = None
    limit: Optional[int] = None
    peak: Optional[int] = None


def read_counters(root: str = "/") -> MemoryCounters:
    """The counters now; what this kernel does not tell stays None."""
    group = _group_directory(root)
    kills = limit = peak = None
    if group is not None:
        events = _table(os.path.join(group, "memory.events")) or _table(os.path.join(group, "memory.oom_control"))
        kills = events.get("oom_kill")
        limit = _number(os.path.join(group, "memory.max"), os.path.join(group, "memory.limit_in_bytes"))
        peak = _number(os.path.join(group, "memory.peak"), os.path.join(group, "memory.max_usage_in_bytes"))
    machine = _table(os.path.join(root, "proc/vmstat")).get("oom_kill")
    return MemoryCounters(kills, machine, limit if limit is not None and limit < NO_LIMIT else None, peak)


def evidence(before: MemoryCounters, after: MemoryCounters) -> str:
    """One line on what the out-of-memory killer did between two readings; empty when it did nothing that can be seen."""
    inside, machine = (
        (after.container_kills or 0) - (before.container_kills or 0),
        (after.machine_kills or 0) - (before.machine_kills or 0),
    )
    if inside <= 0 and machine <= 0:
        return ""
    where = "of this container (memory cgroup" if inside > 0 else "of this machine (/proc/vmstat"
    count = inside if inside > 0 else machine
    text = f"out of memory: the kernel ended {count} process{'es' if count > 1 else ''} {where}: oom_kill {count})"
    if inside > 0 and after.limit is not None:
        text += f", limit {_size(after.limit)}" + (f", peak {_size(after.peak)}" if after.peak is not None else "")
    return text


def _group_directory(root: str) -> Optional[str]:
    """This process's memory control group; in a container most often the mount point itself."""
    for line in _text(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        bases = ["sys/fs/cgroup/memory"] if controllers else ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
        for base in bases:
            for directory in (os.path.join(root, base, path.lstrip("/")), os.path.join(root, base)):
                if any(os.path.exists(os.path.join(directory, name)) for name in ("memory.events", "memory.oom_control")):
                    return directory
    return None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _table(path: str) -> Dict[str, int]:
    pairs = [line.split() for line in _text(path).splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(*paths: str) -> Optional[int]:
    return next((int(text) for text in (_text(path).strip() for path in paths) if text.isdigit()), None)


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"
