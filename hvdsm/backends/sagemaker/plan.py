"""From a request to what is sent to SageMaker: everything that can be found wrong is found here, before anything is uploaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

from hvdsm.backends.local.layout import hosts_of
from hvdsm.backends.sagemaker.uploads import SOURCE, Upload, check_prefix, placed_in_s3
from hvdsm.backends.sagemaker.zones import Attempt, Choice
from hvdsm.backends.source import source_files
from hvdsm.compose.cloud import BUNDLE, PROGRAMS, SECRETS
from hvdsm.compose.mask import MASK, masked_fields
from hvdsm.compose.metrics import compile_metrics
from hvdsm.compose.options import parse_options
from hvdsm.compose.request import LOCAL_INSTANCE_TYPE
from hvdsm.compose.secrets import parse_secrets
from hvdsm.errors import ConfigError, UsageError

# A source is code: more than this in it is usually data that belongs into a channel.
LARGE_SOURCE = 100 << 20


@dataclass(frozen=True)
class SageMakerOptions:
    """What the SageMaker back end is told besides the request.

    Attributes:
        region: AWS region; None is that of the environment or the AWS profile.
        aws_profile: profile of the AWS configuration.
        s3_prefix: ``s3://bucket/prefix`` for what is uploaded and for results; None is the account's default bucket.
        container_program: ``bundle`` ships hvdsm as a channel, ``train`` leaves it to the image.
        settings: ``Path.To.Field=JSON`` for further fields of the request.
        vpc_stack: CloudFormation stack whose outputs name subnets and security groups; a job runs in one of the subnets.
        zone: name or id of the availability zone whose subnet is taken; None takes the first that fits.
        vpc_check: whether the network is checked before anything is uploaded; None checks that of a ``vpc_stack``.
        output: directory of this machine for request.json, logs and outcome.json.
        wait: whether to follow the job to its end.
        stop_on_interrupt: whether an interrupt stops the job rather than only leaving it.
        prices: file with prices by instance type; None asks AWS, and shows none when that fails.
        interval: seconds between looks at the job.
    """

    region: Optional[str] = None
    aws_profile: Optional[str] = None
    s3_prefix: Optional[str] = None
    container_program: str = BUNDLE
    settings: Tuple[str, ...] = ()
    vpc_stack: Optional[str] = None
    zone: Optional[str] = None
    vpc_check: Optional[bool] = None
    output: str = "hvdsm-out"
    wait: bool = True
    stop_on_interrupt: bool = False
    prices: Optional[str] = None
    interval: float = 1.0


@dataclass(frozen=True)
class SageMakerPlan:
    """What will be uploaded and sent.

    ``program`` are the bytes of the container program when it is shipped; ``source`` the files of the source directory, relative
    to it; ``choice`` the subnet that was chosen among several; ``tried`` where the job had no capacity before.
    """

    request: Mapping[str, Any]
    options: SageMakerOptions
    uploads: Tuple[Upload, ...]
    prefix: str
    region: str
    job_dir: str
    program: Optional[bytes] = None
    source: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()
    choice: Optional[Choice] = None
    tried: Tuple[Attempt, ...] = ()

    @property
    def attempts(self) -> Tuple[Attempt, ...]:
        """Where the job was tried, and where it is to run."""
        return self.tried if self.choice is None else (*self.tried, Attempt(self.job_name, self.choice.place))

    @property
    def job_name(self) -> str:
        """TrainingJobName."""
        return str(self.request["TrainingJobName"])

    @property
    def hosts(self) -> Tuple[str, ...]:
        """Names of the hosts."""
        return tuple(host.name for host in hosts_of(self.request))


def make_plan(
    request: Mapping[str, Any],
    options: SageMakerOptions,
    *,
    region: str,
    prefix: str,
    program: Optional[bytes],
    apply: Callable[[Mapping[str, Any], Sequence[str]], Mapping[str, Any]],
    check: Callable[[Mapping[str, Any]], None],
) -> SageMakerPlan:
    """Complete a request and check it whole.

    Args:
        request: the request, which may name files of this machine.
        options: what the back end is told.
        region: AWS region.
        prefix: ``s3://bucket/prefix``.
        program: the container program's bytes; used unless the image is to have it, or the request has an entrypoint.
        apply: makes the changes of ``--set``.
        check: raises ConfigError for whatever the service would refuse.

    Raises:
        UsageError: something that only the command line can say is missing or contradictory.
        ConfigError: the request, or a file that it names, is wrong.
    """
    _early(request, options)
    job_dir = os.path.join(os.path.abspath(os.path.expanduser(options.output)), request["TrainingJobName"])
    if os.path.lexists(job_dir):
        raise ConfigError(
            "there are results of an earlier job here",
            where=job_dir,
            remedy="choose another --job-name or --output, or remove it",
        )
    shipped = program if options.container_program == BUNDLE and not _own_entrypoint(request) else None
    placed, uploads = placed_in_s3(_with_region(request, region), check_prefix(prefix), shipped)
    complete = apply(placed, options.settings) if options.settings else placed
    parse_options(_text(complete, "sagemaker_mpi_custom_mpi_options"))
    if SECRETS in (complete.get("HyperParameters") or {}):
        parse_secrets(complete["HyperParameters"][SECRETS])
    if complete.get("EnableNetworkIsolation") and SECRETS in (complete.get("HyperParameters") or {}):
        raise ConfigError(
            "secrets cannot be fetched by a container that may reach nothing", where="--secret with --network-isolation"
        )
    check(complete)
    _, unmeasured = measurable(complete)
    files, warnings = _source_files(uploads, job_dir)
    notes = []
    if shipped is None and options.container_program == BUNDLE:
        notes.append("The request has a ContainerEntrypoint of its own: hvdsm's container program is not shipped.")
    return SageMakerPlan(
        request=complete,
        options=options,
        uploads=uploads,
        prefix=prefix,
        region=region,
        job_dir=job_dir,
        program=shipped,
        source=files,
        notes=tuple(notes),
        warnings=(*warnings, *unmeasured),
    )


def measurable(request: Mapping[str, Any]) -> Tuple[List[Mapping[str, Any]], List[str]]:
    """The MetricDefinitions that this side can search for too, and a warning for each other one.

    Raises:
        ConfigError: a regular expression is none, here or in the cloud.
    """
    found: List[Mapping[str, Any]] = []
    warnings: List[str] = []
    for definition in (request.get("AlgorithmSpecification") or {}).get("MetricDefinitions") or ():
        try:
            compile_metrics([definition])
            found.append(definition)
        except ConfigError:
            # What Python's own expressions lack, such as \p{L}, the service may know.
            import regex

            if not _compiles(regex.compile, str(definition.get("Regex"))):
                raise
            warnings.append(f"metric {definition.get('Name')}: only SageMaker searches for it, Python cannot read its expression")
    return found, warnings


def _compiles(compile_: Callable[[str], Any], text: str) -> bool:
    try:
        compile_(text)
    except Exception:
        return False
    return True


def _early(request: Mapping[str, Any], options: SageMakerOptions) -> None:
    """What would otherwise only be told in the words of the service's fields."""
    if options.container_program not in PROGRAMS:
        raise UsageError(f"must be one of {', '.join(PROGRAMS)}, not {options.container_program!r}", where="--container-program")
    if not isinstance(request.get("TrainingJobName"), str) or not request["TrainingJobName"]:
        raise ConfigError("is missing", where="TrainingJobName", remedy="--job-name NAME")
    masked = masked_fields(request)
    if masked:
        raise ConfigError(
            f"holds {MASK} instead of a value", where=", ".join(masked), remedy="give the value anew: --env or --hp"
        )
    resources = request.get("ResourceConfig") or {}
    kinds = [resources.get("InstanceType"), *(group.get("InstanceType") for group in resources.get("InstanceGroups") or ())]
    if LOCAL_INSTANCE_TYPE in kinds:
        raise UsageError(
            "the instances of a SageMaker job have a type", where="--instance-type", remedy="--instance-type ml.c5.xlarge"
        )
    algorithm = request.get("AlgorithmSpecification") or {}
    if not algorithm.get("TrainingImage") and not algorithm.get("AlgorithmName"):
        raise UsageError(
            "a SageMaker job runs in an image", where="--image", remedy="--image ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG"
        )
    if not request.get("RoleArn"):
        raise UsageError(
            "a SageMaker job needs a role that it may use",
            where="--role",
            remedy="--role arn:aws:iam::ACCOUNT:role/NAME, or export SAGEMAKER_ROLE=…",
        )


