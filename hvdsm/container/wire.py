"""Frames between the hosts of a job: JSON messages and relayed lines over one TCP connection."""

from __future__ import annotations

import json
import selectors
import socket
import struct
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Optional

from hvdsm.container.loop import Loop

Message = Dict[str, Any]

_HEADER = struct.Struct("!cI")
MESSAGE = b"J"
LINES = b"L"
MAX_FRAME = 64 << 20
# An unknown peer must not make us hold more than a hello.
MAX_GREETING = 64 << 10


def encode(message: Message) -> bytes:
    """A message as it travels."""
    return json.dumps(message).encode()


class Connection:
    """A non-blocking stream of frames.

    ``on_message`` and ``on_lines`` are called for what arrives, ``on_close`` once with the reason when the stream ends.
    ``heard`` is the monotonic time of the last byte, ``peer`` the other side's address.
    """

    def __init__(self, loop: Loop, sock: socket.socket, on_close: Callable[[str], None]) -> None:
        self.loop = loop
        self.sock = sock
        self.peer = _peer(sock)
        self.heard = time.monotonic()
        self.max_frame = MAX_GREETING
        self.on_message: Callable[[Message], None] = lambda _message: None
        self.on_lines: Callable[[bytes], None] = lambda _lines: None
        self.on_close: Optional[Callable[[str], None]] = on_close
        self._on_drain: Optional[Callable[[], None]] = None
        self._in = bytearray()
        self._out: Deque[memoryview] = deque()
        self.backlog = 0
        self.paused = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.watch(sock, selectors.EVENT_READ, self._ready)

    def send(self, message: Message) -> None:
        """Queue a JSON message."""
        self.send_encoded(encode(message))

    def send_encoded(self, payload: bytes) -> None:
        """Queue what :func:`encode` made; one encoding serves the connections of all hosts."""
        self._queue(MESSAGE, payload)

    def send_lines(self, lines: bytes) -> None:
        """Queue relayed lines; look at ``backlog`` (bytes not yet taken by the system) to hold back."""
        self._queue(LINES, lines)

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once when everything queued has been taken by the system."""
        if self.backlog:
            self._on_drain = callback
        else:
            callback()

    def pause(self, paused: bool) -> None:
        """Stop or resume reading."""
        if paused != self.paused:
            self.paused = paused
            self._watch()

    def close(self) -> None:
        """Close without calling back."""
        self.on_close = None
        self._end("closed")

    def _queue(self, kind: bytes, payload: bytes) -> None:
        if self.on_close is None and self.sock.fileno() < 0:
            return
        for part in (_HEADER.pack(kind, len(payload)), payload):
            self._out.append(memoryview(part))
            self.backlog += len(part)
        self._flush()

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_READ:
            self._receive()
        if events & selectors.EVENT_WRITE and self.sock.fileno() >= 0:
            self._flush()

    def _receive(self) -> None:
        try:
            data = self.sock.recv(1 << 18)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error.strerror or str(error))
            return
        if not data:
            self._end("connection closed")
            return
        self.heard = time.monotonic()
        self._in += data
        while len(self._in) >= _HEADER.size and self.sock.fileno() >= 0:
            kind, length = _HEADER.unpack_from(self._in)
            if length > self.max_frame or kind not in (MESSAGE, LINES):
                self._end("not a frame of this protocol")
                return
            if len(self._in) < _HEADER.size + length:
                return
            payload = bytes(self._in[_HEADER.size : _HEADER.size + length])
            del self._in[: _HEADER.size + length]
            self._deliver(kind, payload)

    def _deliver(self, kind: bytes, payload: bytes) -> None:
        if kind == LINES:
            self.on_lines(payload)
            return
        try:
            message = json.loads(payload)
            if not isinstance(message, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError):
            self._end("not a message of this protocol")
            return
        self.on_message(message)

    def _flush(self) -> None:
        while self._out:
            try:
                sent = self.sock.send(self._out[0])
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self._end(error.strerror or str(error))
                return
            self.backlog -= sent
            if sent < len(self._out[0]):
                self._out[0] = self._out[0][sent:]
                break
            self._out.popleft()
        self._watch()
        if not self._out and self._on_drain:
            callback, self._on_drain = self._on_drain, None
            callback()

    def _watch(self) -> None:
        if self.sock.fileno() < 0:
            return
        events = (0 if self.paused else selectors.EVENT_READ) | (selectors.EVENT_WRITE if self._out else 0)
        if events:
            self.loop.watch(self.sock, events, self._ready)
        else:
            self.loop.unwatch(self.sock)

    def _end(self, reason: str) -> None:
        if self.sock.fileno() < 0:
            return
        self.loop.unwatch(self.sock)
        self.sock.close()
        self._out.clear()
        self.backlog = 0
        callback, self.on_close = self.on_close, None
        if callback:
            callback(reason)


def _peer(sock: socket.socket) -> str:
    try:
        return str(sock.getpeername()[0])
    except (OSError, IndexError):
        return "?"
