"""What the hosts of a partitioning exchange, all over MPI: rows, answers to look-ups, and failures."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from .failures import JobError
from .partition_errors import FailedTogether, PartitionError

Array = NDArray[Any]
# Counts and displacements of MPI 3 are 32-bit numbers.
MOST_BYTES = 1 << 30
_Failure = Optional[Tuple[int, str, Optional[str], Optional[str]]]


def whole_share(total: int, size: int) -> Array:
    """Bounds of equal shares of ``total`` things: host h has those from ``bounds[h]`` to ``bounds[h + 1]``.

    >>> whole_share(10, 3).tolist()
    [0, 3, 6, 10]
    """
    return np.array([total * host // size for host in range(size + 1)], dtype=np.int64)


class OneHost:
    """A communicator of one rank, for a process that mpirun has not started."""

    def Get_rank(self) -> int:
        """The only rank."""
        return 0

    def Get_size(self) -> int:
        """One."""
        return 1

    def allgather(self, value: Any) -> List[Any]:
        """The rank's own value."""
        return [value]

    def alltoall(self, values: List[Any]) -> List[Any]:
        """What the rank sends itself."""
        return values

    def Alltoallv(self, sent: List[Any], got: List[Any]) -> None:
        """Copy what the rank sends itself."""
        got[0][:] = sent[0]


