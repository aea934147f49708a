"""What is measured, from what a user says to the arguments of the job; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from hvdsm.bench.program.engines import HOROVOD, MPI_ENGINE, TORCH
from hvdsm.bench.program.rounds import ALL
from hvdsm.errors import UsageError

# In the order in which they are measured: MPI first, and last the one that brings threads of its own.
ENGINES = (MPI_ENGINE, TORCH, HOROVOD)
# More hosts than these have their pairs measured several at a time, unless they share this machine's cores.
MANY = 8
_LARGEST = 1 << 30
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        sizes: bytes of messages between pairs, ascending.
        allreduce_sizes: bytes of all-reduces, ascending multiples of four.
        seconds: time for each point and quantity.
        limit: seconds; a point of a pair that would take longer is left out, and half of it for an all-reduce.
        engines: what reduces.
        pairs: ``all``, ``ring`` or ``first``.
        together: whether pairs without a common host are measured at the same time.
    """

    sizes: Tuple[int, ...] = (8, 64, 512, 4 << 10, 32 << 10, 256 << 10, 1 << 20, 4 << 20)
    allreduce_sizes: Tuple[int, ...] = (4 << 10, 32 << 10, 256 << 10, 2 << 20, 16 << 20)
    seconds: float = 0.1
    limit: float = 6.0
    engines: Tuple[str, ...] = ENGINES
    pairs: str = ALL
    together: bool = False

    def arguments(self, *, log: bool) -> List[str]:
        """The arguments of the job's script; ``log`` has it write its results to the log as well."""
        return [
            "--sizes", _list(self.sizes),
            "--allreduce-sizes", _list(self.allreduce_sizes),
            "--seconds", f"{self.seconds:g}",
            "--limit", f"{self.limit:g}",
            "--engines", ",".join(self.engines),
            "--pairs", self.pairs,
            *(["--together"] if self.together else []),
            *(["--log"] if log else []),
        ]  # fmt: skip


QUICK = Settings(
    sizes=(8, 1 << 10, 32 << 10, 256 << 10),
    allreduce_sizes=(4 << 10, 256 << 10),
    seconds=0.03,
    limit=1.5,
    engines=(MPI_ENGINE,),
)


def make_settings(
    *,
    quick: bool = False,
    sizes: Optional[str] = None,
    max_size: Optional[str] = None,
    seconds: Optional[float] = None,
    engines: Optional[str] = None,
    pairs: str = ALL,
    together: Optional[bool] = None,
    hosts: int = 2,
    shared_cores: bool = False,
) -> Settings:
    """What is measured, from what the user says.

    Args:
        quick: few sizes, little time, MPI alone.
        sizes: such as ``8,1K,64K,1M``; of messages, and as far as they are multiples of four, of all-reduces.
        max_size: the largest of both.
        seconds: time for each point.
        engines: such as ``mpi,torch``.
        pairs: which pairs.
        together: whether several pairs are measured at a time; by default with many hosts that do not share cores.
        hosts: number of hosts.
        shared_cores: whether they share this machine's cores.

    Raises:
        UsageError: a size or an engine cannot be meant.
    """
    base = QUICK if quick else Settings()
    wanted = base.sizes if sizes is None else parse_sizes(sizes, "--sizes")
    reduced = base.allreduce_sizes if sizes is None else tuple(size for size in wanted if size % 4 == 0)
    if max_size is not None:
        (most,) = parse_sizes(max_size, "--max-size")[:1]
        wanted = tuple(size for size in wanted if size <= most)
        reduced = tuple(size for size in reduced if size <= most)
        if not wanted:
            raise UsageError(f"no size is left below {max_size}", where="--max-size", remedy="name smaller ones with --sizes")
    return Settings(
        sizes=wanted,
        allreduce_sizes=reduced or (4,),
        seconds=base.seconds if seconds is None else seconds,
        limit=base.limit if seconds is None else max(base.limit, 20 * seconds),
        engines=base.engines if engines is None else parse_engines(engines),
        pairs=pairs,
        together=hosts > MANY and not shared_cores if together is None else together,
    )


def parse_sizes(text: str, option: str) -> Tuple[int, ...]:
    """Sizes such as ``8,1K,64K,1M``, ascending; K, M and G are powers of 1024.

    Raises:
        UsageError: one is written otherwise, or is out of range.
    """
    found = set()
    for word in text.split(","):
        match = re.fullmatch(r"([0-9]{1,10})([KMG]?)I?B?", word.strip().upper())
        size = int(match[1]) * _UNITS[match[2]] if match else 0
        if not 1 <= size <= _LARGEST:
            raise UsageError(f"{word.strip()!r} is no size from 1 to 1G", where=option, remedy="bytes, such as 8, 64K or 4M")
        found.add(size)
    return tuple(sorted(found))


def parse_engines(text: str) -> Tuple[str, ...]:
    """Engines such as ``mpi,torch``, in the order in which they are measured.

    Raises:
        UsageError: there is no such engine.
    """
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in ENGINES:
            raise UsageError(f"there is no engine {word!r}", where="--engines", remedy=f"some of {','.join(ENGINES)}")
    if not words:
        raise UsageError("names none", where="--engines", remedy=f"some of {','.join(ENGINES)}")
    return tuple(engine for engine in ENGINES if engine in words)


def _list(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
