r"""The CreateTrainingJob request: made from the options of a launch, and the one description that back ends consume.

Hyperparameters are JSON-encoded strings, as the SageMaker SDK sends them (``"8"``, ``"true"``, ``"\"-x A=1\""``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import quote, unquote_to_bytes

from hvdsm.compose.arguments import pack_arguments
from hvdsm.compose.limits import MAX_NAME, MAX_RUNTIME, check_request, shown
from hvdsm.compose.options import parse_options
from hvdsm.compose.supervision import supervision_of
from hvdsm.errors import ConfigError, UsageError
from hvdsm.model import DISTRIBUTIONS, MPI, NONE, TORCH_DISTRIBUTED
from hvdsm.model.plan import PLAN_KEY

LOCAL_INSTANCE_TYPE = "local"
PROGRAM = "sagemaker_program"
SUBMIT_DIRECTORY = "sagemaker_submit_directory"
CHECKPOINTS = "/opt/ml/checkpoints"
PROCESSES_KEY = {
    MPI: "sagemaker_mpi_num_of_processes_per_host",
    TORCH_DISTRIBUTED: "sagemaker_hvdsm_processes_per_host",
}
_ENABLED_KEY = {MPI: "sagemaker_mpi_enabled", TORCH_DISTRIBUTED: "sagemaker_torch_distributed_enabled"}
# The service's default when a request gives no limit: one day.
DEFAULT_MAX_RUN = 86400


@dataclass(frozen=True)
class LaunchOptions:
    """What a launch asks for, before it becomes a request.

    Attributes:
        program: the entry point, relative to the source.
        source: URI of the source: ``file:///…`` or ``s3://…``; a directory, a tar.gz or the script alone.
        arguments: words after the script, passed to it verbatim.
        instance_count: number of hosts.
        processes_per_host: ranks on each host; None is the container's default (GPUs, else Neuron cores, else 1).
        custom_mpi_options: further words for mpirun, quoted as in a shell.
        hyperparameters: values that JSON can express.
        channels: URI of each input channel.
        environment: variables of the container.
        job_name: TrainingJobName; None makes one from the program and ``timestamp``.
        timestamp: ``2026-01-31-12-00-00-000``, ends a made job name.
        max_run: limit in seconds.
        distribution: ``mpi``, ``torch_distributed`` or ``none``.
        instance_type: type of every host; ``local`` where there is no instance.
        region: AWS region, when known.
        output: URI of the place for results.
        checkpoint: URI of the place that ``/opt/ml/checkpoints`` is kept in.
        hang_timeout: seconds without output and progress after which the job fails; None is no limit.
        max_restarts: how often the ranks are started again after a failure; None is the container's default, never.
        plan: steps and roles around the ranks: a JSON file's path in the source, or what JSON makes of it.
    """

    program: str
    source: str
    arguments: Tuple[str, ...] = ()
    instance_count: int = 1
    processes_per_host: Optional[int] = None
    custom_mpi_options: str = ""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    job_name: Optional[str] = None
    timestamp: str = ""
    max_run: Optional[int] = None
    distribution: str = MPI
    instance_type: str = LOCAL_INSTANCE_TYPE
    region: Optional[str] = None
    output: Optional[str] = None
    checkpoint: Optional[str] = None
    hang_timeout: Optional[float] = None
    max_restarts: Optional[int] = None
    plan: Any = None


def build_request(options: LaunchOptions) -> Dict[str, Any]:
    """The CreateTrainingJob request of a launch.

    Raises:
        UsageError: options contradict each other.
        ConfigError: a limit of the service is exceeded, or a hyperparameter is reserved.
        MpiError: the custom options cannot be read.
    """
    name = options.job_name if options.job_name is not None else make_job_name(options.program, options.timestamp)
    request: Dict[str, Any] = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "HyperParameters": hyperparameters_of(options, name),
        "ResourceConfig": {
            "InstanceCount": options.instance_count,
            "InstanceType": options.instance_type,
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": DEFAULT_MAX_RUN if options.max_run is None else options.max_run},
    }
    if options.channels:
        request["InputDataConfig"] = [channel_of(channel, uri) for channel, uri in options.channels.items()]
    if options.environment:
        request["Environment"] = dict(options.environment)
    if options.output:
        request["OutputDataConfig"] = {"S3OutputPath": options.output}
    if options.checkpoint:
        request["CheckpointConfig"] = {"S3Uri": options.checkpoint, "LocalPath": CHECKPOINTS}
    check_request(request)
    return request


def hyperparameters_of(options: LaunchOptions, job_name: str) -> Dict[str, str]:
    """All hyperparameters of the request as strings: the user's, JSON-encoded, and the reserved ones."""
    _check_distribution(options)
    reserved: Dict[str, Any] = {
        PROGRAM: options.program,
        SUBMIT_DIRECTORY: options.source,
        "sagemaker_job_name": job_name,
    }
    if options.region:
        reserved["sagemaker_region"] = options.region
    if options.distribution in _ENABLED_KEY:
        reserved[_ENABLED_KEY[options.distribution]] = True
        if options.processes_per_host is not None:
            reserved[PROCESSES_KEY[options.distribution]] = options.processes_per_host
    if options.custom_mpi_options:
        reserved["sagemaker_mpi_custom_mpi_options"] = options.custom_mpi_options
    reserved.update(supervision_of(options.hang_timeout, options.max_restarts))
    if options.plan is not None:
        reserved[PLAN_KEY] = options.plan
    encoded = {key: encode(key, value) for key, value in reserved.items()}
    encoded.update(pack_arguments(options.arguments))
    for key in options.hyperparameters:
        if key in encoded or key in _owned(options.distribution):
            raise ConfigError(
                f"the name is reserved: hvdsm sets it from the other options, so the value {shown(options.hyperparameters[key])} "
                "would be lost",
                where=f"hyperparameter {key}",
                remedy="choose another name, or use the option for it (see `hvdsm launch --help`)",
            )
    defaults = {"sagemaker_container_log_level": "20"}
    user = {key: encode(key, value) for key, value in options.hyperparameters.items()}
    return {**user, **{key: value for key, value in defaults.items() if key not in user}, **encoded}


