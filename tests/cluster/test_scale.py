"""Many hosts: a thousand simulated workers meet one launcher over real sockets; sixty-four emulated hosts really reduce."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from container_jobs import ROOT, start_job

from hvdsm.container.loop import Loop
from hvdsm.container.rendezvous import Listener
from hvdsm.container.ssh import free_port
from hvdsm.container.wire import Connection
from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = pytest.mark.cluster

WORKERS, PROCESSES = 1000, 4
TOKEN = "a token of the test"
# Only a defect makes the test wait for this long.
GUARD = 120.0

# Some hundred workers in one process: each announces keys, gets everybody's, checks them, and says so.
JOINERS = """
import json, sys
from hvdsm.container.loop import Loop
from hvdsm.container.rendezvous import Joiner
port, token, hosts = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
loop, left = Loop(), set(hosts)

def joined(host, connection):
    def told(message):
        if message["do"] == "setup":
            keys = message["keys"]
            good = len(keys) == int(sys.argv[4]) and keys[host]["host_key"] == "host key of " + host
            connection.send({"say": "ready" if good else "wrong"})
        elif message["do"] == "end":
            left.discard(host)
            if not left:
                loop.stop()
    connection.on_message = told
    connection.on_close = lambda reason: sys.exit(f"{host}: {reason}")

def join(host):
    announcement = {"host": host, "slots": 8, "port": 22,
        "host_key": "host key of " + host, "client_key": ("client key of " + host).ljust(90)}
    Joiner(loop, "127.0.0.1", port, token, announcement, timeout=100, say=lambda text: None,
        on_joined=lambda connection: joined(host, connection), on_failed=lambda why: sys.exit(f"{host}: {why}"))

for host in hosts:
    join(host)
loop.run()
"""


@pytest.fixture
def descriptors() -> None:
    """Room for a socket to every worker, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WORKERS + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process may open {hard} files here, and this needs {wanted}: ulimit -Hn")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@pytest.mark.usefixtures("descriptors")
def test_a_thousand_workers_meet(capsys: pytest.CaptureFixture[str]) -> None:
    """Joined, everyone's keys to everyone, ready, ended; what it took is printed and not judged."""
    workers = [f"algo-{number + 2}" for number in range(WORKERS)]
    loop, port, started = Loop(), free_port(0), time.monotonic()
    announced: Dict[str, Dict[str, Any]] = {}
    connections: List[Connection] = []
    ready: List[str] = []
    seconds: Dict[str, float] = {}

    def passed(phase: str) -> None:
        seconds[phase] = round(time.monotonic() - started, 2)

    def heard(host: str, message: Dict[str, Any]) -> None:
        assert message["say"] == "ready", host
        ready.append(host)
        if len(ready) == WORKERS:
            passed("ready")
            for connection in connections:
                connection.send({"do": "end"})
            connections[-1].when_drained(loop.stop)

    def join(host: str, announcement: Dict[str, Any], connection: Connection) -> None:
        announced[host] = announcement
        connections.append(connection)
        connection.on_message = lambda message: heard(host, message)
        if len(announced) == WORKERS:
            passed("joined")
            for each in connections:
                each.send({"do": "setup", "session": "/tmp/session", "keys": announced})

    listener = Listener(loop, workers, port, TOKEN, join)
    share = WORKERS // PROCESSES
    groups = [workers[i : i + share] for i in range(0, WORKERS, share)]
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", JOINERS, str(port), TOKEN, json.dumps(group), str(WORKERS)], env={"PYTHONPATH": ROOT}
        )
        for group in groups
    ]
    try:
        loop.later(GUARD, loop.stop)
        loop.run()
        assert len(announced) == WORKERS, f"{len(announced)} joined, missing {sorted(listener.missing)[:5]} and others"
        assert sorted(ready) == sorted(workers)
        codes = [program.wait(30) for program in programs]
        passed("ended")
        assert codes == [0] * PROCESSES
    finally:
        for program in programs:
            program.kill()
            program.wait()
        listener.close()
        for connection in connections:
            connection.close()
    with capsys.disabled():
        print(f"\n  {WORKERS} workers in {PROCESSES} processes, seconds: {seconds}")


REDUCE = """
from mpi4py import MPI
world = MPI.COMM_WORLD
total = world.allreduce(world.rank + 1)
print("sum", total, "of", world.size, "on", MPI.Get_processor_name(), flush=True)
"""


@pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}")
def test_64_hosts_reduce(tmp_path: Path) -> None:
    job = start_job(tmp_path, REDUCE, count=64)
    try:
        codes = {host: program.wait(timeout=240) for host, program in job.programs.items()}
    finally:
        job.cluster.close()
    assert set(codes.values()) == {0}, job.read("algo-1")[-6000:]
    log = job.read("algo-1")
    for rank in range(64):
        assert f"[{rank},algo-{rank + 1}] sum {64 * 65 // 2} of 64 on algo-{rank + 1}\n" in log
    outcome = job.outcome()
    assert outcome["ranks_per_host"] == {f"algo-{number + 1}": 1 for number in range(64)}


@pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}")
def test_hosts_that_mpirun_does_not_reach_by_itself(tmp_path: Path) -> None:
    """From the 66th host on, daemons start daemons; with a tree of two branches seven hosts have a second level already."""
    job = start_job(tmp_path, REDUCE, count=7, sagemaker_mpi_custom_mpi_options="-mca routed_radix 2")
    try:
        codes = job.codes()
    finally:
        job.cluster.close()
    assert set(codes.values()) == {0}, job.read("algo-1")[-6000:]
    assert job.read("algo-1").count(f"sum {7 * 8 // 2} of 7 on ") == 7
