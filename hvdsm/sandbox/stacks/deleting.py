"""Resources are deleted: with their stack, when they have been replaced, or when an operation is rolled back."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Set

from hvdsm.sandbox.stacks.kinds import unmake
from hvdsm.sandbox.stacks.records import DELETED, Made, Stack
from hvdsm.sandbox.stacks.scripts import Entry
from hvdsm.sandbox.stacks.waves import NOTHING, Step
from hvdsm.sandbox.stacks.world import Refused, World


def deletions(
    world: World,
    stack: Stack,
    items: Sequence[Made],
    script: Entry,
    forget: Callable[[Made], None],
    *,
    rollback: bool = False,
    keep: Sequence[str] = (),
) -> List[Step]:
    """Steps that delete resources, what needs others before these.

    Args:
        world: where they are.
        stack: whose they are.
        items: the resources.
        script: what goes wrong.
        forget: is told of each that is gone.
        rollback: whether an operation is rolled back.
        keep: logical IDs that stay although the stack goes.
    """
    keys = {id(item): f"{number}" for number, item in enumerate(items)}
    before: Dict[str, Set[str]] = {key: set() for key in keys.values()}
    for item in items:
        for other in items:
            if other is not item and other.name in item.needs:
                # The one that needs it goes first.
                before[keys[id(other)]].add(keys[id(item)])
    return [
        _Deletion(world, stack, item, script, forget, rollback, item.name in keep).step(keys[id(item)], before) for item in items
    ]


class _Deletion:
    def __init__(
        self, world: World, stack: Stack, made: Made, script: Entry, forget: Callable[[Made], None], rollback: bool, kept: bool
    ) -> None:
        self._world, self._stack, self._made, self._script = world, stack, made, script
        self._forget, self._rollback, self._kept = forget, rollback, kept

    def step(self, key: str, before: Dict[str, Set[str]]) -> Step:
        return Step(key, self._made.name, self._begin, self._end, self._fail, before[key])

    def _begin(self, time: float) -> Optional[float]:
        made = self._made
        fresh = self._rollback and made.entry.get("DeletionPolicy") == "RetainExceptOnCreate"
        if self._kept or (made.retained and not fresh and made.physical):
            self._stack.report(time, made, "DELETE_SKIPPED")
            self._forget(made)
            return NOTHING
        if not made.physical:
            self._stack.report(time, made, DELETED)
            self._forget(made)
            return NOTHING
        self._stack.report(time, made, "DELETE_IN_PROGRESS")
        return self._script.seconds(made.name)

    def _end(self, time: float) -> None:
        made = self._made
        reason = self._script.failure(made.name, "fail_rollback") if self._rollback else None
        reason = reason or self._script.failure(made.name, "fail_delete")
        if reason:
            raise Refused(reason)
        unmake(self._world, made)
        self._stack.report(time, made, DELETED)
        self._forget(made)

    def _fail(self, time: float, reason: str) -> None:
        self._stack.report(time, self._made, "DELETE_FAILED", reason)
