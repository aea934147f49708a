"""How long ranks may hang, and how often they are started again: the reserved hyperparameters for it, checked."""

from __future__ import annotations

from typing import Any, Dict, Optional

from hvdsm.compose.limits import shown
from hvdsm.errors import UsageError

HANG_TIMEOUT = "sagemaker_hvdsm_hang_timeout"
MAX_RESTARTS = "sagemaker_hvdsm_max_restarts"


def supervision_of(hang_timeout: Optional[float], max_restarts: Optional[int]) -> Dict[str, Any]:
    """The reserved hyperparameters by which the container supervises the ranks; those that are given.

    Args:
        hang_timeout: seconds, more than 0.
        max_restarts: 0 or more.

    Raises:
        UsageError: a number that cannot be meant.
    """
    found: Dict[str, Any] = {}
    if hang_timeout is not None:
        found[HANG_TIMEOUT] = check_seconds(hang_timeout, "hang timeout")
    if max_restarts is not None:
        if not isinstance(max_restarts, int) or isinstance(max_restarts, bool) or max_restarts < 0:
            raise UsageError(f"must be a whole number from 0, not {shown(max_restarts)}", where="max restarts")
        found[MAX_RESTARTS] = max_restarts
    return found


def check_seconds(value: Any, where: str) -> float:
    """A time in seconds that is more than 0 and has an end.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise UsageError(f"must be a number of seconds above 0, not {shown(value)}", where=where)
    return value
