"""What a change set would do: the resources that it adds, modifies and removes."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Set

from hvdsm.sandbox.stacks.kinds import kind_of
from hvdsm.sandbox.stacks.records import Made, Stack, Wanted
from hvdsm.sandbox.stacks.templates import bad
from hvdsm.vpc.templates.rendering import references

Entries = Mapping[str, Mapping[str, Any]]


def planned(stack: Stack, wanted: Wanted) -> List[Dict[str, Any]]:
    """The changes, in DescribeChangeSet's form.

    Args:
        stack: as it is.
        wanted: as it would be.

    Raises:
        ServiceError: a resource would become one of another type.
    """
    now = {name: made.entry for name, made in stack.resources.items()}
    moved = [name for name, entry in wanted.entries.items() if name in now and now[name]["Type"] != entry["Type"]]
    if moved:
        text = "Update of resource type is not permitted. The new template modifies resource type of the following resources: "
        raise bad(f"{text}[{', '.join(sorted(moved))}]")
    changes = [_change("Add", name, entry["Type"]) for name, entry in wanted.entries.items() if name not in now]
    changes += _modified(stack, now, wanted)
    changes += [
        _change("Remove", name, made.kind, made.physical) for name, made in stack.resources.items() if name not in wanted.entries
    ]
    return sorted(changes, key=lambda it: str(it["ResourceChange"]["LogicalResourceId"]))


def is_same(stack: Stack, wanted: Wanted) -> bool:
    """Whether an update would change nothing."""
    before = stack.wanted
    if before is None or planned(stack, wanted):
        return False
    return before.outputs == wanted.outputs and before.tags == wanted.tags


def _modified(stack: Stack, now: Entries, wanted: Wanted) -> List[Dict[str, Any]]:
    details: Dict[str, List[Dict[str, Any]]] = {}
    for name, entry in wanted.entries.items():
        if name in now:
            found = _static(stack, name, now[name], entry, wanted)
            if found:
                details[name] = found
    replaced = {name for name in details if _recreation(details[name]) == "True"}
    # What refers to a resource that is replaced gets another ID, and may be replaced itself.
    pending = set(replaced)
    while pending:
        cause = pending.pop()
        for name, entry in wanted.entries.items():
            if name not in now or name == cause:
                continue
            for prop, value in (entry.get("Properties") or {}).items():
                known = [(one["Target"]["Name"], one.get("CausingEntity")) for one in details.get(name, [])]
                if cause not in references(value) or (prop, cause) in known:
                    continue
                details.setdefault(name, []).append(_detail(stack.resources[name], prop, "Dynamic", "ResourceReference", cause))
                if kind_of(entry["Type"]).replaces(prop) and name not in replaced:
                    replaced.add(name)
                    pending.add(name)
    return [_modification(stack.resources[name], found) for name, found in details.items()]


def _static(stack: Stack, name: str, old: Mapping[str, Any], new: Mapping[str, Any], wanted: Wanted) -> List[Dict[str, Any]]:
    made = stack.resources[name]
    before, after = old.get("Properties") or {}, new.get("Properties") or {}
    raw = (wanted.template["Resources"][name].get("Properties") or {}) if name in wanted.template["Resources"] else {}
    given = stack.wanted.parameters if stack.wanted else {}
    moved = {key for key, value in wanted.parameters.items() if given.get(key) != value}
    found = []
    for prop in sorted({*before, *after}):
        if before.get(prop) == after.get(prop):
            continue
        causes = sorted(moved & _named(raw.get(prop)))
        source = "ParameterReference" if causes else "DirectModification"
        found.append(_detail(made, prop, "Static", source, causes[0] if causes else None))
    tagged = kind_of(made.kind).tagged and stack.wanted is not None and stack.wanted.tags != wanted.tags
    if tagged and not any(one["Target"]["Name"] == "Tags" for one in found):
        found.append(_detail(made, "Tags", "Static", "DirectModification", None))
    if old.get("Metadata") != new.get("Metadata"):
        found.append({"Target": {"Attribute": "Metadata", "RequiresRecreation": "Never"}, "Evaluation": "Static"})
        found[-1]["ChangeSource"] = "DirectModification"
    return found


def _named(value: Any) -> Set[str]:
    """Names that a template's value refers to."""
    if isinstance(value, str):
        return set(references(value))
    if isinstance(value, list):
        return {name for item in value for name in _named(item)}
    if isinstance(value, dict):
        own = {value["Ref"]} if isinstance(value.get("Ref"), str) else set()
        return own | {name for inner in value.values() for name in _named(inner)}
    return set()


def _detail(made: Made, prop: str, evaluation: str, source: str, cause: Any) -> Dict[str, Any]:
    target: Dict[str, Any] = {"Attribute": "Tags" if prop == "Tags" else "Properties"}
    if prop != "Tags":
        target["Name"] = prop
    else:
        target["Name"] = "Tags"
    target["RequiresRecreation"] = "Always" if kind_of(made.kind).replaces(prop) else "Never"
    return {"Target": target, "Evaluation": evaluation, "ChangeSource": source, "CausingEntity": cause}


def _recreation(details: List[Dict[str, Any]]) -> str:
    always = [one for one in details if one["Target"]["RequiresRecreation"] == "Always"]
    if not always:
        return "False"
    return "True" if any(one["Evaluation"] == "Static" for one in always) else "Conditional"


def _modification(made: Made, details: List[Dict[str, Any]]) -> Dict[str, Any]:
    change = _change("Modify", made.name, made.kind, made.physical)
    about = change["ResourceChange"]
    about["Replacement"] = _recreation(details)
    about["Scope"] = sorted({one["Target"]["Attribute"] for one in details})
    about["Details"] = details
    return change


def _change(action: str, name: str, kind: str, physical: str = "") -> Dict[str, Any]:
    about: Dict[str, Any] = {"Action": action, "LogicalResourceId": name, "ResourceType": kind}
    if physical:
        about["PhysicalResourceId"] = physical
    if action == "Remove":
        about["PolicyAction"] = "Delete"
    about["Scope"], about["Details"] = [], []
    return {"Type": "Resource", "ResourceChange": about}
