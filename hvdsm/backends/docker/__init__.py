"""The docker back end: executes a CreateTrainingJob request in containers of this machine, by a Compose file.

It is the local back end with containers in place of emulated hosts: ``plan`` checks a request, ``engine`` finds Docker or podman,
``services`` makes the Compose project, ``cluster`` has it made, started and removed, ``backend`` puts them together.  What is
laid out for the hosts, the job's life and its results are the local back end's.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hvdsm.backends.docker.options import ENGINES, DockerOptions

if TYPE_CHECKING:
    from hvdsm.backends.docker.backend import DockerBackend
    from hvdsm.backends.docker.plan import DockerPlan

__all__ = ["ENGINES", "DockerBackend", "DockerOptions", "DockerPlan"]
# Imported when they are needed: who only reads the help does not wait for them.
_MODULES = {"DockerBackend": "backend", "DockerPlan": "plan"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
