"""What this machine has: cores, GPUs, mpirun."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

import hvdsm
from hvdsm.emulator import Availability, Mount, probe
from hvdsm.emulator.gpus import machine_gpus

# Left by an outer MPI job, batch system or training container: they would mislead the ranks of this job.
_FOREIGN = (
    "OMPI_", "PMIX_", "PRTE_", "PMI_", "PMI2_", "HYDRA_", "HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_", "HOROVOD_CROSS_",
    "SLURM_", "SM_", "SAGEMAKER_", "TORCHELASTIC_", "SSH_", "HVDSM_", "TRAINING_JOB_",
)  # fmt: skip
_FOREIGN_NAMES = frozenset(
    (
        "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "ROLE_RANK", "GROUP_WORLD_SIZE",
        "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TMPDIR", "TEMP", "TMP", "PWD", "OLDPWD", "CURRENT_HOST",
        "XDG_RUNTIME_DIR",
    )
)  # fmt: skip
# Settings of Open MPI that a user exports for all jobs stay, unless a running job may have made them.
_KEPT = ("OMPI_MCA_", "PRTE_MCA_", "PMIX_MCA_")
_IMAGE = frozenset(
    ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_VISIBLE_DEVICES")
)

HOST_MPI = "/opt/hvdsm/mpi"


@dataclass(frozen=True)
class Machine:
    """What a plan needs to know of the machine; ``path`` is where the caller's programs are found."""

    cores: int
    gpus: Tuple[str, ...]
    mpirun: Optional[str]
    availability: Availability
    path: str = os.defpath


def look_at_machine(mpirun: Optional[str], hosts_mode: str, environ: Mapping[str, str]) -> Machine:
    """Count and probe.

    Args:
        mpirun: path that the user gave.
        hosts_mode: ``single`` skips the probe of namespaces.
        environ: the caller's variables; CUDA_VISIBLE_DEVICES limits the GPUs.
    """
    availability = Availability(ok=False, reason="not asked for", remedy="") if hosts_mode == "single" else probe()
    cores = len(os.sched_getaffinity(0))
    return Machine(cores, machine_gpus(environ), find_mpirun(mpirun), availability, environ.get("PATH") or os.defpath)


def find_mpirun(given: Optional[str]) -> Optional[str]:
    """Absolute path of mpirun: the given one, else the first on PATH, else the one beside the running Python."""
    if given is not None:
        found = shutil.which(os.path.expanduser(given))
        return os.path.abspath(found or os.path.expanduser(given))
    found = shutil.which("mpirun") or shutil.which(os.path.join(os.path.dirname(sys.executable), "mpirun"))
    return os.path.abspath(found) if found else None


def mpirun_on_hosts(mpirun: str) -> Tuple[str, Tuple[Mount, ...]]:
    """The path by which emulated hosts call mpirun, and the mount that it needs.

    mpirun starts its daemons on other hosts by a shell command in which it does not quote its own directory: an installation
    whose path a shell would split is mounted where it would not.
    """
    prefix, name = os.path.dirname(os.path.dirname(mpirun)), os.path.basename(mpirun)
    if re.match(r"^[A-Za-z0-9_@%+=:,./-]*$", prefix):
        return mpirun, ()
    return f"{HOST_MPI}/bin/{name}", (Mount(prefix, HOST_MPI),)


def needed_paths(mpirun: Optional[str]) -> Tuple[str, ...]:
    """What hosts must see wherever it lies, besides what the emulator knows of (Python, its packages, PATH): mpirun's prefix."""
    found = {os.path.dirname(os.path.dirname(path)) for path in (mpirun, os.path.realpath(mpirun)) if path} if mpirun else set()
    return tuple(sorted(path for path in found if os.path.isdir(path) and path not in ("/", "/usr", "/usr/local")))


def of_python(mpirun: str) -> Dict[str, str]:
    """What a process that no mpirun has started needs to find the Open MPI of a Python package.

    Such a package is not where it was built for. Its mpirun knows that; the library, in a script of a job without a distribution,
    does not.
    """
    prefix = os.path.dirname(os.path.dirname(mpirun))
    return {"OPAL_PREFIX": prefix} if os.path.exists(os.path.join(prefix, "pyvenv.cfg")) or prefix == sys.prefix else {}


def threads_of(processes: int) -> Dict[str, str]:
    """This machine's cores divided among processes that share them, for OpenMP: each would start a thread for every core."""
    return {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // processes))} if processes > 1 else {}


def base_environment(environ: Mapping[str, str]) -> Dict[str, str]:
    """The caller's variables for the container program: without those of an outer job."""
    ours = () if "OMPI_COMM_WORLD_RANK" in environ else _KEPT
    kept = {name: value for name, value in environ.items() if name.startswith(ours) or not _is_foreign(name)}
    kept.setdefault("PATH", os.defpath)
    return kept


def on_emulated_host(environ: Mapping[str, str]) -> Dict[str, str]:
    """The variables without those that an emulated host sets for its own account."""
    return {name: value for name, value in environ.items() if name not in ("HOME", "USER", "LOGNAME", "SHELL", "MAIL")}


def as_in_an_image(environ: Mapping[str, str]) -> Dict[str, str]:
    """The few variables of the caller that an image has as well, or that this Python and its libraries need.

    A command of a request's own gets no more: in the service nothing of the user's shell is there, and such commands print their
    environment into the log.
    """
    return {name: value for name, value in environ.items() if name in _IMAGE or name.startswith(_KEPT)}


def importable(environ: Mapping[str, str]) -> Dict[str, str]:
    """The variables with a PYTHONPATH of absolute entries by which ``python -m hvdsm.container`` finds this hvdsm."""
    paths = [os.path.abspath(entry) for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    package = os.path.dirname(os.path.dirname(os.path.abspath(hvdsm.__file__)))
    if os.path.basename(package) not in ("site-packages", "dist-packages") and package not in paths:
        paths.append(package)
    return {**environ, "PYTHONPATH": os.pathsep.join(paths)} if paths else dict(environ)


def _is_foreign(name: str) -> bool:
    return name in _FOREIGN_NAMES or name.startswith(_FOREIGN)
