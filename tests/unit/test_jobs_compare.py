"""Whether a replay ended as the job of the cloud did."""

from __future__ import annotations

from typing import Optional

import pytest

from hvdsm.jobs.compare import compare
from hvdsm.model import JobOutcome, RankFailure


def ended(
    status: str = "Failed",
    code: int = 1,
    exception: Optional[str] = "ValueError",
    message: str = "",
    rank: Optional[int] = 1,
    kind: str = "exception",
) -> JobOutcome:
    failure = RankFailure(kind, message, code, "algo-1", rank, 0, exception) if status == "Failed" else None
    return JobOutcome("job", status, code, failure=failure)


DONE = ended("Completed", 0)
REASON = "AlgorithmError: Traceback\n  raise ValueError('x')\nValueError: x\nExecuteUserScriptError: ExitCode 1\n, exit code: 1"


@pytest.mark.parametrize(
    ("cloud", "local", "verdict", "word"),
    [
        (DONE, DONE, "same", "Completed"),
        (DONE, ended(), "different", "Failed"),
        (ended(), DONE, "different", "Failed"),
        (None, DONE, "unknown", "has not ended"),
        (ended(), ended(), "same", "the same exception: ValueError"),
        (ended(), ended(exception="builtins.ValueError"), "same", "ValueError"),
        (ended(), ended(exception="KeyError"), "different", "exceptions differ: ValueError in the cloud, KeyError here"),
        (ended(), ended(exception=None), "different", "none here"),
        (ended(code=3, exception=None), ended(code=3, exception=None), "same", "exit code 3"),
        (ended(code=3, exception=None), ended(code=4, exception=None), "different", "exit codes differ: 3"),
        (ended(), ended(rank=2), "same", "rank 1 was the first to fail in the cloud, rank 2 here"),
        (ended(exception=None, message=REASON, rank=None, kind="exit"), ended(), "same", "ValueError"),
        (ended(exception=None, message=REASON, rank=None, kind="exit"), ended(exception="OSError"), "different", "OSError"),
        (
            ended(code=69, exception=None, message="CapacityError: none", rank=None, kind="launch"),
            ended(),
            "different",
            "service's own",
        ),
        (
            ended(code=69, exception=None, message="InternalServerError: We met one", rank=None, kind="launch"),
            ended(),
            "different",
            "service's own",
        ),
    ],
)
def test_verdicts(cloud: Optional[JobOutcome], local: JobOutcome, verdict: str, word: str) -> None:
    found = compare(cloud, local)
    assert found.verdict == verdict
    assert word in "\n".join(found.lines)
