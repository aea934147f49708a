"""docs/migration.md beside the programs that it is about: every option of the installed horovodrun and torchrun has a row.

Its commands are run by ``test_docs.py``; here every option of hvdsm that a row names exists, and every ``--set`` is a field.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Dict, List, Set

import click
import pytest
from launching import ROOT

from hvdsm.aws.setting import apply_settings
from hvdsm.cli.launch import command

PAGE = (Path(ROOT) / "docs" / "migration.md").read_text()
# Where each program adds its options to its parser; only the page's tables name versions.
PROGRAMS = {"horovodrun": "horovod.runner.launch", "torchrun": "torch.distributed.run"}
# Options of every argparse program.
NOT_OPTIONS = {"-h", "--help"}
CODE = re.compile(r"`([^`]+)`")


def table_of(program: str) -> List[List[str]]:
    """The rows of the table whose first column is headed by the program, cells without blanks around them."""
    lines = PAGE.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {program} | `hvdsm launch` |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip().strip("|").split(" | ")])
    return rows


def rows() -> List[List[str]]:
    """The cells of all rows of all tables of the page."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("|")]


def options_of(module: str) -> List[Set[str]]:
    """The spellings of each option that a module adds to its parsers, read from its source: nothing of it is started."""
    package, *rest = module.split(".")
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None, f"{package} is not installed"
    tree = ast.parse(Path(found.origin).parent.joinpath(*rest).with_suffix(".py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    added = [node.args for node in calls if node.func.attr == "add_argument"]  # type: ignore[attr-defined]
    words = [{str(word.value) for word in args if isinstance(word, ast.Constant)} for args in added]
    return [{word for word in some if word.startswith("-")} - NOT_OPTIONS for some in words]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_has_a_row(program: str) -> None:
    options = [spellings for spellings in options_of(PROGRAMS[program]) if spellings]
    assert len(options) > 20
    shown = {word for row in table_of(program) for word in CODE.findall(row[0])}
    # torchrun spells its options with dashes and with underscores.
    wanted = {word if word.startswith("--") and "_" not in word else word.replace("_", "-") for some in options for word in some}
    assert (sorted(wanted - shown), sorted(shown - wanted)) == ([], [])


def test_every_row_says_what_stands_instead_or_why_nothing_does() -> None:
    counterparts = {program: {row[0]: row[1] for row in table_of(program)} for program in PROGRAMS}
    for program, table in counterparts.items():
        empty = [name for name, text in table.items() if not text or text == "no counterpart"]
        assert empty == [], f"{program}: {empty}"


def test_every_option_of_hvdsm_that_is_named_exists() -> None:
    known: Dict[str, click.Parameter] = {
        word: parameter for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)
    }
    words = [word for row in rows() for cell in row[1:2] for word in CODE.findall(cell)]
    named = {word.split("=")[0].split()[0] for word in words if word.startswith("--")}
    assert len(named) > 30
    assert sorted(part for word in named for part in word.split("/") if f"--{part.lstrip('-')}" not in known) == []


def test_every_field_that_is_set_is_one() -> None:
    request = {
        "InputDataConfig": [
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/train"}}}
        ]
    }
    settings = re.findall(r"`--set '?([^'`]+)'?`", PAGE)
    assert len(settings) > 20
    place = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/mine"
    whole = [text.replace("=ARN", f"={place}").replace("BUCKET/PREFIX", "bucket/prefix") for text in settings if "…" not in text]
    for text in whole:
        assert apply_settings(request, [text]) != request
