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
# They have targets of their own: make faults, make test-sdk, make test-workloads.
APART = ("faults", "sdk", "workloads")


def main(argv: List[str]) -> int:
    """Run the checks, then the other tests; further arguments go to pytest."""
    start = time.monotonic()
    code = check.main([])
    if code != 0:
        return code
    parts = sorted(entry.name for entry in os.scandir("tests") if entry.is_dir() and entry.name not in IN_CHECK + APART)
    with_tests = [f"tests/{name}" for name in parts if has_tests(f"tests/{name}")]
    steps.say(f"==> Tests on emulated hosts and of the examples: {', '.join(with_tests)} (about 15 min)")
    code = steps.run_shown(
        [environment.PYTHON, "-m", "pytest", "--durations=10", *argv, *with_tests], env=environment.environment_for_pip()
    )
    steps.say(f"{'all tests passed' if code == 0 else 'tests failed'} after {time.monotonic() - start:.0f} s")
    return code


def has_tests(directory: str) -> bool:
    """Tell whether a directory holds test modules (pytest counts a run without tests as a failure)."""
    return any(name.startswith("test_") and name.endswith(".py") for _, _, names in os.walk(directory) for name in names)


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
