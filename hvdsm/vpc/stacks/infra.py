"""A network for notebooks and scripts, by one call: subnets and security groups as an Estimator takes them."""

from __future__ import annotations

import sys
import time
from typing import Callable, List, Mapping, Optional, Tuple

from hvdsm.aws.cloudformation import Stack, find, place_of
from hvdsm.aws.session import Aws, connect
from hvdsm.aws.stacks import all_subnets
from hvdsm.errors import ConfigError
from hvdsm.vpc.stacks.asking import asked
from hvdsm.vpc.stacks.deploying import carry_out, plan
from hvdsm.vpc.stacks.plans import TIMEOUT, Order
from hvdsm.vpc.stacks.settling import Say, Show, settle
from hvdsm.vpc.stacks.stack_parameters import Wish


def create_vpn_infra(
    stack_name: str = "hvdvpcstack",
    *,
    zones: int = 2,
    template: Optional[str] = None,
    parameters: Optional[Mapping[str, str]] = None,
    recreate: bool = False,
    timeout: float = TIMEOUT,
    region: Optional[str] = None,
    profile: Optional[str] = None,
    say: Callable[[str], None] = print,
    aws: Optional[Aws] = None,
    interval: float = 2.0,
    clock: Callable[[], float] = time.monotonic,
) -> Tuple[List[str], List[str]]:
    """Make the stack of a network, wait until it is there, and give what a job needs of it.

    A stack that is there already is used as it is, which is said; what is under way is waited for.  A job that shall have low
    latency, or EFA, takes one of the subnets: ``subnets[:1]``.

    Args:
        stack_name: of the stack.
        zones: Availability Zones, with a subnet each, of a stack that is made.
        template: text of a template; the one that comes with hvdsm by default.
        parameters: of the template, by their names.
        recreate: whether a stack that failed when it was made is deleted, and made again.
        timeout: seconds that it may take in all.
        region: AWS region; the environment's or the profile's by default.
        profile: profile of the AWS configuration.
        say: is told what happens.
        aws: session, in place of region and profile.
        interval: seconds between two looks.
        clock: gives seconds.

    Returns:
        Subnets in their order, and security groups.

    Raises:
        ConfigError: a parameter is wrong, or the stack has no such outputs.
        StackFailed: the stack failed, or has failed before; the event that it began with is told.
        JobTimeout: it is not there in time; it goes on.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses a request.
    """
    from hvdsm.vpc.stacks.watching import Watching

    session = aws or connect(region, profile)
    deadline = clock() + timeout

    def left() -> float:
        return max(0.0, deadline - clock())

    first: Optional[Stack] = asked(lambda: find(session, stack_name), "read the stack", place_of(session, stack_name), say)
    with Watching(stack_name, sys.stderr, say) as show:
        found = first
        if first is not None and not first.usable:
            found = settle(session, stack_name, recreate=recreate, left=left, show=show, say=say, interval=interval)
        if found is not None and not found.empty:
            say(f"stack {stack_name} is there already ({found.status}): it is used as it is")
        else:
            # Of a wish that is None the template's own default holds, as for a template without zones.
            wish = Wish(zones=zones if template is None else None, parameters=dict(parameters or {}))
            order = Order(stack_name, template, wish, recreate=recreate, timeout=left(), interval=interval)
            found = _made(session, order, show, say)
            say(f"stack {stack_name} is {found.status}")
    return subnets_of(found.outputs, stack_name), groups_of(found.outputs, stack_name)


def _made(aws: Aws, order: Order, show: Show, say: Say) -> Stack:
    made = plan(aws, order, show=show, say=say)
    for note in made.notes:
        say(note)
    return carry_out(aws, made, show=show, say=say).stack


def subnets_of(outputs: Mapping[str, str], stack: str) -> List[str]:
    """The subnets among a stack's outputs, in their order.

    Raises:
        ConfigError: there are none.
    """
    found = all_subnets(outputs, stack)
    if not found:
        raise _without("Subnet1Id", outputs, stack)
    return found


def groups_of(outputs: Mapping[str, str], stack: str) -> List[str]:
    """The security group among a stack's outputs.

    Raises:
        ConfigError: there is none.
    """
    if "SecurityGroupId" not in outputs:
        raise _without("SecurityGroupId", outputs, stack)
    return [outputs["SecurityGroupId"]]


def _without(name: str, outputs: Mapping[str, str], stack: str) -> ConfigError:
    has = ", ".join(sorted(outputs)) or "none"
    return ConfigError(
        f"has no output {name}; its outputs: {has}",
        where=f"stack {stack}",
        remedy="name another stack, or give its template outputs",
    )
