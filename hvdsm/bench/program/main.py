"""Measures pairs of hosts, then the all-reduce of each engine, and writes what was found after each part."""

from __future__ import annotations

import argparse
import base64
import gc
import json
import os
import sys
import time
import zlib
from typing import Any, Dict, List, Optional, Sequence

from . import here
from .allreduce import Failed, Guarded, curve
from .engines import ENGINES, MPI_ENGINE, begin
from .matrix import Plan, measure_pairs
from .pausing import Watchdog, rest_until_all
from .rounds import ALL, KINDS

FILE = "bench.json"
# A line of the log that has a part of the results, for where no file comes back: number, of how many, base64 of zlib.
MARK = "hvdsm-bench-result"
_PART = 3000
# More parts are not for a log.
_MOST = 200
# Seconds that an engine may take besides what its points take.
_ENGINE_LIMIT = 120.0


def parse(words: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The arguments of the job."""
    parser = argparse.ArgumentParser(prog="network")
    parser.add_argument("--sizes", type=_numbers, required=True)
    parser.add_argument("--allreduce-sizes", type=_numbers, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--engines", type=lambda text: text.split(","), required=True)
    parser.add_argument("--pairs", choices=KINDS, default=ALL)
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--log", action="store_true")
    return parser.parse_args(words)


def _numbers(text: str) -> List[int]:
    return [int(word) for word in text.split(",")]


class Record:
    """What was found so far, of which rank 0 writes a file, and where ``log`` says so also lines of the log."""

    def __init__(self, path: Optional[str], *, log: bool) -> None:
        self.path = path
        self.log = log
        self.begun = time.monotonic()
        self.document: Dict[str, Any] = {"pairs": [], "allreduce": [], "not_measured": [], "phase": None}

    def write(self, phase: Optional[str], *, risky: bool = False) -> None:
        """Write it, with the part that is to come (None when all are done); a risky part may be the end of this process."""
        if self.path is None:
            return
        self.document.update(phase=phase, seconds=round(time.monotonic() - self.begun, 3))
        text = json.dumps(self.document)
        with open(f"{self.path}.new", "w") as file:
            file.write(text)
        os.replace(f"{self.path}.new", self.path)
        if risky and self.log:
            say_parts(text)


def say_parts(text: str) -> None:
    """Say the results in the log."""
    data = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    parts = [data[place : place + _PART] for place in range(0, len(data), _PART)]
    for number, part in enumerate(parts[: _MOST if len(parts) <= _MOST else 0], 1):
        print(f"{MARK} {number}/{len(parts)} {part}", flush=True)


def main(words: Optional[Sequence[str]] = None) -> int:
    """Measure; the exit code."""
    from mpi4py import MPI

    options = parse(words)
    comm = MPI.COMM_WORLD
    name = here.host_name(os.environ, MPI.Get_processor_name())
    names = comm.allgather(name)
    hosts = list(dict.fromkeys(names))
    leaders = [names.index(host) for host in hosts]
    if len(hosts) < 2:
        print("network: one host has no network to measure: the job needs two at least", file=sys.stderr, flush=True)
        return 2
    place = os.environ.get("SM_OUTPUT_DATA_DIR", ".")
    record = Record(os.path.join(place, FILE) if comm.rank == 0 else None, log=options.log)
    if comm.rank == 0:
        os.makedirs(place, exist_ok=True)
        import mpi4py

        vendor, version = MPI.get_vendor()
        record.document.update(
            settings={
                "pair_sizes": options.sizes,
                "allreduce_sizes": options.allreduce_sizes,
                "seconds": options.seconds,
                "limit_seconds": options.limit,
                "pairs": options.pairs,
                "together": options.together,
                "engines": options.engines,
                "latency": "half of a round trip",
                "bandwidth": "the slower direction",
            },
            world_size=comm.size,
            processes_per_host=max(names.count(host) for host in hosts),
            mpi={"name": vendor, "version": ".".join(map(str, version)), "mpi4py": mpi4py.__version__, "transport": None},
        )
    gc.disable()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Those that measure have a communicator of their own: messages of the two parts cannot be taken for each other.
    measured = comm.Split(0 if comm.rank in leaders else MPI.UNDEFINED, hosts.index(name))
    if comm.rank in leaders:
        found = measure_pairs(
            measured, hosts, Plan(options.sizes, options.seconds, options.limit, options.pairs, options.together), say
        )
        if found is not None:
            transport = found.pop("transport")
            record.document["settings"]["measured_again"] = found.pop("measured_again")
            record.document.update(found)
            record.document["mpi"]["transport"] = transport
    rest_until_all(comm)
    address = comm.bcast(record.document.get("hosts", [{}])[0].get("address") if comm.rank == 0 else None)
    local_rank = [rank for rank, host in enumerate(names) if host == name].index(comm.rank)
    for engine in options.engines:
        measure_engine(comm, engine, name, local_rank, address or hosts[0], options, record)
    record.write(None, risky=True)
    return 0


def measure_engine(
    comm: Any, name: str, host: str, local_rank: int, address: str, options: argparse.Namespace, record: Record
) -> None:
    """The all-reduce curve of an engine, or why there is none."""
    # MPI itself has just worked; another library may end this process, so that all is said before.
    record.write(name, risky=name != MPI_ENGINE)
    guarded = Guarded(host)
    limit = _ENGINE_LIMIT + len(options.allreduce_sizes) * max(options.limit, 4 * options.seconds)

    def too_long() -> None:
        why = f"it did not get on within {limit:.0f} s"
        record.document["not_measured"].append({"engine": name, "why": why})
        record.write(None, risky=True)
        print(f"network: {name}: {why}", file=sys.stderr, flush=True)

    with Watchdog(limit, too_long):
        engine = ENGINES[name](comm, local_rank, address, _ENGINE_LIMIT / 4)
        try:
            version, detail = begin(engine, name, guarded)
            points = curve(comm, guarded, engine.make, options.allreduce_sizes, options.seconds, options.limit / 2)
            record.document["allreduce"].append({"engine": name, "version": version, "detail": detail, "points": points})
            last = points[-1]
            say(comm, f"all-reduce by {name}: {last['bus_bandwidth_gb_s']:.3g} GB/s of the bus at {last['bytes']} bytes")
            ended = Guarded(host)
            ended(engine.stop)
        except Failed as failure:
            record.document["not_measured"].append({"engine": name, "why": str(failure)})
            say(comm, f"all-reduce by {name}: not measured: {failure}")
        rest_until_all(comm)


def say(comm: Any, text: str) -> None:
    """Say something, once."""
    if comm.rank == 0:
        print(f"network: {text}", flush=True)
