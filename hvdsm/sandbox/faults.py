"""Faults that are put into the sandbox on purpose: errors, dropped connections, delays, credentials that have expired."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Callable, List, Optional, Set, Union

from hvdsm.sandbox.wire import Request, ServiceError

BEFORE = "before"
AFTER = "after"
_MESSAGES = {
    "ThrottlingException": "Rate exceeded",
    "Throttling": "Rate exceeded",
    "SlowDown": "Please reduce your request rate.",
    "AccessDeniedException": "User: arn:aws:iam::123456789012:user/sandbox is not authorized to perform this action",
    "AccessDenied": "Access Denied",
    "ExpiredTokenException": "The security token included in the request is expired",
    "ExpiredToken": "The provided token has expired.",
    "UnrecognizedClientException": "The security token included in the request is invalid.",
    "ResourceLimitExceeded": "The account-level service limit 'ml.p4d.24xlarge for training job usage' is 0 Instances, with "
    "current utilization of 0 Instances and a request delta of 2 Instances. Please use AWS Service Quotas to request an "
    "increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this quota.",
    "InternalFailure": "The request processing has failed because of an unknown error, exception or failure.",
    "ServiceUnavailable": "The service is unavailable. Please try again shortly.",
}
_OF_STATUS = {
    500: "InternalFailure",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
    429: "ThrottlingException",
}
_STATUS = {"SlowDown": 503, "ServiceUnavailable": 503, "InternalFailure": 500, "AccessDenied": 403}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with certain requests.

    Attributes:
        operation: name of the operation, such as ``DescribeTrainingJob`` or ``PutObject``; ``*`` is every one.
        times: how many matching requests it strikes; None is all of them.
        after: how many matching requests pass unharmed first.
        service: signing name of the service, such as ``s3``; None is any.
        error: code of the error that is answered.
        message: its message; a fitting one by default.
        status: its HTTP status; 400 for most codes.
        drop_connection: ``before`` (or True): hang up without a word; ``after``: carry the request out, then hang up.
        delay: seconds to wait before the request is carried out, or the fault strikes.
        matches: decides from the request; None takes all of the operation.
    """

    operation: str = "*"
    times: Optional[int] = 1
    after: int = 0
    service: Optional[str] = None
    error: Optional[str] = None
    message: Optional[str] = None
    status: Optional[int] = None
    drop_connection: Union[bool, str] = False
    delay: float = 0.0
    matches: Optional[Callable[[Request], bool]] = None

    def is_meant(self, request: Request) -> bool:
        """Whether it is about such a request."""
        return (
            self.operation in ("*", request.operation)
            and self.service in (None, request.service)
            and (self.matches is None or self.matches(request))
        )

    def as_error(self) -> Optional[ServiceError]:
        """The error to answer with; None when the request is carried out."""
        if self.error is None and self.status is None:
            return None
        code = self.error or _OF_STATUS.get(self.status or 500, "InternalFailure")
        status = self.status or _STATUS.get(code, 400)
        return ServiceError(code, self.message or _MESSAGES.get(code, f"{code} (injected)"), status)


@dataclass
class _Entry:
    """A fault, and how many requests it has met."""

    fault: Fault
    met: int = 0

    @property
    def is_used_up(self) -> bool:
        return self.fault.times is not None and self.met >= self.fault.after + self.fault.times


class Faults:
    """The faults of a sandbox; safe to change while requests come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: List[_Entry] = []
        self._expired: Set[str] = set()
        # Refuse requests without a signature.
        self.signature_required = False

    def add(self, *faults: Fault) -> None:
        """Add faults; for a request the first that is meant and not used up strikes."""
        with self._lock:
            self._faults.extend(_Entry(fault) for fault in faults)

    def clear(self) -> None:
        """Forget all faults; expired credentials stay so."""
        with self._lock:
            self._faults.clear()

    def expire(self, access_key: str) -> None:
        """From now on requests signed with this access key get ExpiredTokenException."""
        with self._lock:
            self._expired.add(access_key)

    def renew(self, access_key: str) -> None:
        """The access key is good again."""
        with self._lock:
            self._expired.discard(access_key)

    def left(self) -> List[Fault]:
        """The faults that may strike yet."""
        with self._lock:
            return [entry.fault for entry in self._faults if not entry.is_used_up]

    def take(self, request: Request) -> Optional[Fault]:
        """The fault that strikes a request, which counts for it."""
        with self._lock:
            for entry in self._faults:
                if entry.is_used_up or not entry.fault.is_meant(request):
                    continue
                entry.met += 1
                if entry.met > entry.fault.after:
                    return entry.fault
        return None

    def check_credentials(self, request: Request) -> None:
        """Look at the access key of a request; signatures are not computed.

        Raises:
            ServiceError: it has expired, or there is none where one is needed.
        """
        with self._lock:
            expired = request.access_key in self._expired
        if expired:
            code = "ExpiredTokenException" if request.is_json else "ExpiredToken"
            raise ServiceError(code, _MESSAGES[code], 400 if request.is_json or request.service == "s3" else 403)
        if self.signature_required and request.access_key is None:
            if request.is_json:
                raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token")
            raise ServiceError("AccessDenied", _MESSAGES["AccessDenied"], 403)
