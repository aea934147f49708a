"""Deleting a stack's network: not while it is in use, not before what SageMaker has left in it has gone, and by its id.

Source: AWS CloudFormation API Reference, DeleteStack and UpdateTerminationProtection; Amazon SageMaker Developer Guide: the
network interfaces of a job in a VPC are removed by the service some time after the job.
"""

from __future__ import annotations

import re
import uuid
from functools import partial
from typing import Any, Callable, List, Optional, Tuple, TypeVar

from hvdsm.aws.cloudformation import Stack, find, last_event, name_of, place_of
from hvdsm.aws.failures import AwsRefused, is_passing, patiently, translated
from hvdsm.aws.session import Aws
from hvdsm.errors import CloudRefused, ConfigError, HvdsmError
from hvdsm.vpc.deletion.leftovers import LIMIT, Way, interruptible, left_error, wait_for
from hvdsm.vpc.deletion.looking import PATIENCE
from hvdsm.vpc.deletion.obstacles import Survey, own_of
from hvdsm.vpc.deletion.surroundings import resources_of, survey
from hvdsm.vpc.stacks.causes import cause_lines, failures
from hvdsm.vpc.stacks.following import Followed, follow, under_way

__all__ = ["LIMIT", "DeletionFailed", "Way", "check_is_free", "check_is_network", "check_protection", "delete", "seen", "settled"]

T = TypeVar("T")

# Deletions that are begun again though nothing is seen that kept the last one from its end.
_BLIND = 1
_HELD = re.compile(r"DependencyViolation|dependent object|has dependencies|currently in use|in use by", re.IGNORECASE)


class DeletionFailed(CloudRefused):
    """A deletion that CloudFormation could not bring to its end; ``ended`` is how it ended."""

    ended: Optional[Followed] = None


def settled(aws: Aws, name: str, way: Way) -> Optional[Stack]:
    """The stack, once no operation is under way; None where there is none any more.

    A deletion that somebody has begun is followed to its end.

    Raises:
        JobTimeout: an operation has not ended in time.
        ConfigError: an operation is under way, and nobody is to wait.
    """
    stack = _patient(way, partial(find, aws, name))
    if stack is None or stack.status == "DELETE_COMPLETE":
        return None
    if under_way(stack.status):
        if not way.wait_for_end:
            if stack.status == "DELETE_IN_PROGRESS":
                return stack
            raise ConfigError(
                f"an operation is under way: {stack.status}",
                where=place_of(aws, stack.id),
                remedy="run it again when it has ended, or without --no-wait",
            )
        way.say(f"{stack.name}: an operation is under way ({stack.status}); waiting for its end")
        stack = _followed(aws, stack, way, None, None, way.limit).stack
    return None if stack.status == "DELETE_COMPLETE" else stack


def check_is_network(aws: Aws, found: Survey) -> None:
    """Refuse a stack that has resources, and no network among them.

    Raises:
        ConfigError: it is another kind of stack.
    """
    if found.resources and not own_of(found.resources).any:
        kinds = sorted({entry.kind for entry in found.resources})
        raise ConfigError(
            f"is no network: it has {', '.join(kinds[:4])}{' and others' if len(kinds) > 4 else ''}",
            where=place_of(aws, found.stack.id),
            remedy=f"check the name; aws cloudformation delete-stack --stack-name {found.stack.name}, if it is meant",
        )


def check_is_free(aws: Aws, found: Survey) -> None:
    """Refuse while something of others is in the network, or stands in the way.

    Raises:
        CloudRefused: what it is, and how it is taken away.
    """
    if not found.obstacles:
        return
    raise CloudRefused(
        "is in use; nothing has been deleted\n" + "\n".join(f"  - {entry}" for entry in found.obstacles),
        where=place_of(aws, found.stack.id),
        remedy=f"take these away, then hvdsm vpc delete {found.stack.name} --region {aws.region}",
    )


def check_protection(aws: Aws, stack: Stack, unprotect: bool) -> None:
    """Refuse a stack that is protected, unless that may be changed.

    Raises:
        ConfigError: it is protected.
    """
    if stack.protected and not unprotect:
        raise ConfigError(
            "is protected against deletion (termination protection is on); nothing has been deleted",
            where=place_of(aws, stack.id),
            remedy=f"hvdsm vpc delete {stack.name} --unprotect --region {aws.region}",
        )


