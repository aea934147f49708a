"""Golden files: what pure functions must give to the letter; ``pytest tests/unit --update-golden`` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
from hypothesis import settings

# A busy machine is no defect: an example may take as long as it takes.
settings.register_profile("hvdsm", deadline=None)
settings.load_profile("hvdsm")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--update-golden``."""
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with ``tests/unit/golden/NAME``."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden", default=False):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{path} differs; if that is meant: pytest tests/unit --update-golden"

    return compare
