"""Launcher and workers over real loopback sockets: who joins, who is refused, what a stranger can do."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest

from hvdsm.container.loop import Loop
from hvdsm.container.rendezvous import Joiner, Listener, proof
from hvdsm.container.ssh import free_port
from hvdsm.container.wire import MAX_GREETING, Connection
from hvdsm.errors import ConfigError

HEADER = struct.Struct("!cI")
# Only a defect makes a test wait for this long.
GUARD = 20.0


def frame(payload: bytes, kind: bytes = b"J") -> bytes:
    return HEADER.pack(kind, len(payload)) + payload


class Meeting:
    """One launcher that expects some hosts, and what happened to it and to the workers."""

    def __init__(self, *workers: str, token: str = "secret") -> None:
        self.loop = Loop()
        self.port = free_port(0)
        self.token = token
        self.workers = workers
        self.joined: Dict[str, Dict[str, Any]] = {}
        self.connected: List[str] = []
        self.failed: List[str] = []
        self.listener: Optional[Listener] = None
        self.sides: List[Connection] = []
        self.timed_out = False

    def listen(self) -> Listener:
        self.listener = Listener(self.loop, self.workers, self.port, self.token, self._join)
        return self.listener

    def worker(self, host: str, token: str = "secret", timeout: float = GUARD) -> None:
        Joiner(
            self.loop,
            "127.0.0.1",
            self.port,
            token,
            {"host": host, "slots": 2},
            timeout=timeout,
            say=lambda _text: None,
            on_joined=lambda connection: self._connect(host, connection),
            on_failed=self._fail,
        )

    def run(self) -> None:
        def late() -> None:
            self.timed_out = True
            self.loop.stop()

        self.loop.later(GUARD, late)
        self.loop.run()
        if self.listener:
            self.listener.close()
        for connection in self.sides:
            connection.close()
        assert not self.timed_out, "nothing happened"

    def _join(self, host: str, announcement: Dict[str, Any], connection: Connection) -> None:
        self.sides.append(connection)
        self.joined[host] = announcement
        self._check()

    def _connect(self, host: str, connection: Connection) -> None:
        self.sides.append(connection)
        self.connected.append(host)
        self._check()

    def _check(self) -> None:
        if set(self.workers) == set(self.joined) == set(self.connected):
            self.loop.stop()

    def _fail(self, why: str) -> None:
        self.failed.append(why)
        self.loop.stop()


def test_all_hosts_join_with_what_they_announce() -> None:
    meeting = Meeting("b", "c", "d")
    meeting.listen()
    for host in "bcd":
        meeting.worker(host)
    meeting.run()
    assert meeting.joined["c"] == {"host": "c", "slots": 2, "address": "127.0.0.1"}
    assert sorted(meeting.connected) == ["b", "c", "d"]
    assert not meeting.failed


def test_a_worker_waits_for_a_launcher_that_comes_later() -> None:
    meeting = Meeting("b")
    meeting.worker("b")
    meeting.loop.later(0.1, meeting.listen)
    meeting.run()
    assert meeting.connected == ["b"]


@pytest.mark.parametrize(("host", "token"), [("b", "wrong"), ("b", ""), ("stranger", "secret")])
def test_a_wrong_token_or_an_unknown_host_is_refused(host: str, token: str) -> None:
    meeting = Meeting("b")
    meeting.listen()
    meeting.worker(host, token=token, timeout=0.2)
    meeting.run()
    assert not meeting.joined
    assert not meeting.connected
    assert "refused this host" in meeting.failed[0]
    assert ("token" in meeting.failed[0]) == (host == "b")
    assert meeting.listener is not None
    assert meeting.listener.missing == {"b"}


def test_a_host_that_has_joined_cannot_be_joined_again() -> None:
    meeting = Meeting("b", "c")
    meeting.listen()
    meeting.worker("b")

    def second() -> None:
        if "b" in meeting.joined:
            meeting.worker("b", timeout=0.2)
        else:
            meeting.loop.later(0.01, second)

    second()
    meeting.run()
    assert list(meeting.joined) == ["b"]
    assert len(meeting.failed) == 1


def test_a_worker_distrusts_a_launcher_without_the_token() -> None:
    meeting = Meeting("b")
    listening = socket.create_server(("127.0.0.1", meeting.port))
    answers: List[Connection] = []

    def accept(_events: int) -> None:
        connection = Connection(meeting.loop, listening.accept()[0], lambda _reason: None)
        connection.on_message = lambda _message: connection.send({"proof": proof("another", "launcher", "", {})})
        connection.send({"nonce": "1"})
        answers.append(connection)

    meeting.loop.watch(listening, 1, accept)
    meeting.worker("b")
    meeting.run()
    listening.close()
    answers[0].close()
    assert "does not know this job's token" in meeting.failed[0]


def test_the_deadline_names_the_launcher_and_the_reason() -> None:
    meeting = Meeting("b")
    meeting.worker("b", timeout=0.1)
    meeting.run()
    assert meeting.failed == [f"the launcher 127.0.0.1 did not answer on port {meeting.port} for 0 s: Connection refused"]


def test_the_deadline_holds_when_the_launcher_accepts_and_stays_silent() -> None:
    meeting = Meeting("b")
    with socket.create_server(("127.0.0.1", meeting.port)):
        meeting.worker("b", timeout=0.2)
        _run_at_most(meeting, 3.0)
    assert str(meeting.port) in meeting.failed[0]


def _run_at_most(meeting: Meeting, seconds: float) -> None:
    meeting.loop.later(seconds, meeting.loop.stop)
    meeting.loop.run()
    assert meeting.failed, "still waiting long after the deadline"


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on TCP port {port}"):
            Listener(Loop(), [], port, "", lambda *_: None)


def hello(**fields: Any) -> bytes:
    return frame(json.dumps(fields).encode())


HARMLESS = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c40303") + bytes(100),
    "nothing": b"",
    "half a header": b"J\0",
    "half a frame": HEADER.pack(b"J", 100) + b"x",
    "too long": HEADER.pack(b"J", MAX_GREETING + 1),
    "not json": frame(b"\xff\xfe{"),
    "not an object": frame(b"[1]"),
    "lines": frame(b"[0,b] forged\n", b"L"),
    "empty object": hello(),
    "announce is a list": hello(announce=[1]),
    "no proof": hello(announce={"host": "b"}),
    "proof is a number": hello(announce={"host": "b"}, proof=1),
    "two messages": hello(announce={"host": "b"}, proof="x") * 2,
}
HARMFUL = {
    "host is a list": hello(announce={"host": ["b"]}, proof="x"),
    "host is an object": hello(announce={"host": {}}, proof="x"),
    "proof is not ascii": hello(announce={"host": "b"}, proof="\u00e9"),
    "deeply nested": frame(b"[" * 60_000),
}


@pytest.mark.parametrize(
    "garbage",
    [
        *[pytest.param(data, id=name) for name, data in HARMLESS.items()],
        *[pytest.param(data, id=name) for name, data in HARMFUL.items()],
    ],
)
def test_what_a_stranger_sends_does_no_harm(garbage: bytes) -> None:
    meeting = Meeting("b")
    meeting.listen()
    with socket.create_connection(("127.0.0.1", meeting.port)) as stranger:
        stranger.sendall(garbage)
        # The stranger has been heard before the worker comes: the launcher's challenge is on its way back.
        meeting.loop.watch(stranger, 1, _then(meeting, stranger))
        meeting.run()
    assert meeting.connected == ["b"]


def _then(meeting: Meeting, stranger: socket.socket) -> Callable[[int], None]:
    def go(_events: int) -> None:
        meeting.loop.unwatch(stranger)
        # One turn of the loop later what was sent has been read too.
        meeting.loop.later(0.05, lambda: meeting.worker("b"))

    return go


def test_the_proof_is_bound_to_role_nonce_and_announcement() -> None:
    base = proof("t", "worker", "n", {"host": "b"})
    changed: Tuple[str, ...] = (
        proof("u", "worker", "n", {"host": "b"}),
        proof("t", "launcher", "n", {"host": "b"}),
        proof("t", "worker", "m", {"host": "b"}),
        proof("t", "worker", "n", {"host": "c"}),
    )
    assert len({base, *changed}) == 5
    assert base == proof("t", "worker", "n", {"host": "b"})


def test_messages_and_lines_arrive_whole_and_in_order() -> None:
    loop = Loop()
    got: List[Any] = []
    left, right = _pair()

    def closed(reason: str) -> None:
        got.append(reason)
        loop.stop()

    sender, receiver = Connection(loop, left, lambda _reason: None), Connection(loop, right, closed)
    receiver.max_frame = 64 << 20
    receiver.on_message, receiver.on_lines = got.append, got.append
    lines = b"x" * (3 << 20)
    sender.send({"n": 1})
    sender.send_lines(lines)
    sender.send({"n": "é"})
    sender.when_drained(sender.close)
    loop.later(GUARD, loop.stop)
    loop.run()
    assert got == [{"n": 1}, lines, {"n": "é"}, "connection closed"]


def _pair() -> Tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        left = socket.create_connection(server.getsockname())
        return left, server.accept()[0]
