"""Nothing is left of a cluster, however its parent ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest
from emulator_support import SECONDS, Watch, machine, marked, run, shell, unavailable

from hvdsm.emulator import ClusterSpec, EmulatedCluster

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]

PARENT = """
import os, signal, sys, threading
from hvdsm.emulator import ClusterSpec, EmulatedCluster

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
cluster = EmulatedCluster.start(ClusterSpec(3, delay_ms=1))
for host in cluster.hosts:
    script = "setsid nohup sleep 100000 >/dev/null 2>&1 & (setsid sleep 100000 &) ; echo x; exec sleep 100000"
    read, write = os.pipe()
    cluster.popen(host.name, ["sh", "-c", script], env={"HVDSM_TEST_MARK": sys.argv[1]}, stdout=write)
    os.read(read, 1)
if "copy" in sys.argv:
    if os.fork() == 0:  # holds copies of all descriptors
        os.environ.clear()
        threading.Event().wait()
print("ready", flush=True)
if "leave" in sys.argv:
    os._exit(3)
if "raise" in sys.argv:
    raise RuntimeError
if "return" not in sys.argv:
    threading.Event().wait()
"""


@pytest.fixture
def parent() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started = []

    def start(mark: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment: Dict[str, str] = {
            **os.environ,
            "HVDSM_TEST_MARK": mark,
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", PARENT, mark, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.alone
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_parent(parent: Callable[..., subprocess.Popen[bytes]], how: signal.Signals) -> None:
    before, mark = machine(), uuid.uuid4().hex
    process = parent(mark)
    pids = marked(mark)
    assert len(pids) > 10  # parent, helper, inits, switch, daemons
    watch = Watch([pid for pid in pids if pid != process.pid])
    process.send_signal(how)
    assert watch.still_there() == set()
    process.wait(SECONDS)
    assert marked(mark) == []
    assert machine() == before


@pytest.mark.parametrize("how", ["leave", "raise", "return"])
def test_the_parent_ends_by_itself(parent: Callable[..., subprocess.Popen[bytes]], how: str) -> None:
    mark = uuid.uuid4().hex
    process = parent(mark, how)
    process.wait(SECONDS)
    assert Watch(marked(mark)).still_there() == set()


def test_a_forked_child_of_the_parent_keeps_nothing_alive(parent: Callable[..., subprocess.Popen[bytes]]) -> None:
    mark = uuid.uuid4().hex
    process = parent(mark, "copy")
    group = set(marked(mark)) - {pid for pid in marked(mark) if os.getpgid(pid) == process.pid}
    watch = Watch(sorted(group))
    process.kill()
    assert watch.still_there() == set()


def test_terminal_signals_do_not_reach_the_hosts(parent: Callable[..., subprocess.Popen[bytes]]) -> None:
    mark = uuid.uuid4().hex
    process = parent(mark)
    assert {os.getsid(pid) for pid in marked(mark) if os.getsid(pid)} & {os.getsid(0)} == set()
    with EmulatedCluster.start(ClusterSpec(1)) as cluster:
        helper = cluster._helper.pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(helper, number)
        assert shell(cluster, "algo-1", "exit 4").code == 4
    process.kill()


@pytest.mark.alone
def test_closing_leaves_nothing() -> None:
    before = machine()
    cluster = EmulatedCluster.start(ClusterSpec(3, sshd=False))
    mark = uuid.uuid4().hex
    script = "mkfifo /tmp/f; setsid nohup sh -c 'echo up > /tmp/f; exec sleep 100000' >/dev/null 2>&1 & cat /tmp/f"
    assert shell(cluster, "algo-3", script, env={"HVDSM_TEST_MARK": mark}).code == 0
    watch = Watch(marked(mark))
    cluster.close()
    assert watch.still_there(0) == set()
    assert marked(mark) == []
    assert machine() == before


def test_a_killed_helper_takes_the_hosts_along() -> None:
    mark = uuid.uuid4().hex
    with EmulatedCluster.start(ClusterSpec(2, delay_ms=1)) as cluster:
        process = cluster.popen("algo-2", ["sleep", "100000"], env={"HVDSM_TEST_MARK": mark})
        watch = Watch(marked(mark))
        os.kill(cluster._helper.pid, signal.SIGKILL)
        assert process.wait(SECONDS) == -9
        assert watch.still_there() == set()


def test_started_from_a_thread_that_ends_among_other_threads() -> None:
    stop = threading.Event()
    others = [threading.Thread(target=stop.wait) for _ in range(10)]
    for thread in others:
        thread.start()
    made = []
    starter = threading.Thread(target=lambda: made.append(EmulatedCluster.start(ClusterSpec(2))))
    starter.start()
    starter.join()
    stop.set()
    for thread in others:
        thread.join()
    with made[0] as cluster:
        assert run(cluster, "algo-2", ["hostname"]).out == "algo-2\n"


def test_two_clusters_at_once() -> None:
    with EmulatedCluster.start(ClusterSpec(2)) as one, EmulatedCluster.start(ClusterSpec(2)) as other:
        assert shell(one, "algo-1", "echo one > /tmp/x; cat /tmp/x").out == "one\n"
        assert shell(other, "algo-1", "cat /tmp/x").code == 1


def test_a_host_inside_a_host() -> None:
    """Nested use works or fails with a message; the outer cluster is none the worse."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from hvdsm.emulator import ClusterSpec, EmulatedCluster\n"
        "from hvdsm.errors import HvdsmError\n"
        "try:\n"
        "    with EmulatedCluster.start(ClusterSpec(2)) as c:\n"
        "        c.popen('algo-2', ['hostname']).wait()\n"
        "except HvdsmError as e:\n"
        "    print('refused:', e)\n"
    )
    with EmulatedCluster.start(ClusterSpec(1)) as cluster:
        answer = run(cluster, "algo-1", [sys.executable, "-c", program, str(Path(__file__).resolve().parents[2])])
        assert answer.code == 0, answer
        assert answer.out == "algo-2\n" or answer.out.startswith("refused: "), answer
        assert run(cluster, "algo-1", ["hostname"]).out == "algo-1\n"
