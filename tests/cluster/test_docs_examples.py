"""The Python examples of the documentation, run; and every command that it shows is run by a test or excused here.

The ``hvdsm`` commands themselves are run by ``test_docs.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, Tuple

import pytest
from doc_pages import here
from launching import ROOT, as_activated

pytestmark = pytest.mark.cluster

DOCUMENTS = here(
    ROOT,
    [
        *sorted(Path(ROOT).glob("*.md")),
        *sorted(Path(ROOT).glob("docs/*.md")),
        *sorted(Path(ROOT).glob("examples/*/README.md")),
    ],
)
RUN_BY_TEST_DOCS = r"hvdsm (launch|cluster|bundle|bench)\b"
# Commands that are not run as they stand, and why.
NOT_RUN = {
    r"make (demo|setup|test)\b": "installs and compiles for minutes, or runs these very tests",
    r"make check\b": "runs these tests' neighbours; `make test` begins with it",
    r"\. \.venv/bin/activate$": "sets the shell that a reader types in; the tests use that environment already",
    r"pip install '/path/to/hvdsm\[local\]'$": "installs Open MPI from the network; tests/packaging installs the bare package",
}
SCRIPT = """
from mpi4py import MPI
print("sum", MPI.COMM_WORLD.allreduce(1))
"""


def blocks(languages: str) -> Iterator[Tuple[str, str]]:
    """Code blocks in some languages, each with where it is from."""
    for document in DOCUMENTS:
        for index, match in enumerate(
            re.finditer(rf"^```(?:{languages})\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
        ):
            yield f"{document.parent.name}-{document.stem}-{index}", match.group(1)


def commands() -> Iterator[Tuple[str, str]]:
    """All command lines: each line of a shell block; after ``$ `` where output is shown too."""
    for where, text in blocks("sh|bash|shell"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip():
                yield where, line
    for where, text in blocks("console|text"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield where, line[2:]


@pytest.mark.parametrize(("where", "text"), [pytest.param(w, t, id=w) for w, t in blocks("python")])
def test_a_python_example_of_the_documentation(tmp_path: Path, where: str, text: str) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "example.py").write_text(text)
    done = as_activated(["example.py"], tmp_path)
    assert done.returncode == 0, done.stdout
    if "hvdsm.launch(" in text:
        assert "completed in" in done.stdout and "{'algo-1': 2, 'algo-2': 2}" in done.stdout, done.stdout


@pytest.mark.parametrize(("where", "text"), [pytest.param(w, t, id=f"{w}-{t}") for w, t in commands()])
def test_a_command_is_run_or_excused(where: str, text: str) -> None:
    assert re.match(RUN_BY_TEST_DOCS, text) or any(re.match(pattern, text) for pattern in NOT_RUN), (
        f"{where} shows a command that no test runs: {text}"
    )


def test_every_excuse_is_needed() -> None:
    shown = [text for _, text in commands()]
    assert [pattern for pattern in NOT_RUN if not any(re.match(pattern, text) for text in shown)] == []
