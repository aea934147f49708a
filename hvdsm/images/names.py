"""What an image is called: registry, repository, tag; and the defaults of ``hvdsm image``.

A tag that is given is used as it is; else it is ``sm-<device>``.
Source of the rules of a name: the Distribution project's reference grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Optional

from hvdsm.aws.registry_names import Registry, check_repository, registry_of
from hvdsm.errors import UsageError

CPU = "cpu"
GPU = "gpu"
DEVICES = (CPU, GPU)
DEFAULT_DEVICE = GPU
DEFAULT_NAME = "graphstorm"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d+)?")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageName:
    """The name of an image.

    Attributes:
        repository: the part after the registry, such as ``team/training``.
        tag: empty where there is none.
        registry: host, with a port if need be; empty for one of this machine.
        digest: ``sha256:…`` where the image is named by it.
    """

    repository: str
    tag: str = ""
    registry: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """As the engines write it."""
        host = f"{self.registry}/" if self.registry else ""
        return f"{host}{self.repository}{':' + self.tag if self.tag else ''}{'@' + self.digest if self.digest else ''}"

    @property
    def untagged(self) -> str:
        """Without tag and digest."""
        return str(replace(self, tag="", digest=""))

    @property
    def ecr(self) -> Optional[Registry]:
        """The registry in ECR that it is in by its name."""
        return registry_of(self.registry) if self.registry else None


def parse_name(text: str, where: str = "the image's name") -> ImageName:
    """The parts of an image's name.

    >>> parse_name("888888888888.dkr.ecr.us-east-1.amazonaws.com/graphstorm:sm-gpu").repository
    'graphstorm'

    Args:
        text: ``[HOST[:PORT]/]NAME[:TAG][@DIGEST]``.
        where: what the text is, for the message.

    Raises:
        UsageError: it is no name.
    """
    rest, _, digest = text.partition("@")
    first, slash, path = rest.partition("/")
    registry = ""
    if slash and (re.search(r"[.:]", first) or first == "localhost"):
        registry, rest = first, path
    # The colon of a port has been taken away with the registry.
    repository, _, tag = rest.partition(":")
    if registry and not _HOST.fullmatch(registry):
        raise UsageError(f"{registry!r} in {text!r} is no registry", where=where, remedy="HOST[:PORT]/NAME:TAG")
    if not _PATH.fullmatch(repository):
        lower = repository.lower()
        better = text.replace(repository, lower, 1) if _PATH.fullmatch(lower) and lower != repository else "team/training:1"
        raise UsageError(
            f"{text!r} is no name of an image: lower-case letters and digits, with . _ - and / between them",
            where=where,
            remedy=f"name it like {better}",
        )
    if rest.endswith(":"):
        raise UsageError(f"{text!r} has a colon and no tag", where=where, remedy=f"{text[:-1]}, or {text}TAG")
    if tag:
        check_tag(tag, where)
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise UsageError(f"{text!r} has no digest after the @", where=where, remedy="NAME@sha256: and 64 hexadecimal digits")
    return ImageName(repository, tag, registry, digest)


def check_tag(tag: str, where: str = "--tag") -> str:
    """A tag, if it is one.

    Raises:
        UsageError: it is none.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"{tag!r} is no tag: letters, digits, _ . and -, at most 128, and . or - not first", where=where, remedy="--tag 1.0"
        )
    return tag


def default_tag(device: str) -> str:
    """The tag of an image that is given none.

    >>> default_tag("gpu"), default_tag("cpu")
    ('sm-gpu', 'sm-cpu')
    """
    return f"sm-{device}"


def image_name(
    name: Optional[str], tag: Optional[str], device: str, default: str = DEFAULT_NAME, where: str = "--name"
) -> ImageName:
    """What an image is called.

    Args:
        name: with a registry and a tag, or without; ``default`` if None.
        tag: is used as it is; ``sm-<device>`` where there is none here and none in the name.
        device: ``cpu`` or ``gpu``.
        default: name of an image that is given none.
        where: what the name is given by, for the message.

    Raises:
        UsageError: name or tag are none, or there are two tags.
    """
    parsed = parse_name(default if name is None else name, "the image's name" if name is None else where)
    if tag is not None:
        check_tag(tag)
        if parsed.tag and parsed.tag != tag:
            raise UsageError(f"the name has the tag {parsed.tag}, --tag says {tag}", where=str(parsed), remedy="give one of them")
    return replace(parsed, tag=tag or parsed.tag or ("" if parsed.digest else default_tag(device)))


def in_registry(image: ImageName, registry: Registry) -> ImageName:
    """The image's name in a registry of ECR: the repository is the name without its own registry.

    >>> from hvdsm.aws.registry_names import registry
    >>> str(in_registry(ImageName("graphstorm", "sm-cpu", "localhost"), registry("888888888888", "us-east-1")))
    '888888888888.dkr.ecr.us-east-1.amazonaws.com/graphstorm:sm-cpu'

    Raises:
        UsageError: ECR has no repository of such a name.
    """
    return replace(image, registry=registry.host, repository=check_repository(image.repository))
