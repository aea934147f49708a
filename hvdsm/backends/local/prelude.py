"""What a command of the request's own finds on a host beside ``/opt/ml``: Python by its usual names, packages, ssh."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Dict, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.local.data import DataSet, files_of
from hvdsm.backends.local.machine import mpirun_on_hosts
from hvdsm.backends.local.packages import Packages, installed, requirements_of
from hvdsm.backends.local.placing import gather
from hvdsm.backends.local.program import CODE, DRIVERS, commands_for, make_commands, mpi_driver_warnings, read_driver

if TYPE_CHECKING:
    from hvdsm.backends.local.plan import LocalPlan

COMMANDS_TARGET = "/opt/hvdsm/commands"


@dataclass(frozen=True)
class Prelude:
    """What was made for the command.

    Attributes:
        packages: what the source's requirements ask for beyond the environment.
        commands: directory with ``python``, ``pip`` and the like, None where the environment has them under these names.
        ssh: whether the hosts are to reach each other by ssh, as hosts of an image that is made for MPI do.
        warnings: what the user should know.
    """

    packages: Optional[Packages] = None
    commands: Optional[str] = None
    ssh: bool = False
    warnings: Tuple[str, ...] = ()


def prelude_of(
    plan: LocalPlan, channels: Sequence[DataSet], work: str, say: Callable[[str], None], environ: Mapping[str, str]
) -> Prelude:
    """Look at what the channels bring, and make what it needs.

    Requirements are installed here, since hosts have no way to a package index; pip on a host then finds them satisfied.

    Raises:
        ConfigError: packages cannot be had.
    """
    by_name = {channel.name: channel for channel in channels}
    driver = read_driver(files_of(by_name[DRIVERS])) if DRIVERS in by_name else read_driver(())
    packages = None
    if driver.requirements is not None and CODE in by_name:
        wanted = requirements_of(_directory(by_name[CODE], work), driver.requirements)
        packages = None if wanted is None else installed(wanted, plan, work, say, environ)
    warnings: Tuple[str, ...] = ()
    if driver.is_mpi:
        has_paramiko = importlib.util.find_spec("paramiko") is not None
        warnings = tuple(mpi_driver_warnings(len(plan.layout), packages is not None, has_paramiko))
    quoted = [name for name, value in (plan.request.get("HyperParameters") or {}).items() if "'" in value]
    if DRIVERS in by_name and quoted:
        what = (
            "holds a single quote, at which the environment file of the SageMaker SDK's ModelTrainer breaks, here as in the "
            "cloud: hvdsm.sdk.v3.MPI(arguments=[...]) gives the script any text"
        )
        warnings += tuple(f"hyperparameter {name} {what}" for name in quoted)
    programs = commands_for(sys.executable, mpirun_on_hosts(plan.mpirun)[0] if driver.is_mpi and plan.mpirun else None)
    commands = os.path.join(work, "commands") if programs else None
    if commands is not None:
        make_commands(commands, programs)
    return Prelude(packages, commands, driver.is_mpi, warnings)


def _directory(code: DataSet, work: str) -> str:
    if code.directory is not None:
        return code.directory
    directory = os.path.join(work, "source")
    if not os.path.isdir(directory):
        gather(code.files, directory)
    return directory


def with_prelude(environ: Mapping[str, str], prelude: Prelude) -> Dict[str, str]:
    """The variables of the command: this Python's programs first, then packages that were made for it."""
    front = [prelude.packages.commands] if prelude.packages is not None else []
    front += [COMMANDS_TARGET] if prelude.commands is not None else []
    front.append(os.path.dirname(sys.executable))
    variables = {**environ, "PATH": os.pathsep.join([*front, environ.get("PATH") or os.defpath])}
    if prelude.packages is not None:
        paths = [prelude.packages.site, *filter(None, [environ.get("PYTHONPATH")])]
        variables["PYTHONPATH"] = os.pathsep.join(paths)
    variables.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return variables