def _owned(distribution: str) -> Tuple[str, ...]:
    """Reserved names that an option of hvdsm stands for, whether it was given or not."""
    switches = tuple(key for kind, key in _ENABLED_KEY.items() if kind != distribution)
    return (*switches, *PROCESSES_KEY.values(), "sagemaker_mpi_custom_mpi_options", "sagemaker_hvdsm_args", "sagemaker_region")


def _check_distribution(options: LaunchOptions) -> None:
    if options.distribution not in DISTRIBUTIONS:
        raise UsageError(f"must be one of {', '.join(DISTRIBUTIONS)}, not {shown(options.distribution)}", where="distribution")
    processes = options.processes_per_host
    if processes is not None and (not isinstance(processes, int) or isinstance(processes, bool) or processes < 1):
        raise UsageError(f"must be a whole number from 1, not {shown(processes)}", where="processes per host")
    if options.distribution == NONE and (processes or 1) > 1:
        raise UsageError(
            f"distribution none starts one process on each host, not {processes}",
            where="processes per host",
            remedy="use the distribution mpi or torch_distributed",
        )
    if options.custom_mpi_options and options.distribution != MPI:
        raise UsageError(f"mean nothing to the distribution {options.distribution}", where="custom MPI options")
    parse_options(options.custom_mpi_options)


def encode(key: str, value: Any) -> str:
    """A hyperparameter's value as the SDK sends it.

    Raises:
        ConfigError: JSON cannot express the value.
    """
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"JSON cannot express the value {shown(value)} ({error})", where=f"hyperparameter {key}", remedy="pass it as a string"
        ) from None


