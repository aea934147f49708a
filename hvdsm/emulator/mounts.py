"""What is mounted where, and making mounts read-only."""

from __future__ import annotations

import os
import re
from typing import Dict, List, NamedTuple

from hvdsm.emulator import syscalls

_FLAGS = {
    "ro": syscalls.MS_RDONLY,
    "nosuid": syscalls.MS_NOSUID,
    "nodev": syscalls.MS_NODEV,
    "noexec": syscalls.MS_NOEXEC,
    "noatime": syscalls.MS_NOATIME,
    "nodiratime": syscalls.MS_NODIRATIME,
    "relatime": syscalls.MS_RELATIME,
}


class MountPoint(NamedTuple):
    """A line of ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)): where, its own options, and the kind of file system."""

    path: str
    options: str
    kind: str

    @property
    def flags(self) -> int:
        """The options as mount(2) takes them."""
        return sum(_FLAGS.get(option, 0) for option in self.options.split(","))

    @property
    def readonly(self) -> bool:
        """Whether nothing can be written here."""
        return bool(self.flags & syscalls.MS_RDONLY)


def parse_mountinfo(text: str) -> List[MountPoint]:
    """The mounts that a mountinfo file lists; of several on one path the last, which is the one seen."""
    found: Dict[str, MountPoint] = {}
    for line in text.splitlines():
        fields = line.split(" ")
        # The kernel writes blanks and backslashes as octal numbers.
        path = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
        found[path] = MountPoint(path, fields[5], fields[fields.index("-") + 1])
    return list(found.values())


def mount_table() -> List[MountPoint]:
    """The mounts of this process's namespace."""
    with open("/proc/self/mountinfo", "rb") as file:
        return parse_mountinfo(os.fsdecode(file.read()))


def is_beneath(path: str, directory: str) -> bool:
    """Whether ``path`` is inside ``directory`` (not the directory itself)."""
    return path != directory and path.startswith(directory.rstrip("/") + "/")


def direct_mounts(table: List[MountPoint], directory: str) -> List[MountPoint]:
    """The mounts beneath ``directory`` that are not beneath one another."""
    chosen: List[MountPoint] = []
    for point in sorted(table, key=lambda point: point.path):
        if is_beneath(point.path, directory) and not any(is_beneath(point.path, above.path) for above in chosen):
            chosen.append(point)
    return chosen


def make_readonly(target: str) -> None:
    """Make ``target`` and all that is mounted beneath it read-only here; where else it is mounted is not affected.

    Raises:
        OSError: the kernel refuses.
    """
    try:
        syscalls.mount_setattr_readonly(target)
        return
    except OSError:  # before Linux 5.12: one by one, keeping the flags that a user namespace may not drop
        pass
    remount = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
    for point in mount_table():
        if point.path == target or is_beneath(point.path, target):
            syscalls.mount("none", point.path, None, remount | point.flags)


def bind_readonly(source: str, target: str) -> None:
    """Show ``source`` and all beneath it at ``target``, read-only."""
    syscalls.bind(source, target)
    make_readonly(target)


def mount_tmpfs(target: str, mode: int, flags: int = syscalls.MS_NOSUID | syscalls.MS_NODEV) -> None:
    """An empty file system in memory."""
    syscalls.mount("tmpfs", target, "tmpfs", flags, f"mode={mode:o}")
