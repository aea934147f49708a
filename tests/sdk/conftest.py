"""Fixtures of the tests with SageMaker's SDKs."""

from __future__ import annotations

from sdk_fixtures import emulated_hosts, sandbox, sdk2, sdk3, shared_sandbox

__all__ = ["emulated_hosts", "sandbox", "sdk2", "sdk3", "shared_sandbox"]
