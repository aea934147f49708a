"""Making and changing a network's stack: a plan first, which is a change set with its costs, then what it says.

Source: AWS CloudFormation API Reference, CreateChangeSet, ExecuteChangeSet and UpdateTerminationProtection.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional
from uuid import uuid4

from hvdsm.aws.cloudformation import Stack, find, last_event, place_of
from hvdsm.aws.failures import AwsRefused, AwsUnavailable, is_denied
from hvdsm.aws.session import Aws
from hvdsm.errors import ConfigError, JobTimeout
from hvdsm.vpc.stacks import changes, costs
from hvdsm.vpc.stacks.asking import asked
from hvdsm.vpc.stacks.change import CREATE, UPDATE
from hvdsm.vpc.stacks.following import Followed, follow
from hvdsm.vpc.stacks.plans import Order, Plan, capabilities
from hvdsm.vpc.stacks.settling import Say, Show, failed, is_changed_meanwhile, settle
from hvdsm.vpc.stacks.stack_parameters import Chosen, Place, Wish, choose, said_kept
from hvdsm.vpc.stacks.zone_choice import zones_if_allowed
from hvdsm.vpc.templates.reading import load
from hvdsm.vpc.templates.rendering import Rendered, RuleRefused, Setting, render

# Seconds that the protection is tried for where the network or AWS has a fault: the stack is there without it.
_BRIEFLY = 5.0
# How often it is begun anew when another operation of the stack gets in between.
_TRIES = 3


@dataclass(frozen=True)
class Deployed:
    """A stack after a plan was carried out.

    Attributes:
        stack: as it is now.
        followed: the operation; None where there was none, or it is not waited for.
        ended: whether it has ended.
    """

    stack: Stack
    followed: Optional[Followed] = None
    ended: bool = True


def plan(aws: Aws, order: Order, *, show: Show, say: Say, clock: Callable[[], float] = time.monotonic) -> Plan:
    """Make a change set; :func:`discard` or :func:`carry_out` must follow.

    Args:
        aws: session.
        order: what is asked for.
        show: is called with events of operations that are waited for.
        say: is told what is waited for.
        clock: gives seconds.

    Raises:
        UsageError: the order contradicts itself.
        ConfigError: the template or a parameter is wrong.
        StackFailed: the stack is in a state that a person must lead it out of.
        JobTimeout: the time is over.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    from hvdsm.vpc.templates import template as packaged

    text = packaged.text() if order.template is None else order.template
    template = load(text)
    deadline = clock() + order.timeout

    def left() -> float:
        return max(0.0, deadline - clock())

    notes: List[str] = []
    place = _place(aws, order.wish, notes, say)
    declared: Mapping[str, Any] = template.get("Parameters") or {}
    if not isinstance(declared, Mapping) or not all(isinstance(about, Mapping) for about in declared.values()):
        raise ConfigError("has Parameters that are no table of tables", where="--template", remedy="correct the template")
    # What is wrong with the parameters is told before anything is waited for.
    first: Optional[Stack] = asked(lambda: find(aws, order.name), "read the stack", place_of(aws, order.name), say)
    choose(order.wish, declared, None if first is None or not first.usable else first.parameters, place)
    for tried in range(1, _TRIES + 1):
        stack = settle(aws, order.name, recreate=order.recreate, left=left, show=show, say=say, interval=order.interval)
        before = None if stack is None or stack.empty else stack
        if before is not None and order.template is None:
            _check_is_ours(aws, before, declared)
        chosen = choose(order.wish, declared, None if before is None else before.parameters, place)
        rendered = _rendered(template, chosen, place, order, notes)
        with ThreadPoolExecutor(1) as threads:
            # The price list is far away and slow: it is asked while the change set is made.
            rates = threads.submit(costs.fetch_rates, aws, costs.wanted(rendered) if rendered is not None else ())
            try:
                made = changes.create(
                    aws,
                    order.name,
                    CREATE if before is None else UPDATE,
                    template=text,
                    parameters=chosen.for_request(),
                    capabilities=capabilities(template),
                    tags={**({} if before is None else before.tags), **order.tags} if order.tags else None,
                    made_stack=stack is None,
                    say=say,
                    limit=left(),
                    clock=clock,
                )
            except AwsRefused as error:
                if not is_changed_meanwhile(error) or tried == _TRIES:
                    raise
                say(f"stack {order.name}: {error.what}; looking again")
                continue
            break
    estimate = None if rendered is None else costs.estimate(rendered, rates.result())
    kept = None if before is None else said_kept(chosen, declared)
    told = (*dict.fromkeys([*chosen.notes, *([kept] if kept else []), *notes]),)
    return Plan(order, before, made, chosen, estimate, told, deadline)


def _check_is_ours(aws: Aws, stack: Stack, declared: Mapping[str, Any]) -> None:
    """Refuse to put the network of hvdsm in the place of all that another stack has.

    Raises:
        ConfigError: the stack has none of the template's parameters.
    """
    if not declared.keys() & stack.parameters.keys():
        raise ConfigError(
            "is of another template, and all that it has would be deleted; nothing was changed",
            where=place_of(aws, stack.name),
            remedy="name another stack; or, if it is meant, the template: --template FILE",
        )


