"""Resources are created, changed in their place, or replaced; and an update is undone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Mapping, Optional, Set

from hvdsm.sandbox.stacks.kinds import change, kind_of, make, resolved
from hvdsm.sandbox.stacks.records import Made, Stack
from hvdsm.sandbox.stacks.scripts import Entry
from hvdsm.sandbox.stacks.waves import NOTHING, Step
from hvdsm.sandbox.stacks.world import Refused, World
from hvdsm.vpc.templates.rendering import references

REPLACING = "Requested update requires the creation of a new physical resource; hence creating one."


def needs_of(entry: Mapping[str, Any]) -> List[str]:
    """Resources that must be there before this one."""
    after = entry.get("DependsOn") or []
    named = [after] if isinstance(after, str) else list(after)
    return sorted({*references(entry.get("Properties") or {}), *named})


def is_changed(made: Made, entry: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    """Whether a resource is to be updated."""
    return made.properties != properties or made.entry.get("Metadata") != entry.get("Metadata")


def replaced_by(made: Made, properties: Mapping[str, Any]) -> List[str]:
    """Changed properties that need another resource."""
    names = {*made.properties, *properties}
    kind = kind_of(made.kind)
    return sorted(n for n in names if made.properties.get(n) != properties.get(n) and kind.replaces(n))


def was_replaced(stack: Stack, old: Made) -> bool:
    """Whether a resource of an update has become another one."""
    made = stack.resources[old.name]
    return made.physical != old.physical and bool(replaced_by(old, made.properties))


def constructions(world: World, stack: Stack, script: Entry) -> List[Step]:
    """Steps that make a stack what it is wanted to be; nothing is deleted."""
    assert stack.wanted is not None
    entries = stack.wanted.entries
    return [
        _Construction(world, stack, script, name, entry, {n for n in needs_of(entry) if n in entries}).step()
        for name, entry in entries.items()
    ]


class _Construction:
    def __init__(self, world: World, stack: Stack, script: Entry, name: str, entry: Mapping[str, Any], needs: Set[str]) -> None:
        self._world, self._stack, self._script = world, stack, script
        self._name, self._entry, self._needs = name, entry, needs
        self._made = Made(name, entry["Type"])
        self._prefix = "CREATE"

    def step(self) -> Step:
        return Step(self._name, self._name, self._begin, self._end, self._fail, set(self._needs))

    def _begin(self, time: float) -> Optional[float]:
        stack = self._stack
        properties = resolved(self._entry.get("Properties") or {}, stack.resources)
        there = stack.resources.get(self._name)
        if there is None:
            return self._create(time, properties, None)
        moved = stack.before is not None and stack.wanted is not None and stack.before.tags != stack.wanted.tags
        if not is_changed(there, self._entry, properties) and not (moved and kind_of(there.kind).tagged):
            there.entry, there.needs = self._entry, sorted(self._needs)
            return NOTHING
        self._prefix = "UPDATE"
        stack.undo[self._name] = replace(there, attributes=dict(there.attributes), needs=list(there.needs))
        if replaced_by(there, properties):
            return self._create(time, properties, there)
        self._made = there
        stack.report(time, there, "UPDATE_IN_PROGRESS")
        if self._script.script.fail.get(self._name) is None:
            change(self._world, stack, there, properties)
        there.entry, there.needs = self._entry, sorted(self._needs)
        return self._script.seconds(self._name)

    def _create(self, time: float, properties: Mapping[str, Any], old: Optional[Made]) -> float:
        stack = self._stack
        made = Made(self._name, self._entry["Type"], entry=self._entry, needs=sorted(self._needs), properties=properties)
        self._made = stack.resources[self._name] = made
        if old is None:
            stack.fresh.append(self._name)
            stack.report(time, made, "CREATE_IN_PROGRESS")
        else:
            stack.report(time, made, "UPDATE_IN_PROGRESS", REPLACING, old.physical)
        if self._script.script.fail.get(self._name) is None:
            make(self._world, stack, made, properties)
            stack.report(time, made, f"{self._prefix}_IN_PROGRESS", "Resource creation Initiated")
        return self._script.seconds(self._name)

    def _end(self, time: float) -> None:
        reason = self._script.failure(self._name, "fail")
        if reason:
            raise Refused(reason)
        self._stack.report(time, self._made, f"{self._prefix}_COMPLETE")

    def _fail(self, time: float, reason: str) -> None:
        self._stack.report(time, self._made, f"{self._prefix}_FAILED", reason)


def restorations(world: World, stack: Stack, script: Entry, skipped: Set[str]) -> List[Step]:
    """Steps that put changed resources back, in the order in which they need each other."""
    names = set(stack.undo)
    return [_Restoration(world, stack, script, name, old, names, skipped).step() for name, old in stack.undo.items()]


class _Restoration:
    def __init__(
        self, world: World, stack: Stack, script: Entry, name: str, old: Made, names: Set[str], skipped: Set[str]
    ) -> None:
        self._world, self._stack, self._script = world, stack, script
        self._name, self._old, self._names, self._skipped = name, old, names, skipped

    def step(self) -> Step:
        needs = {name for name in self._old.needs if name in self._names}
        return Step(self._name, self._name, self._begin, self._end, self._fail, needs)

    def _begin(self, time: float) -> Optional[float]:
        if self._name in self._skipped:
            self._settle()
            return NOTHING
        self._stack.report(time, self._stack.resources[self._name], "UPDATE_IN_PROGRESS", None, self._old.physical)
        return self._script.seconds(self._name)

    def _end(self, time: float) -> None:
        reason = self._script.failure(self._name, "fail_rollback")
        if reason:
            raise Refused(reason)
        made = self._stack.resources[self._name]
        if was_replaced(self._stack, self._old):
            self._stack.leftover.append(made)
            self._stack.resources[self._name] = self._old
        else:
            change(self._world, self._stack, made, self._old.properties)
            made.entry, made.needs = self._old.entry, self._old.needs
        self._stack.report(time, self._stack.resources[self._name], "UPDATE_COMPLETE")
        self._settle()

    def _settle(self) -> None:
        self._stack.undo.pop(self._name, None)

    def _fail(self, time: float, reason: str) -> None:
        self._stack.report(time, self._stack.resources[self._name], "UPDATE_FAILED", reason)
