"""The Linux system calls that Python's standard library lacks: namespaces, mounts, seccomp.

Sources: the manual pages unshare(2), setns(2), mount(2), umount2(2), pivot_root(2), mount_setattr(2), prctl(2), seccomp(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Optional, Tuple

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_RELATIME = 1 << 21
MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_SECCOMP_RET_ALLOW = 0x7FFF0000
_SECCOMP_RET_ERRNO = 0x00050000

_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1

# machine: numbers of pivot_root and setgroups, AUDIT_ARCH of seccomp_data
_ARCHITECTURES = {
    "x86_64": (155, 116, 0xC000003E),
    "aarch64": (41, 159, 0xC00000B7),
    "riscv64": (41, 159, 0xC00000F3),
    "ppc64le": (203, 81, 0xC0000015),
    "s390x": (217, 206, 0x80000016),
}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _bytes(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else os.fsencode(text)


def _architecture() -> Tuple[int, int, int]:
    try:
        return _ARCHITECTURES[os.uname().machine]
    except KeyError:
        raise OSError(f"processor type {os.uname().machine!r} is not supported by the emulator") from None


def unshare(flags: int) -> None:
    """Move this process (for CLONE_NEWPID: its next children) into new namespaces."""
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def setns(fd: int, kind: int) -> None:
    """Join the namespace of file descriptor ``fd``."""
    _check(_libc.setns(fd, kind), f"setns {kind:#x}")


def sethostname(name: str) -> None:
    """Set the host name of this uts namespace."""
    encoded = name.encode()
    _check(_libc.sethostname(encoded, len(encoded)), "sethostname")


def mount(source: str, target: str, kind: Optional[str] = None, flags: int = 0, options: Optional[str] = None) -> None:
    """Mount a file system, or bind or remount one (mount(2))."""
    result = _libc.mount(_bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(options))
    _check(result, f"mount {kind or 'bind'} on {target}")


def bind(source: str, target: str) -> None:
    """Show ``source`` with all that is mounted beneath it also at ``target``."""
    mount(source, target, None, MS_BIND | MS_REC)


def unmount(target: str) -> None:
    """Detach ``target`` and all mounts beneath it; open files stay usable."""
    _check(_libc.umount2(_bytes(target), MNT_DETACH), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """Make ``new_root`` the root of this mount namespace, the old root visible at ``put_old``."""
    number = _architecture()[0]
    _check(_libc.syscall(ctypes.c_long(number), _bytes(new_root), _bytes(put_old)), "pivot_root")


def mount_setattr_readonly(target: str) -> None:
    """Make ``target`` and every mount beneath it read-only (mount_setattr(2), Linux 5.12)."""
    attributes = ctypes.create_string_buffer(struct.pack("QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0), 32)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        _bytes(target),
        ctypes.c_uint(_AT_RECURSIVE),
        attributes,
        ctypes.c_size_t(32),
    )
    _check(result, f"mount_setattr on {target}")


def die_with_parent(signal_number: int) -> None:
    """Get ``signal_number`` when the thread that forked this process ends; for single-threaded parents only."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number)), "prctl PDEATHSIG")


def set_process_name(name: str) -> None:
    """The name that ``ps`` and ``top`` show, at most 15 bytes of it."""
    _libc.prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()[:15]))


def answer_setgroups_with_success() -> None:
    """Let setgroups(2) return 0 without effect in this process and its children.

    A user namespace with a single user id forbids setgroups, and sshd gives up without it.  There are no supplementary
    groups to drop there that the process could regain, so the answer changes nothing but sshd's mind (docs/security.md).
    """
    _, number, arch = _architecture()
    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 4),  # seccomp_data.arch
            (equal, 0, 3, arch),
            (load, 0, 0, 0),  # seccomp_data.nr
            (equal, 0, 1, number),
            (give, 0, 0, _SECCOMP_RET_ERRNO),
            (give, 0, 0, _SECCOMP_RET_ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer)))
    mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
    _check(_libc.prctl(_PR_SET_SECCOMP, mode, ctypes.c_ulong(ctypes.addressof(header))), "prctl SECCOMP")
