"""Check the source without training anything: ``make check``.

Formatting, docstrings, types, layers, the oldest Python, links in the documentation, unit tests and packaging. All checks run
even when one fails, so that one run shows everything.
"""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import sys
import time
from typing import List, Optional, Tuple

import environment
import steps
import system_packages

BIN = os.path.dirname(environment.PYTHON)
OLDEST = "3.8"
OLDEST_ALLOWED = ("hvdsm/container", "hvdsm/compose", "hvdsm/model", "hvdsm/errors.py", "hvdsm/bench/program", "hvdsm/graphjob")
"""What runs inside training images, whose Python may be old."""

Check = Tuple[str, List[str]]


def checks() -> List[Check]:
    """Return title and command of each check."""
    python = environment.PYTHON
    tests = [python, "-m", "pytest", "--quiet"]
    listed: List[Check] = [
        ("ruff: style, imports, docstrings, security", [f"{BIN}/ruff", "check", "."]),
        ("ruff: formatting", [f"{BIN}/ruff", "format", "--check", "."]),
        ("mypy --strict: hvdsm", [f"{BIN}/mypy", "--strict"]),
        ("mypy --strict: tools", [f"{BIN}/mypy", "--strict", *sorted(glob.glob("tools/*.py"))]),
        ("import-linter: layers", [f"{BIN}/lint-imports"]),
        (f"vermin: the container program needs no later Python than {OLDEST}", vermin()),
        ("links and paths in the documentation", [python, "tools/check_docs.py"]),
    ]
    oldest = find_oldest()
    if oldest:
        listed.append((f"the container program under {oldest}", [oldest, "tools/check_oldest.py", *OLDEST_ALLOWED]))
    else:
        steps.say(
            f"note: no python{OLDEST} on this machine, so nothing is executed with it here; vermin reads the source instead"
        )
        steps.say(f"      (PYTHON38=/path/to/python{OLDEST} names one)")
    listed.append(("pytest: unit", [*tests, *environment.SHARED, "tests/unit"]))
    listed.append(("pytest: packaging", [*tests, "tests/packaging"]))
    return listed


def vermin() -> List[str]:
    """Return the command that reads from the syntax and the names used which Python they need at least."""
    # Annotations are never evaluated there (`from __future__ import annotations`), and imports of what only a newer standard
    # library has are guarded by sys.version_info, which vermin cannot see; such a line carries a `novm` comment.
    return [f"{BIN}/vermin", f"--target={OLDEST}-", "--no-tips", "--violations", "--no-eval-annotations", *OLDEST_ALLOWED]


def find_oldest() -> Optional[str]:
    """Return a working interpreter of the oldest supported version: the make variable PYTHON38, PATH, or a version manager's."""
    managed = sorted(glob.glob(os.path.expanduser(f"~/.*/versions/{OLDEST}.*/bin/python3")))
    for candidate in [os.environ.get("PYTHON38", ""), shutil.which(f"python{OLDEST}") or "", *managed]:
        if candidate and system_packages.version_of(candidate) == OLDEST:
            return candidate
    return None


def main(argv: List[str]) -> int:
    """Run the checks and return 0 when all pass."""
    parser = argparse.ArgumentParser(description="Run all checks of the source; about 1 min on two cores.")
    parser.add_argument("--list", action="store_true", help="print the commands and do nothing")
    only_list = parser.parse_args(argv).list
    listed = checks()
    if only_list:
        for title, command in listed:
            steps.say(f"{title}\n    {' '.join(command)}")
        return 0
    system_packages.install(system_packages.missing_for_check(), environment.log_path("check"))
    steps.say(f"Running {len(listed)} checks, about 1 min.")
    start = time.monotonic()
    failed = []
    for number, (title, command) in enumerate(listed, 1):
        began = time.monotonic()
        steps.say(f"==> [{number}/{len(listed)}] {title}")
        code = steps.run_shown(command, env=environment.environment_for_pip())
        steps.say(f"    {'ok' if code == 0 else f'FAILED with exit code {code}'}, {time.monotonic() - began:.1f} s")
        if code != 0:
            failed.append(f"{title}: {' '.join(command)}")
    steps.say(f"{len(listed) - len(failed)} of {len(listed)} checks passed in {time.monotonic() - start:.0f} s")
    for line in failed:
        steps.say(f"failed: {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
