"""Following an operation of a stack to its end.

Source: AWS CloudFormation API Reference, DescribeStackEvents; User Guide, stack status codes.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, List, Optional, Sequence, Set, Tuple, TypeVar

from hvdsm.aws.cloudformation import REVIEW, Stack, StackEvent, events, find, link, name_of, place_of
from hvdsm.aws.failures import AwsRefused, is_passing, is_throttling, patiently
from hvdsm.aws.session import Aws
from hvdsm.errors import HvdsmError, JobTimeout
from hvdsm.vpc.stacks.causes import root_cause

T = TypeVar("T")

# Seconds between two looks when nothing happens, or AWS asks for fewer requests, at most.
LONGEST_PAUSE = 10.0
_SLOWER = 1.5
# Seconds that a lost network, throttling or a fault of AWS is waited for.
PATIENCE = 600.0
# Looks at a stack that says it is through while its events do not say so yet: the service's answers may lag behind.
_LOOKS = 4
# How an operation begins.
_BEGINNINGS = frozenset(
    ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS", "REVIEW_IN_PROGRESS")
)
_GOOD = frozenset(("CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE", "IMPORT_COMPLETE"))


@dataclass(frozen=True)
class Followed:
    """How an operation ended.

    Attributes:
        stack: the stack as it is now.
        events: the events of the operation, the oldest first.
        cause: why it failed; None where it did not.
    """

    stack: Stack
    events: Tuple[StackEvent, ...] = ()
    cause: Optional[StackEvent] = None

    @property
    def ok(self) -> bool:
        """Whether what was asked for has been done; a roll-back is none of it."""
        return self.stack.status in _GOOD

    @property
    def seconds(self) -> float:
        """Seconds from the first event to the last one."""
        return (self.events[-1].time - self.events[0].time).total_seconds() if self.events else 0.0


def under_way(status: str) -> bool:
    """Whether a stack of that status is busy."""
    return status.endswith("_IN_PROGRESS") and status != REVIEW


def last_operation(found: Sequence[StackEvent]) -> List[StackEvent]:
    """The events of the last operation among all events, the oldest first; its roll-back belongs to it."""
    beginnings = [number for number, event in enumerate(found) if event.of_stack and event.status in _BEGINNINGS]
    return list(found[beginnings[-1] :]) if beginnings else list(found)


def of_operation(found: Sequence[StackEvent], token: Optional[str], *, others: bool = False) -> List[StackEvent]:
    """The events from the first one of an operation on: a cancellation or a roll-back may have a token of its own.

    Args:
        found: events, the oldest first.
        token: ClientRequestToken of the operation; without one, all are taken.
        others: whether all are taken where none has the token.
    """
    first = next((number for number, event in enumerate(found) if token and event.token == token), None)
    if first is None:
        return list(found) if others or not token else []
    return list(found[first:])


def follow(
    aws: Aws,
    stack_id: str,
    *,
    token: Optional[str] = None,
    after: Optional[str] = None,
    show: Callable[[Sequence[StackEvent]], None],
    limit: float,
    interval: float = 2.0,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    wait: Optional[Callable[[float], Any]] = None,
) -> Followed:
    """Look at a stack until its operation has ended; each event is shown once.

    Throttling, faults of AWS and a lost network are waited for.

    Args:
        aws: session.
        stack_id: the stack's id: a name finds nothing when it has been deleted, or another stack.
        token: the operation's ClientRequestToken, by which its events are known.
        after: id of the last event before the operation.  Without both, the last operation is followed.
        show: is called with new events.
        limit: seconds.
        interval: seconds between two looks while things happen; up to 10 when nothing does.
        say: is told of waits.
        clock: gives seconds.
        wait: waits so many seconds.

    Raises:
        JobTimeout: the operation has not ended in time; it goes on.
        CloudUnavailable: AWS cannot be reached for a long time; the operation goes on.
        CloudRefused: AWS refuses to show the stack, or there is none of this id.
    """
    pause_for = wait or threading.Event().wait
    deadline = clock() + limit
    seen: List[StackEvent] = []
    ids: Set[str] = set()
    known = after
    pause, settled = interval, 0
    slowed = [False]

    def asked(call: Callable[[], T]) -> T:
        def passing(error: BaseException) -> bool:
            slowed[0] = slowed[0] or is_throttling(error)
            return is_passing(error)

        left = max(0.0, deadline - clock())
        try:
            return patiently(call, say=say, limit=min(PATIENCE, left), clock=clock, wait=wait, passing=passing)
        except HvdsmError as error:
            if is_passing(error) and clock() >= deadline:
                raise _late(aws, stack_id, f"cannot be asked for: {error.what}", limit) from error
            say(f"{place_of(aws, stack_id)}: what is under way there goes on without this command")
            raise

    while True:
        # The state first: what has happened until then is among the events that are read after it.
        stack = asked(partial(find, aws, stack_id))
        if stack is None:
            raise _gone(aws, stack_id)
        newer = asked(partial(events, aws, stack_id, after=known))
        fresh = [event for event in newer if event.id not in ids]
        if not seen:
            fresh = of_operation(fresh, token, others=after is not None) if token or after else last_operation(fresh)
        if newer:
            known = newer[-1].id
        if fresh:
            seen += fresh
            ids.update(event.id for event in fresh)
            show(fresh)
        busy = under_way(stack.status)
        if not busy:
            settled += 1
            ended = any(event.of_stack and event.status == stack.status for event in seen)
            if ended or settled > _LOOKS or not (token or after):
                return Followed(stack, tuple(seen), None if stack.status in _GOOD else root_cause(seen))
        elif clock() >= deadline:
            raise _late(aws, stack_id, f"is still {stack.status}", limit)
        if slowed[0]:
            pause = LONGEST_PAUSE
        else:
            pause = interval if fresh or not busy else min(LONGEST_PAUSE, pause * _SLOWER)
        slowed[0] = False
        pause_for(max(0.0, min(pause, deadline - clock())) if busy else pause)


def _gone(aws: Aws, stack_id: str) -> AwsRefused:
    return AwsRefused(
        "there is no such stack any more: somebody has deleted it",
        where=place_of(aws, stack_id),
        remedy=f"hvdsm vpc status {name_of(stack_id)}, to see whether there is another one of this name",
    )


def _late(aws: Aws, stack_id: str, what: str, limit: float) -> JobTimeout:
    name = name_of(stack_id)
    return JobTimeout(
        f"{what} after {limit:.0f} s; what is under way there goes on without this command",
        where=place_of(aws, stack_id),
        remedy=f"hvdsm vpc status {name}, or {link(aws, stack_id)}; --timeout gives it longer",
    )
