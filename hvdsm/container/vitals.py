"""What a job needs of the system around it: Python, memory, disk, shared memory, an interface.

Facts are gathered by functions called ``*_here``; what they mean is judged by functions of the facts alone.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shlex
import shutil
import socket
import struct
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import Dict, Mapping, Optional, Sequence, Tuple

from hvdsm.container.diagnosis import Check, failed, good, note, unchecked, warning
from hvdsm.container.memory import read_counters
from hvdsm.errors import EXIT_CONFIG, EXIT_UNAVAILABLE
from hvdsm.version import __version__

MIB, GIB = 1 << 20, 1 << 30
# Below the first nothing runs, below the second it is worth a word; bytes.
DISK, MEMORY, SHARED = (MIB, GIB), (256 * MIB, GIB), (0, 256 * MIB)
SHM = "/dev/shm"
_LARGER = f"start the container with --shm-size 1g; elsewhere, as root: mount -o remount,size=1g {SHM}"


@dataclass(frozen=True)
class PythonFacts:
    """The Python that runs this program, which is the one that ranks get.

    Attributes:
        version: its version.
        executable: its path.
        machine: processor architecture.
        packages: where hvdsm was imported from.
        other: the ``python3`` on PATH, where it is another.
        pip: whether it has pip.
    """

    version: Tuple[int, ...]
    executable: str
    machine: str = ""
    packages: str = ""
    other: str = ""
    pip: bool = True


def python_here(environ: Mapping[str, str]) -> PythonFacts:
    """The facts of this process's Python."""
    first = shutil.which("python3", path=environ.get("PATH")) or ""
    own = {os.path.realpath(sys.executable), os.path.dirname(sys.executable)}
    same = not first or os.path.dirname(first) in own or os.path.realpath(first) in own
    return PythonFacts(
        tuple(sys.version_info[:3]),
        sys.executable,
        platform.machine(),
        os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
        "" if same else first,
        PathFinder.find_spec("pip", sys.path) is not None,
    )


def python(facts: PythonFacts, *, oldest: Tuple[int, int] = (3, 8), image: bool = True, pip: str = "") -> Check:
    """Whether this Python will do, and is the one that is meant; ``pip`` is what brings the distribution's pip."""
    name, version = "python", ".".join(map(str, facts.version))
    told = {"version": version, "executable": facts.executable, "machine": facts.machine, "hvdsm": __version__}
    what = f"{version} on {facts.machine or 'this machine'}, {facts.executable}; hvdsm {__version__}"
    if facts.version[:2] < oldest:
        wanted = ".".join(map(str, oldest))
        return failed(name, f"{what}; {wanted} or later is needed", f"install Python {wanted} or later", EXIT_CONFIG, **told)
    if facts.other:
        first = f'export PATH={shlex.quote(os.path.dirname(facts.executable))}:"$PATH"'
        help_ = f"{first} (in a Dockerfile: ENV PATH), or install hvdsm for the other one"
        return warning(
            name, f"{what}; python3 on PATH is another, {facts.other}, whose packages the ranks do not see", help_, **told
        )
    if image and not facts.pip:
        # Debian's own Python has its ensurepip switched off.
        own = os.path.dirname(facts.executable) == "/usr/bin"
        help_ = (pip or "the distribution's package python3-pip") if own else f"{facts.executable} -m ensurepip"
        return warning(name, f"{what}; without pip no requirements.txt is installed", help_, **told)
    return good(name, what, **told)


@dataclass(frozen=True)
class MemoryFacts:
    """Bytes of memory: what is free on the machine, and the container's limit where it has one."""

    available: Optional[int]
    limit: Optional[int] = None
    total: Optional[int] = None


def memory_here(root: str = "/") -> MemoryFacts:
    """The facts, of ``/proc/meminfo`` and the control group."""
    found: Dict[str, int] = {}
    for line in text_of(os.path.join(root, "proc/meminfo")).splitlines():
        match = re.match(r"(\w+):\s+(\d+) kB", line)
        if match:
            found[match.group(1)] = int(match.group(2)) * 1024
    return MemoryFacts(found.get("MemAvailable"), read_counters(root).limit, found.get("MemTotal"))


