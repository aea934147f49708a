"""Fixtures of the tests that train for long: those of the tests with SageMaker's SDKs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "sdk"))

from sdk_fixtures import emulated_hosts, sandbox, sdk2, sdk3, shared_sandbox

__all__ = ["emulated_hosts", "sandbox", "sdk2", "sdk3", "shared_sandbox"]
