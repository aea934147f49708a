"""Emulated hosts from Linux namespaces: real host names, addresses, sshd and process spaces on one machine.

::

    with EmulatedCluster.start(ClusterSpec(instance_count=2)) as cluster:
        process = cluster.popen("algo-2", ["hostname"])
        process.wait()

Names are imported when first used, so that the helper process, which lives in this package, starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from hvdsm.emulator.availability import Availability, probe
    from hvdsm.emulator.cluster import EmulatedCluster
    from hvdsm.emulator.command import run_command
    from hvdsm.emulator.gpus import divide_gpus
    from hvdsm.emulator.process import HostProcess
    from hvdsm.emulator.spec import ClusterSpec, Mount
    from hvdsm.model.slow import SlowHost

__all__ = [
    "Availability",
    "ClusterSpec",
    "EmulatedCluster",
    "HostProcess",
    "Mount",
    "SlowHost",
    "divide_gpus",
    "probe",
    "run_command",
]

_HOME = {
    "Availability": "availability",
    "ClusterSpec": "spec",
    "EmulatedCluster": "cluster",
    "HostProcess": "process",
    "Mount": "spec",
    "SlowHost": "spec",
    "divide_gpus": "gpus",
    "probe": "availability",
    "run_command": "command",
}


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    """The public names, for completion."""
    return sorted(__all__)
