"""Bringing a stack into a state from which it can be created or updated, or saying why that cannot be.

Source: AWS CloudFormation User Guide, stack status codes: which states take an update, and which only a deletion.
"""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence

from hvdsm.aws.cloudformation import Stack, StackEvent, events, find, last_event, link, place_of, resources
from hvdsm.aws.failures import code_of, message_of
from hvdsm.aws.session import Aws
from hvdsm.errors import CloudRefused
from hvdsm.vpc.stacks.asking import asked
from hvdsm.vpc.stacks.causes import failures, line, remedy, root_cause
from hvdsm.vpc.stacks.following import follow, last_operation

Show = Callable[[Sequence[StackEvent]], None]
Say = Callable[[str], None]
# A stack that never was whole: it takes no update, only a deletion.
_NEVER_WHOLE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
_MOST_NAMED = 8


class StackFailed(CloudRefused):
    """An operation of a stack failed, or one that failed keeps it from being used; the exit code is 78.

    Attributes:
        stack: the stack as it is now.
        cause: the event that the failure began with, as far as it is known.
        events: the events of the operation.
    """

    stack: Optional[Stack] = None
    cause: Optional[StackEvent] = None
    events: Sequence[StackEvent] = ()


def failed(aws: Aws, stack: Stack, found: Sequence[StackEvent], say: Say) -> StackFailed:
    """The error for a stack whose operation failed: the root cause first, then what is left, and what to do.

    Args:
        aws: session.
        stack: the stack as it is now.
        found: the events of the operation.
        say: is told of waits.
    """
    cause = root_cause(found)
    parts = [line(cause) if cause is not None else f"it is {stack.status}{f': {stack.reason}' if stack.reason else ''}"]
    others = [event for event in failures(found) if cause is not None and event.logical_id != cause.logical_id]
    parts += [f"  also failed: {line(event)}" for event in others[:_MOST_NAMED]]
    parts.append(f"  now: {stack.status}; {_left(aws, stack, say)}")
    known = None if cause is None else remedy(cause.reason)
    steps = [known or f"{link(aws, stack.id)} shows all events", _next(stack)]
    error = StackFailed("\n".join(parts), where=place_of(aws, stack.name), remedy="; ".join(step for step in steps if step))
    error.stack, error.cause, error.events = stack, cause, tuple(found)
    return error


def _left(aws: Aws, stack: Stack, say: Say) -> str:
    """What there is of it."""
    if stack.status == "ROLLBACK_COMPLETE":
        return "all that it had made has been deleted again, its record is left"
    if stack.status == "DELETE_COMPLETE":
        return "it has been deleted"
    if stack.status == "UPDATE_ROLLBACK_COMPLETE":
        return "it is as it was before the update"
    if stack.status not in (*_NEVER_WHOLE, "DELETE_FAILED"):
        return "it is neither as before nor as wanted"
    try:
        there = asked(lambda: resources(aws, stack.id), "list the stack's resources", place_of(aws, stack.id), say)
    except CloudRefused as error:
        return f"what is left could not be read: {error.what}"
    named = [f"{one.logical_id} ({one.physical_id or one.kind})" for one in there if one.status != "DELETE_COMPLETE"]
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return f"left: {', '.join(named[:_MOST_NAMED])}{more}" if named else "nothing is left but its record"


def _next(stack: Stack) -> str:
    """The command that goes on from a state."""
    if stack.status in _NEVER_WHOLE:
        return (
            f"then hvdsm vpc deploy {stack.name} --recreate, with the options of before; or hvdsm vpc delete {stack.name} "
            "removes what is left"
        )
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        return f"then aws cloudformation continue-update-rollback --stack-name {stack.name}, and run it again"
    if stack.status == "DELETE_FAILED":
        return f"then hvdsm vpc delete {stack.name}"
    if stack.status == "DELETE_COMPLETE":
        return f"somebody has deleted it: hvdsm vpc deploy {stack.name} makes it again"
    return "then run it again"


