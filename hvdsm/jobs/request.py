"""From DescribeTrainingJob back to the CreateTrainingJob request, and what is changed in it to run it here; pure.

Source of the fields: the SageMaker API reference, "CreateTrainingJob" and "DescribeTrainingJob".
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.backends.local.layout import decoded, distribution_of, hosts_of
from hvdsm.compose.request import CHECKPOINTS, PROCESSES_KEY, file_uri
from hvdsm.errors import UsageError

# The fields of a request that a description repeats; Tags are asked for elsewhere.
FIELDS = (
    "TrainingJobName", "HyperParameters", "AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig",
    "ResourceConfig", "VpcConfig", "StoppingCondition", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining", "CheckpointConfig", "DebugHookConfig", "DebugRuleConfigurations", "TensorBoardOutputConfig",
    "ExperimentConfig", "ProfilerConfig", "ProfilerRuleConfigurations", "Environment", "RetryStrategy", "RemoteDebugConfig",
    "InfraCheckConfig", "ServerlessJobConfig", "MlflowConfig", "ModelPackageConfig",
)  # fmt: skip
# Values that say what their absence says: the service adds them.
_DEFAULTS: Dict[str, Mapping[str, Any]] = {
    "": {
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": False,
        "EnableManagedSpotTraining": False,
    },
    "AlgorithmSpecification": {"EnableSageMakerMetricsTimeSeries": False},
    "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP"},
    "InputDataConfig": {"CompressionType": "None", "RecordWrapperType": "None"},
    "ResourceConfig": {"VolumeKmsKeyId": ""},
}
# Where an empty text is a value like any other.
_FREE = ("HyperParameters", "Environment")


def request_of(description: Mapping[str, Any]) -> Dict[str, Any]:
    """The request that a job was made from, as far as its description tells.

    What a description adds is left out: names and times of the service, statuses, artifacts, metrics, and defaults.  Tags are not
    in it.

    Args:
        description: DescribeTrainingJob's answer; it is not changed.
    """
    request: Dict[str, Any] = {}
    for name in FIELDS:
        value = copy.deepcopy(description.get(name))
        if name not in _FREE:
            value = _bare(value, _DEFAULTS.get(name, {}))
        if value in (None, "", [], {}) or (name in _DEFAULTS[""] and value == _DEFAULTS[""][name]):
            continue
        request[name] = value
    return request


def _bare(value: Any, defaults: Mapping[str, Any]) -> Any:
    """A value without what the service has filled in, and without what is empty."""
    if isinstance(value, Mapping):
        kept = {}
        for name, inner in value.items():
            if name in defaults and inner == defaults[name]:
                continue
            # The words of a program may be empty.
            bare = inner if name in ("ContainerEntrypoint", "ContainerArguments") else _bare(inner, {})
            if bare in (None, [], {}):
                continue
            kept[name] = bare
        return kept
    if isinstance(value, list):
        return [_bare(inner, defaults) for inner in value]
    return value


def renamed(request: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """The request under another name."""
    return {**request, "TrainingJobName": name}


def replay_name(name: str, taken: Any) -> str:
    """A name for a rehearsal: ``NAME-replay``, then ``NAME-replay-2`` and so on.

    Args:
        name: the job's.
        taken: tells of a name whether it is taken.
    """
    number = 1
    while True:
        end = "-replay" if number == 1 else f"-replay-{number}"
        found = re.sub(r"-+$", "", name[: 63 - len(end)]) + end
        if not taken(found):
            return found
        number += 1


def with_instance_count(request: Mapping[str, Any], count: int) -> Dict[str, Any]:
    """The request with another number of hosts; instance groups get at least one each, in their order.

    Raises:
        UsageError: there are more groups than hosts, or fewer hosts than asked for.
    """
    resources = dict(request.get("ResourceConfig") or {})
    whole = len(hosts_of(request))
    if count > whole:
        raise UsageError(f"the job had {whole}: a replay can only have fewer", where="--instance-count")
    groups = resources.get("InstanceGroups")
    if not groups:
        return {**request, "ResourceConfig": {**resources, "InstanceCount": count}}
    if count < len(groups):
        raise UsageError(f"the job has {len(groups)} instance groups, of which each needs a host", where="--instance-count")
    left, changed = count - len(groups), []
    for group in groups:
        more = min(left, group["InstanceCount"] - 1)
        left -= more
        changed.append({**group, "InstanceCount": 1 + more})
    return {**request, "ResourceConfig": {**resources, "InstanceGroups": changed}}


def fitting_processes(wanted: int, hosts: int, cpus: int, gpus: int) -> Tuple[int, str]:
    """Ranks on each host that this machine can have, and why there are fewer than wanted; empty where there are not.

    Args:
        wanted: ranks on each host in the cloud.
        hosts: number of hosts.
        cpus: cores of this machine.
        gpus: its GPUs.

    >>> fitting_processes(8, 2, 2, 0)
    (4, '8 ranks on each of 2 hosts are too many for 2 cores: 4 on each')
    """
    if gpus:
        share = max(1, gpus // hosts)
        if wanted > share:
            return share, f"{wanted} ranks on each of {hosts} hosts do not fit on {gpus} GPUs: {share} on each"
        return wanted, ""
    most = max(1, 4 * cpus // hosts)
    # A distributed failure needs ranks that are not alone on their host.
    most = max(most, min(wanted, 2))
    if wanted > most:
        return most, f"{wanted} ranks on each of {hosts} hosts are too many for {cpus} cores: {most} on each"
    return wanted, ""


def with_processes(request: Mapping[str, Any], count: int) -> Dict[str, Any]:
    """The request with another number of ranks on each host; unchanged where it does not start several by itself."""
    key = PROCESSES_KEY.get(distribution_of(request))
    if key is None:
        return dict(request)
    return {**request, "HyperParameters": {**(request.get("HyperParameters") or {}), key: json.dumps(count)}}


def processes_wanted(request: Mapping[str, Any], ranks_per_host: Mapping[str, int]) -> Optional[int]:
    """Ranks on each host in the cloud: as the job reported them, else as the request has them; None where neither says."""
    if PROCESSES_KEY.get(distribution_of(request)) is None:
        return None
    if ranks_per_host:
        return max(ranks_per_host.values())
    value = decoded(request.get("HyperParameters") or {}, PROCESSES_KEY[distribution_of(request)])
    try:
        return int(value) if value is not None else None
    except (TypeError, ValueError):
        return None


def with_own_checkpoints(request: Mapping[str, Any], directory: str) -> Tuple[Dict[str, Any], List[str]]:
    """The request with checkpoints of its own: those of the past job would let it go on where that one ended.

    Args:
        request: the request.
        directory: where checkpoints go that are not at their usual place.

    Returns:
        the request, and what is to be said about it.
    """
    config = request.get("CheckpointConfig") or {}
    uri = str(config.get("S3Uri") or "")
    if not uri.startswith("s3://"):
        return dict(request), []
    note = f"It begins without checkpoints: those of the job stay in {uri} (to go on from them: --checkpoint DIR)"
    changed = {name: value for name, value in request.items() if name != "CheckpointConfig"}
    place = config.get("LocalPath") or CHECKPOINTS
    if place.rstrip("/") != CHECKPOINTS:
        changed["CheckpointConfig"] = {"S3Uri": file_uri(directory), "LocalPath": place}
    return changed, [note]
