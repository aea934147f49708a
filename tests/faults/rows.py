"""The rows of the fault matrix: what is broken on which side, and what must follow on every host."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from container_jobs import RunningJob, start_host

HOSTS = ("algo-1", "algo-2")
LAUNCHER, WORKER = HOSTS
# The script: what it does after all ranks have met is chosen by a variable, for the rank on the broken side.
SCRIPT = """
import os, signal, sys, time
from mpi4py import MPI
world = MPI.COMM_WORLD
def end(*_):
    os.write(1, b"saving" + os.linesep.encode())
    os._exit(0)
if os.environ.get("FAULT") == "sigterm":
    signal.signal(signal.SIGTERM, end)
world.Barrier()
print("all here", flush=True)
# Whoever breaks does so when the other has said it, too.
world.Barrier()
mine = os.environ["SM_CURRENT_HOST"] == os.environ.get("FAULT_HOST")
if mine and os.environ["FAULT"] == "raise": raise ValueError("bad batch")
if mine and os.environ["FAULT"] == "exit": sys.exit(7)
if mine and os.environ["FAULT"] == "disk": raise ValueError("bad batch")
time.sleep(float(os.environ.get("FAULT_SECONDS", "300")))
world.Barrier()
print("all done", flush=True)
"""
Inject = Callable[[RunningJob, str], None]


def nothing(_job: RunningJob, _host: str) -> None:
    """The script breaks by itself."""


def run(job: RunningJob, host: str, *words: str) -> List[str]:
    """Run a command on a host; returns its lines."""
    path = job.folder / "said"
    with path.open("wb") as file:
        job.cluster.popen(host, list(words), stdout=file).wait(timeout=20)
    return path.read_text().splitlines()


def signalled(pattern: str, number: int) -> Inject:
    """Send a signal to the processes of the broken host whose command line has a word."""

    def inject(job: RunningJob, host: str) -> None:
        pids = run(job, host, "pgrep", "-f", pattern)
        assert pids, f"nothing like {pattern} runs on {host}"
        run(job, host, "kill", f"-{number}", *pids)

    return inject


def starter_killed(job: RunningJob, host: str) -> None:
    """mpirun on the launcher, its daemon on the worker."""
    signalled("bin/mpirun|bin/prterun" if host == LAUNCHER else "orted|prted", signal.SIGKILL)(job, host)


def host_killed(job: RunningJob, host: str) -> None:
    """The host's first process, and everything with it."""
    job.cluster.kill_host(host)


def sshd_killed(job: RunningJob, host: str) -> None:
    """The sshd that listens; connections that stand have processes of their own."""
    signalled("sshd_config", signal.SIGKILL)(job, host)


def link_down(job: RunningJob, host: str) -> None:
    """For ever."""
    job.cluster.set_link(host, False)


def link_down_briefly(job: RunningJob, host: str) -> None:
    """For five seconds: the length of the fault, not a wait."""
    job.cluster.set_link(host, False)
    time.sleep(5)
    job.cluster.set_link(host, True)


def sigterm(job: RunningJob, host: str) -> None:
    """As the platform stops a job, or takes a spot instance."""
    job.programs[host].send_signal(signal.SIGTERM)


def late(job: RunningJob, host: str) -> None:
    """The host comes 10 seconds after the other."""
    time.sleep(10)
    start_host(job, host, environment={"FAULT": "late", "FAULT_SECONDS": "0", "HVDSM_RENDEZVOUS_TIMEOUT": "60"})


def full_disk(job: RunningJob, host: str) -> None:
    """Before the program starts: /opt/ml/output of the host takes nothing."""
    full = "mkdir -p /opt/ml/output && mount -t tmpfs -o size=4k tmpfs /opt/ml/output && ! cat /dev/zero > /opt/ml/output/full"
    assert job.cluster.popen(host, ["sh", "-c", full + " 2>/dev/null"]).wait(timeout=20) == 0


