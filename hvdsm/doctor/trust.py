"""Who may take on a role, judged from its trust policy.  Pure.

Source: IAM User Guide, "How a role's trust policy is evaluated": a Deny goes before any Allow, and conditions narrow a statement.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any, List, Mapping, Optional, Tuple

SERVICE = "sagemaker.amazonaws.com"
ARN = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[^/]+/)*([\w+=,.@-]{1,64})")
_ACTION = "sts:assumerole"
# Operators that a value meets by being like one of those listed.
_POSITIVE = ("StringEquals", "StringLike", "ArnLike", "ArnEquals", "StringEqualsIgnoreCase")


def trusts(policy: Mapping[str, Any], account: str, service: str = SERVICE) -> Tuple[Optional[bool], str]:
    """Whether a service may take on the role, None where a condition decides that is not known here; and why.

    Args:
        policy: AssumeRolePolicyDocument.
        account: of the role; conditions on the source account are compared with it.
        service: its principal.
    """
    statements = _listed(policy.get("Statement"))
    mine = [one for one in statements if isinstance(one, Mapping) and _is_of(one, service) and _is_assume(one)]
    allowed: List[Optional[bool]] = []
    for one in mine:
        met = _met(one.get("Condition"), account)
        if one.get("Effect") == "Deny" and met is not False:
            return (False if met else None), "a statement denies it" + ("" if met else " under a condition")
        if one.get("Effect") == "Allow":
            allowed.append(met)
    if True in allowed:
        return True, ""
    if None in allowed:
        return None, "a condition decides that nobody can judge from here"
    if False in allowed:
        return False, f"its condition is for another account than {account}"
    others = sorted({name for one in statements if isinstance(one, Mapping) for name in _services(one)})
    return False, f"it trusts {', '.join(others)} alone" if others else "it trusts no service"


def _is_of(statement: Mapping[str, Any], service: str) -> bool:
    if "NotPrincipal" in statement:
        return statement.get("Effect") == "Deny" and service not in _names(statement["NotPrincipal"])
    # "*" stands for accounts and users: no service is among them where it is allowed, all are where it is denied.
    return service in _services(statement) or (statement.get("Effect") == "Deny" and statement.get("Principal") == "*")


def _services(statement: Mapping[str, Any]) -> List[str]:
    return _names(statement.get("Principal"))


def _names(principal: Any) -> List[str]:
    return [str(name) for name in _listed(principal.get("Service"))] if isinstance(principal, Mapping) else []


def _is_assume(statement: Mapping[str, Any]) -> bool:
    if "NotAction" in statement:
        return not any(_matches(pattern) for pattern in _listed(statement["NotAction"]))
    return any(_matches(pattern) for pattern in _listed(statement.get("Action")))


def _matches(pattern: Any) -> bool:
    return fnmatchcase(_ACTION, str(pattern).lower())


def _met(conditions: Any, account: str) -> Optional[bool]:
    """Whether SageMaker's request for a job of this account meets them; None where that is not known."""
    answer: Optional[bool] = True
    for operator, keys in (conditions or {}).items():
        for key, values in keys.items() if isinstance(keys, Mapping) else ():
            one = _one(str(operator), str(key).lower(), [str(value) for value in _listed(values)], account)
            if one is False:
                return False
            answer = answer if one else None
    return answer


def _one(operator: str, key: str, values: List[str], account: str) -> Optional[bool]:
    if operator.replace("IfExists", "") not in _POSITIVE or any("$" in value for value in values):
        return None
    if key == "aws:sourceaccount":
        return any(fnmatchcase(account, value) for value in values)
    if key == "aws:sourcearn":
        parts = [value.split(":") for value in values]
        if not any(
            len(part) > 4 and fnmatchcase("sagemaker", part[2]) and fnmatchcase(account, part[4] or "*") for part in parts
        ):
            return False
        return True if any(part[3:4] in (["*"], [""]) and part[5:6] == ["*"] for part in parts) else None
    return None


def _listed(value: Any) -> List[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
