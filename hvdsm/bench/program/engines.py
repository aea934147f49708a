"""What reduces: MPI itself, Horovod, torch.distributed.

Each engine begins with what may fail on one rank alone (an import) and goes on to what all ranks do together only when all have
got there, since a rank that misses would be waited for.
"""

from __future__ import annotations

import importlib.util
import socket
from array import array
from typing import Any, Callable, Dict, List, Tuple, Type

from .allreduce import Failed, Guarded, Run, agree

MPI_ENGINE, TORCH, HOROVOD = "mpi", "torch", "horovod"


class Engine:
    """An engine on this rank.

    Args:
        comm: MPI's communicator of all ranks, by which they agree.
        local_rank: number of this rank on its host.
        address: of the host of rank 0.
        limit: seconds that a step of all ranks may take.
    """

    def __init__(self, comm: Any, local_rank: int, address: str, limit: float) -> None:
        self.comm = comm
        self.local_rank = local_rank
        self.address = address
        self.limit = limit

    def load(self) -> None:
        """What this rank does alone."""

    def start(self) -> Tuple[str, str]:
        """What all do together; version and details."""
        raise Failed("has no such step")

    def make(self, count: int) -> Run:
        """What reduces so many float32."""
        raise Failed(f"cannot reduce {count} numbers")

    def stop(self) -> None:
        """The end, on all ranks."""


class MpiEngine(Engine):
    """mpi4py's Allreduce of buffers."""

    def start(self) -> Tuple[str, str]:
        """Nothing to start."""
        from mpi4py import MPI

        name, version = MPI.get_vendor()
        return ".".join(map(str, version)), f"{name}, mpi4py Allreduce, float32"

    def make(self, count: int) -> Run:
        """Sums of ones, of which the first and the last are checked."""
        from mpi4py import MPI

        mine, whole, comm = array("f", [1.0]) * count, array("f", [0.0]) * count, self.comm

        def run() -> None:
            comm.Allreduce(mine, whole, MPI.SUM)
            if not whole[0] == whole[-1] == comm.size:
                raise Failed(f"the sum of {comm.size} ones is {whole[0]:g}")

        return run


class TorchEngine(Engine):
    """torch.distributed: NCCL where there are GPUs for all ranks of the host, else Gloo."""

    def load(self) -> None:
        """Import it."""
        self.torch = importlib.import_module("torch")
        self.dist = importlib.import_module("torch.distributed")
        if not self.dist.is_available():
            raise Failed("torch was built without torch.distributed")

    def start(self) -> Tuple[str, str]:
        """A process group at the address of rank 0."""
        import datetime

        cuda = self.torch.cuda
        enough = bool(cuda.is_available() and self.local_rank < cuda.device_count() and self.dist.is_nccl_available())
        enough = all(self.comm.allgather(enough))
        self.device = self.torch.device("cuda", self.local_rank) if enough else self.torch.device("cpu")
        if enough:
            cuda.set_device(self.device)
        backend = "nccl" if enough else "gloo"
        port = self.comm.bcast(free_port() if self.comm.rank == 0 else None)
        self.dist.init_process_group(
            backend,
            init_method=f"tcp://{self.address}:{port}",
            rank=self.comm.rank,
            world_size=self.comm.size,
            timeout=datetime.timedelta(seconds=self.limit),
        )
        return str(self.torch.__version__), f"torch.distributed all_reduce over {backend}, float32"

    def make(self, count: int) -> Run:
        """Sums in place, of zeros, so that they stay the same."""
        data = self.torch.zeros(count, device=self.device)
        one = self.torch.ones(1, device=self.device)
        self.dist.all_reduce(one)
        if one.item() != self.comm.size:
            raise Failed(f"the sum of {self.comm.size} ones is {one.item():g}")
        reduce, synchronize = self.dist.all_reduce, self.torch.cuda.synchronize
        if self.device.type == "cpu":
            return lambda: reduce(data) and None

        def run() -> None:
            reduce(data)
            synchronize()

        return run

    def stop(self) -> None:
        """The group's end."""
        if self.dist.is_initialized():
            self.dist.destroy_process_group()


