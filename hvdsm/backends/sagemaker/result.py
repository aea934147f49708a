"""From what SageMaker says of a job, and what its launcher reported, to the outcome that a local run would have; pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Dict, Mapping, Optional

from hvdsm.errors import EXIT_TIMEOUT, EXIT_UNAVAILABLE
from hvdsm.model import JobOutcome, RankFailure
from hvdsm.model.outcome import COMPLETED, FAILED, KIND_EXIT, KIND_LAUNCH, KIND_TIMEOUT, STOPPED

# 128 + SIGTERM, which is how StopTrainingJob ends the containers.
EXIT_STOPPED = 143
_EXIT_CODE = re.compile(r"\bexit code:? (\d+)\s*\.?\s*$", re.IGNORECASE)
_CAPACITY = re.compile(r"^(?:CapacityError|InsufficientCapacity\w*|.{0,40}insufficient capacity)", re.IGNORECASE)
_SERVICE = re.compile(r"^InternalServerError", re.IGNORECASE)
_OVERTIME = ("MaxRuntimeExceeded", "MaxWaitTimeExceeded")


def outcome_of(description: Mapping[str, Any], reported: Optional[JobOutcome] = None) -> JobOutcome:
    """How a job that has ended ended.

    Args:
        description: what DescribeTrainingJob says.
        reported: what the launcher's last line said; None when there was none.

    Returns:
        the outcome.  Its exit code is the failing rank's own; 75 when a time limit ended the job, 69 when there was no capacity,
        143 when it was stopped.
    """
    status = str(description.get("TrainingJobStatus"))
    base = reported or JobOutcome(str(description["TrainingJobName"]), FAILED, 1)
    base = replace(
        base,
        job_name=str(description["TrainingJobName"]),
        seconds=seconds_of(description),
        phases={**phases_of(description), **_running_phases(description, reported)},
        model_dir=(description.get("ModelArtifacts") or {}).get("S3ModelArtifacts"),
        output_dir=(description.get("OutputDataConfig") or {}).get("S3OutputPath"),
    )
    if status == COMPLETED:
        if reported is not None and not reported.ok:
            said = f"SageMaker says that the job completed, its launcher that it did not ({reported.status})"
            return replace(base, warnings=(*base.warnings, said))
        return replace(base, status=COMPLETED, exit_code=0, failure=None)
    if status == STOPPED:
        return _stopped(description, base)
    return _failed(description, base, reported)


def _stopped(description: Mapping[str, Any], base: JobOutcome) -> JobOutcome:
    secondary = str(description.get("SecondaryStatus") or "")
    if secondary in _OVERTIME:
        field = "MaxRuntimeInSeconds" if secondary == _OVERTIME[0] else "MaxWaitTimeInSeconds"
        limit = (description.get("StoppingCondition") or {}).get(field)
        failure = RankFailure(KIND_TIMEOUT, f"the job exceeded its time limit: {field} is {limit}", EXIT_TIMEOUT)
        return replace(base, status=STOPPED, exit_code=EXIT_TIMEOUT, failure=failure)
    if secondary == "Interrupted":
        message = "spot capacity was taken back, and the job was not started again in the time that it may wait"
        failure = RankFailure(KIND_LAUNCH, message, EXIT_UNAVAILABLE)
        return replace(base, status=STOPPED, exit_code=EXIT_UNAVAILABLE, failure=failure)
    return replace(base, status=STOPPED, exit_code=EXIT_STOPPED, failure=None, warnings=(*base.warnings, "stopped"))


def _failed(description: Mapping[str, Any], base: JobOutcome, reported: Optional[JobOutcome]) -> JobOutcome:
    reason = str(description.get("FailureReason") or "").strip()
    if reported is not None and reported.failure is not None:
        return replace(base, status=FAILED, exit_code=reported.exit_code or 1)
    if _CAPACITY.match(reason):
        failure = RankFailure(KIND_LAUNCH, _with_hint(reason), EXIT_UNAVAILABLE)
    elif _SERVICE.match(reason):
        failure = RankFailure(KIND_LAUNCH, f"{reason} (the service's own failure: submit again)", EXIT_UNAVAILABLE)
    else:
        code = exit_code_of(reason)
        kind = KIND_EXIT if _EXIT_CODE.search(reason) else KIND_LAUNCH
        failure = RankFailure(kind, reason or "SageMaker gives no reason", code, reported=bool(reason))
    return replace(base, status=FAILED, exit_code=failure.exit_code, failure=failure)


def lacks_capacity(description: Mapping[str, Any]) -> bool:
    """Whether a job failed since there were no instances for it."""
    reason = str(description.get("FailureReason") or "").strip()
    return description.get("TrainingJobStatus") == FAILED and bool(_CAPACITY.match(reason))


def _with_hint(reason: str) -> str:
    return f"{reason} (try another instance type, subnet or region, a later time, or --max-wait with --spot)"


def exit_code_of(reason: str) -> int:
    """The exit code at the end of a FailureReason, as the service writes it (``…, exit code: 7``); 1 where there is none."""
    found = _EXIT_CODE.search(reason)
    code = int(found[1]) if found else 1
    return code if 0 < code < 256 else 1


def seconds_of(description: Mapping[str, Any]) -> float:
    """Seconds from the job's creation to its end, or to what is last known of it."""
    begin, end = description.get("CreationTime"), description.get("TrainingEndTime") or description.get("LastModifiedTime")
    return round(max(0.0, (end - begin).total_seconds()), 3) if begin and end else 0.0


def phases_of(description: Mapping[str, Any]) -> Dict[str, float]:
    """Seconds from the job's creation to each of its secondary statuses, by the service's names in lower case."""
    begin = description.get("CreationTime")
    found: Dict[str, float] = {}
    for change in description.get("SecondaryStatusTransitions") or ():
        at = change.get("StartTime")
        if begin and at:
            found.setdefault(str(change.get("Status")).lower(), round(max(0.0, (at - begin).total_seconds()), 3))
    return found


def _running_phases(description: Mapping[str, Any], reported: Optional[JobOutcome]) -> Dict[str, float]:
    """The phases that the launcher reported, which count from the beginning of the training there, on the job's own scale."""
    if reported is None:
        return {}
    offset = phases_of(description).get("training", 0.0)
    return {name: round(offset + at, 3) for name, at in reported.phases.items()}
