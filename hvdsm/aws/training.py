"""Training jobs: create, describe, stop, list."""

from __future__ import annotations

import random
import re
import time
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

from hvdsm.aws.failures import AwsRefused, code_of, is_passing, message_of, patiently, translated
from hvdsm.aws.session import Aws
from hvdsm.errors import ConfigError, HvdsmError

ENDED = ("Completed", "Failed", "Stopped")
STATUSES = ("InProgress", "Completed", "Failed", "Stopping", "Stopped")
# Seconds that creating a job is tried while AWS throttles or fails by itself.
PATIENCE = 120.0
# How far this machine's clock may be off when a job's creation is compared with it.
_SKEW = timedelta(minutes=5)
# SageMaker lists at most so many jobs at a time.
_PAGE = 100


def _quiet(_text: str) -> None:
    """Say nothing."""


def create_job(
    aws: Aws,
    request: Mapping[str, Any],
    *,
    say: Callable[[str], None] = _quiet,
    limit: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    wait: Optional[Callable[[float], Any]] = None,
    jitter: Callable[[], float] = random.random,
) -> str:
    """Create a training job, once, even if the answer to a first try is lost.

    CreateTrainingJob has no idempotency token: when a later try finds the name taken, the job is ours if it was made after the
    first try and has all the request's values.

    Args:
        aws: the session.
        request: CreateTrainingJob's arguments.
        say: is told when there is a wait.
        limit: seconds to go on trying while AWS throttles or fails by itself.
        clock: gives seconds.
        wait: waits so many seconds.
        jitter: a random number from 0 to 1.

    Returns:
        The job's ARN.

    Raises:
        CloudRefused: AWS refuses the request, or another job has this name.
        CloudUnavailable: AWS cannot be used; the message says so if the job may have been created all the same.
    """
    name = str(request["TrainingJobName"])
    begun = datetime.now(timezone.utc)
    tries = 0

    def attempt() -> str:
        nonlocal tries
        tries += 1
        return str(aws.client("sagemaker").create_training_job(**request)["TrainingJobArn"])

    with translated("create the training job", f"job {name} in {aws.region}"):
        try:
            return patiently(attempt, say=say, limit=limit, clock=clock, wait=wait, jitter=jitter)
        except Exception as error:
            if code_of(error) == "ResourceInUse":
                # A try that botocore repeated by itself is no first one either.
                metadata = getattr(error, "response", {}).get("ResponseMetadata") or {}
                again = tries > 1 or int(metadata.get("RetryAttempts") or 0) > 0
                return _ours(aws, request, begun) if again else _taken(aws, name)
            if not is_passing(error):
                raise
            failure = error
    return _after_lost_answer(aws, request, begun, failure)


def _ours(aws: Aws, request: Mapping[str, Any], begun: datetime) -> str:
    described = describe_job(aws, str(request["TrainingJobName"]))
    if described["CreationTime"] >= begun - _SKEW and not differences(request, described):
        return str(described["TrainingJobArn"])
    return _taken(aws, str(request["TrainingJobName"]))


def _taken(aws: Aws, name: str) -> str:
    error = AwsRefused(
        "there is a training job of this name already; names are used once per account and region",
        where=f"job {name} in {aws.region}",
        remedy="choose another --job-name, or leave it out to get a new one",
    )
    error.code = "ResourceInUse"
    raise error


def _after_lost_answer(aws: Aws, request: Mapping[str, Any], begun: datetime, failure: BaseException) -> str:
    """A request that got no answer may have been carried out."""
    name = str(request["TrainingJobName"])
    try:
        return _ours(aws, request, begun)
    except ConfigError:
        # It is not there, or somebody else's: the first failure stands.
        with translated("create the training job", f"job {name} in {aws.region}"):
            raise failure from None
    except HvdsmError:
        with translated(f"create the training job {name}, or learn whether it was created (hvdsm jobs status {name})"):
            raise failure from None
    raise AssertionError("unreachable")


