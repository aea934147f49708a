"""Run the tests of the recipes for MLflow and Weights & Biases, in ``.venv/trackers``: ``make test-trackers``.

It sees the packages of ``.venv`` and has beside them what ``constraints-trackers.txt`` names.  ``HVDSM_TRACKERS_PYTHON`` names
another interpreter.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import List

import beside
import environment
import steps

NAME = "trackers"
TESTS = "tests/cluster/test_docs_trackers.py"


def main(argv: List[str]) -> int:
    """Prepare what the tests need and run them; further arguments go to pytest."""
    parser = argparse.ArgumentParser(description="Run the tests of the recipes for MLflow and Weights & Biases.")
    parser.add_argument("--only-prepare", action="store_true", help="make the virtual environment and run no test")
    asked, further = parser.parse_known_args(argv)
    beside.prepare(NAME)
    if asked.only_prepare:
        return 0
    start = time.monotonic()
    steps.say(f"==> {TESTS}: one run of a tracker for each job, on emulated hosts: about 80 s")
    words = [beside.python_of(NAME), "-m", "pytest", "--durations=5", "-n", "2", "-k", "mlflow or wandb", *further, TESTS]
    code = steps.run_shown(words, env=environment.environment_for_pip())
    steps.say(f"{'all tests passed' if code == 0 else 'tests failed'} after {time.monotonic() - start:.0f} s")
    return code


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
