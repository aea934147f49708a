"""botocore's errors in hvdsm's words, and trying again while a failure is of the kind that passes."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional, TypeVar

from hvdsm.aws.reasons import (
    BROKEN,
    MISSING,
    answered,
    code_of,
    is_capacity,
    is_denied,
    is_throttling,
    message_of,
    status_of,
    unanswered,
)
from hvdsm.errors import CloudRefused, CloudUnavailable, HvdsmError

__all__ = [
    "MISSING", "AwsRefused", "AwsUnavailable", "code_of", "is_capacity", "is_denied", "is_passing", "is_throttling",
    "message_of", "patiently", "status_of", "translate", "translated",
]  # fmt: skip

T = TypeVar("T")

# First seconds and most seconds between two tries, before the jitter.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0


class AwsUnavailable(CloudUnavailable):
    """AWS cannot be used now.

    Attributes:
        code: AWS's own name of the error; botocore's class where no answer came.
        passing: whether the same request may succeed by itself later.
    """

    code: str = ""
    passing: bool = False


class AwsRefused(CloudRefused):
    """AWS refuses a request; ``code`` is its own name of the error."""

    code: str = ""
    passing: bool = False


@contextmanager
def translated(doing: str, where: Optional[str] = None) -> Iterator[None]:
    """Raise hvdsm's errors in place of botocore's.

    Args:
        doing: what is being done, as it stands after "cannot", such as ``create the job``.
        where: what it is done to.

    Raises:
        CloudUnavailable: AWS cannot be reached, throttles, has no capacity, or knows no valid credentials.
        CloudRefused: AWS refuses the request: a permission, a quota, a value, or something that is not there.
    """
    try:
        yield
    except HvdsmError:
        raise
    except Exception as error:
        made = translate(error, doing, where)
        if made is None:
            raise
        raise made from error


def translate(error: BaseException, doing: str, where: Optional[str] = None) -> Optional[HvdsmError]:
    """Hvdsm's error for one of botocore's; None for any other."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        code, reason = code_of(error), answered(error)
    elif isinstance(error, (BotoCoreError, ResponseParserError)):
        code, reason = type(error).__name__, unanswered(error)
    else:
        return _of_transfer(error, doing, where)
    made = (AwsUnavailable if reason.available else AwsRefused)(
        f"cannot {doing}: {reason.what}", where=where or reason.where, remedy=reason.remedy
    )
    made.code, made.passing = code, reason.passing
    return made


def _of_transfer(error: BaseException, doing: str, where: Optional[str]) -> Optional[HvdsmError]:
    """s3transfer wraps what kept on failing."""
    inner = getattr(error, "last_exception", None)
    if isinstance(inner, BaseException):
        made = translate(inner, doing, where)
        if made is not None:
            return made
        lost = AwsUnavailable(
            f"cannot {doing}: the connection was lost again and again: {inner}", where=where, remedy="try again"
        )
        lost.code, lost.passing = type(inner).__name__, True
        return lost
    return None


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed by itself later: network gone, throttling, 5xx."""
    passing = getattr(error, "passing", None)
    if isinstance(passing, bool):
        return passing
    if isinstance(error, HvdsmError):
        return False
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        # Capacity comes back in its own time, and another zone may have it now.
        return not is_capacity(error) and (is_throttling(error) or code_of(error) in BROKEN or status_of(error) >= 500)
    return isinstance(error, (BotoCoreError, ResponseParserError)) and unanswered(error).passing


def patiently(
    call: Callable[[], T],
    *,
    say: Callable[[str], None],
    limit: float = 600.0,
    clock: Callable[[], float] = time.monotonic,
    wait: Optional[Callable[[float], Any]] = None,
    jitter: Callable[[], float] = random.random,
    passing: Callable[[BaseException], bool] = is_passing,
) -> T:
    """Make a call again while its failure is one that passes, with back-off and full jitter.

    Args:
        call: what to do.
        say: is told once that there is a wait, and once that it is over.
        limit: seconds since the first failure after which the failure is raised.
        clock: gives seconds.
        wait: waits that many seconds; one that returns a true value ends the patience at once, as an event's ``wait`` does.
        jitter: a random number from 0 to 1.
        passing: which failures are worth another try.

    Returns:
        What ``call`` returns.
    """
    pause_for = wait or threading.Event().wait
    first: Optional[float] = None
    tries = 0
    while True:
        try:
            result = call()
        except Exception as error:
            now = clock()
            if not passing(error):
                raise
            if first is None:
                first = now
                say(f"{_short(error)}; waiting up to {limit:.0f} s for it to pass")
            left = first + limit - now
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries, 10)) * jitter()
            tries += 1
            # The last try is made at the limit itself.
            if left <= 0 or pause_for(min(pause, left)):
                raise
        else:
            if first is not None:
                say(f"it goes on after {clock() - first:.0f} s")
            return result


def _short(error: BaseException) -> str:
    if isinstance(error, HvdsmError):
        return f"{error.where}: {error.what}" if error.where else error.what
    return message_of(error) or str(error)
