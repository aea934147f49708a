"""Intrinsic functions of CloudFormation that need nothing of a template.

Source of the rules: AWS CloudFormation User Guide, intrinsic function reference.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from contextlib import contextmanager
from typing import Any, Iterator, List, Mapping

from hvdsm.errors import ConfigError
from hvdsm.vpc.templates.blaming import shown
from hvdsm.vpc.templates.reading import WHERE

# A reference inside of a text; one that begins with ! stands for itself.
PLACE = re.compile(r"\$\{([^!][^}]*)\}")
# How many words a function takes, at least and at most.
_WORDS = {
    "Fn::Equals": (2, 2),
    "Fn::Not": (1, 1),
    "Fn::And": (2, 10),
    "Fn::Or": (2, 10),
    "Fn::If": (3, 3),
    "Fn::Join": (2, 2),
    "Fn::Split": (2, 2),
    "Fn::Select": (2, 2),
    "Fn::Cidr": (2, 3),
    "Fn::Contains": (2, 2),
}


def check_words(name: str, words: Any) -> None:
    """Refuse a function with too few words or too many.

    Raises:
        ConfigError: it has not the words that it takes.
    """
    low, high = _WORDS.get(name, (0, 0))
    if high and not (isinstance(words, list) and low <= len(words) <= high):
        many = f"{low}" if low == high else f"{low} to {high}"
        raise ConfigError(f"takes a list of {many}, not {shown(words)}", where=f"{WHERE}: {name}", remedy="correct the template")


def references(value: Any) -> List[str]:
    """Names of the resources that a rendered value refers to."""
    if isinstance(value, str):
        return [match[1].split(".")[0] for match in PLACE.finditer(value) if not match[1].startswith("AWS::")]
    if isinstance(value, list):
        return [name for item in value for name in references(item)]
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("Ref"), str):
            return [value["Ref"]]
        if len(value) == 1 and isinstance(value.get("Fn::GetAtt"), list):
            return [value["Fn::GetAtt"][0]]
        return [name for item in value.values() for name in references(item)]
    return []


def circle(resources: Mapping[str, Mapping[str, Any]]) -> List[str]:
    """Names of rendered resources that wait for each other; none where each can be made after those that it needs."""
    needs = {
        name: {*references(entry.get("Properties") or {}), *after(entry)} & set(resources) for name, entry in resources.items()
    }
    # What needs nothing, or what nothing needs, is in no circle.
    while needs:
        needed = {name for names in needs.values() for name in names}
        left = {name: names & set(needs) for name, names in needs.items() if names & set(needs) and name in needed}
        if left == needs:
            return sorted(left)
        needs = left
    return []


def after(entry: Mapping[str, Any]) -> List[str]:
    """What a resource's DependsOn names."""
    named = entry.get("DependsOn") or []
    return [named] if isinstance(named, str) else [str(name) for name in named]


def text_of(value: Any) -> str:
    """A value inside of a text; a resource stays as ``${NAME}``."""
    if isinstance(value, dict):
        if "Ref" in value:
            return f"${{{value['Ref']}}}"
        if "Fn::GetAtt" in value:
            return "${" + ".".join(value["Fn::GetAtt"]) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def blocks_of(value: Any, count: int, bits: int) -> List[str]:
    """Blocks of a number of host bits, one after the other, as Fn::Cidr makes them.

    Raises:
        ConfigError: the value is no block, or has fewer.
    """
    where = f"{WHERE}: Fn::Cidr"
    try:
        block = ipaddress.ip_network(value)
        found = list(itertools.islice(block.subnets(new_prefix=block.max_prefixlen - bits), count))
    except (TypeError, ValueError):
        what = f"cannot make blocks of {bits} host bits of {shown(value)}"
        raise ConfigError(what, where=where, remedy="give a block of addresses that is larger") from None
    if len(found) < count:
        what = f"asks for {count} blocks of {value}, which has {len(found)}"
        raise ConfigError(what, where=where, remedy="ask for fewer, or smaller ones")
    return [str(one) for one in found]


def number_of(value: Any, name: str) -> int:
    """A number from what a function was given in its place.

    Raises:
        ConfigError: it is none.
    """
    if not re.fullmatch(r"[0-9]+", str(value)):
        what = f"is given {shown(value)} in the place of a number"
        raise ConfigError(what, where=f"{WHERE}: {name}", remedy="correct the template or the parameters")
    return int(value)


@contextmanager
def within(name: str) -> Iterator[None]:
    """Say in which part of the template something is wrong; what is more than a ConfigError goes on as it is."""
    try:
        yield
    except ConfigError as error:
        place = (error.where or "").replace(f"{WHERE}: ", "")
        if place.startswith(name) or type(error) is not ConfigError:
            raise
        raise ConfigError(error.what, where=f"{WHERE}: {name}: {place}", remedy=error.remedy) from None
