"""The fields of a CreateTrainingJob request that matter in the cloud: image, role, network, storage, spot, tags; pure.

Source of each field: the SageMaker API reference, "CreateTrainingJob" and the types it names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.compose.secrets import HYPERPARAMETER
from hvdsm.errors import UsageError

BUNDLE = "bundle"
TRAIN = "train"
# How the container program gets into the container: shipped as a channel, or the image has it.
PROGRAMS = (BUNDLE, TRAIN)
SHARDED = "ShardedByS3Key"
INPUT_MODES = ("File", "FastFile", "Pipe")
DISTRIBUTION_GROUPS = "sagemaker_distribution_instance_groups"
SECRETS = HYPERPARAMETER
# Channel that brings the container program, and its name there.
BUNDLE_CHANNEL = "hvdsm"
BUNDLE_FILE = "hvdsm.pyz"
BUNDLE_ENTRYPOINT = ("python3", f"/opt/ml/input/data/{BUNDLE_CHANNEL}/{BUNDLE_FILE}")
# Channel that brings the source where the container may not reach S3 itself, as the SageMaker SDK does it.
CODE_CHANNEL = "code"


@dataclass(frozen=True)
class CloudOptions:
    """What a launch asks for beyond :class:`hvdsm.compose.request.LaunchOptions`; what is None or empty is left out.

    Attributes:
        image: TrainingImage.
        role: RoleArn.
        instance_groups: name, type and number of each group; they stand instead of one type and number.
        distribution_groups: the groups whose hosts run ranks together; all by default.
        spot: whether to use managed spot capacity.
        max_wait: seconds to wait for spot capacity and for the job together.
        keep_alive: seconds that the instances stay warm after the job.
        subnets: subnets of the VPC.
        security_groups: security groups of the VPC.
        encrypt_traffic: whether traffic between hosts is encrypted.
        network_isolation: whether the containers may reach nothing outside.
        tags: of the job.
        metrics: name and regular expression of each MetricDefinition.
        volume_size: GB of each instance's volume.
        volume_kms_key: key of the volumes.
        output_kms_key: key of what is written to S3.
        input_mode: File, FastFile or Pipe, of all channels.
        sharded: names of channels whose objects are divided among the hosts.
        retries: MaximumRetryAttempts after internal errors of the service.
        secrets: variable and ARN of each secret that the container fetches.
    """

    image: Optional[str] = None
    role: Optional[str] = None
    instance_groups: Tuple[Tuple[str, str, int], ...] = ()
    distribution_groups: Tuple[str, ...] = ()
    spot: bool = False
    max_wait: Optional[int] = None
    keep_alive: Optional[int] = None
    subnets: Tuple[str, ...] = ()
    security_groups: Tuple[str, ...] = ()
    encrypt_traffic: bool = False
    network_isolation: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    volume_size: Optional[int] = None
    volume_kms_key: Optional[str] = None
    output_kms_key: Optional[str] = None
    input_mode: Optional[str] = None
    sharded: Tuple[str, ...] = ()
    retries: Optional[int] = None
    secrets: Mapping[str, str] = field(default_factory=dict)


def with_cloud_options(request: Mapping[str, Any], options: CloudOptions) -> Dict[str, Any]:
    """The request with these options; a field that an option does not name stays as it is.

    Raises:
        UsageError: options contradict each other, or name a channel that is not there.
    """
    changed = dict(request)
    _algorithm(changed, options)
    _resources(changed, options)
    _network(changed, options)
    _channels(changed, options)
    _spot(changed, options)
    if options.role:
        changed["RoleArn"] = options.role
    if options.tags:
        old = [tag for tag in changed.get("Tags") or () if tag.get("Key") not in options.tags]
        changed["Tags"] = [*old, *({"Key": key, "Value": value} for key, value in options.tags.items())]
    if options.output_kms_key:
        changed["OutputDataConfig"] = {**(changed.get("OutputDataConfig") or {}), "KmsKeyId": options.output_kms_key}
    if options.retries is not None:
        changed["RetryStrategy"] = {"MaximumRetryAttempts": options.retries}
    _hyperparameters(changed, options)
    _check_groups(changed, options)
    return changed


def _check_groups(request: Mapping[str, Any], options: CloudOptions) -> None:
    """Groups that run ranks must be groups of the job."""
    known = [group.get("InstanceGroupName") for group in (request.get("ResourceConfig") or {}).get("InstanceGroups") or ()]
    for name in options.distribution_groups:
        if name not in known:
            raise UsageError(
                f"there is no instance group {name}",
                where="--distribution-group",
                remedy=f"name one of these: {', '.join(map(str, known))}" if known else f"add --instance-group {name}=TYPE:N",
            )


def _algorithm(request: Dict[str, Any], options: CloudOptions) -> None:
    algorithm: Dict[str, Any] = dict(request.get("AlgorithmSpecification") or {})
    if options.image:
        algorithm.pop("AlgorithmName", None)
        algorithm["TrainingImage"] = options.image
    if options.input_mode:
        algorithm["TrainingInputMode"] = options.input_mode
    if options.metrics:
        old = [entry for entry in algorithm.get("MetricDefinitions") or () if entry.get("Name") not in options.metrics]
        algorithm["MetricDefinitions"] = [*old, *({"Name": k, "Regex": v} for k, v in options.metrics.items())]
    if algorithm:
        request["AlgorithmSpecification"] = algorithm


def _resources(request: Dict[str, Any], options: CloudOptions) -> None:
    resources: Dict[str, Any] = dict(request.get("ResourceConfig") or {})
    if options.instance_groups:
        for name in ("InstanceCount", "InstanceType"):
            resources.pop(name, None)
        resources["InstanceGroups"] = [
            {"InstanceGroupName": name, "InstanceType": kind, "InstanceCount": count}
            for name, kind, count in options.instance_groups
        ]
    if options.volume_size is not None:
        resources["VolumeSizeInGB"] = options.volume_size
    if options.volume_kms_key:
        resources["VolumeKmsKeyId"] = options.volume_kms_key
    if options.keep_alive is not None:
        resources["KeepAlivePeriodInSeconds"] = options.keep_alive
    request["ResourceConfig"] = resources


def _network(request: Dict[str, Any], options: CloudOptions) -> None:
    if bool(options.subnets) != bool(options.security_groups):
        missing = "--security-group" if options.subnets else "--subnet"
        raise UsageError("subnets and security groups go together", where="VPC", remedy=f"add {missing}, or use --vpc-stack NAME")
    if options.subnets:
        request["VpcConfig"] = {"SecurityGroupIds": list(options.security_groups), "Subnets": list(options.subnets)}
    if options.encrypt_traffic:
        request["EnableInterContainerTrafficEncryption"] = True
    if options.network_isolation:
        request["EnableNetworkIsolation"] = True


def _channels(request: Dict[str, Any], options: CloudOptions) -> None:
    channels: List[Dict[str, Any]] = [dict(channel) for channel in request.get("InputDataConfig") or ()]
    known = [channel.get("ChannelName") for channel in channels]
    for name in options.sharded:
        if name not in known:
            raise UsageError(
                f"there is no channel {name}",
                where="--shard",
                remedy=f"name one of these: {', '.join(map(str, known))}" if known else f"add --channel {name}=s3://…",
            )
    for channel in channels:
        source = (channel.get("DataSource") or {}).get("S3DataSource")
        if channel.get("ChannelName") in options.sharded and source is not None:
            channel["DataSource"] = {"S3DataSource": {**source, "S3DataDistributionType": SHARDED}}
        if options.input_mode:
            channel["InputMode"] = options.input_mode
    if channels:
        request["InputDataConfig"] = channels


def _spot(request: Dict[str, Any], options: CloudOptions) -> None:
    stopping: Dict[str, Any] = dict(request.get("StoppingCondition") or {})
    spot = options.spot or bool(request.get("EnableManagedSpotTraining"))
    if options.max_wait is not None and not spot:
        raise UsageError("means nothing without spot capacity", where="--max-wait", remedy="add --spot, or leave --max-wait out")
    if not spot:
        return
    request["EnableManagedSpotTraining"] = True
    # The service demands a limit for the wait: the whole day that a job gets by default, beyond the job's own.
    limit = stopping.get("MaxRuntimeInSeconds")
    if options.max_wait is not None:
        stopping["MaxWaitTimeInSeconds"] = options.max_wait
    elif "MaxWaitTimeInSeconds" not in stopping and isinstance(limit, int):
        stopping["MaxWaitTimeInSeconds"] = min(limit + 86400, 28 * 86400)
    request["StoppingCondition"] = stopping


def _hyperparameters(request: Dict[str, Any], options: CloudOptions) -> None:
    added: Dict[str, Any] = {}
    if options.distribution_groups:
        added[DISTRIBUTION_GROUPS] = list(options.distribution_groups)
    if options.secrets:
        added[SECRETS] = dict(options.secrets)
    if added:
        encoded = {key: json.dumps(value) for key, value in added.items()}
        request["HyperParameters"] = {**(request.get("HyperParameters") or {}), **encoded}


def parse_instance_group(text: str) -> Tuple[str, str, int]:
    """Name, type and number of ``NAME=TYPE:COUNT``.

    Raises:
        UsageError: it is written otherwise.
    """
    name, equals, rest = text.partition("=")
    kind, colon, count = rest.rpartition(":")
    if not (name and equals and kind and colon) or not count.isdecimal() or int(count) < 1:
        raise UsageError(
            f"must be NAME=TYPE:COUNT, not {text!r}",
            where="--instance-group",
            remedy="--instance-group workers=ml.p4d.24xlarge:2",
        )
    return name, kind, int(count)


def with_program(request: Mapping[str, Any], uri: str) -> Dict[str, Any]:
    """The request with the container program as a channel, started by ContainerEntrypoint.

    Args:
        request: the request.
        uri: ``s3://`` folder that holds the program and nothing else.

    Raises:
        UsageError: the request has a channel of that name, or an entrypoint of its own.
    """
    channels = list(request.get("InputDataConfig") or ())
    if any(channel.get("ChannelName") == BUNDLE_CHANNEL for channel in channels):
        raise UsageError(
            f"the name {BUNDLE_CHANNEL} is taken by the container program",
            where=f"channel {BUNDLE_CHANNEL}",
            remedy="choose another name for the channel, or --container-program train",
        )
    algorithm: Dict[str, Any] = dict(request.get("AlgorithmSpecification") or {})
    if algorithm.get("ContainerEntrypoint"):
        raise UsageError(
            "the request has one of its own",
            where="AlgorithmSpecification.ContainerEntrypoint",
            remedy="add --container-program train to keep it, or leave the field out",
        )
    return {
        **request,
        "AlgorithmSpecification": {**algorithm, "ContainerEntrypoint": list(BUNDLE_ENTRYPOINT)},
        "InputDataConfig": [*channels, channel_for_all(request, BUNDLE_CHANNEL, uri)],
    }


def channel_for_all(request: Mapping[str, Any], name: str, uri: str) -> Dict[str, Any]:
    """A channel that every host gets as files.

    Where a channel names instance groups, every channel has to: then this one names all of them.
    """
    source: Dict[str, Any] = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    sources = [(channel.get("DataSource") or {}).get("S3DataSource") or {} for channel in request.get("InputDataConfig") or ()]
    if any(other.get("InstanceGroupNames") for other in sources):
        groups = (request.get("ResourceConfig") or {}).get("InstanceGroups") or ()
        source["InstanceGroupNames"] = [group["InstanceGroupName"] for group in groups]
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def is_own_program(request: Mapping[str, Any]) -> bool:
    """Whether a request, or a description of a job, starts hvdsm's program from its channel."""
    words: Sequence[str] = (request.get("AlgorithmSpecification") or {}).get("ContainerEntrypoint") or ()
    return bool(words) and str(words[-1]).endswith("/" + BUNDLE_FILE)
