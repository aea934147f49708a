"""The operations of SageMaker on training jobs; errors, limits and pages are those of the service.

Source: the Amazon SageMaker API reference; messages as users have reported them.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from hvdsm.sandbox.description import describe, summarize
from hvdsm.sandbox.jobs import TrainingJob
from hvdsm.sandbox.logstore import LogStore
from hvdsm.sandbox.streams import CLIENT
from hvdsm.sandbox.validation import check
from hvdsm.sandbox.wire import ServiceError

Body = Mapping[str, Any]
_MOST_TAGS = 50
_PAGE = 10
_SORTED: Dict[str, Callable[[TrainingJob], Any]] = {
    "Name": lambda job: job.name,
    "CreationTime": lambda job: job.created,
    "Status": lambda job: job.status,
}


class TrainingService:
    """SageMaker's training jobs of one region.

    Args:
        region: the region.
        account: the account's number.
        store: where the jobs' logs go.
        start: begins to carry a new job out.
        admit: raises what keeps a job from being created.
    """

    def __init__(
        self,
        region: str,
        account: str,
        store: LogStore,
        start: Callable[[TrainingJob], None],
        admit: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.region = region
        self.jobs: Dict[str, TrainingJob] = {}
        self.lock = threading.Lock()
        self._account = account
        self._store = store
        self._start = start
        self._admit = admit
        self.operations: Dict[str, Callable[[Body], Optional[Dict[str, Any]]]] = {
            "CreateTrainingJob": self.create,
            "DescribeTrainingJob": self.describe,
            "ListTrainingJobs": self.list_jobs,
            "StopTrainingJob": self.stop,
            "UpdateTrainingJob": self.update,
            "DeleteTrainingJob": self.delete,
        }
        self.tag_operations: Dict[str, Callable[[Body], Dict[str, Any]]] = {
            "AddTags": self.add_tags,
            "ListTags": self.list_tags,
            "DeleteTags": self.delete_tags,
        }

    def all(self) -> List[TrainingJob]:
        """All jobs that there are."""
        with self.lock:
            return list(self.jobs.values())

    def handles(self, operation: str, body: Body) -> bool:
        """Whether an operation is about training jobs."""
        if operation in self.tag_operations:
            return ":training-job/" in str(body.get("ResourceArn"))
        return operation in self.operations

    def handle(self, operation: str, body: Body) -> Optional[Dict[str, Any]]:
        """Carry an operation out.

        Raises:
            ServiceError: the service refuses it.
        """
        check(operation, body)
        return (self.operations.get(operation) or self.tag_operations[operation])(body)

    def create(self, body: Body) -> Dict[str, Any]:
        """CreateTrainingJob."""
        name = body["TrainingJobName"]
        arn = f"arn:aws:sagemaker:{self.region}:{self._account}:training-job/{name}"
        with self.lock:
            if name in self.jobs:
                raise _taken(arn)
        self._admit(body)
        tags = {tag["Key"]: tag["Value"] for tag in body.get("Tags") or ()}
        # To the millisecond, as it is told: a client may ask for jobs before or after this one.
        job = TrainingJob(name, arn, dict(body), round(time.time(), 3), self._store, tags, client=CLIENT.get())
        with self.lock:
            if name in self.jobs:
                raise _taken(arn)
            self.jobs[name] = job
        self._start(job)
        return {"TrainingJobArn": arn}

    def describe(self, body: Body) -> Dict[str, Any]:
        """DescribeTrainingJob."""
        return describe(self._job(body))

    def stop(self, body: Body) -> None:
        """StopTrainingJob; a job that is stopping already goes on doing so."""
        job = self._job(body)
        if not job.stop():
            raise _rejected(job)

    def update(self, body: Body) -> Dict[str, Any]:
        """UpdateTrainingJob: the warm pool's time, the profiler and remote debugging."""
        job = self._job(body)
        with job.changed:
            resources = body.get("ResourceConfig") or {}
            if "KeepAlivePeriodInSeconds" in resources:
                if not (job.request.get("ResourceConfig") or {}).get("KeepAlivePeriodInSeconds"):
                    raise ServiceError("ValidationException", "The training job has no warm pool that could be updated.")
                job.request["ResourceConfig"] = {**job.request["ResourceConfig"], **resources}
            elif job.is_ended:
                raise _rejected(job)
            for field in ("ProfilerConfig", "ProfilerRuleConfigurations", "RemoteDebugConfig"):
                if field in body:
                    job.request[field] = body[field]
            job.modified = time.time()
        return {"TrainingJobArn": job.arn}

    def delete(self, body: Body) -> None:
        """DeleteTrainingJob."""
        job = self._job(body)
        with job.changed:
            if not job.is_ended:
                message = f"Cannot delete training job {job.arn} because it is in status {job.status}."
                raise ServiceError("ResourceInUse", message)
            pool = summarize(job).get("WarmPoolStatus") or {}
            if pool.get("Status") == "Available":
                raise ServiceError("ResourceInUse", f"Cannot delete training job {job.arn}: it retains a warm pool.")
        with self.lock:
            self.jobs.pop(job.name, None)

    def list_jobs(self, body: Body) -> Dict[str, Any]:
        """ListTrainingJobs.

        As documented, a page of MaxResults jobs is taken first, and StatusEquals leaves out some of them afterwards.
        """
        with self.lock:
            jobs = list(self.jobs.values())
        key, descending = _SORTED[body.get("SortBy") or "CreationTime"], body.get("SortOrder") == "Descending"
        ordered = sorted((j for j in jobs if _selected(j, body)), key=lambda j: (key(j), j.name), reverse=descending)
        if body.get("NextToken"):
            last = _token_value(body["NextToken"])
            ordered = [j for j in ordered if ((key(j), j.name) < last if descending else (key(j), j.name) > last)]
        size = body.get("MaxResults") or _PAGE
        page, wanted = ordered[:size], body.get("StatusEquals")
        found: Dict[str, Any] = {"TrainingJobSummaries": [summarize(j) for j in page if wanted in (None, j.status)]}
        if len(ordered) > size:
            found["NextToken"] = base64.urlsafe_b64encode(json.dumps([key(page[-1]), page[-1].name]).encode()).decode()
        return found

    def add_tags(self, body: Body) -> Dict[str, Any]:
        """AddTags."""
        job = self._tagged(body)
        with job.changed:
            tags = {**job.tags, **{tag["Key"]: tag["Value"] for tag in body["Tags"]}}
            if len(tags) > _MOST_TAGS:
                raise ServiceError("ResourceLimitExceeded", f"A resource may have {_MOST_TAGS} tags.")
            job.tags = tags
        return {"Tags": _tag_list(tags)}

    def list_tags(self, body: Body) -> Dict[str, Any]:
        """ListTags."""
        tags = _tag_list(self._tagged(body).tags)
        begin = int(_token_value(body["NextToken"])[0]) if body.get("NextToken") else 0
        end = begin + (body.get("MaxResults") or _MOST_TAGS)
        found: Dict[str, Any] = {"Tags": tags[begin:end]}
        if end < len(tags):
            found["NextToken"] = base64.urlsafe_b64encode(json.dumps([end, ""]).encode()).decode()
        return found

    def delete_tags(self, body: Body) -> Dict[str, Any]:
        """DeleteTags."""
        job = self._tagged(body)
        with job.changed:
            job.tags = {key: value for key, value in job.tags.items() if key not in body["TagKeys"]}
        return {}

    def _job(self, body: Body) -> TrainingJob:
        with self.lock:
            job = self.jobs.get(body["TrainingJobName"])
        if job is None:
            # ResourceNotFound is documented; this is what is answered.
            raise ServiceError("ValidationException", "Requested resource not found.")
        return job

    def _tagged(self, body: Body) -> TrainingJob:
        return self._job({"TrainingJobName": str(body["ResourceArn"]).rpartition("/")[2]})


