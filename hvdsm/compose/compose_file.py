"""Compose files: N services that look like the hosts of a SageMaker training job; pure.

Source of the fields: the Compose specification.  Compose replaces ``$NAME`` in every text, so that a dollar sign is written
twice.  No value of a secret is written: a file names the variables, and their values are in the environment of who runs it.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from hvdsm.compose.compose_yaml import Unwritable, yaml_text
from hvdsm.errors import ConfigError

# PyTorch's loaders share memory between processes; an engine gives 64 MB by default.
SHM_SIZE = "8gb"
# What the SDKs of AWS read; given on where the caller has them.
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# Where the files of AWS's configuration are in a container.
AWS_TARGET = "/opt/hvdsm/aws"


@dataclass(frozen=True)
class Reference:
    """A variable in the environment of who runs the file, in place of a text."""

    name: str


Text = Union[str, Reference]


@dataclass(frozen=True)
class Bind:
    """A path of the machine in a container; a relative source is relative to the file."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Service:
    """One host.

    Attributes:
        name: ``algo-1``; the name of the service, of the host, and in the network.
        image: the image.
        container_name: name of the container on the machine.
        command: words of the command; None is the image's own.
        entrypoint: words that stand in place of the image's entry point; None keeps that.
        environment: variables; None takes the value from the environment of who runs the file, and leaves the variable out where
            that has none; a Reference takes it from a variable of another name.
        binds: paths of the machine, the outer ones first.
        gpus: GPUs of the host: their ids, or how many; empty and 0 for none, -1 for all.
        working_dir: directory of the command; None is the image's own.
        ports: ports that others on the machine can reach.
        stop_grace: seconds between SIGTERM and SIGKILL.
        unlabelled: whether SELinux is to let the container at paths of the machine that have not been labelled for it.
    """

    name: str
    image: str
    container_name: str
    command: Optional[Tuple[Text, ...]] = None
    entrypoint: Optional[Tuple[Text, ...]] = None
    environment: Mapping[str, Optional[Text]] = field(default_factory=dict)
    binds: Tuple[Bind, ...] = ()
    gpus: Union[Tuple[str, ...], int] = ()
    working_dir: Optional[str] = None
    ports: Tuple[int, ...] = ()
    stop_grace: Optional[float] = None
    unlabelled: bool = False


@dataclass(frozen=True)
class ComposeProject:
    """A file.

    Attributes:
        name: of the project; None leaves it to the program that reads the file.
        services: the hosts.
        network: key of the network that they share.
        network_name: its name on the machine; None makes one from the project's.
        external: whether the network was made before.
        internal: whether nothing outside can be reached from it.
        shm_size: size of ``/dev/shm``, as ``8gb``.
        comments: lines at the top.
    """

    name: Optional[str]
    services: Tuple[Service, ...]
    network: str = "hvdsm"
    network_name: Optional[str] = None
    external: bool = False
    internal: bool = False
    shm_size: str = SHM_SIZE
    comments: Tuple[str, ...] = ()


def compose_text(project: ComposeProject) -> str:
    """The file of a project.

    Raises:
        ConfigError: a text in it cannot be written, or the size of shared memory is none.
    """
    check_shm_size(project.shm_size)
    for service in project.services:
        check_image(service.image)
    network: Dict[str, Any] = {}
    if project.network_name is not None:
        network["name"] = literal(project.network_name)
    if project.external:
        network["external"] = True
    elif project.internal:
        network["internal"] = True
    document: Dict[str, Any] = {} if project.name is None else {"name": project.name}
    document["networks"] = {project.network: network}
    document["services"] = {}
    lines = [f"# {line}" if line else "#" for comment in project.comments for line in _printable(comment)]
    for service in project.services:
        described = _service(service, project)
        try:
            yaml_text(described)
        except Unwritable as error:
            raise ConfigError(
                f"a text of the job {error}, which a Compose file cannot hold", where=service.name, remedy="rename it"
            ) from None
        document["services"][service.name] = described
    return "".join(f"{line}\n" for line in lines) + yaml_text(document)


