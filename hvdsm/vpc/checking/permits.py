"""What the policy of an endpoint lets through.

Source: AWS Identity and Access Management User Guide, policy evaluation logic and condition operators.  A condition on something
that is not known here makes the answer uncertain, never a yes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional

YES, NO, MAYBE = "yes", "no", "maybe"


@dataclass(frozen=True)
class Asked:
    """A request that is judged.

    Attributes:
        action: such as ``s3:GetObject``.
        resource: ARN of the bucket or object.
        account: account of who asks; empty where that is not known.
        owner: account that the resource belongs to; empty where that is not known.
        vpc: the network that the request comes from.
        endpoint: the endpoint that it goes through.
        region: where it is sent to.
    """

    action: str
    resource: str
    account: str = ""
    owner: str = ""
    vpc: str = ""
    endpoint: str = ""
    region: str = ""

    def value(self, key: str) -> Optional[str]:
        """The value of a condition key; None where it is not known."""
        known: Dict[str, str] = {
            "aws:resourceaccount": self.owner,
            "s3:resourceaccount": self.owner,
            "aws:principalaccount": self.account,
            "aws:sourcevpc": self.vpc,
            "aws:sourcevpce": self.endpoint,
            "aws:requestedregion": self.region,
            "aws:securetransport": "true",
        }
        return known.get(key.lower()) or None


def verdict(document: Any, asked: Asked) -> str:
    """Whether a policy lets a request through: ``yes``, ``no`` or ``maybe``; no policy lets everything through."""
    if not isinstance(document, Mapping):
        return YES
    answers = [(str(one.get("Effect")).lower(), _applies(one, asked)) for one in _statements(document)]
    denied = [answer for effect, answer in answers if effect == "deny"]
    allowed = [answer for effect, answer in answers if effect == "allow"]
    if YES in denied or not any(answer in (YES, MAYBE) for answer in allowed):
        return NO
    return YES if YES in allowed and MAYBE not in denied else MAYBE


def _statements(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    found = document.get("Statement") or ()
    for one in [found] if isinstance(found, Mapping) else found:
        if isinstance(one, Mapping):
            yield one


def _applies(statement: Mapping[str, Any], asked: Asked) -> str:
    return _all(
        [
            _matches(statement, "Action", asked.action, fold=True),
            _matches(statement, "Resource", asked.resource),
            _principal(statement, asked),
            *_conditions(statement.get("Condition") or {}, asked),
        ]
    )


def _all(answers: List[str]) -> str:
    if NO in answers:
        return NO
    return MAYBE if MAYBE in answers else YES


def words(value: Any) -> List[str]:
    """A value that may be one text or a list of them, as a list."""
    if value is None:
        return []
    return [_text(item) for item in value] if isinstance(value, (list, tuple)) else [_text(value)]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _like(pattern: str, text: str, fold: bool = False) -> bool:
    # Brackets mean nothing in a policy.
    return re.fullmatch(translate(pattern.replace("[", "[[]")), text, re.IGNORECASE if fold else 0) is not None


def _matches(statement: Mapping[str, Any], key: str, text: str, fold: bool = False) -> str:
    if f"Not{key}" in statement:
        return NO if any(_like(one, text, fold) for one in words(statement[f"Not{key}"])) else YES
    return YES if any(_like(one, text, fold) for one in words(statement.get(key))) else NO


def _principal(statement: Mapping[str, Any], asked: Asked) -> str:
    if "NotPrincipal" in statement:
        return MAYBE
    value = statement.get("Principal", "*")
    named = words(value.get("AWS")) if isinstance(value, Mapping) else words(value)
    if "*" in named:
        return YES
    if not named:
        return NO
    mine = [
        name for name in named if asked.account and re.fullmatch(rf"{asked.account}|arn:[\w-]+:iam::{asked.account}:root", name)
    ]
    if mine:
        return YES
    # A role's name does not tell whether it is the job's.
    others = [name for name in named if asked.account and re.search(r"\b\d{12}\b", name) and asked.account not in name]
    return NO if len(others) == len(named) else MAYBE


_OPERATORS: Dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda pattern, text: pattern == text,
    "StringEqualsIgnoreCase": lambda pattern, text: pattern.lower() == text.lower(),
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": lambda pattern, text: pattern.lower() == text,
}


def _conditions(conditions: Mapping[str, Any], asked: Asked) -> Iterator[str]:
    for operator, entries in conditions.items():
        name = str(operator).split(":")[-1].replace("IfExists", "")
        negated = name.replace("Not", "", 1) if "Not" in name else None
        compare = _OPERATORS.get(negated or name)
        for key, wanted in entries.items() if isinstance(entries, Mapping) else ():
            value = asked.value(str(key))
            if compare is None or value is None:
                yield MAYBE
                continue
            found = any(compare(pattern, value) for pattern in words(wanted))
            yield YES if found is (negated is None) else NO
