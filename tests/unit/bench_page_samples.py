"""Runs of the network bench that never ran: networks of any size, with hosts and pairs as slow as a test wants them."""

from __future__ import annotations

import itertools
import random
from typing import Any, Dict, List, Optional, Sequence, Tuple

from hvdsm.bench.record import Bench, from_json

SIZES = (8, 64, 512, 4096, 32768, 262144, 1048576, 4194304)


def times(median: float, samples: int = 100) -> Dict[str, Any]:
    return {"median": median, "min": median * 0.93, "p95": median * 1.22, "samples": samples}


def document(
    count: int = 4,
    *,
    slow: Sequence[str] = (),
    slow_pair: Optional[Tuple[str, str]] = None,
    latency: float = 31.0,
    bandwidth: float = 1150.0,
    sizes: Sequence[int] = SIZES,
    engines: Sequence[str] = ("mpi",),
    label: str = "four hosts",
    seed: int = 5,
    names: Sequence[str] = (),
) -> Dict[str, Any]:
    """The JSON of a run; a slow host costs 20 ms and leaves 12 MB/s, a slow pair 5 ms and 40 MB/s."""
    chance = random.Random(seed)
    hosts = list(names) or [f"algo-{index + 1}" for index in range(count)]
    pairs: List[Dict[str, Any]] = []
    for a, b in itertools.combinations(hosts, 2):
        slowly = a in slow or b in slow
        own = latency * chance.uniform(0.93, 1.08) + (20000 if slowly else 5000 if slow_pair == (a, b) else 0)
        top = bandwidth * chance.uniform(0.94, 1.05) if not slowly else 12 * chance.uniform(0.97, 1.01)
        top = 40 if slow_pair == (a, b) else top
        points = []
        for size in sizes:
            took = own + size / top
            points.append(
                {
                    "bytes": size,
                    "latency_us": times(took),
                    "bandwidth_mb_s": {
                        "median": size / (took / 8 + size / top),
                        "max": size / (took / 9 + size / top),
                        "samples": 20,
                    },
                }
            )
        pairs.append({"a": a, "b": b, "points": points})
    findings = [
        {
            "kind": "slow-host",
            "hosts": [host],
            "what": f"{host} is slow: latency to it is 646x and bandwidth 0.01x of what is usual between the others",
            "latency_ratio": 646.0,
            "bandwidth_ratio": 0.01,
        }
        for host in slow
    ]
    if slow_pair:
        what = f"the pair {slow_pair[0]} and {slow_pair[1]} is slow: 162x the usual latency"
        findings.append(
            {"kind": "slow-pair", "hosts": list(slow_pair), "what": what, "latency_ratio": 162.0, "bandwidth_ratio": None}
        )
    return {
        "schema": "hvdsm.bench.network/1",
        "made": "2026-11-21T17:30:00Z",
        "hvdsm": "0.1.0",
        "job_name": "network-20261121",
        "backend": "local",
        "label": label,
        "instance_type": "local",
        "region": None,
        "placement": None,
        "hosts": [
            {
                "name": name,
                "address": f"10.77.0.{index + 1}",
                "interface": "eth0",
                "cpus": 2,
                "gpus": 0,
                "memory_bytes": 8 << 30,
                "kernel": "6.1.0",
            }
            for index, name in enumerate(hosts)
        ],
        "processes_per_host": 1,
        "world_size": len(hosts),
        "mpi": {"name": "Open MPI", "version": "4.1.8", "mpi4py": "4.1.2", "transport": "tcp"},
        "shaping": {"delay_ms": 0.0, "mbit": 0.0, "hosts": {host: {"delay_ms": 20.0, "mbit": 100.0} for host in slow}}
        if slow
        else None,
        "settings": {"pair_sizes": list(sizes)},
        "pairs": pairs,
        "allreduce": [allreduce(engine, len(hosts), sizes, factor) for factor, engine in enumerate(engines, 1)],
        "not_measured": [{"engine": "horovod", "why": "horovod is not installed on algo-2"}] if "horovod" not in engines else [],
        "findings": findings,
        "summary": {"latency_us": None, "bandwidth_mb_s": None, "bus_bandwidth_gb_s": {}},
        "seconds": 23.1,
    }


def allreduce(engine: str, count: int, sizes: Sequence[int], factor: float) -> Dict[str, Any]:
    points = []
    for size in sizes:
        took = 60.0 * factor + size / 600
        rate = size / took / 1000
        points.append(
            {
                "bytes": size,
                "time_us": times(took),
                "algorithm_bandwidth_gb_s": rate,
                "bus_bandwidth_gb_s": rate * 2 * (count - 1) / count,
            }
        )
    detail = {"mpi": "mpi4py Allreduce, float32", "torch": "torch.distributed gloo"}.get(engine, "horovod.torch over MPI")
    return {"engine": engine, "version": "4.1.8", "detail": detail, "points": points}


def sample(count: int = 4, **more: Any) -> Bench:
    """A run of that many hosts; the same for the same arguments."""
    return from_json(document(count, **more))
