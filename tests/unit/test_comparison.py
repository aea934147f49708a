"""The comparison names tests that exist, and every row of it has one of its own number."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Dict, List, Set

import pytest

import hvdsm

ROOT = Path(hvdsm.__file__).parent.parent
PAGE = ROOT / "docs" / "comparison.md"
HOME = "tests/cluster/test_comparison.py"
NUMBERS = [str(number) for number in range(1, 20)]


def rows() -> Dict[str, List[str]]:
    """Number of each row, with the tests that it names as ``file::test``."""
    found: Dict[str, List[str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"D?\d+", cells[0]):
            assert len(cells) == 4, line
            assert cells[0] not in found
            named = re.findall(r"`((?:tests/[\w/.]+::)?test_\w+)`", cells[3])
            found[cells[0]] = [name if "::" in name else f"{HOME}::{name}" for name in named]
    return found


def functions_of(path: str) -> Set[str]:
    """Names of the test functions of a file."""
    tree = ast.parse((ROOT / path).read_bytes())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_all_nineteen_rows_are_there_and_those_of_the_driver() -> None:
    assert [number for number in rows() if number.isdigit()] == NUMBERS
    assert [number for number in rows() if not number.isdigit()] == [f"D{number}" for number in range(1, 7)]


@pytest.mark.parametrize("number", [*NUMBERS, *(f"D{number}" for number in range(1, 7))])
def test_a_row_names_tests_that_exist(number: str) -> None:
    named = rows()[number]
    assert named
    for name in named:
        path, _, function = name.partition("::")
        assert function in functions_of(path), name


@pytest.mark.parametrize("number", NUMBERS)
def test_a_row_has_a_test_of_its_own(number: str) -> None:
    assert any(f"::test_row_{int(number):02d}_" in name for name in rows()[number])


def test_every_test_of_the_comparison_is_named() -> None:
    named = {name for tests in rows().values() for name in tests}
    assert {f"{HOME}::{name}" for name in functions_of(HOME)} <= named