def delete(aws: Aws, found: Survey, way: Way) -> Optional[Followed]:
    """Delete a stack: wait until what its services have left has gone, begin, follow, and once more where that was too early.

    Args:
        aws: session.
        found: what is in and around the network now.
        way: how it goes on.

    Returns:
        How the deletion ended: the stack is gone.  None when nobody waits for its end.

    Raises:
        ConfigError: the stack is protected.
        CloudRefused: something stands in the way, AWS refuses, or the deletion failed.
        JobTimeout: what is left has not gone in time, or the deletion has not ended.
        CloudUnavailable: AWS cannot be used.
    """
    stack = found.stack
    check_is_network(aws, found)
    check_is_free(aws, found)
    check_protection(aws, stack, way.unprotect)
    deadline = way.clock() + way.limit
    while found.leftovers:
        if not way.wait_for_end:
            raise left_error(aws, stack, found.leftovers, "nothing has been deleted")
        note = "nothing has been deleted"
        interruptible(partial(wait_for, aws, found, way, deadline, note), way, f"interrupted: {note}")
        # Meanwhile a new job may have begun.
        found = interruptible(partial(survey, aws, stack, say=way.say), way, f"interrupted: {note}")
        check_is_free(aws, found)
    blind = 0
    while True:
        token, after = _begin(aws, stack, way)
        if not way.wait_for_end:
            return None
        ended = _followed(aws, stack, way, token, after, max(1.0, deadline - way.clock()))
        if ended.ok:
            return ended
        again = survey(aws, ended.stack, say=way.say)
        held = [event for event in failures(ended.events) if _HELD.search(event.reason)]
        blind += not again.leftovers
        if again.obstacles or not held or blind > _BLIND or ended.stack.status != "DELETE_FAILED":
            raise _failed(aws, again, ended)
        what = ", ".join(event.logical_id for event in held)
        way.say(f"{stack.name} is DELETE_FAILED: {what} {'was' if len(held) == 1 else 'were'} in use; it is deleted once more")
        if again.leftovers:
            note = f"the stack is DELETE_FAILED: {', '.join(entry.logical_id for entry in again.resources)} are still there"
            interruptible(partial(wait_for, aws, again, way, deadline, note), way, f"interrupted: {note}")
        stack = ended.stack


def _patient(way: Way, call: Callable[[], T]) -> T:
    """What ``call`` returns, once throttling and faults of AWS have passed."""
    return patiently(call, say=way.say, limit=PATIENCE, clock=way.clock, wait=way.wait)


def _followed(aws: Aws, stack: Stack, way: Way, token: Optional[str], after: Optional[str], limit: float) -> Followed:
    words = f"what is under way goes on without this command: hvdsm vpc status {stack.name}"
    return interruptible(  # type: ignore[no-any-return]
        lambda: follow(
            aws,
            stack.id,
            token=token,
            after=after,
            show=way.show,
            limit=limit,
            interval=way.interval,
            say=way.say,
            clock=way.clock,
            wait=way.wait,
        ),
        way,
        words,
    )


def _begin(aws: Aws, stack: Stack, way: Way) -> Tuple[str, Optional[str]]:
    """DeleteStack; its token, and the id of the last event before it."""
    client = aws.client("cloudformation")
    place = place_of(aws, stack.id)
    before = _patient(way, partial(last_event, aws, stack.id))
    token = f"hvdsm-delete-{uuid.uuid4().hex}"

    def asked(doing: str, call: Callable[[], Any]) -> None:
        with translated(doing, place):
            _patient(way, call)

    if stack.protected:
        asked(
            "take termination protection off",
            lambda: client.update_termination_protection(EnableTerminationProtection=False, StackName=stack.id),
        )
        way.say(f"{stack.name}: termination protection is off now")
    try:
        asked("delete the stack", lambda: client.delete_stack(StackName=stack.id, ClientRequestToken=token))
    except HvdsmError as error:
        if stack.protected:
            _protect_again(aws, stack, way, error)
        if isinstance(error, AwsRefused) and "TerminationProtection is enabled" in error.what:
            check_protection(aws, Stack(stack.id, stack.name, stack.status, protected=True), False)
        raise
    return token, before


def _protect_again(aws: Aws, stack: Stack, way: Way, error: HvdsmError) -> None:
    """The deletion has not begun: the stack is to be as protected as it was."""
    if is_passing(error):
        way.say(f"{stack.name}: whether the deletion has begun is not known, and termination protection is off: hvdsm vpc status")
        return
    try:
        with translated("put termination protection back", place_of(aws, stack.id)):
            aws.client("cloudformation").update_termination_protection(EnableTerminationProtection=True, StackName=stack.id)
        way.say(f"{stack.name}: the deletion was refused; termination protection is on again")
    except HvdsmError as second:
        way.say(f"{stack.name}: termination protection is off, and cannot be put back: {second.what}")


def _failed(aws: Aws, now: Survey, ended: Followed) -> DeletionFailed:
    """Why a deletion has failed, and what is left."""
    lines: List[str] = [f"could not be deleted: {ended.stack.status}"]
    lines += [f"  {line}" for line in cause_lines(ended.events)]
    lines += [f"  in the way: {entry}" for entry in now.obstacles]
    if now.resources:
        lines.append(f"  still there: {', '.join(f'{entry.logical_id} ({entry.physical_id})' for entry in now.resources)}")
    again = f"hvdsm vpc delete {name_of(ended.stack.id)}"
    remedy = f"take away what is in the way, then {again}" if now.obstacles else f"{again}, once the cause has gone"
    error = DeletionFailed("\n".join(lines), where=place_of(aws, ended.stack.id), remedy=remedy)
    error.ended = ended
    return error


def seen(aws: Aws, stack: Stack, way: Way) -> Survey:
    """What a deletion would meet; one that is under way is not looked into."""
    if stack.status == "DELETE_IN_PROGRESS":
        return Survey(stack, tuple(entry for entry in resources_of(aws, stack, say=way.say) if entry.status != "DELETE_COMPLETE"))
    return survey(aws, stack, say=way.say)
