"""Requests that only look: to their last page, patient with throttling; what may not be read is noted instead of raised."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from hvdsm.aws.failures import AwsRefused, code_of, is_denied, patiently, translated
from hvdsm.aws.session import Aws

# Seconds that throttling, or a fault of AWS, is waited for.
PATIENCE = 120.0
# What stands in for AWS need not have every service: what cannot be made there need not be looked for.
_NOT_THERE = frozenset(("InvalidAction", "UnknownOperationException", "UnsupportedOperation", "NotImplemented", "OptInRequired"))


class Looking:
    """Asks AWS; safe to share between threads.

    Attributes:
        unread: a line for each thing that could not be read.
    """

    def __init__(self, aws: Aws, say: Callable[[str], None]) -> None:
        self.aws = aws
        self.unread: List[str] = []
        self._say = say

    def one(self, service: str, method: str, what: str, **asked: Any) -> Dict[str, Any]:
        """An answer; empty where it may not be read, or there is no such thing."""
        client = self.aws.client(service)
        try:
            with translated(f"look at {what}", self.aws.region):
                return dict(patiently(lambda: getattr(client, method)(**asked), say=self._say, limit=PATIENCE))
        except AwsRefused as error:
            operation = "".join(word.capitalize() for word in method.split("_"))
            if is_denied(error):
                note = f"{what} cannot be looked at: {service}:{operation} is not allowed"
            elif code_of(error) in _NOT_THERE or _is_gone(error):
                return {}
            else:
                note = f"{what} cannot be looked at: {error.what}"
            if note not in self.unread:
                self.unread.append(note)
            return {}

    def all(self, service: str, method: str, key: str, what: str, **asked: Any) -> List[Dict[str, Any]]:
        """The entries of all pages."""
        found: List[Dict[str, Any]] = []
        token: Dict[str, Any] = {}
        while True:
            page = self.one(service, method, what, **asked, **token)
            found += page.get(key) or []
            if not page.get("NextToken"):
                return found
            token = {"NextToken": page["NextToken"]}


def _is_gone(error: AwsRefused) -> bool:
    """Whether what was listed a moment ago is no longer there, or what is asked for is nowhere."""
    words = ("ould not find", "does not exist", "is not imported by any stack")
    return "NotFound" in code_of(error) or any(text in error.what for text in words)
