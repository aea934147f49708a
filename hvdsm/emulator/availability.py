"""Whether hosts can be had here, and if not why and what helps."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from hvdsm.emulator import control, helper
from hvdsm.emulator.plan import is_unprivileged

_PROBE_SECONDS = 20
_SINGLE = "or run on one host: --hosts single"


@dataclass(frozen=True)
class Availability:
    """Whether emulated hosts can be had; ``reason`` and ``remedy`` are empty when they can."""

    ok: bool
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Facts:
    """What the kernel said when a step was tried, and what is known about this process and kernel.

    Attributes:
        step: the step that failed (``user namespace``, ``namespaces``, ``proc``, ``mount``, ``network``, ``host``…).
        error: the error's text.
        number: its errno, if it had one.
        unprivileged: whether a user namespace was needed.
        seccomp: whether a seccomp filter is on this process.
        container: whether this process looks to be in a container.
        max_user_namespaces: the kernel's limit; None if it has none.
        apparmor_restricts: whether AppArmor forbids ordinary programs capabilities in user namespaces.
        debian_switch_off: whether the older Debian switch forbids user namespaces.
        chrooted: whether this process runs in a chroot.
    """

    step: str
    error: str
    number: Optional[int] = None
    unprivileged: bool = True
    seccomp: bool = False
    container: bool = False
    max_user_namespaces: Optional[int] = None
    apparmor_restricts: bool = False
    debian_switch_off: bool = False
    chrooted: bool = False


def explain(facts: Facts) -> Availability:
    """The reason in the user's terms, and the remedy.  Pure."""
    refused = facts.number in (errno.EPERM, errno.EACCES)
    if facts.step == "python":
        return _no(f"the helper process did not start: {facts.error}", f"check sys.executable; {_SINGLE}")
    if facts.unprivileged:
        if facts.max_user_namespaces == 0:
            return _no(
                "this kernel allows no user namespaces (user.max_user_namespaces is 0)",
                f"sudo sysctl -w user.max_user_namespaces=15000; or run as root; {_SINGLE}",
            )
        if facts.step == "user namespace" and facts.number in (errno.ENOSPC, errno.EUSERS):
            return _no(
                "the limit of user namespaces is reached, or they are nested too deeply",
                f"sudo sysctl -w user.max_user_namespaces=15000; {_SINGLE}",
            )
        if facts.debian_switch_off and refused:
            return _no(
                "this kernel keeps user namespaces from ordinary users (kernel.unprivileged_userns_clone is 0)",
                f"sudo sysctl -w kernel.unprivileged_userns_clone=1; or run as root; {_SINGLE}",
            )
        if facts.apparmor_restricts and refused:
            return _no(
                "AppArmor keeps user namespaces from ordinary programs (kernel.apparmor_restrict_unprivileged_userns is 1, "
                "as on Ubuntu 23.10 and later)",
                f"sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; or run as root; {_SINGLE}",
            )
    if facts.number == errno.ENOSYS or (facts.number == errno.EINVAL and facts.step in ("user namespace", "namespaces")):
        return _no(f"this kernel was built without namespaces ({facts.step}: {facts.error})", f"another machine; {_SINGLE}")
    if facts.chrooted and (refused or facts.number == errno.EINVAL):
        return _no(
            f"this process runs in a chroot, where the kernel makes no new root for a host ({facts.error})",
            f"run outside the chroot; {_SINGLE}",
        )
    if facts.step == "proc" and refused:
        return _no(
            "a new /proc cannot be mounted because parts of this container's /proc are masked",
            f"start the container with --security-opt systempaths=unconfined (podman: --security-opt unmask=ALL); {_SINGLE}",
        )
    if facts.step in ("user namespace", "namespaces", "mount") and refused and (facts.seccomp or facts.container):
        return _no(
            "this container's seccomp profile forbids namespaces (Docker's default does)",
            "start the container with --security-opt seccomp=unconfined --security-opt systempaths=unconfined, "
            f"or with --privileged; {_SINGLE}",
        )
    if facts.step == "network" and facts.number in (errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL):
        return _no(f"this kernel has no bridge or veth interfaces ({facts.error})", f"sudo modprobe -a bridge veth; {_SINGLE}")
    if refused:
        return _no(f"the kernel refuses namespaces to this user ({facts.step}: {facts.error})", f"run as root; {_SINGLE}")
    return _no(f"the hosts could not be made ({facts.step}: {facts.error})", _SINGLE.replace("or ", "", 1))


def _no(reason: str, remedy: str) -> Availability:
    return Availability(False, reason, remedy)


def gather(message: Mapping[str, Any], *, unprivileged: bool) -> Facts:
    """The facts around a failed step as the helper reported it."""
    limit = _read("/proc/sys/user/max_user_namespaces")
    status = _read("/proc/self/status")
    return Facts(
        step=str(message.get("step", "")),
        error=str(message.get("error", "")),
        number=message.get("errno"),
        unprivileged=unprivileged,
        seccomp="\nSeccomp:\t2" in status,
        container=any(os.path.exists(path) for path in ("/.dockerenv", "/run/.containerenv")) or "container" in os.environ,
        max_user_namespaces=int(limit) if limit.strip().isdigit() else None,
        apparmor_restricts=_read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").strip() == "1",
        debian_switch_off=_read("/proc/sys/kernel/unprivileged_userns_clone").strip() == "0",
        chrooted=_root_is_no_mount(),
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _root_is_no_mount() -> bool:
    """Whether no mount is at this process's root directory, as in a plain chroot (mountinfo lists what is reachable)."""
    lines = _read("/proc/self/mountinfo").splitlines()
    return bool(lines) and not any(line.split(" ")[4] == "/" for line in lines)


def probe() -> Availability:
    """Try in a process of its own what a cluster needs; takes milliseconds and leaves nothing."""
    unprivileged = is_unprivileged()
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here:
        try:
            with there:
                process = subprocess.Popen(
                    helper.command("probing", "1" if unprivileged else "0"),
                    stdin=subprocess.DEVNULL,
                    stdout=there.fileno(),
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as error:
            return explain(Facts("python", str(error)))
        here.settimeout(_PROBE_SECONDS)
        try:
            message, _ = control.receive(here)
        except socket.timeout:
            message = {"step": "python", "error": f"no answer within {_PROBE_SECONDS} s"}
            process.kill()
        process.wait()
    if message is None:
        message = {"step": "python", "error": f"it ended with code {process.returncode}"}
    if message.get("ok"):
        return Availability(True)
    return explain(gather(message, unprivileged=unprivileged))