def memory(facts: MemoryFacts) -> Check:
    """Whether there is memory for a few ranks."""
    name = "memory"
    told = {"available": facts.available, "limit": facts.limit, "total": facts.total}
    known = [size for size in (facts.available, facts.limit) if size is not None]
    if not known:
        return unchecked(name, "this system does not tell", **told)
    limit = f", limit of this container {size_text(facts.limit)}" if facts.limit is not None else ""
    what = f"{size_text(facts.available)} free{limit}" if facts.available is not None else f"limit {size_text(min(known))}"
    if min(known) < MEMORY[1]:
        help_ = "end other programs, or give the container more (--memory)"
        return warning(name, f"{what}: ranks may be ended for it", help_, **told)
    return good(name, what, **told)


@dataclass(frozen=True)
class Space:
    """A directory that is written to: bytes that are free, and of the whole file system; whether it may be written.

    Attributes:
        path: of the directory.
        free: bytes that may be written.
        size: bytes of the file system.
        writable: whether this user may write there.
        mounted: whether the platform puts something there of its own when a job runs.
        files: how many files may be made there yet; None where there is no limit.
        wrong: what is no directory at all.
    """

    path: str
    free: int
    size: int
    writable: bool = True
    mounted: bool = False
    files: Optional[int] = None
    wrong: str = ""

    @property
    def closed(self) -> str:
        """Why nothing can be written there; empty where it can."""
        if self.wrong:
            return f"{self.path} {self.wrong}"
        if not self.writable:
            return f"{self.path} may not be written"
        if self.files == 0:
            return f"{self.path} has room for no further file (its file system has no inode left)"
        return f"{size_text(self.free)} free in {self.path}: nothing can be written" if self.free < DISK[0] else ""


def spaces_here(paths: Sequence[str], mounted: Sequence[str] = ()) -> Tuple[Space, ...]:
    """The directories, those first that the platform mounts, or the nearest one above where one is not there yet; each once."""
    found: Dict[str, Space] = {}
    for path in (*mounted, *paths):
        place = os.path.abspath(path)
        while not os.path.lexists(place) and place != "/":
            place = os.path.dirname(place)
        if not os.path.isdir(place):
            wrong = "is no directory" if os.path.exists(place) else "leads nowhere"
            found.setdefault(place, Space(place, 0, 0, False, path in mounted, wrong=wrong))
            continue
        try:
            usage = os.statvfs(place)
        except OSError:
            continue
        files = usage.f_favail if usage.f_files else None
        sizes = (usage.f_bavail * usage.f_frsize, usage.f_blocks * usage.f_frsize)
        found.setdefault(place, Space(place, *sizes, os.access(place, os.W_OK), path in mounted, files))
    return tuple(found.values())


def temporaries(environ: Mapping[str, str]) -> Tuple[str, ...]:
    """Where temporary files may go, the first first: what cannot be used is passed over by Python."""
    return tuple(filter(None, (environ.get("TMPDIR"), "/tmp", "/var/tmp")))


def temporary_here(environ: Mapping[str, str]) -> Tuple[Space, ...]:
    """The facts of these directories, also of one that is not there."""
    found = [(path, spaces_here((path,))) for path in temporaries(environ)]
    return tuple(
        spaces[0] if spaces and spaces[0].path == os.path.abspath(path) else Space(path, 0, 0, False, wrong="is not there")
        for path, spaces in found
    )


