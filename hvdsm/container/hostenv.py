"""The environment of one host's ranks: the container's own, and everything of the contract."""

from __future__ import annotations

import json
import os
from typing import Dict, List, Mapping, Sequence

import hvdsm
from hvdsm.compose.environment import HostFacts, sm_environment
from hvdsm.container.config import ContainerConfig
from hvdsm.container.facts import network_interface
from hvdsm.container.reserved import is_mirrored
from hvdsm.container.stacks import STACK_SIGNAL
from hvdsm.model import NONE, Cluster

# Linux takes no variable longer than 32 pages (MAX_ARG_STRLEN of execve(2)), name and "=" included.
LONGEST = 128 * 1024 - 1
# Where TensorFlow's servers of MultiWorkerMirroredStrategy listen.
MIRRORED_PORT = 8890


def host_environment(
    config: ContainerConfig,
    facts: HostFacts,
    environ: Mapping[str, str],
    *,
    session: str,
    master_address: str,
    master_port: int,
    python_path: Sequence[str] = (),
    restart: int = 0,
) -> Dict[str, str]:
    """The variables of every rank of this host.

    Args:
        config: what the platform wrote.
        facts: what was counted on this host.
        environ: the container's environment without secrets.
        session: the job's session directory.
        master_address: name or address of the first host of the distribution.
        master_port: port that is free there.
        python_path: directories of installed packages, searched after the code directory.
        restart: how often the ranks were started again.
    """
    cluster = config.cluster
    environment = {
        **environ,
        **sm_environment(
            config.job,
            cluster,
            facts,
            paths=config.paths,
            resource_config=config.resource_config,
            input_data_config=config.input_data_config,
            framework_module=config.framework_module,
            log_level=config.log_level,
        ),
        "PYTHONPATH": ":".join(_search_path(config.paths.code, python_path, environ.get("PYTHONPATH", ""))),
        "CURRENT_HOST": cluster.current_host,
        "SAGEMAKER_JOB_NAME": str(config.job.reserved.get("sagemaker_job_name") or config.job.name),
        "HVDSM_SESSION": session,
        "HVDSM_NODE_RANK": str(cluster.node_rank),
        "HVDSM_RESTART_COUNT": str(restart),
        "HVDSM_STACK_SIGNAL": str(STACK_SIGNAL),
    }
    region = config.job.reserved.get("sagemaker_region") or environ.get("AWS_REGION")
    if region:
        environment["SAGEMAKER_REGION"] = str(region)
    if config.job.distribution.kind != NONE and cluster.current_host in cluster.distribution_hosts:
        environment.setdefault("MASTER_ADDR", master_address)
        environment.setdefault("MASTER_PORT", str(master_port))
        if len(cluster.distribution_hosts) > 1:
            interface = network_interface(cluster.network_interface)
            for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
                environment.setdefault(name, interface)
    if is_mirrored(config.job.reserved) and cluster.current_host in cluster.distribution_hosts:
        environment.setdefault("TF_CONFIG", tf_config(cluster))
    environment.update(config.variables)
    return environment


def tf_config(cluster: Cluster) -> str:
    """TF_CONFIG of a worker of MultiWorkerMirroredStrategy; the first host is the chief, as TensorFlow has it.

    Source: TensorFlow's guide "Distributed training with TensorFlow"; the port is the one of AWS's images.
    """
    hosts = cluster.distribution_hosts
    task = {"type": "worker", "index": hosts.index(cluster.current_host)}
    document = {"cluster": {"worker": [f"{host}:{MIRRORED_PORT}" for host in hosts]}, "environment": "cloud", "task": task}
    return json.dumps(document, separators=(",", ":"))


def too_long(environment: Mapping[str, str]) -> List[str]:
    """Names of the variables that no program can be started with."""
    return sorted(name for name, value in environment.items() if len(os.fsencode(name)) + len(os.fsencode(value)) >= LONGEST)


def _search_path(code: str, packages: Sequence[str], existing: str) -> List[str]:
    entries = [code, *packages, *(entry for entry in existing.split(":") if entry)]
    root = package_root()
    if not _installed(root):
        entries.append(root)
    return list(dict.fromkeys(entries))


def with_hvdsm(environ: Mapping[str, str]) -> Dict[str, str]:
    """The environment in which another Python finds this hvdsm, also when it is not installed."""
    root, path = package_root(), environ.get("PYTHONPATH", "")
    if _installed(root) or root in path.split(":"):
        return dict(environ)
    return {**environ, "PYTHONPATH": f"{path}:{root}" if path else root}


def package_root() -> str:
    """Directory, or zipapp, that hvdsm is imported from."""
    return os.path.dirname(os.path.dirname(os.path.abspath(hvdsm.__file__)))


def _installed(root: str) -> bool:
    return os.path.basename(root) in ("site-packages", "dist-packages")