def differences(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Paths of the values in ``wanted`` that ``found`` has otherwise; what only ``found`` has is the service's default.

    >>> differences({"A": {"B": 1}, "C": [2]}, {"A": {"B": 1, "X": 9}, "C": [3]})
    ['C[0]']
    """
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return [path] if wanted else []
        # Tags are no part of a description.
        names = [name for name in wanted if path or name != "Tags"]
        return [
            line for name in names for line in differences(wanted[name], found.get(name), f"{path}.{name}" if path else str(name))
        ]
    if isinstance(wanted, (list, tuple)):
        if len(wanted) != len(found or ()):
            return [path]
        return [line for i, value in enumerate(wanted) for line in differences(value, found[i], f"{path}[{i}]")]
    return [] if wanted == found or (not wanted and found is None) else [path]


def describe_job(aws: Aws, name: str, *, attempts: Optional[int] = None) -> Dict[str, Any]:
    """DescribeTrainingJob's answer.

    Args:
        aws: the session.
        name: TrainingJobName.
        attempts: requests in all where they fail in a passing way; 1 for a caller that has a patience of its own.

    Raises:
        ConfigError: there is no such job.
        CloudUnavailable: AWS cannot be used.
    """
    with translated("describe the training job", f"job {name} in {aws.region}"):
        try:
            answer: Dict[str, Any] = aws.client("sagemaker", attempts=attempts).describe_training_job(TrainingJobName=name)
        except Exception as error:
            if _is_missing(error):
                raise _no_such_job(aws, name) from error
            raise
    answer.pop("ResponseMetadata", None)
    return answer


def stop_job(aws: Aws, name: str) -> None:
    """Ask a job to end; one that has ended already is no error.

    Raises:
        ConfigError: there is no such job.
        CloudUnavailable: AWS cannot be used.
    """
    with translated("stop the training job", f"job {name} in {aws.region}"):
        try:
            aws.client("sagemaker").stop_training_job(TrainingJobName=name)
        except Exception as error:
            if _is_missing(error):
                raise _no_such_job(aws, name) from error
            # "The request was rejected because the training job is in status Completed."
            if code_of(error) == "ValidationException" and re.search(r"in status \w+|already", message_of(error)):
                return
            raise


def list_jobs(
    aws: Aws, *, name_contains: Optional[str] = None, status: Optional[str] = None, limit: Optional[int] = None
) -> Iterator[Dict[str, Any]]:
    """Summaries of jobs, the newest first.

    Args:
        aws: the session.
        name_contains: only jobs whose name has this in it.
        status: only jobs of this TrainingJobStatus.
        limit: at most so many.

    Raises:
        ConfigError: there is no such status.
        CloudUnavailable: AWS cannot be used.
    """
    if status is not None and status not in STATUSES:
        raise ConfigError(f"{status!r} is no status of a job", where="--status", remedy=f"one of {', '.join(STATUSES)}")
    asked: Dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending"}
    if name_contains:
        asked["NameContains"] = name_contains
    if status:
        asked["StatusEquals"] = status
    found = 0
    while limit is None or found < limit:
        asked["MaxResults"] = _PAGE if limit is None else min(_PAGE, limit - found)
        with translated("list the training jobs", aws.region):
            page = aws.client("sagemaker").list_training_jobs(**asked)
        for summary in page["TrainingJobSummaries"]:
            yield summary
            found += 1
            if limit is not None and found >= limit:
                return
        if not page.get("NextToken"):
            return
        asked["NextToken"] = page["NextToken"]


def _is_missing(error: BaseException) -> bool:
    if code_of(error) in ("ResourceNotFound", "ResourceNotFoundException"):
        return True
    return code_of(error) == "ValidationException" and bool(
        re.search(r"not found|[Cc]ould not find|does not exist", message_of(error))
    )


def _no_such_job(aws: Aws, name: str) -> ConfigError:
    return ConfigError(
        f"there is no training job of this name in {aws.region}",
        where=f"job {name}",
        remedy="hvdsm jobs list; a job of another region or account needs --region or --aws-profile",
    )
