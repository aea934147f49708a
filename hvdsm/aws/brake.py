"""A limit for requests per second that gives way to throttling."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Optional

# A rate is never brought down further than to this, requests per second.
SLOWEST = 1.0
# What a rate gains in a second without throttling, as a part of its limit.
_GAIN = 0.1


class Brake:
    """Lets so many requests a second pass; safe to use from several threads.

    Args:
        rate: requests per second; as many may pass at once after a rest.
        clock: gives seconds.
        wait: waits so many seconds.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, wait: Optional[Callable[[float], Any]] = None
    ) -> None:
        self.limit = rate
        self.rate = rate
        self._clock = clock
        self._wait = wait or threading.Event().wait
        self._lock = threading.Lock()
        self._left = rate
        self._at = clock()
        self._slowed = self._at

    def take(self) -> None:
        """Wait until one more request may pass."""
        while True:
            with self._lock:
                now = self._clock()
                passed = max(0.0, now - self._at)
                self._at = now
                self.rate = min(self.limit, self.rate + self.limit * _GAIN * passed)
                self._left = min(max(1.0, self.rate), self._left + passed * self.rate)
                if self._left >= 1.0:
                    self._left -= 1.0
                    return
                pause = (1.0 - self._left) / self.rate
            self._wait(pause)

    def slower(self) -> None:
        """Halve the rate, since AWS asks for fewer requests; once for what was asked at the same time."""
        with self._lock:
            now = self._clock()
            if now - self._slowed >= 1.0 / self.rate or self.rate == self.limit:
                self.rate = max(min(SLOWEST, self.limit), self.rate / 2)
                self._slowed = now
            self._left = min(self._left, 0.0)
