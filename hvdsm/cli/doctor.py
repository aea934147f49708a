"""``hvdsm doctor``."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

import click

from hvdsm.cli.jobs_common import errors_as_json, print_json, say

# The same as hvdsm.doctor.goals has, which is not imported for the help.
GOALS = ("local", "docker", "sagemaker", "container")
ENGINES = ("auto", "docker", "podman")
KINDS = ("mpi", "torch_distributed", "none")
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "not checked": "cyan"}
# What a launch would take from its own table of the configuration.
_OF_LAUNCH = (
    "role", "mpirun", "instance_type", "instance_count", "output", "distribution", "region", "aws_profile", "s3_prefix", "image",
    "engine",
)  # fmt: skip


@click.command()
@click.argument("goal", type=click.Choice(GOALS), required=False, metavar="[local|docker|sagemaker|container]")
@click.option("--role", metavar="ARN", help="Role of the job.  [default: $SAGEMAKER_ROLE]")
@click.option("--s3-prefix", metavar="URI", help="s3://BUCKET/PREFIX of the job.  [default: the account's bucket]")
@click.option("--instance-type", metavar="TYPE", help="Type of the hosts, whose quota is looked up.")
@click.option("--instance-count", type=click.IntRange(1), metavar="N", help="Hosts.  [default: 1]")
@click.option("--region", metavar="REGION", help="AWS region.")
@click.option("--aws-profile", metavar="NAME", help="Profile of the AWS configuration.")
@click.option("--mpirun", metavar="PATH", help="mpirun to use.  [default: the first on PATH, or beside this Python]")
@click.option("--output", metavar="DIR", help="Where local results go.  [default: hvdsm-out]")
@click.option("--engine", type=click.Choice(ENGINES), help="docker: the container engine.  [default: auto]")
@click.option("--image", metavar="NAME", help="docker: image to start a container of.  [default: the smallest that is here]")
@click.option("--distribution", type=click.Choice(KINDS), help="container: how jobs start ranks.  [default: mpi]")
@click.option("--quick", is_flag=True, help="container: start no ranks, as for a health check while a job runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, /, goal: Optional[str], as_json: bool, quick: bool, **given: Any) -> int:
    """Check what works on this machine, and say what helps where something does not; nothing is changed.

    \b
    local      rehearsals on emulated hosts       docker     images, and jobs in containers
    sagemaker  jobs in the cloud                  container  this system as an image of jobs

    Without a goal all of them are looked into, and a table says which work.

    \b
    Exit codes: 0 the goal works (or none was named), 69 this machine or AWS lacks what it needs, 78 something is set up
    wrongly or not installed: the code that the goal's own command would end with.

    \b
    Examples:
      hvdsm doctor
      hvdsm doctor local
      hvdsm doctor sagemaker --role ROLE_ARN --instance-type ml.p4d.24xlarge --instance-count 2
      hvdsm doctor container --json
    """  # noqa: D301
    with errors_as_json(as_json):
        asked = _asked(_with_launch(ctx, given), quick)
        from hvdsm.container.diagnosis import as_json as goal_as_json
        from hvdsm.doctor.goals import diagnose, exit_code, report

        try:
            found = diagnose([goal] if goal else list(GOALS), os.environ, asked, say)
        except KeyboardInterrupt:
            say("nothing was changed")
            raise
        if goal is None:
            print_json(report(found)) if as_json else _show_all(found)
            return 0
        if as_json:
            print_json(goal_as_json(goal, found[goal]))
        else:
            _show(goal, found[goal])
        return exit_code(found[goal])


def _with_launch(ctx: click.Context, given: Mapping[str, Any]) -> Dict[str, Any]:
    """The options, completed by what a launch would take from the configuration: the role is the job's, not the doctor's."""
    from hvdsm.cli.defaults import META, configured, working_directory
    from hvdsm.cli.launch import command as launch

    meta = ctx.meta.get(META)
    profile = meta["configured"].profile if meta else None
    defaults = configured("launch", launch, os.environ, working_directory(), profile).default_map
    return {name: defaults.get(name) if value is None and name in _OF_LAUNCH else value for name, value in given.items()}


def _asked(given: Mapping[str, Any], quick: bool) -> Any:
    from hvdsm.compose.request import LOCAL_INSTANCE_TYPE
    from hvdsm.doctor.goals import Asked, Wanted

    kind = given["instance_type"]
    wanted = Wanted(
        region=given["region"],
        profile=given["aws_profile"],
        role=given["role"],
        s3_prefix=given["s3_prefix"],
        instance_type=None if kind == LOCAL_INSTANCE_TYPE else kind,
        instance_count=int(given["instance_count"] or 1),
    )
    return Asked(
        wanted,
        given["mpirun"],
        given["output"] or "hvdsm-out",
        given["distribution"] or "mpi",
        quick,
        engine=given["engine"] or "auto",
        image=given["image"],
    )


def _show(goal: str, checks: Sequence[Any]) -> None:
    from hvdsm.container.diagnosis import lines
    from hvdsm.doctor.goals import sentence

    for line in lines(checks, _painted):
        click.echo(line)
    say(sentence(goal, checks))


def _show_all(found: Mapping[str, Sequence[Any]]) -> None:
    """What is not as it should be, each once, and the table."""
    from hvdsm.cli.vpc_common import print_table
    from hvdsm.container.diagnosis import lines
    from hvdsm.doctor.goals import rows

    goals_of: Dict[Any, List[str]] = {}
    checks: Dict[Any, Any] = {}
    for goal, listed in found.items():
        for check in listed:
            if check.status in ("failed", "warning", "not checked"):
                key = (check.name, check.status, check.what)
                checks.setdefault(key, check)
                goals_of.setdefault(key, []).append(goal)
    for goals in dict.fromkeys(tuple(names) for names in goals_of.values()):
        click.echo(click.style(", ".join(goals), bold=True))
        for line in lines([check for key, check in checks.items() if tuple(goals_of[key]) == goals], _painted):
            click.echo(f"  {line}")
    if checks:
        click.echo()
    print_table(("goal", "works", "in the way", "worth a look"), rows(found))


def _painted(text: str, status: str) -> str:
    return click.style(text, fg=_COLOURS[status]) if status in _COLOURS else text
