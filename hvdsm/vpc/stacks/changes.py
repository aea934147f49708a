"""Change sets: what an operation would do to a stack, before it is done.

Source: AWS CloudFormation API Reference, CreateChangeSet, DescribeChangeSet and ExecuteChangeSet; User Guide, change sets.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple
from uuid import uuid4

from hvdsm.aws.cloudformation import REVIEW, find, place_of
from hvdsm.aws.failures import AwsRefused, code_of, message_of
from hvdsm.aws.session import Aws
from hvdsm.errors import JobTimeout
from hvdsm.vpc.stacks.asking import PATIENCE, asked
from hvdsm.vpc.stacks.change import UPDATE, Change, ChangeSet, change_of

# Seconds between two looks at a change set that is being made: first and at most.
_FIRST, _LONGEST = 0.2, 2.0
_NOTHING = re.compile(r"didn't contain changes|No updates are to be performed|no changes", re.IGNORECASE)


def create(
    aws: Aws,
    stack: str,
    kind: str,
    *,
    template: str,
    parameters: Sequence[Mapping[str, Any]],
    capabilities: Sequence[str] = (),
    tags: Optional[Mapping[str, str]] = None,
    made_stack: bool = False,
    say: Callable[[str], None],
    limit: float,
    clock: Callable[[], float] = time.monotonic,
    wait: Optional[Callable[[float], Any]] = None,
) -> ChangeSet:
    """Make a change set and wait until it is known what it does; one that does nothing is deleted again.

    Args:
        aws: session.
        stack: name of the stack that it makes, or id of the one that it changes.
        kind: ``CREATE`` or ``UPDATE``.
        template: text of the template.
        parameters: as the request has them.
        capabilities: what the template may do, such as ``CAPABILITY_IAM``.
        tags: of the stack and of all that it has; None leaves them as they are.
        made_stack: whether the stack is made for it.
        say: is told of waits.
        limit: seconds that it may take.
        clock: gives seconds.
        wait: waits so many seconds.

    Raises:
        JobTimeout: it was not ready in time.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it: the template, a parameter, a permission.
    """
    where = place_of(aws, stack)
    client = aws.client("cloudformation")
    name = f"hvdsm-{uuid4().hex}"
    request: Dict[str, Any] = {
        "StackName": stack,
        "ChangeSetName": name,
        "ChangeSetType": kind,
        "TemplateBody": template,
        "Parameters": list(parameters),
        "Capabilities": list(capabilities),
        "Description": "made by hvdsm vpc",
    }
    if tags is not None:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    deadline = clock() + limit

    def make() -> Any:
        try:
            return client.create_change_set(**request)
        except Exception as error:
            if code_of(error) == "AlreadyExistsException" and name in message_of(error):
                # The answer to the same request was lost on its way.
                return client.describe_change_set(ChangeSetName=name, StackName=stack)
            raise

    try:
        made = asked(make, "make a change set", where, say, min(PATIENCE, limit))
    except AwsRefused as error:
        if kind == UPDATE and _NOTHING.search(error.what):
            # As other services that speak this protocol say it.
            return ChangeSet("", stack, kind)
        raise
    found = ChangeSet(str(made.get("Id") or made.get("ChangeSetId")), str(made.get("StackId") or stack), kind, (), made_stack)
    try:
        status, reason, changes = _when_ready(aws, found, where, say, deadline, clock, wait or threading.Event().wait)
        if status == "FAILED" and not _NOTHING.search(reason):
            raise _refused(reason, where)
    except BaseException:
        discard_quietly(aws, found, say)
        raise
    if status == "FAILED":
        discard(aws, found, say)
    return ChangeSet(found.id, found.stack_id, kind, tuple(changes), made_stack)


def _refused(reason: str, where: str) -> AwsRefused:
    from hvdsm.vpc.stacks.causes import readable, remedy

    told = readable(reason) or "AWS gives no reason"
    return AwsRefused(f"the change set failed: {told}", where=where, remedy=remedy(reason) or "correct what it names")


def _when_ready(
    aws: Aws,
    found: ChangeSet,
    where: str,
    say: Callable[[str], None],
    deadline: float,
    clock: Callable[[], float],
    wait: Callable[[float], Any],
) -> Tuple[str, str, List[Change]]:
    """Status, its reason, and the changes."""
    client = aws.client("cloudformation")
    pause, told = _FIRST, clock() + 2.0
    while True:
        page = asked(lambda: client.describe_change_set(ChangeSetName=found.id), "read the change set", where, say)
        status = str(page.get("Status") or "")
        if status in ("CREATE_COMPLETE", "FAILED"):
            break
        left = deadline - clock()
        if left <= 0:
            raise JobTimeout(
                f"the change set is still {status}; nothing was changed",
                where=where,
                remedy="run it again with a longer --timeout",
            )
        if clock() >= told:
            say("AWS works out what would change")
            told = float("inf")
        wait(min(pause, left))
        pause = min(_LONGEST, pause * 1.5)
    changes: List[Change] = []
    while True:
        changes += [change_of(entry["ResourceChange"]) for entry in page.get("Changes") or () if entry.get("ResourceChange")]
        token = page.get("NextToken")
        if not token:
            return status, str(page.get("StatusReason") or ""), changes

        def more(token: str = token) -> Any:
            return client.describe_change_set(ChangeSetName=found.id, NextToken=token)

        page = asked(more, "read the change set", where, say)


def execute(aws: Aws, found: ChangeSet, token: str, say: Callable[[str], None]) -> None:
    """Begin to do what a change set says.

    Args:
        aws: session.
        found: the change set.
        token: by which the events of the operation are known.
        say: is told of waits.

    Raises:
        CloudUnavailable: AWS cannot be used; it is not known whether it began.
        CloudRefused: AWS refuses it, as where another operation of the stack came first.
    """
    client = aws.client("cloudformation")
    where = place_of(aws, found.stack_id)
    again = False

    def begin() -> None:
        nonlocal again
        try:
            client.execute_change_set(ChangeSetName=found.id, ClientRequestToken=token)
        except Exception as error:
            if again and _has_begun(client, found, token, error):
                return
            again = True
            raise

    try:
        asked(begin, "execute the change set", where, say)
    except AwsRefused as error:
        if error.code in ("InvalidChangeSetStatus", "ChangeSetNotFound", "ChangeSetNotFoundException"):
            raise AwsRefused(
                f"the stack has been changed by someone else in the meantime ({error.what})", where=where, remedy="run it again"
            ) from error
        raise


def _has_begun(client: Any, found: ChangeSet, token: str, error: BaseException) -> bool:
    """Whether it is refused the second time because the answer of the first was lost on its way."""
    if code_of(error) not in ("InvalidChangeSetStatus", "ChangeSetNotFound", "ChangeSetNotFoundException", "ValidationError"):
        return False
    events = client.describe_stack_events(StackName=found.stack_id).get("StackEvents") or ()
    return any(event.get("ClientRequestToken") == token for event in events)


def discard(aws: Aws, found: ChangeSet, say: Callable[[str], None]) -> None:
    """Delete a change set, and the stack that was made for it, if that is still nothing else.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    client = aws.client("cloudformation")
    where = place_of(aws, found.stack_id)

    def away() -> bool:
        try:
            client.delete_change_set(ChangeSetName=found.id)
        except Exception as error:
            if code_of(error) == "InvalidChangeSetStatus":
                # One that is still being made cannot be deleted by itself.
                return False
            if code_of(error) not in ("ChangeSetNotFound", "ChangeSetNotFoundException"):
                raise
        return True

    gone = asked(away, "delete the change set", where, say)
    if found.made_stack:
        gone = delete_empty(aws, found.stack_id, say, own=found.id) or gone
    if not gone:
        say(f"the change set {found.id} is left, since it is still being made; it does nothing by itself")


def delete_empty(aws: Aws, stack_id: str, say: Callable[[str], None], own: str = "") -> bool:
    """Delete a stack that is nothing but a place for change sets, unless it has another one.

    Args:
        aws: session.
        stack_id: the stack.
        say: is told of waits.
        own: id of a change set that may go with it.

    Returns:
        Whether it was deleted.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    client = aws.client("cloudformation")
    where = place_of(aws, stack_id)
    stack = asked(lambda: find(aws, stack_id), "read the stack", where, say)
    if stack is None or stack.status != REVIEW:
        return False
    others = asked(lambda: client.list_change_sets(StackName=stack_id), "list the change sets", where, say).get("Summaries")
    left = [entry for entry in others or () if not str(entry.get("Status") or "").startswith("DELETE")]
    if any(entry.get("ChangeSetId") != own for entry in left):
        return False
    asked(lambda: client.delete_stack(StackName=stack_id), "delete the stack", where, say)
    return True


def discard_quietly(aws: Aws, found: ChangeSet, say: Callable[[str], None]) -> None:
    """Delete a change set, and say so where that cannot be done."""
    try:
        discard(aws, found, say)
    except Exception as error:
        say(f"warning: the change set {found.id} is left: {error}")
