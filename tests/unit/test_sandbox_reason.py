"""FailureReason of the sandbox's jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hvdsm.model import JobOutcome, RankFailure
from hvdsm.model.outcome import FAILED, KIND_EXIT, KIND_HOST_LOST, KIND_SIGNAL
from hvdsm.sandbox.emulated import failure_reason

# A rank of hvdsm's program, which a command of the request's own has started; the command itself with and without a reason.
RANK = RankFailure(KIND_SIGNAL, "", 139, host="algo-2", rank=2, signal=11)
SILENT = RankFailure(KIND_EXIT, "", 3, host="algo-1")
SPOKEN = RankFailure(KIND_EXIT, "no data", 3, host="algo-1")


@pytest.mark.parametrize(
    ("failure", "own", "said"),
    [
        (RANK, True, "AlgorithmError: what is in the file, exit code: {}"),
        (RANK, False, "AlgorithmError: what is in the file, exit code: {}"),
        (SILENT, True, "AlgorithmError: , exit code: {}"),
        (SPOKEN, True, "AlgorithmError: what is in the file, exit code: {}"),
        (RankFailure(KIND_HOST_LOST, "lost", 1, host="algo-1"), True, "InternalServerError: We encountered an internal error."),
    ],
)
def test_reason(tmp_path: Path, failure: RankFailure, own: bool, said: str) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "failure").write_text("what is in the file")
    outcome = JobOutcome("job", FAILED, failure.exit_code, failure=failure)
    assert failure_reason(outcome, str(tmp_path), own).startswith(said.format(failure.exit_code))


def test_a_long_reason_keeps_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "failure").write_text("x" * 5000)
    reason = failure_reason(JobOutcome("job", FAILED, 7, failure=SPOKEN), str(tmp_path))
    assert len(reason) == 1024 and reason.endswith("x, exit code: 7")
