"""The training environment as framework code sees it, under the names that the SageMaker Training Toolkit gives."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any, Dict, List, Mapping, Optional, Tuple

from hvdsm.compose.arguments import script_arguments
from hvdsm.compose.environment import HostFacts, sm_environment, user_arguments
from hvdsm.container.config import ContainerConfig
from hvdsm.container.reserved import level_number


@dataclass(frozen=True)
class FrameworkEnvironment:
    """What this host was told and what it has, read once.

    Attributes:
        hyperparameters: the user's, decoded; those that begin with ``sagemaker_`` are not among them.
        additional_framework_parameters: the ``sagemaker_*`` hyperparameters that the container does not consume itself.
        user_entry_point: the user's script, empty when none is named.
        module_name: the script without its ``.py``.
        module_dir: where the source is: an ``s3://`` address, a tarball, a directory, or the code directory.
        hosts: all hosts of the job; ``distribution_hosts`` are those that run ranks together, empty without a launcher.
        master_hostname: the launcher, the first of the distribution hosts; ``is_master`` says whether this host is it.
        channel_input_dirs: directory of each channel's data.
        num_gpus: GPUs of this host; ``num_neurons`` its Neuron cores, ``num_cpus`` the processors it may use.
        log_level: numeric logging level.
        framework_module: value of ``SAGEMAKER_TRAINING_MODULE``.
        topology: of UltraServers; empty elsewhere.
        user_args: the script's arguments as :meth:`to_cmd_args` gives them.
    """

    hyperparameters: Mapping[str, Any]
    additional_framework_parameters: Mapping[str, Any]
    user_entry_point: str
    module_name: str
    module_dir: str
    job_name: str
    hosts: Tuple[str, ...]
    current_host: str
    master_hostname: str
    is_master: bool
    distribution_hosts: Tuple[str, ...]
    distribution_instance_groups: Tuple[str, ...]
    current_instance_type: str
    current_instance_group: str
    current_instance_group_hosts: Tuple[str, ...]
    instance_groups: Tuple[str, ...]
    instance_groups_dict: Mapping[str, Any]
    is_hetero: bool
    network_interface_name: str
    num_cpus: int
    num_gpus: int
    num_neurons: int
    log_level: int
    framework_module: Optional[str]
    input_dir: str
    input_config_dir: str
    output_dir: str
    output_data_dir: str
    output_intermediate_dir: str
    model_dir: str
    channel_input_dirs: Mapping[str, str]
    resource_config: Mapping[str, Any]
    input_data_config: Mapping[str, Any]
    topology: Any
    user_args: Tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    def to_cmd_args(self, hps: Optional[Mapping[str, Any]] = None) -> List[str]:
        """The script's arguments: ``--key value`` for each hyperparameter, and what was given verbatim after them.

        Args:
            hps: other hyperparameters to make arguments of; nothing verbatim follows those.
        """
        return list(self.user_args) if hps is None else script_arguments(hps)

    def to_env_vars(self) -> Dict[str, str]:
        """All ``SM_*`` variables of this host."""
        return dict(self.variables)


def framework_environment(config: ContainerConfig, facts: HostFacts) -> FrameworkEnvironment:
    """The environment of this host, from the very variables that its ranks get."""
    variables = sm_environment(
        config.job,
        config.cluster,
        facts,
        paths=config.paths,
        resource_config=config.resource_config,
        input_data_config=config.input_data_config,
        framework_module=config.framework_module,
        log_level=level_number(config.log_level),
    )
    known: Dict[str, Any] = json.loads(variables["SM_TRAINING_ENV"])
    names = {entry.name for entry in fields(FrameworkEnvironment)}
    values: Dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in known.items() if name in names
    }
    return FrameworkEnvironment(**values, user_args=tuple(user_arguments(config.job)), variables=variables)
