"""Asking AWS about a stack, with patience."""

from __future__ import annotations

from typing import Any, Callable, Optional

from hvdsm.aws.failures import is_passing, is_throttling, patiently, translated

# Seconds that throttling and a lost network are waited for, for each request.
PATIENCE = 120.0


def asked(
    call: Callable[[], Any],
    doing: str,
    where: str,
    say: Callable[[str], None],
    limit: float = PATIENCE,
    *,
    faults: Optional[float] = None,
    wait: Optional[Callable[[float], Any]] = None,
) -> Any:
    """An answer of AWS; throttling and a lost network are waited for.

    Args:
        call: asks.
        doing: what is being done, as it stands after "cannot".
        where: what it is done to.
        say: is told of waits.
        limit: seconds.
        faults: seconds for all but throttling, where they are fewer.
        wait: waits so many seconds.

    Raises:
        CloudUnavailable: AWS cannot be used, for longer than the limit.
        CloudRefused: AWS refuses the request.
    """

    def once() -> Any:
        with translated(doing, where):
            return call()

    if faults is None:
        return patiently(once, say=say, limit=limit, wait=wait)
    brief = faults

    def broken(error: BaseException) -> bool:
        return is_passing(error) and not is_throttling(error)

    def again() -> Any:
        return patiently(once, say=say, limit=brief, wait=wait, passing=broken)

    return patiently(again, say=say, limit=limit, wait=wait, passing=is_throttling)