def world(environ: Mapping[str, str]) -> Any:
    """The communicator of all ranks, or of this process alone when no mpirun has started it."""
    if not any(name in environ for name in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_SIZE")):
        return OneHost()
    from mpi4py import MPI

    return MPI.COMM_WORLD


class Exchange:
    """The hosts of a partitioning.

    Args:
        comm: MPI communicator with a rank for each host.
        chunk_bytes: bytes of rows that all hosts together have under way at a time, so that none ever holds more of others' rows.
    """

    def __init__(self, comm: Any, chunk_bytes: int = 64 << 20) -> None:
        if not 1 <= chunk_bytes <= MOST_BYTES:
            raise PartitionError(f"a chunk of {chunk_bytes} bytes", where="--chunk-bytes", remedy=f"1 to {MOST_BYTES}")
        self.comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self.chunk_bytes = chunk_bytes
        self.host = os.environ.get("SM_CURRENT_HOST") or f"rank {self.rank}"
        self._failed: _Failure = None

    def rows(self, row_bytes: int) -> int:
        """Rows that one host may have under way."""
        return max(1, self.chunk_bytes // (self.size * max(row_bytes, 1)))

    @contextmanager
    def together(self) -> Iterator[None]:
        """A step that each host takes by itself; the failure of one is raised on all, with the host's name.

        Nothing in it may wait for another host.
        """
        failure: _Failure = None
        cause: Optional[BaseException] = None
        try:
            yield
        except Exception as error:
            failure, cause = _failure(error), error
        self._agree(failure, cause)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work of this host inside a round: its failure is raised on all hosts at the end of the round."""
        try:
            yield
        except Exception as error:
            self._failed = self._failed or _failure(error)

    def rounds(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The host's batches one after another, then None until all hosts have none left; failures are raised on all."""
        while True:
            batch: Any = None
            failure: _Failure = None
            cause: Optional[BaseException] = None
            try:
                batch = next(batches, None)
            except Exception as error:
                failure, cause = _failure(error), error
            if not self._agree(failure, cause, batch is not None):
                return
            yield batch

    def _agree(self, failure: _Failure, cause: Optional[BaseException], more: bool = False) -> bool:
        """Whether any host has more; raises the first failure of all."""
        states: List[Tuple[str, _Failure, bool]] = self.comm.allgather((self.host, self._failed or failure, more))
        for host, found, _ in states:
            if found is not None:
                code, what, where, remedy = found
                raise FailedTogether(code, what, f"{host}: {where}" if where else host, remedy) from cause
        return any(more for _, _, more in states)

    def gather(self, value: Any) -> List[Any]:
        """What each host says, on every host; for small things."""
        found: List[Any] = self.comm.allgather(value)
        return found

    def send(self, rows: Array, counts: Sequence[int]) -> Tuple[Array, List[int]]:
        """Send rows to all hosts.

        Args:
            rows: those for the first host, then those for the second, and so on; the same type and row shape on all hosts.
            counts: rows for each host.

        Returns:
            What came, in the order of the hosts, and the rows that came from each.
        """
        came: List[int] = self.comm.alltoall([int(count) for count in counts])
        width = int(rows.dtype.itemsize * np.prod(rows.shape[1:], dtype=np.int64))
        got = np.empty((sum(came), *rows.shape[1:]), dtype=rows.dtype)
        if got.nbytes > 2 * MOST_BYTES - 1 or rows.nbytes > 2 * MOST_BYTES - 1:
            raise PartitionError("more bytes at a time than MPI can count", where="--chunk-bytes", remedy="take fewer")
        out = np.ascontiguousarray(rows).reshape(-1).view(np.uint8) if rows.size else np.empty(0, np.uint8)
        into = got.reshape(-1).view(np.uint8) if got.size else np.empty(0, np.uint8)
        self.comm.Alltoallv(_buffer(out, counts, width), _buffer(into, came, width))
        return got, came

    def look_up(self, ids: Array, bounds: Array, table: Any) -> Array:
        """Values that belong to numbers, of which each host keeps a share.

        Args:
            ids: numbers to ask for, in any order.
            bounds: what each host keeps: see :func:`whole_share`.
            table: this host's share.
        """
        if len(ids) > 1 and bool((np.diff(ids) < 0).any()):
            distinct, places = np.unique(ids, return_inverse=True)
        else:
            distinct, places = ids.astype(np.int64, copy=False), None
        edges = np.searchsorted(distinct, bounds)
        asked, came = self.send(distinct, np.diff(edges).tolist())
        # A memory-mapped table gives arrays that are copies.
        answers = np.asarray(table[asked - bounds[self.rank]], dtype=np.int64) if len(asked) else np.empty(0, np.int64)
        values, _ = self.send(answers, came)
        return values if places is None else values[places]

    def deal(self, rows: Array, ids: Array, starts: Array) -> List[Tuple[int, int, Array]]:
        """Bring rows to the hosts that own their parts.

        Args:
            rows: rows.
            ids: new ID of each row; rising within each part.
            starts: first new ID of each part, and the end of the last.

        Returns:
            Part, place in it of the first row, and rows that follow one another there.
        """
        part = np.searchsorted(starts, ids, side="right") - 1
        order = np.lexsort((part, part % self.size))
        part, ids = part[order], ids[order]
        kinds, first, count = np.unique(part, return_index=True, return_counts=True)
        notes: List[List[Tuple[int, int, int]]] = [[] for _ in range(self.size)]
        for kind, at, number in sorted(zip(kinds.tolist(), first.tolist(), count.tolist()), key=lambda note: note[1]):
            if int(ids[at + number - 1] - ids[at]) != number - 1:
                raise RuntimeError(f"rows of part {kind} do not follow one another")
            notes[kind % self.size].append((kind, int(ids[at] - starts[kind]), number))
        told: List[List[Tuple[int, int, int]]] = self.comm.alltoall(notes)
        got, _ = self.send(rows[order], [sum(number for _, _, number in note) for note in notes])
        found, done = [], 0
        for note in told:
            for kind, place, number in note:
                found.append((kind, place, got[done : done + number]))
                done += number
        return found


def _buffer(data: Array, counts: Sequence[int], width: int) -> List[Any]:
    sizes = [int(count) * width for count in counts]
    return [data, (sizes, [sum(sizes[:number]) for number in range(len(sizes))])]


def _failure(error: Exception) -> _Failure:
    if isinstance(error, PartitionError):
        return error.exit_code, error.what, error.where, error.remedy
    if isinstance(error, JobError):
        return error.exit_code, str(error), None, None
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        return 1, text, str(error.filename) if error.filename else None, "check the place, its permissions and its free space"
    return 1, f"{type(error).__name__}: {error}", None, None
