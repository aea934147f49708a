"""A CloudFormation template as it would be with given parameters, without AWS.

Conditions and intrinsic functions are carried out; references to resources stay as ``{"Ref": NAME}`` and
``{"Fn::GetAtt": [NAME, ATTRIBUTE]}``, or as ``${NAME}`` inside of texts.
Source of the rules: AWS CloudFormation User Guide, intrinsic function reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from hvdsm.errors import ConfigError
from hvdsm.vpc.templates.blaming import MALFORMED, shown
from hvdsm.vpc.templates.functions import PLACE, after, blocks_of, check_words, circle, number_of, text_of, within
from hvdsm.vpc.templates.functions import references as references
from hvdsm.vpc.templates.reading import WHERE, values_of

_NOTHING = {"Ref": "AWS::NoValue"}
# Values that only AWS knows: they stay as they are.
_UNKNOWN = ("Fn::ImportValue", "Fn::Base64", "Fn::Transform", "Fn::GetStackOutput")


class RuleRefused(ConfigError):
    """An assertion of the template's own rules refuses the parameters."""


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
            "Fn::Equals": self._equals,
            "Fn::Not": lambda words: not self._truth(words[0]),
            "Fn::And": lambda words: self._truths(words) == {True},
            "Fn::Or": lambda words: True in self._truths(words),
            "Fn::Join": self._join,
            "Fn::Split": self._split,
            "Fn::Select": self._select,
            "Fn::Sub": self._sub,
            "Fn::GetAZs": self._zones,
            "Fn::GetAtt": self._attribute,
            "Fn::FindInMap": self._find,
            "Fn::Cidr": self._cidr,
            "Fn::Contains": lambda words: self._value(words[1]) in self._value(words[0]),
        }

    def render(self) -> Rendered:
        self._rules()
        # All of them, since a condition that cannot be carried out is an error wherever it is used.
        for name in self._template.get("Conditions") or {}:
            self._condition(name)
        resources = {}
        for name, entry in self._template["Resources"].items():
            if self._is_there(entry, name):
                resources[name] = self._made(name, entry)
        self._check_references(resources)
        self._check_order(resources)
        outputs = {}
        for name, entry in (self._template.get("Outputs") or {}).items():
            if self._is_there(entry, name):
                outputs[name] = self._made(name, entry)
        self._check_references(outputs)
        return Rendered(resources, outputs, dict(self._values), self._setting)

    def _made(self, name: str, entry: Mapping[str, Any]) -> Dict[str, Any]:
        with within(name):
            return {key: self._value(value) for key, value in entry.items() if key != "Condition"}

    def _is_there(self, entry: Mapping[str, Any], name: str) -> bool:
        if not isinstance(entry, Mapping):
            raise self._error("is no mapping", name)
        return "Condition" not in entry or self._condition(entry["Condition"])

    def _rules(self) -> None:
        for name, rule in (self._template.get("Rules") or {}).items():
            if "RuleCondition" in rule and not self._truth(rule["RuleCondition"]):
                continue
            for assertion in rule.get("Assertions") or ():
                if not self._truth(assertion["Assert"]):
                    what = str(assertion.get("AssertDescription", "does not hold"))
                    raise RuleRefused(what, where=f"{WHERE}: rule {name}", remedy="give other parameters")

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            items = [self._value(item) for item in value]
            return [item for item in items if item != _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, inner), *_ = value.items()
            if name in self._functions and not (name == "Condition" and not isinstance(inner, str)):
                check_words(name, inner)
                try:
                    return self._functions[name](inner)
                except MALFORMED:
                    raise self._error(f"is given {shown(inner)}, which is not what it takes", str(name)) from None
            if name in _UNKNOWN:
                return value
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
            "AWS::StackId": f"arn:{self._setting.partition}:cloudformation:{self._setting.region}:stack/{self._setting.stack}",
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
            with within(f"Condition {name}"):
                self._conditions[name] = self._truth(declared[name])
            self._pending.pop()
        return self._conditions[name]

    def _truth(self, value: Any) -> bool:
        found = self._value(value)
        if not isinstance(found, bool):
            raise self._error(f"{shown(value)} is neither true nor false", "condition")
        return found

    def _truths(self, words: Sequence[Any]) -> Set[bool]:
        # All of them, since one that cannot be carried out is an error whatever the others are.
        return {self._truth(word) for word in words}

    def _equals(self, words: Sequence[Any]) -> bool:
        one, two = (self._value(word) for word in words)
        if isinstance(one, (dict, list)) or isinstance(two, (dict, list)):
            raise self._error("compares what is no text", "Fn::Equals")
        return text_of(one) == text_of(two)

    def _if(self, words: Sequence[Any]) -> Any:
        return self._value(words[1] if self._condition(words[0]) else words[2])

    def _join(self, words: Sequence[Any]) -> str:
        parts = self._value(words[1])
        if not isinstance(parts, list):
            raise self._error("joins no list", "Fn::Join")
        return str(words[0]).join(text_of(part) for part in parts)

    def _select(self, words: Sequence[Any]) -> Any:
        items, number = self._value(words[1]), number_of(self._value(words[0]), "Fn::Select")
        if isinstance(items, dict):
            # An item of a list that only AWS knows.
            return {"Fn::Select": [number, items]}
        if not isinstance(items, list) or not 0 <= number < len(items):
            raise self._error(f"takes item {number} of {len(items) if isinstance(items, list) else 'no list'}", "Fn::Select")
        return items[number]

    def _split(self, words: Sequence[Any]) -> Any:
        text = self._value(words[1])
        return {"Fn::Split": [words[0], text]} if isinstance(text, dict) else str(text).split(str(words[0]))

    def _cidr(self, words: Sequence[Any]) -> List[str]:
        """Blocks of a number of host bits, one after the other, from a block or from that of a network of the template."""
        value = self._value(words[0])
        if isinstance(value, dict) and isinstance(value.get("Fn::GetAtt"), list):
            value = self._value(self._template["Resources"][value["Fn::GetAtt"][0]]["Properties"].get("CidrBlock"))
        count, bits = (number_of(self._value(word), "Fn::Cidr") for word in (words[1], words[2] if len(words) > 2 else 8))
        return blocks_of(value, count, bits)

    def _sub(self, words: Any) -> str:
        text, more = (words, {}) if isinstance(words, str) else (words[0], words[1])
        values = {name: text_of(self._value(value)) for name, value in more.items()}

        def found(match: re.Match[str]) -> str:
            name = match[1].strip()
            if name in values:
                return values[name]
            return text_of(self._attribute(name.split(".", 1)) if "." in name else self._ref(name))

        return PLACE.sub(found, str(text)).replace("${!", "${")

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

    def _check_order(self, resources: Mapping[str, Any]) -> None:
        """No resource may wait for itself, nor for one that is not in the template."""
        for name, entry in resources.items():
            strange = [other for other in after(entry) if other not in self._template["Resources"]]
            if strange:
                raise self._error(f"depends on {strange[0]}, which is no resource", name)
        names = circle(resources)
        if names:
            what = f"Circular dependency between resources: [{', '.join(names)}]"
            remedy = "take one of the references away; rules of a group about itself are resources of their own"
            raise ConfigError(what, where=f"{WHERE}: {names[0]}", remedy=remedy)

    @staticmethod
    def _error(what: str, where: str) -> ConfigError:
        return ConfigError(what, where=f"{WHERE}: {where}", remedy="correct the template or the parameters")
