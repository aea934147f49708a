"""One process, or several by Horovod: the training does not know which."""

from __future__ import annotations

import os
from typing import Any, List, Mapping

import torch

SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "HOROVOD_SIZE", "PMI_SIZE")


class Alone:
    """The only process."""

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1

    def sums(self, values: List[float]) -> List[float]:
        """Sums over all ranks, the same on each of them to the last digit."""
        return values

    def same(self, value: Any) -> Any:
        """Rank 0's value."""
        return value

    def begin(self, network: Any, optimizer: Any) -> Any:
        """Give all ranks rank 0's weights; the optimizer that averages gradients over the ranks."""
        del network
        return optimizer

    def averaged(self, optimizer: Any) -> None:
        """Wait until the gradients are averaged."""

    def step(self, optimizer: Any) -> None:
        """Change the weights by the averaged gradients."""
        optimizer.step()


class Horovod(Alone):
    """One of several processes."""

    def __init__(self) -> None:
        import horovod.torch as hvd

        hvd.init()
        self.hvd = hvd
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_rank, self.local_size = hvd.local_rank(), hvd.local_size()

    def sums(self, values: List[float]) -> List[float]:
        """Sums over all ranks, added in their order: all of them decide alike when to stop."""
        table = self.hvd.allgather(torch.tensor([values], dtype=torch.float64), name="sums")
        return [float(value) for value in table.sum(0)]

    def same(self, value: Any) -> Any:
        """Rank 0's value."""
        return self.hvd.broadcast_object(value, root_rank=0)

    def begin(self, network: Any, optimizer: Any) -> Any:
        """Broadcast the weights; the optimizer averages gradients."""
        self.hvd.broadcast_parameters(network.state_dict(), root_rank=0)
        return self.hvd.DistributedOptimizer(optimizer, named_parameters=network.named_parameters())

    def averaged(self, optimizer: Any) -> None:
        """Wait for the averages, which are to be clipped before the step."""
        optimizer.synchronize()

    def step(self, optimizer: Any) -> None:
        """Change the weights."""
        with optimizer.skip_synchronize():
            optimizer.step()


def processes(environ: Mapping[str, str]) -> int:
    """How many processes the launcher started."""
    return max([int(environ[name]) for name in SIZE_VARIABLES if environ.get(name, "").isdigit()], default=1)


def connect() -> Alone:
    """Join the other processes, where a launcher started any."""
    count = processes(os.environ)
    if count == 1:
        return Alone()
    try:
        return Horovod()
    except ImportError as error:
        raise SystemExit(
            f"train.py: {count} processes were started, and they need Horovod: {error}: pip install horovod"
        ) from error
