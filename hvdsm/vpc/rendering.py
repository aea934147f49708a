"""A CloudFormation template as it would be with given parameters, without AWS.

Conditions and intrinsic functions are carried out; references to resources stay as ``{"Ref": NAME}`` and
``{"Fn::GetAtt": [NAME, ATTRIBUTE]}``, or as ``${NAME}`` inside of texts.
Source of the rules: AWS CloudFormation User Guide, intrinsic function reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.errors import ConfigError
from hvdsm.vpc.reading import WHERE, values_of

_NOTHING = {"Ref": "AWS::NoValue"}
_PLACE = re.compile(r"\$\{([^!][^}]*)\}")


@dataclass(frozen=True)
class Setting:
    """Where a template is rendered for.

    Attributes:
        region: AWS region.
        account: 12 digits.
        partition: ``aws``, ``aws-cn`` and so on.
        stack: name of the stack.
        zones: names of the region's Availability Zones.
    """

    region: str = "us-east-1"
    account: str = "123456789012"
    partition: str = "aws"
    stack: str = "hvdsm-training"
    zones: Tuple[str, ...] = ("us-east-1a", "us-east-1b", "us-east-1c")


@dataclass(frozen=True)
class Rendered:
    """A template with its parameters put in.

    Attributes:
        resources: the resources that would be made: ``Type`` and ``Properties`` of each.
        outputs: value and export name of each output that there would be.
        parameters: the value of each parameter.
        setting: where it was rendered for.
    """

    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, Any]
    setting: Setting

    def of_type(self, kind: str) -> Dict[str, Mapping[str, Any]]:
        """Properties of the resources of a type."""
        return {name: entry.get("Properties") or {} for name, entry in self.resources.items() if entry.get("Type") == kind}


def render(template: Mapping[str, Any], parameters: Mapping[str, Any], setting: Optional[Setting] = None) -> Rendered:
    """Carry a template out, as far as that is possible without making anything.

    Args:
        template: from :func:`load`.
        parameters: values; a parameter that is not named has its default.
        setting: region, account and so on.

    Raises:
        ConfigError: a parameter is unknown, missing or refused by its own rules; a rule's assertion fails; a function names
            something that is not there.
    """
    where = setting or Setting()
    values = values_of(template.get("Parameters") or {}, parameters)
    return _Renderer(template, values, where).render()


class _Renderer:
    def __init__(self, template: Mapping[str, Any], values: Mapping[str, Any], setting: Setting) -> None:
        self._template = template
        self._values = values
        self._setting = setting
        self._conditions: Dict[str, bool] = {}
        self._pending: List[str] = []
        self._functions: Dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self._condition,
            "Fn::If": self._if,
            "Fn::Equals": lambda words: self._value(words[0]) == self._value(words[1]),
            "Fn::Not": lambda words: not self._value(words[0]),
            "Fn::And": lambda words: all(self._value(word) for word in words),
            "Fn::Or": lambda words: any(self._value(word) for word in words),
            "Fn::Join": self._join,
            "Fn::Split": lambda words: str(self._value(words[1])).split(str(words[0])),
            "Fn::Select": self._select,
            "Fn::Sub": self._sub,
            "Fn::GetAZs": self._zones,
            "Fn::GetAtt": self._attribute,
            "Fn::FindInMap": self._find,
        }

    def render(self) -> Rendered:
        self._rules()
        # All of them, since a condition that cannot be carried out is an error wherever it is used.
        for name in self._template.get("Conditions") or {}:
            self._condition(name)
        resources = {}
        for name, entry in self._template["Resources"].items():
            if self._is_there(entry, name):
                resources[name] = {key: self._value(value) for key, value in entry.items() if key != "Condition"}
        self._check_references(resources)
        outputs = {}
        for name, entry in (self._template.get("Outputs") or {}).items():
            if self._is_there(entry, name):
                outputs[name] = {key: self._value(value) for key, value in entry.items() if key != "Condition"}
        self._check_references(outputs)
        return Rendered(resources, outputs, dict(self._values), self._setting)

    def _is_there(self, entry: Mapping[str, Any], name: str) -> bool:
        if not isinstance(entry, Mapping):
            raise self._error("is no mapping", name)
        return "Condition" not in entry or self._condition(entry["Condition"])

    def _rules(self) -> None:
        for name, rule in (self._template.get("Rules") or {}).items():
            if "RuleCondition" in rule and not self._value(rule["RuleCondition"]):
                continue
            for assertion in rule.get("Assertions") or ():
                if not self._value(assertion["Assert"]):
                    raise self._error(str(assertion.get("AssertDescription", "does not hold")), f"rule {name}")

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            items = [self._value(item) for item in value]
            return [item for item in items if item != _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, inner), *_ = value.items()
            if name in self._functions and not (name == "Condition" and not isinstance(inner, str)):
                return self._functions[name](inner)
            if isinstance(name, str) and name.startswith("Fn::"):
                raise self._error(f"the function {name} is not known here", name)
        made = {key: self._value(inner) for key, inner in value.items()}
        return {key: inner for key, inner in made.items() if inner != _NOTHING}

    def _ref(self, name: str) -> Any:
        pseudo = {
            "AWS::Region": self._setting.region,
            "AWS::AccountId": self._setting.account,
            "AWS::Partition": self._setting.partition,
            "AWS::StackName": self._setting.stack,
            "AWS::URLSuffix": "amazonaws.com.cn" if self._setting.partition == "aws-cn" else "amazonaws.com",
        }
        if name in self._values:
            return self._values[name]
        if name in pseudo:
            return pseudo[name]
        if name != "AWS::NoValue" and name not in self._template["Resources"]:
            raise self._error("there is neither a parameter nor a resource of that name", f"Ref {name}")
        return {"Ref": name}

    def _condition(self, name: str) -> bool:
        declared = self._template.get("Conditions") or {}
        if name not in declared:
            raise self._error("there is no such condition", f"Condition {name}")
        if name in self._pending:
            raise self._error("depends on itself", f"Condition {name}")
        if name not in self._conditions:
            self._pending.append(name)
            self._conditions[name] = bool(self._value(declared[name]))
            self._pending.pop()
        return self._conditions[name]

    def _if(self, words: Sequence[Any]) -> Any:
        return self._value(words[1] if self._condition(words[0]) else words[2])

    def _join(self, words: Sequence[Any]) -> str:
        parts = self._value(words[1])
        if not isinstance(parts, list):
            raise self._error("joins no list", "Fn::Join")
        return str(words[0]).join(_text(part) for part in parts)

    def _select(self, words: Sequence[Any]) -> Any:
        items, number = self._value(words[1]), int(self._value(words[0]))
        if not isinstance(items, list) or not 0 <= number < len(items):
            what = f"takes item {number} of {len(items) if isinstance(items, list) else 'no list'}"
            raise self._error(what, "Fn::Select")
        return items[number]

    def _sub(self, words: Any) -> str:
        text, more = (words, {}) if isinstance(words, str) else (words[0], words[1])
        values = {name: _text(self._value(value)) for name, value in more.items()}

        def found(match: re.Match[str]) -> str:
            name = match[1].strip()
            if name in values:
                return values[name]
            return _text(self._attribute(name.split(".", 1)) if "." in name else self._ref(name))

        return _PLACE.sub(found, str(text)).replace("${!", "${")

    def _zones(self, region: Any) -> List[str]:
        named = self._value(region)
        if named not in ("", self._setting.region):
            raise self._error(f"asks for the zones of {named!r}, another region", "Fn::GetAZs")
        return list(self._setting.zones)

    def _attribute(self, words: Any) -> Any:
        name, attribute = words if isinstance(words, list) else str(words).split(".", 1)
        if name not in self._template["Resources"]:
            raise self._error("there is no such resource", f"Fn::GetAtt {name}.{attribute}")
        return {"Fn::GetAtt": [name, attribute]}

    def _find(self, words: Sequence[Any]) -> Any:
        table: Any = self._template.get("Mappings") or {}
        for word in words:
            key = self._value(word)
            if key not in table:
                raise self._error(f"there is no {key!r}", "Fn::FindInMap")
            table = table[key]
        return table

    def _check_references(self, part: Mapping[str, Any]) -> None:
        """What a resource refers to must be made as well."""
        for name, entry in part.items():
            for target in references(entry):
                if target in self._template["Resources"] and not self._is_there(self._template["Resources"][target], target):
                    raise self._error(f"refers to {target}, which is not made with these parameters", name)

    @staticmethod
    def _error(what: str, where: str) -> ConfigError:
        return ConfigError(what, where=f"{WHERE}: {where}", remedy="correct the template or the parameters")


def references(value: Any) -> List[str]:
    """Names of the resources that a rendered value refers to."""
    if isinstance(value, str):
        return [match[1].split(".")[0] for match in _PLACE.finditer(value) if not match[1].startswith("AWS::")]
    if isinstance(value, list):
        return [name for item in value for name in references(item)]
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("Ref"), str):
            return [value["Ref"]]
        if len(value) == 1 and isinstance(value.get("Fn::GetAtt"), list):
            return [value["Fn::GetAtt"][0]]
        return [name for item in value.values() for name in references(item)]
    return []


def _text(value: Any) -> str:
    """A value inside of a text; a resource stays as ``${NAME}``."""
    if isinstance(value, dict):
        if "Ref" in value:
            return f"${{{value['Ref']}}}"
        if "Fn::GetAtt" in value:
            return "${" + ".".join(value["Fn::GetAtt"]) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
