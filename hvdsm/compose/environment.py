"""The ``SM_*`` environment of a training container, and the rank variables of a process in it.

Source: the SageMaker Training Toolkit's environment, measured on its release 5.1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.compose.arguments import script_arguments
from hvdsm.model import Cluster, TrainingJob

# Hyperparameters that the container itself consumes; the other sagemaker_* ones are "framework parameters".
OWN_PARAMETERS = frozenset(
    {
        "sagemaker_program",
        "sagemaker_submit_directory",
        "sagemaker_container_log_level",
        "sagemaker_job_name",
        "sagemaker_region",
        "sagemaker_s3_output",
    }
)


@dataclass(frozen=True)
class Paths:
    """The directories of a training container under its base directory (``/opt/ml``).

    ``source`` is where the source is already, if it is elsewhere than in ``/opt/ml/code``.
    """

    base: str = "/opt/ml"
    source: str = ""

    @property
    def code(self) -> str:
        """Where the source is, and ranks run: ``/opt/ml/code``, unless it is said otherwise."""
        return self.source or self.base + "/code"

    @property
    def input(self) -> str:
        """``/opt/ml/input``."""
        return self.base + "/input"

    @property
    def config(self) -> str:
        """Where the platform writes the configuration: ``/opt/ml/input/config``."""
        return self.base + "/input/config"

    @property
    def output(self) -> str:
        """``/opt/ml/output``: ``failure``, ``success`` and ``data`` are in it."""
        return self.base + "/output"

    @property
    def output_data(self) -> str:
        """What the platform uploads as ``output.tar.gz``."""
        return self.base + "/output/data"

    @property
    def intermediate(self) -> str:
        """``/opt/ml/output/intermediate``."""
        return self.base + "/output/intermediate"

    @property
    def model(self) -> str:
        """What the platform uploads as ``model.tar.gz``."""
        return self.base + "/model"

    def channel(self, name: str) -> str:
        """Where the platform puts a channel's data."""
        return f"{self.base}/input/data/{name}"


@dataclass(frozen=True)
class HostFacts:
    """What was counted on this host."""

    num_cpus: int = 1
    num_gpus: int = 0
    num_neurons: int = 0

    @property
    def slots(self) -> int:
        """Ranks that this host runs by default: its GPUs, else its Neuron cores, else 1."""
        return self.num_gpus or self.num_neurons or 1


def sm_environment(
    job: TrainingJob,
    cluster: Cluster,
    facts: HostFacts,
    *,
    paths: Optional[Paths] = None,
    resource_config: Optional[Mapping[str, Any]] = None,
    input_data_config: Optional[Mapping[str, Any]] = None,
    framework_module: Optional[str] = None,
    log_level: Any = 20,
) -> Dict[str, str]:
    """All ``SM_*`` variables of one host, as strings.

    Strings stay verbatim, ``None`` is empty, everything else is compact ASCII JSON with sorted keys.  Names are upper-cased
    only: a hyphen in a channel's or hyperparameter's name stays.

    Args:
        job: the job.
        cluster: the cluster as this host sees it.
        facts: processors counted on this host.
        paths: directories of the container.
        resource_config: ``resourceconfig.json`` as it was read.
        input_data_config: ``inputdataconfig.json`` as it was read.
        framework_module: value of ``SAGEMAKER_TRAINING_MODULE``.
        log_level: logging level of the container, a number or a name, as it was given.
    """
    paths = paths or Paths()
    enabled = job.distribution.kind != "none"
    groups = [group.name for group in cluster.instance_groups]
    group_hosts = next((list(g.hosts) for g in cluster.instance_groups if g.name == cluster.current_group), [])
    distribution_groups = list(cluster.distribution_groups) or (groups if enabled else [])
    distributed = bool(distribution_groups) or not groups
    channels = {name: paths.channel(name) for name in job.channels}
    shared: Dict[str, Any] = {
        "hosts": list(cluster.hosts),
        "network_interface_name": cluster.network_interface,
        "current_host": cluster.current_host,
        "current_instance_type": cluster.instance_type,
        "current_instance_group": cluster.current_group,
        "current_instance_group_hosts": group_hosts,
        "instance_groups": groups,
        "instance_groups_dict": {
            g.name: {"instance_group_name": g.name, "instance_type": g.instance_type, "hosts": list(g.hosts)}
            for g in cluster.instance_groups
        },
        "distribution_instance_groups": distribution_groups,
        "is_hetero": len(groups) > 1,
        "resource_config": dict(resource_config or {}),
        "input_data_config": dict(input_data_config or {}),
        "user_entry_point": job.program,
        "module_name": module_name(job.program),
        "module_dir": job.submit_directory or paths.code,
        "framework_module": framework_module,
        "log_level": log_level,
        "input_dir": paths.input,
        "input_config_dir": paths.config,
        "output_dir": paths.output,
        "output_data_dir": paths.output_data,
        "output_intermediate_dir": paths.intermediate,
        "model_dir": paths.model,
        "num_cpus": facts.num_cpus,
        "num_gpus": facts.num_gpus,
        "num_neurons": facts.num_neurons,
    }
    topology = (resource_config or {}).get("topology")
    framework_params = {k: v for k, v in job.reserved.items() if k not in OWN_PARAMETERS}
    training_env = {
        **shared,
        "additional_framework_parameters": framework_params,
        "channel_input_dirs": channels,
        "distribution_hosts": list(cluster.distribution_hosts) if distributed else [],
        "hyperparameters": dict(job.hyperparameters),
        "is_master": cluster.is_launcher,
        "is_modelparallel_enabled": None,
        "is_smddpmprun_installed": False,
        "is_smddprun_installed": False,
        "job_name": job.name,
        "master_hostname": cluster.launcher,
        "topology": [] if topology is None else topology,
    }
    named: Dict[str, Any] = {
        **shared,
        "hps": dict(job.hyperparameters),
        "framework_params": framework_params,
        "channels": sorted(channels),
        "user_args": user_arguments(job),
        "training_env": training_env,
        **{f"channel_{name}": path for name, path in channels.items()},
        **{f"hp_{key}": value for key, value in job.hyperparameters.items()},
    }
    if topology is not None:
        named["topology"] = topology
    return {"SM_" + key.upper(): _text(value) for key, value in named.items()}


def user_arguments(job: TrainingJob) -> List[str]:
    """The script's arguments: those made of hyperparameters, then those given verbatim."""
    return script_arguments(job.hyperparameters) + list(job.extra_arguments)


def module_name(program: str) -> str:
    """The entry point without its ``.py``."""
    return program[:-3] if program.endswith(".py") else program


def difference(environment: Mapping[str, str], base: Mapping[str, str]) -> Tuple[Tuple[str, str], ...]:
    """The variables that are not in ``base`` or have another value there, sorted by name."""
    return tuple(sorted((k, v) for k, v in environment.items() if base.get(k) != v))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
