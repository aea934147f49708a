"""From a request to a plan of containers: everything that can be found wrong before one is made is found here."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional, Tuple

from hvdsm.backends.docker.engine import Engine, selinux_enforces
from hvdsm.backends.docker.options import DockerOptions
from hvdsm.backends.local.checkpoint import checkpoint_of
from hvdsm.backends.local.layout import decoded, distribution_of, hosts_of, processes_of, program_of
from hvdsm.backends.local.machine import Machine
from hvdsm.backends.local.notes import checkpoint_notes, plan_warnings
from hvdsm.backends.local.options import LocalOptions
from hvdsm.backends.local.origin import source_of
from hvdsm.backends.local.plan import (
    LocalPlan,
    channels_of,
    check_distribution,
    check_unmasked,
    divide,
    s3_root_of,
    stop_grace_of,
)
from hvdsm.backends.local.program import command_of
from hvdsm.compose.cloud import BUNDLE, BUNDLE_CHANNEL, is_own_program, with_program
from hvdsm.compose.compose_file import check_image, check_shm_size
from hvdsm.compose.limits import check_request
from hvdsm.compose.metrics import compile_metrics
from hvdsm.compose.request import SUBMIT_DIRECTORY, file_uri, max_run_of
from hvdsm.compose.supervision import check_seconds
from hvdsm.errors import ConfigError
from hvdsm.model import NONE

COMPOSE_FILE = "docker-compose.yaml"
# What the service starts in an image that says nothing else.
TRAIN = "train"


@dataclass(frozen=True)
class DockerPlan(LocalPlan):
    """What the docker back end will do; the hosts' directories are those of :class:`LocalPlan`.

    Attributes:
        image: the image.
        engine: the engine that runs it.
        docker: what the back end was told.
        entrypoint: words in place of the image's entry point, None for the image's own.
        arguments: words after it.
        aws_directory: directory of the AWS configuration that the containers see; None without a profile.
        selinux: whether SELinux would keep the containers from what they see.
    """

    image: str = ""
    engine: Engine = field(default_factory=lambda: Engine("docker", "docker", ("docker", "compose")))
    docker: DockerOptions = field(default_factory=DockerOptions)
    entrypoint: Optional[Tuple[str, ...]] = None
    arguments: Tuple[str, ...] = ()
    aws_directory: Optional[str] = None
    selinux: bool = False

    @property
    def alone(self) -> bool:
        """Whether each host shows its own lines; an image's ``train`` may be hvdsm's, whose launcher repeats those of all."""
        return super().alone or (self.entrypoint is None and self.arguments == (TRAIN,))

    @property
    def compose_file(self) -> str:
        """Where the Compose file is written."""
        return os.path.join(self.job_dir, COMPOSE_FILE)

    @property
    def isolated(self) -> bool:
        """Whether the hosts reach nothing but each other."""
        return bool(self.request.get("EnableNetworkIsolation"))


def make_plan(
    request: Mapping[str, Any], options: DockerOptions, machine: Machine, engine: Engine, home: str = "~"
) -> DockerPlan:
    """Check a request against the service's limits and the files it names.

    Args:
        request: the request.
        options: what the back end is told.
        machine: cores and GPUs.
        engine: the engine.
        home: the caller's home directory, for the AWS configuration.

    Raises:
        ConfigError: the request, or a file that it names, is wrong, or it names no image.
    """
    check_request(request)
    check_unmasked(request)
    local = LocalOptions(
        output=options.output, s3_root=options.s3_root, stop_grace=options.stop_grace, interrupt_after=options.interrupt_after
    )
    job_dir = os.path.join(os.path.abspath(os.path.expanduser(options.output)), request["TrainingJobName"])
    if os.path.lexists(job_dir):
        what = "there are results of an earlier job here"
        raise ConfigError(what, where=job_dir, remedy="choose another --job-name or --output, or remove it")
    image = image_of(request)
    check_image(image)
    check_shm_size(options.shm_size)
    shipped = _with_bundle(request, options, job_dir)
    entrypoint, arguments = words_of(shipped)
    ours = is_own_program(shipped)
    command = None if ours else (*(entrypoint or ()), *arguments)
    wanted = hosts_of(request)
    kind, processes = (distribution_of(request), processes_of(request)) if ours else (NONE, 1)
    check_distribution(request, command)
    compile_metrics((request.get("AlgorithmSpecification") or {}).get("MetricDefinitions") or ())
    root = s3_root_of(local)
    program, source = _source(request, root, ours)
    checkpoint = checkpoint_of(request, root, job_dir)
    if options.interrupt_after is not None:
        check_seconds(options.interrupt_after, "interrupt after")
    warnings = plan_warnings((processes or 1) * len(wanted), machine, single=False, hosts=len(wanted), kind=kind)
    plan = DockerPlan(
        request=shipped,
        options=local,
        layout=wanted,
        single=False,
        distribution=kind,
        processes=processes,
        program=program,
        source=source,
        channels=channels_of(shipped, root),
        job_dir=job_dir,
        mpirun=None,
        gpus=divide(machine.gpus, len(wanted), processes, False, command),
        max_run=max_run_of(request),
        stop_grace=stop_grace_of(request, local),
        checkpoint=checkpoint,
        notes=(
            f"{len(wanted)} container{'s' if len(wanted) > 1 else ''} of {image} by {engine.name} {engine.version}".rstrip(),
            *_notes(request, checkpoint),
        ),
        warnings=warnings,
        command=command,
        image=image,
        engine=engine,
        docker=options,
        entrypoint=entrypoint,
        arguments=arguments,
        aws_directory=_aws_directory(options, home),
        selinux=selinux_enforces(),
    )
    _check_paths(plan)
    return plan


def _notes(request: Mapping[str, Any], checkpoint: Any) -> List[str]:
    # The local back end's other notes are about what it has in place of an image.
    return checkpoint_notes(request, checkpoint, None)


def image_of(request: Mapping[str, Any]) -> str:
    """The image of a request.

    Raises:
        ConfigError: it names none.
    """
    algorithm = request.get("AlgorithmSpecification") or {}
    image = algorithm.get("TrainingImage")
    if image:
        return str(image)
    named = algorithm.get("AlgorithmName")
    what = f"AlgorithmName {named} is known to the service alone" if named else "no image is named"
    raise ConfigError(
        what, where="AlgorithmSpecification.TrainingImage", remedy="--image NAME:TAG; or --backend local needs none"
    )


def words_of(request: Mapping[str, Any]) -> Tuple[Optional[Tuple[str, ...]], Tuple[str, ...]]:
    """Entry point and arguments of the containers, as the service has them: ``train`` where the request says nothing."""
    algorithm = request.get("AlgorithmSpecification") or {}
    entrypoint, arguments = algorithm.get("ContainerEntrypoint"), algorithm.get("ContainerArguments")
    if entrypoint:
        return tuple(entrypoint), tuple(arguments or ())
    return None, tuple(arguments or (TRAIN,))


def _with_bundle(request: Mapping[str, Any], options: DockerOptions, job_dir: str) -> Mapping[str, Any]:
    """The request with hvdsm's own program in a channel, where the containers are to run a script by it."""
    algorithm = request.get("AlgorithmSpecification") or {}
    has_own = algorithm.get("ContainerEntrypoint") or algorithm.get("ContainerArguments")
    if options.container_program != BUNDLE or has_own or not program_of(request):
        return request
    return with_program(request, file_uri(os.path.join(job_dir, BUNDLE_CHANNEL)))


