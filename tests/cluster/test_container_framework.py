"""Framework containers on emulated hosts: a scheduler on the first host and a server on each, as a parameter server has them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator

import pytest
from container_jobs import ROOT, RunningJob, start_host, start_job

pytestmark = pytest.mark.cluster

HOSTS = ("algo-1", "algo-2")
FRAMEWORK = """
import sys
from hvdsm import framework

def main(env):
    program = [sys.executable, "-m", "parts"]
    if env.current_host == env.hosts[0]:
        framework.start_role("scheduler", [*program, "scheduler"], {"SERVERS": str(len(env.hosts))})
    framework.start_role("server", [*program, "server"])
    variables = {**env.to_env_vars(), "SCHEDULER": env.hosts[0]}
    framework.entry_point.run(env.module_dir, env.user_entry_point, env.to_cmd_args(), variables)
    print("function done on", env.current_host)
"""
# The scheduler tells whoever asks how many servers have joined, when all have.
PARTS = """
import os, signal, socket, sys, time

def connect():
    while True:
        try:
            return socket.create_connection((os.environ["SCHEDULER"], 9100), timeout=10)
        except OSError:
            time.sleep(0.02)

def servers():
    with connect() as peer:
        peer.sendall(b"worker\\n")
        return int(peer.makefile().readline())

def end(*_):
    print("told to end", flush=True)
    sys.exit(0)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    role = sys.argv[1]
    if role == "server":
        with connect() as peer:
            peer.sendall(b"server\\n")
            print("serving on", os.environ["SM_CURRENT_HOST"], flush=True)
            peer.recv(1)
            signal.pause()
    listener = socket.create_server(("0.0.0.0", 9100))
    joined, waiting = [], []
    while True:
        peer, _ = listener.accept()
        (joined if peer.makefile().readline() == "server\\n" else waiting).append(peer)
        if len(joined) == int(os.environ["SERVERS"]):
            for peer in waiting:
                peer.sendall(b"%d\\n" % len(joined))
            waiting = []
"""
SCRIPT = """
import os, sys
sys.path.insert(0, "/opt/ml/image")
import parts
print("rank on", os.environ["SM_CURRENT_HOST"], "sees", parts.servers(), "servers", flush=True)
"""
MPI_SCRIPT = """
from mpi4py import MPI
print("all here", MPI.COMM_WORLD.allreduce(1), flush=True)
import time
time.sleep(300)
"""

Start = Callable[..., RunningJob]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts one job with a framework module in both hosts' images; its hosts are gone after the test."""
    jobs = []

    def begin(script: str, framework: str = FRAMEWORK, **hyperparameters: object) -> RunningJob:
        job = start_job(tmp_path, script, late=HOSTS, **hyperparameters)  # type: ignore[arg-type]
        jobs.append(job)
        for host in HOSTS:
            image = tmp_path / host / "image"
            image.mkdir()
            (image / "mine.py").write_text(framework)
            (image / "parts.py").write_text(PARTS)
            variables = {
                "SAGEMAKER_TRAINING_MODULE": "mine:main",
                "PYTHONPATH": f"/opt/ml/image:{ROOT}",
                "SCHEDULER": "algo-1",
            }
            start_host(job, host, environment=variables)
        return job

    yield begin
    for job in jobs:
        job.cluster.close()


def test_a_scheduler_and_servers_stand_beside_the_ranks(start: Start) -> None:
    job = start(SCRIPT, sagemaker_mpi_enabled="false")
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    log = job.read("algo-1")
    for host in HOSTS:
        assert f"rank on {host} sees 2 servers" in log, job.everything()
        own = job.read(host)
        assert f"[server,{host}] serving on {host}\n" in own
        assert f"[server,{host}] told to end\n" in own
        assert f"function done on {host}\n" in own
        assert own.index("told to end") < own.index("function done on")
        assert (job.folder / host / "output" / "success").exists()
        assert [line for line in job.left_over(host) if "parts" in line or "train.py" in line] == []
    assert "[scheduler,algo-1] told to end\n" in log
    assert "[scheduler,algo-2]" not in job.everything()


def test_a_server_that_is_killed_fails_the_job_on_every_host(start: Start) -> None:
    job = start(MPI_SCRIPT, sagemaker_mpi_num_of_processes_per_host="1")
    job.wait_for("all here 2", count=2)
    job.wait_for("serving on algo-2", host="algo-2")
    job.cluster.popen("algo-2", ["pkill", "-9", "-f", "parts server"]).wait(timeout=20)
    assert job.codes() == {"algo-1": 137, "algo-2": 137}, job.everything()
    for host in HOSTS:
        text = job.failure(host)
        assert text is not None and text.startswith("algo-2: ") and "server" in text.split("\n")[0], text
        assert [line for line in job.left_over(host) if "parts" in line or "train.py" in line] == []
    assert job.outcome()["failure"]["kind"] == "role"
    assert "function done" not in job.everything()


def test_a_server_that_cannot_start_fails_the_job_before_ranks_run(start: Start) -> None:
    job = start(SCRIPT, FRAMEWORK.replace('"server", [*program', '"server", ["no-such-server"'), sagemaker_mpi_enabled="false")
    assert job.codes() == {"algo-1": 78, "algo-2": 78}, job.everything()
    for host in HOSTS:
        text = job.failure(host)
        assert text is not None and "role server on algo-" in text and "cannot start no-such-server" in text
    assert "sees" not in job.everything()


def test_a_function_that_fails_on_one_host_is_named_on_both(start: Start) -> None:
    broken = FRAMEWORK.replace(
        "    program =", "    if env.current_host == 'algo-2': raise RuntimeError('no licence')\n    program ="
    )
    job = start(SCRIPT, broken, sagemaker_mpi_enabled="false")
    assert job.codes() == {"algo-1": 1, "algo-2": 1}, job.everything()
    for host in HOSTS:
        text = job.failure(host)
        assert text is not None and text.startswith("algo-2: RuntimeError: no licence"), text
