"""Looks into the image for what a job needs, and says all that is missing in one message, before hosts wait for each other."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.machinery import PathFinder
from typing import Callable, FrozenSet, Iterable, Mapping, Sequence

from hvdsm.compose.needs import ImageFacts, Missing, Wanted, imported_modules, manager_of, missing_modules, missing_programs, told
from hvdsm.container.accounts import admit
from hvdsm.container.config import ContainerConfig, Settings
from hvdsm.container.facts import find_mpirun, sshd_path
from hvdsm.errors import ConfigError
from hvdsm.model import MPI, NONE

OS_RELEASE = "/etc/os-release"


class Image:
    """What this host's image has for a job.

    Args:
        config: what the platform wrote.
        settings: hvdsm's own settings.
        environ: the container's environment.
        say: told of accounts that were added.
    """

    def __init__(
        self, config: ContainerConfig, settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self._config = config
        self._settings = settings
        self._environ = environ
        self._say = say

    def check_programs(self) -> None:
        """Ssh and MPI, before the source is there.

        Raises:
            ConfigError: something is missing; with the lines of a Dockerfile that bring it.
        """
        wanted = self._wanted()
        if wanted.kind != MPI or not wanted.takes_part:
            return
        programs = {name for name in ("ssh", "ssh-keygen") if shutil.which(name, path=self._environ.get("PATH"))}
        programs |= {"sshd"} if sshd_path(self._environ) else set()
        programs |= {"mpirun"} if find_mpirun(wanted.mpirun, self._environ) else set()
        account = admit(self._say) if wanted.hosts > 1 and "sshd" in programs else ""
        facts = self._facts(frozenset(programs), account=account)
        self._tell(missing_programs(facts, wanted), facts)

    def check_modules(self, command: Sequence[str], python_path: Sequence[str]) -> None:
        """Python's packages, when those of the source are installed.

        Args:
            command: the entry point's.
            python_path: directories that ranks search after the code directory.

        Raises:
            ConfigError: something is missing; with the lines of a Dockerfile that bring it.
        """
        kind = self._config.job.distribution.kind
        if kind == NONE:
            return
        wanted = self._wanted(imported_modules(self._script(command)) if kind == MPI else frozenset())
        more = [*python_path, *filter(None, self._environ.get("PYTHONPATH", "").split(":"))]
        search = [self._config.paths.code, *more, *sys.path]
        facts = self._facts(modules=frozenset(_found(("torch", "mpi4py"), search)))
        self._tell(missing_modules(facts, wanted), facts)

    def _wanted(self, imports: FrozenSet[str] = frozenset()) -> Wanted:
        cluster = self._config.cluster
        return Wanted(
            self._config.job.distribution.kind,
            hosts=len(cluster.distribution_hosts),
            takes_part=cluster.current_host in cluster.distribution_hosts,
            launcher=cluster.is_launcher,
            mpirun=self._settings.mpirun,
            imports=imports,
        )

    def _facts(
        self, programs: FrozenSet[str] = frozenset(), modules: FrozenSet[str] = frozenset(), account: str = ""
    ) -> ImageFacts:
        return ImageFacts(
            programs=programs,
            modules=modules,
            manager=manager_of(_text(OS_RELEASE).decode(errors="replace")),
            conda=os.path.isdir(os.path.join(sys.prefix, "conda-meta")),
            pip=bool(list(_found(("pip",), sys.path))),
            account=account,
            user="root" if os.getuid() == 0 else str(os.getuid()),
        )

    def _script(self, command: Sequence[str]) -> bytes:
        """The text of a Python script; a module's or another program's is not looked into."""
        if len(command) > 1 and command[0] == sys.executable and command[1].endswith(".py"):
            return _text(os.path.join(self._config.paths.code, command[1]))
        return b""

    def _tell(self, missing: Sequence[Missing], facts: ImageFacts) -> None:
        if missing:
            what, remedy = told(missing, facts, rehearsal=self._settings.rehearsal)
            raise ConfigError(what, where=self._config.cluster.current_host, remedy=remedy)


def _found(names: Iterable[str], search: Sequence[str]) -> Iterable[str]:
    for name in names:
        if PathFinder.find_spec(name, list(search)) is not None:
            yield name


def _text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4 << 20)
    except OSError:
        return b""
