"""The hyperparameters that stand for a distribution, as the SDK 2 sends them: each value encoded as JSON."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from hvdsm.compose.cloud import DISTRIBUTION_GROUPS
from hvdsm.compose.request import PROCESSES_KEY, encode
from hvdsm.sdk.v2.distribution import GROUPS, MPI, SMD, TORCH, group_name, is_deferred

MPI_ENABLED = "sagemaker_mpi_enabled"
MPI_OPTIONS = "sagemaker_mpi_custom_mpi_options"
PROCESSES = PROCESSES_KEY[MPI]
TORCH_PROCESSES = PROCESSES_KEY[TORCH]
_ENABLED = {
    TORCH: "sagemaker_torch_distributed_enabled",
    "parameter_server": "sagemaker_parameter_server_enabled",
    "multi_worker_mirrored_strategy": "sagemaker_multi_worker_mirrored_strategy_enabled",
    "pytorchxla": "sagemaker_pytorch_xla_multi_worker_enabled",
    "pytorchddp": "sagemaker_pytorch_ddp_enabled",
}
# What toolkits choose the network by where torchrun or smdistributed starts the ranks.
INSTANCE_TYPE = "sagemaker_instance_type"
_DATA_PARALLEL = "sagemaker_distributed_dataparallel_enabled"
_DATA_PARALLEL_OPTIONS = "sagemaker_distributed_dataparallel_custom_mpi_options"


def encoded(distribution: Mapping[str, Any]) -> Dict[str, Any]:
    """The hyperparameters of a distribution that was checked.

    >>> encoded({"mpi": {"enabled": True, "processes_per_host": 8}})["sagemaker_mpi_num_of_processes_per_host"]
    '8'

    Args:
        distribution: see :func:`hvdsm.sdk.v2.distribution`; groups are named or objects.

    Returns:
        Texts of JSON; for a variable of a pipeline what the SDK makes of it.
    """
    found: Dict[str, Any] = {}
    if GROUPS in distribution:
        found[DISTRIBUTION_GROUPS] = [group_name(group) for group in distribution[GROUPS]]
    if MPI in distribution:
        mpi = distribution[MPI]
        found[MPI_ENABLED] = mpi["enabled"]
        if "processes_per_host" in mpi:
            found[PROCESSES] = mpi["processes_per_host"]
        found[MPI_OPTIONS] = mpi.get("custom_mpi_options", "")
    for name, key in _ENABLED.items():
        if name in distribution:
            found[key] = distribution[name]["enabled"]
    if "processes_per_host" in distribution.get(TORCH, {}):
        found[TORCH_PROCESSES] = distribution[TORCH]["processes_per_host"]
    _smdistributed(found, distribution.get(SMD) or {})
    return {key: json_text(key, value) for key, value in found.items()}


def _smdistributed(found: Dict[str, Any], config: Mapping[str, Any]) -> None:
    data, model = config.get("dataparallel"), config.get("modelparallel")
    if config:
        found[_DATA_PARALLEL] = bool(data and data["enabled"])
    if data and data["enabled"]:
        found[_DATA_PARALLEL_OPTIONS] = data.get("custom_mpi_options", "")
    if model and model["enabled"]:
        found["mp_parameters"] = model["parameters"]


def json_text(key: str, value: Any) -> Any:
    """A value as the SDK sends it.

    Raises:
        ConfigError: JSON cannot express it.
    """
    return value.to_string() if is_deferred(value) else encode(key, value)
