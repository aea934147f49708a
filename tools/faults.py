"""Run the fault matrix: ``make faults``, after ``make setup``.

Every row breaks a running job on emulated hosts and looks at what each host does; a table of what was seen ends the run.
"""

from __future__ import annotations

import os
import sys
from typing import List

import environment
import steps


def main(argv: List[str]) -> int:
    """Run the matrix; further arguments go to pytest."""
    steps.say("==> Fault matrix: 52 broken jobs on emulated hosts (about 2 min)")
    # Most of their time is that of the faults themselves.
    pytest = [environment.PYTHON, "-m", "pytest", "-n", "4", "--dist", "worksteal"]
    return steps.run_shown([*pytest, *argv, "tests/faults"], env=environment.environment_for_pip())


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
