"""Fixtures of the tests with DGL: hosts, and the SageMaker service of the tests with its SDKs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "gcmc_movielens"
sys.path[:0] = map(str, (ROOT / "tests" / "sdk", EXAMPLE, EXAMPLE / "app"))

# Threads of OpenMP that wait would take the cores of the jobs under test, which share them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from sdk_fixtures import emulated_hosts, sandbox, sdk2  # noqa: E402

__all__ = ["emulated_hosts", "sandbox", "sdk2"]
