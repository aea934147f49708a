"""Containers of the images: started for one command, or as the hosts of a job in a network of their own."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TABLE = json.loads((REPOSITORY / "containers" / "images.json").read_text())
# Those that were built; all, unless some were named.
IMAGES = sorted(os.environ.get("HVDSM_IMAGES", "").split() or TABLE)
EXAMPLES = {"pytorch": "mnist_torch_horovod", "tensorflow": "mnist_tf_horovod", "graph": "mnist_torch_horovod"}
# One's own image on the one with torch and Horovod; `tools/images.py --test` builds it.
OWN_HOROVOD = "hvdsm-own:sm-cpu-horovod"
SECONDS = 300.0
HYBRID = "/sys/fs/cgroup/unified"


def tag(name: str) -> str:
    """The name of an image."""
    return f"hvdsm-{name}:sm-cpu"


@dataclass
class Engine:
    """Runs containers.

    Attributes:
        program: docker or podman.
        prefix: words before it.
        environ: its environment.
    """

    program: str
    prefix: Tuple[str, ...] = ()
    environ: Dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command of the engine."""
        return subprocess.Popen([*self.prefix, self.program, *words], env=self.environ, stdin=subprocess.DEVNULL, **options)

    def output(self, *words: str) -> str:
        """Return what a command of the engine prints; fails with all it says unless it ends with 0."""
        with self.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, f"{words}: {process.returncode}\n{out.decode()}\n{err.decode()}"
        return out.decode()

    def in_image(self, image: str, *command: str, options: Sequence[str] = ()) -> str:
        """Return what a command prints in a container of its own."""
        return self.output("run", "--rm", "--network", "none", *options, image, *command)


def find_engine() -> Engine:
    """The engine that the images were built with, as far as it runs containers.

    Podman asks for more than a machine that is a container itself may give: the limits come from this process then. The second
    hierarchy of control groups, which stops it where it is there beside the first, is taken out of its sight.
    """
    program = os.environ.get("HVDSM_IMAGE_ENGINE", "podman")
    if shutil.which(program) is None:
        pytest.fail(f"{program} is not on this machine: `make test-images` installs what these tests need, and builds the images")
    if program == "docker" or os.geteuid() != 0:
        return Engine(program)
    # Podman lowers its own limit of processes first; 32768 is enough for a job, and below that.
    limits = {"nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1], "nproc": resource.getrlimit(resource.RLIMIT_NPROC)[1]}
    known = {name: limit for name, limit in limits.items() if limit != resource.RLIM_INFINITY}
    words = [f'"{name}={min(limit, 32768)}:{min(limit, 32768)}"' for name, limit in known.items()]
    with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as conf:
        conf.write(f"[containers]\ndefault_ulimits=[{', '.join(words)}]\n")
    prefix = ("unshare", "-m", "sh", "-c", f'umount {HYBRID}; exec "$0" "$@"') if os.path.ismount(HYBRID) else ()
    return Engine(program, prefix, {**os.environ, "CONTAINERS_CONF": conf.name})


@dataclass
class Hosts:
    """The containers of a job: a directory and a log for each host.

    Attributes:
        folder: holds ``HOST/`` (the host's /opt/ml) and ``HOST.log``.
        codes: exit codes by host.
    """

    folder: Path
    codes: Dict[str, int]

    def log(self, host: str) -> str:
        """The log of a host."""
        return (self.folder / f"{host}.log").read_text(errors="replace")

    def everything(self) -> str:
        """All logs and codes, for the message of a failing test."""
        return "\n".join(f"== {host}: exit code {code}\n{self.log(host)}" for host, code in self.codes.items())


def write_host(
    folder: Path, host: str, hosts: Sequence[str], hyperparameters: Mapping[str, Any], code: Path, channels: Mapping[str, Path]
) -> None:
    """Lay out a host's /opt/ml as SageMaker does, writable for every user."""
    base = folder / host
    config = base / "input" / "config"
    for directory in (config, base / "input" / "data", base / "model", base / "output"):
        directory.mkdir(parents=True)
    shutil.copytree(code, base / "code")
    for channel, source in channels.items():
        shutil.copytree(source, base / "input" / "data" / channel)
    kind = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in hyperparameters.items()}
    resources = {"current_host": host, "hosts": list(hosts), "network_interface_name": "eth0"}
    (config / "resourceconfig.json").write_text(json.dumps(resources))
    (config / "hyperparameters.json").write_text(json.dumps(texts))
    (config / "inputdataconfig.json").write_text(json.dumps(dict.fromkeys(channels, kind)))
    for path in [base, *base.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)


def run_job(
    engine: Engine,
    image: str,
    folder: Path,
    code: Path,
    *,
    count: int = 2,
    user: str = "root",
    channels: Optional[Mapping[str, Path]] = None,
    **hyperparameters: Any,
) -> Hosts:
    """Run a job whose hosts are containers of an image, in a network of their own, and wait for its end.

    Args:
        engine: runs the containers.
        image: their image.
        folder: for the hosts' files and logs; it must be empty.
        code: the directory of the script.
        count: of hosts.
        user: of the containers' processes.
        channels: channel → directory.
        hyperparameters: of the job.
    """
    hosts = [f"algo-{number + 1}" for number in range(count)]
    name = f"hvdsm-{uuid.uuid4().hex[:8]}"
    for host in hosts:
        write_host(folder, host, hosts, {"sagemaker_mpi_enabled": "true", **hyperparameters}, code, channels or {})
    engine.output("network", "create", name)
    processes = {}
    try:
        for host in hosts:
            options = ["--rm", "--name", f"{name}-{host}", "--hostname", host, "--network", name, "--network-alias", host]
            options += ["--user", user, "--shm-size", "512m", "--volume", f"{folder / host}:/opt/ml"]
            with (folder / f"{host}.log").open("wb") as log:
                processes[host] = engine.popen("run", *options, image, "train", stdout=log, stderr=log)
        return Hosts(folder, {host: process.wait(timeout=SECONDS) for host, process in processes.items()})
    finally:
        for host, process in processes.items():
            if process.poll() is None:
                engine.popen("rm", "--force", f"{name}-{host}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait()
                process.wait()
        engine.output("network", "rm", "--force", name)
