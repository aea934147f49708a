"""Faults on emulated hosts: whatever breaks, every host ends by itself, with one exit code and one reason."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Callable, Iterator, List

import pytest
from container_jobs import OPEN_MPI, RunningJob, start_host, start_job

pytestmark = pytest.mark.cluster

WAITING = """
import time
from mpi4py import MPI
MPI.COMM_WORLD.Barrier()
print("all here", flush=True)
time.sleep(300)
"""
SHORT = """
import time
from mpi4py import MPI
MPI.COMM_WORLD.Barrier()
print("all here", flush=True)
time.sleep(8)
MPI.COMM_WORLD.Barrier()
print("all done", flush=True)
"""
OBEDIENT = """
import os, signal, sys, time
from mpi4py import MPI
def end(*_):
    os.write(1, b"saving" + os.linesep.encode())
    os._exit(0)
signal.signal(signal.SIGTERM, end)
MPI.COMM_WORLD.Barrier()
print("all here", flush=True)
time.sleep(300)
"""

Start = Callable[..., RunningJob]


@pytest.fixture(params=sorted(OPEN_MPI))
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts one job under each Open MPI; its hosts are gone after the test."""
    python = OPEN_MPI[request.param]
    if not os.path.exists(python):
        pytest.skip(f"Open MPI {request.param} is not in {python}: make setup installs it")
    jobs = []

    def begin(script: str, **options: object) -> RunningJob:
        jobs.append(start_job(tmp_path, script, python=python, **options))  # type: ignore[arg-type]
        return jobs[-1]

    yield begin
    for job in jobs:
        job.cluster.close()


def pids(job: RunningJob, host: str, word: str) -> List[str]:
    """Processes of a host by a word of their command line, from inside."""
    path = job.folder / "pids"
    with path.open("wb") as file:
        job.cluster.popen(host, ["pgrep", "-f", word], stdout=file).wait(timeout=20)
    return path.read_text().split()


def test_a_killed_rank_is_named_on_every_host(start: Start) -> None:
    job = start(WAITING)
    job.wait_for("all here", count=2)
    (pid, *_) = pids(job, "algo-2", "hvdsm.container.script")
    job.cluster.popen("algo-2", ["kill", "-9", pid]).wait(timeout=20)
    assert job.codes() == {"algo-1": 137, "algo-2": 137}, job.everything()
    for host in job.logs:
        text = job.failure(host)
        assert text is not None
        assert text.startswith("rank 1 (algo-2, local rank 0): killed by SIGKILL"), text


def test_a_killed_daemon_ends_the_job(start: Start) -> None:
    job = start(WAITING)
    job.wait_for("all here", count=2)
    for pid in pids(job, "algo-2", "orted|prted"):
        job.cluster.popen("algo-2", ["kill", "-9", pid]).wait(timeout=20)
    codes = job.codes()
    assert len(set(codes.values())) == 1, codes
    assert codes["algo-1"] != 0, job.everything()
    assert job.failure("algo-1")
    assert job.failure("algo-2")


def test_a_lost_host_is_named(start: Start) -> None:
    job = start(WAITING, count=3, environment={"HVDSM_HOST_LOSS_SECONDS": "5"})
    job.wait_for("all here", count=3)
    job.cluster.kill_host("algo-3")
    assert job.programs["algo-1"].wait(timeout=40) == 1, job.everything()
    assert job.programs["algo-2"].wait(timeout=40) == 1
    assert (job.failure("algo-2") or "").startswith("algo-3: the host was lost"), job.failure("algo-2")


def test_a_lost_launcher_ends_its_workers(start: Start) -> None:
    job = start(WAITING, environment={"HVDSM_HOST_LOSS_SECONDS": "5"})
    job.wait_for("all here", count=2)
    job.cluster.kill_host("algo-1")
    assert job.programs["algo-2"].wait(timeout=40) == 1, job.everything()
    assert "the launcher was lost" in (job.failure("algo-2") or "")
    assert not [line for line in job.left_over("algo-2") if "train.py" in line]


def test_a_link_that_is_down_for_five_seconds_does_no_harm(start: Start) -> None:
    job = start(SHORT)
    job.wait_for("all here", count=2)
    job.cluster.set_link("algo-2", False)
    # The length of the fault itself, not a wait for something.
    time.sleep(5)
    job.cluster.set_link("algo-2", True)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    job.wait_for("all done", count=2)


def test_a_link_that_stays_down_ends_the_job_on_both_sides(start: Start) -> None:
    job = start(WAITING, environment={"HVDSM_HOST_LOSS_SECONDS": "4"})
    job.wait_for("all here", count=2)
    job.cluster.set_link("algo-2", False)
    assert job.codes() == {"algo-1": 1, "algo-2": 1}, job.everything()
    assert "silent for 4 s" in (job.failure("algo-1") or "")
    assert "silent for 4 s" in (job.failure("algo-2") or "")


