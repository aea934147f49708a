"""The arguments of an estimator from the description of a job that one like it submitted."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping

from hvdsm.compose.cloud import BUNDLE_ENTRYPOINT, DISTRIBUTION_GROUPS
from hvdsm.sdk.v2.distribution import GROUPS, MPI, TORCH
from hvdsm.sdk.v2.encoding import INSTANCE_TYPE, MPI_ENABLED, MPI_OPTIONS, PROCESSES, TORCH_PROCESSES

_TORCH_ENABLED = "sagemaker_torch_distributed_enabled"
# Made anew for every job.
_OF_THE_JOB = ("sagemaker_job_name", "sagemaker_region", INSTANCE_TYPE)


def restored(arguments: Mapping[str, Any]) -> Dict[str, Any]:
    """Arguments of :class:`hvdsm.sdk.v2.Estimator`.

    Args:
        arguments: what the SDK makes of a description: its hyperparameters are the texts of the request.
    """
    found = dict(arguments)
    values = {name: _decoded(text) for name, text in (found.pop("hyperparameters", None) or {}).items()}
    for name in _OF_THE_JOB:
        values.pop(name, None)
    entry, source = values.pop("sagemaker_program", None), values.pop("sagemaker_submit_directory", None)
    if entry is not None:
        found["entry_point"] = entry
    if isinstance(source, str) and source.startswith("s3://"):
        found["source_dir"] = source
    level = values.pop("sagemaker_container_log_level", None)
    if level is not None:
        found["container_log_level"] = level
    distribution = _distribution(values)
    if distribution:
        found["distribution"] = distribution
    found["bring_hvdsm"] = found.get("container_entry_point") == list(BUNDLE_ENTRYPOINT)
    if found["bring_hvdsm"]:
        del found["container_entry_point"]
    found["hyperparameters"] = values
    return found


def _distribution(values: Dict[str, Any]) -> Dict[str, Any]:
    """The distribution that the hyperparameters stand for, taken out of them."""
    found: Dict[str, Any] = {}
    if MPI_ENABLED in values:
        enabled = values.pop(MPI_ENABLED)
        count, options = values.pop(PROCESSES, None), values.pop(MPI_OPTIONS, "")
        found[MPI] = {"enabled": enabled}
        if enabled is True:
            found[MPI].update({"processes_per_host": count, "custom_mpi_options": options or None})
    if _TORCH_ENABLED in values:
        found[TORCH] = {"enabled": values.pop(_TORCH_ENABLED)}
        if TORCH_PROCESSES in values:
            found[TORCH]["processes_per_host"] = values.pop(TORCH_PROCESSES)
    if DISTRIBUTION_GROUPS in values:
        found[GROUPS] = values.pop(DISTRIBUTION_GROUPS)
    return found


def _decoded(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text
