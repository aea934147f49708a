"""The commands of docker, podman and buildah, as argument lists; nothing is run here.

No secret is in them: a registry's password goes over standard input, a build argument's value may stay in the environment.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional, Sequence, Tuple

from hvdsm.aws.registry_names import Registry
from hvdsm.compose.mask import looks_secret, mask_text, mask_value
from hvdsm.images.names import ImageName

DOCKER = "docker"
PODMAN = "podman"
BUILDAH = "buildah"
# In the order in which they are looked for.
ENGINES = (DOCKER, PODMAN, BUILDAH)
# Label of images that were built by hvdsm: what they are for.
DEVICE_LABEL = "hvdsm.device"
VERSION_LABEL = "hvdsm.version"
# SageMaker takes Docker's manifests alone, no index with attestations: buildx would make one.
_DOCKER_BUILD = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


@dataclass(frozen=True)
class Command:
    """A command, and what it gets beside its arguments.

    Attributes:
        argv: program and arguments.
        environ: variables that are added to this process's.
        producer: for display, a command whose output is what this one reads; empty where it reads nothing.
    """

    argv: Tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    producer: Tuple[str, ...] = ()

    def shown(self) -> str:
        """As a line for a shell, secrets masked."""
        words = [f"{name}={shlex.quote(mask_value(name, value))}" for name, value in self.environ.items()]
        words += [shlex.quote(mask_text(word)) for word in self.argv]
        return f"{shlex.join(self.producer)} | {' '.join(words)}" if self.producer else " ".join(words)


@dataclass(frozen=True)
class BuildWords:
    """What a build command says.

    Attributes:
        context: directory whose files the Dockerfile may copy.
        dockerfile: path of it.
        image: name of the result.
        arguments: build arguments; without a value the environment's counts.
        labels: labels of the result.
        target: stage to build; the last by default.
        platform: such as ``linux/amd64``; this machine's by default.
        extra: further arguments, as they are.
        plain: whether progress is to be lines.
    """

    context: str
    dockerfile: str
    image: ImageName
    arguments: Sequence[Tuple[str, Optional[str]]] = ()
    labels: Sequence[Tuple[str, str]] = ()
    target: Optional[str] = None
    platform: Optional[str] = None
    extra: Sequence[str] = ()
    plain: bool = False


def build_command(engine: str, words: BuildWords) -> Command:
    """The command that builds an image."""
    environ: Dict[str, str] = dict(_DOCKER_BUILD) if engine == DOCKER else {}
    argv = [engine, "build"]
    if engine == DOCKER:
        argv += ["--progress", "plain"] if words.plain else []
    else:
        argv += ["--format", "docker"]
    # podman keeps layers, and removes the containers of steps that failed, by itself.
    argv += ["--layers", "--force-rm"] if engine == BUILDAH else []
    argv += ["--file", words.dockerfile if engine == DOCKER else _field(words.dockerfile), "--tag", str(words.image)]
    argv += ["--platform", words.platform] if words.platform else []
    argv += ["--target", words.target] if words.target else []
    for name, value in words.arguments:
        hidden = value is not None and (looks_secret(name) or mask_text(value) != value)
        if hidden:
            # The engine takes it from there: every user of the machine can read a command line.
            environ[name] = str(value)
        argv += ["--build-arg", name if value is None or hidden else f"{name}={value}"]
    for name, text in words.labels:
        argv += ["--label", f"{name}={text}"]
    return Command((*argv, *words.extra, words.context), environ)


def _field(path: str) -> str:
    """A path as a field of CSV, which podman and buildah take --file for."""
    return '"' + path.replace('"', '""') + '"' if re.search(r'[",\r\n]', path) else path


def login_command(engine: str, registry: Registry, user: str = "AWS") -> Command:
    """The command that logs in to a registry; it reads the password."""
    producer = ("aws", "ecr", "get-login-password", "--region", registry.region)
    return Command((engine, "login", "--username", user, "--password-stdin", registry.host), {}, producer)


def tag_command(engine: str, image: ImageName, other: ImageName) -> Command:
    """The command that gives an image another name."""
    return Command((engine, "tag", str(image), str(other)))


def push_command(engine: str, image: ImageName, extra: Sequence[str] = ()) -> Command:
    """The command that pushes an image."""
    if engine == DOCKER:
        return Command((engine, "push", *extra, str(image)))
    # An image that was built elsewhere may be in OCI's format.
    return Command((engine, "push", "--format", "v2s2", *extra, str(image), f"docker://{image}"))


def inspect_command(engine: str, image: ImageName) -> Command:
    """The command that prints an image's id, and fails where there is none."""
    if engine == BUILDAH:
        return Command((engine, "inspect", "--type", "image", "--format", "{{.FromImageID}}", str(image)))
    return Command((engine, "image", "inspect", "--format", "{{.Id}}", str(image)))


def list_command(engine: str, *, every: bool = False) -> Command:
    """The command that lists images as JSON: those that hvdsm built, or every one."""
    chosen = () if every else ("--filter", f"label={DEVICE_LABEL}")
    if engine == DOCKER:
        return Command((engine, "image", "ls", *chosen, "--format", "{{json .}}"))
    if engine == PODMAN:
        return Command((engine, "image", "ls", *chosen, "--format", "json"))
    return Command((engine, "images", *chosen, "--json"))


def probe_command(engine: str) -> Command:
    """The command that prints the version of what does the work, and fails where it does not answer."""
    if engine == DOCKER:
        # The client is often there without the engine.
        return Command((engine, "version", "--format", "{{.Server.Version}}"))
    if engine == PODMAN:
        return Command((engine, "info", "--format", "{{.Version.Version}}"))
    return Command((engine, "--version"))


def missing_arguments(given: Sequence[Tuple[str, Optional[str]]], environ: Mapping[str, str]) -> Tuple[str, ...]:
    """Build arguments without a value that the environment does not have either."""
    return tuple(name for name, value in given if value is None and name not in environ)
