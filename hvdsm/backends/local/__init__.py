"""The local back end: executes a CreateTrainingJob request on hosts of this machine.

Where things happen: ``plan`` checks the request against files and machine (``origin`` finds its source, ``data`` its channels,
``program`` what the hosts run, ``notes`` what is done otherwise); ``stage`` lays out ``/opt/ml`` of each host and names the
mounts (``placing`` its channels, ``prelude`` what a command of the request's own finds there); ``backend`` starts the hosts, and
``pipes`` the streams of Pipe mode; ``run`` is the job's life; ``stream`` its output, in which ``meter`` looks for metrics;
``verdict`` and ``result`` say how it ended, ``keep`` what is kept of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hvdsm.backends.local.options import HOST_MODES, LocalOptions

if TYPE_CHECKING:
    from hvdsm.backends.local.backend import LocalBackend, LocalJob
    from hvdsm.backends.local.plan import LocalPlan

__all__ = ["HOST_MODES", "LocalBackend", "LocalJob", "LocalOptions", "LocalPlan"]
# Imported when they are needed: who only reads the help does not wait for them.
_MODULES = {"LocalBackend": "backend", "LocalJob": "backend", "LocalPlan": "plan"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
