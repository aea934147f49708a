"""Signals that end a program, while a job is under way."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import Callable, Iterator


@contextmanager
def stopping_signals(stop: Callable[[int], None]) -> Iterator[None]:
    """Let the signals that end a program call ``stop`` instead; a signal that is ignored stays so.

    Outside of the main thread Python delivers no signals: then nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, lambda received, _frame: stop(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
