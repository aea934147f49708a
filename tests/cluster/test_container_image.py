"""Images that lack something: what can be done without is done without, and what cannot is said at once, on all hosts."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Iterator, List

import pytest
from container_jobs import RunningJob, start_host, start_job

from hvdsm.bundle import write
from hvdsm.compose.outcome_line import decode_outcome
from hvdsm.emulator import ClusterSpec, EmulatedCluster, Mount

pytestmark = pytest.mark.cluster

HOSTS = ("algo-1", "algo-2")
SCRIPT = """
import json, os
from mpi4py import MPI
MPI.COMM_WORLD.Barrier()
with open("/opt/ml/output/found.json", "w") as file:
    json.dump({name: value for name, value in os.environ.items() if name.startswith("SM_")}, file)
"""
STUBBORN = """
import signal, time
from mpi4py import MPI
signal.signal(signal.SIGTERM, signal.SIG_IGN)
MPI.COMM_WORLD.Barrier()
print("all here", flush=True)
time.sleep(300)
"""


@pytest.fixture
def jobs() -> Iterator[List[RunningJob]]:
    """Jobs whose hosts are gone after the test."""
    started: List[RunningJob] = []
    yield started
    for job in started:
        job.cluster.close()


def after(commands: str, python: str) -> List[str]:
    """Words that run shell commands on a host, and then the program in place of the shell."""
    return ["/bin/sh", "-c", f'{commands}; exec "$0" "$@"', python]


def test_what_is_missing_is_told_on_all_hosts_before_they_wait(tmp_path: Path, jobs: List[RunningJob]) -> None:
    job = start_job(tmp_path, SCRIPT, late=HOSTS)
    jobs.append(job)
    # Nothing on PATH but Python; sshd is looked for in directories of its own as well, where this one cannot be executed.
    nothing = tmp_path / "nothing"
    nothing.write_text("")
    job.cluster.close()
    mounts = [Mount(str(tmp_path / host), "/opt/ml", host=host, writable=True) for host in HOSTS]
    mounts += [
        Mount(str(nothing), path) for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd") if os.path.exists(path)
    ]
    job.cluster = EmulatedCluster.start(ClusterSpec(2, mounts=tuple(mounts), visible=(sys.prefix, os.getcwd())))
    for host in HOSTS:
        settings = {"PATH": "/nowhere", "HVDSM_MPIRUN": "", "HVDSM_REHEARSAL": "", "HVDSM_RENDEZVOUS_TIMEOUT": "30"}
        start_host(job, host, environment=settings)
    assert job.codes() == dict.fromkeys(HOSTS, 78), job.everything()
    for host in HOSTS:
        text = str(job.failure(host))
        assert (
            "the image lacks sshd, ssh and ssh-keygen (mpirun reaches the other hosts by it); mpirun of Open MPI 4.1 or 5" in text
        )
        assert "RUN " in text
        assert len(text) <= 1024
    assert "hosts joined" not in job.read("algo-1")
    lines = job.read("algo-1").splitlines()
    told = decode_outcome(lines[-1].encode())
    assert told is not None
    assert (told.status, told.exit_code) == ("Failed", 78)


@pytest.mark.parametrize(
    "commands",
    [
        "rm -rf /run/sshd; : > /etc/passwd; : > /etc/shadow; rm -f /etc/group",
        "sed -i /^sshd:/d /etc/passwd; sed -i 's/^root:[^:]*:/root:!locked:/' /etc/shadow",
    ],
    ids=["no accounts", "a locked root, and no user for sshd"],
)
def test_accounts_that_sshd_asks_for_are_made(tmp_path: Path, jobs: List[RunningJob], commands: str) -> None:
    job = start_job(tmp_path, SCRIPT, late=HOSTS)
    jobs.append(job)
    for host in HOSTS:
        start_host(job, host, prefix=after(commands, job.python))
    assert job.codes() == dict.fromkeys(HOSTS, 0), job.everything()
    assert "added to /etc/passwd" in job.read("algo-2")


def test_the_channel_of_the_program_is_no_data(tmp_path: Path, jobs: List[RunningJob]) -> None:
    job = start_job(tmp_path, SCRIPT, late=HOSTS)
    jobs.append(job)
    for host in HOSTS:
        base = tmp_path / host / "input"
        for channel in ("hvdsm", "training"):
            (base / "data" / channel).mkdir(parents=True)
        write(str(base / "data" / "hvdsm" / "hvdsm.pyz"))
        kind = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
        (base / "config" / "inputdataconfig.json").write_text(json.dumps({"hvdsm": kind, "training": kind}))
        start_host(job, host, environment={"PYTHONPATH": ""}, prefix=[job.python, "/opt/ml/input/data/hvdsm/hvdsm.pyz"])
    assert job.codes() == dict.fromkeys(HOSTS, 0), job.everything()
    for host in HOSTS:
        found = json.loads((tmp_path / host / "output" / "found.json").read_text())
        assert json.loads(found["SM_CHANNELS"]) == ["training"]
        assert list(json.loads(found["SM_INPUT_DATA_CONFIG"])) == ["training"]
        assert not [name for name, value in found.items() if "HVDSM" in name and name.startswith("SM_CHANNEL")]
        assert list(json.loads(found["SM_TRAINING_ENV"])["channel_input_dirs"]) == ["training"]


def test_a_stop_ends_with_the_outcome_though_ranks_ignore_it(tmp_path: Path, jobs: List[RunningJob]) -> None:
    job = start_job(tmp_path, STUBBORN, environment={"HVDSM_STOP_GRACE": "1", "HVDSM_OUTCOME_LINE": "1"})
    jobs.append(job)
    job.wait_for("all here", count=2)
    for host in HOSTS:
        # As the service does: SIGTERM to the container of every host.
        job.programs[host].send_signal(signal.SIGTERM)
    assert job.codes() == dict.fromkeys(HOSTS, 143), job.everything()
    told = decode_outcome(job.read("algo-1").splitlines()[-1].encode())
    assert told is not None
    assert (told.status, told.exit_code, told.failure) == ("Stopped", 143, None)
    for host in HOSTS:
        assert os.listdir(tmp_path / host / "output") == ["data"]
