"""``hvdsm image build``."""

from __future__ import annotations

import os
import platform
from typing import Any, Dict, Optional, Tuple

import click

from hvdsm.aws.registry_names import FRAMEWORKS
from hvdsm.cli.image_common import (
    EngineCommand,
    apart,
    connecting,
    image_flags,
    print_commands,
    print_json,
    progress,
    say,
    shown_engine,
    told,
)
from hvdsm.errors import UsageError


@click.command(cls=EngineCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="[PATH]", required=False)
@click.argument("extra", metavar="[-- ENGINE-ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
@image_flags("device")
@click.option(
    "--name", metavar="NAME", help="Name, with a registry or without.  [default: graphstorm; else the recipe's, PATH's]"
)
@image_flags("tag")
@click.option("--recipe", metavar="NAME", help="A Dockerfile of hvdsm's: graph, own, pytorch, tensorflow.  [default: graph]")
@click.option("--file", metavar="DOCKERFILE", help="A Dockerfile of your own.  [default: PATH/Dockerfile if there is one]")
@click.option("--context", metavar="DIR", help="Directory that it may copy from.  [default: PATH]")
@click.option(
    "--build-arg", "arguments", multiple=True, metavar="NAME[=VALUE]", help="Without VALUE, the variable's.  Repeatable."
)
@click.option("--target", metavar="STAGE", help="Build this stage.  [default: the last]")
@click.option("--platform", metavar="OS/ARCH", help="Such as linux/amd64.  [default: this machine's]")
@click.option(
    "--base-region",
    default="us-east-1",
    show_default=True,
    metavar="REGION",
    help="Where AWS's framework images are pulled from.",
)
@click.option("--base-account", default=FRAMEWORKS, show_default=True, metavar="ID", help="Whose registry has them.")
@click.option("--login-to", "logins", multiple=True, metavar="HOST", help="Log in to this registry in ECR, too.  Repeatable.")
@image_flags("login", "engine", "aws_profile", "dry_run", "json")
def build(
    source: Optional[str],
    extra: Tuple[str, ...],
    arguments: Tuple[str, ...],
    logins: Tuple[str, ...],
    engine: Optional[str],
    aws_profile: Optional[str],
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Build an image from PATH, the directory of its source: GraphStorm's, or one with a Dockerfile.

    A recipe's Dockerfile gets a staging directory with a copy of PATH, which is removed at the end, also of a build that fails.
    Base images in Amazon ECR are logged in to first.  What follows -- goes to docker, podman or buildah as it is.

    Exit codes: 0 built; 1 the engine failed, its last lines are told; 2 usage; 69 no engine, or AWS cannot be had; 78 a file is
    missing, or AWS refuses a login.

    \b
    Examples:
      hvdsm image build ~/graphstorm
      hvdsm image build ~/graphstorm --device cpu --name 888888888888.dkr.ecr.us-east-1.amazonaws.com/graphstorm
      hvdsm image build --recipe tensorflow --device cpu
      hvdsm image build . --file GCMC.Dockerfile --name sagemaker-dgl-gcmc --tag latest -- --no-cache
    """  # noqa: D301
    with told(as_json):
        source, extra = apart(source, extra)
        from hvdsm.images.build_plan import Order, plan_build

        order = Order(
            source,
            extra=extra,
            arguments=tuple(_argument(text) for text in arguments),
            logins=tuple(_registry(host) for host in logins),
            **given,
        )
        plan = plan_build(order, os.environ)
        for warning in plan.warnings:
            say(f"warning: {warning}")
        if order.platform is None and platform.machine().lower() in ("arm64", "aarch64"):
            say("warning: the image is for this machine's arm64; most instance types need --platform linux/amd64")
        name = shown_engine(engine, dry_run)
        about: Dict[str, Any] = {
            "image": str(plan.words.image),
            "device": plan.device,
            "recipe": plan.recipe.name if plan.recipe else None,
            "engine": name,
            "bases": list(plan.bases),
            "logins": [registry.host for registry in plan.logins],
            "staged": {copy.target: copy.source for copy in plan.copies},
        }
        if dry_run:
            print_commands(plan.lines(name), [command.argv for command in plan.commands(name)], as_json, **about)
            return 0
        from hvdsm.images.building import build as carry_out

        show, terminal = progress(as_json)
        session = connecting(aws_profile)
        built = carry_out(plan, name, session, os.environ, say=say, show=show, terminal=terminal)
    if as_json:
        print_json({**about, **built.as_json()})
        return 0
    click.echo(f"{built.image} {built.id}")
    say(f"built after {built.seconds:.0f} s; next: hvdsm image push {built.image}")
    return 0


def _argument(text: str) -> Tuple[str, Optional[str]]:
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError(f"must be NAME or NAME=VALUE, not {text!r}", where="--build-arg")
    return name, value if equals else None


def _registry(host: str) -> Any:
    from hvdsm.aws.registry_names import registry_of

    found = registry_of(host)
    if found is None:
        raise UsageError(
            f"{host!r} is no registry in ECR",
            where="--login-to",
            remedy="ACCOUNT.dkr.ecr.REGION.amazonaws.com; else docker login",
        )
    return found
