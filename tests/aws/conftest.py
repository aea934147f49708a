"""Fixtures for tests that speak HTTP to the sandbox."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Iterator

import botocore.session
import pytest

from hvdsm.emulator import probe
from hvdsm.sandbox import Sandbox


def pytest_configure() -> None:
    """Read the description of each service once, not once for each session of a test: EC2's alone takes a third of a second."""
    botocore.session.create_loader = lru_cache(maxsize=None)(botocore.session.create_loader)


@pytest.fixture(autouse=True)
def no_aws_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads credentials or addresses of the person who runs it."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that plays jobs; they end at once unless they have a script."""
    with Sandbox.start() as started:
        yield started


@pytest.fixture
def emulated_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox that runs jobs on emulated hosts; results are in ``tmp_path/runs``."""
    availability = probe()
    if not availability.ok:
        pytest.skip(f"emulated hosts: {availability.reason}")
    with Sandbox.start(runner="emulated", directory=str(tmp_path / "runs"), local={"stop_grace": 10.0}) as started:
        yield started
