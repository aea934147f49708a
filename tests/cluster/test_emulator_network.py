"""The network between emulated hosts can be shaped, cut, and lose hosts."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from emulator_support import SECONDS, run, shell, unavailable

from hvdsm.emulator import ClusterSpec, EmulatedCluster
from hvdsm.errors import HostLost, UsageError

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]

ECHO = """
import socket, threading
server = socket.create_server(('', 5000))
print('ready', flush=True)
def serve(peer):
    while data := peer.recv(1 << 16):
        peer.sendall(data[:1])
    peer.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],)).start()
"""
# The shortest of a few round trips of one byte, and the time for a megabyte to arrive, in seconds.
MEASURE = """
import socket, time
peer = socket.create_connection(('algo-1', 5000))
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def trip():
    start = time.monotonic(); peer.sendall(b'x'); peer.recv(1); return time.monotonic() - start
shortest = min(trip() for _ in range(5))
sink = socket.create_connection(('algo-1', 5000))
start = time.monotonic()
sink.sendall(bytes(1 << 20)); sink.shutdown(socket.SHUT_WR)
while sink.recv(1 << 16): pass
print(shortest, time.monotonic() - start)
"""


def start_server(cluster: EmulatedCluster) -> None:
    read, write = os.pipe()
    cluster.popen("algo-1", [sys.executable, "-c", ECHO], stdout=write)
    os.close(write)
    with open(read) as file:
        assert file.readline() == "ready\n"


def measure(spec: ClusterSpec) -> tuple[float, float]:
    with EmulatedCluster.start(spec) as cluster:
        start_server(cluster)
        answer = run(cluster, "algo-2", [sys.executable, "-c", MEASURE])
        trip, megabyte = answer.out.split()
        return float(trip), float(megabyte)


@pytest.mark.alone
def test_delay_and_rate_shape_the_network() -> None:
    plain = measure(ClusterSpec(2))
    delayed = measure(ClusterSpec(2, delay_ms=25))
    narrow = measure(ClusterSpec(2, mbit=32))
    assert delayed[0] >= 2 * 0.025  # there and back
    assert delayed[0] > 3 * plain[0]
    assert narrow[1] >= 8.0 / 32  # 8 Mbit at 32 Mbit/s
    assert narrow[1] > 2 * plain[1]


@pytest.mark.parametrize("delay", [0.0, 0.5])
def test_a_link_that_is_down(delay: float) -> None:
    program = (
        "import socket, sys\ntry: socket.create_connection(('algo-1', 5000), float(sys.argv[1]))\nexcept OSError: sys.exit(9)"
    )
    with EmulatedCluster.start(ClusterSpec(3, delay_ms=delay)) as cluster:
        start_server(cluster)
        connect = [sys.executable, "-c", program]
        assert run(cluster, "algo-2", [*connect, "30"]).code == 0
        cluster.set_link("algo-2", up=False)
        assert run(cluster, "algo-2", [*connect, "0.3"]).code == 9
        assert run(cluster, "algo-3", [*connect, "30"]).code == 0
        cluster.set_link("algo-2", up=True)
        assert run(cluster, "algo-2", [*connect, "30"]).code == 0
        assert cluster.lost == frozenset()


def test_a_killed_host_is_noticed_at_once() -> None:
    with EmulatedCluster.start(ClusterSpec(3)) as cluster:
        doomed = cluster.popen("algo-2", ["sleep", "1000"])
        codes = []
        waiter = threading.Thread(target=lambda: codes.append(doomed.wait(SECONDS)))
        waiter.start()
        cluster.kill_host("algo-2")
        waiter.join()
        assert codes == [-9]
        assert doomed.returncode == -9
        assert cluster.lost == {"algo-2"}
        with pytest.raises(HostLost):
            cluster.popen("algo-2", ["true"])
        cluster.kill_host("algo-2")  # already dead: nothing happens
        assert shell(cluster, "algo-3", "hostname").out == "algo-3\n"
        with pytest.raises(UsageError):
            cluster.kill_host("algo-4")


def test_a_killed_host_says_no_farewell() -> None:
    """As with a power cut, its peers get neither FIN nor RST."""
    program = (
        "import socket\n"
        "peer = socket.create_connection(('algo-1', 5000)); peer.sendall(b'x'); peer.recv(1)\n"
        "print('connected', flush=True); peer.settimeout(0.5)\n"
        "try: print('farewell', peer.recv(1))\n"
        "except socket.timeout: print('silence')\n"
    )
    with EmulatedCluster.start(ClusterSpec(2)) as cluster:
        start_server(cluster)
        read, write = os.pipe()
        process = cluster.popen("algo-2", [sys.executable, "-c", program], stdout=write)
        os.close(write)
        with open(read) as file:
            assert file.readline() == "connected\n"
            cluster.kill_host("algo-1")
            assert file.read() == "silence\n"
        assert process.wait(SECONDS) == 0


def test_an_init_that_is_killed_is_noticed_too() -> None:
    with EmulatedCluster.start(ClusterSpec(2)) as cluster:
        process = cluster.popen("algo-1", ["sleep", "1000"])
        os.kill(init_of(cluster, "algo-1"), 9)
        assert process.wait(SECONDS) == -9
        assert cluster.lost == {"algo-1"}


def init_of(cluster: EmulatedCluster, host: str) -> int:
    """The machine's number of a host's first process: found beneath the helper."""
    todo = [cluster._helper.pid]
    while todo:
        pid = todo.pop()
        with open(f"/proc/{pid}/comm") as file:
            if file.read().strip() == f"init-{host}":
                return pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            todo.extend(int(child) for child in file.read().split())
    raise AssertionError(f"no init of {host}")
