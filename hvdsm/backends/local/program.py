"""What the hosts run: hvdsm's own program, or exactly what the request's ContainerEntrypoint and ContainerArguments say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.compose.cloud import BUNDLE_CHANNEL, is_own_program
from hvdsm.errors import ConfigError

# Names of hvdsm's program where an image has it.
_OWN = frozenset(("train", "hvdsm-train"))
# A channel of the SageMaker SDK 3: the programs that start the user's script.
DRIVERS = "sm_drivers"
CODE = "code"
_SCRIPT = "sm_train.sh"
_MPI_DRIVER = "mpi_driver.py"
_DRIVER = re.compile(r"/distributed_drivers/([\w.-]+\.py)")
_REQUIREMENTS = re.compile(r"/install_requirements\.py ([^\s;]+)")
PYTHONS = ("python", "python3")
_PIPS = ("pip", "pip3")
# What starts a function of the SDK's @remote.
_REMOTE_FUNCTION = "/opt/ml/input/data/sagemaker_remote_function_bootstrap/"
# A word that is one path.
_PATH = re.compile(r"/[^\s:=,;\"'$*?(){}<>|&]+")


def command_of(request: Mapping[str, Any]) -> Optional[Tuple[str, ...]]:
    """The words that a request has the hosts run; None where hvdsm's own program is meant, or the image's."""
    algorithm = request.get("AlgorithmSpecification") or {}
    entry = tuple(algorithm.get("ContainerEntrypoint") or ())
    if not entry or is_own_program(request) or os.path.basename(entry[0]) in _OWN or entry[-2:] == ("-m", "hvdsm.container"):
        return None
    return entry + tuple(algorithm.get("ContainerArguments") or ())


def is_shipped(request: Mapping[str, Any], channel: str) -> bool:
    """Whether a channel only brings hvdsm's own program, which is on this machine already."""
    return channel == BUNDLE_CHANNEL and is_own_program(request)


def check_command(command: Sequence[str], path: str, hidden: Callable[[str], bool]) -> List[str]:
    """Find out whether this machine has what the command names.

    Args:
        command: the words.
        path: PATH of the hosts.
        hidden: whether hosts have something of their own at a path, so that the machine's is not there.

    Returns:
        warnings about paths among the arguments.

    Raises:
        ConfigError: the program itself is not here.
    """
    if any(word.startswith(_REMOTE_FUNCTION) for word in command):
        raise ConfigError(
            "a function of the SDK's @remote reads itself from S3 when it runs, and emulated hosts have no way out to it",
            where="AlgorithmSpecification.ContainerEntrypoint",
            remedy="rehearse the function's code as a script: hvdsm launch SCRIPT",
        )
    program = command[0]
    if "/" not in program and program not in (*PYTHONS, *_PIPS) and shutil.which(program, path=path) is None:
        raise _not_here(program, "is not on PATH of this machine")
    if program.startswith("/") and _absent(program, hidden):
        raise _not_here(program, "is not on this machine")
    absent = [word for word in command[1:] if _PATH.fullmatch(word) and _absent(word, hidden)]
    return [f"{word}, which ContainerEntrypoint names, is not on this machine: the image may have it" for word in absent]


def _absent(path: str, hidden: Callable[[str], bool]) -> bool:
    below = os.path.normpath(path)
    if below.startswith("/opt/ml/") and not below.startswith("/opt/ml/code/"):
        # What is there comes with the channels; code is the image's.
        return False
    return hidden(below) or not os.path.exists(below)


def _not_here(program: str, what: str) -> ConfigError:
    return ConfigError(
        f"{program} {what}, and the image that may have it is not run",
        where="AlgorithmSpecification.ContainerEntrypoint",
        remedy="install it here, or make the request with a script (source directory and entry point)",
    )


@dataclass(frozen=True)
class Driver:
    """What the SageMaker SDK 3 put into its channel.

    Attributes:
        name: file name of the driver that starts the script, empty where there is none.
        requirements: the file of requirements that is installed first, relative to the source; None for none.
    """

    name: str = ""
    requirements: Optional[str] = None

    @property
    def is_mpi(self) -> bool:
        """Whether it is the SDK's own for MPI."""
        return self.name == _MPI_DRIVER


def read_driver(files: Sequence[Tuple[str, str]]) -> Driver:
    """The driver of a channel of the SDK.

    Args:
        files: names in the channel and paths.
    """
    path = next((path for name, path in files if name == _SCRIPT), None)
    if path is None:
        return Driver()
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    driver, requirements = _DRIVER.search(text), _REQUIREMENTS.search(text)
    name = requirements[1] if requirements else None
    if name is not None and (name.startswith("/") or os.pardir in name.split("/")):
        name = None
    return Driver(driver[1] if driver else "", name)


def mpi_driver_warnings(hosts: int, has_requirements: bool, has_paramiko: bool) -> List[str]:
    """What to know of the SDK's own MPI driver.

    Raises:
        ConfigError: it cannot start here.
    """
    remedy = "distributed=hvdsm.sdk.v3.MPI(...), or hvdsm launch --instance-count N --processes-per-host P SCRIPT"
    if not has_paramiko and not has_requirements:
        raise ConfigError(
            "MPI() of the SageMaker SDK needs paramiko in the image (and mpi4py), and this Python, which stands for it, has none",
            where=sys.executable,
            remedy=f"pip install paramiko mpi4py; or let hvdsm start the ranks: {remedy}",
        )
    if hosts == 1:
        return []
    return [
        "MPI() of the SageMaker SDK gives mpirun the number of processes of one host as that of all, so that every rank runs on "
        f"the first host, here as in the cloud. To have ranks on all hosts: {remedy}"
    ]


def missing_commands(python: str) -> Tuple[str, ...]:
    """Which of ``python``, ``python3``, ``pip`` and ``pip3`` do not lead to this Python from its own directory."""
    directory = os.path.dirname(python)
    found = [name for name in PYTHONS if not _same(os.path.join(directory, name), python)]
    return (*found, *(name for name in _PIPS if found or not os.access(os.path.join(directory, name), os.X_OK)))


def _same(path: str, python: str) -> bool:
    return os.path.exists(path) and os.path.realpath(path) == os.path.realpath(python)


def make_commands(directory: str, commands: Mapping[str, Sequence[str]]) -> None:
    """Put programs into a directory that run others.

    They are scripts: a link would hide the virtual environment that a Python belongs to from it, and its prefix from mpirun.

    Args:
        directory: made here.
        commands: name of each program and the words that it runs, with its own arguments after them.
    """
    os.mkdir(directory)
    for name, words in commands.items():
        path = os.path.join(directory, name)
        with open(path, "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        os.chmod(path, 0o755)


def commands_for(python: str, mpirun: Optional[str]) -> Dict[str, Tuple[str, ...]]:
    """What :func:`missing_commands` names; and, where it is given, mpirun by its whole path.

    So called it tells its daemons on other hosts where they are: the sessions of ssh there have another PATH.
    """
    commands: Dict[str, Tuple[str, ...]] = {}
    for name in missing_commands(python):
        commands[name] = (python, "-m", "pip") if name in _PIPS else (python,)
    if mpirun is not None:
        commands["mpirun"] = (mpirun,)
    return commands
