"""The SageMaker back end behind the protocol of :mod:`hvdsm.backends.base`."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Callable, Iterator, List, Mapping, Optional, Tuple

from hvdsm.backends.base import NOTE, WARNING, Event
from hvdsm.backends.local.layout import distribution_hosts, distribution_of, hosts_of
from hvdsm.backends.local.machine import importable
from hvdsm.backends.local.meter import Meter
from hvdsm.backends.sagemaker.follow import Follower, Lines
from hvdsm.backends.sagemaker.plan import SageMakerOptions, SageMakerPlan, make_plan, measurable
from hvdsm.backends.sagemaker.result import outcome_of
from hvdsm.backends.sagemaker.uploading import upload_one
from hvdsm.backends.sagemaker.uploads import Upload
from hvdsm.backends.signals import stopping_signals
from hvdsm.compose.cloud import BUNDLE, TRAIN, is_own_program
from hvdsm.compose.mask import mask_request
from hvdsm.errors import CloudUnavailable, ConfigError, HvdsmError
from hvdsm.model import NONE, JobOutcome

Say = Callable[[str], None]
# How long a network that is gone is waited for while a job is followed, seconds.
PATIENCE = 3600.0
NO_ACCOUNT = "000000000000"
JOB_FILE = "job.json"


@dataclass
class SageMakerJob:
    """A job in SageMaker that was submitted, or found there; ``interrupted`` is the signal that came while it was created."""

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

    def plan(self, request: Mapping[str, Any], *, offline: bool = False) -> SageMakerPlan:
        """Complete and check the request; nothing is uploaded or created.

        Args:
            request: the request, which may name files of this machine.
            offline: do without answers of AWS where that is possible, for a dry run.

        Raises:
            UsageError: something that the service needs is not given.
            ConfigError: the request, or a file that it names, is wrong; or there is no region.
            CloudUnavailable: the account, or the VPC stack, cannot be asked for.
        """
        from hvdsm.aws.setting import apply_settings
        from hvdsm.aws.shapes import check_service_request
        from hvdsm.bundle import build

        notes: List[str] = []
        prefix = self.options.s3_prefix or self._default_prefix(offline, notes)
        if self.options.vpc_stack:
            request = self._with_stack(request)
        plan = make_plan(
            request,
            self.options,
            region=self.aws.region,
            prefix=prefix,
            program=build() if self.options.container_program == BUNDLE else None,
            apply=lambda made, settings: apply_settings(made, list(settings), say=notes.append),
            check=lambda made: check_service_request(made, region=self.aws.region),
        )
        return replace(plan, notes=(*notes, *plan.notes))

    def _default_prefix(self, offline: bool, notes: List[str]) -> str:
        from hvdsm.aws.storage import default_bucket

        try:
            return f"s3://{default_bucket(self.aws, create=False)}/hvdsm"
        except CloudUnavailable as error:
            if not offline:
                raise
            notes.append(f"The account is not known ({error.what}): {NO_ACCOUNT} stands for it.")
            return f"s3://sagemaker-{self.aws.region}-{NO_ACCOUNT}/hvdsm"

    def _with_stack(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        from hvdsm.aws.stacks import outputs, vpc_config

        name = str(self.options.vpc_stack)
        if request.get("VpcConfig"):
            raise ConfigError(
                "the subnets are given already", where="--vpc-stack", remedy="leave out --subnet and --security-group"
            )
        encrypted = bool(request.get("EnableInterContainerTrafficEncryption"))
        return {**request, "VpcConfig": vpc_config(outputs(self.aws, name), name, encrypted=encrypted)}

    def submit(self, plan: SageMakerPlan, say: Say) -> SageMakerJob:
        """Upload what the request names, and create the job.

        Raises:
            ConfigError: the service refuses the request.
            CloudUnavailable: AWS cannot be reached.
            KeyboardInterrupt: interrupted; what has happened until then is said.
        """
        done: List[Upload] = []
        asked: List[int] = []
        creating = False
        try:
            self._upload_all(plan, say, done)
            creating = True
            arn = self._create(plan, say, asked)
        except (HvdsmError, KeyboardInterrupt) as error:
            maybe = creating and (isinstance(error, KeyboardInterrupt) or bool(getattr(error, "passing", False)))
            if maybe:
                say(f"{plan.job_name} may have been created: look with hvdsm jobs status {plan.job_name}")
                say(f"to stop it: hvdsm jobs stop {plan.job_name}")
            if done:
                where = ", ".join(upload.uri for upload in done)
                say(
                    f"uploaded until then: {where}"
                    if maybe
                    else f"no job was created; uploaded until then, and left there: {where}"
                )
            raise error
        self._keep(plan, arn)
        return SageMakerJob(
            name=plan.job_name,
            arn=arn,
            region=plan.region,
            job_dir=plan.job_dir,
            request=plan.request,
            notes=plan.notes,
            warnings=plan.warnings,
            interrupted=asked[0] if asked else 0,
        )

    def _create(self, plan: SageMakerPlan, say: Say, asked: List[int]) -> str:
        """Create the job; a first interrupt waits for the answer, so that it is known whether there is a job."""
        from hvdsm.aws.training import create_job

        def interrupted(number: int) -> None:
            asked.append(number)
            if len(asked) > 1:
                raise KeyboardInterrupt

        with stopping_signals(interrupted):
            say(f"creating the job {plan.job_name}")
            return str(create_job(self.aws, plan.request, say=say))

    def _upload_all(self, plan: SageMakerPlan, say: Say, done: List[Upload]) -> None:
        if self.options.s3_prefix is None:
            from hvdsm.aws.storage import default_bucket

            default_bucket(self.aws, create=True)
        for upload in plan.uploads:
            kms = (plan.request.get("OutputDataConfig") or {}).get("KmsKeyId")
            said = upload_one(self.aws, plan, upload, kms, say)
            done.append(upload)
            say(f"{upload.title}: {said}")

    def _keep(self, plan: SageMakerPlan, arn: str) -> None:
        """Keep on this machine what was sent and where, so that the job is found again."""
        os.makedirs(plan.job_dir, exist_ok=True)
        found = {"backend": "sagemaker", "job_name": plan.job_name, "arn": arn, "region": plan.region}
        for name, content in (("request.json", mask_request(plan.request)), (JOB_FILE, found)):
            with open(os.path.join(plan.job_dir, name), "w", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=2) + "\n")

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
            if text not in job.warnings:
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
        warnings = [*job.warnings, *outcome.warnings]
        if meter is not None:
            found = meter.finish()
            warnings += [*found.warnings, *(found.unmatched.values() if outcome.ok else ())]
            outcome = replace(outcome, metrics=found.summary)
        job.ended = replace(outcome, warnings=tuple(dict.fromkeys(warnings)))
        if job.job_dir is not None:
            with contextlib.suppress(OSError), open(os.path.join(job.job_dir, "outcome.json"), "w", encoding="utf-8") as file:
                file.write(job.ended.to_json())

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


def is_alone(request: Mapping[str, Any]) -> bool:
    """Whether the hosts of a job do not wait for each other: it has no distribution."""
    return distribution_of(request) == NONE


def quiet(_text: str) -> None:
    """Say nothing."""


def launcher_of(request: Mapping[str, Any]) -> str:
    """The host that starts the ranks, and has their lines."""
    return distribution_hosts(request, hosts_of(request))[0].name