def check_shm_size(size: str) -> None:
    """Refuse what is no size for Compose.

    Raises:
        ConfigError: it is none.
    """
    if not re.fullmatch(r"[1-9][0-9]*(?:\.[0-9]+)?(?:[bkmg]|kb|mb|gb)?", str(size)):
        raise ConfigError(f"must be a size, not {str(size)!r}", where="--shm-size", remedy="write it as 8gb or 512mb")


def check_image(image: str) -> None:
    """Refuse what an engine would not take for the name of an image.

    Raises:
        ConfigError: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.:/@-]*", image, re.ASCII):
        raise ConfigError(
            f"is no name of an image: {image!r}", where="--image", remedy="--image NAME:TAG, as `docker images` shows it"
        )


def _printable(comment: str) -> List[str]:
    return ["".join(c if c.isprintable() else "?" for c in line) for line in comment.split("\n")]


def _service(service: Service, project: ComposeProject) -> Dict[str, Any]:
    found: Dict[str, Any] = {
        "image": literal(service.image),
        "container_name": service.container_name,
        "hostname": service.name,
        "networks": {project.network: {"aliases": [service.name]}},
    }
    for name, words in (("entrypoint", service.entrypoint), ("command", service.command)):
        if words is not None:
            found[name] = [written(word) for word in words]
    if service.environment:
        variables = service.environment
        found["environment"] = {name: None if value is None else written(value) for name, value in variables.items()}
    if service.binds:
        found["volumes"] = [_bind(bind) for bind in service.binds]
    if service.ports:
        # A number alone: the machine's side is whatever is free.
        found["ports"] = [str(port) for port in service.ports]
    if service.working_dir is not None:
        found["working_dir"] = literal(service.working_dir)
    found["shm_size"] = project.shm_size
    if service.stop_grace is not None:
        found["stop_grace_period"] = f"{max(1, round(service.stop_grace))}s"
    if service.unlabelled and service.binds:
        found["security_opt"] = ["label=disable"]
    device = _device(service.gpus)
    if device:
        found["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    return found


def _device(gpus: Union[Tuple[str, ...], int]) -> Dict[str, Any]:
    if not gpus:
        return {}
    device: Dict[str, Any] = {"driver": "nvidia"}
    if isinstance(gpus, int):
        device["count"] = "all" if gpus < 0 else gpus
    else:
        device["device_ids"] = [literal(gpu) for gpu in gpus]
    return {**device, "capabilities": ["gpu"]}


def _bind(bind: Bind) -> Dict[str, Any]:
    found: Dict[str, Any] = {"type": "bind", "source": literal(bind.source), "target": literal(bind.target)}
    return {**found, "read_only": True} if bind.read_only else found


def literal(text: str) -> str:
    """A text that Compose leaves as it is."""
    return text.replace("$", "$$")


def written(text: Text) -> str:
    """A word of a command: itself, or ``${NAME}``."""
    return "${" + text.name + "}" if isinstance(text, Reference) else literal(text)


def project_name(job_name: str) -> str:
    """A project's name made of a job's: small letters, digits, hyphens; different ones for different jobs.

    >>> [project_name(name) for name in ("train-2026", "Train-2026", "_")]
    ['train-2026', 'train-2026-d8639dc9', 'job-29d6a3e8']
    """
    name = re.sub(r"[^a-z0-9_-]+", "-", job_name.lower()).strip("-_") or "job"
    # Compose would take the containers of another job for this one's.
    return name if name == job_name else f"{name}-{zlib.crc32(job_name.encode('utf-8', 'replace')):08x}"


def training_env(hosts: Sequence[str], current: str, job_name: str, **more: Any) -> str:
    """``SM_TRAINING_ENV`` of a host before its ranks have one: who takes part, and in which job."""
    known = {"current_host": current, "hosts": list(hosts), "job_name": job_name, "master_hostname": hosts[0], **more}
    return json.dumps(known, sort_keys=True)
