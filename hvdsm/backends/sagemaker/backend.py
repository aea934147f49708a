"""The SageMaker back end behind the protocol of :mod:`hvdsm.backends.base`."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import Any, BinaryIO, Iterator, List, Mapping, Optional

from hvdsm.backends.base import NOTE, WARNING, Event
from hvdsm.backends.local.machine import importable
from hvdsm.backends.local.meter import Meter
from hvdsm.backends.sagemaker.follow import Follower, Lines
from hvdsm.backends.sagemaker.job import SageMakerJob, Say, is_alone, keep_outcome, launcher_of, quiet, without_capacity
from hvdsm.backends.sagemaker.plan import SageMakerOptions, SageMakerPlan, make_plan, measurable
from hvdsm.backends.sagemaker.result import lacks_capacity, outcome_of
from hvdsm.compose.cloud import BUNDLE, TRAIN, is_own_program
from hvdsm.errors import CloudUnavailable, ConfigError
from hvdsm.model import JobOutcome

# How long a network that is gone is waited for while a job is followed, seconds.
PATIENCE = 3600.0
NO_ACCOUNT = "000000000000"


class SageMakerBackend:
    """Sends requests to Amazon SageMaker and follows the jobs.

    Args:
        options: what it is told besides the request.
        environ: variables of the caller, ``os.environ`` by default.
        aws: the connection, made from the options by default.
    """

    def __init__(
        self,
        options: Optional[SageMakerOptions] = None,
        environ: Optional[Mapping[str, str]] = None,
        aws: Optional[Any] = None,
    ) -> None:
        self.options = options or SageMakerOptions()
        self.environ = dict(os.environ if environ is None else environ)
        self._aws = aws

    @property
    def aws(self) -> Any:
        """The connection to AWS, made when it is first needed.

        Raises:
            ConfigError: no region is configured.
        """
        if self._aws is None:
            from hvdsm.aws.session import connect

            self._aws = connect(self.options.region, self.options.aws_profile, self.environ)
        return self._aws

    def plan(self, request: Mapping[str, Any], *, offline: bool = False, say: Say = quiet) -> SageMakerPlan:
        """Complete and check the request; nothing is uploaded or created.

        Args:
            request: the request, which may name files of this machine.
            offline: do without answers of AWS where that is possible, for a dry run.
            say: is told of what may take a while.

        Raises:
            UsageError: something that the service needs is not given.
            ConfigError: the request, or a file that it names, is wrong; its network cannot be used; or there is no region.
            CloudUnavailable: the account, or the VPC stack, cannot be asked for.
        """
        from hvdsm.aws.setting import apply_settings
        from hvdsm.aws.shapes import check_service_request
        from hvdsm.bundle import build

        notes: List[str] = []
        prefix = self.options.s3_prefix or self._default_prefix(offline, notes)
        if self.options.vpc_stack is not None:
            from hvdsm.backends.sagemaker.network import with_stack

            request = with_stack(self.aws, request, self.options.vpc_stack)
        plan = make_plan(
            request,
            self.options,
            region=self.aws.region,
            prefix=prefix,
            program=build() if self.options.container_program == BUNDLE else None,
            apply=lambda made, settings: apply_settings(made, list(settings), say=notes.append),
            check=lambda made: check_service_request(made, region=self.aws.region),
        )
        plan = replace(plan, notes=(*notes, *plan.notes))
        if not plan.request.get("VpcConfig") and self.options.zone is None and not self.options.vpc_check:
            return plan
        from hvdsm.backends.sagemaker.network import settle

        # The network comes last: what this machine can tell by itself needs no answer of AWS.
        network = settle(self.aws, plan.request, self.options, say)
        return replace(plan, request=network.request, choice=network.choice, notes=(*plan.notes, *network.notes))

    def _default_prefix(self, offline: bool, notes: List[str]) -> str:
        from hvdsm.aws.storage import default_bucket

        try:
            return f"s3://{default_bucket(self.aws, create=False)}/hvdsm"
        except CloudUnavailable as error:
            if not offline:
                raise
            notes.append(f"The account is not known ({error.what}): {NO_ACCOUNT} stands for it.")
            return f"s3://sagemaker-{self.aws.region}-{NO_ACCOUNT}/hvdsm"

    def submit(self, plan: SageMakerPlan, say: Say) -> SageMakerJob:
        """Upload what the request names, and create the job; where it is refused for lack of capacity, in the next zone.

        Raises:
            ConfigError: the service refuses the request.
            CloudUnavailable: AWS cannot be reached, or has no capacity in any zone.
            KeyboardInterrupt: interrupted; what has happened until then is said.
        """
        from hvdsm.backends.sagemaker.submitting import submit_plan

        return submit_plan(self.aws, plan, say)

    def submit_again(self, job: SageMakerJob, say: Say, asked: Optional[List[int]] = None) -> Optional[SageMakerJob]:
        """The same job in the next zone when it failed for lack of capacity; see :mod:`hvdsm.backends.sagemaker.submitting`."""
        from hvdsm.backends.sagemaker.submitting import submit_again

        return submit_again(self.aws, job, say, [] if asked is None else asked)

    def find(self, name: str) -> SageMakerJob:
        """A job that was submitted before, here or elsewhere.

        Raises:
            ConfigError: there is none of that name.
        """
        from hvdsm.aws.training import describe_job

        found = describe_job(self.aws, name)
        return SageMakerJob(name, str(found.get("TrainingJobArn")), self.aws.region, None, found, description=found)

    def events(self, job: SageMakerJob, say: Optional[Say] = None) -> Iterator[Event]:
        """The job's events until it ends; closing the iterator leaves the job alone.

        Args:
            job: the job.
            say: is told at once when AWS cannot be reached, and when it can again: meanwhile there are no events.
        """
        for text in job.notes:
            yield Event(NOTE, text)
        for text in job.warnings:
            yield Event(WARNING, text)
        with contextlib.ExitStack() as closing:
            meter = self._meter(job)
            if meter is not None:
                closing.callback(meter.close)
            follower = self._follower(job, say or quiet, meter)
            yield from follower.events()
            job.description, job.reported = follower.description, follower.lines.reported
            self._finish(job, meter)
        for text in job.ended.warnings if job.ended is not None else ():
            if text not in (*job.warnings, *job.history):
                yield Event(WARNING, text)

    def _meter(self, job: SageMakerJob) -> Optional[Meter]:
        """What looks for the job's metrics in the lines that are kept on this machine; None when there are none to look for."""
        if job.job_dir is None:
            return None
        definitions, _ = measurable(job.request)
        if not definitions:
            return None
        log = os.path.join(job.job_dir, "logs", f"{launcher_of(job.request)}.log")
        return Meter(definitions, [log], importable(self.environ))

    def _follower(self, job: SageMakerJob, say: Say, meter: Optional[Meter]) -> Follower:
        from hvdsm.aws.failures import patiently
        from hvdsm.aws.logs import Follower as LogFollower
        from hvdsm.aws.training import describe_job

        logs = None if job.job_dir is None else os.path.join(job.job_dir, "logs")

        def open_log(host: str) -> BinaryIO:
            assert logs is not None
            os.makedirs(logs, exist_ok=True)
            return open(os.path.join(logs, f"{os.path.basename(host)}.log"), "wb")

        return Follower(
            describe=lambda: patiently(lambda: describe_job(self.aws, job.name, attempts=1), say=say, limit=PATIENCE),
            source=LogFollower(self.aws, job.name, interval=self.options.interval),
            lines=Lines(launcher_of(job.request), open_log if logs is not None else None, alone=is_alone(job.request)),
            interval=self.options.interval,
            kept=meter.more if meter is not None else lambda: None,
            awaits_report=is_own_program(job.request) or (self.options.container_program == TRAIN and job.job_dir is not None),
        )

    def _finish(self, job: SageMakerJob, meter: Optional[Meter]) -> None:
        outcome = outcome_of(job.description, job.reported)
        if (
            job.plan is not None
            and job.plan.choice is not None
            and not job.plan.choice.further
            and lacks_capacity(job.description)
        ):
            outcome = without_capacity(outcome, job.plan.attempts)
        warnings = [*job.warnings, *job.history, *outcome.warnings]
        if meter is not None:
            found = meter.finish()
            warnings += [*found.warnings, *(found.unmatched.values() if outcome.ok else ())]
            outcome = replace(outcome, metrics=found.summary)
        job.ended = replace(outcome, warnings=tuple(dict.fromkeys(warnings)))
        keep_outcome(job)

    def logs(self, job: SageMakerJob, host: str) -> BinaryIO:
        """A host's log as far as it has been read, open for reading."""
        if job.job_dir is None:
            raise ConfigError("is not kept on this machine", where=f"log of {job.name}", remedy=f"hvdsm jobs logs {job.name}")
        return open(os.path.join(job.job_dir, "logs", f"{host}.log"), "rb")

    def stop(self, job: SageMakerJob) -> None:
        """StopTrainingJob: the containers get SIGTERM, and 120 seconds."""
        from hvdsm.aws.training import stop_job

        stop_job(self.aws, job.name)

    def outcome(self, job: SageMakerJob) -> JobOutcome:
        """How the job ended; waits for it."""
        if job.ended is None:
            for _ in self.events(job):
                continue
        assert job.ended is not None
        return job.ended
