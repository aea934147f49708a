"""What a stack has: as the service lists it, or as its events tell where it cannot list it.

Source: AWS CloudFormation API Reference, ListStackResources and DescribeStackEvents.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

from hvdsm.aws.cloudformation import Stack, StackEvent, StackResource, events, place_of, resources
from hvdsm.aws.failures import is_passing, is_throttling
from hvdsm.aws.session import Aws
from hvdsm.errors import HvdsmError
from hvdsm.vpc.stacks.asking import asked

# Seconds that a fault of the service is waited for: its events tell the same.
_BRIEFLY = 5.0


def resources_or_events(
    aws: Aws, stack: Stack, say: Callable[[str], None], *, wait: Optional[Callable[[float], Any]] = None
) -> List[StackResource]:
    """The resources of a stack.

    Args:
        aws: session.
        stack: the stack.
        say: is told of waits, and where the list is made of events.
        wait: waits so many seconds.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses the request.
    """
    where = place_of(aws, stack.id)
    doing = "list the stack's resources"
    try:
        listed: List[StackResource] = asked(lambda: resources(aws, stack.id), doing, where, say, faults=_BRIEFLY, wait=wait)
        return listed
    except HvdsmError as error:
        if not is_passing(error) or is_throttling(error):
            raise
        told: List[StackEvent] = asked(lambda: events(aws, stack.id), "read the stack's events", where, say)
        say(f"warning: {where}: {error.what}; its events are taken instead")
        return resources_of_events(told)


def resources_of_events(found: Sequence[StackEvent]) -> List[StackResource]:
    """The resources that events tell of, the oldest event first: a replaced one is there as it is now.

    Args:
        found: events.
    """
    known: Dict[str, Dict[str, StackResource]] = {}
    for event in found:
        if event.of_stack:
            continue
        made = known.setdefault(event.logical_id, {})
        # Its first event comes before it has a name in AWS.
        made.pop("", None)
        made[event.physical_id] = StackResource(
            event.logical_id, event.physical_id, event.kind, event.status, event.reason, event.time
        )
    result: List[StackResource] = []
    for made in known.values():
        there = [one for one in made.values() if one.status != "DELETE_COMPLETE"]
        result += there or list(made.values())[-1:]
    return result
