"""A container program on emulated hosts, from its start on all of them to its end: hvdsm's, or another one that is compared."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Type

from hvdsm.emulator import ClusterSpec, EmulatedCluster, HostProcess, Mount

LIMIT_SECONDS = 300.0
CHUNK = 1 << 20


@dataclass(frozen=True)
class Program:
    """What starts ranks in a container.

    Attributes:
        name: as tables show it.
        argv: its command, the same on every host.
        word: what its own process has in its command line, and no other process of the host.
        environment: variables of the container.
        visible: paths of the machine that it needs.
        prepare: a shell script that makes the host's image what the program expects; run before the clock starts.
    """

    name: str
    argv: Tuple[str, ...]
    word: str
    environment: Mapping[str, str] = field(default_factory=dict)
    visible: Tuple[str, ...] = ()
    prepare: str = ""


class Arrivals:
    """What came out of one host's program, and when each piece came."""

    def __init__(self) -> None:
        self.pieces: List[bytes] = []
        self.times: List[float] = []
        self._read, self.write = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            piece = os.read(self._read, CHUNK)
            if not piece:
                return
            self.times.append(time.time())
            self.pieces.append(piece)

    def close_write(self) -> None:
        """The hosts have their own copies of this side."""
        if self.write >= 0:
            os.close(self.write)
            self.write = -1

    def finish(self) -> None:
        """Wait until every writer has gone."""
        self.close_write()
        self._thread.join()
        if self._read >= 0:
            os.close(self._read)
            self._read = -1

    @property
    def data(self) -> bytes:
        """Everything so far."""
        return b"".join(self.pieces)

    @property
    def text(self) -> str:
        """Everything so far, for people."""
        return self.data.decode("utf-8", "replace")

    def arrival(self, offset: int) -> float:
        """When the byte at ``offset`` came (Unix time)."""
        seen = 0
        for piece, when in zip(self.pieces, self.times):
            seen += len(piece)
            if seen > offset:
                return when
        raise ValueError(f"no byte {offset}")


class JobHosts:
    """Emulated hosts with one job's ``/opt/ml`` each, and a program that runs it.  A context manager.

    Args:
        program: what runs the job.
        script: the training script's file.
        count: number of hosts.
        processes: ranks on each host.
        hyperparameters: further hyperparameters.
    """

    def __init__(
        self,
        program: Program,
        script: str,
        *,
        count: int = 2,
        processes: int = 2,
        hyperparameters: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.program = program
        self.hosts = [f"algo-{number + 1}" for number in range(count)]
        self.processes: Dict[str, HostProcess] = {}
        self.logs: Dict[str, Arrivals] = {}
        self.started = 0.0
        self._folder = tempfile.TemporaryDirectory(prefix="hvdsm-bench-")
        for host in self.hosts:
            _write_host(Path(self._folder.name) / host, host, self.hosts, script, processes, hyperparameters or {})
        mounts = tuple(Mount(os.path.join(self._folder.name, host), "/opt/ml", host=host, writable=True) for host in self.hosts)
        self.cluster = EmulatedCluster.start(ClusterSpec(count, mounts=mounts, visible=program.visible))

    def __enter__(self) -> JobHosts:
        """The hosts, without the program."""
        try:
            if self.program.prepare:
                for host in self.hosts:
                    code, said = self.run(host, ["sh", "-euc", self.program.prepare])
                    if code:
                        raise RuntimeError(f"{host} could not be prepared for {self.program.name}:\n{said}")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """End the hosts, whatever still runs on them."""
        self.cluster.close()
        for log in self.logs.values():
            log.finish()
        self._folder.cleanup()

    def run(self, host: str, argv: Sequence[str]) -> Tuple[int, str]:
        """Another program on a host, to its end: exit code and output."""
        with tempfile.TemporaryFile() as file:
            code = self.cluster.popen(host, argv, stdout=file, stderr=file).wait(LIMIT_SECONDS)
            file.seek(0)
            return code, file.read().decode("utf-8", "replace")

    def file(self, host: str, name: str) -> Path:
        """A file of a host's ``/opt/ml``, as this machine sees it."""
        return Path(self._folder.name) / host / name

    def start(self) -> None:
        """Start the program on every host; the clock starts with it."""
        self.started = time.monotonic()
        for host in self.hosts:
            log = self.logs[host] = Arrivals()
            self.processes[host] = self.cluster.popen(
                host, self.program.argv, env=self.program.environment, stdout=log.write, stderr=log.write
            )
            log.close_write()

    def wait(self, host: str, seconds: float = LIMIT_SECONDS) -> float:
        """Wait for the program's good end on a host; seconds since the start.

        Raises:
            TimeoutExpired: it still runs.
            RuntimeError: it failed; with its output.
        """
        code = self.processes[host].wait(max(seconds - (time.monotonic() - self.started), 0.0))
        ended = time.monotonic() - self.started
        if code:
            raise RuntimeError(f"{self.program.name} ended with {code} on {host}:\n{self.logs[host].text[-8000:]}")
        return ended

    def wait_for(self, text: str, count: int) -> None:
        """Until ``text`` has come ``count`` times in the first host's output.

        Raises:
            RuntimeError: the program has ended, or does not say it within the limit.
        """
        log = self.logs[self.hosts[0]]
        while log.data.count(text.encode()) < count:
            process = self.processes[self.hosts[0]]
            if process.poll() is not None or time.monotonic() - self.started > LIMIT_SECONDS:
                raise RuntimeError(f"{self.program.name} did not say {text!r} {count} times:\n{log.text[-8000:]}")
            time.sleep(0.02)


def hvdsm_program(root: str, mpirun: str) -> Program:
    """The container program of this tree."""
    return Program(
        name="hvdsm",
        argv=(sys.executable, "-m", "hvdsm.container"),
        word="hvdsm.container",
        environment={
            "HVDSM_REHEARSAL": "1",
            "HVDSM_MPIRUN": mpirun,
            "HVDSM_OUTCOME_FILE": "/opt/ml/outcome.json",
            "PYTHONPATH": root,
        },
        visible=(root,),
    )


def _write_host(
    folder: Path, host: str, hosts: Sequence[str], script: str, processes: int, hyperparameters: Mapping[str, str]
) -> None:
    """A host's ``/opt/ml`` as the platform would have made it."""
    config = folder / "input" / "config"
    config.mkdir(parents=True)
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_bytes(Path(script).read_bytes())
    resources = {"current_host": host, "hosts": list(hosts), "network_interface_name": "eth0"}
    resources.update(
        current_group_name="homogeneousCluster",
        current_instance_type="ml.m5.xlarge",
        instance_groups=[{"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.xlarge", "hosts": list(hosts)}],
    )
    (config / "resourceconfig.json").write_text(json.dumps(resources), encoding="utf-8")
    parameters = {
        "sagemaker_program": "train.py",
        "sagemaker_mpi_enabled": "true",
        "sagemaker_mpi_num_of_processes_per_host": str(processes),
        **hyperparameters,
    }
    (config / "hyperparameters.json").write_text(json.dumps(parameters), encoding="utf-8")
    (config / "inputdataconfig.json").write_text("{}", encoding="utf-8")
