"""The limits of CreateTrainingJob that botocore does not check, so that a request fails here and not in the cloud.

Source: the SageMaker API reference, "CreateTrainingJob" and the types it names.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence

from hvdsm.errors import ConfigError

NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
MAX_NAME = 63
CHANNEL = re.compile(r"[A-Za-z0-9.\-_]+")
VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
MAX_RUNTIME = 28 * 24 * 3600

Check = Callable[[Mapping[str, Any]], Iterator[str]]


def check_request(request: Mapping[str, Any]) -> None:
    """Check a CreateTrainingJob request as far as both the service and a rehearsal need it.

    ``RoleArn``, ``TrainingImage`` and ``OutputDataConfig`` may be missing: a rehearsal does without.

    Raises:
        ConfigError: one or more limits are exceeded; the message names each field, its limit and the value.
    """
    problems = problems_of(request)
    if problems:
        raise ConfigError(
            "\n  ".join([f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", *problems]),
            where="the training job request",
            remedy="change the fields named above; the limits are those of CreateTrainingJob",
        )


def problems_of(request: Mapping[str, Any]) -> List[str]:
    """What :func:`check_request` complains of, one line each."""
    return [line for check in _CHECKS for line in check(request)]


def _name(request: Mapping[str, Any]) -> Iterator[str]:
    name = request.get("TrainingJobName")
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > MAX_NAME:
        yield f"TrainingJobName: 1 to {MAX_NAME} letters, digits and inner hyphens, not {shown(name)}"


def _hyperparameters(request: Mapping[str, Any]) -> Iterator[str]:
    values = request.get("HyperParameters")
    yield from _strings("HyperParameters", values, 100, 256, 2500)


def _environment(request: Mapping[str, Any]) -> Iterator[str]:
    values = request.get("Environment")
    yield from _strings("Environment", values, 100, 512, 512)
    for key in values if isinstance(values, Mapping) else ():
        if not VARIABLE.fullmatch(str(key)):
            yield f"Environment: a name is letters, digits and underscores and begins with no digit, not {shown(key)}"


def _strings(field: str, values: Any, count: int, key_length: int, value_length: int) -> Iterator[str]:
    if values is None:
        return
    if not isinstance(values, Mapping):
        yield f"{field}: must be a map of strings, not {type(values).__name__}"
        return
    if len(values) > count:
        yield f"{field}: at most {count} entries, not {len(values)}"
    for key, value in values.items():
        if len(str(key)) > key_length:
            yield f"{field}: a key has at most {key_length} characters, not {len(str(key))}: {shown(key)}"
        if not isinstance(value, str):
            yield f"{field}.{key}: must be a string, not {type(value).__name__}"
        elif len(value) > value_length:
            yield f"{field}.{key}: at most {value_length:,} characters, not {len(value):,}"


def _algorithm(request: Mapping[str, Any]) -> Iterator[str]:
    algorithm = request.get("AlgorithmSpecification") or {}
    image = algorithm.get("TrainingImage") or ""
    if len(image) > 255:
        yield f"AlgorithmSpecification.TrainingImage: at most 255 characters, not {len(image)}"
    for field in ("ContainerEntrypoint", "ContainerArguments"):
        words = algorithm.get(field)
        if words is None:
            continue
        if not 1 <= len(words) <= 100:
            yield f"AlgorithmSpecification.{field}: 1 to 100 words, not {len(words)}"
        for word in words:
            if len(word) > 256:
                yield f"AlgorithmSpecification.{field}: a word has at most 256 characters, not {len(word)}: {shown(word)}"
    metrics = algorithm.get("MetricDefinitions") or ()
    if len(metrics) > 40:
        yield f"AlgorithmSpecification.MetricDefinitions: at most 40, not {len(metrics)}"
    for metric in metrics:
        if len(metric.get("Regex", "")) > 500:
            yield f"AlgorithmSpecification.MetricDefinitions.{metric.get('Name')}: Regex has at most 500 characters"


def _channels(request: Mapping[str, Any]) -> Iterator[str]:
    channels = request.get("InputDataConfig")
    if channels is None:
        return
    if not 1 <= len(channels) <= 20:
        yield f"InputDataConfig: 1 to 20 channels, not {len(channels)}"
    names = [channel.get("ChannelName") for channel in channels]
    for name in names:
        if not isinstance(name, str) or not CHANNEL.fullmatch(name) or len(name) > 64 or set(name) == {"."}:
            yield f"InputDataConfig.ChannelName: 1 to 64 letters, digits, dots, hyphens and underscores, not {shown(name)}"
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        yield f"InputDataConfig.ChannelName: {name} is given {names.count(name)} times"
    for channel in channels:
        uri = ((channel.get("DataSource") or {}).get("S3DataSource") or {}).get("S3Uri") or ""
        if len(uri) > 1024:
            yield f"InputDataConfig.{channel.get('ChannelName')}.S3Uri: at most 1,024 characters, not {len(uri):,}"


def _resources(request: Mapping[str, Any]) -> Iterator[str]:
    resources = request.get("ResourceConfig")
    if not isinstance(resources, Mapping):
        yield f"ResourceConfig: must give InstanceCount and InstanceType, or InstanceGroups; not {shown(resources)}"
        return
    groups: Sequence[Mapping[str, Any]] = resources.get("InstanceGroups") or ()
    if len(groups) > 5:
        yield f"ResourceConfig.InstanceGroups: at most 5, not {len(groups)}"
    for group in groups:
        name = group.get("InstanceGroupName")
        if not 1 <= len(str(name or "")) <= 64:
            yield f"ResourceConfig.InstanceGroups.InstanceGroupName: 1 to 64 characters, not {shown(name)}"
        yield from _count("ResourceConfig.InstanceGroups.InstanceCount", group.get("InstanceCount"))
    if groups and (resources.get("InstanceCount") or resources.get("InstanceType")):
        yield "ResourceConfig: InstanceGroups stand instead of InstanceCount and InstanceType, not beside them"
    if not groups:
        yield from _count("ResourceConfig.InstanceCount", resources.get("InstanceCount"))
    keep = resources.get("KeepAlivePeriodInSeconds")
    if keep is not None and not 0 <= keep <= 21600:
        yield f"ResourceConfig.KeepAlivePeriodInSeconds: 0 to 21,600, not {shown(keep)}"


def _count(field: str, count: Any) -> Iterator[str]:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        yield f"{field}: a whole number from 1, not {shown(count)}"


def _stopping(request: Mapping[str, Any]) -> Iterator[str]:
    stopping = request.get("StoppingCondition") or {}
    seconds = stopping.get("MaxRuntimeInSeconds")
    if seconds is not None and (not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= MAX_RUNTIME):
        yield f"StoppingCondition.MaxRuntimeInSeconds: 1 to {MAX_RUNTIME:,} (28 days), not {shown(seconds)}"
    wait: Optional[Any] = stopping.get("MaxWaitTimeInSeconds")
    if isinstance(wait, int) and isinstance(seconds, int) and wait < seconds:
        yield f"StoppingCondition.MaxWaitTimeInSeconds: at least MaxRuntimeInSeconds ({seconds:,}), not {wait:,}"


def _checkpoints(request: Mapping[str, Any]) -> Iterator[str]:
    config = request.get("CheckpointConfig")
    if config is None:
        return
    uri, path = (config.get("S3Uri"), config.get("LocalPath")) if isinstance(config, Mapping) else (None, None)
    if not isinstance(uri, str) or not uri or len(uri) > 1024:
        yield f"CheckpointConfig.S3Uri: 1 to 1,024 characters, not {shown(uri)}"
    if path is not None and (not isinstance(path, str) or not path.startswith("/") or len(path) > 4096):
        yield f"CheckpointConfig.LocalPath: an absolute path of at most 4,096 characters, not {shown(path)}"


def _rest(request: Mapping[str, Any]) -> Iterator[str]:
    role = request.get("RoleArn")
    if role is not None and not 20 <= len(role) <= 2048:
        yield f"RoleArn: 20 to 2,048 characters, not {len(role)}"
    if len(request.get("Tags") or ()) > 50:
        yield f"Tags: at most 50, not {len(request['Tags'])}"
    vpc = request.get("VpcConfig")
    if vpc is not None:
        for field, most in (("SecurityGroupIds", 5), ("Subnets", 16)):
            if not 1 <= len(vpc.get(field) or ()) <= most:
                yield f"VpcConfig.{field}: 1 to {most}, not {len(vpc.get(field) or ())}"
    retry = (request.get("RetryStrategy") or {}).get("MaximumRetryAttempts")
    if retry is not None and not 1 <= retry <= 30:
        yield f"RetryStrategy.MaximumRetryAttempts: 1 to 30, not {shown(retry)}"


_CHECKS: Sequence[Check] = (
    _name,
    _algorithm,
    _hyperparameters,
    _environment,
    _channels,
    _resources,
    _stopping,
    _checkpoints,
    _rest,
)


def shown(value: Any) -> str:
    """A value for a message: quoted, at most about 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:70]}… ({len(text):,} characters)"
