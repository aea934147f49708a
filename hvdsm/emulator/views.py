"""Private views of the machine's directories: a host may write in them, the machine never sees it.

A view is an overlayfs with the machine's directory below and memory above.  Where overlayfs is refused (for an ordinary user
where other file systems are mounted inside the directory, before Linux 5.11, on an exotic file system), the view is a *mirror*: a
directory in memory whose entries are views in their turn or read-only binds.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Dict, Iterable, List, Tuple

from hvdsm.emulator import syscalls
from hvdsm.emulator.mounts import MountPoint, bind_readonly, direct_mounts, is_beneath, mount_table

_MIRROR_LIMIT = 512  # entries; a larger directory is bound read-only as a whole
# Mounts of other container engines: many, and of no use inside a host.
_ENGINES = ("/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/lxcfs")
_UNSUPPORTED = (errno.EPERM, errno.ENODEV, errno.EOPNOTSUPP)


class Views:
    """Makes private views of the directories of the machine, whose root is visible at ``old``.

    Args:
        old: where the machine's root is mounted.
        memory: a directory on a private tmpfs for what hosts write.
        files: path → (mode, content) of files that replace the machine's.
        open_places: paths of directories that must be able to hold new entries, whatever the kernel refuses.
        unprivileged: whether this process lives in a user namespace.
    """

    def __init__(
        self,
        old: str,
        memory: str,
        files: Dict[str, Tuple[int, str]],
        open_places: Iterable[str],
        *,
        unprivileged: bool,
    ) -> None:
        self._old = old
        self._memory = memory
        self._files = files
        self._open_places = {*open_places, *(os.path.dirname(file) for file in files)}
        self._user_xattr = ",userxattr" if unprivileged else ""
        self._overlay_works = True
        self._count = 0
        strip = len(old)
        self._table = [
            MountPoint(point.path[strip:] or "/", point.options, point.kind)
            for point in mount_table()
            if point.path == old or is_beneath(point.path, old)
        ]

    def show(self, path: str) -> None:
        """Make ``path``, an existing directory of the new root, a private view of the machine's directory of that path."""
        source = self._old + path
        _copy_owner(source, path)
        if not os.access(source, os.R_OK | os.X_OK):
            return  # closed to this user on the machine: an empty directory of the host's own
        inner = [
            point
            for point in direct_mounts(self._table, path)
            if not any(point.path == engine or is_beneath(point.path, engine) for engine in _ENGINES)
        ]
        if self._overlay(source, path, inner):
            for point in inner:
                self._show_inner(point)
        elif inner or self._must_be_open(path):
            self._mirror(source, path)
        else:
            bind_readonly(source, path)

    def _must_be_open(self, path: str) -> bool:
        return any(place == path or is_beneath(place, path) for place in self._open_places)

    def _overlay(self, source: str, path: str, inner: List[MountPoint]) -> bool:
        if not self._overlay_works:
            return False
        self._count += 1
        base = f"{self._memory}/{self._count}"
        upper, work = f"{base}/upper", f"{base}/work"
        os.mkdir(base)
        os.mkdir(upper)
        os.mkdir(work)
        _copy_owner(source, upper)
        for file in self._files_of(path):
            if not any(is_beneath(file, point.path) for point in inner):
                self._seed(source, upper, os.path.relpath(file, path), *self._files[file])
        below = os.open(source, os.O_PATH | os.O_CLOEXEC)  # a path may hold the option string's own separators
        try:
            options = f"lowerdir=/proc/self/fd/{below},upperdir={upper},workdir={work}{self._user_xattr}"
            syscalls.mount("overlay", path, "overlay", 0, options)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                self._overlay_works = False
            return False
        finally:
            os.close(below)
        return True

    def _files_of(self, path: str) -> List[str]:
        return [file for file in self._files if is_beneath(file, path)]

    def _seed(self, source: str, upper: str, relative: str, mode: int, content: str) -> None:
        """Write a file into an upper directory, its parents being like the machine's."""
        parent = ""
        for part in relative.split("/")[:-1]:
            parent = f"{parent}/{part}"
            if not os.path.isdir(upper + parent):
                os.mkdir(upper + parent)
                if os.path.isdir(source + parent):
                    _copy_owner(source + parent, upper + parent)
        write_file(f"{upper}/{relative}", mode, content)

    def _show_inner(self, point: MountPoint) -> None:
        """Show what the machine has mounted inside a directory whose overlay hides it."""
        try:
            if os.path.isdir(point.path) and not point.readonly:
                self.show(point.path)
            elif os.path.exists(point.path):
                bind_readonly(self._old + point.path, point.path)
        except OSError:  # a mount that this user cannot read, or whose server is gone
            pass

    def _mirror(self, source: str, path: str) -> None:
        names = os.listdir(source)
        if len(names) > _MIRROR_LIMIT and not self._must_be_open(path):
            bind_readonly(source, path)
            return
        mode = stat.S_IMODE(os.stat(source).st_mode)
        syscalls.mount("tmpfs", path, "tmpfs", 0, f"mode={mode:o}")
        _copy_owner(source, path)
        files = self._files_of(path)
        for name in names:
            if f"{path}/{name}" not in files:
                try:
                    self._mirror_entry(f"{source}/{name}", f"{path}/{name}")
                except OSError:  # an entry that this user cannot read
                    continue
        for file in files:
            relative = os.path.relpath(file, path)
            if relative.split("/")[0] not in names or "/" not in relative:
                self._seed(source, path, relative, *self._files[file])

    def _mirror_entry(self, source: str, path: str) -> None:
        kind = os.lstat(source).st_mode
        if stat.S_ISLNK(kind):
            os.symlink(os.readlink(source), path)
        elif stat.S_ISDIR(kind):
            os.mkdir(path)
            self.show(path)
        elif stat.S_ISREG(kind):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
            bind_readonly(source, path)


def write_file(path: str, mode: int, content: str) -> None:
    """Write a new small text file with exactly ``mode``."""
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        os.fchmod(fd, mode)
        file.write(content)


def _copy_owner(source: str, target: str) -> None:
    """Give ``target`` the mode and, where this user can, the owner of ``source``."""
    status = os.stat(source)
    try:
        os.chown(target, status.st_uid, status.st_gid)
    except OSError:  # an owner that is not of this user namespace: it stays the host's root
        pass
    mode = stat.S_IMODE(status.st_mode)
    # Inside a read-only place it is the same directory, and nothing can be changed.
    if stat.S_IMODE(os.stat(target).st_mode) != mode:
        os.chmod(target, mode)
