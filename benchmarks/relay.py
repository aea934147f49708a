"""Lines that ranks write as fast as they can, and what of them arrives in the first host's log."""

from __future__ import annotations

import re
from typing import NamedTuple

from programs import Arrivals

LINES = 250_000
RANKS = 4
# The end is counted when this part has come: what reads the log may hold back its last buffer.
ARRIVED = 0.99

RELAY = """
import sys, time
from mpi4py import MPI
rank = MPI.COMM_WORLD.rank
MPI.COMM_WORLD.Barrier()
print("relay begins at", time.time(), flush=True)
for number in range(LINES):
    sys.stdout.write("r%d n%06d the quick brown fox jumps over the lazy dog\\n" % (rank, number))
sys.stdout.flush()
MPI.COMM_WORLD.Barrier()
""".replace("LINES", str(LINES))

_TAGS = {
    "hvdsm": rb"\[\d+,algo-\d+\] ",
    "mpirun": rb"\[\d+,\d+\]<stdout>:",
    "toolkit": rb"\[\d+,mpirank:\d+,algo-\d+\]<stdout>:",
}
_PAYLOAD = rb"r(\d) n(\d{6}) the quick brown fox jumps over the lazy dog"


class Relayed(NamedTuple):
    """Seconds from the ranks' common start to the arrival of 99 % of the bytes, and how many lines are not whole there."""

    seconds: float
    broken: int

    def __str__(self) -> str:
        """For a line of progress."""
        return f"{self.seconds:.2f} s, {self.broken} lines broken or lost"


def relayed(log: Arrivals, kind: str) -> Relayed:
    """What of the ranks' lines arrived in a log, and when.

    Args:
        log: the first host's log.
        kind: whose tags the lines have: ``hvdsm``, ``mpirun`` or ``toolkit``.

    Raises:
        RuntimeError: the ranks did not all tell their start, or nothing arrived.
    """
    data = log.data
    begins = [float(text) for text in re.findall(rb"relay begins at ([0-9.]+)", data)]
    if len(begins) != RANKS:
        raise RuntimeError(f"{len(begins)} of {RANKS} ranks told their start:\n{log.text[:4000]}")
    line = re.compile(rb"^" + _TAGS[kind] + _PAYLOAD + rb"\r?$", re.MULTILINE)
    whole = set()
    first, last = -1, -1
    for match in line.finditer(data):
        whole.add((match[1], match[2]))
        first, last = match.start() if first < 0 else first, match.end()
    if not whole:
        raise RuntimeError(f"no line arrived whole:\n{log.text[:4000]}")
    arrived = log.arrival(first + int((last - 1 - first) * ARRIVED))
    return Relayed(arrived - max(begins), LINES * RANKS - len(whole))
