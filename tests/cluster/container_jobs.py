"""Runs the container program on emulated hosts that a test holds in its hand, so that it can break them."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import hvdsm
from hvdsm.emulator import ClusterSpec, EmulatedCluster, HostProcess, Mount

ROOT = str(Path(hvdsm.__file__).parent.parent)
OPEN_MPI = {"4.1": sys.executable, "5": os.path.join(sys.prefix, "openmpi5", "bin", "python")}
# A hang, not a measurement: several tests share the cores.
SECONDS = 150.0


@dataclass
class RunningJob:
    """The container program on every host; ``read(host)`` is its log so far."""

    cluster: EmulatedCluster
    folder: Path
    python: str
    programs: Dict[str, HostProcess]
    logs: Dict[str, Path]
    started: float = field(default_factory=time.monotonic)

    def read(self, host: str) -> str:
        """The log of a host."""
        return self.logs[host].read_bytes().decode(errors="replace")

    def wait_for(self, text: str, host: str = "algo-1", count: int = 1) -> None:
        """Until a text has come ``count`` times in a host's log; fails with the log after a minute or when the program ended."""
        while self.read(host).count(text) < count:
            ended = self.programs[host].poll() is not None and self.read(host).count(text) < count
            assert not ended, self.everything()
            assert time.monotonic() - self.started < SECONDS, self.everything()
            time.sleep(0.02)

    def codes(self) -> Dict[str, int]:
        """The exit codes of all hosts' programs."""
        return {host: program.wait(timeout=SECONDS) for host, program in self.programs.items()}

    def failure(self, host: str) -> Optional[str]:
        """The failure file of a host."""
        path = self.folder / host / "output" / "failure"
        return path.read_text() if path.exists() else None

    def outcome(self, host: str = "algo-1") -> Dict[str, Any]:
        """The outcome record of a host."""
        record: Dict[str, Any] = json.loads((self.folder / host / "outcome.json").read_text())
        return record

    def left_over(self, host: str) -> List[str]:
        """Processes on a host that belong to the job."""
        script = (
            "import os\n"
            "for p in os.listdir('/proc'):\n"
            "    if p.isdigit() and int(p) not in (1, os.getpid()):\n"
            "        c = open(f'/proc/{p}/cmdline').read().replace('\\0', ' ').strip()\n"
            "        if c: print(c)\n"
        )
        path = self.folder / f"{host}.left"
        with path.open("wb") as file:
            self.cluster.popen(host, [sys.executable, "-c", script], stdout=file).wait(timeout=SECONDS)
        return path.read_text().splitlines()

    def everything(self) -> str:
        """All logs, for the message of a failing test."""
        return "\n".join(f"== {host}\n{self.read(host)}" for host in self.logs)


def write_host(folder: Path, host: str, hosts: List[str], script: str, hyperparameters: Mapping[str, Any]) -> None:
    """The files that the platform writes for one host."""
    config = folder / host / "input" / "config"
    config.mkdir(parents=True)
    (folder / host / "code").mkdir()
    (folder / host / "code" / "train.py").write_text(script)
    resource = {"current_host": host, "hosts": hosts, "network_interface_name": "eth0"}
    raw = {"sagemaker_program": "train.py", "sagemaker_mpi_enabled": "true", **hyperparameters}
    (config / "resourceconfig.json").write_text(json.dumps(resource))
    (config / "hyperparameters.json").write_text(
        json.dumps({k: v if isinstance(v, str) else json.dumps(v) for k, v in raw.items()})
    )


def start_job(
    folder: Path,
    script: str,
    *,
    count: int = 2,
    python: str = sys.executable,
    environment: Optional[Mapping[str, str]] = None,
    late: Sequence[str] = (),
    **hyperparameters: Any,
) -> RunningJob:
    """Start hosts and the container program on each; ``late`` hosts are not started."""
    hosts = [f"algo-{i + 1}" for i in range(count)]
    for host in hosts:
        write_host(folder, host, hosts, script, hyperparameters)
    mounts = tuple(Mount(str(folder / host), "/opt/ml", host=host, writable=True) for host in hosts)
    visible = (os.path.dirname(os.path.dirname(python)), ROOT)
    cluster = EmulatedCluster.start(ClusterSpec(count, mounts=mounts, visible=visible))
    job = RunningJob(cluster, folder, python, {}, {host: folder / f"{host}.log" for host in hosts})
    for host in hosts:
        job.logs[host].touch()
        if host not in late:
            start_host(job, host, environment=environment)
    return job


def start_host(
    job: RunningJob, host: str, *, environment: Optional[Mapping[str, str]] = None, prefix: Sequence[str] = ()
) -> None:
    """Start the container program on one host; ``prefix`` are the words before ``-m``, in place of Python alone."""
    settings = {
        "HVDSM_REHEARSAL": "1",
        "HVDSM_OUTCOME_FILE": "/opt/ml/outcome.json",
        "HVDSM_JOB_TOKEN": "a token of the test",
        "HVDSM_MPIRUN": os.path.join(os.path.dirname(job.python), "mpirun"),
        "PYTHONPATH": ROOT,
        **(environment or {}),
    }
    with job.logs[host].open("wb") as log:
        job.programs[host] = job.cluster.popen(
            host, [*(prefix or [job.python]), "-m", "hvdsm.container"], env=settings, stdout=log, stderr=log
        )
