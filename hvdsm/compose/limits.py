"""The limits of CreateTrainingJob that a rehearsal checks as well, so that a request fails here and not in the cloud.

Source: the SageMaker API reference, "CreateTrainingJob" and the types it names.  A request that is sent to the service is
checked in full, against the service's own model (``hvdsm.aws.shapes``); here the standard library must do.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from hvdsm.compose.fields import well_typed
from hvdsm.compose.problems import MISSING, Path, Problem, bounds_problem, path_text, shown, standing, told
from hvdsm.compose.rules_run import MAX_RUNTIME, RUN_RULES, Rule, broken
from hvdsm.errors import ConfigError

__all__ = [
    "CHANNEL",
    "LIMITS",
    "MAX_NAME",
    "MAX_RUNTIME",
    "NAME",
    "VARIABLE",
    "check_request",
    "check_types",
    "problems_of",
    "refuse",
    "shown",
]

NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
# More hosts than any job has; lists of them must fit into memory.
MAX_HOSTS = 10_000
MAX_NAME = 63
CHANNEL = re.compile(r"[A-Za-z0-9.\-_]+")
MOST_TOLD = 50
VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

# Least and greatest length of a string, list or map, or of a number itself; [] is every entry, {} every value, {key} every key.
LIMITS: Mapping[str, Tuple[Optional[int], Optional[int]]] = {
    "HyperParameters": (0, 100),
    "HyperParameters{key}": (0, 256),
    "HyperParameters{}": (0, 2500),
    "Environment": (0, 100),
    "Environment{key}": (0, 512),
    "Environment{}": (0, 512),
    "AlgorithmSpecification.TrainingImage": (0, 255),
    "AlgorithmSpecification.ContainerEntrypoint": (1, 100),
    "AlgorithmSpecification.ContainerEntrypoint[]": (0, 256),
    "AlgorithmSpecification.ContainerArguments": (1, 100),
    "AlgorithmSpecification.ContainerArguments[]": (0, 256),
    "AlgorithmSpecification.MetricDefinitions": (0, 40),
    "AlgorithmSpecification.MetricDefinitions[].Name": (1, 255),
    "AlgorithmSpecification.MetricDefinitions[].Regex": (1, 500),
    "InputDataConfig": (1, 20),
    "InputDataConfig[].ChannelName": (1, 64),
    "InputDataConfig[].DataSource.S3DataSource.S3Uri": (0, 1024),
    "InputDataConfig[].DataSource.FileSystemDataSource.DirectoryPath": (0, 4096),
    "OutputDataConfig.S3OutputPath": (0, 1024),
    "ResourceConfig.InstanceGroups": (0, 5),
    "ResourceConfig.InstanceGroups[].InstanceGroupName": (1, 64),
    "ResourceConfig.KeepAlivePeriodInSeconds": (0, 21600),
    "StoppingCondition.MaxRuntimeInSeconds": (1, None),
    "StoppingCondition.MaxWaitTimeInSeconds": (1, None),
    "CheckpointConfig.S3Uri": (0, 1024),
    "CheckpointConfig.LocalPath": (0, 4096),
    "RoleArn": (20, 2048),
    "Tags": (0, 50),
    "VpcConfig.SecurityGroupIds": (1, 5),
    "VpcConfig.Subnets": (1, 16),
    "RetryStrategy.MaximumRetryAttempts": (1, 30),
}


def check_request(request: Any) -> None:
    """Check a CreateTrainingJob request as far as both the service and a rehearsal need it.

    ``RoleArn``, ``TrainingImage`` and ``OutputDataConfig`` may be missing: a rehearsal does without.

    Args:
        request: what a JSON file may hold; any of its fields may have any type.

    Raises:
        ConfigError: one or more limits are exceeded; the message names each field, its limit and the value.
    """
    refuse(problems_of(request))


def check_types(request: Any) -> None:
    """Check only that each field of a request has its type, so that a request just read can be changed without surprise.

    Raises:
        ConfigError: a field has another type, an object or list in place of the other included.
    """
    refuse([str(problem) for problem in well_typed(request)[1]])


def refuse(problems: Sequence[str]) -> None:
    """Raise ConfigError with the problems, if there are any; of very many, the first."""
    if problems:
        more = [f"and {len(problems) - MOST_TOLD:,} more"] if len(problems) > MOST_TOLD else []
        raise ConfigError(
            "\n  ".join([f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}", *problems[:MOST_TOLD], *more]),
            where="the training job request",
            remedy="change the fields named above; the limits are those of CreateTrainingJob",
        )


def problems_of(request: Any) -> List[str]:
    """What :func:`check_request` complains of, one line each."""
    typed, wrong = well_typed(request)
    found = [*_bounds(typed, typed, (), ""), *broken(typed, (*_CHECKS, *RUN_RULES))]
    return [str(problem) for problem in (*wrong, *standing(found, wrong))]


def _bounds(root: Any, value: Any, path: Path, kind: str) -> Iterator[Problem]:
    """Every value below ``value`` that is beyond its entry of LIMITS; ``kind`` is the key there."""
    if kind in LIMITS:
        text = bounds_problem(value, *LIMITS[kind], told(root, path, value))
        if text:
            yield Problem(path_text(path), text)
    if isinstance(value, str) and not _encodable(value):
        yield Problem(path_text(path), f"must be Unicode text, not one with half a surrogate pair: {told(root, path, value)}")
    if isinstance(value, Mapping):
        is_map = f"{kind}{{}}" in LIMITS
        for name, entry in value.items():
            if is_map:
                text = bounds_problem(name, *LIMITS[f"{kind}{{key}}"], shown(name))
                if text:
                    yield Problem(path_text(path), f"a key has {text}")
                if not _encodable(name):
                    yield Problem(path_text(path), f"a key must be Unicode text, not {shown(name)}")
            inner = f"{kind}{{}}" if is_map else f"{kind}.{name}" if kind else name
            yield from _bounds(root, entry, (*path, name), inner)
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _bounds(root, entry, (*path, index), f"{kind}[]")


def _encodable(text: str) -> bool:
    """Whether a text can stand in a file or an environment; bytes that are no UTF-8 can, as Python holds them."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _name(request: Mapping[str, Any]) -> Iterator[Problem]:
    name = request.get("TrainingJobName")
    if name is None or not NAME.fullmatch(name[: MAX_NAME + 1]) or len(name) > MAX_NAME:
        yield Problem("TrainingJobName", f"1 to {MAX_NAME} letters, digits and inner hyphens, not {shown(name)}")


