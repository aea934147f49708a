"""mpirun on the launcher: finds Open MPI, writes the hostfile and composes the command."""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.compose.hostfile import job_hostfile
from hvdsm.compose.mpirun import MpirunCommand, job_command
from hvdsm.container.agent import Agent
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.facts import network_interface
from hvdsm.container.hostenv import with_hvdsm
from hvdsm.model import MpiImplementation

# mpirun reads "=" in a name as the beginning of a value, and blanks it cannot send.
_PLAIN_NAME = re.compile(r"^SM_[A-Za-z0-9_.-]+$")


def compose(
    config: ContainerConfig, settings: Settings, agent: Agent, mpi: MpiImplementation, slots: Sequence[int]
) -> MpirunCommand:
    """Write the hostfile and compose the mpirun command of a job; a wrong option is known before anything starts.

    Args:
        config: what the platform wrote.
        settings: hvdsm's own settings.
        agent: the launcher's agent, prepared.
        mpi: the installation.
        slots: processes of each host of the distribution.

    Raises:
        MpiError: the custom options cannot be read.
    """
    hosts, session = config.cluster.distribution_hosts, str(agent.session)
    with open(os.path.join(session, "hostfile"), "w", encoding="utf-8") as file:
        file.write(job_hostfile(hosts, slots))
    return job_command(
        mpi,
        agent.command,
        python=sys.executable,
        hosts=hosts,
        slots=slots,
        world_size=config.job.distribution.world_size,
        session=session,
        interface=pinned_interface(config.cluster.network_interface, len(hosts)),
        custom_options=config.job.distribution.custom_mpi_options,
        environ=with_hvdsm(agent.environ),
        rehearsal=settings.rehearsal,
        instance_type=config.cluster.instance_type,
        efa_device=efa_device(),
        contract=contract_names(agent.environment),
        more_variables=mpi4py_variables(mpi, sys.prefix),
    )


def pinned_interface(wanted: str, hosts: int) -> Optional[str]:
    """The interface that mpirun and NCCL are held to; a single host without the platform's one is left alone."""
    if hosts > 1:
        return network_interface(wanted)
    return wanted if wanted in [name for _, name in socket.if_nameindex()] else None


def contract_names(environment: Mapping[str, str]) -> List[str]:
    """Names of the contract's variables, which mpirun sends on as other launchers do."""
    return sorted(name for name in environment if _PLAIN_NAME.match(name))


def efa_device(root: str = "/") -> bool:
    """Whether this host has an Elastic Fabric Adapter."""
    try:
        return any(name.startswith("efa") for name in os.listdir(os.path.join(root, "sys/class/infiniband")))
    except OSError:
        return False


def mpirun_environment(agent: Agent) -> Dict[str, str]:
    """The environment of mpirun: the container's own, with the contract's variables that it sends on.

    Search paths stay those of the container: a module of the user's code must not shadow what rank wrappers import.
    """
    also = [name for name in ("CURRENT_HOST", "SAGEMAKER_JOB_NAME", "SAGEMAKER_REGION") if name in agent.environment]
    contract = {name: agent.environment[name] for name in (*contract_names(agent.environment), *also)}
    return with_hvdsm({**agent.environ, **contract, "HVDSM_SESSION": str(agent.session)})


def mpi4py_variables(mpi: MpiImplementation, python_prefix: str) -> List[Tuple[str, str]]:
    """``MPI4PY_LIBMPI`` where mpirun is not of the environment that Python runs in.

    mpi4py's wheels load the MPI library of Python's own prefix first, and that of another Open MPI cannot join the job.
    """
    prefix = os.path.dirname(os.path.dirname(mpi.mpirun))
    library = os.path.join(prefix, "lib", "libmpi.so.40")
    if os.path.realpath(prefix) == os.path.realpath(python_prefix) or not os.path.exists(library):
        return []
    return [("MPI4PY_LIBMPI", library)]
