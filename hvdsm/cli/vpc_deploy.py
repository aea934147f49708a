"""``hvdsm vpc plan`` and ``hvdsm vpc deploy``."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, Optional, TypeVar

import click

from hvdsm.cli.vpc_common import a_number, failure_json, print_json, print_lines, print_table, say, stack_flags, told_as_json

F = TypeVar("F", bound=Callable[..., Any])

# Exit code of a plan that a person did not want to be carried out.
DECLINED = 1
_HEADS = ("ACTION", "RESOURCE", "TYPE", "REPLACEMENT", "WHAT")


def _network(function: F) -> F:
    """The options that say what the network is like."""
    options = [
        click.option("--zones", type=click.IntRange(1, 3), metavar="N", help="Availability Zones, 1 to 3.  [default: 1]"),
        click.option("--zone", "zone_names", multiple=True, metavar="ZONE", help="Name or id of a zone, in order.  Repeatable."),
        click.option("--cidr", metavar="BLOCK", help="Addresses of the network.  [default: 10.0.0.0/16]"),
        click.option("--subnet-cidr", "subnet_cidrs", multiple=True, metavar="BLOCK", help="Addresses of a subnet.  Repeatable."),
        click.option("--endpoints", type=click.Choice(("none", "core", "full")), help="Interface endpoints.  [default: none]"),
        click.option(
            "--read-only-bucket",
            "read_only_buckets",
            multiple=True,
            metavar="BUCKET",
            help="Bucket of another account that jobs may read.  Repeatable.",
        ),
        click.option("--flow-logs/--no-flow-logs", default=None, help="Record refused traffic.  [default: on]"),
        click.option("--flow-log-days", type=int, metavar="DAYS", help="Days that the record is kept.  [default: 14]"),
        click.option("--instance-type", metavar="TYPE", help="Type of the jobs' instances: zones that offer it are chosen."),
        click.option("--instance-count", type=click.IntRange(1), metavar="N", help="Instances that a subnet must hold."),
        click.option("--template", metavar="FILE", help="Another template.  [default: the one of hvdsm]"),
        click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Of the template.  Repeatable."),
        click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Of the stack and all it has.  Repeatable."),
        click.option(
            "--timeout", type=click.FloatRange(min=0, min_open=True), default=1800.0, show_default=True, metavar="SECONDS",
            callback=a_number, help="Time that it may take in all; then exit code 75, and what is under way goes on.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stack_flags
@_network
def plan(name: str, region: Optional[str], aws_profile: Optional[str], as_json: bool, **given: Any) -> int:
    """Show what deploy would change in the stack NAME, and what it would cost by the month; nothing is changed.

    \b
    Examples:
      hvdsm vpc plan
      hvdsm vpc plan --zones 2 --endpoints core
    """  # noqa: D301
    with told_as_json(as_json, failure_json):
        from hvdsm.aws.session import connect
        from hvdsm.vpc.stacks import deploying
        from hvdsm.vpc.stacks.watching import Watching

        order = _order(name, given)
        aws = connect(region, aws_profile)
        with Watching(name, sys.stderr, say) as view:
            found = deploying.plan(aws, order, show=view, say=view.say)
        deploying.discard(aws, found, say)
    if as_json:
        print_json({**found.as_json(), "stack": _stack_json(found.before), "outputs": _outputs(found.before), "cause": None})
        return 0
    _show(found)
    if not found.nothing:
        say(f"nothing was changed; hvdsm vpc deploy {name}, with the same options, does it")
    return 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stack_flags
@_network
@click.option("--recreate", is_flag=True, help="Delete a stack that failed when it was made, and make it again.")
@click.option("--protect/--no-protect", default=None, help="Protect the stack against deletion.  [default: on for a new one]")
@click.option("--wait/--no-wait", default=True, help="Stay until it is done.  [default: wait]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.  [default: asks on a terminal only]")
def deploy(
    name: str,
    region: Optional[str],
    aws_profile: Optional[str],
    as_json: bool,
    wait: bool,
    yes: bool,
    protect: Optional[bool],
    recreate: bool,
    **given: Any,
) -> int:
    """Create or update the stack NAME: a network for training jobs.  Where nothing changes, nothing is done.

    What would change, and what it costs, is shown first.  Parameters that are not given stay as they are in the stack.

    Exit codes: 0 done, or nothing to do; 1 not wanted after all; 75 not done in time, but it goes on; 78 the stack failed, or AWS
    refuses it: the root cause is told first.

    \b
    Examples:
      hvdsm vpc deploy
      hvdsm vpc deploy my-net --zones 2 --cidr 10.20.0.0/16 --endpoints core --yes
      hvdsm vpc deploy my-net --recreate
    """  # noqa: D301
    with told_as_json(as_json, failure_json):
        from hvdsm.aws.session import connect
        from hvdsm.vpc.stacks import deploying
        from hvdsm.vpc.stacks.watching import Watching

        order = _order(name, given, protect, recreate)
        aws = connect(region, aws_profile)
        with Watching(name, sys.stderr, say) as view:
            found = deploying.plan(aws, order, show=view, say=view.say)
        try:
            if not as_json:
                _show(found, costs=not found.nothing)
            asks = not (found.nothing or yes or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
            wanted = not asks or click.confirm("Do this?", default=not found.warnings, err=True)
        except BaseException:
            deploying.discard(aws, found, say)
            say("nothing was changed")
            raise
        if not wanted:
            deploying.discard(aws, found, say)
            say("nothing was changed")
            return DECLINED
        with Watching(name, sys.stderr, say) as view:
            done = deploying.carry_out(aws, found, show=view, say=view.say, wait=wait)
    launch = _launch(name, region, aws_profile)
    if as_json:
        print_json(
            {
                **found.as_json(),
                "changed": not found.nothing,
                "ended": done.ended,
                "seconds": None if done.followed is None else round(done.followed.seconds, 3),
                "stack": _stack_json(done.stack),
                "outputs": done.stack.outputs,
                "cause": None,
                "next": launch,
            }
        )
        return 0
    if not done.ended:
        say(f"stack {name} is {done.stack.status}, and goes on without this command: hvdsm vpc status {name}")
        return 0
    took = "" if done.followed is None else f" after {done.followed.seconds:.0f} s"
    protected = "protected against deletion" if done.stack.protected else "not protected against deletion"
    say(f"stack {name} is {done.stack.status}{took}, {protected}")
    if done.stack.outputs:
        print_table(("OUTPUT", "VALUE"), [[key, value] for key, value in sorted(done.stack.outputs.items())])
    say(f"next: {launch}")
    return 0


def _order(name: str, given: Dict[str, Any], protect: Optional[bool] = None, recreate: bool = False) -> Any:
    """The order that the options make."""
    from hvdsm.vpc.stacks.plans import Order
    from hvdsm.vpc.stacks.stack_parameters import Wish, names

    given = dict(given)
    path, tags = given.pop("template"), names(given.pop("tags"), "--tag")
    timeout = given.pop("timeout")
    wish = Wish(**{**given, "parameters": names(given["parameters"], "--parameter")})
    return Order(name, None if path is None else _text(path), wish, tags, protect, recreate, timeout)


def _text(path: str) -> str:
    """The text of a template's file."""
    from hvdsm.errors import ConfigError

    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(getattr(error, "strerror", None) or str(error), where=path, remedy="check --template") from None


