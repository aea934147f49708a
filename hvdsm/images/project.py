"""hvdsm's own source for a build: the repository's files, or, where it is installed, its package and a project around that."""

from __future__ import annotations

import os
from importlib import metadata
from typing import Dict, Iterable, Tuple

from hvdsm.images.staging import Copy
from hvdsm.version import __version__

NAME = "hvdsm"
# What pip needs to install hvdsm from its repository, and what the Dockerfiles copy.
FILES = ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
PARTS = (NAME, "vpc", *FILES)
_BUILD = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'


def repository_copies(root: str) -> Tuple[Copy, ...]:
    """What of the repository ROOT is staged."""
    return tuple(Copy(os.path.join(root, name), name) for name in PARTS if os.path.exists(os.path.join(root, name)))


def installed_copies(package: str) -> Tuple[Copy, ...]:
    """What of the installed package's directory PACKAGE is staged; `installed_texts` are the rest of the project."""
    return (Copy(package, NAME),)


def installed_texts() -> Dict[str, str]:
    """The files that make a project of an installed package: path in the staging directory → text."""
    return {
        "setup.py": "from setuptools import setup\n\nsetup()\n",
        "setup.cfg": setup_text(__version__, _programs()),
        "pyproject.toml": _BUILD,
        "MANIFEST.in": "",
        "README.md": "hvdsm, as it was installed where this image was built.\n",
        "LICENSE": "Apache-2.0: https://www.apache.org/licenses/LICENSE-2.0\n",
        "vpc/README.md": "The templates are in the package.\n",
    }


def setup_text(version: str, programs: Iterable[Tuple[str, str]]) -> str:
    """A setup.cfg, which the oldest setuptools in an image reads, for the package beside it.

    Args:
        version: of hvdsm.
        programs: name and ``module:function`` of each.
    """
    scripts = "".join(f"    {name} = {value}\n" for name, value in programs)
    return (
        f"[metadata]\nname = {NAME}\nversion = {version}\nlicense = Apache-2.0\n"
        f"[options]\npackages = find:\npython_requires = >=3.8\n"
        f"[options.packages.find]\ninclude = {NAME}*\n"
        f"[options.package_data]\n* = py.typed, *.yaml\n"
        f"[options.entry_points]\nconsole_scripts =\n{scripts}"
    )


def _programs() -> Tuple[Tuple[str, str], ...]:
    found = metadata.distribution(NAME).entry_points
    return tuple(sorted((entry.name, entry.value) for entry in found if entry.group == "console_scripts"))
