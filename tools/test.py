"""Run every test: ``make test``, after ``make setup``.

First the checks of ``make check`` (unit tests among them), then the tests that start emulated hosts and train for real.
"""

from __future__ import annotations

import os
import sys
import time
from typing import List

import check
import environment
import steps

IN_CHECK = ("unit", "packaging")
OVER_HTTP = "tests/aws"
# Jobs wait more than they compute, also on two cores; tests of one group, as those of one training, stay together.
MANY = ("-n", "4", "--dist", "loadgroup")
# They have targets of their own: make faults, make test-sdk, test-workloads, test-graph, test-browser and test-images.
APART = ("faults", "sdk", "workloads", "graph", "browser", "images")


def main(argv: List[str]) -> int:
    """Run the checks, then the other tests; further arguments go to pytest."""
    start = time.monotonic()
    code = check.main([])
    if code != 0:
        return code
    parts = sorted(entry.name for entry in os.scandir("tests") if entry.is_dir() and entry.name not in IN_CHECK + APART)
    with_tests = [f"tests/{name}" for name in parts if has_tests(f"tests/{name}")]
    # Those of AWS wait for servers and for each other; those that start hosts and train have a run of their own.
    hosts = [name for name in with_tests if name != OVER_HTTP]
    pytest = [environment.PYTHON, "-m", "pytest", "--durations=10"]
    steps.say(f"==> Tests over HTTP: {OVER_HTTP} (about 4 min)")
    codes = [steps.run_shown([*pytest, *environment.SHARED, *argv, OVER_HTTP], env=environment.environment_for_pip())]
    steps.say(f"==> Tests on emulated hosts and of the examples: {', '.join(hosts)} (about 5 min)")
    codes.append(steps.run_shown([*pytest, *MANY, "-m", "not alone", *argv, *hosts], env=environment.environment_for_pip()))
    steps.say("==> Those of them that must have the machine to themselves (about 1 min)")
    codes.append(steps.run_shown([*pytest, "-m", "alone", *argv, *hosts], env=environment.environment_for_pip()))
    code = max(codes)
    steps.say(f"{'all tests passed' if code == 0 else 'tests failed'} after {time.monotonic() - start:.0f} s")
    return code


def has_tests(directory: str) -> bool:
    """Tell whether a directory holds test modules (pytest counts a run without tests as a failure)."""
    return any(name.startswith("test_") and name.endswith(".py") for _, _, names in os.walk(directory) for name in names)


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
