"""Waiting without keeping a core busy: ranks that measure may share this machine's cores with those that wait."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Sequence, Tuple

# Seconds between two looks.
PAUSE = 0.005


def pause(seconds: float = PAUSE) -> None:
    """Let others have the core."""
    threading.Event().wait(seconds)


def rest_until_all(comm: Any, wait: Callable[[], None] = pause) -> None:
    """A barrier in which a rank that waits rests, where MPI's own would keep it busy."""
    request = comm.Ibarrier()
    while not request.Test():
        wait()


class Watchdog:
    """Ends this process when a phase takes too long, also where no exception can be raised.

    Args:
        seconds: limit of the phase.
        last_words: called once when the limit is exceeded, before the process ends.
    """

    def __init__(self, seconds: float, last_words: Callable[[], None]) -> None:
        self._seconds = seconds
        self._last_words = last_words
        self._timer = threading.Timer(seconds, self._expired)
        self._timer.daemon = True

    def __enter__(self) -> Watchdog:
        """Begin to count."""
        import faulthandler

        # It needs no lock of Python's: a library that keeps that lock is ended, too.
        faulthandler.dump_traceback_later(self._seconds + 10, exit=True)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop counting."""
        import faulthandler

        self._timer.cancel()
        faulthandler.cancel_dump_traceback_later()

    def _expired(self) -> None:
        import os

        try:
            self._last_words()
        finally:
            os._exit(1)


def spread_of(seconds: Any, factor: float = 1e6) -> Dict[str, Any]:
    """Median, least, 95th percentile and number of some times, in microseconds."""
    ordered = sorted(seconds)
    return {
        "median": round(middle(ordered) * factor, 3),
        "min": round(ordered[0] * factor, 3),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] * factor, 3),
        "samples": len(ordered),
    }


def middle(ordered: Any) -> float:
    """The median of sorted numbers."""
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def expected(size: int, before: Sequence[Tuple[int, float]]) -> float:
    """Seconds that a message will take, by what a further byte took last.

    Args:
        size: bytes of the message.
        before: bytes and seconds of smaller ones, ascending.
    """
    if not before:
        return 0.0
    last, seconds = before[-1]
    if len(before) == 1:
        return seconds
    least, fewer = before[-2]
    return seconds + max(0.0, seconds - fewer) / (last - least) * (size - last)
