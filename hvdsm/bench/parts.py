"""The records that a run of ``hvdsm bench network`` is made of.

Units stand in the names: ``_us`` are microseconds, ``_mb_s`` are 10^6 bytes a second, ``_gb_s`` are 10^9 bytes a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple


@dataclass(frozen=True)
class Host:
    """A host; ``interface`` is the network interface that has ``address``."""

    name: str
    address: Optional[str] = None
    interface: Optional[str] = None
    cpus: Optional[int] = None
    gpus: Optional[int] = None
    memory_bytes: Optional[int] = None
    kernel: Optional[str] = None


@dataclass(frozen=True)
class Mpi:
    """The MPI library; ``transport`` is what carried bytes between hosts, None where it could not be told."""

    name: str
    version: str
    mpi4py: Optional[str] = None
    transport: Optional[str] = None


@dataclass(frozen=True)
class HostShape:
    """A single host slowed on purpose: milliseconds more in each direction, and 10^6 bits a second (0: no limit)."""

    delay_ms: float
    mbit: float


@dataclass(frozen=True)
class Shaping:
    """How emulated hosts' network was shaped: for all (one way delay, rate), and for single hosts."""

    delay_ms: float
    mbit: float
    hosts: Mapping[str, HostShape]


@dataclass(frozen=True)
class Times:
    """Times in microseconds."""

    median: float
    min: float
    p95: float
    samples: int


@dataclass(frozen=True)
class Rates:
    """Rates in 10^6 bytes a second."""

    median: float
    max: float
    samples: int


@dataclass(frozen=True)
class Point:
    """A message size of a pair; the latency is one way, half a round trip.  None was not measured."""

    bytes: int
    latency_us: Optional[Times]
    bandwidth_mb_s: Optional[Rates]


@dataclass(frozen=True)
class Pair:
    """Two hosts, the one that comes first in ``Bench.hosts`` first."""

    a: str
    b: str
    points: Tuple[Point, ...]


@dataclass(frozen=True)
class AllReducePoint:
    """A message size of an all-reduce; bandwidths are of the median time, the bus's is the algorithm's times 2(n-1)/n."""

    bytes: int
    time_us: Times
    algorithm_bandwidth_gb_s: float
    bus_bandwidth_gb_s: float


@dataclass(frozen=True)
class AllReduce:
    """The all-reduce curve of an engine: ``mpi``, ``horovod`` or ``torch``."""

    engine: str
    version: Optional[str]
    detail: str
    points: Tuple[AllReducePoint, ...]


@dataclass(frozen=True)
class NotMeasured:
    """An engine that was not measured, and why."""

    engine: str
    why: str


@dataclass(frozen=True)
class Finding:
    """Hosts that stand out: ``slow-host`` (one host) or ``slow-pair`` (two).

    The ratios are to what is usual for the others: latency above 1 and bandwidth below 1 are slow.
    """

    kind: str
    hosts: Tuple[str, ...]
    what: str
    latency_ratio: Optional[float] = None
    bandwidth_ratio: Optional[float] = None


@dataclass(frozen=True)
class Extreme:
    """A pair and its value."""

    pair: Tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Extremes:
    """A median over all pairs, the best pair and the worst."""

    median: float
    best: Extreme
    worst: Extreme


@dataclass(frozen=True)
class Summary:
    """Latency at the smallest size, bandwidth at the largest, bus bandwidth of each engine at the largest."""

    latency_us: Optional[Extremes]
    bandwidth_mb_s: Optional[Extremes]
    bus_bandwidth_gb_s: Mapping[str, float]


@dataclass(frozen=True)
class Bench:
    """One run of ``hvdsm bench network``."""

    made: str
    hvdsm: str
    job_name: str
    backend: str
    label: str
    instance_type: str
    region: Optional[str]
    placement: Optional[Mapping[str, Any]]
    hosts: Tuple[Host, ...]
    processes_per_host: int
    world_size: int
    mpi: Optional[Mpi]
    shaping: Optional[Shaping]
    settings: Mapping[str, Any]
    pairs: Tuple[Pair, ...]
    allreduce: Tuple[AllReduce, ...]
    not_measured: Tuple[NotMeasured, ...]
    findings: Tuple[Finding, ...]
    summary: Summary
    seconds: float
