"""The HTTP server: HTTP/1.1 with connections kept open, a thread for each; it can be taken off the network and put back."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional, Set, Tuple

from hvdsm.sandbox.wire import Answer, Request

HOST = "127.0.0.1"
# Seconds until a shutdown is noticed.
_POLL = 0.02
_CHUNK = 1 << 16

# None hangs up without an answer.
Respond = Callable[[Request], Optional[Answer]]


class Server:
    """Answers requests on loopback.

    Args:
        respond: makes the answer of a request; called from several threads.
        port: TCP port; 0 is any that is free.
    """

    def __init__(self, respond: Respond, port: int = 0) -> None:
        self._respond = respond
        self._lock = threading.Lock()
        self._guard: Optional[socket.socket] = None
        self._thread: Optional[threading.Thread] = None
        self._http: Optional[_Http] = _Http((HOST, port), respond)
        self.port = int(self._http.server_address[1])

    def serve(self) -> None:
        """Answer connections, those that have been waiting, too; after :meth:`close` on the same port again."""
        with self._lock:
            if self._thread is not None:
                return
            if self._http is None:
                self._http = _Http((HOST, self.port), self._respond)
            if self._guard is not None:
                self._guard.close()
                self._guard = None
            self._thread = threading.Thread(target=self._http.serve_forever, args=(_POLL,), daemon=True, name="hvdsm-sandbox")
            self._thread.start()

    def close(self, *, keep_port: bool = False) -> None:
        """Accept no connections, and cut those that are open.

        Args:
            keep_port: let no other program have the port meanwhile.
        """
        with self._lock:
            http, self._http = self._http, None
            if http is None:
                if not keep_port and self._guard is not None:
                    self._guard.close()
                    self._guard = None
                return
            if self._thread is not None:
                http.shutdown()
                self._thread.join()
                self._thread = None
            http.server_close()
            http.hang_up()
            if keep_port:
                # Bound, but not listening: connections are refused.
                self._guard = socket.socket()
                self._guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._guard.bind((HOST, self.port))


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, address: Tuple[str, int], respond: Respond) -> None:
        self.respond = respond
        self._open: Set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Cut all connections."""
        with self._open_lock:
            cut = list(self._open)
        for connection in cut:
            cut_off(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error of ours; anything else ends its connection, which the client notices."""


def cut_off(connection: socket.socket) -> None:
    """End a connection for both sides; its thread closes it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The client was first.
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    server: _Http

    def handle_any(self) -> None:
        """Read one request and answer it."""
        request = Request(
            self.command,
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            self._content(),
            list(self.headers.items()),
        )
        answer = self.server.respond(request)
        if answer is None:
            self.close_connection = True
            cut_off(self.connection)
            return
        self._send(answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = handle_any

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while True:
                size = int(self.rfile.readline(_CHUNK).split(b";")[0].strip() or b"0", 16)
                if size:
                    pieces.append(self.rfile.read(size))
                self.rfile.readline(_CHUNK)
                if not size:
                    return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        names = {name.lower() for name, _ in answer.headers}
        for name, value in answer.headers:
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        if "date" not in names:
            self.send_header("Date", self.date_time_string())
        if "content-length" not in names and answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        head: bytes = b"".join(self._headers_buffer) + b"\r\n"
        self._headers_buffer: list[bytes] = []
        self.wfile.write(head if self.command == "HEAD" else head + answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept by the sandbox; nothing is printed."""
