"""Pushing an image to ECR: where it goes is decided first, then it is carried out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.aws import registry as ecr
from hvdsm.aws.failures import is_denied
from hvdsm.aws.registry_names import Registry, check_account, check_region, registry
from hvdsm.aws.session import Aws
from hvdsm.errors import CloudRefused, CloudUnavailable, ConfigError, UsageError
from hvdsm.images.commands import Command, inspect_command, login_command, push_command, tag_command
from hvdsm.images.logins import log_in
from hvdsm.images.names import ImageName, in_registry
from hvdsm.images.running import check, run

Say = Callable[[str], None]


@dataclass(frozen=True)
class PushPlan:
    """Where an image goes.

    Attributes:
        image: its name here.
        target: its name in ECR.
        registry: the registry.
        create: whether a repository that is missing is made.
        scan: whether images in it are then scanned.
        login: whether to log in.
        extra: further arguments of the push.
    """

    image: ImageName
    target: ImageName
    registry: Registry
    create: bool = True
    scan: bool = True
    login: bool = True
    extra: Sequence[str] = ()

    def commands(self, engine: str) -> Tuple[Command, ...]:
        """The commands, in order."""
        found: List[Command] = [login_command(engine, self.registry)] if self.login else []
        if self.image != self.target:
            found.append(tag_command(engine, self.image, self.target))
        return (*found, push_command(engine, self.target, self.extra))

    def lines(self, engine: str) -> List[str]:
        """The commands for people."""
        found = []
        if self.create:
            scan = " --image-scanning-configuration scanOnPush=true" if self.scan else ""
            region, name = self.registry.region, self.target.repository
            found.append("# where it is missing:")
            found.append(f"aws ecr create-repository --repository-name {name} --region {region}{scan}")
        return found + [command.shown() for command in self.commands(engine)]


def where_to(
    image: ImageName, region: Optional[str], account: Optional[str], connect: Callable[[Optional[str]], Aws]
) -> Tuple[ImageName, Registry]:
    """The image's name in ECR, and the registry.

    A name that has a registry in ECR says account and region itself.  Else the region is the one that is given or configured,
    and the account that of the credentials, which STS is asked for.

    Args:
        image: its name.
        region: AWS region.
        account: AWS account.
        connect: gives the session of a region, or of the configured one.

    Raises:
        UsageError: the name says something else than region or account, or ECR has no repository of such a name.
        ConfigError: no region is known.
        CloudUnavailable: no account is known.
    """
    if region is not None:
        check_region(region)
    if account is not None:
        check_account(account)
    known = image.ecr
    if known is not None:
        for option, given, said in (("--region", region, known.region), ("--account", account, known.account)):
            if given and given != said:
                raise UsageError(f"is {given}, but the image's name says {said}", where=option, remedy=f"leave out {option}")
        return in_registry(image, known), known
    if image.registry and image.registry != "localhost":
        raise UsageError(
            f"{image.registry} is no registry in ECR, which SageMaker takes images from",
            where=str(image),
            remedy=f"name it without: {image.repository}{':' + image.tag if image.tag else ''}",
        )
    if region is None or account is None:
        aws = connect(region)
        region, account = aws.region, ecr.owner(aws, account)
    found = registry(account, region)
    return in_registry(image, found), found


@dataclass(frozen=True)
class Pushed:
    """An image that was pushed, as ECR has it; ``remote`` is None where it may not be asked for."""

    target: ImageName
    created: bool
    remote: Optional[ecr.RemoteImage]
    seconds: float

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        remote = self.remote
        return {
            "uri": str(self.target),
            "digest": remote.digest if remote else None,
            "bytes": remote.size if remote else None,
            "repository_created": self.created,
            "for_sagemaker": remote.for_sagemaker if remote else None,
            "seconds": round(self.seconds, 3),
        }


def push(
    plan: PushPlan,
    engine: str,
    aws: Aws,
    environ: Mapping[str, str],
    *,
    say: Say,
    show: Optional[Say] = None,
    terminal: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Pushed:
    """Make the repository if it is missing, log in, tag, push, and look at what ECR has then.

    Args:
        plan: what goes where.
        engine: what pushes.
        aws: session.
        environ: environment of the commands.
        say: is told the steps.
        show: gets the engine's lines.
        terminal: whether the engine has the terminal for itself.
        clock: gives seconds.

    Raises:
        ConfigError: there is no such image here, or no repository that may be made.
        EngineFailed: a command failed.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    begun = clock()
    _look_for(plan, engine, environ)
    created = _repository(plan, aws, say)
    if plan.login:
        log_in(aws, engine, plan.registry, environ, say)
    for command in plan.commands(engine)[1 if plan.login else 0 :]:
        say(command.shown())
        last = command.argv[1] == "push"
        done = run(command, environ, show=show if last else None, terminal=terminal and last)
        check(done, command, f"{command.argv[1]} {plan.target}", "run it again; layers that have been pushed are not sent again")
    return Pushed(plan.target, created, _found(plan, aws, say), clock() - begun)


def _look_for(plan: PushPlan, engine: str, environ: Mapping[str, str]) -> None:
    """See to it that the engine has the image; it may have it without the registry's name."""
    if run(inspect_command(engine, plan.image), environ, apart=True).code == 0:
        return
    remedy = "hvdsm image list --all; build it (hvdsm image build), or name the --engine that did"
    here = replace(plan.image, registry="")
    if here != plan.image and run(inspect_command(engine, here), environ, apart=True).code == 0:
        remedy = f"it has {here}: hvdsm image push {here} --account {plan.registry.account} --region {plan.registry.region}"
    raise ConfigError(f"{engine} has no such image", where=str(plan.image), remedy=remedy)


def _repository(plan: PushPlan, aws: Aws, say: Say) -> bool:
    """See to it that the repository is there; whether it had to be made."""
    name = plan.target.repository
    try:
        found = ecr.find_repository(aws, plan.registry, name)
    except CloudRefused as error:
        if not is_denied(error):
            raise
        say(f"whether the repository {name} is there cannot be seen without ecr:DescribeRepositories: the push will show")
        return False
    if found is not None:
        if found.immutable and plan.target.tag and ecr.find_image(aws, plan.registry, name, plan.target.tag):
            raise ConfigError(
                f"has an image with the tag {plan.target.tag} already, and its tags may not be moved",
                where=found.uri,
                remedy="give another --tag",
            )
        return False
    if not plan.create:
        raise ConfigError("there is no such repository", where=plan.target.untagged, remedy="leave out --no-create")
    ecr.create_repository(aws, plan.registry, name, scan_on_push=plan.scan)
    say(f"made the repository {plan.target.untagged}{', images are scanned when they are pushed' if plan.scan else ''}")
    return True


def _found(plan: PushPlan, aws: Aws, say: Say) -> Optional[ecr.RemoteImage]:
    """The image as ECR has it; that it cannot be asked for is no failure of the push."""
    try:
        remote = ecr.find_image(aws, plan.registry, plan.target.repository, plan.target.tag)
    except (CloudRefused, CloudUnavailable) as error:
        if not is_denied(error):
            say(f"warning: it is pushed; what ECR has now cannot be seen: {error.what}")
        return None
    if remote is not None and not remote.for_sagemaker:
        say(
            f"warning: ECR has it as {remote.manifest}, which SageMaker may refuse: build it by podman or buildah, or with "
            "-- --provenance=false --output type=docker"
        )
    return remote
