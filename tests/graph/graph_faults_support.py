"""An S3 that breaks, in front of one that works; and a stand-in for GraphStorm, where only what is around it matters."""

from __future__ import annotations

import http.client
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Dict, Iterator, List, Tuple
from urllib.parse import unquote, urlsplit

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_OF_THE_CONNECTION = ("connection", "transfer-encoding", "content-length", "date", "server")


@dataclass
class Faults:
    """What is wrong with S3; keys are ``/bucket/key``, prefixes as well where it says so.

    Attributes:
        cut: of so many GETs of these half of the body comes, and then the connection ends.
        listed: these have other sizes in listings.
        denied: methods and prefixes that are refused.
    """

    cut: Dict[str, int] = field(default_factory=dict)
    listed: Dict[str, int] = field(default_factory=dict)
    denied: Tuple[Tuple[str, str], ...] = ()

    def refused(self, method: str, path: str) -> bool:
        """Whether access is denied."""
        return any(method in methods.split() and path.startswith(prefix) for methods, prefix in self.denied)


@contextmanager
def breaking(endpoint: str, faults: Faults) -> Iterator[str]:
    """The endpoint of an S3 that has these faults, and otherwise answers as ``endpoint`` does."""
    behind = urlsplit(endpoint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def answer(self, status: int, headers: List[Tuple[str, str]], body: bytes, length: int) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in _OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def handle_any(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            if faults.refused(self.command, path):
                body = b"" if self.command == "HEAD" else DENIED
                self.answer(403, [("Content-Type", "application/xml")], body, len(body))
                return
            connection = http.client.HTTPConnection(str(behind.hostname), behind.port, timeout=60)
            connection.request(self.command, self.path, sent, dict(self.headers.items()))
            with connection.getresponse() as response:
                body, length = response.read(), int(response.headers.get("Content-Length") or 0)
                if self.command != "HEAD":
                    body, length = self.broken(path, body)
                self.answer(response.status, response.getheaders(), body, length)
            connection.close()

        def broken(self, path: str, body: bytes) -> Tuple[bytes, int]:
            for name, size in faults.listed.items():
                bucket, _, key = name[1:].partition("/")
                if path.rstrip("/") == f"/{bucket}":
                    pattern = rf"(<Key>{re.escape(key)}</Key>.*?<Size>)\d+".encode()
                    body = re.sub(pattern, rb"\g<1>%d" % size, body, flags=re.DOTALL)
            if self.command == "GET" and faults.cut.get(path, 0) > 0:
                faults.cut[path] -= 1
                self.close_connection = True
                return body[: len(body) // 2], len(body)
            return body, len(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


# What hvdsm takes from GraphStorm and DGL before the user's script begins: importing the true ones takes longer than these tests.
_MODULES = {
    "graphstorm/__init__.py": "",
    "graphstorm/run/__init__.py": "",
    "graphstorm/run/launch.py": """\
import argparse


def get_argument_parser():
    parser = argparse.ArgumentParser()
    for name in ("--num-server-threads", "--num-omp-threads", "--num-samplers"):
        parser.add_argument(name, type=int)
    parser.add_argument("--graph-format", default="csc")
    parser.add_argument("--lm-encoder-only", action="store_true")
    return parser
""",
    "dgl/__init__.py": "",
    "dgl/distributed.py": "def exit_client():\n    pass\n",
}
# A server that listens until a client tells it to end, and a rank that saves a model when it has trained for so many seconds.
_SCRIPT = """\
import argparse, os, socket, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--save-model-path")
parser.add_argument("--ip-config")
parser.add_argument("--seconds", type=float, default=0)
told, _ = parser.parse_known_args()
places = [line.split() for line in open(told.ip_config)]
if os.environ["DGL_ROLE"] == "server":
    address, port = places[int(os.environ["DGL_SERVER_ID"])]
    with socket.create_server((address, int(port))) as listener:
        peers = [listener.accept()[0] for _ in range(int(os.environ["DGL_NUM_CLIENT"]))]
        for peer in peers:
            while peer.recv(1):
                pass
    sys.exit(0)
peers = [socket.create_connection((address, int(port))) for address, port in places]
print("trains", flush=True)
time.sleep(told.seconds)
number = int(os.environ["RANK"])
folder = os.path.join(told.save_model_path, "epoch-0")
os.makedirs(folder, exist_ok=True)
for name in ["model.bin", *(f"other-{at}.bin" for at in range(3))] if number == 0 else [f"embedding-{number}.pt"]:
    with open(os.path.join(folder, name), "w") as file:
        file.write(name)
"""


def stand_in(directory: Path) -> Path:
    """Write it below a directory, whose ``packages`` belong on PYTHONPATH; the path of its script."""
    packages = directory / "packages"
    for name, text in _MODULES.items():
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    script = packages / "stand_in.py"
    script.write_text(_SCRIPT)
    return script
