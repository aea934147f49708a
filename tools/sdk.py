"""Run the tests that need SageMaker's SDKs, each in a virtual environment of its own: ``make test-sdk``, ``make test-workloads``.

The environments are made once and again when their recipe changes.  They are apart from each other, since both SDKs are packages
named ``sagemaker``, and apart from ``.venv``, since they want other versions of what hvdsm's own tests are run with:

================ ===============================================================
``.venv/sdk2``   SDK 2: estimators; boto3, click and all else that hvdsm imports
``.venv/sdk3``   SDK 3: ModelTrainer; the same, and what notebooks are run with
``.venv/awscli`` the AWS CLI, which one test calls
================ ===============================================================
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import environment
import steps
import system_packages

# What `import hvdsm.sdk` needs beside an SDK. The sandbox's moto is in .venv, which HVDSM_PYTHON names to a notebook's kernel.
BESIDE = ("boto3", "click", "pathspec", "PyYAML", "regex", "rich")
NOTEBOOKS = ("ipykernel", "nbclient", "nbformat")
# They wait for long: for what the SDKs poll every few seconds, and for the SDK 3's own MPI, whose hosts look every half minute.
WAITING = ("-n", "4", "--dist", "loadgroup")


@dataclass(frozen=True)
class Recipe:
    """What is in one of the environments.

    Attributes:
        about: what the environment is for, as words.
        packages: what is installed, in the versions of the constraints.
        used: statements that import what most scripts do, so that it is compiled; most of what is installed is never imported.
    """

    about: str
    packages: Tuple[str, ...]
    used: str


RECIPES: Dict[str, Recipe] = {
    "sdk2": Recipe(
        "the SageMaker SDK 2",
        ("sagemaker", *BESIDE, *NOTEBOOKS),
        "import sagemaker.local, sagemaker.pytorch, sagemaker.tensorflow, sagemaker.modules.train, nbclient, ipykernel",
    ),
    "sdk3": Recipe(
        "the SageMaker SDK 3",
        ("sagemaker", *BESIDE, *NOTEBOOKS),
        "import sagemaker.core.resources, sagemaker.train.distributed, sagemaker.train.tuner, nbclient, ipykernel",
    ),
    "awscli": Recipe("the AWS CLI", ("awscli",), "import awscli.clidriver"),
}


@dataclass(frozen=True)
class Part:
    """A directory of tests.

    Attributes:
        directory: where the tests are.
        needs: names of the environments.
        about: what the tests do and how long that takes, as words.
    """

    directory: str
    needs: Tuple[str, ...]
    about: str
    options: Tuple[str, ...] = ()


PARTS: Dict[str, Part] = {
    "sdk": Part(
        "tests/sdk", ("sdk2", "sdk3", "awscli"), "scripts with both SDKs, trained on emulated hosts: about 6 min", options=WAITING
    ),
    # One at a time: ranks that wait for each other spin.
    "workloads": Part("tests/workloads", ("sdk2",), "the examples that train TensorFlow and Lightning: about 8 min"),
}


def folder_of(name: str) -> str:
    """Return the directory of an environment."""
    return os.path.join(environment.VENV, name)


def python_of(name: str) -> str:
    """Return the interpreter of an environment."""
    return os.path.join(folder_of(name), "bin", "python")


def constraints_of(name: str) -> str:
    """Return the file with an environment's pinned versions."""
    return os.path.join(steps.REPOSITORY, "tools", f"constraints-{name}.txt")


def digest(name: str, version: str) -> str:
    """Return a fingerprint of all that decides what an environment holds.

    Args:
        name: of the environment.
        version: of Python.
    """
    state = hashlib.sha256("\0".join([steps.REPOSITORY, version, *RECIPES[name].packages]).encode())
    with open(constraints_of(name), "rb") as file:
        state.update(file.read())
    return state.hexdigest()


def is_done(name: str) -> bool:
    """Tell whether an environment is there and made as it would be made now."""
    version = system_packages.version_of(environment.PYTHON)
    return os.path.exists(python_of(name)) and environment.recorded().get(name) == digest(name, version)


def to_make(part: str) -> List[str]:
    """Return the environments that a part needs, less those for which a variable names an interpreter (``HVDSM_SDK2_PYTHON``)."""
    return [name for name in PARTS[part].needs if not os.environ.get(f"HVDSM_{name.upper()}_PYTHON")]


def prepare(names: Sequence[str]) -> None:
    """Make the environments that are missing or made otherwise.

    Args:
        names: keys of RECIPES.

    Raises:
        steps.StepFailed: a package cannot be installed.
    """
    if all(is_done(name) for name in names):
        return
    python = environment.choose_python()
    with steps.locked(steps.REPOSITORY, ".venv"):
        # The process that held the lock may have made one.
        missing = [name for name in names if not is_done(name)]
        # pip uses one core: they are made at the same time.
        with ThreadPoolExecutor() as pool:
            for name, made in [(name, pool.submit(make, name, python)) for name in missing]:
                made.result()
                environment.write_record(name, digest(name, system_packages.version_of(environment.PYTHON)))


def make(name: str, python: str) -> None:
    """Make an environment anew."""
    recipe, log = RECIPES[name], environment.log_path(name)
    env = {key: value for key, value in environment.environment_for_pip().items() if key != "PYTHONDONTWRITEBYTECODE"}
    with steps.step(f"Making .venv/{name} with {recipe.about}", "about 1 min"):
        steps.run_logged([python, "-m", "venv", "--clear", folder_of(name)], log)
        pip = [python_of(name), "-m", "pip", "install", "--no-compile", "--disable-pip-version-check", "--no-input"]
        steps.run_logged([*pip, "--constraint", constraints_of(name), *recipe.packages], log, env=env)
        steps.run_logged([python_of(name), "-c", recipe.used], log, env=env)


def main(argv: List[str]) -> int:
    """Prepare what a part's tests need and run them; further arguments go to pytest."""
    parser = argparse.ArgumentParser(description="Run the tests that need SageMaker's SDKs.")
    parser.add_argument("part", choices=sorted(PARTS), help="which tests")
    parser.add_argument("--only-prepare", action="store_true", help="make the virtual environments and run no test")
    asked, further = parser.parse_known_args(argv)
    part = PARTS[asked.part]
    prepare(to_make(asked.part))
    if asked.only_prepare:
        return 0
    start = time.monotonic()
    steps.say(f"==> {part.directory}: {part.about}")
    code = steps.run_shown(
        [environment.PYTHON, "-m", "pytest", "--durations=10", *part.options, *further, part.directory],
        env=environment.environment_for_pip(),
    )
    steps.say(f"{'all tests passed' if code == 0 else 'tests failed'} after {time.monotonic() - start:.0f} s")
    return code


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
