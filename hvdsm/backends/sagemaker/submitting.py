"""Uploads what a plan names and creates the job; in the next zone where there is no capacity."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from hvdsm.backends.sagemaker.job import SageMakerJob, Say, keep, keep_outcome, without_capacity
from hvdsm.backends.sagemaker.plan import SageMakerPlan
from hvdsm.backends.sagemaker.result import lacks_capacity
from hvdsm.backends.sagemaker.uploading import upload_one
from hvdsm.backends.sagemaker.uploads import Upload
from hvdsm.backends.sagemaker.zones import Attempt, next_name, where_tried
from hvdsm.backends.signals import stopping_signals
from hvdsm.compose.request import changed_request
from hvdsm.errors import CloudUnavailable, HvdsmError


class NoCapacity(CloudUnavailable):
    """No zone has capacity for a job; ``attempts`` are those that were made."""

    attempts: Tuple[Attempt, ...] = ()


def submit_plan(aws: Any, plan: SageMakerPlan, say: Say) -> SageMakerJob:
    """Upload what the request names, and create the job; where it is refused for lack of capacity, in the next zone.

    Raises:
        ConfigError: the service refuses the request.
        CloudUnavailable: AWS cannot be reached, or has no capacity in any zone.
        KeyboardInterrupt: interrupted; what has happened until then is said.
    """
    done: List[Upload] = []
    asked: List[int] = []
    creating: List[bool] = []
    with _explained(plan.job_name, say, done, creating):
        _upload_all(aws, plan, say, done)
        creating.append(True)
        plan, arn = _created(aws, plan, say, asked, creating)
    keep(plan, arn)
    return _job(plan, arn, asked, notes=plan.notes, warnings=plan.warnings)


def submit_again(aws: Any, job: SageMakerJob, say: Say, asked: List[int]) -> Optional[SageMakerJob]:
    """The same job in the next zone, by another name, when it failed for lack of capacity.

    Nothing is uploaded again: what it reads is where it was.

    Args:
        aws: the connection.
        job: a job that has ended.
        say: is told what is done.
        asked: signals that came meanwhile; after one no job is created.

    Returns:
        The new job, which ``job.following`` names as well.  None when there is none: the job ended in another way, there is no
        further zone, or none of them has capacity, which ``job.ended`` tells then.

    Raises:
        ConfigError: the service refuses the request.
        CloudUnavailable: AWS cannot be reached.
        KeyboardInterrupt: interrupted; what has happened until then is said.
    """
    plan = job.plan
    if plan is None or plan.choice is None or not plan.choice.further or not lacks_capacity(job.description):
        return None
    number = len(plan.tried) + 2
    while True:
        name = next_name(plan.attempts[0].job_name, lambda name: os.path.lexists(_beside(plan, name)), number)
        following, creating = _moved(plan, name), list[bool]()
        try:
            with _explained(name, say, (), creating):
                if asked:
                    raise KeyboardInterrupt
                said = f"{name} is the same job in {following.attempts[-1].place}"
                say(f"{job.name}: there is no capacity in {plan.choice.place.short}; {said}")
                creating.append(True)
                following, arn = _created(aws, following, say, asked, creating)
        except NoCapacity as error:
            if job.ended is not None:
                job.ended = without_capacity(job.ended, error.attempts)
                keep_outcome(job)
            return None
        except (HvdsmError, KeyboardInterrupt) as error:
            # A name that was used once, here or elsewhere, is never free again.
            if getattr(error, "code", "") == "ResourceInUse":
                number += 1
                continue
            if not _is_open(error, creating):
                say(f"{job.name} has ended for lack of capacity, and no other job was created")
            raise
        keep(following, arn)
        if job.ended is not None:
            # Who asks for the first name later is told the last.
            went_on = f"the job went on as {following.job_name} in {following.attempts[-1].place.short}"
            job.ended = replace(job.ended, warnings=(*job.ended.warnings, went_on))
            keep_outcome(job)
        job.following = _job(following, arn, asked)
        return job.following


def _beside(plan: SageMakerPlan, name: str) -> str:
    return os.path.join(os.path.dirname(plan.job_dir), name)


def _moved(plan: SageMakerPlan, name: str) -> SageMakerPlan:
    """The plan of the same job in the next zone."""
    assert plan.choice is not None
    place, *further = plan.choice.further
    request = changed_request(plan.request, job_name=name)
    request["VpcConfig"] = {**request["VpcConfig"], "Subnets": [place.subnet]}
    choice = replace(plan.choice, place=place, further=tuple(further))
    return replace(plan, request=request, choice=choice, tried=plan.attempts, job_dir=_beside(plan, name))


def _job(plan: SageMakerPlan, arn: str, asked: Sequence[int], **more: Any) -> SageMakerJob:
    return SageMakerJob(
        name=plan.job_name,
        arn=arn,
        region=plan.region,
        job_dir=plan.job_dir,
        request=plan.request,
        interrupted=asked[0] if asked else 0,
        plan=plan,
        **more,
    )


@contextmanager
def _explained(name: str, say: Say, done: Sequence[Upload], creating: Sequence[bool]) -> Iterator[None]:
    """Say what an error or an interrupt leaves behind."""
    try:
        yield
    except (HvdsmError, KeyboardInterrupt) as error:
        is_open = _is_open(error, creating)
        if is_open:
            say(f"{name} may have been created: look with hvdsm jobs status {name}")
            say(f"to stop it: hvdsm jobs stop {name}")
        if done:
            where = ", ".join(upload.uri for upload in done)
            what = "uploaded until then" if is_open else "no job was created; uploaded until then, and left there"
            say(f"{what}: {where}")
        raise


def _is_open(error: BaseException, creating: Sequence[bool]) -> bool:
    """Whether the job may have been created in spite of the error."""
    return bool(creating) and (isinstance(error, KeyboardInterrupt) or bool(getattr(error, "passing", False)))


def _created(aws: Any, plan: SageMakerPlan, say: Say, asked: List[int], creating: List[bool]) -> Tuple[SageMakerPlan, str]:
    """Create the job, and where it is refused for lack of capacity, in the next zone: its name is still free then."""
    from hvdsm.aws.failures import is_capacity

    while True:
        try:
            return plan, _create(aws, plan, say, asked)
        except CloudUnavailable as error:
            if plan.choice is None or not is_capacity(error):
                raise
            if not plan.choice.further:
                raise _no_capacity(plan, error) from error
        if asked:
            # The answer is known: there is no job, and the zones that are left are not tried.
            creating.clear()
            without = f"{plan.job_name}: there is no capacity in {plan.choice.place.short}"
            say(f"{without}; interrupted, so that no other zone is tried")
            raise KeyboardInterrupt
        moved = _moved(plan, plan.job_name)
        say(f"{plan.job_name}: there is no capacity in {plan.choice.place.short}; next is {moved.attempts[-1].place}")
        plan = moved


def _no_capacity(plan: SageMakerPlan, error: CloudUnavailable) -> NoCapacity:
    made = NoCapacity(f"{error.what}; tried: {where_tried(plan.attempts)}", where=error.where, remedy=error.remedy)
    made.attempts = plan.attempts
    return made


def _create(aws: Any, plan: SageMakerPlan, say: Say, asked: List[int]) -> str:
    """Create the job; a first interrupt waits for the answer, so that it is known whether there is a job."""
    from hvdsm.aws.training import create_job

    def interrupted(number: int) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt

    with stopping_signals(interrupted):
        say(f"creating the job {plan.job_name}")
        return str(create_job(aws, plan.request, say=say))


def _upload_all(aws: Any, plan: SageMakerPlan, say: Say, done: List[Upload]) -> None:
    if plan.options.s3_prefix is None:
        from hvdsm.aws.storage import default_bucket

        default_bucket(aws, create=True)
    for upload in plan.uploads:
        kms = (plan.request.get("OutputDataConfig") or {}).get("KmsKeyId")
        said = upload_one(aws, plan, upload, kms, say)
        done.append(upload)
        say(f"{upload.title}: {said}")
