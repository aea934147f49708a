"""A CloudFormation template from its text, and values for its parameters."""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping

import yaml

from hvdsm.errors import ConfigError

# What TemplateBody may have; a larger template has to be in S3.
MOST_BYTES = 51_200
# Values that a text of that size cannot have unless its aliases multiply them.
_MOST_VALUES = MOST_BYTES
WHERE = "vpc template"


class _Loader(yaml.SafeLoader):
    """YAML with the short forms of intrinsic functions; a key that stands twice is an error."""


def _short(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if name == "Fn::GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {name: value}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Dict[Any, Any]:
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key is no text", key.start_mark)
        name = loader.construct_object(key, deep=True)
        if name in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} stands twice", key.start_mark)
        seen.add(name)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_multi_constructor("!", _short)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(text: str) -> Dict[str, Any]:
    """A template from YAML or JSON.

    Raises:
        ConfigError: it is neither, has a key twice, has no resources, is nested too deeply, or is too large to be sent with a
            request, as it is or with its aliases written out.
    """
    if len(text.encode()) > MOST_BYTES:
        what = f"has {len(text.encode())} bytes, of which CloudFormation takes {MOST_BYTES}"
        raise ConfigError(what, where=WHERE, remedy="take comments and blanks away, or make two stacks of it")
    try:
        template = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
        values = _count(template, {})
    except RecursionError:
        raise ConfigError("is nested too deeply", where=WHERE, remedy="give a CloudFormation template") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"is no YAML: {error}", where=WHERE, remedy="correct the place that is named") from None
    if values > _MOST_VALUES:
        what = f"has {values} values when its aliases are written out, too many for a template"
        raise ConfigError(what, where=WHERE, remedy="do without aliases of aliases")
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise ConfigError("has no Resources", where=WHERE, remedy="give a CloudFormation template")
    return template


def _count(value: Any, known: Dict[int, int]) -> int:
    """How many values there are with each alias written out; those of an alias are one object, and are counted once."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = 1 + sum(_count(inner, known) for inner in (value.values() if isinstance(value, dict) else value))
    return known[id(value)]


def fits(pattern: Any, text: str) -> bool:
    """Whether an AllowedPattern takes a whole text; one that Python cannot read takes everything."""
    try:
        return re.fullmatch(str(pattern), text) is not None
    except re.error:
        return True


def values_of(declared: Mapping[str, Any], given: Mapping[str, Any]) -> Dict[str, Any]:
    """The value of each parameter, a list where it is one.

    Raises:
        ConfigError: a parameter is unknown, missing or refused by its own rules.
    """
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise ConfigError(f"has no parameter {', '.join(unknown)}", where=WHERE, remedy=f"it has {', '.join(sorted(declared))}")
    values: Dict[str, Any] = {}
    for name, about in declared.items():
        if name not in given and "Default" not in about:
            raise ConfigError("has no value", where=f"parameter {name}", remedy=f"give one: {name}=VALUE")
        text = str(given.get(name, about.get("Default")))
        is_list = about.get("Type") == "CommaDelimitedList" or str(about.get("Type")).startswith("List<")
        parts = [part.strip() for part in text.split(",")] if is_list else [text]
        # CloudFormation holds each item of a list against the rules.
        for part in parts:
            _check_parameter(name, part, about)
        values[name] = parts if is_list else text
    return values


def _check_parameter(name: str, text: str, about: Mapping[str, Any]) -> None:
    why = about.get("ConstraintDescription") or about.get("Description")
    remedy = f"{why}" if why else "give another value"
    allowed = about.get("AllowedValues")
    if allowed is not None and text not in [str(value) for value in allowed]:
        listed = ", ".join(str(value) for value in allowed)
        raise ConfigError(f"is {text!r}, which is none of {listed}", where=f"parameter {name}", remedy=remedy)
    pattern = about.get("AllowedPattern")
    # CloudFormation matches the whole value.
    if pattern is not None and not fits(pattern, text):
        raise ConfigError(f"is {text!r}, which its pattern refuses", where=f"parameter {name}", remedy=remedy)
    if about.get("Type") == "Number":
        try:
            number = float(text)
        except ValueError:
            raise ConfigError(f"is {text!r}, which is no number", where=f"parameter {name}", remedy=remedy) from None
        low, high = float(about.get("MinValue", "-inf")), float(about.get("MaxValue", "inf"))
        if not low <= number <= high:
            raise ConfigError(f"is {text}, which is not from {low:g} to {high:g}", where=f"parameter {name}", remedy=remedy)
