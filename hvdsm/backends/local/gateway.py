"""One service on this machine's loopback that emulated hosts reach, under the same address on theirs; nothing else is reached.

Each host's listening socket is made there (:mod:`hvdsm.backends.local.listener`) and held here: nothing runs on the hosts for it.
A connection that is accepted gets one to the service, and one thread carries the bytes of all of them.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from typing import Dict, List, Mapping, Optional, Sequence, Set, Union

from hvdsm.backends.local.options import Gateway
from hvdsm.backends.local.run import Cluster
from hvdsm.emulator import control
from hvdsm.errors import HostLost, HvdsmError

LOOPBACK = "127.0.0.1"
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
ENDPOINT = "AWS_ENDPOINT_URL"

# Bytes taken at once, and what may wait for one side before no more is read from the other.
_PIECE = 1 << 18
# Seconds for a host to hand its socket over.
_HANDOVER = 60.0
# Seconds until connections are accepted again where this process had no descriptor left.
_PAUSE = 0.2


def client_variables(base: Mapping[str, str], gateway: Gateway, asked: Mapping[str, str], *, isolated: bool) -> Dict[str, str]:
    """The variables of a host's programs by which clients of AWS find the service.

    Args:
        base: the variables of the programs without those that the request asks for.
        gateway: the service.
        asked: what the request asks for, which goes over these.  Credentials are one thing: where it has one of their parts, none
            of the service's is added.
        isolated: whether the request has EnableNetworkIsolation: then there are neither credentials nor an address.
    """
    found = {**base, **gateway.variables}
    own_credentials = any(name in asked for name in CREDENTIALS)
    left_out = (ENDPOINT, *CREDENTIALS) if isolated else CREDENTIALS if own_credentials else ()
    return {name: value for name, value in found.items() if name not in left_out}


def listen(cluster: Cluster, hosts: Sequence[str], port: int) -> List[socket.socket]:
    """Listen on loopback of every host.

    Args:
        cluster: the hosts.
        hosts: their names.
        port: the TCP port.

    Returns:
        a listening socket of each host.

    Raises:
        HostLost: a host has ended.
        HvdsmError: a host cannot listen.
    """
    program = (sys.executable, "-I", "-S", os.path.join(os.path.dirname(os.path.abspath(__file__)), "listener.py"), str(port))
    ends: List[socket.socket] = []
    found: List[socket.socket] = []
    quiet = subprocess.DEVNULL
    try:
        for host in hosts:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ends.append(ours)
            with theirs:
                cluster.popen(host, program, env={}, cwd="/", stdin=theirs.fileno(), stdout=quiet, stderr=quiet)
        for host, end in zip(hosts, ends):
            found.append(_handed_over(end, host, port))
    except BaseException:
        for server in found:
            server.close()
        raise
    finally:
        for end in ends:
            end.close()
    return found


def _handed_over(end: socket.socket, host: str, port: int) -> socket.socket:
    end.settimeout(_HANDOVER)
    try:
        message, fds = control.receive(end)
    except socket.timeout:
        raise HvdsmError(f"has not begun to listen on port {port} within {_HANDOVER:g} s", where=host) from None
    if message is None:
        raise HostLost("the host has ended", where=host)
    if "error" in message:
        raise HvdsmError(f"cannot listen on port {port} of its loopback: {message['error']}", where=host)
    return socket.socket(fileno=fds[0])


class _Side:
    """One end of a connection that was joined to another."""

    __slots__ = ("connection", "ended", "other", "pending", "shut")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.other = self
        self.pending = bytearray()  # to be sent to it
        self.ended = False  # it sends nothing more
        self.shut = False  # it is sent nothing more

    @property
    def interest(self) -> int:
        """What is waited for."""
        reads = selectors.EVENT_READ if not self.ended and len(self.other.pending) < _PIECE else 0
        return reads | (selectors.EVENT_WRITE if self.pending else 0)

    def take(self) -> None:
        """Pass on what it has sent."""
        try:
            piece = self.connection.recv(_PIECE)
        except BlockingIOError:
            return
        if not piece:
            self.ended = True
        elif self.other.pending:
            self.other.pending += piece
        else:
            self.other.pending += piece[self.other.sent(piece) :]

    def give(self) -> None:
        """Send it what waits for it."""
        if self.pending:
            del self.pending[: self.sent(self.pending)]
        if self.other.ended and not self.pending and not self.shut:
            self.shut = True
            self.connection.shutdown(socket.SHUT_WR)

    def sent(self, data: Union[bytes, bytearray]) -> int:
        """How much of the data it takes now."""
        try:
            return self.connection.send(data)
        except BlockingIOError:
            return 0


class Relay:
    """Joins connections to listening sockets with the service, until it is closed.

    Args:
        servers: listening sockets; it closes them.
        port: the service's TCP port on this machine's loopback.
    """

    def __init__(self, servers: Sequence[socket.socket], port: int) -> None:
        self._servers = tuple(servers)
        self._port = port
        self._sides: Set[_Side] = set()
        self._paused_until: Optional[float] = None
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        for server in self._servers:
            server.setblocking(False)
            self._selector.register(server, selectors.EVENT_READ, server)
        self._thread: Optional[threading.Thread] = threading.Thread(target=self._run, daemon=True, name="hvdsm-gateway")
        self._thread.start()

    def close(self) -> None:
        """Cut all connections, and accept none; may be called twice."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None:
                return
            os.close(self._wake_write)
            thread.join()

    def _run(self) -> None:
        try:
            while True:
                pause = None if self._paused_until is None else max(0.0, self._paused_until - time.monotonic())
                for key, mask in self._selector.select(pause):
                    if key.fileobj == self._wake_read:
                        return
                    if isinstance(key.data, _Side):
                        self._carry(key.data, mask)
                    else:
                        self._accept(key.data)
                if self._paused_until is not None and time.monotonic() >= self._paused_until:
                    self._go_on()
        finally:
            for server in self._servers:
                server.close()
            for side in self._sides:
                side.connection.close()
            self._selector.close()
            os.close(self._wake_read)

    def _accept(self, server: socket.socket) -> None:
        while True:
            connections: List[socket.socket] = []
            try:
                # First what may fail for want of a descriptor: a connection that is not accepted can wait.
                connections.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                connections.append(server.accept()[0])
            except OSError as error:
                for connection in connections:
                    connection.close()
                if error.errno in (errno.ECONNABORTED, errno.EINTR):
                    continue
                if error.errno != errno.EAGAIN:
                    self._pause()
                return
            self._join(*connections)

    def _join(self, service: socket.socket, host: socket.socket) -> None:
        for connection in (service, host):
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if service.connect_ex((LOOPBACK, self._port)) not in (0, errno.EINPROGRESS):
            # Nobody serves: the host sees a connection that ends.
            service.close()
            host.close()
            return
        near, far = _Side(service), _Side(host)
        near.other, far.other = far, near
        for side in (near, far):
            self._sides.add(side)
            self._selector.register(side.connection, side.interest, side)

    def _carry(self, side: _Side, mask: int) -> None:
        if side not in self._sides:
            # Its other end has failed just now.
            return
        other = side.other
        try:
            if mask & selectors.EVENT_READ:
                side.take()
            side.give()
            other.give()
        except OSError:
            self._part(side)
            return
        if side.shut and other.shut:
            self._part(side)
            return
        for one in (side, other):
            self._watch(one)

    def _watch(self, side: _Side) -> None:
        key = self._selector.get_map().get(side.connection)
        wanted = side.interest
        if key is None:
            if wanted:
                self._selector.register(side.connection, wanted, side)
        elif not wanted:
            self._selector.unregister(side.connection)
        elif key.events != wanted:
            self._selector.modify(side.connection, wanted, side)

    def _part(self, side: _Side) -> None:
        for one in (side, side.other):
            self._sides.discard(one)
            if self._selector.get_map().get(one.connection) is not None:
                self._selector.unregister(one.connection)
            one.connection.close()

    def _pause(self) -> None:
        """Leave new connections to the kernel for a while: this process has no descriptor for them."""
        if self._paused_until is None:
            for server in self._servers:
                self._selector.unregister(server)
        self._paused_until = time.monotonic() + _PAUSE

    def _go_on(self) -> None:
        self._paused_until = None
        for server in self._servers:
            self._selector.register(server, selectors.EVENT_READ, server)
