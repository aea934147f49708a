"""All-reduce between MPI ranks with mpi4py alone: is every sum right, and how fast is it?

Each rank fills a buffer of float64 with ``(rank + 1) * (i % 97 + 1)`` for element ``i``; the sum over all ranks is then known
exactly (whole numbers far below 2**53), and every rank compares every element.  The script ends with exit code 1 on every rank
if one element on one rank is wrong.  Needs mpi4py and an MPI; no NumPy, no data, no channel.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from array import array
from typing import List

PATTERN = [float(i % 97 + 1) for i in range(97)]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Check and time MPI all-reduce between all ranks, with mpi4py alone.")
    parser.add_argument(
        "--sizes",
        type=sizes,
        default=sizes("1,1024,65536,1048576"),
        metavar="N,N,...",
        help="float64 elements per rank of each test, 8 bytes each (default: 1,1024,65536,1048576)",
    )
    parser.add_argument("--repeats", type=positive, default=5, help="timed repetitions; the fastest is shown (default: 5)")
    parser.add_argument("--fail-rank", type=int, metavar="R", help="raise an exception on rank R, to see how the job ends")
    parser.add_argument("--corrupt-rank", type=int, metavar="R", help="let rank R send one wrong number, to see the check fail")
    return parser.parse_args()


def positive(text: str) -> int:
    """A whole number of at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def sizes(text: str) -> List[int]:
    """Comma-separated whole numbers of at least one."""
    try:
        return [positive(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 8,1024") from error


def filled(count: int, factor: int) -> array[float]:
    """``count`` float64 elements: ``factor * (i % 97 + 1)`` at position ``i``."""
    block = array("d", [factor * value for value in PATTERN])
    return (block * (count // len(PATTERN) + 1))[:count]


def wrong_elements(received: array[float], expected: array[float]) -> int:
    """How many positions differ."""
    if received == expected:
        return 0
    return sum(1 for got, want in zip(received, expected) if got != want)


def main() -> int:
    """Run all sizes and return the exit code, the same on every rank."""
    args = parse_args()
    from mpi4py import MPI  # starts MPI, so only once the command line is known to be good

    comm = MPI.COMM_WORLD
    rank, size = comm.Get_rank(), comm.Get_size()
    host = os.environ.get("SM_CURRENT_HOST") or socket.gethostname()
    for option, chosen in (("--fail-rank", args.fail_rank), ("--corrupt-rank", args.corrupt_rank)):
        if chosen is not None and not 0 <= chosen < size:
            print(f"train.py: {option} {chosen}: the ranks are 0 to {size - 1}", file=sys.stderr, flush=True)
            return 2
    local = comm.Split_type(MPI.COMM_TYPE_SHARED)
    print(f"rank {rank} of {size} on {host}: local rank {local.Get_rank()} of {local.Get_size()}", flush=True)

    hosts = comm.allgather(host)
    if rank == 0:
        print(f"library: {MPI.Get_library_version().split(',')[0]}", flush=True)
        for name in dict.fromkeys(hosts):
            print(f"host {name}: {hosts.count(name)} ranks", flush=True)
    if rank == args.fail_rank:
        raise RuntimeError(f"rank {rank} was asked to fail by --fail-rank")

    wrong_sizes = 0
    for count in args.sizes:
        sent, received = filled(count, rank + 1), array("d", bytes(8 * count))
        if rank == args.corrupt_rank:
            sent[count // 2] += 1.0
        seconds = []
        for _ in range(args.repeats):
            comm.Barrier()
            begin = time.perf_counter()
            comm.Allreduce(sent, received)
            seconds.append(time.perf_counter() - begin)
        # A repetition lasts as long as its slowest rank; the verdict is everybody's, so that all ranks leave with one exit code.
        best = min(max(repetition) for repetition in zip(*comm.allgather(seconds)))
        wrong = comm.allreduce(wrong_elements(received, filled(count, size * (size + 1) // 2)), op=MPI.MAX)
        wrong_sizes += bool(wrong)
        if rank == 0:
            # Bytes that each rank must send in a ring: the figure to hold against the speed of the network.
            sent_bytes = 2 * (size - 1) / size * 8 * count
            verdict = f"WRONG in {wrong} of {count} elements" if wrong else "right"
            print(
                f"{8 * count:>10} bytes: {best * 1e3:9.3f} ms, {sent_bytes / best / 1e6:9.1f} MB/s per rank, sum {verdict}",
                flush=True,
            )
    if rank == 0:
        summary = f"{len(args.sizes)} sizes, {size} ranks, {len(set(hosts))} hosts"
        print(f"all-reduce wrong in {wrong_sizes} of {summary}" if wrong_sizes else f"all-reduce right: {summary}", flush=True)
    return 1 if wrong_sizes else 0


if __name__ == "__main__":
    sys.exit(main())
