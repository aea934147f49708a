"""Starting the helper process, and waiting until the hosts are ready or it is clear why they cannot be."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import subprocess
import time
from typing import Any, Dict, List, Mapping, NoReturn, Optional

from hvdsm.emulator import availability, control, helper
from hvdsm.errors import HvdsmError, NamespacesUnavailable

_START_SECONDS = 60.0  # 64 hosts take about one; beyond this something hangs
_REFUSALS = ("user namespace", "namespaces", "proc", "mount", "network", "python")
_WHERE = "emulated hosts"


def start_helper(plan: int, errors: int, fds: List[int]) -> subprocess.Popen[bytes]:
    """Start the helper.

    Args:
        plan: memory file with the plan.
        errors: file for its standard error.
        fds: the helper's ends of the control sockets.

    Raises:
        NamespacesUnavailable: Python itself cannot be started.
    """
    arguments = helper.command("init", str(plan), str(os.getpid()))
    try:
        # A session of its own: Ctrl-C at the caller's terminal is the caller's to act upon.
        return subprocess.Popen(
            arguments,
            pass_fds=[plan, *fds],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        answer = availability.explain(availability.Facts("python", str(error)))
        raise NamespacesUnavailable(answer.reason, where=arguments[0], remedy=answer.remedy) from error


def wait_ready(
    process: subprocess.Popen[bytes],
    cluster_channel: socket.socket,
    channels: Mapping[str, socket.socket],
    errors: int,
    *,
    unprivileged: bool,
) -> None:
    """Wait for every host's word.

    Args:
        process: the helper.
        cluster_channel: control socket of the cluster init, which speaks only of failure yet.
        channels: control socket of each host.
        errors: file with the helper's standard error.
        unprivileged: whether a user namespace is needed.

    Raises:
        NamespacesUnavailable: hosts cannot be had here.
        HvdsmError: the kernel refused a part of a host, or the time is over.
    """
    deadline = time.monotonic() + _START_SECONDS
    with selectors.DefaultSelector() as selector:
        for name, channel in (("", cluster_channel), *channels.items()):
            selector.register(channel, selectors.EVENT_READ, name)
        waiting = set(channels)
        while waiting:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise HvdsmError(
                    f"{len(waiting)} of {len(channels)} hosts were not ready within {_START_SECONDS:.0f} s",
                    where=_WHERE,
                    remedy="fewer hosts, or a machine that is less busy",
                )
            # A host that gives up says why before the cluster's end is seen.
            for key, _ in sorted(ready, key=lambda item: item[0].data == ""):
                message, _ = control.receive(channels.get(key.data, cluster_channel))
                if message is None or "error" in message:
                    _fail(message, process, errors, unprivileged=unprivileged)
                waiting.discard(key.data)
                selector.unregister(key.fileobj)


def _fail(message: Optional[Dict[str, Any]], process: subprocess.Popen[bytes], errors: int, *, unprivileged: bool) -> NoReturn:
    if message is None:
        process.kill()
        process.wait()
        text = os.pread(errors, 1 << 16, 0).decode(errors="replace").strip()
        message = {"step": "python", "error": text or f"it ended with code {process.returncode}"}
    if message["step"] in _REFUSALS or message.get("errno") in (errno.EPERM, errno.EACCES):
        answer = availability.explain(availability.gather(message, unprivileged=unprivileged))
        raise NamespacesUnavailable(answer.reason, where=_WHERE, remedy=answer.remedy)
    raise HvdsmError(f"the host could not be made: {message['error']}", where=_WHERE)
