"""Steps with dependencies that take time and go on side by side: how CloudFormation works through a stack's resources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, Generator, List, Optional, Sequence, Set

from hvdsm.sandbox.stacks.world import Refused

# What a step says of itself when it has nothing to do.
NOTHING = None


@dataclass
class Step:
    """What is done with one resource.

    Attributes:
        key: names it among the steps.
        name: logical ID.
        begin: begins at a time; gives the seconds that it takes, or None when there is nothing to do.
        end: ends at a time.
        fail: notes a failure, with the reason.
        needs: keys of steps that must have ended well before.
    """

    key: str
    name: str
    begin: Callable[[float], Optional[float]]
    end: Callable[[float], None]
    fail: Callable[[float, str], None]
    needs: Set[str] = field(default_factory=set)


@dataclass
class Outcome:
    """How steps have ended: when, and the names of those that failed."""

    time: float
    failed: List[str] = field(default_factory=list)
    cancelled: bool = False


def work(
    steps: Sequence[Step], time: float, *, stops: str = "", cancelled: Callable[[], Optional[float]] = lambda: None
) -> Generator[float, None, Outcome]:
    """Do steps in the order of their needs; yields the time at which it wants to be resumed.

    Args:
        steps: what is to be done.
        time: when it begins.
        stops: what those that are under way are told when one fails; empty, and the others go on.
        cancelled: when the whole was, or will be, called off; None if it is not.
    """
    waiting: Dict[str, Step] = {step.key: step for step in steps}
    running: Dict[str, float] = {}
    by_key = dict(waiting)
    done: Set[str] = set()
    outcome = Outcome(time)

    def failed(step: Step, reason: str) -> None:
        step.fail(outcome.time, reason)
        outcome.failed.append(step.name)

    def is_stopped() -> bool:
        return outcome.cancelled or bool(stops and outcome.failed)

    while True:
        again = True
        while again and not is_stopped():
            again = False
            for step in list(waiting.values()):
                if not (step.needs & set(by_key)) <= done or is_stopped():
                    continue
                del waiting[step.key]
                again = True
                try:
                    seconds = step.begin(outcome.time)
                except Refused as error:
                    failed(step, str(error))
                    continue
                if seconds is NOTHING:
                    done.add(step.key)
                else:
                    running[step.key] = outcome.time + seconds
        if is_stopped():
            for key in running:
                # It counts as failed, too, as in the service's own text.
                by_key[key].fail(outcome.time, stops)
                outcome.failed.append(by_key[key].name)
            return outcome
        if not running:
            return outcome
        key = min(running, key=lambda it: running[it])
        when = cancelled()
        yield running[key] if when is None else min(when, running[key])
        when = cancelled()
        if when is not None and when < running[key]:
            outcome.time, outcome.cancelled = max(outcome.time, when), True
            continue
        outcome.time = running.pop(key)
        try:
            by_key[key].end(outcome.time)
            done.add(key)
        except Refused as error:
            failed(by_key[key], str(error))
