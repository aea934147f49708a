"""A CloudFormation template from its text, and values for its parameters."""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping

import yaml

from hvdsm.errors import ConfigError

# What TemplateBody may have; a larger template has to be in S3.
MOST_BYTES = 51_200
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
        ConfigError: it is neither, has a key twice, has no resources, or is too large to be sent with a request.
    """
    if len(text.encode()) > MOST_BYTES:
        raise ConfigError(f"has {len(text.encode())} bytes, of which CloudFormation takes {MOST_BYTES}", where=WHERE)
    try:
        template = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"is no YAML: {error}", where=WHERE, remedy="correct the place that is named") from None
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise ConfigError("has no Resources", where=WHERE, remedy="give a CloudFormation template")
    return template


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
        _check_parameter(name, text, about)
        is_list = about.get("Type") == "CommaDelimitedList" or str(about.get("Type")).startswith("List<")
        values[name] = [part.strip() for part in text.split(",")] if is_list else text
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
    if pattern is not None and re.fullmatch(str(pattern), text) is None:
        raise ConfigError(f"is {text!r}, which its pattern refuses", where=f"parameter {name}", remedy=remedy)
    if about.get("Type") == "Number":
        try:
            number = float(text)
        except ValueError:
            raise ConfigError(f"is {text!r}, which is no number", where=f"parameter {name}", remedy=remedy) from None
        low, high = float(about.get("MinValue", "-inf")), float(about.get("MaxValue", "inf"))
        if not low <= number <= high:
            raise ConfigError(f"is {text}, which is not from {low:g} to {high:g}", where=f"parameter {name}", remedy=remedy)