class HorovodEngine(Engine):
    """Horovod with torch, or with TensorFlow where that is what it was built for."""

    def load(self) -> None:
        """Import what it was built for."""
        horovod = importlib.import_module("horovod")
        self.version = str(horovod.__version__)
        reasons: List[str] = []
        for name in ("torch", "tensorflow"):
            if importlib.util.find_spec(name) is None:
                continue
            try:
                self.library = importlib.import_module(name)
                self.hvd = importlib.import_module(f"horovod.{name}")
                self.name = name
                return
            except Exception as error:
                reasons.append(f"horovod.{name}: {error}")
        raise Failed("; ".join(reasons) or "there is neither torch nor TensorFlow for it")

    def start(self) -> Tuple[str, str]:
        """Initialise it; all ranks must be in it."""
        if len(set(self.comm.allgather(self.name))) > 1:
            raise Failed("it is built for torch on some hosts and for TensorFlow on others")
        hvd = self.hvd
        hvd.init()
        if hvd.size() != self.comm.size:
            raise Failed(f"it has {hvd.size()} ranks of {self.comm.size}: it was not started by this MPI")
        self.gpu = self.name == "torch" and bool(self.library.cuda.is_available())
        self.gpu = all(self.comm.allgather(self.gpu and self.local_rank < self.library.cuda.device_count()))
        if self.gpu:
            self.library.cuda.set_device(self.local_rank)
        controller = "MPI" if hvd.mpi_enabled() else "Gloo" if hvd.gloo_enabled() else "?"
        carries = "NCCL" if self.gpu and hvd.nccl_built() else controller
        return self.version, f"horovod.{self.name} allreduce over {carries}, float32"

    def make(self, count: int) -> Run:
        """A named sum, so that all ranks mean the same."""
        hvd, name = self.hvd, f"hvdsm.{count}"
        if self.name == "tensorflow":
            ones = self.library.ones([count])
            return lambda: self._check(hvd.allreduce(ones, name=name, op=hvd.Sum)[0])
        device = self.library.device("cuda", self.local_rank) if self.gpu else self.library.device("cpu")
        data = self.library.ones(count, device=device)

        def run() -> None:
            whole = hvd.allreduce(data, name=name, op=hvd.Sum)
            self._check(whole[0].item())

        return run

    def _check(self, value: Any) -> None:
        if float(value) != self.comm.size:
            raise Failed(f"the sum of {self.comm.size} ones is {float(value):g}")

    def stop(self) -> None:
        """Its threads end."""
        self.hvd.shutdown()


ENGINES: Dict[str, Type[Engine]] = {MPI_ENGINE: MpiEngine, TORCH: TorchEngine, HOROVOD: HorovodEngine}


def missing(name: str, find: Callable[[str], Any] = importlib.util.find_spec) -> bool:
    """Whether an engine's library is not installed."""
    return name != MPI_ENGINE and find(name) is None


def begin(engine: Engine, name: str, guarded: Guarded, absent: Callable[[str], bool] = missing) -> Tuple[str, str]:
    """Start an engine on all ranks; version and details.

    Raises:
        Failed: it is missing on a rank, or does not start; on all ranks alike.
    """
    lacks = [host for host, lack in engine.comm.allgather((guarded.where, absent(name))) if lack]
    if lacks:
        hosts = sorted(set(lacks), key=lambda host: (len(host), host))
        named = ", ".join(hosts[:4]) + (f" and {len(hosts) - 4} more" if len(hosts) > 4 else "")
        raise Failed(f"{name} is not installed on {named}")
    guarded(engine.load)
    agree(engine.comm, guarded)
    told = guarded(engine.start)
    agree(engine.comm, guarded)
    return told[0], told[1]


def free_port() -> int:
    """A TCP port of this host that nobody has now."""
    with socket.socket() as asked:
        asked.bind(("", 0))
        return int(asked.getsockname()[1])
