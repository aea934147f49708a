"""What the emulator's tests share: running a program on a host and reading what it wrote, watching what is left."""

from __future__ import annotations

import os
import select
import tempfile
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set

from hvdsm.emulator import EmulatedCluster, probe

SECONDS = 120  # a hang, not a measurement


def unavailable() -> str:
    """Why emulated hosts cannot be tested here; empty when they can."""
    answer = probe()
    return "" if answer.ok else f"{answer.reason}; {answer.remedy}"


class Result(NamedTuple):
    code: int
    out: str
    err: str


def run(cluster: EmulatedCluster, host: str, argv: Sequence[str], stdin: bytes = b"", **options: Any) -> Result:
    """Run a program to its end."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source.write(stdin)
        source.seek(0)
        process = cluster.popen(host, argv, stdin=source, stdout=out, stderr=err, **options)
        code = process.wait(SECONDS)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Result(code, *texts)


def shell(cluster: EmulatedCluster, host: str, script: str, *arguments: str, **options: Any) -> Result:
    """Run a few lines of shell."""
    return run(cluster, host, ["sh", "-c", script, "sh", *arguments], **options)


def marked(mark: str) -> List[int]:
    """Processes of this machine whose environment holds ``mark``."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark.encode() in file.read():
                        found.append(int(name))
            except OSError:
                continue
    return found


class Watch:
    """Descriptors of processes, by which their end can be waited for."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._open: Dict[int, int] = {}
        for pid in pids:
            try:
                self._open[os.pidfd_open(pid)] = pid
            except ProcessLookupError:
                continue

    def still_there(self, seconds: Optional[float] = SECONDS) -> Set[int]:
        """Wait until all have ended; those that have not in time."""
        poll = select.poll()
        for fd in self._open:
            poll.register(fd, select.POLLIN)
        left = dict(self._open)
        while left:
            ready = poll.poll(None if seconds is None else seconds * 1000)
            if not ready:
                break
            for fd, _ in ready:
                poll.unregister(fd)
                del left[fd]
        for fd in self._open:
            os.close(fd)
        return set(left.values())


class Machine(NamedTuple):
    """What of the machine a cluster must not change."""

    mounts: str
    interfaces: Set[str]
    directories: Set[str]


def machine() -> Machine:
    """The machine as it is now."""
    with open("/proc/self/mountinfo") as file:
        mounts = file.read()
    directories = {
        f"{place}/{name}"
        for place in ("/tmp", "/var/tmp", "/run", "/dev/shm", "/")
        for name in os.listdir(place)
        if "hvdsm" in name
    }
    return Machine(mounts, set(os.listdir("/sys/class/net")), directories)
