"""Open the pages that hvdsm writes in a real browser and look at them: ``make test-browser``.

The browser is Debian's Chromium, without a window, driven by its own chromedriver; both are installed when they are missing.
``HVDSM_CHROMIUM`` and ``HVDSM_CHROMEDRIVER`` name other ones.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import List

import environment
import steps
import system_packages

TESTS = "tests/browser"


def missing() -> List[system_packages.Need]:
    """Return what is missing to open a page."""
    needs = []
    if not os.environ.get("HVDSM_CHROMIUM") and not system_packages.find_program("chromium"):
        needs.append(system_packages.Need("chromium", "opens the pages, without a window (about 400 MB on disk)"))
    if not os.environ.get("HVDSM_CHROMEDRIVER") and not system_packages.find_program("chromedriver"):
        needs.append(system_packages.Need("chromium-driver", "tells Chromium what to open and what to look at"))
    if not steps.output_of(["fc-list"]):
        needs.append(system_packages.Need("fonts-dejavu-core", "texts without a font have no width, so none could overlap"))
    return needs


def main(argv: List[str]) -> int:
    """Install what is missing and run the tests; further arguments go to pytest."""
    parser = argparse.ArgumentParser(description="Open the pages that hvdsm writes in a real browser and look at them.")
    parser.add_argument("--only-prepare", action="store_true", help="install the browser and run no test")
    asked, further = parser.parse_known_args(argv)
    if not system_packages.install(missing(), environment.log_path("browser")):
        raise steps.StepFailed("without a browser these tests cannot run; HVDSM_CHROMIUM and HVDSM_CHROMEDRIVER name one")
    if asked.only_prepare:
        return 0
    start = time.monotonic()
    steps.say(f"==> {TESTS}: pages of the network bench in Chromium, and a run on emulated hosts: about 1 min")
    code = steps.run_shown(
        [environment.PYTHON, "-m", "pytest", "--durations=5", *further, TESTS], env=environment.environment_for_pip()
    )
    steps.say(f"{'all tests passed' if code == 0 else 'tests failed'} after {time.monotonic() - start:.0f} s")
    return code


if __name__ == "__main__":
    os.chdir(steps.REPOSITORY)
    sys.exit(steps.main_guard(main, sys.argv[1:]))
