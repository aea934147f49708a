"""Fixtures of the tests that need SageMaker's SDKs; a conftest.py imports them by their names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterator

import pytest

from hvdsm.emulator import probe
from hvdsm.sandbox import Sandbox


def interpreter(name: str) -> str:
    """The Python of an SDK's virtual environment: the one that a variable names, or that ``make test-sdk`` has made."""
    asked = os.environ.get(f"HVDSM_{name.upper()}_PYTHON")
    place = asked or os.path.join(sys.prefix, name, "bin", "python")
    if os.path.exists(place):
        return place
    missing(f"{place} is not there: run `python tools/sdk.py sdk --only-prepare`, or name one by HVDSM_{name.upper()}_PYTHON")
    raise AssertionError


def missing(reason: str) -> None:
    """Skip a test, but fail it in continuous integration."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def sdk2() -> str:
    """Path of a Python that has the SDK 2."""
    return interpreter("sdk2")


@pytest.fixture(scope="session")
def sdk3() -> str:
    """Path of a Python that has the SDK 3."""
    return interpreter("sdk3")


@pytest.fixture(scope="session")
def emulated_hosts() -> None:
    """Needs hosts."""
    availability = probe()
    if not availability.ok:
        missing(f"emulated hosts: {availability.reason}; {availability.remedy}")


@pytest.fixture
def sandbox(emulated_hosts: None, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox that runs jobs on emulated hosts; results are in ``tmp_path/jobs``."""
    with Sandbox.start(runner="emulated", directory=str(tmp_path / "jobs"), local={"stop_grace": 10.0}) as started:
        yield started


@pytest.fixture(scope="module")
def shared_sandbox(emulated_hosts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The same for all tests of a module: their jobs need names of their own."""
    directory = tmp_path_factory.mktemp("jobs")
    with Sandbox.start(runner="emulated", directory=str(directory), local={"stop_grace": 10.0}) as started:
        yield started
