"""A job in SageMaker as this side knows it, and what is kept of it on this machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.local.layout import distribution_hosts, distribution_of, hosts_of
from hvdsm.backends.sagemaker.plan import SageMakerPlan
from hvdsm.backends.sagemaker.zones import Attempt, where_tried
from hvdsm.compose.mask import mask_request
from hvdsm.model import NONE, JobOutcome

Say = Callable[[str], None]
JOB_FILE = "job.json"


@dataclass
class SageMakerJob:
    """A job in SageMaker that was submitted, or found there.

    Attributes:
        interrupted: the signal that came while it was created.
        plan: what it was made from; None for one that was found.
        following: the same job in another zone, which was submitted since this one had no capacity.
    """

    name: str
    arn: str
    region: str
    job_dir: Optional[str]
    request: Mapping[str, Any]
    notes: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()
    ended: Optional[JobOutcome] = None
    description: Mapping[str, Any] = field(default_factory=dict)
    reported: Optional[JobOutcome] = None
    interrupted: int = 0
    plan: Optional[SageMakerPlan] = None
    following: Optional[SageMakerJob] = None

    @property
    def latest(self) -> SageMakerJob:
        """The job that it has become."""
        return self.following.latest if self.following is not None else self

    @property
    def history(self) -> List[str]:
        """What its outcome tells of zones that were tried before."""
        tried = self.plan.tried if self.plan is not None else ()
        return [f"there was no capacity in {where_tried(tried)}"] if tried else []


def keep(plan: SageMakerPlan, arn: str) -> None:
    """Keep on this machine what was sent and where, so that the job is found again."""
    os.makedirs(plan.job_dir, exist_ok=True)
    found: Dict[str, Any] = {"backend": "sagemaker", "job_name": plan.job_name, "arn": arn, "region": plan.region}
    if plan.choice is not None:
        attempts = [attempt.as_json() for attempt in plan.attempts]
        found.update({name: value for name, value in attempts[-1].items() if name != "job_name"}, attempts=attempts)
    for name, content in (("request.json", mask_request(plan.request)), (JOB_FILE, found)):
        with open(os.path.join(plan.job_dir, name), "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")


def keep_outcome(job: SageMakerJob) -> None:
    """Keep how it ended, where its results are; a full disk does not change the outcome."""
    if job.job_dir is None or job.ended is None:
        return
    try:
        with open(os.path.join(job.job_dir, "outcome.json"), "w", encoding="utf-8") as file:
            file.write(job.ended.to_json())
    except OSError:
        return


def without_capacity(outcome: JobOutcome, attempts: Sequence[Attempt]) -> JobOutcome:
    """The outcome of a job that had no capacity, which names the zones that were tried."""
    if outcome.failure is None:
        return outcome
    said = f"no capacity in {where_tried(attempts)}: {outcome.failure.message}"
    return replace(outcome, failure=replace(outcome.failure, message=said))


def is_alone(request: Mapping[str, Any]) -> bool:
    """Whether the hosts of a job do not wait for each other: it has no distribution."""
    return distribution_of(request) == NONE


def launcher_of(request: Mapping[str, Any]) -> str:
    """The host that starts the ranks, and has their lines."""
    return distribution_hosts(request, hosts_of(request))[0].name


def quiet(_text: str) -> None:
    """Say nothing."""
