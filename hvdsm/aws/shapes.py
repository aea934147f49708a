"""Checks a request in full before it is sent: every limit of the service's own model, and the rules beyond it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

from hvdsm.aws.shape_model import OPERATION, Shape, answered_fields, input_shape, model_version, shape
from hvdsm.aws.shape_patterns import matches
from hvdsm.compose.limits import refuse
from hvdsm.compose.problems import MISSING, Path, Problem, bounds_problem, path_text, shown, suggestion, told
from hvdsm.compose.rules import only_here, rule_problems

# Kinds of problems, for those who must tell them apart.
REQUIRED, TYPE, VALUE = "required", "type", "value"
# Whole numbers of the service's protocol, in bits.
_BITS = {"integer": 32, "long": 64}
# What a value of each type is in Python, and how the type is told.
_TYPES: Mapping[str, Tuple[Tuple[type, ...], str]] = {
    "string": ((str,), "a string"),
    "integer": ((int,), "a whole number"),
    "long": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "double": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "list": ((list, tuple), "a list"),
    "map": ((Mapping,), "a map of strings"),
    "structure": ((Mapping,), "an object with fields"),
}
# As many values of an enumeration are named in a message; of more, only the close ones.
_FEW = 8


class Found(NamedTuple):
    """A problem, and its kind."""

    kind: str
    problem: Problem


def problems(request: Any, operation: str = OPERATION) -> List[str]:
    """What the service model forbids in a request, one line each: ``Path.To.Field: the limit, not the value``.

    Required and unknown fields, types, enumerations, patterns, and the limits of lists, maps, strings and numbers.

    Args:
        request: anything, as read from JSON.
        operation: the operation of SageMaker whose request it is.
    """
    return [str(found.problem) for found in value_problems(request, input_shape(operation))]


def check_service_request(request: Any, *, region: Optional[str] = None) -> None:
    """Check a CreateTrainingJob request as far as it can be known before it is sent.

    Args:
        request: anything, as read from JSON.
        region: the region that the job is to run in; its image must be there.

    Raises:
        ConfigError: with all problems; each names the field, the limit and the value.
    """
    if not isinstance(request, Mapping):
        refuse(problems(request))
    here = only_here(request, region)
    # What is said there of a field is more to the point than which pattern it does not match.
    known = {problem.path for problem in here}
    model = [found.problem for found in value_problems(request, input_shape()) if found.problem.path not in known]
    lines = [*map(str, model), *map(str, here)]
    refuse([*lines, *(line for line in rule_problems(request) if line not in lines)])


def value_problems(value: Any, name: str, path: Path = (), root: Any = None) -> Iterator[Found]:
    """What a shape forbids in a value.

    Args:
        value: anything.
        name: the shape.
        path: where the value stands in ``root``.
        root: the whole request, for masking; the value itself when it is all of it.
    """
    root = value if root is None else root
    kind = shape(name)
    wrong = _type_problem(value, kind)
    if wrong:
        yield Found(TYPE, Problem(path_text(path) or "request", f"{wrong}, not {told(root, path, value, typed=True)}"))
        return
    yield from _limits(value, name, path, root)
    if kind["type"] == "structure":
        yield from _structure(value, kind, path, root)
    elif kind["type"] == "list":
        for index, entry in enumerate(value):
            yield from value_problems(entry, kind["member"]["shape"], (*path, index), root)
    elif kind["type"] == "map":
        for key, entry in value.items():
            if not isinstance(key, str):
                yield Found(TYPE, Problem(path_text(path), f"the name of an entry must be a string, not {shown(key)}"))
                continue
            for found in value_problems(key, kind["key"]["shape"], (), key):
                yield Found(found.kind, Problem(f"{path_text((*path, key))} (its name)", found.problem.text))
            yield from value_problems(entry, kind["value"]["shape"], (*path, key), root)


def _structure(value: Mapping[Any, Any], kind: Shape, path: Path, root: Any) -> Iterator[Found]:
    members = kind["members"]
    for field in kind.get("required") or ():
        if field not in value:
            yield Found(REQUIRED, Problem(path_text((*path, field)), MISSING))
    for field, entry in value.items():
        if field in members:
            yield from value_problems(entry, members[field]["shape"], (*path, field), root)
        elif isinstance(field, str):
            yield Found(VALUE, Problem(path_text((*path, field)), unknown_field(field, kind, top=not path)))
        else:
            yield Found(TYPE, Problem(path_text(path) or "request", f"the name of a field must be a string, not {shown(field)}"))
    if kind.get("union") and len(value) != 1:
        yield Found(VALUE, Problem(path_text(path), f"exactly one of {', '.join(members)}, not {len(value)}"))


def unknown_field(field: str, kind: Shape, *, top: bool) -> str:
    """That a structure has no such field, and which one may be meant."""
    names = list(kind["members"])
    close = suggestion(field, names)
    if top and field in answered_fields():
        return "no field of a request: only DescribeTrainingJob answers it; leave it out"
    return f"no such field{close or f'; the fields here are {_listed(names)}'}"


def _listed(names: List[str]) -> str:
    return ", ".join(names) if len(names) <= _FEW else f"{', '.join(names[:_FEW])} and {len(names) - _FEW} more"


def _type_problem(value: Any, kind: Shape) -> Optional[str]:
    expected = kind["type"]
    accepted, words = _TYPES.get(expected, ((object,), ""))
    if isinstance(value, accepted) and (expected == "boolean" or not isinstance(value, bool)):
        return None
    return f"must be {words}{' or left out' if value is None else ''}"


def _limits(value: Any, name: str, path: Path, root: Any) -> Iterator[Found]:
    kind, where = shape(name), path_text(path)
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        yield Found(VALUE, Problem(where, f"must be Unicode text, not one with half a surrogate pair: {told(root, path, value)}"))
        return
    least, most = kind.get("min"), kind.get("max")
    if kind["type"] in ("string", "list", "map", "integer", "long", "float", "double"):
        text = bounds_problem(value, least, most, told(root, path, value))
        bits = _BITS.get(kind["type"])
        if bits and not text and not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            text = f"must fit into {bits} bits, not {told(root, path, value)}"
        if text:
            yield Found(VALUE, Problem(where, text))
    if not isinstance(value, str):
        return
    allowed = kind.get("enum")
    if allowed and value not in allowed:
        yield Found(VALUE, Problem(where, f"{_one_of(allowed)}, not {told(root, path, value)}{suggestion(value, allowed)}"))
    # A string that is too long is not matched as well: a pattern could take its time over it.
    too_long = most is not None and len(value) > most
    if kind.get("pattern") and not too_long and matches(kind["pattern"], value) is False:
        yield Found(VALUE, Problem(where, f"{_pattern(kind['pattern'])}, not {told(root, path, value)}"))


def _one_of(allowed: List[str]) -> str:
    if len(allowed) <= _FEW:
        return f"must be one of {', '.join(map(repr, allowed))}"
    return f"must be one of the {len(allowed)} values that {model_version()} knows (a newer one may know more)"


def _pattern(pattern: str) -> str:
    if pattern in (".*", ".+"):
        return f"must be one line of text (pattern {pattern})"
    return f"must match the pattern {pattern}"
