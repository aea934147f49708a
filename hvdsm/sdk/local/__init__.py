"""Local mode of the SageMaker SDKs on emulated hosts instead of Docker.

``instance_type="local"`` or ``"local_gpu"`` (SDK 2) and ``Mode.LOCAL_CONTAINER`` (SDK 3) have the SDK call Docker directly, so
that no service can take its place.  Importing this module changes that in this interpreter, whether or not the SDK has been
imported already::

    import hvdsm.sdk.local

    PyTorch("train.py", instance_type="local", instance_count=2, ...).fit({"train": "file://data"})

For programs that import nothing of hvdsm, and need not have it installed, :func:`environment` says the same by variables.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any, Dict, Mapping, Optional

from hvdsm.errors import UsageError

# The directory that holds ``sitecustomize.py``.
SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")
PYTHON = "HVDSM_PYTHON"
OPTIONS = "HVDSM_LOCAL_OPTIONS"
_HOOK = "hvdsm_local_hook"


def environment(environ: Mapping[str, str], local: Optional[Mapping[str, Any]] = None) -> Dict[str, str]:
    """Variables with which Python programs, and those that they start, run local mode on emulated hosts.

    Args:
        environ: the variables to begin with; not changed.
        local: fields of :class:`hvdsm.backends.local.LocalOptions` for these jobs, ``output`` excepted.

    Returns:
        A copy with the hook's directory first in ``PYTHONPATH`` and ``HVDSM_PYTHON``, the interpreter that has hvdsm.

    Raises:
        UsageError: there is no such option.
    """
    others = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != SITE]
    made = {**environ, "PYTHONPATH": os.pathsep.join([SITE, *others]), PYTHON: environ.get(PYTHON) or sys.executable}
    if local:
        from hvdsm.backends.local import LocalOptions

        known = {field.name for field in fields(LocalOptions)} - {"output"}
        for name in local:
            if name not in known:
                raise UsageError(f"local mode has no option {name}", remedy=f"one of {', '.join(sorted(known))}")
        made[OPTIONS] = json.dumps({name: dict(value) if isinstance(value, Mapping) else value for name, value in local.items()})
    return made


def enable() -> None:
    """Have this interpreter's SageMaker SDK train in local mode on emulated hosts; importing this module does it."""
    _hook().enable()


def disable() -> None:
    """Give the SDK its own local mode back, on Docker."""
    _hook().disable()


def _hook() -> ModuleType:
    """The hook, under the name that it has in programs that came to it by PYTHONPATH."""
    if _HOOK not in sys.modules:
        spec = spec_from_file_location(_HOOK, os.path.join(SITE, _HOOK + ".py"))
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[_HOOK] = module
        spec.loader.exec_module(module)
    return sys.modules[_HOOK]


enable()
