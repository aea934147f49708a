"""Jobs for the benchmarks: under hvdsm, and under bare mpirun on the same kind of hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import hvdsm
from hvdsm.emulator import ClusterSpec, EmulatedCluster, Mount

ROOT = str(Path(hvdsm.__file__).parent.parent)
MPIRUN = os.path.join(os.path.dirname(sys.executable), "mpirun")
TRIVIAL = """
import time
from mpi4py import MPI
assert MPI.COMM_WORLD.allreduce(1) == 4
MPI.Finalize()  # takes about a second by itself, under bare mpirun too
print("ended at", time.time(), flush=True)
"""


def under_hvdsm(script: str, arguments: Sequence[str] = ()) -> Tuple[float, str]:
    """Seconds of a whole ``hvdsm launch`` on 2 hosts with 2 processes each, and its output."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "hvdsm", "launch", "--instance-count", "2", "--processes-per-host", "2"]
        argv += ["--output", folder, script, *arguments]
        start = time.monotonic()
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        seconds = time.monotonic() - start
    if done.returncode:
        raise RuntimeError(f"hvdsm launch ended with {done.returncode}:\n{done.stdout}")
    return seconds, done.stdout


class BareHosts:
    """Two started hosts with a ready sshd, for mpirun without hvdsm."""

    def __init__(self, script: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.script = script
        hostfile = Path(self.folder.name) / "hostfile"
        hostfile.write_text("algo-1 slots=2\nalgo-2 slots=2\n")
        mount = Mount(self.folder.name, self.folder.name, writable=True)
        self.hostfile = str(hostfile)
        self.cluster = EmulatedCluster.start(ClusterSpec(2, mounts=(mount,), visible=(ROOT, os.path.dirname(script)), sshd=True))

    def run(self, arguments: Sequence[str] = ()) -> Tuple[float, str]:
        """Seconds of one mpirun, and its output."""
        options = ["--allow-run-as-root", "--hostfile", self.hostfile, "-np", "4", "--bind-to", "none", "--map-by", "slot"]
        options += ["--mca", "pml", "ob1", "--mca", "btl", "^openib", "--mca", "btl_vader_single_copy_mechanism", "none"]
        options += [
            "--mca",
            "btl_tcp_if_include",
            "eth0",
            "--mca",
            "oob_tcp_if_include",
            "eth0",
            "--mca",
            "mpi_yield_when_idle",
            "1",
        ]
        log = Path(self.folder.name) / "log"
        with log.open("wb") as file:
            start = time.monotonic()
            argv = [MPIRUN, *options, sys.executable, self.script, *arguments]
            environment = {"SM_MODEL_DIR": "/tmp/model"}
            code = self.cluster.popen("algo-1", argv, stdout=file, stderr=file, cwd="/tmp", env=environment).wait(timeout=300)
            seconds = time.monotonic() - start
        if code:
            raise RuntimeError(f"mpirun ended with {code}:\n{log.read_text()}")
        return seconds, log.read_text()

    def close(self) -> None:
        """End the hosts."""
        self.cluster.close()
        self.folder.cleanup()


def container_program(script: Path) -> Tuple[float, float]:
    """The container program on two started hosts: its seconds, and those from the end of the last rank to that of all hosts."""
    import json

    with tempfile.TemporaryDirectory() as name:
        folder, hosts = Path(name), ["algo-1", "algo-2"]
        for host in hosts:
            config = folder / host / "input" / "config"
            config.mkdir(parents=True)
            (folder / host / "code").mkdir()
            (folder / host / "code" / "train.py").write_text(script.read_text())
            (config / "resourceconfig.json").write_text(json.dumps({"current_host": host, "hosts": hosts}))
            raw = {
                "sagemaker_program": "train.py",
                "sagemaker_mpi_enabled": "true",
                "sagemaker_mpi_num_of_processes_per_host": "2",
            }
            (config / "hyperparameters.json").write_text(json.dumps(raw))
        mounts = tuple(Mount(str(folder / host), "/opt/ml", host=host, writable=True) for host in hosts)
        with EmulatedCluster.start(ClusterSpec(2, mounts=mounts, visible=(ROOT,))) as cluster:
            environment: Dict[str, str] = {"HVDSM_REHEARSAL": "1", "HVDSM_MPIRUN": MPIRUN, "PYTHONPATH": ROOT}
            logs = [(folder / f"{host}.log").open("wb") for host in hosts]
            start = time.monotonic()
            programs = [
                cluster.popen(host, [sys.executable, "-m", "hvdsm.container"], env=environment, stdout=log, stderr=log)
                for host, log in zip(hosts, logs)
            ]
            codes: List[int] = [program.wait(timeout=120) for program in programs]
            seconds, ended = time.monotonic() - start, time.time()
            for log in logs:
                log.close()
        text = (folder / "algo-1.log").read_text()
    if any(codes):
        raise RuntimeError(f"the container program ended with {codes}:\n{text}")
    return seconds, ended - max(float(found) for found in re.findall(r"ended at ([0-9.]+)", text))