def settle(
    aws: Aws,
    name: str,
    *,
    recreate: bool,
    left: Callable[[], float],
    show: Show,
    say: Say,
    interval: float = 2.0,
) -> Optional[Stack]:
    """The stack, once it can be updated; None where there is none, so that it can be created.

    What is under way is waited for.

    Args:
        aws: session.
        name: of the stack.
        recreate: whether one that never was whole, or is an empty one, is deleted.
        left: gives the seconds that are left.
        show: is called with events.
        say: is told what is waited for.
        interval: seconds between two looks.

    Raises:
        StackFailed: it is in a state that only a person can lead it out of.
        JobTimeout: what is under way has not ended in time.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses a request.
    """
    while True:
        stack: Optional[Stack] = asked(lambda: find(aws, name), "read the stack", place_of(aws, name), say)
        if stack is None or stack.status == "DELETE_COMPLETE":
            return None
        if stack.busy:
            say(f"stack {name} is {stack.status}: an operation that began elsewhere; waiting for it to end")
            await_end(aws, stack, left=left, show=show, say=say, interval=interval)
            continue
        if stack.empty and not recreate:
            return stack
        if stack.status in _NEVER_WHOLE or stack.empty:
            if not recreate:
                raise failed(aws, stack, _last_operation(aws, stack, say), say)
            delete(aws, stack, left=left, show=show, say=say, interval=interval)
            return None
        if stack.status in ("UPDATE_ROLLBACK_FAILED", "DELETE_FAILED", "IMPORT_ROLLBACK_FAILED"):
            raise failed(aws, stack, _last_operation(aws, stack, say), say)
        return stack


def await_end(aws: Aws, stack: Stack, *, left: Callable[[], float], show: Show, say: Say, interval: float) -> None:
    """Wait until what is under way in a stack has ended, whatever comes of it.

    Raises:
        JobTimeout: it has not ended in time.
        CloudUnavailable: AWS cannot be used.
    """
    try:
        follow(aws, stack.id, show=show, limit=left(), interval=interval, say=say)
    except KeyboardInterrupt:
        say(f"stack {stack.name}: nothing has been changed by this command")
        raise


def _last_operation(aws: Aws, stack: Stack, say: Say) -> List[StackEvent]:
    found = asked(lambda: events(aws, stack.id), "read the stack's events", place_of(aws, stack.id), say)
    return last_operation(found)


def delete(aws: Aws, stack: Stack, *, left: Callable[[], float], show: Show, say: Say, interval: float) -> None:
    """Delete a stack that never was whole, protection or not, and wait for it.

    Raises:
        StackFailed: something of it cannot be deleted.
        JobTimeout: it has not gone in time.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    where = place_of(aws, stack.name)
    client = aws.client("cloudformation")
    say(f"stack {stack.name} is {stack.status}: it is deleted, to be made again")
    if stack.protected:
        asked(
            lambda: client.update_termination_protection(StackName=stack.id, EnableTerminationProtection=False),
            "take the termination protection off",
            where,
            say,
        )
    after = asked(lambda: last_event(aws, stack.id), "read the stack's events", where, say)
    asked(lambda: client.delete_stack(StackName=stack.id), "delete the stack", where, say)
    try:
        followed = follow(aws, stack.id, after=after, show=show, limit=left(), interval=interval, say=say)
    except KeyboardInterrupt:
        say(f"stack {stack.name}: its deletion goes on; hvdsm vpc status {stack.name} shows it")
        raise
    if followed.stack.status != "DELETE_COMPLETE":
        raise failed(aws, followed.stack, followed.events, say)


def is_changed_meanwhile(error: BaseException) -> bool:
    """Whether a request was refused since another operation of the stack has begun."""
    text = message_of(error)
    refused = code_of(error) in ("ValidationError", "OperationInProgressException", "AlreadyExistsException")
    return refused and ("_IN_PROGRESS state" in text or "is in progress" in text)
