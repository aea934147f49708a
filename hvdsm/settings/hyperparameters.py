"""``--hyperparameters FILE``: hyperparameters from JSON or YAML, and how they go together with those from elsewhere."""

from __future__ import annotations

import json
import sys
from typing import Any, Dict, List, Mapping, Optional, TextIO, Tuple

from hvdsm.errors import ConfigError

OPTION = "--hyperparameters"


class WrongText(ValueError):
    """A text that holds no hyperparameters.

    Args:
        what: what is wrong with it.
        line: line of the text, from 1; None when the whole is meant.
        remedy: what to change.
    """

    def __init__(self, what: str, line: Optional[int] = None, remedy: Optional[str] = None) -> None:
        super().__init__(what)
        self.line = line
        self.remedy = remedy


def read_hyperparameters(path: str, stdin: Optional[TextIO] = None) -> Dict[str, Any]:
    """The hyperparameters of a JSON or YAML file, nested values as they are.

    A name with dots is one name.  A text that begins with ``{`` is JSON, unless the file's name ends in .yaml or .yml; every
    other one is YAML, whose scalars are read by the core schema of YAML 1.2, so that ``1e-3`` is a number and ``on`` is a text.

    Args:
        path: the file; ``-`` is standard input.
        stdin: what ``-`` reads; this process's by default.

    Raises:
        ConfigError: it cannot be read, is no object of hyperparameters, has a name twice or one that is no text, or a value that
            JSON cannot express.
    """
    where = "standard input" if path == "-" else path
    try:
        if path == "-":
            text = (sys.stdin if stdin is None else stdin).read()
        else:
            with open(path, encoding="utf-8-sig") as file:
                text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or f"is no text in UTF-8: {error}"
        raise ConfigError(str(what), where=f"{OPTION} {where}", remedy="check the path") from None
    is_yaml = path.endswith((".yaml", ".yml"))
    is_json = path.endswith(".json") or (text.lstrip()[:1] == "{" and not is_yaml)
    try:
        values = _from_json(text) if is_json else _from_yaml(text)
        if not isinstance(values, dict):
            raise WrongText("must hold names and values", remedy='{"lr": 0.1, "data.batch_size": 64}')
        check_values(values)
    except WrongText as error:
        place = where if error.line is None else f"{where}:{error.line}"
        raise ConfigError(str(error), where=f"{OPTION} {place}", remedy=error.remedy) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=f"{OPTION} {where}") from None
    return values


def merge_hyperparameters(
    file: Mapping[str, Any], config: Mapping[str, Any], flags: Mapping[str, Any], *, file_from_flag: bool = True
) -> Dict[str, Any]:
    """Hyperparameters of three places, entry by entry: flags win over the file that a flag names, and that over all else.

    >>> merge_hyperparameters({"lr": 1, "data.batch_size": 64}, {"lr": 2, "epochs": 5}, {"epochs": 6})
    {'lr': 1, 'epochs': 6, 'data.batch_size': 64}

    Args:
        file: of ``--hyperparameters FILE``.
        config: of the configuration and the environment.
        flags: of ``--hyperparameter``.
        file_from_flag: whether the file was named on the command line; one that the configuration names yields to its entries.
    """
    return {**config, **file, **flags} if file_from_flag else {**file, **config, **flags}


def check_values(values: Mapping[Any, Any]) -> None:
    """Refuse what a hyperparameter cannot be.

    Raises:
        WrongText: a name is no text or empty, or JSON cannot express a value.
    """
    for name, value in values.items():
        _check_name(name)
        if not name:
            raise WrongText("a name is empty")
        _check_value(value, name, ())


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise WrongText(f"the name {json.dumps(name, default=str)} is no text", remedy="write names in quotes")


def _check_value(value: Any, name: str, around: Tuple[int, ...]) -> None:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise WrongText(f"{name}: JSON cannot express {value}", remedy=f'write it as a text: "{value}"')
    if value is None or isinstance(value, (str, int, float)):
        return
    if id(value) in around:
        raise WrongText(f"{name}: holds itself")
    if isinstance(value, dict):
        for inner in value:
            _check_name(inner)
    elif not isinstance(value, list):
        raise WrongText(f"{name}: JSON cannot express a value of type {type(value).__name__}", remedy="write it in quotes")
    for inner in value.values() if isinstance(value, dict) else value:
        _check_value(inner, name, (*around, id(value)))


def _from_json(text: str) -> Any:
    def no_constant(name: str) -> Any:
        raise WrongText(f"{name} is no JSON", remedy=f'write it as a text: "{name}"')

    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise WrongText(f"is no JSON: {error.msg}", error.lineno) from None


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise WrongText(f"{name} is given twice", remedy="leave one of them out")
        found[name] = value
    return found


def _from_yaml(text: str) -> Any:
    from hvdsm.settings.yaml_text import load

    return load(text)
