"""The forms that a template can take: parameter values which, all together, try each of its conditions in every way."""

from __future__ import annotations

import itertools
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

from hvdsm.errors import ConfigError
from hvdsm.vpc.templates.reading import WHERE, fits

# More forms than this are thinned out: every pair of values is then tried with the defaults of the other parameters.
MOST = 128
# A longer list of values is of numbers or sizes, none of which makes another network.
_MOST_PLAIN = 4
_CIDRS = ("10.0.0.0/16", "10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24")
# Values, other than its defaults, of the parameters that the packaged template has.
_OTHER_BLOCKS = {
    "VpcCidrBlock": "172.20.0.0/20",
    "SubnetCidrBlock1": "172.20.0.0/26",
    "SubnetCidrBlock2": "172.20.1.0/26",
    "SubnetCidrBlock3": "172.20.2.0/26",
}
# Tried one after the other for a parameter that has neither a default nor a list of values.
_GUESSES = ("", "hvdsm-training", "1", "true", "us-east-1a", "arn:aws:s3:::open-data", "open-data", "ami-0123456789abcdef0", "a1")
_BUCKETS = "arn:aws:s3:::open-data,arn:aws:s3:::more-data"


def forms(template: Mapping[str, Any], given: Mapping[str, str], zones: Sequence[str]) -> List[Dict[str, str]]:
    """Parameter values for each form of a template.

    Args:
        template: from :func:`hvdsm.vpc.templates.reading.load`.
        given: values that are fixed.
        zones: names of Availability Zones, for parameters that take one.

    Returns:
        One dictionary a form; the first has the defaults.

    Raises:
        ConfigError: a parameter without a default takes no value that could be thought of.
    """
    declared: Mapping[str, Mapping[str, Any]] = template.get("Parameters") or {}
    first = {
        **{name: str(about.get("Default", "")) for name, about in declared.items()},
        **_needed(declared, given, zones),
        **given,
    }
    switches: Dict[str, Tuple[str, ...]] = {}
    texts: Dict[str, Dict[str, Tuple[str, ...]]] = {}
    for name in _tested(template):
        about = declared[name]
        values = tuple(dict.fromkeys([first[name], *_values(about, zones)]))
        if name in given:
            continue
        if about.get("AllowedValues"):
            switches[name] = values
        else:
            # Parameters of one kind, as the names of zones, may get in each other's way: they are tried together.
            texts.setdefault(f"{about.get('Type')} {about.get('AllowedPattern')}", {})[name] = values
    found = [first]
    # Those that no condition asks about are properties themselves: each of their values is tried once.
    plain = {name: _values(about, zones) for name, about in declared.items() if about.get("AllowedValues") and name not in given}
    for name, listed in plain.items():
        if name not in switches and len(listed) <= _MOST_PLAIN:
            found += [{**first, name: value} for value in listed]
    found += [{**first, **form} for form in _combined(switches)]
    for group in texts.values():
        near = {name for unit in _units(template) if unit & set(group) for name in unit}
        for form in _combined(group):
            found.append({**first, **form})
            found += [{**first, **form, name: value} for name in near & set(switches) for value in switches[name][1:]]
    return [dict(form) for form in dict.fromkeys(tuple(sorted(form.items())) for form in found)]


def elsewhere(template: Mapping[str, Any], zones: Sequence[str]) -> Dict[str, str]:
    """A form with other values than the defaults: other addresses, and of a list the last, as a rule that with most resources."""
    declared: Mapping[str, Mapping[str, Any]] = template.get("Parameters") or {}
    lists = {name: str(about["AllowedValues"][-1]) for name, about in declared.items() if about.get("AllowedValues")}
    switches = {name: "true" for name, about in declared.items() if lists.get(name) == "false" and about.get("Default") == "true"}
    blocks = {name: block for name, block in _OTHER_BLOCKS.items() if name in declared and accepts(declared[name], block)}
    # Some of them only might not suit each other.
    others = blocks if set(blocks) == set(_OTHER_BLOCKS) & set(declared) else {}
    return {**_needed(declared, {}, zones), **lists, **switches, **others}


def _combined(choices: Mapping[str, Tuple[str, ...]]) -> Iterator[Dict[str, str]]:
    names = list(choices)
    total = 1
    for values in choices.values():
        total *= len(values)
    if total <= MOST:
        for words in itertools.product(*choices.values()):
            yield dict(zip(names, words))
        return
    for one, two in itertools.combinations(names, 2):
        for words in itertools.product(choices[one], choices[two]):
            yield {one: words[0], two: words[1]}


def _values(about: Mapping[str, Any], zones: Sequence[str]) -> List[str]:
    allowed = [str(value) for value in about.get("AllowedValues") or ()]
    if allowed:
        return allowed
    found = [zone for zone in zones[:3] if accepts(about, zone)]
    return found or [value for value in (_BUCKETS, "", "example") if accepts(about, value)][:1]


def accepts(about: Mapping[str, Any], value: str) -> bool:
    """Whether a parameter's pattern and lengths take a value."""
    pattern = str(about.get("AllowedPattern", ".*"))
    low, high = int(about.get("MinLength", 0)), int(about.get("MaxLength", 4096))
    is_list = "List" in str(about.get("Type"))
    return all(fits(pattern, part) and low <= len(part) <= high for part in (value.split(",") if is_list else [value]))


def _needed(declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str], zones: Sequence[str]) -> Dict[str, str]:
    """Values of parameters that have no default."""
    found: Dict[str, str] = {}
    blocks = iter(_CIDRS)
    for name, about in declared.items():
        if "Default" in about or name in given:
            continue
        kind, allowed = str(about.get("Type")), about.get("AllowedValues")
        guesses: List[str] = [str(value) for value in allowed] if allowed else []
        if not guesses and "AvailabilityZone" in kind:
            guesses = [",".join(zones[:2])] if kind.startswith("List<") else [zones[len(found) % len(zones)]]
        if not guesses and kind == "Number":
            guesses = [str(about.get("MinValue", 1))]
        if not guesses and "cidr" in name.lower():
            guesses = [next(blocks, _CIDRS[0]), *_CIDRS]
        chosen = next((value for value in [*guesses, *([] if allowed else _GUESSES)] if accepts(about, value)), None)
        if chosen is None:
            raise ConfigError("has no default", where=f"{WHERE}: parameter {name}", remedy=f"give a value: {name}=VALUE")
        found[name] = chosen
    return found


def _units(template: Mapping[str, Any]) -> List[Set[str]]:
    """The parameters that each resource and rule asks for: those of one may act on each other."""
    declared = set(template.get("Parameters") or {})
    asked = {name: _named(text) & declared for name, text in (template.get("Conditions") or {}).items()}
    entries = [*template["Resources"].values(), *(template.get("Rules") or {}).values()]
    return [{name for word in _named(entry) for name in ({word} & declared) | asked.get(word, set())} for entry in entries]


def _named(value: Any) -> Set[str]:
    """All texts in a value: names of parameters and conditions among them."""
    if isinstance(value, dict):
        return {name for inner in value.values() for name in _named(inner)}
    if isinstance(value, list):
        return {name for inner in value for name in _named(inner)}
    return {value} if isinstance(value, str) else set()


def _tested(template: Mapping[str, Any]) -> List[str]:
    """Parameters that conditions or rules ask about."""
    text = str(template.get("Conditions") or {})
    return [name for name in template.get("Parameters") or {} if f"'{name}'" in text]
