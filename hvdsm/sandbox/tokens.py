"""Tokens of pages: of places in a log stream, and of whatever else a next request must know."""

from __future__ import annotations

import base64
import json
from typing import Any, Mapping, Tuple

from hvdsm.sandbox.logstore import Stream
from hvdsm.sandbox.wire import ServiceError

# The places between two events that a token can name: a page without events changes it, too, now and then.
_PLACES = 16


def limit_of(body: Mapping[str, Any], most: int) -> int:
    """The page's size that a request asks for.

    Raises:
        ServiceError: it is out of range.
    """
    limit = body.get("limit")
    if limit is None:
        return most
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= most:
        problem = f"Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value between 1 and {most}"
        raise ServiceError("InvalidParameterException", f"1 validation error detected: {problem}")
    return limit


def token_of(way: str, place: int, count: int, stream: Stream) -> str:
    """The token of a place in a stream, forward (``f``) or backward (``b``)."""
    return f"{way}/{(stream.number << 80) + place * _PLACES + count % _PLACES:056d}/s"


def read_token(token: str, stream: Stream) -> Tuple[bool, int, int]:
    """Direction, place and count of a token.

    Raises:
        ServiceError: it is none of this stream.
    """
    way, _, rest = token.partition("/")
    digits = rest.partition("/")[0]
    if way not in ("f", "b") or not digits.isdecimal() or int(digits) >> 80 != stream.number:
        raise invalid("nextToken")
    place, count = divmod(int(digits) & ((1 << 80) - 1), _PLACES)
    return way == "f", min(place, len(stream.events)), count


def encoded(value: Any) -> str:
    """A token of a value."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def decoded(token: Any) -> Any:
    """The value of a token.

    Raises:
        ServiceError: it is none.
    """
    try:
        return json.loads(base64.urlsafe_b64decode(str(token).encode()))
    except ValueError:
        raise invalid("nextToken") from None


def invalid(what: str) -> ServiceError:
    """What the service says of a parameter that it cannot use."""
    return ServiceError("InvalidParameterException", f"The specified {what} is invalid.")
