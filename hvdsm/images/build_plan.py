"""What a build does: decided from the order, the Dockerfile and the recipes; nothing is run."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.aws.registry_names import FRAMEWORKS, Registry, registry
from hvdsm.compose.mask import looks_secret, mask_text
from hvdsm.errors import ConfigError, UsageError
from hvdsm.images.commands import (
    DEVICE_LABEL,
    VERSION_LABEL,
    BuildWords,
    Command,
    build_command,
    login_command,
    missing_arguments,
)
from hvdsm.images.dockerfile import Dockerfile, prefixed_ignore, read_dockerfile
from hvdsm.images.names import DEFAULT_NAME, image_name, parse_name
from hvdsm.images.recipes import DOCKERFILE, GRAPH, SOURCE, Recipe, recipe
from hvdsm.images.staging import Copy
from hvdsm.version import __version__

# Stands for the staging directory in what is shown before it is made.
STAGING = "STAGING"
# Where framework images are taken from, unless it is said.
BASE_REGION = "us-east-1"
_IGNORE = ".dockerignore"


@dataclass(frozen=True)
class Order:
    """What is to be built; see ``hvdsm image build --help``.

    ``arguments`` are build arguments; one without a value takes it from the environment.  ``base_account`` and ``base_region``
    are those of the framework images that recipes are built from.
    """

    source: Optional[str]
    device: str
    name: Optional[str] = None
    tag: Optional[str] = None
    file: Optional[str] = None
    recipe: Optional[str] = None
    context: Optional[str] = None
    arguments: Sequence[Tuple[str, Optional[str]]] = ()
    target: Optional[str] = None
    platform: Optional[str] = None
    extra: Sequence[str] = ()
    logins: Sequence[Registry] = ()
    login: bool = True
    base_account: str = FRAMEWORKS
    base_region: str = BASE_REGION


@dataclass(frozen=True)
class BuildPlan:
    """What a build does.

    Attributes:
        words: what the build command says; of a staged build its paths begin with ``STAGING``.
        device: ``cpu`` or ``gpu``.
        recipe: the recipe; None for a Dockerfile of one's own.
        copies: what is staged; nothing where the context is used as it is.
        texts: files that are written into the staging directory.
        bases: images that it is built from.
        logins: registries in ECR that they are in.
        warnings: what may be meant otherwise.
    """

    words: BuildWords
    device: str
    recipe: Optional[Recipe] = None
    copies: Tuple[Copy, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    bases: Tuple[str, ...] = ()
    logins: Tuple[Registry, ...] = ()
    warnings: Tuple[str, ...] = ()

    def commands(self, engine: str, *, plain: bool = False, staged: str = STAGING) -> Tuple[Command, ...]:
        """The commands, the last of which builds.

        Args:
            engine: what builds.
            plain: whether progress is to be lines.
            staged: path of the staging directory.
        """
        words = replace(self.words, plain=plain)
        if self.copies:
            words = replace(words, context=staged, dockerfile=staged + words.dockerfile[len(STAGING) :])
        return (*(login_command(engine, registry) for registry in self.logins), build_command(engine, words))

    def lines(self, engine: str) -> List[str]:
        """The commands for people, with what is staged as comments."""
        found = [f"# base image: {base}" for base in self.bases]
        found += [f"# staged, and removed at the end: {copy.source} -> {STAGING}/{copy.target}" for copy in self.copies]
        found += [f"# staged: {STAGING}/{name}" for name in self.texts]
        return found + [command.shown() for command in self.commands(engine)]


def plan_build(order: Order, environ: Mapping[str, str], place: Optional[str] = None) -> BuildPlan:
    """Decide what to build, and how; files are read, nothing is run.

    Args:
        order: what is to be built.
        environ: environment that build arguments without a value come from.
        place: the directory that has ``containers``; hvdsm's by default.

    Raises:
        UsageError: names or options that cannot be meant.
        ConfigError: a file is missing.
    """
    source = _source(order)
    registry(order.base_account, order.base_region, ("--base-account", "--base-region"))
    missing = missing_arguments(order.arguments, environ)
    if missing:
        raise UsageError(f"has no value, and no variable {missing[0]} is exported", where=f"--build-arg {missing[0]}")
    warnings: List[str] = []
    chosen, path = _dockerfile(order, source, place, warnings)
    read = read_dockerfile(_read(path))
    if chosen and source and "SOURCE" not in read.arguments:
        raise UsageError(f"the recipe {chosen.name} takes no source", where=str(order.source), remedy="leave it out")
    default = chosen.default_name if chosen else _own_name(source)
    image = image_name(order.name, order.tag, order.device, default)
    arguments = _arguments(order, read, chosen, source, warnings)
    bases = read.bases({name: environ[name] if value is None else value for name, value in arguments}, order.target)
    words = BuildWords(
        context=STAGING if chosen else os.path.abspath(order.context or source or "."),
        dockerfile=f"{STAGING}/{chosen.file}" if chosen else path,
        image=image,
        arguments=arguments,
        labels=((DEVICE_LABEL, order.device), (VERSION_LABEL, __version__)),
        target=order.target,
        platform=order.platform,
        extra=tuple(order.extra),
    )
    copies = chosen.copies(source) if chosen else ()
    texts = {**chosen.texts(), **_ignored(chosen.root, source)} if chosen else {}
    return BuildPlan(words, order.device, chosen, copies, texts, bases, _logins(order, bases), tuple(warnings))


def _source(order: Order) -> Optional[str]:
    """The user's source; only a recipe can do without."""
    if order.source is None:
        if order.recipe is None:
            raise UsageError("the source is missing", where="PATH", remedy="hvdsm image build PATH, or --recipe NAME")
        return None
    source = os.path.abspath(order.source)
    if not os.path.isdir(source):
        what = "is no directory" if os.path.exists(source) else "there is no such directory"
        raise ConfigError(what, where=order.source, remedy="name the directory of the source: hvdsm image build PATH")
    return source


