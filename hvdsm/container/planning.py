"""Reads a job's plan on a host, and says what the host has for it."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

from hvdsm.compose.placeholders import Values, assign_ports, candidates
from hvdsm.compose.plan import digest, parse_plan, ports_of
from hvdsm.container.config import ContainerConfig
from hvdsm.container.readiness import is_free
from hvdsm.container.reserved import plain
from hvdsm.errors import ConfigError
from hvdsm.model import NONE
from hvdsm.model.plan import PLAN_KEY, JobPlan

Message = Mapping[str, Any]


def read_plan(value: Any, directory: str) -> JobPlan:
    """The plan that the hyperparameter names or is.

    Args:
        value: the hyperparameter, decoded: a path inside of the source, or the plan itself.
        directory: where the source is.

    Raises:
        ConfigError: there is no such file, or it holds no plan.
    """
    value = plain(value)
    if not isinstance(value, str):
        return parse_plan(value, f"hyperparameter {PLAN_KEY}")
    path = os.path.realpath(os.path.join(directory, value))
    where = f"hyperparameter {PLAN_KEY}: {value}"
    if os.path.commonpath([path, os.path.realpath(directory)]) != os.path.realpath(directory):
        raise ConfigError("leads out of the source", where=where, remedy="name a JSON file of the source")
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError:
        raise ConfigError("is not in the source", where=where, remedy="name a JSON file of the source") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot be read: {error}", where=where) from None
    return parse_plan(document, where)


def announced(plan: JobPlan, job_name: str) -> Message:
    """What a host tells the launcher of the plan: which one it has, and which of the job's ports are free here."""
    names = ports_of(plan)
    return {"plan": digest(plan), "free_ports": [port for port in candidates(job_name, len(names)) if is_free(port)]}


def setup_of(
    plan: JobPlan, config: ContainerConfig, announcements: Mapping[str, Message], slots: Sequence[int], own: Optional[str]
) -> Message:
    """What the launcher tells all hosts, so that a placeholder stands for the same everywhere.

    Args:
        plan: the plan.
        config: what the platform wrote.
        announcements: what each host has announced.
        slots: ranks of each host that runs some.
        own: the launcher's address; None on a single host.

    Raises:
        ConfigError: a host has another plan, or too few ports are free.
    """
    cluster, distribution = config.cluster, config.job.distribution
    mine = digest(plan)
    for host, announcement in announcements.items():
        if announcement.get("plan") != mine:
            raise ConfigError(
                f"the plan is not the one of {cluster.launcher}", where=host, remedy="give all hosts of the job the same source"
            )
    ranked = cluster.distribution_hosts
    counts = [1] * len(ranked) if distribution.kind == NONE else list(slots)
    return {
        "addresses": {host: str(announcements[host].get("address") or own or "127.0.0.1") for host in cluster.hosts},
        "processes": dict(zip(ranked, counts)),
        "world_size": distribution.world_size or sum(counts),
    }


def ports_for(plan: JobPlan, announcements: Mapping[str, Message], restart: int) -> Dict[str, int]:
    """The port of each name in a run of the ranks.

    Raises:
        ConfigError: too few are free.
    """
    free: Dict[str, List[int]] = {host: list(told.get("free_ports", ())) for host, told in announcements.items()}
    return assign_ports(ports_of(plan), free, restart)


def values_of(config: ContainerConfig, told: Mapping[str, Any], ports: Mapping[str, int], python: str, restart: int) -> Values:
    """What placeholders stand for on this host.

    Args:
        config: what the platform wrote.
        told: what :func:`setup_of` made.
        ports: what :func:`ports_for` made.
        python: the Python that runs hvdsm.
        restart: how often the ranks were started again.
    """
    cluster = config.cluster
    return Values(
        host=cluster.current_host,
        host_index=cluster.node_rank,
        hosts=cluster.distribution_hosts,
        addresses=dict(told["addresses"]),
        processes=dict(told["processes"]),
        world_size=int(told["world_size"]),
        ports=dict(ports),
        job_name=config.job.name,
        code=config.paths.code,
        python=python,
        restart=restart,
    )
