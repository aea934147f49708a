"""What DescribeTrainingJob and ListTrainingJobs tell of a job; times are seconds since the epoch, as on the wire."""

from __future__ import annotations

import time
from typing import Any, Dict, Mapping, Optional

from hvdsm.sandbox.jobs import COMPLETED, TrainingJob, Transition

_DEFAULTS: Dict[str, Any] = {
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
}
# What a request has that no description repeats.
_NOT_DESCRIBED = ("Tags", "SessionChainingConfig")


def describe(job: TrainingJob) -> Dict[str, Any]:
    """DescribeTrainingJob's answer; times are seconds since the epoch."""
    with job.changed:
        found: Dict[str, Any] = {**_DEFAULTS, **{k: v for k, v in job.request.items() if k not in _NOT_DESCRIBED}}
        found.update(completed_fields(job.request))
        found.update(
            TrainingJobName=job.name,
            TrainingJobArn=job.arn,
            TrainingJobStatus=job.status,
            SecondaryStatus=job.secondary,
            CreationTime=_time(job.created),
            LastModifiedTime=_time(job.modified),
            SecondaryStatusTransitions=[_transition(change) for change in job.transitions],
            ModelArtifacts={"S3ModelArtifacts": job.model_artifacts},
            ProfilingStatus="Disabled",
        )
        if job.failure_reason is not None:
            found["FailureReason"] = job.failure_reason
        if job.started is not None:
            found["TrainingStartTime"] = _time(job.started)
        if job.ended_at is not None:
            found["TrainingEndTime"] = _time(job.ended_at)
            if job.started is not None:
                seconds = max(1, round(job.ended_at - job.started))
                found["TrainingTimeInSeconds"] = seconds
                found["BillableTimeInSeconds"] = seconds if job.billable is None else job.billable
        if job.metrics:
            found["FinalMetricDataList"] = list(job.metrics)
        pool = _warm_pool(job)
        if pool is not None:
            found["WarmPoolStatus"] = pool
        return found


def summarize(job: TrainingJob) -> Dict[str, Any]:
    """An entry of ListTrainingJobs."""
    with job.changed:
        found: Dict[str, Any] = {
            "TrainingJobName": job.name,
            "TrainingJobArn": job.arn,
            "CreationTime": _time(job.created),
            "LastModifiedTime": _time(job.modified),
            "TrainingJobStatus": job.status,
            "SecondaryStatus": job.secondary,
        }
        if job.ended_at is not None:
            found["TrainingEndTime"] = _time(job.ended_at)
        pool = _warm_pool(job)
        return found if pool is None else {**found, "WarmPoolStatus": pool}


def _warm_pool(job: TrainingJob) -> Optional[Dict[str, Any]]:
    seconds = (job.request.get("ResourceConfig") or {}).get("KeepAlivePeriodInSeconds")
    if not seconds:
        return None
    if job.ended_at is None:
        return {"Status": "InUse"}
    kept = time.time() - job.ended_at
    status = "Available" if kept < seconds and job.status == COMPLETED else "Terminated"
    return {"Status": status, "ResourceRetainedBillableTimeInSeconds": int(min(kept, seconds))}


def completed_fields(request: Mapping[str, Any]) -> Dict[str, Any]:
    """The fields of a request in which the service fills in defaults."""
    found: Dict[str, Any] = {}
    if request.get("OutputDataConfig"):
        found["OutputDataConfig"] = {"KmsKeyId": "", "CompressionType": "GZIP", **request["OutputDataConfig"]}
    if request.get("AlgorithmSpecification"):
        found["AlgorithmSpecification"] = {"EnableSageMakerMetricsTimeSeries": False, **request["AlgorithmSpecification"]}
    if request.get("InputDataConfig"):
        defaults = {"CompressionType": "None", "RecordWrapperType": "None"}
        found["InputDataConfig"] = [{**defaults, **channel} for channel in request["InputDataConfig"]]
    stopping = request.get("StoppingCondition") or {}
    found["StoppingCondition"] = {"MaxRuntimeInSeconds": 86400, **stopping}
    return found


def _transition(change: Transition) -> Dict[str, Any]:
    found: Dict[str, Any] = {"Status": change.status, "StartTime": _time(change.start), "StatusMessage": change.message}
    return found if change.end is None else {**found, "EndTime": _time(change.end)}


def _time(seconds: float) -> float:
    return round(seconds, 3)
