"""The Dockerfiles that come with hvdsm: where they are, their build arguments, and what is staged for a build of one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import hvdsm
from hvdsm.errors import ConfigError, UsageError
from hvdsm.images.dockerfile import substituted
from hvdsm.images.names import DEFAULT_NAME, DEVICES
from hvdsm.images.project import installed_copies, installed_texts, repository_copies
from hvdsm.images.staging import Copy

DIRECTORY = "containers"
# What is in it: {"NAME": {"file": PATH, "cpu": {ARGUMENT: VALUE, …}, "gpu": {…}}, …}; paths from the directory above it.
INDEX = "images.json"
DOCKERFILE = "Dockerfile"
# The user's source in the staging directory, and the build argument that tells the Dockerfile so.
SOURCE = "source"
GRAPH = "graph"


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile of hvdsm's.

    Attributes:
        name: such as ``pytorch``.
        root: the directory that its paths begin at, which is the context.
        file: path of the Dockerfile from there.
        arguments: build arguments for each device, with ``${ACCOUNT}`` and ``${REGION}`` of the framework images in them.
    """

    name: str
    root: str
    file: str
    arguments: Mapping[str, Mapping[str, str]]

    @property
    def path(self) -> str:
        """Path of the Dockerfile."""
        return os.path.join(self.root, self.file)

    @property
    def default_name(self) -> str:
        """What its image is called when it is given no name."""
        return DEFAULT_NAME if self.name == GRAPH else f"hvdsm-{self.name}"

    def values(self, device: str, account: str, region: str) -> Dict[str, str]:
        """Its build arguments for a device.

        Args:
            device: ``cpu`` or ``gpu``.
            account: whose registry has the framework images.
            region: where that is.

        Raises:
            UsageError: it is not made for such a device.
        """
        if device not in self.arguments:
            there = ", ".join(name for name in DEVICES if name in self.arguments)
            raise UsageError(
                f"the recipe {self.name} is for {there} only", where=f"--device {device}", remedy=f"--device {there}"
            )
        places = {"ACCOUNT": account, "REGION": region}
        return {name: substituted(value, places) for name, value in self.arguments[device].items()}

    def copies(self, source: Optional[str]) -> Tuple[Copy, ...]:
        """What is staged for it: the recipes, hvdsm itself, and the user's source."""
        found: List[Copy] = [Copy(os.path.join(self.root, DIRECTORY), DIRECTORY)]
        found += installed_copies(_package()) if self.is_installed else repository_copies(self.root)
        return (*found, *((Copy(source, SOURCE),) if source else ()))

    def texts(self) -> Dict[str, str]:
        """What is written beside the copies: path → text."""
        return installed_texts() if self.is_installed else {}

    @property
    def is_installed(self) -> bool:
        """Whether it came with an installed package, not with the repository."""
        return self.root == _beside()


def _package() -> str:
    return os.path.dirname(os.path.abspath(hvdsm.__file__))


def _beside() -> str:
    return os.path.join(_package(), "images")


def root() -> Optional[str]:
    """The directory that has ``containers``: of the repository, or in the package; None where they did not come with it."""
    for place in (os.path.dirname(_package()), _beside()):
        if os.path.isfile(os.path.join(place, DIRECTORY, INDEX)):
            return place
    return None


def recipes(place: Optional[str] = None) -> Dict[str, Recipe]:
    """All recipes by name.

    Args:
        place: the directory that has ``containers``; hvdsm's by default.

    Raises:
        ConfigError: their index cannot be read.
    """
    place = place or root()
    if place is None:
        return {}
    path = os.path.join(place, DIRECTORY, INDEX)
    try:
        with open(path, encoding="utf-8") as file:
            index: Dict[str, Any] = json.load(file)
        return {
            name: Recipe(
                name,
                place,
                str(entry["file"]),
                {device: {key: str(value) for key, value in entry[device].items()} for device in DEVICES if device in entry},
            )
            for name, entry in index.items()
        }
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"is no index of recipes: {error!r}", where=path, remedy="take hvdsm's own") from None


def recipe(name: str, place: Optional[str] = None) -> Recipe:
    """A recipe by its name.

    Raises:
        UsageError: there is no such recipe.
        ConfigError: hvdsm was installed without any.
    """
    known = recipes(place)
    if not known:
        raise ConfigError(
            "this installation of hvdsm has no Dockerfiles",
            where=f"--recipe {name}",
            remedy="run it from a clone of hvdsm's repository, or name a Dockerfile: --file",
        )
    if name not in known:
        raise UsageError(f"there is no recipe {name}", where="--recipe", remedy=f"one of {', '.join(known)}")
    return known[name]
