"""Hosts and clusters: who takes part in a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class Host:
    """One machine of the cluster, known by its name in ``resourceconfig.json`` (``algo-1``), never by its own hostname."""

    name: str
    address: Optional[str] = None


@dataclass(frozen=True)
class InstanceGroup:
    """A named group of hosts of one instance type (heterogeneous clusters have several)."""

    name: str
    instance_type: str
    hosts: Tuple[str, ...]


@dataclass(frozen=True)
class Cluster:
    """The hosts of a job as one of them sees it.

    Source: ``/opt/ml/input/config/resourceconfig.json`` of a SageMaker training job.
    """

    hosts: Tuple[str, ...]
    current_host: str
    network_interface: str = "eth0"
    instance_type: str = "local"
    current_group: str = "homogeneousCluster"
    instance_groups: Tuple[InstanceGroup, ...] = ()
    distribution_groups: Tuple[str, ...] = ()

    @property
    def distribution_hosts(self) -> Tuple[str, ...]:
        """The hosts that run ranks together: all; or those of the distribution groups, as ``resourceconfig.json`` lists them."""
        if not self.distribution_groups or not self.instance_groups:
            return self.hosts
        groups = [group for group in self.instance_groups if group.name in self.distribution_groups]
        return tuple(host for group in groups for host in group.hosts)

    @property
    def launcher(self) -> str:
        """The host that runs mpirun: the first of the distribution hosts."""
        return self.distribution_hosts[0]

    @property
    def is_launcher(self) -> bool:
        """Whether this host is the launcher."""
        return self.current_host == self.launcher

    @property
    def node_rank(self) -> int:
        """Index of this host among the distribution hosts, 0 for the launcher; on any other host its index among all."""
        hosts = self.distribution_hosts
        return (hosts if self.current_host in hosts else self.hosts).index(self.current_host)
