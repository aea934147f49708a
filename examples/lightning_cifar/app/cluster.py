"""Where this process stands among the others, whoever started it.

Three ways lead here:

- a launcher started every rank (mpirun by way of hvdsm, torchrun): ``RANK``, ``LOCAL_RANK``, ``WORLD_SIZE``,
  ``LOCAL_WORLD_SIZE``, ``NODE_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT`` are set.  Lightning then starts no process of its own.
- SageMaker started the script once on each host, without a launcher: ``SM_HOSTS`` names several hosts.  Lightning starts the
  other processes of its host, and finds the other hosts by what :func:`place_host` puts into the environment.
- nobody: one machine.  Lightning starts as many processes as it is asked to.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment

PORT = "29400"  # of the first host, when no launcher has chosen one


@dataclass(frozen=True)
class Place:
    """The rank of this process and the shape of the job; ranks of a host are consecutive."""

    rank: int
    local_rank: int
    node_rank: int
    world_size: int
    local_world_size: int

    @property
    def nodes(self) -> int:
        """Number of hosts."""
        return self.world_size // self.local_world_size


def launched(environ: Mapping[str, str]) -> Optional[Place]:
    """What the launcher says of this process, or None where there was none.

    Raises:
        SystemExit: variables are missing or contradict each other; Lightning needs equally many ranks on every host.
    """
    if "RANK" not in environ:
        return None
    needed = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in needed if name not in environ]
    if missing:
        raise SystemExit(f"train.py: RANK is set, but not {', '.join(missing)}: a launcher sets all of them, or unset RANK")
    rank, local_rank, world, local_world = (int(environ[name]) for name in needed[:4])
    node = int(environ.get("NODE_RANK", environ.get("GROUP_RANK", rank // local_world)))
    if world % local_world or rank != node * local_world + local_rank:
        raise SystemExit(
            f"train.py: rank {rank} of {world} is local rank {local_rank} of {local_world} on host {node}: "
            "Lightning needs the same number of ranks on every host; start as many on each"
        )
    return Place(rank, local_rank, node, world, local_world)


class Launched(ClusterEnvironment):
    """Tells Lightning the place that a launcher gave to this process."""

    def __init__(self, place: Place, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._place = place
        self._address, self._port = environ["MASTER_ADDR"], int(environ["MASTER_PORT"])

    @property
    def creates_processes_externally(self) -> bool:
        """True: Lightning starts no processes."""
        return True

    @property
    def main_address(self) -> str:
        """The host of rank 0."""
        return self._address

    @property
    def main_port(self) -> int:
        """A free TCP port there."""
        return self._port

    @staticmethod
    def detect() -> bool:
        """Whether a launcher has set ``RANK``."""
        return "RANK" in os.environ

    def world_size(self) -> int:
        """Ranks of all hosts."""
        return self._place.world_size

    def set_world_size(self, size: int) -> None:
        """Refuse another size than the launcher's; Lightning computes it from devices and num_nodes."""
        if size != self._place.world_size:
            raise SystemExit(f"train.py: Lightning counts {size} processes, the launcher started {self._place.world_size}")

    def global_rank(self) -> int:
        """Rank among all hosts."""
        return self._place.rank

    def set_global_rank(self, rank: int) -> None:
        """Refuse another rank than the launcher's."""
        if rank != self._place.rank:
            raise SystemExit(f"train.py: Lightning takes this process for rank {rank}, the launcher for {self._place.rank}")

    def local_rank(self) -> int:
        """Rank on this host; chooses the GPU."""
        return self._place.local_rank

    def node_rank(self) -> int:
        """Number of this host."""
        return self._place.node_rank


def hosts(environ: Mapping[str, str]) -> List[str]:
    """The hosts of a SageMaker job, the first one first; empty elsewhere."""
    return [str(host) for host in json.loads(environ.get("SM_HOSTS") or "[]")]


def place_host(environ: Mapping[str, str]) -> Dict[str, str]:
    """Variables by which Lightning's processes of several hosts find each other; what is set already is not among them.

    ``environ`` is that of a plain process, started once on each host of a SageMaker job.
    """
    names, here = hosts(environ), environ.get("SM_CURRENT_HOST", "")
    if len(names) < 2 or "RANK" in environ:
        return {}
    if here not in names:
        raise SystemExit(f"train.py: SM_CURRENT_HOST is {here!r}, which is none of SM_HOSTS: {', '.join(names)}")
    wanted = {"NODE_RANK": str(names.index(here)), "MASTER_ADDR": names[0], "MASTER_PORT": PORT, "NCCL_DEBUG": "INFO"}
    interface = environ.get("SM_NETWORK_INTERFACE_NAME")
    if interface:
        wanted.update(NCCL_SOCKET_IFNAME=interface, GLOO_SOCKET_IFNAME=interface)
    return {name: value for name, value in wanted.items() if name not in environ}


def is_first(environ: Mapping[str, str]) -> bool:
    """Whether this is the process of global rank 0, before Lightning knows."""
    return all(environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def trainer_options(asked: Mapping[str, Any], environ: Mapping[str, str], gpus: int) -> Tuple[Dict[str, Any], List[str]]:
    """The Trainer options that follow from where the script runs, and what to tell of it.

    Args:
        asked: the options of the user: ``accelerator``, ``devices``, ``num_nodes``.
        environ: the environment.
        gpus: GPUs that this process sees.

    Returns:
        The options to replace, and messages where that contradicts the user.
    """
    told = []
    place = launched(environ)
    devices, nodes = asked.get("devices"), asked.get("num_nodes")
    if place:
        shape: Dict[str, Any] = {"devices": place.local_world_size, "num_nodes": place.nodes}
        if devices not in (None, "auto", -1, "-1", place.local_world_size, str(place.local_world_size)):
            told.append(f"trainer.devices={devices} is not used: the launcher started {place.local_world_size} on each host")
        return {**shape, "environment": Launched(place, environ)}, told
    shape = {"num_nodes": max(int(nodes or 1), len(hosts(environ)))}
    on_cpu = asked.get("accelerator") == "cpu" or (asked.get("accelerator") in (None, "auto") and not gpus)
    if on_cpu and devices in (-1, "-1"):
        told.append("trainer.devices=-1 means all GPUs; on the CPU it is 1 process: ask for more by their number")
        shape["devices"] = 1
    return {**shape, "environment": LightningEnvironment()}, told