def disk(spaces: Sequence[Space], temporary: Sequence[Space] = ()) -> Check:
    """Whether there is room for results and temporary files.

    Args:
        spaces: where results go; every one is needed.
        temporary: where temporary files may go, the first first; one is needed.
    """
    name = "disk"
    usable = next((space for space in temporary if not space.closed), None)
    used = tuple({space.path: space for space in (*spaces, *([usable] if usable else []))}.values())
    told = {space.path: {"free": space.free, "writable": space.writable} for space in (*spaces, *temporary)}
    what = ", ".join(f"{size_text(space.free)} free in {space.path}" for space in used if space.writable)
    what = what or "this system does not tell"
    closed = next((space for space in spaces if space.closed and not space.mounted), None)
    if closed is None and temporary and usable is None:
        closed = temporary[0]
    if closed is not None:
        full = closed.writable and not closed.wrong
        help_ = "take another directory, or give this user leave to write there: --output DIR for results, TMPDIR for others"
        if full:
            what_fills = "--inodes -x" if closed.files == 0 else "-xh"
            help_ = f"make room: du {what_fills} --max-depth 2 {shlex.quote(closed.path)} | sort -h | tail"
        return failed(name, closed.closed, help_, EXIT_UNAVAILABLE if full else EXIT_CONFIG, **told)
    if not used:
        return unchecked(name, what)
    if temporary and usable is not temporary[0]:
        help_ = "unset TMPDIR, or let it name a directory that can be written"
        return warning(name, f"{what}; {temporary[0].closed}, as TMPDIR would have it", help_, **told)
    mounted = next((space for space in spaces if space.closed), None)
    if mounted is not None:
        help_ = f"mount what its user may write there, or: RUN mkdir -p {mounted.path} && chmod 777 {mounted.path}"
        return warning(name, f"{what}; {mounted.closed}, if the platform mounts nothing there", help_, **told)
    if min(space.free for space in used) < DISK[1]:
        return warning(name, f"{what}: results and checkpoints may not fit", "make room, or --output DIR elsewhere", **told)
    return good(name, what, **told)


def shared_memory(space: Optional[Space]) -> Check:
    """Whether ranks of one host can share memory: Open MPI, NCCL and data loaders do."""
    name = "shm"
    if space is None or space.path != SHM:
        return warning(name, f"there is no {SHM}: ranks of a host exchange data more slowly", f"mount a tmpfs at {SHM}")
    told = {"size": space.size, "free": space.free}
    what = f"{size_text(space.size)} at {SHM}"
    if not space.writable:
        help_ = f"mount -o remount,rw {SHM}; chmod 1777 {SHM}"
        return warning(name, f"{SHM} may not be written: ranks of a host exchange data more slowly", help_, **told)
    if space.size < SHARED[1]:
        return warning(name, f"{what}: too little for data loaders and NCCL (Docker gives 64 MiB)", _LARGER, **told)
    return good(name, what, **told)


def interfaces_here() -> Tuple[str, ...]:
    """Names of the network interfaces."""
    try:
        return tuple(name for _, name in socket.if_nameindex())
    except OSError:
        return ()


def loopback_here(name: str = "lo") -> Optional[bool]:
    """Whether the loopback is up; None where nobody can tell."""
    # netdevice(7): struct ifreq, SIOCGIFFLAGS, IFF_UP.
    asked = struct.pack("16sh22x", name.encode(), 0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            return bool(struct.unpack("16sh22x", fcntl.ioctl(any_socket, 0x8913, asked))[1] & 1)
    except OSError:
        return None


def interface(names: Sequence[str], wanted: str = "eth0", loopback: Optional[bool] = None) -> Check:
    """Whether hosts can reach each other by one, and whether ranks of one host can (the loopback; None is unknown)."""
    if loopback is False:
        what = "the loopback is down: mpirun and its ranks do not find each other"
        return warning("interface", what, "ip link set lo up", names=list(names))
    others = [name for name in names if name != "lo"]
    if not others:
        what = "only the loopback, as while an image is built: no other host is reached"
        return note("interface", what, "give the container a network", names=list(names))
    chosen = wanted if wanted in others else others[0]
    return good("interface", f"{chosen}{', of ' + ', '.join(others) if len(others) > 1 else ''}", names=list(names), used=chosen)


def size_text(count: Optional[int]) -> str:
    """Bytes for people.

    >>> size_text(3 << 30), size_text(64 << 20)
    ('3.0 GiB', '64 MiB')
    """
    if count is None:
        return "?"
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def text_of(path: str) -> str:
    """The text of a file; empty where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