def parse_hyperparameter(value: str) -> Any:
    """The value that a text stands for: JSON when it parses, else the text itself.

    ``NaN`` and ``Infinity`` are no JSON and stay text; so do numbers that Python would not read back.

    >>> [parse_hyperparameter(text) for text in ("1e-3", "true", "abc", "[1, 2]", "NaN", "")]
    [0.001, True, 'abc', [1, 2], 'NaN', '']
    """
    try:
        return json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def split_assignment(text: str, option: str) -> Tuple[str, str]:
    """``k=v`` at its first equals sign.

    Raises:
        UsageError: there is none, or nothing before it.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"must be NAME=VALUE, not {shown(text)}", where=option)
    return name, value


def make_job_name(program: str, timestamp: str) -> str:
    """A job name by the service's pattern: the program's name and a timestamp, at most 63 characters."""
    stem = program.rsplit("/", 1)[-1]
    stem = stem.rsplit(".", 1)[0] or stem
    room = MAX_NAME - len(timestamp) - 1
    stem = re.sub(r"[^a-zA-Z0-9]+", "-", stem).strip("-")[:room].strip("-") or "job"
    return f"{stem}-{timestamp}".strip("-")


def channel_of(name: str, uri: str) -> Dict[str, Any]:
    """An entry of InputDataConfig: all of a prefix on every host, as files."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def changed_request(
    request: Mapping[str, Any],
    *,
    job_name: Optional[str] = None,
    channels: Optional[Mapping[str, str]] = None,
    environment: Optional[Mapping[str, str]] = None,
    hyperparameters: Optional[Mapping[str, Any]] = None,
    max_run: Optional[int] = None,
    checkpoint: Optional[str] = None,
    hang_timeout: Optional[float] = None,
    max_restarts: Optional[int] = None,
    plan: Any = None,
) -> Dict[str, Any]:
    """A request made elsewhere with another name, channels, variables, hyperparameters, limits, plan or place for checkpoints.

    A channel keeps its other fields and gets another place; one that the request does not name is added.  So do checkpoints
    keep their path in the container.
    """
    changed = dict(request)
    if job_name is not None:
        changed["TrainingJobName"] = job_name
        reserved = dict(changed.get("HyperParameters") or {})
        if "sagemaker_job_name" in reserved:
            changed["HyperParameters"] = {**reserved, "sagemaker_job_name": json.dumps(job_name)}
    if channels:
        changed["InputDataConfig"] = _changed_channels(changed.get("InputDataConfig") or (), channels)
    if environment:
        changed["Environment"] = {**(changed.get("Environment") or {}), **environment}
    if checkpoint is not None:
        old = changed.get("CheckpointConfig") or {}
        changed["CheckpointConfig"] = {"LocalPath": CHECKPOINTS, **old, "S3Uri": checkpoint}
    hyperparameters = {**(hyperparameters or {}), **supervision_of(hang_timeout, max_restarts)}
    if plan is not None:
        hyperparameters[PLAN_KEY] = plan
    if hyperparameters:
        encoded = {key: encode(key, value) for key, value in hyperparameters.items()}
        changed["HyperParameters"] = {**(changed.get("HyperParameters") or {}), **encoded}
    if max_run is not None:
        changed["StoppingCondition"] = {**(changed.get("StoppingCondition") or {}), "MaxRuntimeInSeconds": max_run}
    return changed


def _changed_channels(entries: Any, channels: Mapping[str, str]) -> List[Dict[str, Any]]:
    changed = []
    for entry in entries:
        uri = channels.get(entry.get("ChannelName"))
        if uri is None:
            changed.append(dict(entry))
            continue
        old = (entry.get("DataSource") or {}).get("S3DataSource") or {}
        kept = {k: v for k, v in old.items() if k == "S3DataDistributionType"}
        fresh = channel_of(entry["ChannelName"], uri)["DataSource"]["S3DataSource"]
        # Another place holds plain files: how the old one was compressed or streamed does not matter there.
        rest = {k: v for k, v in entry.items() if k not in ("CompressionType", "InputMode")}
        changed.append({**rest, "InputMode": "File", "DataSource": {"S3DataSource": {**fresh, **kept}}})
    known = {entry.get("ChannelName") for entry in entries}
    return changed + [channel_of(name, uri) for name, uri in channels.items() if name not in known]


def max_run_of(request: Mapping[str, Any]) -> int:
    """The job's limit in seconds."""
    return int((request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds") or min(DEFAULT_MAX_RUN, MAX_RUNTIME))


def file_uri(path: str) -> str:
    """``file:///…`` of an absolute path, percent-quoted; any bytes that a path may have survive."""
    return "file://" + quote(path.encode("utf-8", "surrogateescape"))


def file_path(uri: str) -> str:
    """The path of a ``file://`` URI, the inverse of :func:`file_uri`.

    Raises:
        ConfigError: the URI names another machine.
    """
    rest = uri[len("file://") :]
    if rest.startswith("localhost/"):
        rest = rest[len("localhost") :]
    if not uri.startswith("file://") or not rest.startswith("/"):
        raise ConfigError("must be file:///PATH with an absolute path", where=uri)
    return unquote_to_bytes(rest).decode("utf-8", "surrogateescape")
