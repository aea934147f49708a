"""Look over the templates of the network: ``make test-template``.

Three views of each file in ``vpc/``, beside those of ``make test``: checkov, which knows what security reviews ask for; cfn-lint
with strict types in regions of several partitions; and every mutant of the template that comes with hvdsm, each of which must be
noticed.  checkov is in a virtual environment of its own, ``.venv/checkov``, since it wants other versions of what hvdsm needs.
It works without a network: nothing is sent to anybody.
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
import steps
import system_packages

FOLDER = os.path.join(environment.VENV, "checkov")
PYTHON = os.path.join(FOLDER, "bin", "python")
CONSTRAINTS = os.path.join(steps.REPOSITORY, "tools", "constraints-checkov.txt")
TESTS = "tests/unit/test_vpc_mutations.py"
REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-3", "us-gov-west-1", "cn-north-1")
# For every mutant, not some of them.
ALL = "HVDSM_ALL_MUTANTS"


def digest(version: str) -> str:
    """Return a fingerprint of all that decides what the environment holds; VERSION is that of Python."""
    with open(CONSTRAINTS, "rb") as file:
        return hashlib.sha256(f"{steps.REPOSITORY}\0{version}\0".encode() + file.read()).hexdigest()


def templates() -> List[str]:
    """Return the templates, relative to the repository."""
    return sorted(os.path.relpath(path, steps.REPOSITORY) for path in glob.glob(os.path.join(steps.REPOSITORY, "vpc", "*.yaml")))


def prepare() -> None:
    """Make the environment where it is missing or was made otherwise.

    Raises:
        steps.StepFailed: a package cannot be installed.
    """
    with steps.locked(steps.REPOSITORY, ".venv"):
        fingerprint = digest(system_packages.version_of(environment.PYTHON))
        if os.path.exists(PYTHON) and environment.recorded().get("checkov") == fingerprint:
            return
        log = environment.log_path("checkov")
        with steps.step("Making .venv/checkov", "about 40 s, 220 MB on disk"):
            steps.run_logged([environment.choose_python(), "-m", "venv", "--clear", FOLDER], log)
            pip = [PYTHON, "-m", "pip", "install", "--no-compile", "--disable-pip-version-check", "--no-input"]
            steps.run_logged([*pip, "--constraint", CONSTRAINTS, "checkov"], log, env=environment.environment_for_pip())
        environment.write_record("checkov", fingerprint)


def checks() -> List[List[str]]:
    """Return the commands that look at the templates."""
    found = [[os.path.join(FOLDER, "bin", "checkov"), "--skip-download", "--framework", "cloudformation", "--compact", "--quiet"]]
    found[0] += [word for template in templates() for word in ("--file", template)]
    lint = os.path.join(environment.VENV, "bin", "cfn-lint")
    found.append([lint, "--regions", *REGIONS, "-c", "I", "-x", "E3012:strict=true", "--", *templates()])
    return found


def main(argv: List[str]) -> int:
    """Prepare, and run the checks one after the other; further arguments go to pytest."""
    parser = argparse.ArgumentParser(description="Look over the templates of the network.")
    parser.add_argument("--only-prepare", action="store_true", help="make the virtual environment and check nothing")
    asked, further = parser.parse_known_args(argv)
    prepare()
    if asked.only_prepare:
        return 0
    start = time.monotonic()
    codes = []
    for command in checks():
        steps.say(f"==> {' '.join([os.path.basename(command[0]), *command[1:]])}")
        codes.append(steps.run_shown(command))
    steps.say(f"==> {TESTS}: every mutant, about 2 min")
    pytest = [environment.PYTHON, "-m", "pytest", "--durations=3", *further, TESTS]
    codes.append(steps.run_shown(pytest, env={**environment.environment_for_pip(), ALL: "1"}))
    steps.say(f"{'nothing was found' if not any(codes) else 'something was found'} after {time.monotonic() - start:.0f} s")
    return max(codes)


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
