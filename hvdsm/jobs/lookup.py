"""Finds jobs by their names: on this machine first, then in SageMaker."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Tuple

from hvdsm.errors import ConfigError, HvdsmError, UsageError
from hvdsm.jobs.base import LOCAL, SAGEMAKER, STATUSES, Job, Summary
from hvdsm.jobs.cloud import CloudJob, summary_of
from hvdsm.jobs.local import NAME, find_run, runs_in

ALL = "all"
BACKENDS = (LOCAL, SAGEMAKER, ALL)
# What the service itself can be asked for.
_CLOUD_STATUSES = ("InProgress", "Completed", "Failed", "Stopping", "Stopped")


@dataclass(frozen=True)
class Where:
    """Where jobs are looked for.

    Attributes:
        output: directory of results of this machine.
        backend: ``local``, ``sagemaker``, or ``all``; None: this machine, and SageMaker where a region is configured.
        region: AWS region.
        profile: profile of the AWS configuration.
    """

    output: str = "hvdsm-out"
    backend: Optional[str] = None
    region: Optional[str] = None
    profile: Optional[str] = None

    def connect(self, region: Optional[str] = None) -> Any:
        """The connection to AWS.

        Raises:
            ConfigError: no region is configured, or there is no such profile.
        """
        from hvdsm.aws.session import connect

        return connect(self.region or region, self.profile)

    @property
    def is_asked(self) -> bool:
        """Whether SageMaker is asked for by name, so that not to reach it is an error."""
        return self.backend in (SAGEMAKER, ALL)


def find_job(name: str, where: Where) -> Job:
    """The job of a name; ``DIR/NAME`` names the directory as well.

    Raises:
        ConfigError: there is none.
        CloudUnavailable: it is not here, and SageMaker cannot be asked.
    """
    if os.sep in name.rstrip(os.sep):
        directory, name = os.path.split(name.rstrip(os.sep))
        where = replace(where, output=directory or os.sep)
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a job: letters, digits and single hyphens, at most 63", remedy="hvdsm jobs list"
        )
    kept = find_run(name, where.output)
    if kept is not None and where.backend != SAGEMAKER and (not kept.cloud or where.backend == LOCAL):
        return kept
    if where.backend == LOCAL:
        raise _nowhere(name, where, "SageMaker was not looked in (--backend local)")
    region = None if kept is None else kept.cloud.get("region")
    try:
        aws = where.connect(region)
    except HvdsmError as error:
        if where.is_asked or kept is not None or "no AWS region" not in error.what:
            raise
        raise _nowhere(name, where, f"SageMaker was not looked in: {error.what}") from error
    from hvdsm.aws.training import describe_job

    try:
        description = describe_job(aws, name)
    except ConfigError as error:
        if "no training job of this name" not in error.what:
            raise
        rest = "there is no such job" if where.backend == SAGEMAKER else "nor"
        raise _nowhere(name, where, f"{rest} in SageMaker, {aws.region}") from error
    return CloudJob(aws, description, kept if kept is not None and kept.cloud else None)


def _nowhere(name: str, where: Where, rest: str) -> ConfigError:
    place = os.path.abspath(os.path.expanduser(where.output))
    close = difflib.get_close_matches(name, [run.name for run in runs_in(place)], 1)
    remedy = f"did you mean {close[0]}?" if close else "hvdsm jobs list; or --output DIR, --region REGION, --aws-profile NAME"
    here = "" if where.backend == SAGEMAKER else f"there is no such job in {place}; "
    return ConfigError(f"{here}{rest}", where=f"job {name}", remedy=remedy)


@dataclass(frozen=True)
class Filters:
    """Which jobs of a list are wanted; ``since`` in seconds since the epoch."""

    status: Optional[str] = None
    name: Optional[str] = None
    limit: Optional[int] = None
    since: Optional[float] = None

    def __post_init__(self) -> None:
        if self.status is not None and self.status not in STATUSES:
            close = difflib.get_close_matches(self.status.title(), STATUSES, 1)
            remedy = f"did you mean {close[0]}?" if close else f"one of {', '.join(STATUSES)}"
            raise UsageError(f"{self.status!r} is no status", where="--status", remedy=remedy)

    def has(self, summary: Summary) -> bool:
        """Whether a job is wanted."""
        return (
            self.status in (None, summary.status)
            and (self.name is None or self.name.lower() in summary.name.lower())
            and (self.since is None or summary.created >= self.since)
        )


def list_all(where: Where, filters: Filters) -> Tuple[List[Summary], List[str]]:
    """Jobs, the newest first, and what is to be said about where was looked.

    Raises:
        CloudUnavailable: SageMaker was asked for by name and cannot be reached.
        ConfigError: it was asked for by name, and no region is configured.
    """
    found: Dict[Tuple[str, str, str], Summary] = {}
    notes: List[str] = []
    if where.backend != SAGEMAKER:
        for run in runs_in(os.path.abspath(os.path.expanduser(where.output))):
            summary = run.summary()
            found[summary.backend, summary.place, summary.name] = summary
    if where.backend != LOCAL:
        try:
            for summary in _in_cloud(where, filters):
                before = found.get((summary.backend, summary.place, summary.name))
                # What was kept here knows the exit code.
                known = before.exit_code if before is not None and before.status == summary.status else None
                found[summary.backend, summary.place, summary.name] = replace(summary, exit_code=known)
        except HvdsmError as error:
            if where.is_asked:
                raise
            if "no AWS region" not in error.what:
                notes.append(f"SageMaker was not looked in: {error.what}")
    kept = [summary for summary in found.values() if filters.has(summary)]
    kept.sort(key=lambda summary: (-summary.created, summary.name))
    return kept[: filters.limit], notes


def _in_cloud(where: Where, filters: Filters) -> List[Summary]:
    from hvdsm.aws.training import list_jobs

    aws = where.connect()
    if filters.status is not None and filters.status not in _CLOUD_STATUSES:
        return []
    found: List[Summary] = []
    for entry in list_jobs(aws, name_contains=filters.name, status=filters.status, limit=filters.limit):
        summary = summary_of(entry, aws.region)
        # The newest come first.
        if filters.since is not None and summary.created < filters.since:
            break
        found.append(summary)
    return found
