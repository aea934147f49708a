"""Versions of installed Python packages, without importing them."""

from __future__ import annotations

import sys
from importlib import metadata
from importlib.machinery import PathFinder
from typing import Dict, Iterable, Optional

# Packages whose module is called otherwise; the first that is installed tells the version.
_DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "intel-tensorflow")}


def version_of(module: str) -> Optional[str]:
    """The version of the package that a module is of; ``?`` where it does not tell, None where there is no such module."""
    if PathFinder.find_spec(module, sys.path) is None:
        return None
    for name in _DISTRIBUTIONS.get(module, (module,)):
        try:
            return str(metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    return "?"


def versions(modules: Iterable[str]) -> Dict[str, str]:
    """The versions of those that are there."""
    found = {module: version_of(module) for module in modules}
    return {module: version for module, version in found.items() if version is not None}