def _taken(arn: str) -> ServiceError:
    message = f"Training job names must be unique within an AWS account and region, and {arn} exists already"
    return ServiceError("ResourceInUse", message)


def _rejected(job: TrainingJob) -> ServiceError:
    return ServiceError("ValidationException", f"The request was rejected because the training job is in status {job.status}.")


def _selected(job: TrainingJob, body: Body) -> bool:
    pool = (summarize(job).get("WarmPoolStatus") or {}).get("Status") if body.get("WarmPoolStatusEquals") else None
    plan = (job.request.get("ResourceConfig") or {}).get("TrainingPlanArn")
    return (
        body.get("NameContains", "") in job.name
        and job.created > float(body.get("CreationTimeAfter", float("-inf")))
        and job.created < float(body.get("CreationTimeBefore", float("inf")))
        and job.modified > float(body.get("LastModifiedTimeAfter", float("-inf")))
        and job.modified < float(body.get("LastModifiedTimeBefore", float("inf")))
        and body.get("WarmPoolStatusEquals") in (None, pool)
        and body.get("TrainingPlanArnEquals") in (None, plan)
    )


def _token_value(token: Any) -> Tuple[Any, str]:
    try:
        first, second = json.loads(base64.urlsafe_b64decode(str(token).encode()))
    except (ValueError, TypeError):
        raise ServiceError("ValidationException", "Invalid NextToken") from None
    return first, second


def _tag_list(tags: Mapping[str, str]) -> List[Dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
