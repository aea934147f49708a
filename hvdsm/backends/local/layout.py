"""What the service writes into ``/opt/ml/input/config`` of each host, made from a CreateTrainingJob request; pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.compose.cloud import SECRETS
from hvdsm.compose.request import LOCAL_INSTANCE_TYPE, PROCESSES_KEY, PROGRAM, SUBMIT_DIRECTORY
from hvdsm.container.reserved import LAUNCHERS
from hvdsm.model import MPI, NONE, TORCH_DISTRIBUTED

HOMOGENEOUS = "homogeneousCluster"


@dataclass(frozen=True)
class HostLayout:
    """One host of the job: ``algo-1``, its instance type and group."""

    name: str
    instance_type: str = LOCAL_INSTANCE_TYPE
    group: str = HOMOGENEOUS


def hosts_of(request: Mapping[str, Any]) -> Tuple[HostLayout, ...]:
    """The hosts that ResourceConfig asks for, numbered through all instance groups."""
    resources = request.get("ResourceConfig") or {}
    groups = resources.get("InstanceGroups") or [
        {
            "InstanceGroupName": HOMOGENEOUS,
            "InstanceType": resources.get("InstanceType") or LOCAL_INSTANCE_TYPE,
            "InstanceCount": resources.get("InstanceCount") or 1,
        }
    ]
    kinds = [
        (g.get("InstanceType") or LOCAL_INSTANCE_TYPE, g["InstanceGroupName"]) for g in groups for _ in range(g["InstanceCount"])
    ]
    return tuple(HostLayout(f"algo-{index}", kind, group) for index, (kind, group) in enumerate(kinds, 1))


def distribution_hosts(request: Mapping[str, Any], hosts: Tuple[HostLayout, ...]) -> Tuple[HostLayout, ...]:
    """The hosts that run ranks together: those of the distribution's instance groups, all where none are named."""
    groups = decoded(request.get("HyperParameters") or {}, "sagemaker_distribution_instance_groups")
    chosen = tuple(host for host in hosts if isinstance(groups, list) and host.group in groups)
    return chosen or hosts


def resource_config(hosts: Tuple[HostLayout, ...], current: HostLayout, interface: str = "eth0") -> Dict[str, Any]:
    """``resourceconfig.json`` of one host, with the fields that it has in the cloud."""
    groups: Dict[str, List[HostLayout]] = {}
    for host in hosts:
        groups.setdefault(host.group, []).append(host)
    return {
        "current_host": current.name,
        "current_instance_type": current.instance_type,
        "current_group_name": current.group,
        "hosts": [host.name for host in hosts],
        "instance_groups": [
            {"instance_group_name": name, "instance_type": members[0].instance_type, "hosts": [host.name for host in members]}
            for name, members in groups.items()
        ],
        "network_interface_name": interface,
    }


def input_data_config(request: Mapping[str, Any], host: Optional[HostLayout] = None) -> Dict[str, Dict[str, str]]:
    """``inputdataconfig.json``: every channel with the fields that the service writes.

    Channels that are for instance groups only (InstanceGroupNames) are those of ``host``'s group; of all without one.
    """
    config = {}
    for channel in request.get("InputDataConfig") or ():
        source = (channel.get("DataSource") or {}).get("S3DataSource") or {}
        groups = source.get("InstanceGroupNames")
        if groups and host is not None and host.group not in groups:
            continue
        mode = channel.get("InputMode") or (request.get("AlgorithmSpecification") or {}).get("TrainingInputMode") or "File"
        entry = {
            "TrainingInputMode": mode,
            "S3DistributionType": source.get("S3DataDistributionType") or "FullyReplicated",
            "RecordWrapperType": channel.get("RecordWrapperType") or "None",
        }
        if channel.get("ContentType"):
            entry["ContentType"] = channel["ContentType"]
        config[channel["ChannelName"]] = entry
    return config


def decoded(hyperparameters: Mapping[str, str], key: str) -> Any:
    """A hyperparameter's value: JSON when it parses, else the raw string; None when it is not there."""
    raw = hyperparameters.get(key)
    if raw is None:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def program_of(request: Mapping[str, Any]) -> Optional[str]:
    """The entry point, as the container will find it: SAGEMAKER_PROGRAM of the environment, else the hyperparameter."""
    program = (request.get("Environment") or {}).get("SAGEMAKER_PROGRAM")
    program = program or decoded(request.get("HyperParameters") or {}, PROGRAM)
    return program if isinstance(program, str) else None


def distribution_of(request: Mapping[str, Any]) -> str:
    """The distribution that the reserved hyperparameters switch on."""
    values = request.get("HyperParameters") or {}
    if is_true(decoded(values, "sagemaker_mpi_enabled")):
        return MPI
    enabled = [key for key, kind in LAUNCHERS.items() if kind == TORCH_DISTRIBUTED]
    return TORCH_DISTRIBUTED if any(is_true(decoded(values, key)) for key in enabled) else NONE


def is_true(value: Any) -> bool:
    """Whether a decoded hyperparameter says yes; the words ``False`` and ``0`` do not."""
    return str(value).strip().lower() in ("true", "1", "yes")


def processes_of(request: Mapping[str, Any]) -> Optional[int]:
    """Processes per host that the request asks for; None leaves it to the container."""
    key = PROCESSES_KEY.get(distribution_of(request))
    if key is None:
        return 1
    value = decoded(request.get("HyperParameters") or {}, key)
    try:
        return int(value) if value is not None else None
    except (TypeError, ValueError):
        return None


def host_hyperparameters(
    request: Mapping[str, Any], *, source: Optional[str] = None, processes: Optional[int] = None
) -> Dict[str, str]:
    """``hyperparameters.json``: the request's, with what differs where it runs.

    Args:
        request: the request.
        source: path of the source as the host sees it.
        processes: processes per host, when one machine stands for all hosts.
    """
    values = dict(request.get("HyperParameters") or {})
    # The secrets themselves are in the environment of the hosts already.
    values.pop(SECRETS, None)
    if source is not None:
        values[SUBMIT_DIRECTORY] = json.dumps(source)
    key = PROCESSES_KEY.get(distribution_of(request))
    if processes is not None and key is not None:
        values[key] = json.dumps(processes)
    return values
