"""A stop that comes before the job's loop listens: it is kept until then.

Without it SIGTERM would end the program without a word; or, as the first process of a container, be lost: signal(7) of Linux
delivers no signal to it that it has no handler for.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Optional

NUMBERS = (signal.SIGTERM, signal.SIGINT)
_asked = False


def keep_stops() -> None:
    """From now on a stop is kept.  Only in the main thread."""
    for number in NUMBERS:
        signal.signal(number, _keep)


def stop_asked() -> bool:
    """Whether one has come before others took over the handling of signals."""
    return _asked


def pass_on() -> None:
    """Send one that was kept to this program again, whose handler is another now."""
    if _asked:
        signal.raise_signal(signal.SIGTERM)


def _keep(_number: int, _frame: Optional[FrameType]) -> None:
    global _asked
    _asked = True
