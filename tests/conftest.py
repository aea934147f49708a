"""For all tests."""

from __future__ import annotations

import signal
from typing import Any

import pytest

# Trainings compute: two at once would each take more than twice the time.
TRAININGS = ("tests/examples/", "-trains]")
# Their tests look at hosts or jobs that a fixture of the module has started, or import what takes seconds.
SAME_FILE = (
    "test_docs_trackers.py",
    "test_emulator_hosts.py",
    "test_emulator_programs.py",
    "test_emulator_ssh.py",
    "test_jobs_local.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Undo what a background job inherits: with SIGINT and SIGHUP ignored, no test could send them to a command it starts."""
    config.addinivalue_line("markers", "alone: measures, or looks at the whole machine, so that no other test may run beside it")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def together(nodeid: str) -> str:
    """What one process of several runs in one go: the test alone, or what it must not be separated from."""
    if any(word in nodeid for word in TRAININGS):
        return "trainings"
    file = nodeid.partition("::")[0]
    return file if file.endswith(SAME_FILE) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For ``--dist loadgroup``: single tests to whoever is free, but :func:`together` what belongs together."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid)

    return Scheduler(config, log)
