"""Hyperparameters of an estimator, hvdsm's own settings among them."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from hvdsm.compose.cloud import DISTRIBUTION_GROUPS
from hvdsm.compose.problems import suggestion
from hvdsm.compose.secrets import HYPERPARAMETER as SECRETS
from hvdsm.compose.secrets import parse_secrets
from hvdsm.compose.supervision import HANG_TIMEOUT, MAX_RESTARTS, check_seconds, supervision_of
from hvdsm.errors import UsageError
from hvdsm.sdk.v2.encoding import MPI_ENABLED, MPI_OPTIONS, PROCESSES, TORCH_PROCESSES, json_text

TIMEOUT = "sagemaker_hvdsm_timeout"
OWN = {
    "hang_timeout": HANG_TIMEOUT,
    "max_restarts": MAX_RESTARTS,
    "timeout": TIMEOUT,
    "processes_per_host": TORCH_PROCESSES,
    "secrets": SECRETS,
}
# What an estimator sets itself, over a value of one's own: which of its arguments says it.
_SET = {
    "sagemaker_program": "entry_point",
    "sagemaker_submit_directory": "source_dir",
    "sagemaker_container_log_level": "container_log_level",
    "sagemaker_job_name": "fit(job_name=…)",
    "sagemaker_region": "sagemaker_session",
    MPI_ENABLED: "distribution",
    PROCESSES: "distribution",
    MPI_OPTIONS: "distribution",
    DISTRIBUTION_GROUPS: "distribution",
}


def hyperparameters(
    values: Optional[Mapping[str, Any]] = None,
    *,
    hang_timeout: Optional[float] = None,
    max_restarts: Optional[int] = None,
    timeout: Optional[float] = None,
    processes_per_host: Optional[int] = None,
    secrets: Optional[Mapping[str, str]] = None,
) -> Dict[str, Any]:
    """A dict for ``hyperparameters=`` of an estimator: the script's, and settings of hvdsm's container program.

    >>> hyperparameters({"epochs": 3}, hang_timeout=600)
    {'epochs': 3, 'sagemaker_hvdsm_hang_timeout': 600}

    An image without hvdsm ignores these settings: see ``bring_hvdsm`` of :class:`hvdsm.sdk.v2.Estimator`.

    Args:
        values: the script's own: whatever JSON can express, nested too.
        hang_timeout: seconds without output and progress after which the job fails.
        max_restarts: how often the ranks are started again after a failure.
        timeout: seconds after which the ranks are ended and the job fails.
        processes_per_host: processes that torchrun starts on each host; for mpi the distribution says it.
        secrets: ARN of the secret that each variable gets on the hosts.

    Raises:
        UsageError: a number cannot be meant, or a name is reserved or misspelt.
        ConfigError: JSON cannot express a value, or a secret's name is no ARN.
    """
    found: Dict[str, Any] = {}
    for name, value in (values or {}).items():
        check_name(name)
        json_text(str(name), value)
        found[name] = value
    settings: Dict[str, Any] = dict(supervision_of(hang_timeout, max_restarts))
    if timeout is not None:
        settings[TIMEOUT] = check_seconds(timeout, "timeout")
    if processes_per_host is not None:
        if not isinstance(processes_per_host, int) or isinstance(processes_per_host, bool) or processes_per_host < 1:
            raise UsageError(f"must be a whole number from 1, not {processes_per_host!r}", where="processes_per_host")
        settings[TORCH_PROCESSES] = processes_per_host
    if secrets is not None:
        parse_secrets(secrets)
        settings[SECRETS] = dict(secrets)
    for key in settings:
        if key in found and found[key] != settings[key]:
            raise UsageError(
                f"is given twice: {found[key]!r} and {settings[key]!r}",
                where=f"hyperparameter {key}",
                remedy="leave one of them out",
            )
    return {**found, **settings}


def check_name(name: Any) -> None:
    """Refuse a hyperparameter's name that would be lost or misread.

    Raises:
        UsageError: it is no text, is set by the estimator itself, or is almost one of hvdsm's settings.
    """
    if not isinstance(name, str) or not name:
        raise UsageError(f"must be a text that is not empty, not {name!r}", where="hyperparameter's name", remedy=f'"{name}"')
    if name in _SET:
        raise UsageError(
            "the estimator sets it itself", where=f"hyperparameter {name}", remedy=f"say it by {_SET[name]} of the estimator"
        )
    known = set(OWN.values())
    if name.startswith("sagemaker_hvdsm_") and name not in known:
        raise UsageError(
            f"hvdsm has no such setting{suggestion(name, known)}",
            where=f"hyperparameter {name}",
            remedy=f"hyperparameters({{…}}, NAME=…) with one of {', '.join(OWN)}",
        )


def encoded_values(values: Mapping[str, Any]) -> Dict[str, Any]:
    """The values as texts of JSON; a variable of a pipeline as the SDK makes one of it.

    Raises:
        UsageError: a name would be lost or misread.
        ConfigError: JSON cannot express a value.
    """
    for name in values:
        check_name(name)
    return {name: json_text(name, value) for name, value in values.items()}
