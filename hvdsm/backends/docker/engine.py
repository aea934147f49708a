"""Which container engine this machine has, and the program for Compose files that belongs to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable, List, Mapping, Optional, Sequence, Tuple, Union

from hvdsm.backends.docker.options import AUTO, DOCKER, PODMAN
from hvdsm.errors import BackendUnavailable

# Seconds that an engine may take to answer a question about itself.
PATIENCE = 30.0
_PLUGIN = "install the plugin (package docker-compose-plugin), or docker-compose"
_PODMAN_COMPOSE = "pip install podman-compose"

# Runs words and gives the exit code, standard output and standard error.
Ask = Callable[[Sequence[str]], Tuple[int, str, str]]


@dataclass(frozen=True)
class Engine:
    """An engine that works.

    Attributes:
        name: ``docker`` or ``podman``.
        program: its program.
        compose: the words that stand before the arguments of Compose.
        version: what it says of itself.
        rootless: whether a container's root is the user who runs the engine.
    """

    name: str
    program: str
    compose: Tuple[str, ...]
    version: str = ""
    rootless: bool = False

    @property
    def is_podman(self) -> bool:
        """Whether it is podman."""
        return self.name == PODMAN


def asking(environ: Mapping[str, str], timeout: float = PATIENCE) -> Ask:
    """Runs programs with the caller's variables."""

    def ask(words: Sequence[str]) -> Tuple[int, str, str]:
        try:
            done = subprocess.run(
                list(words),
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                text=True,
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            return 124, "", f"no answer within {timeout:g} s"
        except OSError as error:
            return 127, "", error.strerror or str(error)
        return done.returncode, done.stdout, done.stderr

    return ask


def selinux_enforces(place: str = "/sys/fs/selinux/enforce") -> bool:
    """Whether SELinux keeps containers from paths that are not labelled for them."""
    try:
        with open(place, encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False


def find_program(name: str, environ: Mapping[str, str]) -> Optional[str]:
    """A program on PATH, else beside the running Python."""
    found = shutil.which(name, path=environ.get("PATH") or os.defpath)
    return found or shutil.which(os.path.join(os.path.dirname(sys.executable), name))


def find_engine(wanted: str, environ: Mapping[str, str], ask: Optional[Ask] = None) -> Engine:
    """The engine that is wanted, or the first that works: docker, podman.

    Raises:
        BackendUnavailable: none works; the message says why of each.
    """
    ask = ask or asking(environ)
    reasons: List[str] = []
    remedies: List[str] = []
    for name in (DOCKER, PODMAN) if wanted == AUTO else (wanted,):
        found = _docker(environ, ask) if name == DOCKER else _podman(environ, ask)
        if isinstance(found, Engine):
            return found
        reasons.append(f"{name}: {found[0]}")
        remedies.append(found[1])
    raise BackendUnavailable(
        "; ".join(reasons),
        where="container engine",
        remedy=" or ".join(remedies) + "; or rehearse without containers: --backend local",
    )


def _docker(environ: Mapping[str, str], ask: Ask) -> Union[Engine, Tuple[str, str]]:
    program = find_program(DOCKER, environ)
    if program is None:
        return "not installed", "install Docker Engine"
    code, out, err = ask([program, "version", "--format", "{{.Server.Version}}"])
    if code:
        return _last(err) or f"exit code {code}", "start it (systemctl start docker), and let yourself use it (group docker)"
    for compose in ((program, "compose"), (find_program("docker-compose", environ) or "",)):
        if compose[0] and not ask([*compose, "version"])[0]:
            rootless = "rootless" in ask([program, "info", "--format", "{{.SecurityOptions}}"])[1]
            return Engine(DOCKER, program, compose, out.strip(), rootless)
    return "has no Compose", _PLUGIN


def _podman(environ: Mapping[str, str], ask: Ask) -> Union[Engine, Tuple[str, str]]:
    program = find_program(PODMAN, environ)
    if program is None:
        return "not installed", "install podman"
    code, out, err = ask([program, "version", "--format", "{{.Client.Version}}"])
    if code:
        return _last(err) or f"exit code {code}", "see what `podman info` says"
    compose = find_program("podman-compose", environ)
    if compose is None:
        return "has no podman-compose", _PODMAN_COMPOSE
    return Engine(PODMAN, program, (compose,), out.strip(), rootless=os.geteuid() != 0)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
