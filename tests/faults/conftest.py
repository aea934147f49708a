"""Prints the fault matrix at the end of a run, as it was measured; HVDSM_FAULT_TABLE names a file for it as well."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Callable, Iterable, List

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cluster"))

TITLE = "| Open MPI | side | fault | exit codes | end after the fault, s | verdict | first line of the failure |"


ROW = "row of the fault matrix"
AddRow = Callable[..., None]


@pytest.fixture
def fault_row(record_property: Callable[[str, object], None]) -> AddRow:
    """Takes the cells of a row; a test's properties reach the process that prints, whichever process runs the test."""

    def add(*cells: object) -> None:
        record_property(ROW, "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")

    return add


def rows_of(reports: Iterable[Any]) -> List[str]:
    """The rows that tests have made, in order."""
    return sorted(text for report in reports for name, text in getattr(report, "user_properties", []) if name == ROW)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the matrix."""
    calls = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, []) if report.when == "call"]
    rows = rows_of(calls)
    if not rows:
        return
    text = "\n".join([TITLE, "|" + " --- |" * 7, *rows]) + "\n"
    terminalreporter.section("fault matrix")
    terminalreporter.write(text)
    path = os.environ.get("HVDSM_FAULT_TABLE")
    if path:
        Path(path).write_text(text, encoding="utf-8")