def _variables(request: Mapping[str, Any]) -> Iterator[Problem]:
    for name in request.get("Environment") or ():
        if not VARIABLE.fullmatch(name):
            text = f"a name is letters, digits and underscores and begins with no digit, not {shown(name)}"
            yield Problem("Environment", text)


def _channels(request: Mapping[str, Any]) -> Iterator[Problem]:
    for index, channel in enumerate(request.get("InputDataConfig") or ()):
        name = channel.get("ChannelName")
        # The name becomes a directory: one of dots only would be another one.
        if name is None or (name and not CHANNEL.fullmatch(name)) or set(name) == {"."}:
            text = f"1 to 64 letters, digits, dots, hyphens and underscores, not {shown(name)}"
            yield Problem(f"InputDataConfig[{index}].ChannelName", text)
        source = (channel.get("DataSource") or {}).get("S3DataSource")
        if source is not None and not source.get("S3Uri"):
            yield Problem(f"InputDataConfig[{index}].DataSource.S3DataSource.S3Uri", f"{MISSING}: 1 to 1,024 characters")


def _hosts(request: Mapping[str, Any]) -> Iterator[Problem]:
    resources = request.get("ResourceConfig")
    if resources is None:
        yield Problem("ResourceConfig", f"{MISSING}: InstanceCount and InstanceType, or InstanceGroups")
        return
    groups = resources.get("InstanceGroups") or ()
    for index, group in enumerate(groups):
        path = f"ResourceConfig.InstanceGroups[{index}]"
        if group.get("InstanceGroupName") is None:
            yield Problem(f"{path}.InstanceGroupName", MISSING)
        yield from _count(f"{path}.InstanceCount", group.get("InstanceCount"))
    if not groups:
        yield from _count("ResourceConfig.InstanceCount", resources.get("InstanceCount"))


def _count(path: str, count: Optional[int]) -> Iterator[Problem]:
    if count is None or count < 1:
        yield Problem(path, f"a whole number from 1, not {shown(count)}")
    elif count > MAX_HOSTS:
        yield Problem(path, f"at most {MAX_HOSTS:,}, which is what hvdsm can lead, not {shown(count)}")


def _checkpoints(request: Mapping[str, Any]) -> Iterator[Problem]:
    config = request.get("CheckpointConfig")
    if config is None:
        return
    if not config.get("S3Uri"):
        yield Problem("CheckpointConfig.S3Uri", f"{MISSING}: 1 to 1,024 characters")
    path = config.get("LocalPath")
    if path is not None and not path.startswith("/"):
        yield Problem("CheckpointConfig.LocalPath", f"must be an absolute path, not {shown(path)}")


_CHECKS: Sequence[Rule] = (_name, _variables, _channels, _hosts, _checkpoints)
