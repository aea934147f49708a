"""Writes what became of the job: ``output/success`` or ``output/failure``, and the outcome record."""

from __future__ import annotations

import os
from typing import Callable, Optional

from hvdsm.compose.environment import Paths
from hvdsm.compose.failure import failure_text
from hvdsm.compose.outcome_line import encode_outcome
from hvdsm.model import JobOutcome


def write_outcome(outcome: JobOutcome, paths: Paths, outcome_file: Optional[str], say: Callable[[str], None]) -> None:
    """Write the outcome's files; one that cannot be written goes to the log instead.

    A failure file that the script wrote itself is kept, as the SageMaker Training Toolkit does.
    """
    if outcome.ok:
        _write(os.path.join(paths.output, "success"), "", say)
    elif outcome.failure is not None:
        path = os.path.join(paths.output, "failure")
        if not os.path.exists(path):
            _write(path, failure_text(outcome.failure), say)
    if outcome_file:
        _write(outcome_file, outcome.to_json(), say)


def print_outcome(outcome: JobOutcome, write: Callable[[bytes], None]) -> None:
    """Write the outcome as the last line of the launcher's log, from which a client takes it that sees no file of this host."""
    write(encode_outcome(outcome).encode() + b"\n")


def _write(path: str, text: str, say: Callable[[str], None]) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        say(f"cannot write {path}: {error.strerror}\n{text}")
