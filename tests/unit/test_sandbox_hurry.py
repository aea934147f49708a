"""The SDK 2 asks every second in a sandbox; what has other numbers stays as it is."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, Tuple

import pytest

from hvdsm.sandbox.site import DIRECTORY


def _logs_for_job(_session: Any, wait: bool = False, poll: int = 10, limit: int = 300) -> Tuple[Any, ...]:
    return wait, poll, limit, 29.0 >= 30, 2.0 >= 30, True


class Session:
    """As the SDK's, in what counts."""

    def logs_for_job(self, wait: bool = False, poll: int = 10) -> Tuple[Any, ...]:
        """Hand on."""
        return _logs_for_job(self, wait, poll)

    def wait_for_job(self, poll: int = 5) -> int:
        """What is asked for."""
        return poll

    def wait_for_endpoint(self, poll: int = 30) -> int:
        """Not of a job."""
        return poll


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 keeps small numbers in the code, where they are not changed")
def test_it_asks_every_second() -> None:
    spec = importlib.util.spec_from_file_location("hvdsm_hurry_tested", os.path.join(DIRECTORY, "hvdsm_hurry.py"))
    assert spec is not None and spec.loader is not None
    hurry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hurry)
    module = ModuleType("session")
    module.__dict__.update(_logs_for_job=_logs_for_job, Session=Session)
    session = Session()
    for _ in range(2):
        hurry.change(module)
        assert session.logs_for_job() == (False, 1, 300, True, True, True)
        assert (session.wait_for_job(), session.wait_for_job(poll=7), session.wait_for_endpoint()) == (1, 7, 30)
    hurry.change(ModuleType("another"))
