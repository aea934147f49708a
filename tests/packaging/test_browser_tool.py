"""What ``make test-browser`` installs."""

from __future__ import annotations

import browser
import pytest


def test_a_missing_browser_is_installed_with_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser.system_packages, "SBIN", "/nonexistent")
    monkeypatch.setenv("PATH", "/nonexistent")
    for name in ("HVDSM_CHROMIUM", "HVDSM_CHROMEDRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert [need.package for need in browser.missing()] == ["chromium", "chromium-driver", "fonts-dejavu-core"]


def test_a_browser_that_is_named_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HVDSM_CHROMIUM", "/some/chromium")
    monkeypatch.setenv("HVDSM_CHROMEDRIVER", "/some/chromedriver")
    assert not {need.package for need in browser.missing()} & {"chromium", "chromium-driver"}
