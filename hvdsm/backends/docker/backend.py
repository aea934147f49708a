"""The docker back end behind the protocol of :mod:`hvdsm.backends.base`: the local one, with containers for hosts."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from hvdsm.backends.docker.calls import client_environment, compose_command, ownership
from hvdsm.backends.docker.cluster import ComposeCluster
from hvdsm.backends.docker.engine import Engine, find_engine
from hvdsm.backends.docker.options import DockerOptions
from hvdsm.backends.docker.plan import DockerPlan, make_plan
from hvdsm.backends.docker.services import PARTS, TOKEN, container_name, describe
from hvdsm.backends.local.backend import LocalBackend, LocalJob
from hvdsm.backends.local.machine import look_at_machine
from hvdsm.backends.local.plan import LocalPlan
from hvdsm.backends.local.run import Cluster
from hvdsm.backends.local.running import remove_running
from hvdsm.backends.local.secret_values import secret_names
from hvdsm.backends.local.stage import Stage, prepare
from hvdsm.compose.compose_file import compose_text
from hvdsm.compose.mask import mask_arguments, mask_request
from hvdsm.compose.secrets import forms, without
from hvdsm.errors import ConfigError


@dataclass(frozen=True)
class Written:
    """A Compose file that was written: its path, the commands that run it, and the variables that have to be set before."""

    compose_file: str
    commands: Tuple[str, ...]
    variables: Tuple[str, ...]


def check_no_secrets(plan: DockerPlan) -> None:
    """Refuse what would put a secret into files that stay.

    Raises:
        ConfigError: an argument or a hyperparameter looks like one.
    """
    remedy = "have the job read it from a variable: --env NAME=VALUE, or --secret NAME=ARN"
    request = dict(plan.request)
    if any(word != masked for word, masked in zip(plan.arguments, mask_arguments(plan.arguments))):
        raise ConfigError("an argument looks like a secret", where="AlgorithmSpecification.ContainerArguments", remedy=remedy)
    values = request.get("HyperParameters") or {}
    hidden = mask_request(request).get("HyperParameters") or {}
    changed = sorted(name for name in values if hidden.get(name) != values[name])
    if changed:
        raise ConfigError("looks like a secret, which a file would hold", where=f"hyperparameter {changed[0]}", remedy=remedy)


class DockerBackend(LocalBackend):
    """Executes requests in containers of this machine, one for each host.

    Args:
        options: what it is told besides the request.
        environ: variables of the caller, ``os.environ`` by default.
        engine: the engine; found when it is needed by default.
    """

    def __init__(
        self,
        options: Optional[DockerOptions] = None,
        environ: Optional[Mapping[str, str]] = None,
        engine: Optional[Engine] = None,
    ) -> None:
        super().__init__(None, environ)
        self.docker = options or DockerOptions()
        self._engine = engine
        self._say: Callable[[str], object] = bool

    def plan(self, request: Mapping[str, Any]) -> DockerPlan:
        """Check the request, the files that it names and the engine; see :func:`make_plan`."""
        machine = look_at_machine(None, "single", self.environ)
        engine = self._engine or find_engine(self.docker.engine, self.environ)
        return make_plan(request, self.docker, machine, engine, self.environ.get("HOME") or "~")

    def submit(self, plan: LocalPlan, say: Callable[[str], None]) -> LocalJob:
        """Stage the hosts, make the containers and start them.

        Raises:
            ConfigError: results of that name exist, or data cannot be had.
            BackendUnavailable: the containers cannot be made.
        """
        self._say = say
        return super().submit(plan, say)

    def write(self, plan: DockerPlan, say: Callable[[str], None]) -> Written:
        """Write the Compose file and what it mounts, and start nothing; these files stay.

        Raises:
            ConfigError: results of that name exist, data cannot be had, or a file would hold a secret.
        """
        names = secret_names(plan.request)
        check_no_secrets(plan)
        stage = prepare(plan, say, self.environ, image=True)
        remove_running(plan.job_dir)
        # It is no run yet, of which `hvdsm jobs` would say that it was lost.
        os.rename(os.path.join(plan.job_dir, "request.json"), os.path.join(stage.work, "request.json"))
        described = describe(plan, stage.bases, stage.mounts, self.environ, dict.fromkeys(names, ""), "")
        open_to_all(stage)
        with open(plan.compose_file, "w", encoding="utf-8") as file:
            file.write(compose_text(described.project))
        project = str(described.project.name)
        calls = [compose_command(plan.engine, plan.compose_file, project, verb) for verb in ("up", "down")]
        asked = tuple(name for name in described.values if name != TOKEN)
        return Written(plan.compose_file, tuple(shlex.join(words) for words in calls), asked)

    def _staged(self, plan: LocalPlan, say: Callable[[str], None]) -> Stage:
        return prepare(plan, say, self.environ, image=True)

    def _environments(self, plan: LocalPlan, stage: Stage, secrets_of: Mapping[str, str]) -> Dict[str, Dict[str, str]]:
        # The containers have theirs already, by the Compose file.
        del stage, secrets_of
        return {host: {} for host in plan.hosts}

    def _cluster(self, plan: LocalPlan, stage: Stage, secrets_of: Mapping[str, str]) -> Cluster:
        assert isinstance(plan, DockerPlan)
        described = describe(plan, stage.bases, stage.mounts, self.environ, secrets_of, secrets.token_hex(32))
        open_to_all(stage)
        with open(plan.compose_file, "w", encoding="utf-8") as file:
            file.write(compose_text(described.project))
        masked = forms(described.values.values())
        written = [stage.work, *([plan.checkpoint.directory] if plan.checkpoint is not None else [])]
        calls = [ownership(plan.engine, plan.image, place, os.getuid(), os.getgid()) for place in written]

        def give_back() -> None:
            for words in calls:
                if words is not None:
                    subprocess.run(words, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True)
            close_again(stage)

        cluster = ComposeCluster(
            plan.engine,
            plan.compose_file,
            str(described.project.name),
            {host: container_name(plan.job_name, host) for host in plan.hosts},
            client_environment(self.environ, described.values),
            self._say,
            give_back,
            # What Compose says of its own work may hold what it was given.
            lambda text: without(text, masked),
        )
        cluster.check_free()
        try:
            cluster.create()
        except BaseException:
            cluster.close()
            raise
        return cluster


def open_to_all(stage: Stage) -> None:
    """Let any user of an image write into the directories of its host; their parent keeps others of this machine out."""
    for folder in _shared(stage):
        os.chmod(folder, 0o777)


def close_again(stage: Stage) -> None:
    """Undo :func:`open_to_all`; a link that a container has put in the place of a directory is not followed."""
    for folder in _shared(stage):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            os.fchmod(descriptor, 0o755)
        except PermissionError:
            # Another user's by now: what a container has made anew.
            continue
        finally:
            os.close(descriptor)


def _shared(stage: Stage) -> List[str]:
    parts = (*PARTS, "output/data")
    return [os.path.join(base, part) for base in stage.bases.values() for part in parts]
