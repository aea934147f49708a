"""Docker, podman and buildah as far as building images takes: which of them works here, and the words that each understands."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Dict, List, Mapping, Tuple

import steps

ENGINES = ("docker", "podman", "buildah")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# A directory that every base has: one that had to be made for the mount would stay in the image.
WHEELS = "/mnt"
INSTALL = "apt-get install podman crun netavark aardvark-dns iptables fuse-overlayfs uidmap"


@dataclass(frozen=True)
class Build:
    """One image to build.

    Attributes:
        file: the Dockerfile, relative to the context.
        tag: what the image is called.
        arguments: build arguments.
        volumes: pairs of a path on this machine and where the steps of the build see it, read-only.
    """

    file: str
    tag: str
    arguments: Mapping[str, str]
    volumes: Tuple[Tuple[str, str], ...] = ()


def find(asked: str = "") -> str:
    """Return the engine that builds: the one asked for, else the first that works here.

    Raises:
        steps.StepFailed: none works, or the one asked for does not.
    """
    engine = found(asked)
    if engine:
        return engine
    if asked:
        raise steps.StepFailed(f"{asked} does not work here: `{' '.join(probe(asked))}` fails or is not there")
    raise steps.StepFailed(f"images are built by docker, podman or buildah, and none works here; on Debian: {INSTALL}")


def found(asked: str = "") -> str:
    """Return the engine asked for, else the first that works here; an empty string when there is none."""
    return next((name for name in ([asked] if asked else ENGINES) if works(name)), "")


def probe(name: str) -> List[str]:
    """Return a command that succeeds where the engine can be used; docker without its daemon can not."""
    return [name, "info", "--format", "{{.ServerVersion}}"] if name == "docker" else [name, "--version"]


def works(name: str) -> bool:
    """Tell whether an engine can be used here."""
    return shutil.which(name) is not None and bool(steps.output_of(probe(name)))


def build_command(engine: str, build: Build, context: str = ".") -> List[str]:
    """Return the words that build an image.

    Raises:
        steps.StepFailed: docker shall mount something, which its builds cannot.
    """
    command = [engine, "build", "--file", build.file, "--tag", build.tag]
    if engine == "docker" and build.volumes:
        paths = " and ".join(path for path, _ in build.volumes)
        raise steps.StepFailed(f"docker build mounts nothing of this machine ({paths}): use --engine podman, or a package index")
    if engine != "docker":
        # Runs inside of containers and in CI as well. Docker's format, since each registry takes it.
        command += ["--isolation", "chroot", "--format", "docker", "--layers"]
    for path, inside in build.volumes:
        command += ["--volume", f"{os.path.abspath(path)}:{inside}:ro"]
    for name, value in sorted(build.arguments.items()):
        command += ["--build-arg", f"{name}={value}"]
    return [*command, context]


def build_environment(environ: Mapping[str, str]) -> Dict[str, str]:
    """Return the environment of a build: docker then builds by BuildKit, which leaves out stages that are not needed."""
    return {**environ, "DOCKER_BUILDKIT": "1"}


def volumes_of(wheels: str, certificates: str) -> Tuple[Tuple[str, str], ...]:
    """Return what a build mounts: a directory of wheels, and the certificates that pip and apt trust, in place of the base's."""
    return tuple((path, inside) for path, inside in ((wheels, WHEELS), (certificates, CERTIFICATES)) if path)


def have(engine: str, image: str) -> bool:
    """Tell whether an image is on this machine."""
    kind = ["inspect", "--type", "image"] if engine == "buildah" else ["image", "inspect"]
    return steps.output_of([engine, *kind, image]) is not None


def pull(engine: str, image: str) -> bool:
    """Try to fetch an image from the registry that its name, or the engine's configuration, stands for."""
    return steps.output_of([engine, "pull", "--quiet", image]) is not None


def size(engine: str, image: str) -> str:
    """Return how much disk an image takes, as words: ``445 MB``; empty when the engine does not tell."""
    if engine == "buildah":
        return steps.output_of([engine, "images", "--format", "{{.Size}}", image]) or ""
    text = steps.output_of([engine, "image", "inspect", "--format", "{{.Size}}", image])
    return f"{int(text) / 1e6:.0f} MB" if text and text.isdigit() else ""


def import_commands(engine: str, archive: str, tag: str) -> List[List[str]]:
    """Return the commands that make an image of the files in an archive."""
    if engine != "buildah":
        return [[engine, "import", archive, tag]]
    name = "hvdsm-base-import"
    return [
        [engine, "from", "--name", name, "scratch"],
        [engine, "add", name, archive, "/"],
        [engine, "commit", "--rm", name, tag],
    ]


def default_wheels(environ: Mapping[str, str]) -> str:
    """Return the directory of wheels, the first of them, that pip is given here by its environment."""
    return next((path for path in environ.get("PIP_FIND_LINKS", "").split() if os.path.isdir(path)), "")


def default_certificates(environ: Mapping[str, str]) -> str:
    """Return the file of certificates that pip is given here by its environment; a company's proxy is known from it."""
    return next((environ[name] for name in ("PIP_CERT", "SSL_CERT_FILE") if os.path.isfile(environ.get(name, ""))), "")
