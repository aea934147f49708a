"""For all tests."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Undo what a background job inherits: with SIGINT and SIGHUP ignored, no test could send them to a command it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
