"""Creating, updating and deleting a stack, with all that can become of it: generators that yield when they go on.

Source: AWS CloudFormation User Guide, "Understand CloudFormation stack creation events" and "Stack status codes".
"""

from __future__ import annotations

from typing import Callable, Dict, Generator, List, Mapping, Optional, Sequence, Set, Tuple

from hvdsm.sandbox.stacks.building import constructions, restorations, was_replaced
from hvdsm.sandbox.stacks.deleting import deletions
from hvdsm.sandbox.stacks.kinds import resolved
from hvdsm.sandbox.stacks.records import DELETED, Made, Stack
from hvdsm.sandbox.stacks.scripts import Entry
from hvdsm.sandbox.stacks.waves import Outcome, work
from hvdsm.sandbox.stacks.world import World

Life = Generator[float, None, None]
# Says why outputs cannot be exported, None if they can.
Check = Callable[[Stack, List[Dict[str, str]]], Optional[str]]


class Operations:
    """What can be done with a stack.

    Args:
        world: where resources are made.
        check: looks at exports.
    """

    def __init__(self, world: World, check: Check) -> None:
        self._world = world
        self._check = check

    def create(self, stack: Stack, script: Entry, time: float, disposition: str) -> Life:
        """Create it.

        Args:
            stack: with what it is wanted to be.
            script: what goes wrong.
            time: now.
            disposition: on a failure ``ROLLBACK``, ``DELETE`` or ``DO_NOTHING``.
        """
        stack.tell(time, "CREATE_IN_PROGRESS", "User Initiated")
        stack.cancelled = None if stack.timeout is None else time + 60.0 * stack.timeout
        outcome = yield from self._construct(stack, script, time, "Resource creation cancelled")
        stack.cancelled = None
        if outcome.cancelled:
            why: Optional[str] = "Stack creation time exceeded the specified timeout. "
        else:
            why = _failed_text(stack, outcome) if outcome.failed else self._conclude(stack)
        if why is None:
            stack.tell(outcome.time, "CREATE_COMPLETE")
        elif disposition == "DO_NOTHING":
            stack.tell(outcome.time, "CREATE_FAILED", why)
        elif disposition == "DELETE":
            stack.tell(outcome.time, "DELETE_IN_PROGRESS", f"{why}Delete requested by user.")
            yield from self._delete_all(stack, script, outcome.time, ())
        else:
            stack.tell(outcome.time, "ROLLBACK_IN_PROGRESS", f"{why}Rollback requested by user.")
            ended = yield from self._remove(stack, script, outcome.time, list(stack.resources.values()), rollback=True)
            if ended.failed:
                stack.tell(ended.time, "ROLLBACK_FAILED", _listed("delete", ended.failed))
            else:
                stack.tell(ended.time, "ROLLBACK_COMPLETE")

    def update(self, stack: Stack, script: Entry, time: float, rolls_back: bool = True) -> Life:
        """Make it another version of itself; on a failure, the version before."""
        stack.updated = time
        stack.undo, stack.fresh, stack.cancelled = {}, [], None
        stack.tell(time, "UPDATE_IN_PROGRESS", "User Initiated")
        outcome = yield from self._construct(stack, script, time, "Resource update cancelled")
        why = _failed_text(stack, outcome) if outcome.failed or outcome.cancelled else self._conclude(stack)
        if why is None:
            yield from self._finish(stack, script, outcome.time)
        elif rolls_back or outcome.cancelled:
            yield from self.roll_back(stack, script, outcome.time, why)
        else:
            stack.tell(outcome.time, "UPDATE_FAILED", why)

    def _finish(self, stack: Stack, script: Entry, time: float) -> Life:
        assert stack.wanted is not None
        for name, old in stack.undo.items():
            if was_replaced(stack, old) and name in stack.resources:
                stack.leftover.append(old)
        for name in [name for name in stack.resources if name not in stack.wanted.entries]:
            stack.leftover.append(stack.resources.pop(name))
        stack.undo, stack.fresh, stack.before = {}, [], None
        stack.tell(time, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        ended = yield from self._remove(stack, script, time, list(stack.leftover))
        text = "Update successful. One or more resources could not be deleted." if ended.failed else None
        stack.tell(ended.time, "UPDATE_COMPLETE", text)

    def roll_back(self, stack: Stack, script: Entry, time: float, why: Optional[str], skipped: Sequence[str] = ()) -> Life:
        """Go back to the version before."""
        stack.cancelled = None
        stack.tell(time, "UPDATE_ROLLBACK_IN_PROGRESS", why)
        if stack.before is not None:
            stack.wanted = stack.before
        outcome: Outcome = yield from work(restorations(self._world, stack, script, set(skipped)), time)
        if outcome.failed:
            stack.tell(outcome.time, "UPDATE_ROLLBACK_FAILED", _listed("update", outcome.failed))
            return
        for name in stack.fresh:
            if name in stack.resources:
                stack.leftover.append(stack.resources.pop(name))
        stack.undo, stack.fresh, stack.before = {}, [], None
        self._conclude(stack)
        stack.tell(outcome.time, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        ended = yield from self._remove(stack, script, outcome.time, list(stack.leftover))
        text = "One or more resources could not be deleted." if ended.failed else None
        stack.tell(ended.time, "UPDATE_ROLLBACK_COMPLETE", text)

    def delete(self, stack: Stack, script: Entry, time: float, keep: Sequence[str] = ()) -> Life:
        """Delete it; what somebody else uses stays, and the stack with it."""
        stack.tell(time, "DELETE_IN_PROGRESS", "User Initiated")
        yield from self._delete_all(stack, script, time, keep)

    def _delete_all(self, stack: Stack, script: Entry, time: float, keep: Sequence[str]) -> Life:
        items = [*stack.resources.values(), *stack.leftover, *(old for old in stack.undo.values() if was_replaced(stack, old))]
        stack.undo = {}
        ended = yield from self._remove(stack, script, time, items, keep=keep)
        if ended.failed:
            stack.tell(ended.time, "DELETE_FAILED", _listed("delete", ended.failed))
            return
        stack.outputs = []
        stack.tell(ended.time, DELETED)
        stack.deleted = ended.time

    def _construct(self, stack: Stack, script: Entry, time: float, stops: str) -> Generator[float, None, Outcome]:
        steps = constructions(self._world, stack, script)
        outcome: Outcome = yield from work(steps, time, stops=stops, cancelled=lambda: stack.cancelled)
        return outcome

    def _remove(
        self, stack: Stack, script: Entry, time: float, items: List[Made], *, rollback: bool = False, keep: Sequence[str] = ()
    ) -> Generator[float, None, Outcome]:
        def forget(made: Made) -> None:
            if stack.resources.get(made.name) is made:
                del stack.resources[made.name]
                stack.gone[made.name] = made
            stack.leftover = [item for item in stack.leftover if item is not made]

        steps = deletions(self._world, stack, items, script, forget, rollback=rollback, keep=keep)
        outcome: Outcome = yield from work(steps, time)
        return outcome

    def _conclude(self, stack: Stack) -> Optional[str]:
        """Put the outputs in; why that is impossible, None if it is not."""
        assert stack.wanted is not None
        outputs = outputs_of(stack.wanted.outputs, stack.resources)
        why = self._check(stack, outputs)
        if why is None:
            stack.outputs = outputs
        return why


def outputs_of(rendered: Mapping[str, Mapping[str, object]], resources: Mapping[str, Made]) -> List[Dict[str, str]]:
    """Outputs as DescribeStacks has them."""
    found = []
    for name, about in rendered.items():
        value = resolved(about.get("Value"), resources)
        entry = {"OutputKey": name, "OutputValue": ",".join(map(str, value)) if isinstance(value, list) else str(value)}
        if about.get("Description"):
            entry["Description"] = str(about["Description"])
        export = about.get("Export")
        if isinstance(export, Mapping):
            entry["ExportName"] = str(resolved(export["Name"], resources))
        found.append(entry)
    return found


def _failed_text(stack: Stack, outcome: Outcome) -> str:
    if outcome.cancelled:
        return "User Initiated"
    created, updated = _split(stack, outcome.failed)
    return "".join(_listed(what, names) for what, names in (("create", created), ("update", updated)) if names)


def _split(stack: Stack, names: Sequence[str]) -> Tuple[List[str], List[str]]:
    changed: Set[str] = set(stack.undo)
    return [name for name in names if name not in changed], [name for name in names if name in changed]


def _listed(what: str, names: Sequence[str]) -> str:
    return f"The following resource(s) failed to {what}: [{', '.join(sorted(names))}]. "
