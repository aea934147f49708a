"""Brings the hosts of a job together: the launcher listens, the workers connect, and the connections stay open.

Each side proves that it knows the job's token by an HMAC over what it announces, when a token is given.  Only public keys
travel.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import selectors
import socket
import time
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set

from hvdsm.container.loop import Loop
from hvdsm.container.wire import MAX_FRAME, Connection, Message
from hvdsm.errors import ConfigError

FIRST_RETRY = 0.02
LAST_RETRY = 1.0
CONNECT_SECONDS = 5.0
GREETING_SECONDS = 30.0
REMIND_SECONDS = 30.0


def proof(token: str, role: str, nonce: str, announcement: Mapping[str, object]) -> str:
    """HMAC-SHA256 of an announcement under the job's token, in hexadecimal; bound to the role and to the peer's nonce."""
    text = json.dumps([role, nonce, announcement], sort_keys=True)
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()


def _same(expected: str, given: object) -> bool:
    return hmac.compare_digest(expected.encode(), str(given).encode("utf-8", "surrogatepass"))


class Listener:
    """The launcher's side.

    ``on_join(host, announcement, connection)`` is called for each worker that proved itself, ``on_refused(address, why)`` for
    each connection that did not; the other side is told why.
    """

    def __init__(
        self,
        loop: Loop,
        workers: Sequence[str],
        port: int,
        token: str,
        on_join: Callable[[str, Message, Connection], None],
        on_refused: Callable[[str, str], None] = lambda _address, _why: None,
    ) -> None:
        self._loop = loop
        self._token = token
        self._on_join = on_join
        self._on_refused = on_refused
        self.missing: Set[str] = set(workers)
        self._greeting: List[Connection] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("0.0.0.0", port))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"cannot listen on TCP port {port}: {getattr(error, 'strerror', error)}",
                where="the launcher",
                remedy="choose another port for all hosts by HVDSM_RENDEZVOUS_PORT",
            ) from None
        self._socket.listen(4096)
        self._socket.setblocking(False)
        loop.watch(self._socket, selectors.EVENT_READ, self._accept)

    def _accept(self, _events: int) -> None:
        try:
            sock, _ = self._socket.accept()
        except OSError:
            return
        nonce = os.urandom(16).hex()
        connection = Connection(self._loop, sock, lambda _reason: self._greeting.remove(connection))
        connection.on_message = lambda message: self._greeted(connection, nonce, message)
        self._greeting.append(connection)
        connection.send({"nonce": nonce})
        self._loop.later(GREETING_SECONDS, lambda: self._give_up(connection))

    def _give_up(self, connection: Connection) -> None:
        """A peer that says nothing must not hold a connection for ever."""
        if connection in self._greeting:
            self._greeting.remove(connection)
            connection.close()

    def _greeted(self, connection: Connection, nonce: str, message: Message) -> None:
        announcement = message.get("announce")
        if not isinstance(announcement, dict):
            announcement = {}
        host = announcement.get("host")
        expected = proof(self._token, "worker", nonce, announcement)
        why = ""
        if not _same(expected, message.get("proof")):
            why = "it does not know this job's token"
        elif not isinstance(host, str) or host not in self.missing:
            why = f"{host!r} is no host of this job, or has joined before"
        if why:
            self._greeting.remove(connection)
            self._on_refused(connection.peer, why)
            connection.send({"refused": why})
            connection.when_drained(connection.close)
            return
        assert isinstance(host, str)
        self.missing.discard(host)
        self._greeting.remove(connection)
        connection.max_frame = MAX_FRAME
        connection.send({"proof": proof(self._token, "launcher", str(message.get("nonce")), {})})
        self._on_join(host, announcement, connection)

    def close(self) -> None:
        """Stop listening; connections of workers that joined stay."""
        self._loop.unwatch(self._socket)
        self._socket.close()
        for connection in list(self._greeting):
            connection.close()
        self._greeting.clear()


class Joiner:
    """A worker's side: tries until the launcher answers, or the deadline; ``on_joined(connection)`` or ``on_failed(why)``.

    ``refused`` says afterwards that the launcher answered and did not want this host.
    """

    def __init__(
        self,
        loop: Loop,
        launcher: str,
        port: int,
        token: str,
        announcement: Message,
        *,
        timeout: float,
        say: Callable[[str], None],
        on_joined: Callable[[Connection], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._address = (launcher, port)
        self._token = token
        self._announcement = announcement
        self._say = say
        self._on_joined = on_joined
        self._on_failed = on_failed
        self._timeout = timeout
        self._started = time.monotonic()
        self._reminded = self._started
        self._delay = FIRST_RETRY
        self._reason = "no answer"
        self._expired = False
        self.refused = False
        self._connection: Optional[Connection] = None
        self._deadline = loop.later(timeout, self._expire)
        self._try()

    def _try(self) -> None:
        if self._expired:
            return
        try:
            # A name that is not yet known fails at once here; a connection takes at most a few seconds.
            sock = socket.create_connection(self._address, timeout=CONNECT_SECONDS)
        except OSError as error:
            self._again(str(error.strerror or error))
            return
        connection = self._connection = Connection(self._loop, sock, self._again)
        nonce = os.urandom(16).hex()
        connection.on_message = lambda message: self._challenged(connection, nonce, message)

    def _challenged(self, connection: Connection, nonce: str, message: Message) -> None:
        announcement = {**self._announcement, "address": connection.sock.getsockname()[0]}
        connection.send(
            {
                "announce": announcement,
                "nonce": nonce,
                "proof": proof(self._token, "worker", str(message.get("nonce")), announcement),
            }
        )
        connection.on_message = lambda answer: self._answered(connection, nonce, answer)

    def _answered(self, connection: Connection, nonce: str, message: Message) -> None:
        if message.get("refused"):
            connection.close()
            self._deadline.cancel()
            self.refused = True
            self._on_failed(f"the launcher {self._address[0]} refused this host: {str(message['refused'])[:500]}")
            return
        if not _same(proof(self._token, "launcher", nonce, {}), message.get("proof")):
            connection.close()
            self._deadline.cancel()
            self._on_failed(f"{self._address[0]} answered, but does not know this job's token")
            return
        connection.max_frame = MAX_FRAME
        self._deadline.cancel()
        self._on_joined(connection)

    def _again(self, reason: str) -> None:
        now = time.monotonic()
        name, port = self._address
        self._reason = reason
        if self._expired:
            return
        if now - self._reminded >= REMIND_SECONDS:
            self._reminded = now
            self._say(f"still waiting for {name}:{port} after {now - self._started:.0f} s ({reason})")
        self._loop.later(self._delay, self._try)
        self._delay = min(self._delay * 1.5, LAST_RETRY)

    def _expire(self) -> None:
        self._expired = True
        if self._connection is not None:
            self._connection.close()
        name, port = self._address
        self._on_failed(f"the launcher {name} did not answer on port {port} for {self._timeout:.0f} s: {self._reason}")


def own_address(connections: Mapping[str, Connection]) -> Optional[str]:
    """The launcher's address as its workers reach it."""
    for connection in connections.values():
        return str(connection.sock.getsockname()[0])
    return None


def announcement(host: str, keys: Dict[str, str], port: int) -> Message:
    """What a host tells of itself when it joins."""
    return {"host": host, "port": port, **keys}
