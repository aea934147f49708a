"""Prints the fault matrix at the end of a run, as it was measured; HVDSM_FAULT_TABLE names a file for it as well."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, List

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cluster"))

TITLE = "| Open MPI | side | fault | exit codes | end after the fault, s | verdict | first line of the failure |"


class Table:
    """The rows of this run."""

    def __init__(self) -> None:
        self.rows: List[str] = []

    def add(self, *cells: object) -> None:
        """One row of the matrix."""
        self.rows.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")

    def text(self) -> str:
        """The table as Markdown."""
        return "\n".join([TITLE, "|" + " --- |" * 7, *sorted(self.rows)]) + "\n"


TABLE = Table()


@pytest.fixture(scope="session")
def fault_table() -> Table:
    """What the rows are added to."""
    return TABLE


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the matrix."""
    if not TABLE.rows:
        return
    terminalreporter.section("fault matrix")
    terminalreporter.write(TABLE.text())
    path = os.environ.get("HVDSM_FAULT_TABLE")
    if path:
        Path(path).write_text(TABLE.text(), encoding="utf-8")
