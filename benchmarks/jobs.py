"""Jobs for the benchmarks: by ``hvdsm launch``, by the container program alone, and by bare mpirun on the same kind of hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Optional, Sequence, Tuple, Type

from programs import Arrivals, JobHosts, hvdsm_program

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
        self.log = Arrivals()
        self.log.finish()
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

    def run(self, arguments: Sequence[str] = (), custom_options: str = "") -> Ran:
        """One mpirun with the options that hvdsm itself would give it, so that only what is around mpirun differs.

        Args:
            arguments: those of the script.
            custom_options: further options of mpirun.

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
        command = mpirun_command(
            MpiImplementation(MPIRUN, _version()), placement, program, custom_options=custom_options, present=()
        )
        return self._run(command.argv)

    def run_by_defaults(self) -> Ran:
        """One mpirun with nothing but what it needs to start: Open MPI's own defaults.

        Raises:
            RuntimeError: it failed.
        """
        options = ["--allow-run-as-root", "--hostfile", self._hostfile, "-np", str(HOSTS * PROCESSES)]
        return self._run([MPIRUN, *options, sys.executable, self._script])

    def _run(self, argv: Sequence[str]) -> Ran:
        environment = {"SM_MODEL_DIR": "/tmp/model"}
        log = Arrivals()
        start = time.monotonic()
        process = self._cluster.popen("algo-1", argv, stdout=log.write, stderr=log.write, cwd="/tmp", env=environment)
        log.close_write()
        code = process.wait(LIMIT_SECONDS)
        seconds, ended = time.monotonic() - start, time.time()
        log.finish()
        if code:
            raise RuntimeError(f"mpirun ended with {code}:\n{log.text[-8000:]}")
        self.log = log
        return Ran(seconds, ended, log.text)


def container_program(script: str) -> Ran:
    """The container program on started hosts, from its start on all of them to the end of the last one.

    Raises:
        RuntimeError: it failed.
    """
    with JobHosts(hvdsm_program(ROOT, MPIRUN), script, count=HOSTS, processes=PROCESSES) as job:
        job.start()
        seconds, ended = max(job.wait(host) for host in job.hosts), time.time()
    return Ran(seconds, ended, job.logs[job.hosts[0]].text)


def _version() -> Tuple[int, ...]:
    """Open MPI's version, as mpirun tells it."""
    told = subprocess.run([MPIRUN, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", told)
    if not found:
        raise RuntimeError(f"{MPIRUN} tells no version:\n{told}")
    return tuple(int(part) for part in found.groups())