def _own_entrypoint(request: Mapping[str, Any]) -> bool:
    return bool((request.get("AlgorithmSpecification") or {}).get("ContainerEntrypoint"))


def _with_region(request: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    """The container is told the region that the job runs in, as the SDK tells it."""
    import json

    values = request.get("HyperParameters") or {}
    if "sagemaker_region" in values or "sagemaker_program" not in values:
        return request
    return {**request, "HyperParameters": {**values, "sagemaker_region": json.dumps(region)}}


def _text(request: Mapping[str, Any], key: str) -> str:
    from hvdsm.backends.local.layout import decoded

    return str(decoded(request.get("HyperParameters") or {}, key) or "")


def _source_files(uploads: Tuple[Upload, ...], job_dir: str) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """The files of the source, and warnings about it."""
    upload = next((upload for upload in uploads if upload.kind == SOURCE), None)
    if upload is None or not os.path.isdir(upload.path):
        return (), ()
    files = source_files(upload.path, [upload.entry] if upload.entry else [], [os.path.dirname(job_dir)])
    if upload.entry and upload.entry.endswith((".py", ".sh")) and upload.entry not in files:
        raise ConfigError(f"has no {upload.entry}", where=upload.path, remedy="name the script relative to the source directory")
    sizes = {name: os.path.getsize(os.path.join(upload.path, name)) for name in files}
    total = sum(sizes.values())
    if total <= LARGE_SOURCE:
        return tuple(files), ()
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    shown = ", ".join(f"{name} ({sizes[name] / 1e6:.0f} MB)" for name in largest)
    return tuple(files), (
        f"The source is {total / 1e6:.0f} MB before packing; the largest files: {shown}. "
        "Data belongs into a channel; list what is no source in .hvdsmignore.",
    )
