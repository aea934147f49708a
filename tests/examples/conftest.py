"""What the tests of the examples share: the scripts, and a way to start them under bare mpirun, without hvdsm."""

from __future__ import annotations

import importlib.util
import itertools
import os
import runpy
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cluster"))
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TRIED_PORTS = itertools.count()

# In place of a launcher: the rank variables of torch.distributed, and directories per rank, as ranks on separate hosts have.
AS_RANK = """
import os, sys
rank, world = os.environ["OMPI_COMM_WORLD_RANK"], os.environ["OMPI_COMM_WORLD_SIZE"]
os.environ.update(
    RANK=rank,
    WORLD_SIZE=world,
    LOCAL_RANK=os.environ["OMPI_COMM_WORLD_LOCAL_RANK"],
    LOCAL_WORLD_SIZE=os.environ["OMPI_COMM_WORLD_LOCAL_SIZE"],
    SM_CURRENT_HOST="algo-" + str(int(rank) + 1),
    SM_MODEL_DIR=os.path.join(os.environ["RANK_DIRS"], rank, "model"),
    SM_CHECKPOINT_DIR=os.path.join(os.environ["RANK_DIRS"], rank, "checkpoints"),
)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@dataclass(frozen=True)
class MpiRun:
    """A finished mpirun: its exit code, what each rank wrote, and the directory that holds one directory per rank."""

    code: int
    stdout: List[str]
    stderr: List[str]
    rank_dirs: Path

    @property
    def report(self) -> str:
        """Everything that was written, for the message of a failed assertion."""
        return "".join(f"--- rank {rank}\n{out}{err}" for rank, (out, err) in enumerate(zip(self.stdout, self.stderr)))


@pytest.fixture(scope="session")
def script() -> Callable[[str], Path]:
    """The path of an example's script, by the example's name; skips where a package that it needs is not installed."""
    needs = {
        "allreduce_mpi4py": ["mpi4py"],
        "mnist_torch_horovod": ["torch", "horovod", "sklearn"],
        "mnist_tf_horovod": ["tensorflow", "horovod", "sklearn"],
        "ddp_torch": ["torch", "sklearn"],
    }

    def find(name: str) -> Path:
        missing = [package for package in needs[name] if importlib.util.find_spec(package) is None]
        if missing:
            pytest.skip(f"{name} needs {', '.join(missing)}: run make setup")
        return EXAMPLES / name / "train.py"

    return find


@pytest.fixture(scope="session")
def names_in() -> Callable[[Path], Dict[str, Any]]:
    """The functions of a script, by name, without running its ``main``."""
    return lambda path: runpy.run_path(str(path), run_name="example")


@pytest.fixture(scope="session")
def plain_environment() -> Dict[str, str]:
    """This process's environment without what a launcher or a training container sets."""
    launcher = ("SM_", "OMPI_", "PMIX_", "RANK", "LOCAL_", "WORLD_SIZE", "MASTER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(launcher)}


@pytest.fixture(scope="session")
def mpi(tmp_path_factory: pytest.TempPathFactory, plain_environment: Dict[str, str]) -> Callable[..., MpiRun]:
    """Run a script under mpirun on this machine, two ranks unless told otherwise, and return the :class:`MpiRun`.

    ``rank_dirs`` continues with an earlier run's directories.  With ``kill_at``, rank 0 gets SIGKILL as soon as it has
    written that text.
    """
    beside = Path(sys.executable).parent / "mpirun"
    mpirun = str(beside) if beside.exists() else shutil.which("mpirun")
    if mpirun is None:
        pytest.skip("no mpirun beside this Python or on PATH: run make setup")

    def run(path: Path, *args: str, ranks: int = 2, kill_at: str = "", **given: Any) -> MpiRun:
        directory = tmp_path_factory.mktemp(path.parent.name)
        rank_dirs = given.get("rank_dirs") or directory
        command = [
            mpirun, "--allow-run-as-root", "--oversubscribe", "-np", str(ranks), "--output-filename", str(directory / "out"),
            # More ranks than cores: give way while waiting, and pin no rank.  TCP over the loopback needs no permission.
            "-mca", "mpi_yield_when_idle", "1", "-mca", "hwloc_base_binding_policy", "none",
            "-mca", "btl", "self,tcp", "-mca", "btl_tcp_if_include", "lo", "-mca", "oob_tcp_if_include", "lo",
            sys.executable, "-c", AS_RANK, str(path), *args,
        ]  # fmt: skip
        env = {
            **plain_environment, "RANK_DIRS": str(rank_dirs), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
            "GLOO_SOCKET_IFNAME": "lo", "HOROVOD_GLOO_IFACE": "lo", **given.get("env", {}),
        }  # fmt: skip
        with subprocess.Popen(
            command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace",
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                if kill_at and kill_at in line:
                    os.kill(rank_pid(process.pid, 0), signal.SIGKILL)
                    kill_at = ""
            code = process.wait()
        places = [directory / "out" / "1" / f"rank.{rank}" for rank in range(ranks)]
        return MpiRun(code, [text(at / "stdout") for at in places], [text(at / "stderr") for at in places], rank_dirs)

    return run


def rank_pid(mpirun: int, rank: int) -> int:
    """The process of a rank on this machine: a child of mpirun, told from the others by its environment."""
    for child in Path(f"/proc/{mpirun}/task/{mpirun}/children").read_text().split():
        if f"OMPI_COMM_WORLD_RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise LookupError(f"mpirun {mpirun} has no child of rank {rank}")


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on, below those that the system gives to whoever asks for any.

    Each process that shares the tests has a range of its own, and each call another port.
    """
    import socket

    first = 10_000 + 500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    while True:
        port = first + next(TRIED_PORTS) % 500
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def text(path: Path) -> str:
    """A file's text with line feeds for line ends (mpirun gives its ranks a terminal)."""
    return path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n") if path.exists() else ""
