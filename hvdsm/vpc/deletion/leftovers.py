"""Waiting for network interfaces that a service leaves behind for a while, and removes by itself.

Source: Amazon SageMaker Developer Guide: the network interfaces of a job in a VPC are removed by the service some time after it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from hvdsm.aws.cloudformation import Stack, StackEvent, place_of
from hvdsm.aws.session import Aws
from hvdsm.errors import JobTimeout
from hvdsm.vpc.deletion.looking import Looking
from hvdsm.vpc.deletion.obstacles import LEFT_FOR, Interface, Survey
from hvdsm.vpc.deletion.surroundings import interfaces
from hvdsm.vpc.stacks.tree import clock_text

# Seconds that a deletion may take, what SageMaker leaves behind included.
LIMIT = 5400.0
# Seconds between two looks at interfaces that are left: at first, and at most.
_FIRST, _LONGEST = 5.0, 30.0
# Seconds between two lines that say that there is a wait.
_SAID_EVERY = 60.0


@dataclass(frozen=True)
class Way:
    """How a deletion goes on.

    Attributes:
        say: is told what goes on.
        show: is called with the stack's new events.
        limit: seconds in all.
        wait_for_end: whether to wait; else the command ends when the deletion has begun.
        unprotect: whether termination protection may be taken off.
        interval: seconds between two looks while things happen.
        clock: gives seconds.
        wait: waits so many seconds.
    """

    say: Callable[[str], None]
    show: Callable[[Sequence[StackEvent]], None]
    limit: float = LIMIT
    wait_for_end: bool = True
    unprotect: bool = False
    interval: float = 2.0
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], Any] = field(default_factory=lambda: threading.Event().wait)


def interruptible(call: Callable[[], Any], way: Way, words: str) -> Any:
    """What ``call`` returns; Ctrl-C says how things are."""
    try:
        return call()
    except KeyboardInterrupt:
        way.say(words)
        raise


def wait_for(aws: Aws, found: Survey, way: Way, deadline: float, note: str) -> None:
    """Wait until the interfaces that are left have gone.

    Args:
        aws: session.
        found: what has been found.
        way: how it goes on.
        deadline: on the clock of ``way``.
        note: what has become of the stack until then.

    Raises:
        JobTimeout: they are still there.
    """
    left: Sequence[Interface] = found.leftovers
    way.say(
        f"{_counted(left)} left in the network; the service removes them by itself, as a rule within {LEFT_FOR} after a job: "
        f"waiting up to {clock_text(deadline - way.clock())}"
    )
    for interface in left[:10]:
        way.say(f"  {interface}")
    began = said = way.clock()
    count, pause = len(left), min(_FIRST, way.interval * 2.5)
    while left:
        now = way.clock()
        if now >= deadline:
            raise left_error(aws, found.stack, left, note)
        way.wait(min(pause, deadline - now))
        pause = min(_LONGEST, pause * 1.5)
        looking = Looking(aws, way.say)
        left = [entry for entry in interfaces(looking, found.own) if entry.passing]
        if looking.unread:
            way.say(f"{looking.unread[0]}; CloudFormation itself refuses what is in use")
            return
        now = way.clock()
        if left and (len(left) != count or now - said >= _SAID_EVERY):
            said, count = now, len(left)
            way.say(f"{_counted(left)} left after {now - began:.0f} s")
    way.say(f"nothing is left of them after {way.clock() - began:.0f} s")


def _counted(left: Sequence[Interface]) -> str:
    owners = sorted({entry.owner.split(" (")[0] for entry in left})
    plural = "interfaces" if len(left) > 1 else "interface"
    return f"{len(left)} network {plural} of {' and '.join(owners)} {'are' if len(left) > 1 else 'is'}"


def left_error(aws: Aws, stack: Stack, left: Sequence[Interface], note: str) -> JobTimeout:
    """The error that interfaces are left; ``note`` says what has become of the stack."""
    shown = "\n".join(f"  - {entry}" for entry in left)
    return JobTimeout(
        f"{_counted(left)} still there; {note}\n{shown}",
        where=place_of(aws, stack.id),
        remedy=f"hvdsm vpc delete {stack.name} later: as a rule the service removes them within {LEFT_FOR} after a job",
    )
