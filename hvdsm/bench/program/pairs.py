"""Latency and bandwidth between two ranks, message size by message size.

Latency is half a round trip (one way where both directions are alike).  Bandwidth is that of a window of messages that are all
under way at once, until the receiver has acknowledged the last one; each direction is measured, and the slower one counts.
Outliers are kept: medians are what is reported.  The first byte of a message says whether another one follows, so that nothing
but what is measured travels meanwhile.
"""

from __future__ import annotations

import time
from array import array
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .pausing import expected, middle, pause, spread_of

TAG = 7
# A point has so many samples at least, and at most.
LEAST, MOST = 3, 5000
# Messages of a window at most, and bytes.
WINDOW, WINDOW_BYTES = 64, 16 << 20
_MORE, _LAST = 1, 0
# Seconds: where a round trip takes longer than the first, a rank that waits rests for the second between two looks: the core that
# it would keep busy may be the one by which the message comes, where hosts are emulated.
_LONG, _REST = 2e-3, 5e-5
Clock = Callable[[], float]


class PairMeter:
    """Measures between this rank and another one; the one that asks says how often.

    Args:
        comm: communicator of both.
        peer: the other rank.
        asks: whether this rank is the one that measures.
        seconds: time for each point and quantity.
        limit: seconds; a point that would take longer is left out, and with it all larger ones.
        clock: for times.
    """

    def __init__(
        self, comm: Any, peer: int, *, asks: bool, seconds: float, limit: float, clock: Clock = time.perf_counter
    ) -> None:
        self.comm = comm
        self.peer = peer
        self.asks = asks
        self.seconds = seconds
        self.limit = limit
        self.clock = clock
        self.sent = 0
        self._slow = False

    def points(self, sizes: Sequence[int]) -> List[Dict[str, Any]]:
        """The points; of the rank that does not ask they are empty.

        Args:
            sizes: bytes, ascending.
        """
        found: List[Dict[str, Any]] = []
        halves: List[Tuple[int, float]] = []
        for size in sizes:
            # A slow point has three round trips, and each way three windows of two messages.
            if not self._agreed(expected(size, halves) * (2 * LEAST + 4 * LEAST) > self.limit):
                break
            times = self.latency(size)
            if times:
                halves.append((size, middle(sorted(times)) / 2))
            rates = self.bandwidth(size, max(1e-9, halves[-1][1] - halves[0][1]) if halves else 0.0)
            if self.asks:
                found.append({"bytes": size, "latency_us": spread_of([one / 2 for one in times]), "bandwidth_mb_s": rates})
        return found

    def _agreed(self, stop: bool) -> bool:
        """Whether to go on, as the rank that asks says."""
        word = array("b", [_LAST if stop else _MORE])
        self._first(word)
        return word[0] == _MORE

    def _first(self, words: Any) -> None:
        """Send some words to the other rank, or get them."""
        if self.asks:
            self.comm.Send(words, self.peer, TAG)
        else:
            self.comm.Recv(words, self.peer, TAG)

    def _wait(self, request: Any) -> None:
        if not self._slow:
            request.Wait()
            return
        while not request.Test():
            pause(_REST)

    def _send(self, data: Any) -> None:
        if self._slow:
            self._wait(self.comm.Isend(data, self.peer, TAG))
        else:
            self.comm.Send(data, self.peer, TAG)

    def _receive(self, data: Any) -> None:
        if self._slow:
            self._wait(self.comm.Irecv(data, self.peer, TAG))
        else:
            self.comm.Recv(data, self.peer, TAG)

    def latency(self, size: int) -> List[float]:
        """Seconds of round trips."""
        data = bytearray(size)
        if not self.asks:
            before = took = 0.0
            while True:
                begin = self.clock()
                self._receive(data)
                self._send(data)
                # Two in a row, since one may have had a busy core.
                before, took = took, self.clock() - begin
                self._slow = min(before, took) > _LONG
                self.sent += size
                if data[0] == _LAST:
                    return []
        clock, back = self.clock, bytearray(size)
        found: List[float] = []
        data[0] = _MORE
        start = clock()
        warm = True
        while True:
            begin = clock()
            if warm and begin - start > self.seconds / 10:
                # The first round trips open connections and fill caches: they count only where each is long.
                warm, start, found = False, begin, [one for one in found if one > self.seconds]
            if not warm and len(found) + 1 >= LEAST and (begin - start >= self.seconds or len(found) + 1 >= MOST):
                data[0] = _LAST
            begin = clock()
            self._send(data)
            self._receive(back)
            found.append(clock() - begin)
            self._slow = len(found) > 1 and min(found[-2:]) > _LONG
            self.sent += size
            if data[0] == _LAST:
                return found

    def bandwidth(self, size: int, one: float) -> Optional[Dict[str, Any]]:
        """Rates of the slower direction in 10^6 bytes a second; None of the rank that does not ask.

        Args:
            size: bytes of a message.
            one: seconds that a message takes beyond the latency.
        """
        plan = array("q", [0])
        if self.asks:
            plan[0] = max(2, min(WINDOW, WINDOW_BYTES // size, int(self.seconds / 4 / one)))
        self._first(plan)
        window = plan[0]
        there = self._push(size, window) if self.asks else self._take(size, window)
        back = self._take(size, window) if self.asks else self._push(size, window)
        other = array("d", [0.0, 0.0, 0.0])
        if not self.asks:
            other = array("d", _rates(back, size * window))
            self.comm.Send(other, self.peer, TAG)
            return None
        self.comm.Recv(other, self.peer, TAG)
        median, most, samples = min(_rates(there, size * window), list(other))
        return {"median": round(median, 4), "max": round(most, 4), "samples": int(samples)}

    def _push(self, size: int, window: int) -> List[float]:
        """Send windows of messages; the seconds of each."""
        data = bytearray(size)
        word = bytearray(1)
        found: List[float] = []
        self._receive(word)
        start = self.clock()
        warm = True
        while True:
            if warm and self.clock() - start > self.seconds / 10:
                warm, start = False, self.clock()
            last = not warm and len(found) + 1 >= LEAST and (self.clock() - start >= self.seconds or len(found) + 1 >= MOST)
            data[0] = _LAST if last else _MORE
            begin = self.clock()
            requests = [self.comm.Isend(data, self.peer, TAG) for _ in range(window)]
            for request in requests:
                self._wait(request)
            self._receive(word)
            took = self.clock() - begin
            self.sent += size * window
            if not warm or took > self.seconds:
                found.append(took)
            if last:
                return found

    def _take(self, size: int, window: int) -> List[float]:
        """Receive windows of messages; the next ones are expected before the last ones are acknowledged."""
        data = memoryview(bytearray(size * window))
        parts = [data[number * size : (number + 1) * size] for number in range(window)]
        word = bytearray(1)
        requests = [self.comm.Irecv(part, self.peer, TAG) for part in parts]
        self._send(word)
        while True:
            for request in requests:
                self._wait(request)
            last = data[0] == _LAST
            if not last:
                requests = [self.comm.Irecv(part, self.peer, TAG) for part in parts]
            self._send(word)
            if last:
                return []


def _rates(seconds: Sequence[float], size: int) -> List[float]:
    """Median and most in 10^6 bytes a second, and how many."""
    rates = sorted(size / one / 1e6 for one in seconds)
    return [middle(rates), rates[-1], float(len(rates))]
