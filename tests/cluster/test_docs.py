"""Every hvdsm command of the documentation, run as it stands."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest
from doc_pages import ELSEWHERE, here
from launching import ROOT, as_activated

pytestmark = pytest.mark.cluster

DOCUMENTS = here(
    ROOT, [Path(ROOT) / "README.md", *sorted(Path(ROOT).glob("docs/*.md")), *sorted(Path(ROOT).glob("examples/*/README.md"))]
)
SCRIPT = """
import sys
from mpi4py import MPI
print("arguments", sys.argv[1:], "sum", MPI.COMM_WORLD.allreduce(1))
"""


def commands() -> Iterator[Tuple[str, List[str]]]:
    """The hvdsm commands of all shell blocks, a line that ends in a backslash continued."""
    for document in DOCUMENTS:
        for block in re.findall(r"```(?:sh|bash|console|text)\n(.*?)```", document.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                text = line[2:] if line.startswith("$ ") else line
                if re.match(r"hvdsm (launch|cluster|bundle)\b", text) and "--backend sagemaker" not in text:
                    yield f"{document.parent.name}-{document.stem}", shlex.split(text, comments=True)


@pytest.mark.parametrize(("where", "words"), [pytest.param(w, c, id=f"{w}-{i}") for i, (w, c) in enumerate(commands())])
def test_a_command_of_the_documentation(tmp_path: Path, where: str, words: List[str]) -> None:
    for name in ("train.py", "src/train.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(SCRIPT)
    for folder in ("data", "data/train"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "numbers.txt").write_text("1 2 3\n")
    (tmp_path / "examples").symlink_to(os.path.join(ROOT, "examples"))
    done = as_activated(["-m", "hvdsm", *words[1:]], tmp_path)
    assert done.returncode == (1 if "--fail-rank" in words else 0), done.stdout


def test_the_documentation_shows_commands() -> None:
    assert len(list(commands())) >= 6


def test_pages_that_are_run_elsewhere_are_there_and_so_are_their_tests() -> None:
    absent = [name for pair in ELSEWHERE.items() for name in pair if not (Path(ROOT) / name).is_file()]
    assert absent == []
