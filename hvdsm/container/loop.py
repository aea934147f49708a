"""A small event loop: file descriptors, timers and signals in one thread."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, List, Tuple

Callback = Callable[[], None]


class Timer:
    """A call that is due at a time; :meth:`cancel` takes it back."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """The call will not be made."""
        self.cancelled = True


class Loop:
    """Calls back when a descriptor is ready, a timer is due or a signal came; everything runs in the calling thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: List[Tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._signals: Dict[int, Callback] = {}
        self._wakeup: Tuple[int, int] = (-1, -1)
        self._stopped = False
        self._posted: Deque[Callback] = deque()
        self._post: Tuple[int, int] = (-1, -1)

    def watch(self, descriptor: Any, events: int, callback: Callable[[int], object]) -> None:
        """Call ``callback(ready events)`` whenever the descriptor is ready; replaces an earlier watch of it."""
        try:
            self._selector.modify(descriptor, events, callback)
        except KeyError:
            self._selector.register(descriptor, events, callback)

    def unwatch(self, descriptor: Any) -> None:
        """Stop watching a descriptor; harmless when it is not watched."""
        try:
            self._selector.unregister(descriptor)
        except (KeyError, ValueError):
            pass

    def later(self, seconds: float, callback: Callback) -> Timer:
        """Call back once, ``seconds`` from now."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._count), timer))
        return timer

    def every(self, seconds: float, callback: Callback) -> None:
        """Call back each ``seconds`` until the loop ends."""

        def again() -> None:
            callback()
            self.later(seconds, again)

        self.later(seconds, again)

    def in_thread(self, work: Callable[[], Callback]) -> None:
        """Run blocking work in a thread of its own; the callback that it returns is then called in this thread."""
        if self._post[0] < 0:
            self._post = os.pipe()
            os.set_blocking(self._post[0], False)
            self.watch(self._post[0], selectors.EVENT_READ, self._take_posted)

        def run() -> None:
            self._posted.append(work())
            os.write(self._post[1], b"\0")

        threading.Thread(target=run, name="hvdsm-work", daemon=True).start()

    def _take_posted(self, _events: int) -> None:
        os.read(self._post[0], 4096)
        while self._posted:
            self._posted.popleft()()

    def on_signals(self, handlers: Dict[int, Callback]) -> None:
        """Call back after a signal, outside of the signal handler.  Only in the main thread."""
        self._signals = handlers
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        self._wakeup = (read, write)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in handlers:
            signal.signal(number, _noted)
        self.watch(read, selectors.EVENT_READ, self._signalled)

    def _signalled(self, _events: int) -> None:
        try:
            numbers: Iterable[int] = set(os.read(self._wakeup[0], 4096))
        except BlockingIOError:
            return
        for number in numbers:
            if number in self._signals:
                self._signals[number]()

    def stop(self) -> None:
        """Let :meth:`run` return after the present callback."""
        self._stopped = True

    def run(self) -> None:
        """Serve callbacks until :meth:`stop`."""
        while not self._stopped:
            for key, events in self._selector.select(self._due()):
                # An earlier callback of this round may have stopped the loop or unwatched the descriptor.
                if not self._stopped and self._selector.get_map().get(key.fd) is key:
                    key.data(events)
            while self._timers and not self._stopped and self._timers[0][0] <= time.monotonic():
                timer = heapq.heappop(self._timers)[2]
                if not timer.cancelled:
                    timer.callback()

    def _due(self) -> Any:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None


def _noted(_number: int, _frame: Any) -> None:
    """The wake-up descriptor carries the signal to the loop."""
