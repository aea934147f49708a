"""Reads what the platform wrote: ``/opt/ml/input/config/*.json`` and the container's environment."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

import hvdsm
from hvdsm.compose.arguments import is_packed_key, unpack_arguments
from hvdsm.compose.environment import Paths
from hvdsm.container.handover import Handover
from hvdsm.container.reserved import distribution, distribution_groups, supervision
from hvdsm.errors import ConfigError
from hvdsm.model import NONE, Cluster, InstanceGroup, RoleProcess, TrainingJob
from hvdsm.model.plan import PLAN_KEY

# SageMaker kills the container 120 s after SIGTERM (StopTrainingJob); the rest is for the job's end on all hosts and its outcome.
STOP_GRACE = 105.0
# What `hvdsm launch --backend sagemaker` calls the channel that brings this program, and its file there.
OWN_CHANNEL, OWN_FILE = "hvdsm", "hvdsm.pyz"


@dataclass(frozen=True)
class ContainerConfig:
    """Everything that this host was told: paths, cluster, job, and the raw documents.

    A framework function may replace the script's ``arguments``, add ``variables`` to the environment of ranks, and ask for
    ``roles``: processes of this host beside the ranks.  ``ready`` says that another program has prepared the source: the entry
    point is run as it is, and nothing is installed.
    """

    paths: Paths
    cluster: Cluster
    job: TrainingJob
    resource_config: Mapping[str, Any]
    input_data_config: Mapping[str, Any]
    log_level: Any
    framework_module: Optional[str]
    arguments: Optional[Tuple[str, ...]] = None
    variables: Mapping[str, str] = field(default_factory=dict)
    roles: Tuple[RoleProcess, ...] = ()
    ready: bool = False

    @property
    def planned(self) -> bool:
        """Whether the job has a plan of steps and roles."""
        return self.job.reserved.get(PLAN_KEY) not in (None, "")

    @property
    def independent(self) -> bool:
        """Whether the hosts do not wait for each other."""
        return self.job.distribution.kind == NONE and not self.planned


@dataclass(frozen=True)
class Settings:
    """hvdsm's own settings, from ``HVDSM_*`` variables; times are in seconds."""

    rehearsal: bool = False
    outcome_file: Optional[str] = None
    token: str = ""
    mpirun: Optional[str] = None
    stop_grace: float = STOP_GRACE
    rendezvous_port: int = 7470
    rendezvous_timeout: float = 600.0
    launch_timeout: float = 300.0
    host_loss: float = 15.0
    stragglers: float = 60.0


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of ``HVDSM_*`` variables.

    Raises:
        ConfigError: a number cannot be read.
    """

    def number(name: str, default: float) -> float:
        text = environ.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise ConfigError(f"not a number of 0 or more: {text!r}", where=name, remedy=f"give a number, or unset {name}")
        return value

    port = number("HVDSM_RENDEZVOUS_PORT", 7470)
    if port != int(port) or not 1 <= port <= 65535:
        raise ConfigError(f"not a TCP port: {port:g}", where="HVDSM_RENDEZVOUS_PORT", remedy="give a number from 1 to 65535")
    return Settings(
        rehearsal=environ.get("HVDSM_REHEARSAL", "") not in ("", "0"),
        outcome_file=environ.get("HVDSM_OUTCOME_FILE") or None,
        token=environ.get("HVDSM_JOB_TOKEN", ""),
        mpirun=environ.get("HVDSM_MPIRUN") or None,
        stop_grace=number("HVDSM_STOP_GRACE", STOP_GRACE),
        rendezvous_port=int(port),
        rendezvous_timeout=number("HVDSM_RENDEZVOUS_TIMEOUT", 600.0),
        launch_timeout=number("HVDSM_LAUNCH_TIMEOUT", 300.0),
        host_loss=number("HVDSM_HOST_LOSS_SECONDS", 15.0),
        stragglers=number("HVDSM_STRAGGLER_SECONDS", 60.0),
    )


def outcome_line(environ: Mapping[str, str]) -> bool:
    """Whether the launcher ends its log with the outcome: as ``HVDSM_OUTCOME_LINE`` says, else everywhere but in a rehearsal."""
    asked = environ.get("HVDSM_OUTCOME_LINE", "")
    return asked != "0" if asked else environ.get("HVDSM_REHEARSAL", "") in ("", "0")


def read_config(
    paths: Paths, environ: Mapping[str, str], *, require_program: bool = True, handover: Optional[Handover] = None
) -> ContainerConfig:
    """The configuration of this host; a framework function does without a program (``require_program=False``).

    Raises:
        ConfigError: a file is missing or cannot be read, or a hyperparameter is wrong.
    """
    resource = _load(f"{paths.config}/resourceconfig.json", required=True)
    raw = read_hyperparameters(paths, handover)
    inputs = _load(f"{paths.config}/inputdataconfig.json", required=False)
    own = own_channel(paths.channel(""), hvdsm.__file__)
    inputs = {name: channel for name, channel in inputs.items() if name != own}
    decoded = {key: value if is_packed_key(key) else decode(value) for key, value in raw.items()}
    reserved = {key: value for key, value in decoded.items() if key.startswith("sagemaker_")}
    named = None if handover else environ.get("SAGEMAKER_PROGRAM")
    program = str(named or reserved.get("sagemaker_program") or "")
    if require_program and not program and not reserved.get(PLAN_KEY):
        raise ConfigError(
            "no entry point is named",
            where="hyperparameter sagemaker_program or variable SAGEMAKER_PROGRAM",
            remedy="set one of them to the script's name, for example train.py",
        )
    try:
        extra = unpack_arguments({key: str(value) for key, value in raw.items()})
    except ValueError as error:
        raise ConfigError(str(error), where="hyperparameter sagemaker_hvdsm_args") from None
    job = TrainingJob(
        name=str(environ.get("TRAINING_JOB_NAME") or reserved.get("sagemaker_job_name") or "training-job"),
        program=program,
        distribution=distribution(reserved, framework=not require_program),
        hyperparameters={key: value for key, value in decoded.items() if key not in reserved},
        reserved=reserved,
        channels=tuple(sorted(inputs)),
        extra_arguments=extra,
        submit_directory=_optional(reserved.get("sagemaker_submit_directory")),
        supervision=supervision(reserved),
    )
    level = reserved.get("sagemaker_container_log_level")
    return ContainerConfig(
        paths=paths,
        cluster=_cluster(resource, f"{paths.config}/resourceconfig.json", distribution_groups(reserved)),
        job=job,
        resource_config=resource,
        input_data_config=inputs,
        log_level=20 if level in (None, "") else level,
        framework_module=environ.get("SAGEMAKER_TRAINING_MODULE"),
        **({} if handover is None else handover.config_fields()),
    )


def read_hyperparameters(paths: Paths, handover: Optional[Handover] = None) -> Dict[str, Any]:
    """The hyperparameters as the platform wrote them, and those of a handover in their place.

    Raises:
        ConfigError: the file cannot be read.
    """
    raw = _load(f"{paths.config}/hyperparameters.json", required=False)
    return raw if handover is None else {**raw, **handover.reserved}


def own_channel(channels: str, file: str) -> Optional[str]:
    """The channel that brings this program and no data of the script's; None where there is none.

    Args:
        channels: directory of all channels, with a slash behind it.
        file: where this program runs from.
    """
    file = os.path.abspath(file)
    if not file.startswith(channels):
        # A rehearsal has the program that it runs in another place, beside the channel of the request.
        return OWN_CHANNEL if os.path.isfile(f"{channels}{OWN_CHANNEL}/{OWN_FILE}") else None
    name, _, inside = file[len(channels) :].partition("/")
    if name != OWN_CHANNEL:
        # One of another name may hold data too.
        with os.scandir(channels + name) as entries:
            if any(entry.name != inside.partition("/")[0] for entry in entries):
                return None
    return name


def launcher_here(paths: Paths, handover: Optional[Handover] = None) -> bool:
    """Whether this host is the launcher, as far as its configuration can be read; a host that has none to read is none."""
    try:
        resource = _load(f"{paths.config}/resourceconfig.json", required=True)
        cluster = _cluster(resource, "")
    except ConfigError:
        return False
    try:
        raw = read_hyperparameters(paths, handover)
        groups = distribution_groups({key: decode(value) for key, value in raw.items()})
        cluster = _cluster(resource, "", groups)
    except ConfigError:
        pass
    return cluster.is_launcher


def decode(value: Any) -> Any:
    """A hyperparameter's value: JSON where it is JSON, else the string as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _optional(value: Any) -> Optional[str]:
    return None if value in (None, "") else str(value)


