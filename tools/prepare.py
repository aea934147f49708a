"""Prepare everything that hvdsm's demo, tests and examples need: ``make setup``.

Three stages, each holding what the one before does; what is already done is skipped:

========== ==========================================================================================
rehearsal  sshd and ssh, ``.venv`` with hvdsm, Open MPI and mpi4py: enough for ``hvdsm launch``
torch      torch, scikit-learn and Horovod for torch: what the demo trains with
all        TensorFlow, Horovod for both, and the tools of ``make check`` and ``make test``
========== ==========================================================================================
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import List

import environment
import horovod_wheel
import steps
import system_packages

STAGES = ("rehearsal", "torch", "all")

# What Horovod's build script and its Python part import; its wheel is installed without dependencies.
HOROVOD_REQUIRES = ["setuptools", "wheel", "packaging", "cffi", "cloudpickle", "psutil", "pyyaml"]


def is_done(stage: str) -> bool:
    """Tell whether .venv already holds a stage, by the digest that was recorded when it was done, and sshd is still there."""
    if not system_packages.find_program("sshd"):
        return False
    done = environment.recorded()
    return any(done.get(name) == environment.digest([name]) for name in STAGES[STAGES.index(stage) :])


def prepare(stage: str) -> None:
    """Bring .venv to a stage.

    Args:
        stage: one of STAGES.

    Raises:
        steps.StepFailed: a step failed; what was done before it is kept.
    """
    if is_done(stage):
        return
    with steps.locked(steps.REPOSITORY, ".venv"):
        # "all" brings torch and its own Horovod, so the torch stage would only compile Horovod once more.
        for name in ["rehearsal"] if stage == "rehearsal" else ["rehearsal", stage]:
            # The process that held the lock may have done it.
            if not is_done(name):
                PREPARE[name](environment.choose_python())
                with steps.step("Compiling modules", "about 15 s"):
                    environment.compile_modules()
                environment.write_record(name, environment.digest([name]))


def prepare_rehearsal(python: str) -> None:
    """System packages and hvdsm with Open MPI: the least that a rehearsal on emulated hosts needs."""
    needs = system_packages.missing_for_rehearsal(python)
    if needs and not system_packages.install(needs, environment.log_path("system-packages")):
        if any(need.package.endswith("-venv") for need in needs):
            raise steps.StepFailed("no virtual environment can be made without the package named above")
        steps.say("    going on without them: everything but rehearsals on emulated hosts will work")
    environment.make_venv(python)
    with steps.step("Installing hvdsm, Open MPI and mpi4py into .venv", "about 15 s"):
        environment.pip_install("rehearsal", ["setuptools", "wheel"])
        environment.pip_install("rehearsal", ["--no-build-isolation", "--editable", ".[local]"])


def prepare_torch(python: str) -> None:
    """Add torch, scikit-learn (its handwritten digits are the examples' data) and Horovod for torch."""
    horovod_wheel.require_compilers(python)
    install_torch()
    with steps.step("Installing scikit-learn, whose handwritten digits are trained on", "about 5 s"):
        environment.pip_install("torch", ["--no-build-isolation", "--editable", ".[local,torch,examples]"])
    # A wheel for torch and TensorFlow serves torch alone as well: each framework's part is a file of its own.
    install_horovod(horovod_wheel.cached(tensorflow=True) or horovod_wheel.build(tensorflow=False))


def prepare_all(python: str) -> None:
    """Add torch, TensorFlow, Horovod for both, and the tools that check and test."""
    horovod_wheel.require_compilers(python)
    install_torch()
    with steps.step("Installing TensorFlow (200 MB to fetch, 1 GB on disk) and the tools that check and test", "about 40 s"):
        extras = ".[local,torch,tensorflow,lightning,examples,dev]"
        environment.pip_install("all", ["--no-build-isolation", "--editable", extras])
    install_horovod(horovod_wheel.build(tensorflow=True))
    environment.make_openmpi5(python)


def install_torch() -> None:
    """Install the pinned torch and what Horovod's build imports."""
    pinned = f"torch=={environment.pins()['torch']}"
    with steps.step("Installing torch (CPU build: 200 MB to fetch, 1 GB on disk)", "about 30 s"):
        environment.pip_install("torch", [pinned, *HOROVOD_REQUIRES], indexes=environment.torch_indexes())


def install_horovod(wheel: str) -> None:
    """Install a built wheel in place of any other build of the same version."""
    with steps.step("Installing the Horovod wheel", "about 2 s"):
        steps.say(f"    {wheel}")
        environment.pip_install("horovod", ["--no-deps", "--force-reinstall", wheel])


PREPARE = {"rehearsal": prepare_rehearsal, "torch": prepare_torch, "all": prepare_all}


def main(argv: List[str]) -> int:
    """Parse the command line and prepare a stage."""
    parser = argparse.ArgumentParser(description="Prepare .venv with everything that demo, tests and examples need.")
    parser.add_argument("--for", dest="stage", choices=STAGES, default="all", help="how much to prepare (default: all)")
    stage = parser.parse_args(argv).stage
    if is_done(stage):
        steps.say(".venv is up to date")
        return 0
    if environment.recorded().get(stage):
        steps.say("Bringing .venv up to date, since its recipe has changed: under 1 min, unless Horovod must be compiled again.")
    else:
        steps.say("Setting up .venv: about 6 min the first time on two cores (to compile Horovod, mostly), else 1 min.")
    start = time.monotonic()
    prepare(stage)
    steps.say(f".venv is ready after {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(steps.main_guard(main, sys.argv[1:]))
