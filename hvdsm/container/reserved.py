"""What the reserved hyperparameters (``sagemaker_*``) ask for: distribution, instance groups, supervision, logging level."""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional, Tuple

from hvdsm.errors import ConfigError
from hvdsm.model import MPI, NONE, TORCH_DISTRIBUTED, Distribution, Supervision

# What switches a distribution on, and what stands for those that hvdsm does not have.  PyTorch of the SageMaker SDK 2 sends
# pytorchddp under the name of AWS's own library for data parallelism, which hvdsm has not: torchrun starts the ranks of both.
DATA_PARALLEL = "sagemaker_distributed_dataparallel_enabled"
MIRRORED = "sagemaker_multi_worker_mirrored_strategy_enabled"
LAUNCHERS = {
    "sagemaker_mpi_enabled": MPI,
    "sagemaker_torch_distributed_enabled": TORCH_DISTRIBUTED,
    "sagemaker_pytorch_ddp_enabled": TORCH_DISTRIBUTED,
    DATA_PARALLEL: TORCH_DISTRIBUTED,
    # TensorFlow's own servers, in one process on each host, find each other by TF_CONFIG.
    MIRRORED: NONE,
}
OTHER_LAUNCHERS = {
    "sagemaker_parameter_server_enabled": "use mpi with Horovod, or a plan with roles (docs/roles.md)",
    "sagemaker_pytorch_xla_multi_worker_enabled": "use torch_distributed",
}
LOG_LEVELS = {"critical": 50, "error": 40, "warning": 30, "warn": 30, "info": 20, "debug": 10, "notset": 0}


def distribution(reserved: Mapping[str, Any], *, framework: bool = False) -> Distribution:
    """The distribution that the reserved hyperparameters ask for; mpi, torch_distributed, or none.

    Args:
        reserved: the decoded ``sagemaker_*`` hyperparameters.
        framework: whether a framework function runs, which may know distributions that hvdsm does not.

    Raises:
        ConfigError: two distributions at once, one that is not known, or a number that is none.
    """
    enabled = [key for key in (*LAUNCHERS, *OTHER_LAUNCHERS) if _true(reserved.get(key))]
    kinds = {LAUNCHERS.get(key, key) for key in enabled}
    if framework and enabled == [DATA_PARALLEL]:
        kinds = {NONE}
    if len(kinds) > 1:
        raise ConfigError(
            "they are enabled together, and only one can start the ranks",
            where=f"hyperparameters {', '.join(enabled)}",
            remedy="enable one of them in the distribution",
        )
    if enabled and enabled[0] in OTHER_LAUNCHERS and not framework:
        raise ConfigError(
            "hvdsm does not start ranks this way", where=f"hyperparameter {enabled[0]}", remedy=OTHER_LAUNCHERS[enabled[0]]
        )
    own = _count(reserved, "sagemaker_hvdsm_processes_per_host")
    if MPI in kinds:
        return Distribution(
            kind=MPI,
            processes_per_host=_count(reserved, "sagemaker_mpi_num_of_processes_per_host") or own,
            custom_mpi_options=str(plain(reserved.get("sagemaker_mpi_custom_mpi_options")) or ""),
            world_size=_count(reserved, "sagemaker_mpi_num_processes"),
        )
    return Distribution(kind=TORCH_DISTRIBUTED if TORCH_DISTRIBUTED in kinds else NONE, processes_per_host=own)


def borrowed(reserved: Mapping[str, Any]) -> Optional[str]:
    """What to say where torchrun starts ranks that AWS's own library was asked for; None elsewhere."""
    if not _true(reserved.get(DATA_PARALLEL)) or _true(reserved.get("sagemaker_torch_distributed_enabled")):
        return None
    return (
        f"{DATA_PARALLEL} (smdistributed, or pytorchddp of the SageMaker SDK 2): torchrun starts the ranks; "
        "AWS's own library smdistributed is not part of it"
    )


def is_mirrored(reserved: Mapping[str, Any]) -> bool:
    """Whether TensorFlow's MultiWorkerMirroredStrategy is to find the other hosts."""
    return _true(reserved.get(MIRRORED))


def supervision(reserved: Mapping[str, Any]) -> Supervision:
    """Time limits and restarts, from the ``sagemaker_hvdsm_*`` hyperparameters; 0 switches one off.

    Raises:
        ConfigError: a number cannot be read.
    """

    def number(key: str) -> float:
        value = plain(reserved.get(key))
        try:
            found = float(str(value)) if value not in (None, "") else 0.0
        except ValueError:
            found = -1.0
        if not 0 <= found < float("inf"):
            raise ConfigError(f"{value!r} is not a number of 0 or more", where=f"hyperparameter {key}")
        return found

    restarts = number("sagemaker_hvdsm_max_restarts")
    if restarts != int(restarts):
        raise ConfigError(f"{restarts:g} is not a whole number", where="hyperparameter sagemaker_hvdsm_max_restarts")
    return Supervision(
        timeout=number("sagemaker_hvdsm_timeout") or None,
        hang_timeout=number("sagemaker_hvdsm_hang_timeout") or None,
        max_restarts=int(restarts),
    )


def plain(value: Any) -> Any:
    """A value that was encoded as JSON more than once, decoded to its end.

    >>> plain('"8"'), plain('-x A="b"'), plain(4)
    ('8', '-x A="b"', 4)
    """
    while isinstance(value, str) and value[:1] == value[-1:] == '"':
        try:
            value = json.loads(value)
        except ValueError:
            break
    return value


def _true(value: Any) -> bool:
    """The SDK sends "true"; some send "True" or "1"; "False" is false."""
    value = plain(value)
    return value is True or str(value).strip().lower() in ("true", "1", "yes")


def _count(reserved: Mapping[str, Any], key: str) -> Optional[int]:
    value = plain(reserved.get(key))
    if value in (None, ""):
        return None
    try:
        count = int(str(value))
    except ValueError:
        count = 0
    if count < 1:
        raise ConfigError(f"{value!r} is not a count of 1 or more", where=f"hyperparameter {key}")
    return count


def level_number(value: Any) -> int:
    """A logging level as a number; a name or number that is none counts as INFO."""
    text = str(value).strip().lower()
    if text in LOG_LEVELS:
        return LOG_LEVELS[text]
    try:
        return int(text)
    except ValueError:
        return LOG_LEVELS["info"]


def distribution_groups(reserved: Mapping[str, Any]) -> Tuple[str, ...]:
    """Names of the instance groups that run ranks; empty means all hosts.

    Raises:
        ConfigError: it is not a list of names.
    """
    value = plain(reserved.get("sagemaker_distribution_instance_groups"))
    if value in (None, "", []):
        return ()
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            pass
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ConfigError(
            f"{value!r} is not a list of group names", where="hyperparameter sagemaker_distribution_instance_groups"
        )
    return tuple(value)
