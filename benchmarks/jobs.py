"""Jobs for the benchmarks: by ``hvdsm launch``, by the container program alone, and by bare mpirun on the same kind of hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Type

import hvdsm
from hvdsm.compose.mpirun import Placement, mpirun_command
from hvdsm.emulator import ClusterSpec, EmulatedCluster, Mount
from hvdsm.model import MpiImplementation

ROOT = str(Path(hvdsm.__file__).parent.parent)
MPIRUN = os.path.join(os.path.dirname(sys.executable), "mpirun")
HOSTS, PROCESSES = 2, 2
LIMIT_SECONDS = 300

TRIVIAL = """
import time
from mpi4py import MPI
assert MPI.COMM_WORLD.allreduce(1) == 4
MPI.Finalize()  # here and not at the interpreter's exit, so that it does not count as what comes after the ranks
print("rank ended at", time.time(), flush=True)
"""


class Ran(NamedTuple):
    """A job that ended well: its seconds, when it had ended (Unix time), and its output."""

    seconds: float
    ended: float
    output: str

    @property
    def tail(self) -> float:
        """Seconds from the last rank's last statement to the end of everything.

        Raises:
            RuntimeError: the ranks did not all say when they ended.
        """
        ends = re.findall(r"rank ended at ([0-9.]+)", self.output)
        if len(ends) != HOSTS * PROCESSES:
            raise RuntimeError(f"{len(ends)} of {HOSTS * PROCESSES} ranks told their end:\n{self.output}")
        return self.ended - max(float(end) for end in ends)


def under_hvdsm(script: str, arguments: Sequence[str] = ()) -> Ran:
    """A whole ``hvdsm launch``, from the command's start to its end.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as folder:
        argv = [sys.executable, "-m", "hvdsm", "launch", "--instance-count", str(HOSTS), "--processes-per-host", str(PROCESSES)]
        argv += ["--mpirun", MPIRUN, "--output", folder, script, *arguments]
        start = time.monotonic()
        done = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT_SECONDS,
            check=False,
        )
        seconds, ended = time.monotonic() - start, time.time()
    if done.returncode:
        raise RuntimeError(f"hvdsm launch ended with {done.returncode}:\n{done.stdout}")
    return Ran(seconds, ended, done.stdout)


class BareHosts:
    """Started hosts with a ready sshd, for mpirun without hvdsm.  A context manager."""

    def __init__(self, script: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hvdsm-bench-")
        self._script = script
        self._hostfile = os.path.join(self._folder.name, "hostfile")
        Path(self._hostfile).write_text("".join(f"algo-{n + 1} slots={PROCESSES}\n" for n in range(HOSTS)), encoding="utf-8")
        mount = Mount(self._folder.name, self._folder.name, writable=True)
        spec = ClusterSpec(HOSTS, mounts=(mount,), visible=(ROOT, os.path.dirname(script)), sshd=True)
        self._cluster = EmulatedCluster.start(spec)

    def __enter__(self) -> BareHosts:
        """The hosts themselves."""
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """End the hosts."""
        self._cluster.close()
        self._folder.cleanup()

    def run(self, arguments: Sequence[str] = ()) -> Ran:
        """One mpirun with the options that hvdsm itself would give it, so that only what is around mpirun differs.

        Raises:
            RuntimeError: it failed.
        """
        placement = Placement(
            hosts=tuple(f"algo-{n + 1}" for n in range(HOSTS)),
            slots=PROCESSES,
            world_size=HOSTS * PROCESSES,
            hostfile=self._hostfile,
            network_interface="eth0",
            shared_cores=True,
        )
        program = [sys.executable, self._script, *arguments]
        return self._run(mpirun_command(MpiImplementation(MPIRUN, _version()), placement, program, present=()).argv)

    def run_by_defaults(self) -> Ran:
        """One mpirun with nothing but what it needs to start: Open MPI's own defaults.

        Raises:
            RuntimeError: it failed.
        """
        options = ["--allow-run-as-root", "--hostfile", self._hostfile, "-np", str(HOSTS * PROCESSES)]
        return self._run([MPIRUN, *options, sys.executable, self._script])

    def _run(self, argv: Sequence[str]) -> Ran:
        log = Path(self._folder.name) / "log"
        environment = {"SM_MODEL_DIR": "/tmp/model"}
        with log.open("wb") as file:
            start = time.monotonic()
            process = self._cluster.popen("algo-1", argv, stdout=file, stderr=file, cwd="/tmp", env=environment)
            code = process.wait(LIMIT_SECONDS)
            seconds, ended = time.monotonic() - start, time.time()
        text = log.read_text(encoding="utf-8", errors="replace")
        if code:
            raise RuntimeError(f"mpirun ended with {code}:\n{text}")
        return Ran(seconds, ended, text)


def container_program(script: str) -> Ran:
    """The container program on started hosts, from its start on all of them to the end of the last one.

    Raises:
        RuntimeError: it failed.
    """
    hosts = [f"algo-{n + 1}" for n in range(HOSTS)]
    with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as folder:
        for host in hosts:
            _write_host(Path(folder) / host, host, hosts, script)
        mounts = tuple(Mount(os.path.join(folder, host), "/opt/ml", host=host, writable=True) for host in hosts)
        with EmulatedCluster.start(ClusterSpec(HOSTS, mounts=mounts, visible=(ROOT,))) as cluster:
            environment: Dict[str, str] = {"HVDSM_REHEARSAL": "1", "HVDSM_MPIRUN": MPIRUN, "PYTHONPATH": ROOT}
            argv = [sys.executable, "-m", "hvdsm.container"]
            logs = [os.open(os.path.join(folder, host + ".log"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC) for host in hosts]
            try:
                start = time.monotonic()
                programs = [cluster.popen(h, argv, env=environment, stdout=log, stderr=log) for h, log in zip(hosts, logs)]
                codes: List[int] = [program.wait(LIMIT_SECONDS) for program in programs]
                seconds, ended = time.monotonic() - start, time.time()
            finally:
                for log in logs:
                    os.close(log)
        text = Path(folder, "algo-1.log").read_text(encoding="utf-8", errors="replace")
    if any(codes):
        raise RuntimeError(f"the container program ended with {codes}:\n{text}")
    return Ran(seconds, ended, text)


def _write_host(folder: Path, host: str, hosts: Sequence[str], script: str) -> None:
    """A host's ``/opt/ml`` as the platform would have made it."""
    config = folder / "input" / "config"
    config.mkdir(parents=True)
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_bytes(Path(script).read_bytes())
    resources = {"current_host": host, "hosts": list(hosts), "network_interface_name": "eth0"}
    (config / "resourceconfig.json").write_text(json.dumps(resources), encoding="utf-8")
    parameters = {
        "sagemaker_program": "train.py",
        "sagemaker_mpi_enabled": "true",
        "sagemaker_mpi_num_of_processes_per_host": str(PROCESSES),
    }
    (config / "hyperparameters.json").write_text(json.dumps(parameters), encoding="utf-8")


def _version() -> Tuple[int, ...]:
    """Open MPI's version, as mpirun tells it."""
    told = subprocess.run([MPIRUN, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", told)
    if not found:
        raise RuntimeError(f"{MPIRUN} tells no version:\n{told}")
    return tuple(int(part) for part in found.groups())
