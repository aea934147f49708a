"""``--sm-estimator-parameters``: arguments of the SageMaker SDK's Estimator or Processor, as fields of a request; pure.

Source: GraphStorm's documentation, "Passing additional arguments to the SageMaker"; names and types are those of the SDK 2.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Tuple

from hvdsm.compose.mask import mask_mapping
from hvdsm.compose.problems import shown, suggestion
from hvdsm.errors import UsageError

OPTION = "--sm-estimator-parameters"
ESTIMATOR, PROCESSOR = "Estimator", "Processor"
_WHOLE, _SWITCH, _TEXT, _TEXTS, _MAPPING, _PAIRS, _METRICS = "int", "bool", "str", "list", "dict", "tags", "metrics"


@dataclass(frozen=True)
class _Field:
    """The type of an argument, and the path of the field that it is."""

    type: str
    path: Tuple[str, ...]


_KMS = "KmsKeyId"
_FIELDS: Mapping[str, Mapping[str, _Field]] = {
    ESTIMATOR: {
        "max_run": _Field(_WHOLE, ("StoppingCondition", "MaxRuntimeInSeconds")),
        "max_wait": _Field(_WHOLE, ("StoppingCondition", "MaxWaitTimeInSeconds")),
        "use_spot_instances": _Field(_SWITCH, ("EnableManagedSpotTraining",)),
        "max_retry_attempts": _Field(_WHOLE, ("RetryStrategy", "MaximumRetryAttempts")),
        "volume_size": _Field(_WHOLE, ("ResourceConfig", "VolumeSizeInGB")),
        "volume_kms_key": _Field(_TEXT, ("ResourceConfig", "VolumeKmsKeyId")),
        "keep_alive_period_in_seconds": _Field(_WHOLE, ("ResourceConfig", "KeepAlivePeriodInSeconds")),
        "output_kms_key": _Field(_TEXT, ("OutputDataConfig", _KMS)),
        "subnets": _Field(_TEXTS, ("VpcConfig", "Subnets")),
        "security_group_ids": _Field(_TEXTS, ("VpcConfig", "SecurityGroupIds")),
        "encrypt_inter_container_traffic": _Field(_SWITCH, ("EnableInterContainerTrafficEncryption",)),
        "enable_network_isolation": _Field(_SWITCH, ("EnableNetworkIsolation",)),
        "enable_infra_check": _Field(_SWITCH, ("InfraCheckConfig", "EnableInfraCheck")),
        "enable_remote_debug": _Field(_SWITCH, ("RemoteDebugConfig", "EnableRemoteDebug")),
        "enable_session_tag_chaining": _Field(_SWITCH, ("SessionChainingConfig", "EnableSessionTagChaining")),
        "enable_sagemaker_metrics": _Field(_SWITCH, ("AlgorithmSpecification", "EnableSageMakerMetricsTimeSeries")),
        "environment": _Field(_MAPPING, ("Environment",)),
        "tags": _Field(_PAIRS, ("Tags",)),
        "metric_definitions": _Field(_METRICS, ("AlgorithmSpecification", "MetricDefinitions")),
        "input_mode": _Field(_TEXT, ("AlgorithmSpecification", "TrainingInputMode")),
        "checkpoint_s3_uri": _Field(_TEXT, ("CheckpointConfig", "S3Uri")),
        "checkpoint_local_path": _Field(_TEXT, ("CheckpointConfig", "LocalPath")),
    },
    PROCESSOR: {
        "max_runtime_in_seconds": _Field(_WHOLE, ("StoppingCondition", "MaxRuntimeInSeconds")),
        "volume_size_in_gb": _Field(_WHOLE, ("ProcessingResources", "ClusterConfig", "VolumeSizeInGB")),
        "volume_kms_key": _Field(_TEXT, ("ProcessingResources", "ClusterConfig", "VolumeKmsKeyId")),
        "output_kms_key": _Field(_TEXT, ("ProcessingOutputConfig", _KMS)),
        "env": _Field(_MAPPING, ("Environment",)),
        "tags": _Field(_PAIRS, ("Tags",)),
    },
}
# What the job's own options say, by the option to change.
_OWN: Mapping[str, str] = {
    "image_uri": "--image-url",
    "role": "--role",
    "instance_count": "--instance-count",
    "instance_type": "--instance-type",
    "output_path": "--model-artifact-s3",
    "entry_point": "--entry-point",
    "source_dir": "--entry-point",
    "hyperparameters": "the arguments for GraphStorm",
    "base_job_name": "--task-name",
    "sagemaker_session": "--region",
    "disable_output_compression": "",
    "debugger_hook_config": "",
    "disable_profiler": "",
    "entrypoint": "",
    "code_location": "--s3-prefix",
    "container_log_level": "--log-level",
    "network_config": "--subnet, --security-group, --encrypt-traffic and --network-isolation",
}
# Arguments of a launch that say the same.
SAME: Mapping[str, Tuple[str, ...]] = {
    "max_run": ("max_run",),
    "max_runtime_in_seconds": ("max_run",),
    "max_wait": ("max_wait",),
    "use_spot_instances": ("spot",),
    "max_retry_attempts": ("retries",),
    "volume_size": ("volume_size",),
    "volume_size_in_gb": ("volume_size",),
    "volume_kms_key": ("volume_kms_key",),
    "output_kms_key": ("output_kms_key",),
    "keep_alive_period_in_seconds": ("keep_alive",),
    "subnets": ("subnets", "vpc_stack", "zone"),
    "security_group_ids": ("security_groups", "vpc_stack"),
    "encrypt_inter_container_traffic": ("encrypt_traffic",),
    "enable_network_isolation": ("network_isolation",),
    "metric_definitions": ("metrics",),
    "input_mode": ("input_mode",),
}
_REPEATABLE = ("subnets", "security_groups", "metrics")
_HERE_AND_THERE = {
    "max_run": "max_runtime_in_seconds",
    "volume_size": "volume_size_in_gb",
    "environment": "env",
    "max_runtime_in_seconds": "max_run",
    "volume_size_in_gb": "volume_size",
    "env": "environment",
}
_CLOSING = {"[": "]", "(": ")", "{": "}"}


def parse_parameters(text: str, kind: str = ESTIMATOR) -> Dict[str, Any]:
    """The values by their names.

    Words are separated by any blanks; quotes and brackets hold them together.  A value is a Python literal, and a bare word is
    text.

    Args:
        text: such as ``max_run=3600 subnets=['subnet-1234', 'subnet-4567']``; it may be empty.
        kind: ``Estimator`` or ``Processor``.

    Raises:
        UsageError: a word has no equals sign, a name is unknown, given twice or set otherwise, or a value has another type.
    """
    found: Dict[str, Any] = {}
    for word in _words(text):
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"must be NAME=VALUE, not {shown(word)}", where=OPTION, remedy='"max_run=3600 volume_size=100"')
        if name in found:
            raise UsageError(f"{name} is given twice", where=OPTION, remedy="leave one of them out")
        found[name] = _checked(name, _value(name, value), kind)
    # As with the SDK, None is what is not given.
    return {name: value for name, value in found.items() if value is not None}


def check_same(values: Mapping[str, Any], given: Callable[[str], bool]) -> None:
    """Refuse what an argument of the launch says, too.

    Args:
        values: as :func:`parse_parameters` gives them.
        given: whether an argument of the launch was given.

    Raises:
        UsageError: something is said twice.
    """
    for name in values:
        for argument in SAME.get(name, ()):
            if given(argument):
                option = argument[:-1] if argument in _REPEATABLE else argument
                raise UsageError(
                    f"--{option.replace('_', '-')} says it, too", where=f"{OPTION}: {name}", remedy="leave out one of them"
                )


def with_network(values: Mapping[str, Any]) -> Tuple[Dict[str, Any], Tuple[str, ...]]:
    """The values without half a network, as the SDK leaves it out, and what is to be said of that.

    The service takes subnets and security groups together or not at all; the guide of GraphStorm names subnets alone.
    """
    pair = ("subnets", "security_group_ids")
    found, warnings = dict(values), []
    for name, other in (pair, pair[::-1]):
        if name in values and other not in values:
            del found[name]
            warnings.append(f"{name} without {other} is left out: THE JOB IS NOT IN YOUR VPC; add {other}=[…] to {OPTION}")
    return found, tuple(warnings)


def shown_parameters(values: Mapping[str, Any]) -> str:
    """The values for people, without secrets."""
    told = {name: mask_mapping(value) if isinstance(value, dict) else value for name, value in values.items()}
    return " ".join(f"{name}={value!r}" for name, value in told.items())


def with_parameters(request: Mapping[str, Any], values: Mapping[str, Any], kind: str = ESTIMATOR) -> Dict[str, Any]:
    """A request with the fields that the values are."""
    changed: Dict[str, Any] = dict(request)
    for name, value in values.items():
        *folders, last = _FIELDS[kind][name].path
        place = changed
        for folder in folders:
            place[folder] = dict(place.get(folder) or {})
            place = place[folder]
        before = place.get(last)
        if name == "tags":
            place[last] = with_tags(before or (), value)
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            place[last] = {**before, **value}
        else:
            place[last] = value
    return changed


def _words(text: str) -> List[str]:
    words: List[str] = []
    word, quote, expected = "", "", ""
    escaped = False
    for letter in text:
        if quote:
            quote = quote if escaped or letter != quote else ""
            escaped = letter == "\\" and not escaped
        elif letter in "'\"":
            quote = letter
        elif letter in _CLOSING:
            expected += _CLOSING[letter]
        elif expected and letter == expected[-1]:
            expected = expected[:-1]
        elif letter.isspace() and not expected:
            if word:
                words.append(word)
            word = ""
            continue
        word += letter
    if quote or expected:
        missing = quote or expected[-1]
        raise UsageError(f"{shown(word)} has no closing {missing}", where=OPTION, remedy=f"add {missing}")
    return [*words, word] if word else words


def _value(name: str, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    if text and text[0] not in "'\"[({" and not any(letter.isspace() for letter in text):
        return text
    raise UsageError(
        f"{shown(text)} is no Python literal" if text else "has no value",
        where=f"{OPTION}: {name}",
        remedy="a number, True or False, or a text in quotes",
    )


def _checked(name: str, value: Any, kind: str) -> Any:
    known = _FIELDS[kind]
    where = f"{OPTION}: {name}"
    if name in _OWN:
        option = _OWN[name]
        raise UsageError("is set by hvdsm itself", where=where, remedy=f"use {option}" if option else "leave it out")
    if name not in known:
        other = _HERE_AND_THERE.get(name)
        hint = f": there it is {other}" if other in known else suggestion(name, list(known))
        raise UsageError(
            f"is no argument of the {kind} that is a field of the request{hint}",
            where=where,
            remedy=f"one of {', '.join(sorted(known))}; or --set PATH=JSON for any field",
        )
    wanted = known[name].type
    if value is None:
        return None
    if not _fits(value, wanted):
        told = {_WHOLE: "a whole number", _SWITCH: "True or False", _TEXT: "a text", _TEXTS: "a list of texts"}
        told.update({_MAPPING: "a dict of texts", _PAIRS: "a dict, or a list of {'Key': …, 'Value': …}"})
        told[_METRICS] = "a list of {'Name': …, 'Regex': …}"
        raise UsageError(f"must be {told[wanted]}, not {shown(value)}", where=where, remedy=f"see the SDK's {kind}")
    return list(value) if wanted == _TEXTS else value


def _fits(value: Any, wanted: str) -> bool:
    if wanted == _WHOLE:
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted == _SWITCH:
        return isinstance(value, bool)
    if wanted == _TEXT:
        return isinstance(value, str)
    if wanted == _TEXTS:
        return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(entry, str) for entry in value)
    if wanted in (_MAPPING, _PAIRS) and isinstance(value, dict):
        return all(isinstance(word, str) for pair in value.items() for word in pair)
    names = {_PAIRS: {"Key", "Value"}, _METRICS: {"Name", "Regex"}}.get(wanted)
    return isinstance(value, list) and names is not None and all(isinstance(e, dict) and set(e) == names for e in value)


def with_tags(before: Any, value: Any) -> List[Dict[str, str]]:
    """Tags and further ones, a mapping or a list of the service's form; a key has the latter's value."""
    added = [{"Key": key, "Value": text} for key, text in value.items()] if isinstance(value, dict) else list(value)
    keys = {tag["Key"] for tag in added}
    return [*(tag for tag in before if tag["Key"] not in keys), *added]
