"""Whether a policy document allows a request, as far as it can be told without AWS.

Source of the rules: AWS IAM User Guide, policy evaluation logic; Amazon S3 User Guide, keys for conditions.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Any, List, Mapping, Optional

from hvdsm.vpc.templates.functions import text_of
from hvdsm.vpc.templates.naming import words

_ABOUT_ASKERS = ("aws:sourcevpc", "aws:sourcevpce", "aws:principalaccount", "aws:principalorgid", "aws:principalorgpaths")
_EQUAL = ("StringEquals", "StringEqualsIgnoreCase", "StringLike")
_ACCOUNT_KEYS = ("aws:resourceaccount", "s3:resourceaccount")


@dataclass(frozen=True)
class Request:
    """A request to be judged.

    Attributes:
        action: such as ``s3:GetObject``.
        resource: its ARN.
        owner: the account that the resource belongs to.
        vpc: the network that it comes from: its id, or ``${NAME}`` of the template.
        endpoint: the endpoint that it goes through, as ``${NAME}``.
        lenient: whether conditions on who asks, and from where, are taken to be met where that is not known.
        account: the account of who asks.
    """

    action: str
    resource: str
    owner: str = ""
    vpc: str = ""
    endpoint: str = ""
    lenient: bool = False
    account: str = ""


def allows(document: Any, request: Request, *, doubtful: bool) -> bool:
    """Whether a document allows a request of anybody.

    Args:
        document: the policy; None allows all, as an endpoint without a policy does.
        request: what is asked for.
        doubtful: whether a condition that cannot be judged is taken to hold. False asks whether the request surely passes,
            True whether it might.
    """
    if document is None:
        return True
    found = False
    for statement in statements(document):
        allow = statement.get("Effect") == "Allow"
        # What cannot be judged may deny as well as not allow.
        if _matches(statement, request, doubtful if allow else not doubtful):
            if not allow:
                return False
            found = True
    return found


def statements(document: Any) -> List[Mapping[str, Any]]:
    """The statements of a document."""
    found = document.get("Statement") if isinstance(document, dict) else None
    listed = found if isinstance(found, list) else [found]
    return [statement for statement in listed if isinstance(statement, dict)]


def _matches(statement: Mapping[str, Any], request: Request, doubtful: bool) -> bool:
    if any(key in statement for key in ("NotAction", "NotResource", "NotPrincipal")):
        return doubtful
    if not any(like(pattern.lower(), request.action.lower()) for pattern in words(statement.get("Action"))):
        return False
    resources = words(statement.get("Resource"))
    # A trust policy has none.
    if "Resource" in statement and not any(like(pattern, request.resource) for pattern in resources):
        return False
    if "Principal" in statement and not is_everybody(statement["Principal"]) and not doubtful:
        return False
    return all(
        _holds(operator, key, values, request, doubtful, statement.get("Effect") == "Allow")
        for operator, keys in (statement.get("Condition") or {}).items()
        for key, values in keys.items()
    )


def is_owner(key: str) -> bool:
    """Whether a key of a condition is the account that a bucket belongs to."""
    return key.lower() in _ACCOUNT_KEYS


def is_everybody(principal: Any) -> bool:
    """Whether a principal is anybody."""
    return principal == "*" or (isinstance(principal, dict) and words(principal.get("AWS")) == ["*"])


def _holds(operator: str, key: str, values: Any, request: Request, doubtful: bool, allow: bool) -> bool:
    name = operator.replace("IfExists", "")
    negated = name.startswith("StringNot")
    listed = [_plain(value) for value in (values if isinstance(values, list) else [values])]
    if key.lower() in _ABOUT_ASKERS:
        # Who asks, and from which network: what may well hold for a job is neither sure nor wrong.
        known = {"aws:principalaccount": request.account, "aws:sourcevpc": request.vpc, "aws:sourcevpce": request.endpoint}
        mine = known.get(key.lower(), "")
        if mine and name.replace("Not", "") in _EQUAL and (mine in listed or all(text.startswith("${") for text in listed)):
            return (mine in listed) is not negated
        return allow if request.lenient else doubtful
    # Clients of S3 ask by HTTPS.
    known = {**dict.fromkeys(_ACCOUNT_KEYS, request.owner), "aws:securetransport": "true"}
    value: Optional[str] = known.get(key.lower())
    if value is None:
        return doubtful
    if name == "Bool":
        return value in [text.lower() for text in listed]
    # The account may be missing, as of a request that names no bucket.
    if name != operator and doubtful:
        return True
    if name in ("StringEquals", "StringEqualsIgnoreCase"):
        return value in listed
    if name == "StringLike":
        return any(like(pattern, value) for pattern in listed)
    if name in ("StringNotEquals", "StringNotEqualsIgnoreCase"):
        return value not in listed
    return doubtful


def _plain(value: Any) -> str:
    """A value as text; the id of a resource of the template as ``${NAME}``, however it is asked for."""
    return re.sub(r"^\$\{(\w+)\.(?:VpcId|Id)\}$", r"${\1}", text_of(value))


def like(pattern: str, text: str) -> bool:
    """Whether a pattern of a policy takes a text."""
    # Brackets have no meaning here.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))
