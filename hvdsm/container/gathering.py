"""The launcher's view of the job's hosts: who has joined, who is heard, who is lost."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from hvdsm.container.config import Settings
from hvdsm.container.loop import Loop
from hvdsm.container.rendezvous import Listener, own_address
from hvdsm.container.wire import Connection, encode
from hvdsm.model import Cluster

Message = Dict[str, Any]
HEARTBEAT = 1.0
# A stranger who tries again and again must not fill the log.
MAX_REFUSALS = 20


class Gathering:
    """Listens for the workers, keeps their connections and notices silent ones.

    Args:
        loop: the loop.
        cluster: the hosts.
        settings: port, token and time limits.
        say: gets lines for the log.
        on_joined: called with (host, announcement) for each worker.
        on_message: called with (host, message).
        on_lines: called with relayed lines.
        on_lost: called with (host, reason).
    """

    def __init__(
        self,
        loop: Loop,
        cluster: Cluster,
        settings: Settings,
        say: Callable[[str], None],
        *,
        on_joined: Callable[[str, Message], None],
        on_message: Callable[[str, Message], None],
        on_lines: Callable[[bytes], None],
        on_lost: Callable[[str, str], None],
    ) -> None:
        self._loop = loop
        self._cluster = cluster
        self._settings = settings
        self._say = say
        self._on_joined = on_joined
        self._on_message = on_message
        self._on_lines = on_lines
        self._on_lost = on_lost
        self.connections: Dict[str, Connection] = {}
        self.announced: Dict[str, Message] = {}
        self.refusals: List[str] = []
        self._listener: Optional[Listener] = None

    def listen(self) -> None:
        """Wait for the workers from now on.

        Raises:
            ConfigError: the port is taken.
        """
        workers = [host for host in self._cluster.hosts if host != self._cluster.launcher]
        if workers:
            self._listener = Listener(
                self._loop, workers, self._settings.rendezvous_port, self._settings.token, self._joined, self._refused
            )
            self._loop.every(HEARTBEAT, self._beat)

    @property
    def missing(self) -> Tuple[str, ...]:
        """Workers that have not joined, in the order of the hosts."""
        return tuple(host for host in self._cluster.hosts if self._listener and host in self._listener.missing)

    @property
    def complete(self) -> bool:
        """Whether every host has announced itself, the launcher too."""
        return len(self.announced) == len(self._cluster.hosts)

    def keys(self) -> Mapping[str, Message]:
        """The announcements of the hosts that mpirun connects, with their addresses; empty for one host or without mpirun."""
        chosen = {host: self.announced[host] for host in self._cluster.distribution_hosts if self.announced[host]["host_key"]}
        if not chosen:
            return {}
        own = own_address(self.connections)
        return {host: {"address": own, **announced} for host, announced in chosen.items()}

    def _refused(self, address: str, why: str) -> None:
        text = f"{address}: {why}"
        if text not in self.refusals and len(self.refusals) < MAX_REFUSALS:
            self.refusals.append(text)
            self._say(f"refused a connection from {text}")

    def _joined(self, host: str, announcement: Message, connection: Connection) -> None:
        self.connections[host] = connection
        self.announced[host] = announcement
        connection.on_message = lambda message: self._on_message(host, message)
        connection.on_lines = self._on_lines
        connection.on_close = lambda reason: self._gone(host, reason)
        self._on_joined(host, announcement)

    def _gone(self, host: str, reason: str) -> None:
        if self.connections.pop(host, None) is not None:
            self._on_lost(host, reason)

    def drop(self, host: str, reason: str) -> None:
        """Give a host up."""
        connection = self.connections.get(host)
        if connection is not None:
            connection.on_close = None
            connection.close()
            self._gone(host, reason)

    def _beat(self) -> None:
        limit = self._settings.host_loss
        for host, connection in list(self.connections.items()):
            connection.send({"do": "ping"})
            if self.silence(host) > limit and not connection.paused:
                self.drop(host, f"silent for {limit:.0f} s")

    def silence(self, host: str) -> float:
        """Seconds since a host was heard."""
        connection = self.connections.get(host)
        return time.monotonic() - connection.heard if connection is not None else 0.0

    def send(self, host: str, message: Message) -> None:
        """To one worker; one that is gone is passed over."""
        if host in self.connections:
            self.connections[host].send(message)

    def send_all(self, message: Message) -> None:
        """To every worker; encoded once, since the keys of thousands of hosts take long to encode."""
        payload = encode(message)
        for connection in list(self.connections.values()):
            connection.send_encoded(payload)

    def pause(self, paused: bool) -> None:
        """Stop or resume reading from the workers."""
        for connection in self.connections.values():
            connection.pause(paused)

    def close(self) -> None:
        """Take no more workers; connections that stand stay."""
        if self._listener:
            self._listener.close()