def _cluster(resource: Mapping[str, Any], where: str, distribution_groups: Tuple[str, ...] = ()) -> Cluster:
    try:
        hosts = tuple(str(host) for host in resource["hosts"])
        current = str(resource["current_host"])
    except (KeyError, TypeError) as error:
        raise ConfigError(f"field {error} is missing", where=where) from None
    if current not in hosts:
        raise ConfigError(f"current_host {current!r} is not among the hosts {list(hosts)}", where=where)
    try:
        groups: List[InstanceGroup] = [
            InstanceGroup(str(g["instance_group_name"]), str(g["instance_type"]), tuple(str(h) for h in g["hosts"]))
            for g in resource.get("instance_groups") or ()
        ]
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"instance_groups must list objects with instance_group_name, instance_type and hosts: {error}", where=where
        ) from None
    unknown = [name for name in distribution_groups if groups and name not in [group.name for group in groups]]
    if unknown:
        raise ConfigError(
            f"there is no instance group {', '.join(map(repr, unknown))}",
            where="hyperparameter sagemaker_distribution_instance_groups",
            remedy=f"name groups of the job: {', '.join(group.name for group in groups)}",
        )
    strangers = [host for group in groups for host in group.hosts if host not in hosts]
    if strangers:
        raise ConfigError(f"instance_groups name hosts that are not in hosts: {', '.join(strangers)}", where=where)
    cluster = Cluster(
        hosts=hosts,
        current_host=current,
        network_interface=str(resource.get("network_interface_name") or "eth0"),
        instance_type=str(resource.get("current_instance_type") or "local"),
        current_group=str(resource.get("current_group_name") or "homogeneousCluster"),
        instance_groups=tuple(groups),
        distribution_groups=distribution_groups,
    )
    if not cluster.distribution_hosts:
        raise ConfigError(
            f"no host is in {', '.join(distribution_groups)}",
            where="hyperparameter sagemaker_distribution_instance_groups",
            remedy=f"name groups with hosts: {', '.join(group.name for group in groups if group.hosts)}",
        )
    twice = sorted({host for host in cluster.distribution_hosts if cluster.distribution_hosts.count(host) > 1})
    if twice:
        raise ConfigError(f"hosts are named more than once: {', '.join(twice)}", where=where)
    return cluster


def _load(path: str, *, required: bool) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError:
        if required:
            raise ConfigError(
                "the file is missing",
                where=path,
                remedy="this program runs inside a training container; on your own machine use `hvdsm launch SCRIPT`",
            ) from None
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(str(error), where=path) from None
    if not isinstance(document, dict):
        raise ConfigError("must hold a JSON object", where=path)
    return document


def base_paths(environ: Mapping[str, str]) -> Paths:
    """The container's directories: under ``SAGEMAKER_BASE_DIR``, else ``/opt/ml``."""
    return Paths(os.path.abspath(environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml"))


def split_command(program: str) -> Tuple[str, bool]:
    """The entry point's name, and whether it is a Python script.

    Raises:
        ConfigError: an absolute path, a path with ``.`` or ``..``, or a name that begins with a dash.
    """
    parts = program.split("/")
    if program.startswith(("/", "-")) or "." in parts or ".." in parts or "" in parts:
        raise ConfigError(
            f"{program!r} is not a path inside the source directory",
            where="sagemaker_program",
            remedy="give the script relative to the source directory, for example train.py or src/train.py",
        )
    return program, program.endswith(".py")
