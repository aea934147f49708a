"""An HTTP server that answers as AWS would, with the faults that a test wants, and time that passes only when somebody waits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from hvdsm.aws.session import Aws, connect

REGION = "eu-central-1"
JSON = "application/x-amz-json-1.1"


def environ(url: str, **more: str) -> dict[str, str]:
    """Variables that make a client ask this address, once."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        **more,
    }


class Clock:
    """Seconds that pass only when somebody waits; safe to use from several threads."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.then: list[tuple[float, Callable[[], None]]] = []
        self._lock = threading.RLock()

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        """Let time pass, and what is to happen in it happen."""
        with self._lock:
            self.waits.append(seconds)
            # Time has a grain, so that no sum of tiny waits stands still.
            self.now += max(seconds, 1e-6)
            due = [action for moment, action in self.then if moment <= self.now]
            self.then = [entry for entry in self.then if entry[0] > self.now]
            for action in due:
                action()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something when that much time has passed."""
        self.then.append((self.now + seconds, action))


@dataclass
class Reply:
    """An answer; ``drop`` ends the connection without one."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False


DROP = Reply(drop=True)


def failure(code: str, message: str = "", status: int = 400) -> Reply:
    """An error in JSON, as SageMaker and CloudWatch answer it."""
    return Reply(status, {"__type": code, "message": message})


def xml_failure(code: str, message: str = "", status: int = 400) -> Reply:
    """An error of S3."""
    return Reply(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


def query_failure(code: str, message: str = "", status: int = 400) -> Reply:
    """An error of STS or CloudFormation."""
    text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    return Reply(status, text.encode())


class FakeAws:
    """Answers each operation by a function, or by a list of replies one after the other, the last of them for ever.

    An operation is the end of X-Amz-Target, the Action of a query, or the method of S3.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self._answers: dict[str, Any] = {}
        self._lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet for an answer: else the client's delayed acknowledgement holds up each of them.
            wbufsize = -1
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                operation, body = _asked(self.command, self.path, self.headers, self.rfile.read(length))
                reply = fake.answer(operation, body, dict(self.headers))
                if reply.drop:
                    self.close_connection = True
                    self.connection.close()
                    return
                data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body or {}).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Type": JSON, "Content-Length": str(len(data)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def handle_expect_100(self) -> bool:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.wfile.flush()
                return True

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve

            def log_message(self, *_args: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_args: Any) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def on(self, operation: str, answer: Any) -> None:
        """Decide the answers: a Reply, a list of them (a dict stands for its JSON), or a function of the body."""
        self._answers[operation] = list(answer) if isinstance(answer, (list, tuple)) else answer

    def answer(self, operation: str, body: Any, headers: Mapping[str, str]) -> Reply:
        """The answer to a request."""
        with self._lock:
            self.requests.append((operation, body))
            self.headers.append(headers)
            answer = self._answers.get(operation)
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if answer is None:
            return failure("UnknownOperationException", f"the test has no answer for {operation}")
        made = answer(body) if callable(answer) else answer
        return made if isinstance(made, Reply) else Reply(body=made)

    def count(self, operation: str) -> int:
        """How often an operation was asked for."""
        return sum(1 for name, _ in self.requests if name == operation)

    def aws(self, **more: str) -> Aws:
        """A session that asks this server."""
        return connect(environ=environ(self.url, **more))

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _asked(method: str, path: str, headers: Mapping[str, str], data: bytes) -> tuple[str, Any]:
    target = headers.get("X-Amz-Target")
    if target:
        return target.rpartition(".")[2], json.loads(data or b"{}")
    if (headers.get("Content-Type") or "").startswith("application/x-www-form-urlencoded"):
        query = {name: values[0] for name, values in parse_qs(data.decode()).items()}
        return query["Action"], query
    parts = urlsplit(path)
    return method, {"path": parts.path, "query": parse_qs(parts.query, keep_blank_values=True), "data": data}


@contextmanager
def fake_aws() -> Iterator[FakeAws]:
    """A server while the block runs."""
    fake = FakeAws()
    try:
        yield fake
    finally:
        fake.close()


@contextmanager
def moto_server() -> Iterator[str]:
    """The address of a moto server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    finally:
        server.stop()


def moto_aws(url: str, **more: str) -> Aws:
    """A session of a moto server that is empty: its state is the process's, and what tests before left in it goes."""
    urlopen(Request(f"{url}/moto-api/reset", method="POST")).close()
    return connect(environ=environ(url, **more))


@dataclass
class FakeStream:
    """A log stream: its events, and what is odd about reading it."""

    events: list[tuple[int, str]] = field(default_factory=list)
    # Requests that are answered by an empty page with a token of its own before the events come.
    empty_pages: int = 0
    page: int = 10_000


class FakeLogs:
    """CloudWatch Logs for one job: pages of streams and of events, tokens, late lines and throttling."""

    def __init__(self, fake: FakeAws, job: str = "job", page: int = 50) -> None:
        self.job = job
        self.page = page
        self.streams: dict[str, FakeStream] = {}
        self.faults: list[Reply] = []
        self.every: int = 0
        self.asked = 0
        self.empty_searches = 0
        self.lock = threading.Lock()
        fake.on("DescribeLogStreams", self._describe)
        fake.on("GetLogEvents", self._get)

    def add(self, host: str, *messages: str, attempt: int = 1700000000, at: float = 1000.0) -> FakeStream:
        """Add lines to a host's stream, which is made if need be."""
        with self.lock:
            stream = self.streams.setdefault(f"{self.job}/{host}-{attempt}", FakeStream())
            stream.events += [(int(at * 1000), message) for message in messages]
            return stream

    def _fault(self) -> Reply | None:
        self.asked += 1
        if self.faults:
            return self.faults.pop(0)
        if self.every and self.asked % self.every == 0:
            return failure("ThrottlingException", "Rate exceeded")
        return None

    def _describe(self, body: Any) -> Any:
        with self.lock:
            fault = self._fault()
            if fault:
                return fault
            if not self.streams:
                return failure("ResourceNotFoundException", "The specified log group does not exist.")
            names = sorted(name for name in self.streams if name.startswith(body["logStreamNamePrefix"]))
            begin = int(body.get("nextToken", "0"))
            if self.empty_searches and "nextToken" not in body:
                self.empty_searches -= 1
                return {"logStreams": [], "nextToken": "0"}
            end = begin + min(self.page, body.get("limit", 50))
            found = {"logStreams": [{"logStreamName": name} for name in names[begin:end]]}
            return {**found, "nextToken": str(end)} if end < len(names) else found

    def _get(self, body: Any) -> Any:
        with self.lock:
            fault = self._fault()
            if fault:
                return fault
            stream = self.streams.get(body["logStreamName"])
            if stream is None:
                return failure("ResourceNotFoundException", "The specified log stream does not exist.")
            given = body.get("nextToken")
            if given is not None and not given.startswith("f/"):
                return failure("InvalidParameterException", "The specified nextToken is invalid.")
            begin = int(given.split("/")[1]) if given else 0
            since = body.get("startTime", 0)
            if stream.empty_pages:
                stream.empty_pages -= 1
                return {"events": [], "nextForwardToken": f"f/{begin}/{stream.empty_pages}"}
            events = stream.events[begin : begin + stream.page]
            shown = [{"timestamp": at, "message": text} for at, text in events if at >= since]
            token = given if given and not events else f"f/{begin + len(events)}/x"
            return {"events": shown, "nextForwardToken": token, "nextBackwardToken": "b/0"}
