"""A container registry on loopback: as much of the OCI distribution specification as a login, a push and a look at it need."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, Iterator, List, Optional, Tuple


class Registry:
    """Its state: who may come in, blobs by digest, manifests by name and tag."""

    def __init__(self, user: str, password: str) -> None:
        self.wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.blobs: Dict[str, bytes] = {}
        self.manifests: Dict[Tuple[str, str], Tuple[str, bytes]] = {}
        self.refused: List[str] = []
        self.host = ""


@contextmanager
def registry_server(user: str, password: str, port: int = 0, tls: Optional[ssl.SSLContext] = None) -> Iterator[Registry]:
    """A registry while the block runs."""
    state = Registry(user, password)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data

        def _serve(self) -> None:
            body = self._body()
            path, _, query = self.path.partition("?")
            if self.headers.get("Authorization") != state.wanted:
                state.refused.append(path)
                self._answer(401, WWW_Authenticate='Basic realm="test"')
                return
            parts = path.strip("/").split("/")
            if path == "/v2/":
                self._answer(200, b"{}")
            elif "manifests" in parts:
                self._manifest("/".join(parts[1 : parts.index("manifests")]), parts[-1], body)
            elif "uploads" in parts:
                self._upload(path, query, body)
            elif "blobs" in parts and parts[-1] in state.blobs:
                self._answer(200, state.blobs[parts[-1]], Docker_Content_Digest=parts[-1])
            else:
                self._answer(404, b"{}")

        def _manifest(self, name: str, tag: str, body: bytes) -> None:
            if self.command == "PUT":
                state.manifests[name, tag] = (str(self.headers["Content-Type"]), body)
                self._answer(201, Docker_Content_Digest=_digest(body))
            elif (name, tag) in state.manifests:
                kind, data = state.manifests[name, tag]
                self._answer(200, data, Content_Type=kind, Docker_Content_Digest=_digest(data))
            else:
                self._answer(404, b"{}")

        def _upload(self, path: str, query: str, body: bytes) -> None:
            place = path.rstrip("/") + ("/1" if self.command == "POST" else "")
            if self.command == "PUT":
                data = state.blobs.pop(place, b"") + body
                state.blobs[_digest(data)] = data
                self._answer(201, Docker_Content_Digest=_digest(data))
            else:
                state.blobs[place] = (state.blobs.get(place, b"") if self.command == "PATCH" else b"") + body
                end = max(len(state.blobs[place]) - 1, 0)
                self._answer(202, Location=place, Range=f"0-{end}")

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _serve

        def log_message(self, *_args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    state.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
