"""How a job in SageMaker ended, from what the service and the launcher say."""

from __future__ import annotations

import datetime
from typing import Any, Dict, Optional

import pytest

from hvdsm.backends.sagemaker.result import exit_code_of, outcome_of, phases_of, seconds_of
from hvdsm.model import JobOutcome, RankFailure

BEGIN = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc)


def at(seconds: float) -> datetime.datetime:
    return BEGIN + datetime.timedelta(seconds=seconds)


def description(status: str, secondary: Optional[str] = None, reason: str = "", **more: Any) -> Dict[str, Any]:
    return {
        "TrainingJobName": "job",
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary or status,
        "FailureReason": reason,
        "CreationTime": BEGIN,
        "TrainingEndTime": at(90),
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 70},
        "SecondaryStatusTransitions": [
            {"Status": "Starting", "StartTime": BEGIN},
            {"Status": "Downloading", "StartTime": at(20)},
            {"Status": "Training", "StartTime": at(30)},
        ],
        **more,
    }


FAILURE = RankFailure("exception", "ValueError: x", 1, host="algo-2", rank=3, local_rank=1, traceback="Traceback…")
REPORTED = JobOutcome("job", "Failed", 7, world_size=4, failure=FAILURE, phases={"running": 2.5})


def test_a_completed_job() -> None:
    outcome = outcome_of(description("Completed", ModelArtifacts={"S3ModelArtifacts": "s3://b/m.tar.gz"}))
    assert (outcome.status, outcome.exit_code, outcome.failure, outcome.model_dir) == ("Completed", 0, None, "s3://b/m.tar.gz")
    assert outcome.seconds == 90


def test_a_rank_that_failed_is_known_as_in_a_local_run() -> None:
    outcome = outcome_of(description("Failed", reason="AlgorithmError: rank 3 …, exit code: 7"), REPORTED)
    assert (outcome.exit_code, outcome.failure, outcome.world_size) == (7, FAILURE, 4)
    assert outcome.phases == {"starting": 0.0, "downloading": 20.0, "training": 30.0, "running": 32.5}


def test_without_a_report_the_reason_tells() -> None:
    outcome = outcome_of(description("Failed", reason="AlgorithmError: ExecuteUserScriptError: x, exit code: 9"))
    assert outcome.exit_code == 9
    assert outcome.failure is not None and "ExecuteUserScriptError" in outcome.failure.message


@pytest.mark.parametrize(
    "reason",
    [
        "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type.",
        "InsufficientCapacityError: x",
        "InternalServerError: We encountered an internal error. Please try again.",
    ],
)
def test_what_may_work_later(reason: str) -> None:
    outcome = outcome_of(description("Failed", reason=reason))
    assert outcome.exit_code == 69
    assert outcome.failure is not None and reason in outcome.failure.message


@pytest.mark.parametrize(("secondary", "field"), [("MaxRuntimeExceeded", "MaxRuntime"), ("MaxWaitTimeExceeded", "MaxWaitTime")])
def test_time_limits(secondary: str, field: str) -> None:
    outcome = outcome_of(description("Stopped", secondary), REPORTED)
    assert (outcome.status, outcome.exit_code) == ("Stopped", 75)
    assert outcome.failure is not None and field in outcome.failure.message


def test_spot_capacity_taken_back() -> None:
    assert outcome_of(description("Stopped", "Interrupted")).exit_code == 69


def test_stopped() -> None:
    outcome = outcome_of(description("Stopped"))
    assert (outcome.status, outcome.exit_code, outcome.failure) == ("Stopped", 143, None)


def test_a_completion_that_the_launcher_denies_is_no_success() -> None:
    outcome = outcome_of(description("Completed"), REPORTED)
    assert outcome.exit_code == 7 and not outcome.ok
    assert any("launcher" in text for text in outcome.warnings)


@pytest.mark.parametrize(
    ("reason", "code"),
    [("", 1), ("x, exit code: 7", 7), ("exit code 3", 3), ("exit code: 0", 1), ("exit code: 999", 1), ("exit code: 7 later", 1)],
)
def test_exit_code_of_a_reason(reason: str, code: int) -> None:
    assert exit_code_of(reason) == code


def test_times_that_the_service_does_not_give() -> None:
    assert seconds_of({}) == 0.0
    assert phases_of({"SecondaryStatusTransitions": [{"Status": "Starting"}]}) == {}