@pytest.mark.parametrize("host", ["algo-1", "algo-2"])
def test_sigterm_reaches_every_rank(start: Start, host: str) -> None:
    job = start(OBEDIENT, sagemaker_mpi_num_of_processes_per_host=2)
    job.wait_for("all here", count=4)
    job.programs[host].send_signal(signal.SIGTERM)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    assert job.read("algo-1").count("saving") == 4, job.everything()
    assert job.outcome()["status"] == "Stopped"


def test_ranks_that_ignore_sigterm_are_killed_after_the_grace_period(start: Start) -> None:
    script = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITING
    job = start(script, environment={"HVDSM_STOP_GRACE": "1"})
    job.wait_for("all here", count=2)
    job.programs["algo-1"].send_signal(signal.SIGTERM)
    assert job.codes() == {"algo-1": 143, "algo-2": 143}, job.everything()


def test_a_worker_that_comes_late_is_waited_for(start: Start) -> None:
    job = start("print('here', flush=True)", late=("algo-2",))
    time.sleep(1.5)
    assert job.programs["algo-1"].poll() is None
    start_host(job, "algo-2")
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()


def test_a_worker_that_never_comes_is_named(start: Start) -> None:
    job = start("print('here')", late=("algo-2",), environment={"HVDSM_RENDEZVOUS_TIMEOUT": "2"})
    assert job.programs["algo-1"].wait(timeout=20) == 75, job.everything()
    assert "algo-2 did not join within 2 s" in (job.failure("algo-1") or "")


def test_a_launcher_that_never_comes_is_named(start: Start) -> None:
    job = start("print('here')", late=("algo-1",), environment={"HVDSM_RENDEZVOUS_TIMEOUT": "2"})
    assert job.programs["algo-2"].wait(timeout=20) == 75, job.everything()
    assert "the launcher algo-1 did not answer on port 7470" in (job.failure("algo-2") or "")


def test_a_worker_without_the_entry_point_fails_the_job_on_every_host(start: Start, tmp_path: Path) -> None:
    job = start("print('here')", late=("algo-2",))
    (tmp_path / "algo-2" / "code" / "train.py").unlink()
    start_host(job, "algo-2")
    assert job.codes() == {"algo-1": 78, "algo-2": 78}, job.everything()
    assert "the entry point 'train.py' is not in the source" in (job.failure("algo-1") or "")
    assert (job.failure("algo-1") or "").startswith("algo-2: ")


def test_a_worker_without_the_daemon_of_mpirun_is_named(start: Start) -> None:
    job = start("print('here')", late=("algo-1", "algo-2"))
    folder = Path(job.python).parent
    daemon = next(str(folder / name) for name in ("prted", "orted") if (folder / name).exists())
    assert job.cluster.popen("algo-2", ["mount", "--bind", "/dev/null", daemon]).wait(timeout=20) == 0
    for host in job.logs:
        start_host(job, host)
    assert job.codes() == {"algo-1": 78, "algo-2": 78}, job.everything()
    text = job.failure("algo-1") or ""
    assert text.startswith(f"algo-2: {daemon}: is not on this host, and mpirun starts it here"), text


def test_hosts_are_named_by_the_platform_only(start: Start) -> None:
    """In the cloud a machine's own hostname is never algo-N."""
    job = start(
        "import os; print(os.uname().nodename, os.environ['SM_CURRENT_HOST'], flush=True)",
        late=(
            "algo-1",
            "algo-2",
        ),
    )
    for host in ("algo-1", "algo-2"):
        assert job.cluster.popen(host, ["hostname", f"ip-10-0-0-{host[-1]}"]).wait(timeout=20) == 0
        start_host(job, host)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    assert "[0,algo-1] ip-10-0-0-1 algo-1" in job.read("algo-1")
    assert "[1,algo-2] ip-10-0-0-2 algo-2" in job.read("algo-1")


def test_a_failure_file_of_the_script_is_kept(start: Start) -> None:
    own = "open('/opt/ml/output/failure', 'w').write('my own reason')"
    job = start(f"from mpi4py import MPI\n{own}\nMPI.COMM_WORLD.Barrier()\nraise SystemExit(3)")
    assert set(job.codes().values()) == {3}
    assert job.failure("algo-1") == "my own reason"


def test_a_wrong_token_is_refused(start: Start) -> None:
    job = start("print('here')", late=("algo-2",), environment={"HVDSM_RENDEZVOUS_TIMEOUT": "3"})
    start_host(job, "algo-2", environment={"HVDSM_JOB_TOKEN": "another", "HVDSM_RENDEZVOUS_TIMEOUT": "3"})
    assert job.codes() == {"algo-1": 75, "algo-2": 78}, job.everything()
    assert "does not know this job's token" in (job.failure("algo-2") or "")
    assert "does not know this job's token" in (job.failure("algo-1") or "")
    assert "here" not in job.read("algo-1").replace("train.py", "")


def test_nothing_is_left_on_the_hosts(start: Start) -> None:
    job = start("import subprocess\nsubprocess.Popen(['setsid', 'nohup', 'sleep', '4711'])\nprint('here')")
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    for host in job.logs:
        left = [line for line in job.left_over(host) if "sleep" in line or "sshd" in line or "orted" in line or "train" in line]
        assert left == [], left
    assert not os.path.exists("/opt/ml/hvdsm")