def _show(found: Any, *, costs: bool = True) -> None:
    """The plan: a table, costs, notes and warnings."""
    if found.nothing:
        say(f"stack {found.order.name} is {found.before.status}: no changes")
    else:
        what = "is to be made" if found.before is None else "is to be changed"
        say(f"stack {found.order.name} {what}: {len(found.change_set.changes)} changes")
        rows = [
            [change.action, change.logical_id, change.kind, _replaced(change), ", ".join(change.properties)]
            for change in found.change_set.changes
        ]
        print_table(_HEADS, rows, colour=0)
    if costs and found.costs is not None:
        print_lines(found.costs.lines())
    for note in found.notes:
        say(note)
    for warning in found.warnings:
        say(f"warning: {warning}")


def _replaced(change: Any) -> str:
    return {"True": "replaced", "Conditional": "may be replaced", "False": "in place"}.get(change.replacement, "-")


def _launch(name: str, region: Optional[str], aws_profile: Optional[str]) -> str:
    """The command that makes use of it."""
    where = (f" --region {region}" if region else "") + (f" --aws-profile {aws_profile}" if aws_profile else "")
    return f"hvdsm launch --backend sagemaker --vpc-stack {name}{where} --instance-type TYPE --instance-count N train.py"


def _stack_json(stack: Any) -> Any:
    from hvdsm.vpc.stacks.stack_report import stack_json

    return None if stack is None else stack_json(stack)


def _outputs(stack: Any) -> Dict[str, str]:
    return {} if stack is None else dict(stack.outputs)
