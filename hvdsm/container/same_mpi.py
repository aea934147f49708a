"""Whether a worker has the Open MPI that the launcher's mpirun starts its daemons from."""

from __future__ import annotations

import os
import re
from typing import Any, Dict, Mapping

from hvdsm.errors import MpiError
from hvdsm.model import MpiImplementation

REMEDY = "install the same Open MPI at the same path on every host; one image for all hosts has it"


def installation(mpi: MpiImplementation) -> Dict[str, str]:
    """What the launcher tells of its installation: the daemon that mpirun starts on other hosts, and its library's real name.

    Both are empty where they are not beside mpirun: then mpirun is a wrapper, and nothing can be said.
    """
    directory = os.path.dirname(mpi.mpirun)
    daemon = os.path.join(directory, mpi.daemon)
    return {"daemon": daemon if os.access(daemon, os.X_OK) else "", "library": library(daemon)}


def library(daemon: str) -> str:
    """``libmpi.so.40.30.8`` of the installation that a daemon belongs to; empty when it is not in ``lib`` beside it."""
    path = os.path.join(os.path.dirname(os.path.dirname(daemon)), "lib", "libmpi.so.40")
    return os.path.basename(os.path.realpath(path)) if os.path.exists(path) else ""


def compare(told: Mapping[str, Any]) -> str:
    """Compare this host with what :func:`installation` told of the launcher; returns a warning, or nothing.

    Raises:
        MpiError: the daemon is not here, or it is of another release series.
    """
    daemon, there = str(told.get("daemon", "")), str(told.get("library", ""))
    if not daemon:
        return ""
    if not os.access(daemon, os.X_OK):
        raise MpiError("is not on this host, and mpirun starts it here", where=daemon, remedy=REMEDY)
    here = library(daemon)
    if here == there or not here or not there:
        return ""
    if _series(here) != _series(there):
        raise MpiError(
            f"Open MPI differs between the hosts: {there} on the launcher, {here} on this one",
            where=os.path.dirname(daemon),
            remedy=REMEDY,
        )
    return f"warning: Open MPI differs a little between the hosts: {there} on the launcher, {here} on this one"


def _series(name: str) -> str:
    """``40.30`` for release series 4.1, ``40.40`` for 5.0."""
    match = re.search(r"\.so\.(\d+\.\d+)", name)
    return match.group(1) if match else name
