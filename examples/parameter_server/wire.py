"""Messages between scheduler, servers and workers: one line of JSON each way."""

from __future__ import annotations

import json
import socket
from typing import Any, Dict


class Peer:
    """The other end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        """Messages travel at once, since the next one often waits for the answer."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._file = sock.makefile("rwb")

    def tell(self, **message: Any) -> None:
        """Send a message."""
        self._file.write(json.dumps(message).encode() + b"\n")
        self._file.flush()

    def hear(self) -> Dict[str, Any]:
        """The next message; ``ConnectionError`` when the other side is gone."""
        line = self._file.readline()
        if not line:
            raise ConnectionError("the other side has ended")
        message: Dict[str, Any] = json.loads(line)
        return message

    def ask(self, **message: Any) -> Dict[str, Any]:
        """Send a message, and return the answer."""
        self.tell(**message)
        return self.hear()


def connect(address: str, port: int) -> Peer:
    """Connect to a peer that listens already: the plan's order sees to that."""
    return Peer(socket.create_connection((address, port)))
