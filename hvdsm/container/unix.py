"""JSON lines over the unix sockets between rank wrappers and the container program of their host."""

from __future__ import annotations

import array
import json
import selectors
import socket
from typing import Any, Callable, Dict

from hvdsm.container.loop import Loop

Event = Dict[str, Any]


class JsonLines:
    """JSON lines from a unix socket."""

    def __init__(self, loop: Loop, connection: socket.socket) -> None:
        self.connection = connection
        self.on_line: Callable[[Event], None] = lambda _message: None
        self.on_end: Callable[[], None] = lambda: None
        self._loop = loop
        self._buffer = b""
        loop.watch(connection, selectors.EVENT_READ, self._ready)

    def close(self) -> None:
        """Stop listening to it, without calling back."""
        self._loop.unwatch(self.connection)
        self.connection.close()

    def _ready(self, _events: int) -> None:
        try:
            data = self.connection.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buffer += data
        while b"\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\n", 1)
            try:
                message = json.loads(line)
            except ValueError:
                continue
            self.on_line(message)
        if not data:
            self.close()
            self.on_end()


def send_with_descriptor(connection: socket.socket, data: bytes, descriptor: int) -> None:
    """Send bytes, and a descriptor with the first of them."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    sent = connection.sendmsg([data], rights)
    connection.sendall(data[sent:])


def try_send(connection: socket.socket, data: bytes) -> bool:
    """Send a few bytes; False when the other side is gone."""
    try:
        connection.send(data)
    except OSError:
        return False
    return True
