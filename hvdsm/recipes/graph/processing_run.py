"""A processing job in SageMaker: created, waited for, stopped."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from hvdsm.compose.mask import mask_arguments, mask_request
from hvdsm.errors import ConfigError, HvdsmError, UsageError
from hvdsm.recipes.graph.parameters import with_tags

ENDED = ("Completed", "Failed", "Stopped")
# Seconds between two looks at the job.
INTERVAL = 5.0
LOGS = "/aws/sagemaker/ProcessingJobs"
_OF_TRAINING = (
    "spot", "keep_alive", "max_wait", "retries", "input_mode", "vpc_stack", "zone", "secrets", "metrics", "settings",
)  # fmt: skip
Say = Callable[[str], None]


@dataclass(frozen=True)
class ProcessingJob:
    """A job that was created."""

    aws: Any
    name: str
    arn: str
    region: str


def checked_request(
    request: Mapping[str, Any], given: Mapping[str, Any], env: Mapping[str, str], tags: Mapping[str, str]
) -> Dict[str, Any]:
    """The request with what the options of launch say that a processing job has, too.

    Args:
        request: the request.
        given: the options.
        env: variables of the container.
        tags: of the job.

    Raises:
        UsageError: an option is for training jobs.
    """
    changed = dict(request)
    for name in _OF_TRAINING:
        if given.get(name):
            option = f"--{name.rstrip('s') if name in ('secrets', 'metrics') else name.replace('_', '-')}"
            raise UsageError(
                "is for training jobs; graphs are constructed by a processing job",
                where="--set" if name == "settings" else option,
                remedy="leave it out",
            )
    if env:
        changed["Environment"] = dict(env)
    if tags:
        changed["Tags"] = with_tags(changed["Tags"], tags)
    if given.get("max_run") is not None:
        changed["StoppingCondition"] = {"MaxRuntimeInSeconds": given["max_run"]}
    resources = dict(changed["ProcessingResources"]["ClusterConfig"])
    if given.get("volume_size") is not None:
        resources["VolumeSizeInGB"] = given["volume_size"]
    if given.get("volume_kms_key"):
        resources["VolumeKmsKeyId"] = given["volume_kms_key"]
    changed["ProcessingResources"] = {"ClusterConfig": resources}
    if given.get("output_kms_key"):
        changed["ProcessingOutputConfig"] = {**changed["ProcessingOutputConfig"], "KmsKeyId": given["output_kms_key"]}
    network = _network(given)
    if network:
        changed["NetworkConfig"] = network
    return changed


def _network(given: Mapping[str, Any]) -> Dict[str, Any]:
    subnets, groups = given.get("subnets") or (), given.get("security_groups") or ()
    if bool(subnets) != bool(groups):
        missing = "--security-group" if subnets else "--subnet"
        raise UsageError("subnets and security groups go together", where="VPC", remedy=f"add {missing}")
    found: Dict[str, Any] = {}
    if given.get("encrypt_traffic"):
        found["EnableInterContainerTrafficEncryption"] = True
    if given.get("network_isolation"):
        found["EnableNetworkIsolation"] = True
    if subnets:
        found["VpcConfig"] = {"SecurityGroupIds": list(groups), "Subnets": list(subnets)}
    return found


def masked(request: Mapping[str, Any]) -> Dict[str, Any]:
    """The request for people, without secrets."""
    application = dict(request["AppSpecification"])
    application["ContainerArguments"] = mask_arguments(application["ContainerArguments"])
    return {**mask_request(request), "AppSpecification": application}


def check_processing(request: Mapping[str, Any]) -> None:
    """Refuse what the service would.

    Raises:
        ConfigError: with all problems.
    """
    from hvdsm.aws.shapes import problems

    found = problems(request, "CreateProcessingJob")
    if found:
        raise ConfigError(
            "\n  ".join([f"{len(found)} problem{'s' if len(found) > 1 else ''}", *found]),
            where="the processing job request",
            remedy="change the fields named above; the limits are those of CreateProcessingJob",
        )


def submit(request: Mapping[str, Any], region: Optional[str], profile: Optional[str], say: Say, aws: Any = None) -> ProcessingJob:
    """Create the job.

    Raises:
        CloudRefused: AWS refuses the request.
        CloudUnavailable: AWS cannot be used.
    """
    from hvdsm.aws.failures import patiently, translated
    from hvdsm.aws.session import connect

    name = str(request["ProcessingJobName"])
    aws = aws or connect(region, profile)
    with translated("create the processing job", f"job {name} in {aws.region}"):
        made = patiently(lambda: aws.client("sagemaker").create_processing_job(**request), say=say)
    say(f"{name}: created in {aws.region}; its log is in the group {LOGS}")
    return ProcessingJob(aws, name, str(made["ProcessingJobArn"]), aws.region)


def attend(
    job: ProcessingJob,
    say: Say,
    *,
    stop_on_interrupt: bool = False,
    wait: Optional[Callable[[float], Any]] = None,
    logs: Any = None,
    show: Say = print,
) -> Tuple[str, str]:
    """Wait for the end and show the lines; the status, and why it is that.

    Args:
        job: the job.
        say: is told of each new status.
        stop_on_interrupt: whether an interrupt stops the job.
        wait: waits so many seconds.
        logs: reads the lines, such as :class:`hvdsm.aws.logs.Follower`; None shows none.
        show: is given each line.

    Raises:
        CloudUnavailable: AWS cannot be used.
        KeyboardInterrupt: interrupted; the job runs on unless it was to be stopped.
    """
    from hvdsm.aws.failures import patiently, translated

    pause = wait or threading.Event().wait
    client, shown = job.aws.client("sagemaker"), ""
    try:
        while True:
            with translated("look at the processing job", f"job {job.name} in {job.region}"):
                found = patiently(lambda: client.describe_processing_job(ProcessingJobName=job.name), say=say)
            status = str(found["ProcessingJobStatus"])
            reason = str(found.get("FailureReason") or found.get("ExitMessage") or "")
            logs = _lines(logs, status in ENDED, show, say)
            if status != shown:
                shown = status
                say(f"{job.name}: {status}{f': {reason}' if reason else ''}")
            if status in ENDED:
                return status, reason
            pause(INTERVAL)
    except KeyboardInterrupt:
        if stop_on_interrupt:
            client.stop_processing_job(ProcessingJobName=job.name)
            say(f"{job.name}: is being stopped")
        else:
            say(f"{job.name} runs on; to stop it: aws sagemaker stop-processing-job --processing-job-name {job.name}")
        raise


def follower_of(job: ProcessingJob) -> Any:
    """What reads the job's lines."""
    from hvdsm.aws.logs import Follower

    return Follower(job.aws, job.name, group=LOGS)


def _lines(logs: Any, ended: bool, show: Callable[[str], None], say: Say) -> Any:
    """Show what is new; the logs again, or None where they cannot be read, which does not hold up the job."""
    if logs is None:
        return None
    try:
        for line in logs.flush() if ended else logs.poll():
            show(line.data.decode("utf-8", "replace"))
    except HvdsmError as error:
        say(f"warning: lines of the job are not shown any more: {error.what}")
        return None
    return logs
