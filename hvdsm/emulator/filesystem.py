"""A host's own file system: a new root in memory, made of private views, fresh directories and what was declared.

Runs in the mount namespace of one host.  The machine's tree moves aside to ``/.machine`` while the new root is filled, and is
then detached: nothing of it stays reachable but what was put in its place here.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, Dict, Iterable, Tuple

from hvdsm.emulator import syscalls
from hvdsm.emulator.mounts import bind_readonly, is_beneath, make_readonly, mount_tmpfs
from hvdsm.emulator.views import Views, write_file

OLD = "/.machine"
_MEMORY = "/.memory"
_SPECIAL = ("proc", "sys", "dev", "tmp", "run")
_NO_DEVICES = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC

Files = Dict[str, Tuple[int, str]]


def build(plan: Dict[str, Any], host: str, files: Files) -> None:
    """Give this mount namespace its own root.

    Args:
        plan: see :mod:`hvdsm.emulator.plan`.
        host: name of this host.
        files: path → (mode, content) of the host's own files; those of private directories are written into them.

    Raises:
        OSError: the kernel refuses a mount; its ``filename`` names the step where that helps.
    """
    move_machine_aside()
    for directory, mode in (("/proc", 0o555), ("/sys", 0o555), ("/dev", 0o755)):
        os.mkdir(directory, mode)
    syscalls.mount("proc", "/proc", "proc", _NO_DEVICES)
    private = dict(plan["private"])  # directories that hold nothing of the machine's
    inside = _below(private, files)
    os.mkdir(_MEMORY, 0o700)
    mount_tmpfs(_MEMORY, 0o700, 0)
    places = [os.path.dirname(path) for path in (*private, *(bind["target"] for bind in plan["binds"]))]
    outside = {path: what for path, what in files.items() if path not in inside}
    views = Views(OLD, _MEMORY, outside, places, unprivileged=plan["unprivileged"])
    _show_top_level(views)
    _fresh_directories(private)
    for path, (mode, content) in files.items():
        if path in inside or not os.path.lexists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_file(path, mode, content)
    _kernel_directories(plan["unprivileged"])
    for link, target in plan["links"]:
        _place_link(link, target)
    for bind in plan["binds"]:  # shallow ones first: see plan.py
        if bind["host"] not in (None, host):
            continue
        _place_bind(bind, views)
        if bind["mode"] == "private":
            # A copy of the machine's, such as that of a home below /tmp, has covered them.
            _fill({path: mode for path, mode in private.items() if is_beneath(path, bind["target"])}, files)
    for directory in (_MEMORY, OLD):
        syscalls.unmount(directory)
        os.rmdir(directory)


def move_machine_aside() -> None:
    """Make an empty root in memory, with the machine's at ``/.machine``.

    Raises:
        OSError: the kernel refuses; in a chroot it does.
    """
    # pivot_root wants a mount point; what the stage covers until then is uncovered by the pivot itself.
    stage = next(path for path in ("/tmp", "/var/tmp", "/run", "/proc") if os.path.isdir(path))
    mount_tmpfs(stage, 0o755)
    os.mkdir(stage + OLD, 0o700)
    try:
        syscalls.pivot_root(stage, stage + OLD)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise OSError(error.errno, "pivot_root: the root directory is a chroot or the initial RAM disk") from error
        raise
    os.chdir("/")


def _show_top_level(views: Views) -> None:
    for name in sorted(os.listdir(OLD)):
        source, path = f"{OLD}/{name}", f"/{name}"
        if name in _SPECIAL:
            continue
        kind = os.lstat(source).st_mode
        if stat.S_ISLNK(kind):
            os.symlink(os.readlink(source), path)
        elif stat.S_ISDIR(kind):
            os.mkdir(path)
            views.show(path)
        elif stat.S_ISREG(kind):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
            bind_readonly(source, path)


def _fresh_directories(private: Dict[str, int]) -> None:
    for path, mode in (("/tmp", 0o1777), ("/run", 0o755), ("/var/tmp", 0o1777)):
        if os.path.islink(path):
            continue
        os.makedirs(path, exist_ok=True)
        mount_tmpfs(path, mode)
    os.makedirs("/run/lock", exist_ok=True)
    os.makedirs("/run/sshd", 0o755, exist_ok=True)
    _fill(private, {})


def _fill(private: Dict[str, int], files: Files) -> None:
    """Mount memory at private directories, and write the files that belong into them."""
    for path, mode in private.items():
        if os.path.islink(path):
            os.unlink(path)
        os.makedirs(path, exist_ok=True)
        mount_tmpfs(path, mode)
    for path, (mode, content) in _below(private, files).items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_file(path, mode, content)


def _below(directories: Iterable[str], files: Files) -> Files:
    return {path: what for path, what in files.items() if any(is_beneath(path, directory) for directory in directories)}


def _kernel_directories(unprivileged: bool) -> None:
    """``/sys`` and ``/dev``: the machine's devices stay usable, all that can be private is."""
    try:
        syscalls.mount("sysfs", "/sys", "sysfs", _NO_DEVICES)
        if os.path.isdir(f"{OLD}/sys/fs/cgroup"):
            bind_readonly(f"{OLD}/sys/fs/cgroup", "/sys/fs/cgroup")
    except OSError:  # masked, as in many containers
        if os.path.isdir(f"{OLD}/sys"):
            bind_readonly(f"{OLD}/sys", "/sys")
    syscalls.bind(f"{OLD}/dev", "/dev")
    make_readonly("/dev")  # no device can be made or removed; those there can be written
    if os.path.isdir("/dev/shm"):
        mount_tmpfs("/dev/shm", 0o1777)
    if os.path.isdir("/dev/mqueue"):
        _try_mount("mqueue", "/dev/mqueue", "mqueue")
    # Group 5 (tty) does not exist in a user namespace with a single group.
    options = "newinstance,ptmxmode=0666,mode=620" + ("" if unprivileged else ",gid=5")
    if os.path.isdir("/dev/pts") and _try_mount("devpts", "/dev/pts", "devpts", options):
        try:
            if os.path.exists("/dev/ptmx") and not os.path.islink("/dev/ptmx"):
                syscalls.bind("/dev/pts/ptmx", "/dev/ptmx")
        except OSError:
            pass


def _try_mount(kind: str, path: str, name: str, options: str = "") -> bool:
    try:
        syscalls.mount(name, path, kind, syscalls.MS_NOSUID | syscalls.MS_NOEXEC, options)
    except OSError:
        return False
    return True


def _place_link(link: str, target: str) -> None:
    if not os.path.lexists(link):
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(target, link)


def _place_bind(bind: Dict[str, Any], views: Views) -> None:
    source, target = OLD + bind["source"], bind["target"]
    directory = os.path.isdir(source)
    try:
        if directory:
            os.makedirs(target, exist_ok=True)
        elif not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            write_file(target, 0o644, "")
    except OSError as error:
        raise OSError(error.errno, f"mount of {bind['source']}: cannot make {target}: {error.strerror}") from error
    if bind["mode"] == "private" and directory:
        views.show(target)
    elif bind["mode"] == "writable":
        syscalls.bind(source, target)
    else:
        bind_readonly(source, target)
