"""Every hvdsm command of the documentation, run as it stands."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest
from doc_pages import BENCH, ELSEWHERE, REHEARSED, here
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
                if re.match(r"hvdsm (launch|cluster|bundle|bench)\b", text) and "--backend sagemaker" not in text:
                    yield f"{document.parent.name}-{document.stem}", shlex.split(text, comments=True)


WITH_THEIR_RESULTS = [command.split() for command in (BENCH, *REHEARSED.values())]


def cases() -> Iterator[Any]:
    """Each command once: where it is first, and whether it trains; not those that another test runs and looks at."""
    seen = list(WITH_THEIR_RESULTS)
    for index, (where, words) in enumerate(commands()):
        if words not in seen:
            seen.append(words)
            trains = "-trains" if "examples/ddp_torch/train.py" in words else ""
            yield pytest.param(where, words, id=f"{where}-{index}{trains}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("where", "words"), list(cases()))
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
    shown = [words for _, words in commands()]
    assert len(shown) >= 6
    assert [words for words in WITH_THEIR_RESULTS if words not in shown] == []


def test_pages_that_are_run_elsewhere_are_there_and_so_are_their_tests() -> None:
    absent = [name for pair in ELSEWHERE.items() for name in pair if not (Path(ROOT) / name).is_file()]
    assert absent == []
