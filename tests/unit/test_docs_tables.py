"""What the documentation says of settings, options, codes and messages is what the code has."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Dict, Iterator, List, Set

import click
import pytest

import hvdsm
from hvdsm import errors
from hvdsm.cli.app import app
from hvdsm.cli.launch import command
from hvdsm.container import config, fetch, source

ROOT = Path(hvdsm.__file__).parent.parent
JOB, README, TROUBLE = ROOT / "docs" / "how-a-job-runs.md", ROOT / "README.md", ROOT / "docs" / "troubleshooting.md"


def rows(document: Path, heading: str) -> Dict[str, List[str]]:
    """The rows of the first table below a heading: words in backticks of the first cell, each with the other cells."""
    text = document.read_text().split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None
    found = {}
    for line in table.group().splitlines()[2:]:
        first, *others = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for word in re.findall(r"`([^`]+)`", first) or [first]:
            found[word] = others
    return found


def test_settings_and_their_defaults() -> None:
    said = rows(JOB, "## Settings of the container program")
    read = set(re.findall(r"\"(HVDSM_[A-Z0-9_]+)\"", "".join(map(inspect.getsource, (config, source, fetch)))))
    assert set(said) == read
    numbers = [field.default for field in dataclasses.fields(config.Settings) if isinstance(field.default, (int, float))]
    defaults = sorted(float(number) for number in numbers)
    assert sorted(float(cells[0]) for cells in said.values() if cells[0].isdigit()) == defaults


def test_options_of_launch() -> None:
    said: Set[str] = set()
    for cell in re.findall(r"^\| (`--.*?) \|", README.read_text().replace("\\|", "/"), re.MULTILINE):
        said |= set(re.findall(r"--[a-z0-9-]+", cell))
    names = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    real = {name for name in names if name.startswith("--")} - {"--help"}
    assert said == real


def test_commands() -> None:
    said = set(re.findall(r"^\| `hvdsm ([a-z]+)", README.read_text(), re.MULTILINE))
    assert said == set(app.list_commands(click.Context(app)))


def test_exit_codes() -> None:
    said = {code for first in rows(JOB, "## How it ends") for code in re.findall(r"\d+", first)}
    classes = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, errors.HvdsmError)]
    assert {str(kind.exit_code) for kind in classes} | {"0", "130", "143", "129"} == said


def texts() -> Iterator[str]:
    """Every string of the package, what is filled in as ``…``."""
    for path in sorted((ROOT / "hvdsm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def messages() -> List[str]:
    """Headings of messages, and those named by ``Also`` and ``On the other side``, of the troubleshooting page."""
    text = TROUBLE.read_text().split("## Messages of others")[0]
    found = re.findall(r"^### `(.+)`$", text, re.MULTILINE)
    for sentence in re.findall(r"(?:Also|On the other side) ((?:`[^`]+`(?:, )?)+)", text):
        found += re.findall(r"`([^`]+)`", sentence)
    return found


@pytest.mark.parametrize("message", messages())
def test_a_message_is_one_of_the_code(message: str) -> None:
    # Python's own: shlex says it.
    if message.startswith("No closing quotation"):
        assert "No closing quotation" in inspect.getsource(__import__("shlex"))
        return
    wanted = message.strip("… ")
    assert any(wanted in re.sub(r"…+", "…", text) for text in texts()), message
