"""What ``ModelTrainer`` of the SageMaker SDK 3 says of a job, in the terms of the container program.

Source of the rules: the drivers that the SDK 3.27 ships with a job, and its ``environment.py``, which writes the job's
description as ``export NAME='JSON'`` without a word on single quotes.
"""

from __future__ import annotations

import json
import posixpath
import shlex
from typing import Any, Dict, List, Mapping, Tuple

from hvdsm.compose.supervision import HANG_TIMEOUT, MAX_RESTARTS
from hvdsm.model import MPI, TORCH_DISTRIBUTED

OWN = "sagemaker_hvdsm_"
_ENABLED = {MPI: "sagemaker_mpi_enabled", TORCH_DISTRIBUTED: "sagemaker_torch_distributed_enabled"}
_PROCESSES = {MPI: "sagemaker_mpi_num_of_processes_per_host", TORCH_DISTRIBUTED: OWN + "processes_per_host"}
_SHARED = {
    "timeout": OWN + "timeout",
    "hang_timeout": HANG_TIMEOUT,
    "max_restarts": MAX_RESTARTS,
    "instance_groups": "sagemaker_distribution_instance_groups",
}


def arguments_of(hyperparameters: Mapping[str, Any]) -> List[str]:
    """``--NAME VALUE`` for each hyperparameter in its order, as the SDK's own drivers make them.

    A value is read as JSON twice, where it is that; a text then stands as it is, everything else as JSON: ``true``, ``null``,
    ``{"a": [1, 2]}``.  Names that begin with ``sagemaker_hvdsm_`` are for the container program.

    >>> arguments_of({"lr": "0.1", "on": "true", "name": "it is", "layers": "[64, 32]"})
    ['--lr', '0.1', '--on', 'true', '--name', 'it is', '--layers', '[64, 32]']
    """
    words: List[str] = []
    for name, value in hyperparameters.items():
        if not name.startswith(OWN):
            value = _decoded(_decoded(value))
            words += ["--" + name, value if isinstance(value, str) else json.dumps(value)]
    return words


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def reserved_of(kind: str, config: Mapping[str, Any], entry_script: str) -> Dict[str, Any]:
    """The reserved hyperparameters for what a ``DistributedConfig`` of hvdsm says.

    Args:
        kind: ``mpi`` or ``torch_distributed``.
        config: ``distributed.json``, unquoted.
        entry_script: ``entry_script`` of ``sourcecode.json``.
    """
    found: Dict[str, Any] = {"sagemaker_program": posixpath.normpath(entry_script) if entry_script else "", _ENABLED[kind]: True}
    names = {"process_count_per_node": _PROCESSES[kind], "process_count": "sagemaker_mpi_num_processes", **_SHARED}
    found.update({key: config[name] for name, key in names.items() if config.get(name) is not None})
    words = config.get("mpi_additional_options")
    options = config.get("custom_mpi_options") or (" ".join(map(shlex.quote, words)) if words else "")
    if options:
        found["sagemaker_mpi_custom_mpi_options"] = json.dumps(options)
    return found


def settings_of(config: Mapping[str, Any]) -> Dict[str, str]:
    """The ``HVDSM_*`` variables for what a ``DistributedConfig`` of hvdsm says."""
    grace = config.get("stop_grace")
    return {} if grace is None else {"HVDSM_STOP_GRACE": f"{grace:g}"}


def quoted(value: Any) -> Any:
    """A value whose texts have no single quote, which would end the line that ``environment.py`` writes.

    >>> quoted(["it's", {"share": "5%"}])
    ['it%27s', {'share': '5%25'}]
    """
    return _mapped(value, (("%", "%25"), ("'", "%27")))


def unquoted(value: Any) -> Any:
    """What :func:`quoted` was given."""
    return _mapped(value, (("%27", "'"), ("%25", "%")))


def _mapped(value: Any, changes: Tuple[Tuple[str, str], ...]) -> Any:
    if isinstance(value, str):
        for old, new in changes:
            value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {name: _mapped(inner, changes) for name, inner in value.items()}
    return [_mapped(inner, changes) for inner in value] if isinstance(value, (list, tuple)) else value
