"""``hvdsm vpc delete``."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, Dict, List, Optional

import click

from hvdsm.cli.vpc_common import a_number, print_json, print_lines, say, stack_flags, told_as_json
from hvdsm.errors import HvdsmError, UsageError

_NOTHING_DONE = "nothing has been deleted"


@click.command()
@stack_flags
@click.option("--yes", "-y", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@click.option("--unprotect", is_flag=True, help="Take termination protection off first.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted and what stands in the way; change nothing.")
@click.option("--wait/--no-wait", default=True, help="Stay until it is gone.  [default: stay]")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=5400.0,
    show_default=True,
    metavar="SECONDS",
    callback=a_number,
    help="Stay so long at most, what SageMaker leaves behind included; then exit code 75.",
)
def delete(name: str, region: Optional[str], aws_profile: Optional[str], as_json: bool, **given: Any) -> int:
    """Delete the stack NAME (hvdsm-training by default) with its network, once nothing is in it.

    Jobs that run, what others have put into the network and stacks that import its outputs are named, and nothing is deleted.
    Network interfaces that SageMaker leaves behind for a while are waited for; none is ever deleted by hvdsm.  A stack that is
    not there is no error.

    \b
    Exit codes: 0 gone, 1 you said no, 69 AWS cannot be reached, 75 not gone in time, 78 in use, protected or refused.

    \b
    Examples:
      hvdsm vpc delete --dry-run
      hvdsm vpc delete hvdsm-training --unprotect --yes
    """  # noqa: D301
    told: Dict[str, Any] = {"stack": name}
    with told_as_json(as_json, lambda error: _known(error, told)):
        return _delete(name, region, aws_profile, as_json, told, **given)


def _delete(
    name: str,
    region: Optional[str],
    aws_profile: Optional[str],
    as_json: bool,
    told: Dict[str, Any],
    *,
    yes: bool,
    unprotect: bool,
    dry_run: bool,
    wait: bool,
    timeout: float,
) -> int:
    from hvdsm.aws.cloudformation import find
    from hvdsm.aws.session import connect
    from hvdsm.vpc.deletion import deleting
    from hvdsm.vpc.deletion.leftovers import Way, interruptible
    from hvdsm.vpc.stacks.watching import Watching

    aws = connect(region, aws_profile)
    told.update(region=aws.region, deleted=False)
    terminal = sys.stdin.isatty() and sys.stderr.isatty()
    stack = find(aws, name)
    if stack is None or stack.status == "DELETE_COMPLETE":
        return _nothing(name, aws.region, as_json, told)
    told.update(stack=stack.name, id=stack.id, state=stack.status, protected=stack.protected)
    if not (yes or dry_run or terminal):
        raise UsageError(
            f"{stack.name} would be deleted, and nobody can be asked",
            where="hvdsm vpc delete",
            remedy="add --yes, or look: --dry-run",
        )
    with Watching(stack.name, sys.stderr, say) as view:
        way = Way(say=view.say, show=view, limit=timeout, wait_for_end=wait, unprotect=unprotect)
        began = way.clock()
        if not dry_run:
            stack = deleting.settled(aws, stack.id, way)
            timeout = max(1.0, timeout - (way.clock() - began))
        if stack is not None and (dry_run or stack.status != "DELETE_IN_PROGRESS"):
            view.say(f"looking at what is in the network of {stack.name}")
            found = interruptible(partial(deleting.seen, aws, stack, way), way, _NOTHING_DONE)
    if stack is None:
        say(f"{name} is gone")
        told.update(state="DELETE_COMPLETE", deleted=True)
        return _ended(told, as_json)
    if stack.status == "DELETE_IN_PROGRESS" and not dry_run:
        say(f"the deletion of {stack.name} is under way already; to see it: hvdsm vpc status {stack.name}")
        return _ended(told, as_json)
    told.update(state=stack.status, **_survey_json(found))
    deleting.check_is_network(aws, found)
    for note in found.unread:
        say(f"warning: {note}; CloudFormation itself refuses to delete what is in use")
    if dry_run:
        if not as_json:
            print_lines(_lines(found, unprotect))
        return _ended(told, as_json)
    deleting.check_is_free(aws, found)
    if terminal and not yes:
        for line in _lines(found, True):
            click.echo(line, err=True)
        protection = ", and termination protection taken off first" if stack.protected else ""
        try:
            meant = click.confirm(f"Is {stack.name} in {aws.region} to be deleted{protection}?", err=True)
        except click.Abort:
            say(_NOTHING_DONE)
            raise
        if not meant:
            say(_NOTHING_DONE)
            _ended(told, as_json)
            return 1
        unprotect = unprotect or stack.protected
        # While a person thinks, a job may begin.
        found = deleting.seen(aws, stack, way)
    with Watching(stack.name, sys.stderr, say) as view:
        way = Way(say=view.say, show=view, limit=timeout, wait_for_end=wait, unprotect=unprotect)
        began = way.clock()
        ended = deleting.delete(aws, found, way)
    if ended is None:
        say(f"the deletion of {stack.name} has begun; to see it: hvdsm vpc status {stack.name}")
        told.update(state="DELETE_IN_PROGRESS")
    else:
        took = way.clock() - began
        say(f"{stack.name} is gone, after {took:.0f} s")
        told.update(state=ended.stack.status, deleted=True, seconds=round(took, 3))
    return _ended(told, as_json)


def _nothing(name: str, region: str, as_json: bool, told: Dict[str, Any]) -> int:
    say(f"there is no stack {name} in {region}: nothing to delete")
    told.update(state=None)
    return _ended(told, as_json)


def _ended(told: Dict[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(told)
    return 0


def _known(error: HvdsmError, told: Dict[str, Any]) -> Dict[str, Any]:
    """What is known until an error, for machines."""
    ended = getattr(error, "ended", None)
    if ended is None:
        return told
    from hvdsm.vpc.stacks.causes import cause_json

    return {**told, "state": ended.stack.status, "cause": cause_json(ended.cause)}


def _survey_json(found: Any) -> Dict[str, Any]:
    return {
        "resources": [
            {"name": entry.logical_id, "id": entry.physical_id, "type": entry.kind, "status": entry.status}
            for entry in found.resources
        ],
        "in_the_way": [entry.as_json() for entry in found.obstacles],
        "left_behind": [entry.as_json() for entry in found.leftovers],
        "not_looked_at": list(found.unread),
    }


def _lines(found: Any, unprotect: bool) -> List[str]:
    """What would be deleted, and what stands in the way, for people."""
    stack = found.stack
    lines = [
        f"stack {stack.name} ({stack.status}) would be deleted, with:" if found.resources else f"stack {stack.name} is empty"
    ]
    widths = [
        max((len(text) for text in column), default=0) for column in zip(*((e.logical_id, e.kind) for e in found.resources))
    ]
    for entry in found.resources:
        lines.append(f"  {entry.logical_id.ljust(widths[0])}  {entry.kind.ljust(widths[1])}  {entry.physical_id}")
    if stack.busy:
        lines.append(f"an operation is under way ({stack.status}): its end would be waited for")
    if stack.protected:
        lines.append(f"termination protection is on{', and would be taken off' if unprotect else ': it needs --unprotect'}")
    if found.obstacles:
        lines += ["in the way:", *(f"  {entry}" for entry in found.obstacles)]
    if found.leftovers:
        lines += ["left behind, and removed by its service before long:", *(f"  {entry}" for entry in found.leftovers)]
    lines += [f"not looked at: {note}" for note in found.unread]
    if not found.obstacles:
        lines.append("nothing stands in the way" if not found.leftovers else "nothing else stands in the way")
    return lines
