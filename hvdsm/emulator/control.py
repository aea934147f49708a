"""Messages between the client and the inits of the cluster, over SOCK_SEQPACKET socket pairs.

A message is a small JSON object with file descriptors beside it.  Its bulk (argv, environment, the plan) travels in an
anonymous memory file, the first descriptor, since a packet has a size limit and an environment has none.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any, Dict, List, Optional, Sequence, Tuple

_MAX_MESSAGE = 1 << 16
_MAX_FDS = 16


def memory_file(content: bytes, name: str = "hvdsm") -> int:
    """A file in memory with ``content``, positioned at its start; closed on exec."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def read_memory_file(fd: int) -> Any:
    """The JSON in a memory file, which is closed."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return json.load(file)


def send(channel: socket.socket, message: Dict[str, Any], fds: Sequence[int] = (), body: Optional[Any] = None) -> None:
    """Send one message; ``body`` (any JSON value) goes before ``fds`` as a memory file.

    Raises:
        OSError: the other end is gone.
    """
    extra = [memory_file(json.dumps(body).encode())] if body is not None else []
    try:
        data = json.dumps(message).encode()
        everything = array.array("i", [*extra, *fds])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, everything)] if everything else []
        channel.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
    finally:
        for fd in extra:
            os.close(fd)


def receive(channel: socket.socket) -> Tuple[Optional[Dict[str, Any]], List[int]]:
    """The next message and its descriptors (closed on exec); None when the other end is closed.

    Raises:
        BlockingIOError: the channel does not block and has no message.
    """
    size = array.array("i").itemsize
    try:
        data, ancillary, _, _ = channel.recvmsg(_MAX_MESSAGE, socket.CMSG_SPACE(_MAX_FDS * size), socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return None, []
    fds: List[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(content[: len(content) - len(content) % size])
            fds.extend(numbers)
    if not data:
        return None, fds
    return json.loads(data), fds