def _source(request: Mapping[str, Any], root: Optional[str], ours: bool) -> Tuple[str, Any]:
    """The script and its source; an image's own program may do without."""
    uri = decoded(request.get("HyperParameters") or {}, SUBMIT_DIRECTORY)
    if ours:
        return source_of(request, root, None)
    if not isinstance(uri, str) or not uri:
        return "", None
    _, source = source_of(request, root, command_of(request) or (TRAIN,))
    return program_of(request) or "", source


def _aws_directory(options: DockerOptions, home: str) -> Optional[str]:
    if options.aws_profile is None:
        return None
    directory = os.path.join(os.path.expanduser(home), ".aws")
    if not os.path.isdir(directory):
        what = f"there is no AWS configuration with the profile {options.aws_profile}"
        raise ConfigError(what, where=directory, remedy="aws configure, or leave --aws-profile out")
    return directory


def _check_paths(plan: DockerPlan) -> None:
    """podman-compose joins the two paths of a mount by a colon."""
    if not plan.engine.is_podman:
        return
    paths = [plan.job_dir, *([plan.checkpoint.directory, plan.checkpoint.local_path] if plan.checkpoint else [])]
    data = [plan.source, *plan.channels] if plan.source is not None else list(plan.channels)
    paths += [path for one in data for path in (one.directory, *(path for _, path in one.files)) if path is not None]
    for path in paths:
        if ":" in path:
            raise ConfigError("podman-compose cannot mount a path with a colon", where=path, remedy="rename it, or use Docker")
