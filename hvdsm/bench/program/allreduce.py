"""The all-reduce curve of an engine; the same steps on every rank, whatever fails on one of them."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .pausing import expected, rest_until_all, spread_of

LEAST, MOST = 3, 500
# Bytes of a float32.
WIDTH = 4
Run = Callable[[], None]


class Failed(Exception):
    """An engine does not work, on some ranks at least."""


class Guarded:
    """Runs something again and again until it fails; after that it does nothing, so that this rank keeps step with the others.

    Args:
        where: name of the host, for the reason.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.reason: Optional[str] = None

    def __call__(self, run: Callable[[], Any]) -> Any:
        """What it returns; None when it fails, or something has failed."""
        if self.reason is None:
            try:
                return run()
            except Exception as error:
                text = " ".join(str(error).split()) or type(error).__name__
                self.reason = f"{type(error).__name__} on {self.where}: {text[:300]}"
        return None


def agree(comm: Any, guarded: Guarded) -> None:
    """Find out whether all ranks are well.

    Raises:
        Failed: one is not; the first one's reason.
    """
    rest_until_all(comm)
    reasons = [reason for reason in comm.allgather(guarded.reason) if reason]
    if reasons:
        raise Failed(reasons[0])


def curve(
    comm: Any,
    guarded: Guarded,
    make: Callable[[int], Run],
    sizes: Sequence[int],
    seconds: float,
    limit: float,
    clock: Callable[[], float] = time.perf_counter,
) -> List[Dict[str, Any]]:
    """The points; a time is that of the slowest rank, from when all are ready.

    Args:
        comm: communicator of all ranks.
        guarded: of this rank.
        make: from a number of float32 to what reduces them.
        sizes: bytes, ascending.
        seconds: time for a point.
        limit: seconds; a point that would take longer is left out, and with it all larger ones.
        clock: for times.

    Raises:
        Failed: the engine does not work; on all ranks alike.
    """
    found: List[Dict[str, Any]] = []
    before: List[Tuple[int, float]] = []
    for size in sizes:
        if expected(size, before) * (LEAST + 2) > limit:
            break
        made = guarded(lambda size=size: make(size // WIDTH))  # type: ignore[misc]
        agree(comm, guarded)
        run: Run = made if made is not None else _nothing
        _timed(comm, guarded, run, clock)
        once = _slowest(comm, [_timed(comm, guarded, run, clock)])[0]
        agree(comm, guarded)
        count = max(LEAST, min(MOST, int(seconds / max(once, 1e-6))))
        times = _slowest(comm, [_timed(comm, guarded, run, clock) for _ in range(count)])
        agree(comm, guarded)
        spread = spread_of(times)
        rate = size / (spread["median"] * 1e3)
        found.append(
            {
                "bytes": size,
                "time_us": spread,
                "algorithm_bandwidth_gb_s": round(rate, 6),
                "bus_bandwidth_gb_s": round(rate * 2 * (comm.size - 1) / comm.size, 6),
            }
        )
        before.append((size, spread["median"] / 1e6))
    return found


def _nothing() -> None:
    return None


def _timed(comm: Any, guarded: Guarded, run: Run, clock: Callable[[], float]) -> float:
    comm.Barrier()
    begin = clock()
    guarded(run)
    return clock() - begin


def _slowest(comm: Any, times: List[float]) -> List[float]:
    """Of each time the longest of all ranks, known to all of them."""
    return [max(each) for each in zip(*comm.allgather(times))]
