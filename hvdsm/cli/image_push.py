"""``hvdsm image push``."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Tuple

import click

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
@click.argument("name", metavar="[NAME[:TAG]]", required=False)
@click.argument("extra", metavar="[-- ENGINE-ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
@image_flags("tag", "device", "region", "account", "aws_profile")
@click.option("--create/--no-create", default=True, help="Make the repository if it is missing.  [default: create]")
@click.option("--scan/--no-scan", default=True, help="Have images in a new repository scanned.  [default: scan]")
@image_flags("login", "engine", "dry_run", "json")
def push(
    name: Optional[str],
    extra: Tuple[str, ...],
    tag: Optional[str],
    device: str,
    region: Optional[str],
    account: Optional[str],
    aws_profile: Optional[str],
    create: bool,
    scan: bool,
    login: bool,
    engine: Optional[str],
    dry_run: bool,
    as_json: bool,
) -> int:
    """Push the image NAME, graphstorm by default, to Amazon ECR, and print its address there.

    A name with a registry in ECR says account and region itself; else the account is that of the credentials.  The repository is
    the name without the registry.  The password goes to the engine over standard input.

    Exit codes: 0 pushed; 1 the engine failed; 2 usage; 69 no engine, or AWS cannot be had; 78 there is no such image here, or AWS
    refuses it: of a missing permission the message says which.

    \b
    Examples:
      hvdsm image push graphstorm --device cpu
      hvdsm image push 888888888888.dkr.ecr.us-east-1.amazonaws.com/graphstorm:sm-gpu
      hvdsm image push training --tag 1 --region eu-central-1 --dry-run
    """  # noqa: D301
    with told(as_json):
        name, extra = apart(name, extra)
        from hvdsm.images.names import image_name
        from hvdsm.images.pushing import PushPlan, where_to
        from hvdsm.images.pushing import push as carry_out

        session = connecting(aws_profile)
        image = image_name(name, tag, device, where="NAME")
        if image.digest:
            raise UsageError("an image is pushed by a tag", where=str(image), remedy="name it NAME:TAG")
        target, registry = where_to(image, region, account, session)
        plan = PushPlan(image, target, registry, create, scan, login, extra)
        used = shown_engine(engine, dry_run)
        about: Dict[str, Any] = {
            "image": str(image),
            "uri": str(target),
            "account": registry.account,
            "region": registry.region,
            "engine": used,
        }
        if dry_run:
            print_commands(plan.lines(used), [command.argv for command in plan.commands(used)], as_json, **about)
            return 0
        show, terminal = progress(as_json)
        pushed = carry_out(plan, used, session(registry.region), os.environ, say=say, show=show, terminal=terminal)
    if as_json:
        print_json({**about, **pushed.as_json()})
        return 0
    click.echo(str(pushed.target))
    digest = f", {pushed.remote.digest}" if pushed.remote else ""
    say(f"pushed after {pushed.seconds:.0f} s{digest}; next: hvdsm launch --backend sagemaker --image {pushed.target} … train.py")
    return 0
