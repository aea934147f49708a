"""Entering namespaces, step by step, so that a refusal can be told with the step at which it came."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

from hvdsm.emulator import syscalls

STEP_USER_NAMESPACE = "user namespace"
STEP_NAMESPACES = "namespaces"
STEP_PROC = "proc"
STEP_MOUNT = "mount"
STEP_NETWORK = "network"
STEP_HOST = "host"
_NO_DEVICES = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


class StepFailed(Exception):
    """What the kernel refused: the step's name, and the error."""

    def __init__(self, step: str, error: BaseException) -> None:
        super().__init__(f"{step}: {error}")
        self.message: Dict[str, Any] = {
            "error": str(error) or repr(error),
            "step": step,
            "errno": error.errno if isinstance(error, OSError) else None,
        }


class Step:
    """Names the step in which an error happens."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: Optional[BaseException], _trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, StepFailed):
            raise StepFailed(self._name, error) from error


def enter_namespaces(*, unprivileged: bool) -> None:
    """Move this process into the cluster's user namespace (unless it is privileged) and prepare the others for its child.

    Raises:
        StepFailed: the kernel refuses.
    """
    user, group = os.geteuid(), os.getegid()
    if unprivileged:
        with Step(STEP_USER_NAMESPACE):
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
    with Step(STEP_NAMESPACES):
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID)


def prepare_mounts() -> None:
    """Cut this mount namespace off from the machine's, with a ``/proc`` of its own pid namespace."""
    with Step(STEP_MOUNT):
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    with Step(STEP_PROC):
        syscalls.mount("proc", "/proc", "proc", _NO_DEVICES)
