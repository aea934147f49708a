"""How a problem with a field of a request is told: its path, the limit, and the value, shortened, with secrets masked."""

from __future__ import annotations

import difflib
import re
from typing import Any, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from hvdsm.compose.arguments import is_packed_key
from hvdsm.compose.mask import MASK, looks_secret, mask_arguments, mask_text

# What a line says of a field that must be there: such a line is dropped when the field is there with a wrong type.
MISSING = "must be given"

# A part of a path: the name of a field, the key of a map, or the index in a list.
Part = Union[str, int]
Path = Tuple[Part, ...]


class Problem(NamedTuple):
    """What is wrong with one field: its path as text, and the limit with the value."""

    path: str
    text: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.path}: {self.text}"


def bounds_problem(value: Any, least: Optional[int], most: Optional[int], text: str) -> Optional[str]:
    """What a value breaks of a limit of its length or, for a number, of itself; None when it is within.

    A string is as long as it has Unicode characters (the length trait of Smithy, the language of the service's model).

    Args:
        value: a string, number, list or map.
        least: the least length or number; None is no limit.
        most: the greatest; None is no limit.
        text: the value for the message.
    """
    number = isinstance(value, (int, float))
    size = value if number else len(value)
    if (least is None or size >= least) and (most is None or size <= most):
        return None
    unit = "" if number else " characters" if isinstance(value, str) else " entries"
    if most is None:
        limit = f"at least {least:,}"
    elif least is None or (least == 0 and not number):
        limit = f"at most {most:,}"
    else:
        limit = f"{least:,} to {most:,}"
    told_size = text if number else f"{size:,}"
    return f"{limit}{unit}, not {told_size}{f': {text}' if isinstance(value, str) and value else ''}"


def standing(problems: Iterable[Problem], wrong: Sequence[Problem]) -> List[Problem]:
    """The problems without those that only follow from a field of wrong type: the field itself, or one that it hides."""
    bad = [problem.path for problem in wrong]

    def follows(problem: Problem) -> bool:
        return any(
            problem.path == path
            or problem.path.startswith((f"{path}.", f"{path}["))
            or (problem.text.startswith(MISSING) and path.startswith((f"{problem.path}.", f"{problem.path}[")))
            for path in bad
        )

    return [problem for problem in problems if not follows(problem)]


def path_text(path: Sequence[Part]) -> str:
    """``InputDataConfig[1].ChannelName``; a key that is no plain word stands in brackets, shortened.

    >>> path_text(("HyperParameters", "learning-rate")), path_text(("Environment", "a b"))
    ('HyperParameters.learning-rate', "Environment['a b']")
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w.:/\-]{1,80}", part):
            text += f".{part}" if text else part
        else:
            text += f"[{shown(mask_text(part))}]"
    return text


def told(root: Any, path: Path, value: Any, *, typed: bool = False) -> str:
    """A value for a message: shortened, and masked where it, or what stands before it, is named like a secret.

    Args:
        root: the whole request, to look at what stands beside the value.
        path: where the value stands.
        value: the value.
        typed: whether to name the type as well.
    """
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return f"an object with {len(value)} field{'' if len(value) == 1 else 's'}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        in_list = bool(path) and isinstance(path[-1], int)
        text = shown(mask_arguments([value])[0] if in_list else mask_text(value))
    else:
        text = shown(value)
    if value != "" and _is_secret(root, path):
        text = MASK
    kinds = {str: "a string", bool: "a boolean", int: "an integer", float: "a number"}
    return f"{text} ({kinds.get(type(value), type(value).__name__)})" if typed else text


def _is_secret(root: Any, path: Path) -> bool:
    names = [part for part in path if isinstance(part, str)]
    if names and (looks_secret(names[-1]) or is_packed_key(names[-1])):
        return True
    beside = root
    for part in path[:-1]:
        beside = beside[part]
    if names[-1:] == ["Value"] and isinstance(beside, Mapping):
        return isinstance(beside.get("Key"), str) and looks_secret(beside["Key"])
    if path and isinstance(path[-1], int) and path[-1] > 0 and isinstance(beside[path[-1] - 1], str):
        return mask_arguments([beside[path[-1] - 1], "x"])[1] == MASK
    return False


def shown(value: Any) -> str:
    """A value for a message: quoted, at most about 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; lists in lists without end
        return f"a value of type {type(value).__name__}"
    size = len(value) if isinstance(value, str) else len(text)
    return text if len(text) <= 80 else f"{text[:70]}… ({size:,} characters)"


def suggestion(name: str, names: Iterable[str]) -> str:
    """``; did you mean X?`` for a name close to a known one, else nothing.

    >>> suggestion("hyperparameters", ["HyperParameters", "Tags"])
    '; did you mean HyperParameters?'
    """
    known = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name[:200].lower(), known, n=2, cutoff=0.7)
    return f"; did you mean {' or '.join(known[key] for key in close)}?" if close else ""