@dataclass(frozen=True)
class Row:
    """A fault, and what must follow.

    Attributes:
        name: the fault.
        codes: exit codes of the broken host and the other; None for a host that is gone.
        failure: regular expressions for the failure texts of both; None where there must be no failure file.
        inject: breaks the job when all ranks have met.
        bound: seconds from the fault to the end of the last host; only a hang takes longer.
        environment: variables of the container program.
        hyperparameters: further ones of the job.
        absent: the broken host's program is not started with the other.
        before: done on the broken host before its program starts.
        done: whether all ranks must have come to their end.
    """

    name: str
    codes: Tuple[Optional[int], Optional[int]]
    failure: Tuple[Optional[str], Optional[str]]
    inject: Inject = nothing
    bound: float = 25.0
    environment: Mapping[str, str] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    absent: bool = False
    before: Inject = nothing
    done: bool = False


SOON = {"HVDSM_HOST_LOSS_SECONDS": "5"}
SHORT = {"FAULT_SECONDS": "9"}
RANK = r"rank {rank} \({host}, local rank 0\): "
LOST = r"{host}: the host was lost: |{host}: the launcher was lost: "
SERVERS = {"roles": [{"name": "server", "command": ["{python}", "-c", "'a server of hvdsm'; import signal; signal.pause()"]}]}
FROZEN = RANK + r"hang: no output and no progress .*stopped: rank {rank} [\s\S]*state T \(stopped\)"

ROWS: Tuple[Row, ...] = (
    Row("rank raises", (1, 1), (RANK + "ValueError: bad batch",) * 2, environment={"FAULT": "raise"}),
    Row("rank exits 7", (7, 7), (RANK + "exit code 7",) * 2, environment={"FAULT": "exit"}),
    Row("rank killed", (137, 137), (RANK + "killed by SIGKILL",) * 2, signalled("hvdsm.container.script", signal.SIGKILL)),
    Row(
        "rank frozen",
        (75, 75),
        (FROZEN, FROZEN),
        signalled("hvdsm.container.script", signal.SIGSTOP),
        bound=40,
        hyperparameters={"sagemaker_hvdsm_hang_timeout": 3},
    ),
    Row(
        "process beside killed",
        (137, 137),
        (r"{host}: the process server was killed by SIGKILL before the ranks had ended",) * 2,
        signalled("a server of hvdsm", signal.SIGKILL),
        hyperparameters={"sagemaker_hvdsm_plan": SERVERS},
    ),
    Row("host killed", (None, 1), (None, LOST), host_killed, bound=45),
    Row("sshd killed", (0, 0), (None, None), sshd_killed, environment=SHORT, done=True),
    Row("mpirun or daemon killed", (-1, -1), (r"mpirun ended with|exit code", r"mpirun ended with|exit code"), starter_killed),
    Row("link down for ever", (1, 1), (r"{other}: the (?:host|launcher) was lost", LOST), link_down, bound=45, environment=SOON),
    Row("link down 5 s", (0, 0), (None, None), link_down_briefly, bound=40, environment=SHORT, done=True),
    Row("disk full", (1, 1), ("log", RANK + "ValueError: bad batch"), environment={"FAULT": "disk"}, before=full_disk),
    Row("10 s late", (0, 0), (None, None), late, bound=40, environment={"FAULT_SECONDS": "0"}, absent=True, done=True),
    Row(
        "never comes",
        (None, 75),
        (None, r"did not join within 3 s|{host} did not answer"),
        environment={"HVDSM_RENDEZVOUS_TIMEOUT": "3"},
        absent=True,
    ),
    Row("SIGTERM to train", (0, 0), (None, None), sigterm, environment={"FAULT": "sigterm"}),
)


def environment_of(row: Row, host: str) -> Dict[str, str]:
    """The variables of the container program for a row whose broken side is ``host``."""
    return {"FAULT": "none", "FAULT_HOST": host, **row.environment, "PATH": os.environ["PATH"]}
