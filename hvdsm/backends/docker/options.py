"""What the docker back end is told besides the request; light, since `hvdsm launch --help` imports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional

from hvdsm.compose.cloud import BUNDLE
from hvdsm.compose.compose_file import SHM_SIZE

AUTO = "auto"
DOCKER = "docker"
PODMAN = "podman"
ENGINES = (AUTO, DOCKER, PODMAN)


@dataclass(frozen=True)
class DockerOptions:
    """What the docker back end is told besides the request.

    Attributes:
        output: directory under which ``JOB-NAME/`` is made.
        s3_root: directory that stands for S3.
        engine: ``docker``, ``podman`` or ``auto``: the first that works.
        container_program: ``bundle`` ships hvdsm to the containers, ``train`` starts the image's own program.
        aws_profile: profile of the AWS configuration that the containers may use; None gives on the caller's variables.
        shm_size: size of ``/dev/shm`` of each host.
        stop_grace: seconds between SIGTERM and SIGKILL; None is the local back end's default.
        interrupt_after: seconds of ranks running after which all hosts are taken away once, and the job is launched anew.
        variables: what the containers get in their environment besides all else.
    """

    output: str = "hvdsm-out"
    s3_root: Optional[str] = None
    engine: str = AUTO
    container_program: str = BUNDLE
    aws_profile: Optional[str] = None
    shm_size: str = SHM_SIZE
    stop_grace: Optional[float] = None
    interrupt_after: Optional[float] = None
    variables: Mapping[str, str] = field(default_factory=dict)
