"""Which value of a template is not of the form that it must have, where work on it ends by an error of no words."""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator, List, Mapping, Optional, Tuple, Union

from hvdsm.errors import ConfigError

# What a template does to code that expects another shape of it.
MALFORMED = (TypeError, ValueError, KeyError, IndexError, AttributeError)
_MOST = 60
Key = Union[str, int]


def shown(value: Any) -> str:
    """A value as JSON, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _MOST else f"{text[:_MOST]} …"


def blame(template: Mapping[str, Any], work: Callable[[Mapping[str, Any]], Any]) -> Tuple[str, str]:
    """The logical name and the place of the value without which work does not end so.

    Args:
        template: the template, before values are put in.
        work: what ends by one of :data:`MALFORMED`.

    Returns:
        Logical name (or section) and what is wrong, in words.
    """
    path: List[Key] = []
    value: Any = template
    while isinstance(value, (dict, list)) and len(path) < 8:
        found = _found(template, path, value, work)
        if found is None:
            break
        path.append(found)
        value = value[int(found)] if isinstance(value, list) else value[found]
    if not path:
        return "", "a value has not the form that it must have"
    name = str(path[1]) if len(path) > 1 else str(path[0])
    within = "/".join(str(key) for key in path[2:])
    return name, f"{f'{within} is ' if within else 'is '}{shown(value)}, which has not the form that it must have"


def _keys(value: Any) -> Iterator[Key]:
    yield from value if isinstance(value, dict) else range(len(value))


def _found(template: Mapping[str, Any], path: List[Key], value: Any, work: Callable[[Mapping[str, Any]], Any]) -> Optional[Key]:
    """What to look into; where something else needs all that may be taken away, the first of which it is not wrong."""
    for lenient in (False, True):
        for key in _keys(value):
            # Without its type anything is in order.
            if (
                [*path, key] != ["Resources"]
                and (len(path) != 2 or key != "Type")
                and _helps(template, [*path, key], work, lenient and bool(path))
            ):
                return key
    return "Resources" if not path else None


def _helps(template: Mapping[str, Any], path: List[Key], work: Callable[[Mapping[str, Any]], Any], lenient: bool) -> bool:
    try:
        work(_without(template, path))
    except MALFORMED:
        return False
    except ConfigError:
        return lenient
    return True


def _without(value: Any, path: List[Key]) -> Any:
    key, rest = path[0], path[1:]
    if key == "Resources" and len(rest) == 1:
        # Others may refer to a resource: it stays, with nothing in it.
        return {**value, key: {**value[key], rest[0]: {"Type": "Nothing"}}}
    if isinstance(value, list):
        index = int(key)
        return [*value[:index], *([_without(value[index], rest)] if rest else []), *value[index + 1 :]]
    return {name: _without(inner, rest) if name == key else inner for name, inner in value.items() if rest or name != key}
