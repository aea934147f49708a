"""What a job wants of a network: its instances, where they are put, and what is switched on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Tuple

from hvdsm.compose.fabric import has_efa
from hvdsm.errors import ConfigError
from hvdsm.vpc.checking.facts import Network

# Addresses of a subnet that an instance takes.  Source: SageMaker Developer Guide, training jobs in a VPC.
WITH_EFA = 5
WITHOUT_EFA = 2
# Types whose names do not tell, for the time when EC2 cannot be asked.  Source: Amazon EC2 User Guide, EFA, 2025.
_MORE = ("c5n.18xlarge", "c6gn.16xlarge", "c6in.32xlarge", "c7gn.16xlarge", "m5dn.24xlarge", "m5n.24xlarge", "m6in.32xlarge")

# Where a request says that results go.
_RESULTS = (("OutputDataConfig", "S3OutputPath"), ("CheckpointConfig", "S3Uri"))


@dataclass(frozen=True)
class Job:
    """A job as far as the network is concerned.

    Attributes:
        instances: instance types with their counts; a type is None where it is not known.
        encrypted: whether traffic between hosts is encrypted.
        network_isolation: whether the containers reach nothing outside.
        subnets: ids, as the request has them.
        groups: ids of security groups, as the request has them.
        buckets: buckets that are written to, each with the beginning of the keys (``bucket`` or ``bucket/prefix``); SageMaker's
            own by default.
        inputs: the same for what is only read; such a bucket may be another account's.
    """

    instances: Tuple[Tuple[Optional[str], int], ...] = ((None, 2),)
    encrypted: bool = False
    network_isolation: bool = False
    subnets: Tuple[str, ...] = ()
    groups: Tuple[str, ...] = ()
    buckets: Tuple[str, ...] = ()
    inputs: Tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Hosts in all."""
        return sum(count for _, count in self.instances)

    @property
    def types(self) -> Tuple[str, ...]:
        """The instance types that are known, each once."""
        return tuple(dict.fromkeys(kind for kind, _ in self.instances if kind))

    def efa(self, network: Network) -> bool:
        """Whether one of its types has EFA."""
        return any(type_has_efa(network, kind) for kind in self.types)

    def addresses(self, network: Network) -> int:
        """Addresses that its hosts take together."""
        return sum(count * per_instance(network, kind) for kind, count in self.instances)


def type_has_efa(network: Network, kind: Optional[str]) -> bool:
    """Whether a type has EFA: EC2's answer, else what the type's name tells."""
    if kind is None:
        return False
    return network.efa.get(kind, has_efa(kind) or kind[3:] in _MORE)


def per_instance(network: Network, kind: Optional[str]) -> int:
    """Addresses that a host of a type takes."""
    return WITH_EFA if type_has_efa(network, kind) else WITHOUT_EFA


def job_of(request: Mapping[str, Any]) -> Job:
    """What a CreateTrainingJob request wants of its network.

    Raises:
        ConfigError: it is not of the shape of such a request.
    """
    try:
        return _job_of(request)
    except (AttributeError, TypeError, ValueError) as error:
        remedy = "see CreateTrainingJob in the API reference of SageMaker"
        raise ConfigError(f"is not of the shape of a request: {error}", where="CreateTrainingJob", remedy=remedy) from None


def _listed(name: str, value: Any) -> Tuple[str, ...]:
    if not isinstance(value or [], (list, tuple)):
        raise ValueError(f"VpcConfig.{name} is no list")
    return tuple(str(item) for item in value or [])


def _job_of(request: Mapping[str, Any]) -> Job:
    resources = request.get("ResourceConfig") or {}
    entries = resources.get("InstanceGroups") or [resources]
    if not all(isinstance(entry.get("InstanceType", ""), str) for entry in entries):
        raise ValueError("an InstanceType is no text")
    config = request.get("VpcConfig") or {}
    results = [(request.get(name) or {}).get(key) for name, key in _RESULTS]
    channels = [(channel.get("DataSource") or {}).get("S3DataSource") or {} for channel in request.get("InputDataConfig") or ()]
    return Job(
        tuple((entry.get("InstanceType"), int(entry.get("InstanceCount") or 1)) for entry in entries),
        bool(request.get("EnableInterContainerTrafficEncryption")),
        bool(request.get("EnableNetworkIsolation")),
        _listed("Subnets", config.get("Subnets")),
        _listed("SecurityGroupIds", config.get("SecurityGroupIds")),
        places_of(results),
        places_of(channel.get("S3Uri") for channel in channels),
    )


def places_of(addresses: Iterable[Any]) -> Tuple[str, ...]:
    """Buckets with the beginnings of keys, from addresses in S3; what is none is left out.

    >>> places_of(["s3://bucket/data/", None, "s3://bucket"])
    ('bucket/data', 'bucket')
    """
    found = [str(address) for address in addresses if address]
    return tuple(dict.fromkeys(one[len("s3://") :].rstrip("/") for one in found if one.startswith("s3://")))