def _place(aws: Aws, wish: Wish, notes: List[str], say: Say) -> Place:
    """What parameters are checked against."""
    zones = asked(lambda: zones_if_allowed(aws, notes), "list the Availability Zones", aws.region, say)
    if wish.instance_type is None:
        return Place(aws.region, zones)
    from hvdsm.vpc.checking.facts import Network
    from hvdsm.vpc.checking.gathering import offered
    from hvdsm.vpc.checking.wanted import per_instance

    try:
        offering = asked(lambda: offered(aws, wish.instance_type or ""), "read the types of instances", aws.region, say)
    except AwsRefused as error:
        if not is_denied(error):
            raise
        notes.append(f"not checked: which zones offer {wish.instance_type}: {error.what}")
        offering = None
    return Place(aws.region, zones, offering, per_instance(Network(aws.region), wish.instance_type))


def _rendered(template: Mapping[str, Any], chosen: Chosen, place: Place, order: Order, notes: List[str]) -> Optional[Rendered]:
    """The template as it will be; None where it has something that cannot be worked out here, which is noted."""
    from hvdsm.vpc.templates.policy import findings

    zones = tuple(zone.name for zone in place.zones or ()) or tuple(f"{place.region}{letter}" for letter in "abc")
    setting = Setting(region=place.region, stack=order.name, zones=zones)
    try:
        rendered = render(template, chosen.effective, setting)
        found = findings(rendered)
        costs.estimate(rendered, costs.Rates())
    except Exception as error:
        # Only a template of one's own may have what cannot be worked out here; AWS judges it then.
        if order.template is None or isinstance(error, RuleRefused):
            raise
        told = f"{error.where}: {error.what}" if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        notes.append(f"warning: the template is not checked, and its costs are not known: {told}")
        return None
    for finding in found:
        if finding.level == "error" or order.template is not None:
            notes.append(f"warning: {finding}")
    return rendered


def discard(aws: Aws, found: Plan, say: Say) -> None:
    """Delete the change set of a plan, and the empty stack that was made for it.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    if not found.nothing:
        changes.discard(aws, found.change_set, say)


def carry_out(
    aws: Aws, found: Plan, *, show: Show, say: Say, wait: bool = True, clock: Callable[[], float] = time.monotonic
) -> Deployed:
    """Do what a plan says, and wait until it is done.

    Args:
        aws: session.
        found: the plan.
        show: is called with the operation's events.
        say: is told of waits.
        wait: False returns once it has begun.
        clock: gives seconds.

    Raises:
        StackFailed: it failed; the root cause is told first.
        JobTimeout: it has not ended in time; it goes on.
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses it.
    """
    name, stack_id = found.order.name, found.change_set.stack_id
    where = place_of(aws, name)
    if found.nothing:
        assert found.before is not None
        return Deployed(_protected(aws, found, found.before, say))
    token = f"hvdsm-{uuid4().hex}"
    begun = False
    try:
        after = asked(lambda: last_event(aws, stack_id), "read the stack's events", where, say)
        left = found.deadline - clock()
        if left <= 0:
            raise JobTimeout("the time is over; nothing was changed", where=where, remedy="run it again with a longer --timeout")
        begun = True
        changes.execute(aws, found.change_set, token, say)
    except BaseException as error:
        if not begun or isinstance(error, AwsRefused):
            changes.discard_quietly(aws, found.change_set, say)
        elif isinstance(error, KeyboardInterrupt):
            say(f"it is not known whether anything has begun: hvdsm vpc status {name} shows it")
        raise
    try:
        if not wait:
            now = asked(lambda: find(aws, stack_id), "read the stack", where, say)
            return Deployed(_protected(aws, found, now, say), None, ended=False)
        followed = follow(aws, stack_id, token=token, after=after, show=show, limit=left, interval=found.order.interval, say=say)
    except KeyboardInterrupt:
        say(_goes_on(name, found.change_set.kind))
        raise
    except JobTimeout:
        # It is likely to be made after all, and then nothing would protect it.
        now = asked(lambda: find(aws, stack_id), "read the stack", where, say, _BRIEFLY)
        if now is not None:
            _protected(aws, found, now, say)
        raise
    # Somebody may have deleted it meanwhile.
    if not followed.ok or followed.stack.status == "DELETE_COMPLETE":
        raise failed(aws, followed.stack, followed.events, say)
    return Deployed(_protected(aws, found, followed.stack, say), followed)


def _goes_on(name: str, kind: str) -> str:
    going = f"of stack {name} goes on without this command; hvdsm vpc status {name} shows it"
    if kind == CREATE:
        return (
            f"the creation {going}, hvdsm vpc delete {name} deletes it once it has ended; "
            f"hvdsm vpc deploy {name} --protect protects it against deletion"
        )
    return f"the update {going}, aws cloudformation cancel-update-stack --stack-name {name} stops it"


def _protected(aws: Aws, found: Plan, stack: Stack, say: Say) -> Stack:
    """The stack, protected against deletion or not, as it was asked for; a failure of this is a warning."""
    wanted = found.order.protect
    if wanted is None and found.before is None:
        wanted = True
    if wanted is None or stack.protected == wanted:
        return stack
    client = aws.client("cloudformation")
    where = place_of(aws, stack.name)
    try:
        asked(
            lambda: client.update_termination_protection(StackName=stack.id, EnableTerminationProtection=wanted),
            "set the termination protection",
            where,
            say,
            faults=_BRIEFLY,
        )
    except (AwsRefused, AwsUnavailable) as error:
        say(f"warning: the stack is {'not protected' if wanted else 'still protected'} against deletion: {error.what}")
        return stack
    now: Optional[Stack] = asked(lambda: find(aws, stack.id), "read the stack", where, say)
    return now or stack
