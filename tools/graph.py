"""Run the tests that need DGL and GraphStorm, in ``.venv/graph``: ``make test-graph``.

It sees the packages of ``.venv`` - torch, mpi4py, moto and hvdsm itself - and has beside them what ``constraints-graph.txt``
names. ``HVDSM_GRAPH_PYTHON`` names another interpreter.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import List

import beside
import environment
import sdk
import steps

NAME = "graph"
TESTS = "tests/graph"


def main(argv: List[str]) -> int:
    """Prepare what the tests need and run them; further arguments go to pytest."""
    parser = argparse.ArgumentParser(description="Run the tests that need DGL and GraphStorm.")
    parser.add_argument("--only-prepare", action="store_true", help="make the virtual environment and run no test")
    asked, further = parser.parse_known_args(argv)
    beside.prepare(NAME)
    if asked.only_prepare:
        return 0
    # One of the examples is submitted by an SDK.
    given = os.environ.get("HVDSM_SDK2_PYTHON")
    if not given:
        sdk.prepare(["sdk2"])
    start = time.monotonic()
    steps.say(f"==> {TESTS}: GraphStorm and DGL on emulated hosts: about 6 min")
    env = {**environment.environment_for_pip(), "HVDSM_GRAPH_PYTHON": beside.python_of(NAME)}
    env["HVDSM_SDK2_PYTHON"] = given or sdk.python_of("sdk2")
    code = steps.run_shown([beside.python_of(NAME), "-m", "pytest", "--durations=10", *further, TESTS], env=env)
    steps.say(f"{'all tests passed' if code == 0 else 'tests failed'} after {time.monotonic() - start:.0f} s")
    return code


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
