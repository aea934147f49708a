"""``--set Path.To.Field=JSON``: any field of a request, checked against the service's model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

from hvdsm.aws.shape_model import input_shape, shape
from hvdsm.aws.shapes import REQUIRED, unknown_field, value_problems
from hvdsm.compose.problems import Part, Path, path_text, shown, suggestion, told
from hvdsm.errors import ConfigError, UsageError

OPTION = "--set"
EXAMPLE = f"{OPTION} ResourceConfig.VolumeSizeInGB=100"
# What an entry of a list may be named by, instead of its index; by the shape of the entry.
_NAMES = {
    "Channel": "ChannelName",
    "CollectionConfiguration": "CollectionName",
    "DebugRuleConfiguration": "RuleConfigurationName",
    "InstanceGroup": "InstanceGroupName",
    "MetricDefinition": "Name",
    "ProfilerRuleConfiguration": "RuleConfigurationName",
    "Tag": "Key",
}
_TOLD = {"boolean": "true or false", "integer": "a whole number", "long": "a whole number"}
_FIELD = re.compile(r"[^.\[\]=\s]+")
_BRACKETS = re.compile(r'\[(?P<quoted>"(?:[^"\\]|\\.)*")\]|\[(?P<bare>[^\]"]+)\]')


class _Place(NamedTuple):
    """Where a path leads: its parts, the shape there, the text after the equals sign, and the shape of a key at its end."""

    path: Path
    shape: str
    text: str
    key_shape: Optional[str] = None


def apply_settings(
    request: Mapping[str, Any], settings: Sequence[str], say: Optional[Callable[[str], None]] = None
) -> Dict[str, Any]:
    """The request with some fields set; the one given stays as it is.

    A path is ``Path.To.Field``; ``[0]`` is an entry of a list, ``[train]`` the channel, group, tag or metric of that name, and
    the index after the last adds one.  What follows the name of a map (``HyperParameters``, ``Environment``, …) up to the
    equals sign is a key, dots and all; a key with an equals sign is written ``HyperParameters["a=b"]``.  A text may be bare or
    JSON, everything else is JSON, and ``null`` takes the field away.

    Args:
        request: a CreateTrainingJob request.
        settings: ``PATH=VALUE`` each, in order: a later one sees what an earlier one has set.
        say: is told one line for each value that was there and is replaced or taken away.

    Raises:
        UsageError: a path that the service's model does not have, or a value that is no JSON.
        ConfigError: a value that the model forbids, or a request that has another type where the path leads.
    """
    changed: Dict[str, Any] = dict(request)
    for text in settings:
        place = _parsed(text, changed)
        value = _value(place)
        before, old = changed, _at(changed, place.path)
        changed = _with(changed, place.path, 0, value)
        if value is not None:
            _check(changed, place, value)
        if say is not None and old is not None and old != value:
            new = "taken away" if value is None else f"replaced by {told(changed, place.path, value)}"
            say(f"{OPTION} {path_text(place.path)}: {told(before, place.path, old)} is {new}")
    return changed


def _parsed(text: str, request: Mapping[str, Any]) -> _Place:
    path: Path = ()
    name, position = input_shape(), 0
    key_shape: Optional[str] = None
    while True:
        kind = shape(name)
        so_far = f"{OPTION} {path_text(path)}" if path else OPTION
        rest = text[position:]
        if path and rest.startswith("="):
            return _Place(path, name, rest[1:], key_shape)
        if path and not rest:
            raise UsageError(f"must be PATH=VALUE, not {shown(text)}", where=so_far, remedy=EXAMPLE)
        if kind["type"] == "structure":
            field = _FIELD.match(rest, 1 if path else 0)
            if field is None or (path and rest[0] != "."):
                fields = ", ".join(kind["members"])
                raise UsageError(f"is followed by .FIELD or =VALUE, not {shown(rest)}", where=so_far, remedy=f"one of {fields}")
            if field[0] not in kind["members"]:
                where = f"{OPTION} {path_text((*path, field[0]))}"
                raise UsageError(unknown_field(field[0], kind, top=not path), where=where)
            part: Part = field[0]
            name, position = kind["members"][part]["shape"], position + field.end()
        elif kind["type"] == "map":
            part, length = _key(rest, so_far)
            name, position, key_shape = kind["value"]["shape"], position + length, kind["key"]["shape"]
        elif kind["type"] == "list":
            brackets = _BRACKETS.match(rest)
            if brackets is None:
                raise UsageError(f"is a list: followed by [0] or =VALUE, not {shown(rest)}", where=so_far)
            name = kind["member"]["shape"]
            part = _index(brackets, name, _at(request, path), so_far)
            position += brackets.end()
        else:
            raise UsageError(f"has no fields; it is followed by =VALUE, not {shown(rest)}", where=so_far)
        path = (*path, part)


def _key(rest: str, where: str) -> Tuple[str, int]:
    """The key of a map and the length of its text."""
    brackets = _BRACKETS.match(rest)
    if brackets:
        return _plain(brackets, where), brackets.end()
    key = rest[1:].partition("=")[0]
    if not rest.startswith(".") or not key:
        raise UsageError(f"is a map: followed by .KEY or =VALUE, not {shown(rest)}", where=where)
    return key, 1 + len(key)


def _plain(brackets: re.Match[str], where: str) -> str:
    if brackets["bare"]:
        return brackets["bare"]
    try:
        return str(json.loads(brackets["quoted"]))
    except ValueError as error:
        raise UsageError(f"{brackets['quoted']} is no JSON string ({error})", where=where) from None


def _index(brackets: re.Match[str], member: str, entries: Any, where: str) -> int:
    """The index that brackets stand for: a number up to that of a new entry, or the name of an entry."""
    there = entries if isinstance(entries, (list, tuple)) else ()
    bare = brackets["bare"]
    if bare and bare.isdecimal():
        if len(bare) > 6 or int(bare) > len(there):
            remedy = f"[{len(there)}] adds an entry"
            entries = "1 entry" if len(there) == 1 else f"{len(there)} entries"
            raise UsageError(f"has {entries}, so there is no [{shown(bare)[1:-1]}]", where=where, remedy=remedy)
        return int(bare)
    name, field = _plain(brackets, where), _NAMES.get(member)
    if field is None:
        raise UsageError(f"its entries have no names: [0], not [{name}]", where=where)
    names = [entry.get(field) if isinstance(entry, Mapping) else None for entry in there]
    if name not in names:
        known = [str(known) for known in names]
        told_names = f"its entries are {', '.join(known)}" if known else "it has no entries"
        raise UsageError(f"has no entry with the {field} {shown(name)}; {told_names}{suggestion(name, known)}", where=where)
    return names.index(name)


def _value(place: _Place) -> Any:
    """The value that a text stands for: text where the field is one, else JSON."""
    kind = shape(place.shape)["type"]
    where = f"{OPTION} {path_text(place.path)}"
    if kind == "string" and place.text != "null" and not place.text.startswith('"'):
        return place.text
    try:
        value = json.loads(place.text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        if kind == "string":
            return place.text
        wanted = {"boolean": "true or false", "integer": "a whole number", "long": "a whole number"}.get(
            kind, f"JSON of a {kind}"
        )
        text = told({}, place.path[-1:] if isinstance(place.path[-1], str) else (), place.text)
        raise UsageError(f"must be {wanted}, not {text}", where=where) from None
    return place.text if kind == "string" and not isinstance(value, str) and value is not None else value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _at(value: Any, path: Path) -> Any:
    """What stands at a path; None where there is nothing."""
    for part in path:
        if isinstance(part, int):
            value = value[part] if isinstance(value, (list, tuple)) and part < len(value) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _with(container: Any, path: Path, depth: int, value: Any) -> Any:
    """A container with a value at a path below it; only what lies on the path is copied."""
    part, last = path[depth], depth == len(path) - 1
    wanted = (list, tuple) if isinstance(part, int) else Mapping
    if container is not None and not isinstance(container, wanted):
        kind = "a list" if isinstance(part, int) else "an object"
        where = path_text(path[:depth]) or "the training job request"
        raise ConfigError(f"must be {kind}, not {told(container, (), container)}", where=where)
    if value is None and _at(container, (part,)) is None and last:
        return container
    changed: Any = list(container or ()) if isinstance(part, int) else dict(container or {})
    if last and value is None:
        del changed[part]
        return changed
    if isinstance(part, int) and part == len(changed):
        changed.append(None)
    inner = value if last else _with(_at(changed, (part,)), path, depth + 1, value)
    if inner is None:
        return container
    changed[part] = inner
    return changed


def _check(request: Mapping[str, Any], place: _Place, value: Any) -> None:
    """Refuse a value that the model forbids; what is still missing in it another setting may give."""
    found = list(value_problems(value, place.shape, place.path, request))
    lines = [str(problem) for kind, problem in found if kind != REQUIRED]
    if place.key_shape is not None:
        of_key = value_problems(place.path[-1], place.key_shape)
        lines += [f"{path_text(place.path)} (its name): {problem.text}" for _, problem in of_key]
    if lines:
        raise ConfigError("\n  ".join(["cannot have this value", *lines]), where=f"{OPTION} {path_text(place.path)}")