def _dockerfile(order: Order, source: Optional[str], place: Optional[str], warnings: List[str]) -> Tuple[Optional[Recipe], str]:
    """The recipe, if it is one, and the path of the Dockerfile."""
    if order.file and order.recipe:
        raise UsageError("says the same as --recipe", where="--file", remedy="give one of them")
    if order.context and order.recipe:
        raise UsageError("a recipe makes its own context", where="--context", remedy="leave out --context")
    own = os.path.join(source or "", DOCKERFILE)
    if order.file:
        # As the script for it would have it: below the source, else below the working directory.
        inside = os.path.join(source or "", order.file)
        path = inside if os.path.isfile(inside) else os.path.abspath(order.file)
        if not os.path.isfile(path):
            raise ConfigError("there is no such Dockerfile", where=f"--file {order.file}", remedy="check the path")
        return None, path
    if order.recipe is None and os.path.isfile(own):
        return None, own
    if order.context:
        raise ConfigError("there is no Dockerfile", where=own, remedy="name it: --file")
    if source and order.recipe in (None, GRAPH) and not os.path.isdir(os.path.join(source, "python", "graphstorm")):
        if order.recipe is None:
            raise ConfigError(
                "there is no Dockerfile, and no python/graphstorm of GraphStorm's source",
                where=str(order.source),
                remedy="--file DOCKERFILE, the directory of GraphStorm's source, or --recipe NAME",
            )
        warnings.append(f"{source} has no python/graphstorm: is it GraphStorm's source?")
    found = recipe(order.recipe or GRAPH, place)
    return found, found.path


def _own_name(source: Optional[str]) -> str:
    return re.sub(r"[^a-z0-9]+", "-", os.path.basename(source or "").lower()).strip("-") or DEFAULT_NAME


def _arguments(
    order: Order, read: Dockerfile, chosen: Optional[Recipe], source: Optional[str], warnings: List[str]
) -> Tuple[Tuple[str, Optional[str]], ...]:
    """The build arguments: ours where the Dockerfile has them, then those that are given, which win."""
    found: Dict[str, Optional[str]] = {}
    if chosen:
        found.update(chosen.values(order.device, order.base_account, order.base_region))
    if "DEVICE" in read.arguments:
        found["DEVICE"] = order.device
    elif not chosen:
        warnings.append(f"the Dockerfile has no ARG DEVICE: {order.device} is in the image's tag and label alone")
    if "SOURCE" in read.arguments and source:
        found["SOURCE"] = SOURCE if chosen else "."
    for name, value in order.arguments:
        if name not in read.arguments and name.upper() not in _PREDEFINED:
            warnings.append(f"the Dockerfile has no ARG {name}: --build-arg {name} changes nothing")
        if looks_secret(name) or mask_text(value or "") != (value or ""):
            warnings.append(
                f"--build-arg {name}: the value stays readable in the image's history; after --: --secret id={name},env={name}"
            )
        found[name] = value
    return tuple(found.items())


# Known without ARG.  Source: Dockerfile reference, predefined ARGs.
_PREDEFINED = frozenset(("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH"))


def _ignored(root: str, source: Optional[str]) -> Dict[str, str]:
    """What is left out of the context, as the file for it in each part says."""
    own = os.path.join(root, _IGNORE)
    found = _read(own).rstrip("\n") + "\n" if os.path.isfile(own) else ""
    if source:
        # The recipes' may begin with all, and does not know of the source.
        found += f"!{SOURCE}\n" if found else ""
        path = os.path.join(source, _IGNORE)
        found += prefixed_ignore(_read(path), SOURCE) if os.path.isfile(path) else ""
    return {_IGNORE: found} if found else {}


def _logins(order: Order, bases: Sequence[str]) -> Tuple[Registry, ...]:
    """Registries in ECR to log in to: those of the base images, and those that are asked for."""
    found: Dict[str, Registry] = {asked.host: asked for asked in order.logins}
    if order.login:
        for base in bases:
            try:
                found_in = parse_name(base).ecr
            except UsageError:
                # A name that is made of what the engine alone knows.
                continue
            if found_in is not None:
                found.setdefault(found_in.host, found_in)
    return tuple(found.values())


def _read(path: str) -> str:
    try:
        # Editors of Windows put a mark before the first word.
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", where=path, remedy="check the file"
        ) from None
