"""Partitions a graph for DistDGL and GraphStorm: ``python -m hvdsm.graphjob.partition``, one rank of MPI on each host.

It reads DGL's chunked graph format and writes what ``dgl.distributed`` and GraphStorm load; see docs/graph-partition.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from typing import NoReturn, Optional, Sequence

from .failures import JobError
from .partition_errors import PartitionError
from .partition_exchange import MOST_BYTES, Exchange, world
from .partition_job import PartitionJob
from .partition_job import run as work
from .state import JobState

_OF_JOBS = (
    "graph-data-s3", "output-data-s3", "num-parts", "metadata-filename", "partition-algorithm", "skip-partitioning", "log-level",
)  # fmt: skip
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")


def _truth(text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no", ""):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would end the process with."""

    def error(self, message: str) -> NoReturn:
        raise PartitionError(message, where="the arguments of a partitioning", remedy="hvdsm graph partition --help tells them")


def parser() -> argparse.ArgumentParser:
    """The arguments, by the names that GraphStorm's own program has."""
    made = _Parser(prog="python -m hvdsm.graphjob.partition", description="Partition a graph, on all hosts at once.")
    add = made.add_argument
    add("--graph-data-s3", "--input-graph-s3", required=True, help="where the chunked graph lies: s3://… or a directory")
    add("--output-data-s3", "--output-graph-s3", required=True, help="where partitions go: s3://… or a directory")
    add("--num-parts", required=True, type=int, help="number of parts")
    add("--metadata-filename", default=PartitionJob.metadata_filename, help="the graph's metadata (default: %(default)s)")
    add("--partition-algorithm", default="random", choices=("random", "metis"), help="default: random")
    add("--skip-partitioning", type=_truth, nargs="?", const=True, default=False, help="take the assignments in OUTPUT/partition")
    add("--seed", type=int, default=0, help="of random parts (default: 0)")
    add("--log-level", type=str.upper, choices=LEVELS, default="INFO", help="default: INFO")
    add("--region", help="AWS region; that of the environment by default")
    add("--work-dir", help="directory for data and partitions on their way (default: the system's for temporary files)")
    add("--chunk-bytes", type=int, default=64 << 20, help=f"bytes of rows under way at a time, at most {MOST_BYTES}")
    return made


def job_of(given: argparse.Namespace) -> PartitionJob:
    """The job that arguments ask for."""
    return PartitionJob(
        given.graph_data_s3, given.output_data_s3, given.num_parts, given.metadata_filename, given.partition_algorithm,
        given.skip_partitioning, given.seed, given.region, given.work_dir,
    )  # fmt: skip


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the program; returns its exit code."""
    try:
        given = parser().parse_args(arguments)
    except PartitionError as error:
        print(f"graph: error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return _all_hosts(job_of(given), given.chunk_bytes, given.log_level)


def run(what: str, state: JobState) -> int:
    """What a host of ``hvdsm graph partition`` does.

    Args:
        what: ``rank``, once on each host, under mpirun; all else has nothing to do.
        state: the host's view of the job.

    Returns:
        The exit code.

    Raises:
        JobError: a hyperparameter is missing or wrong.
    """
    if what != "rank":
        return 0
    words = [word for name in _OF_JOBS if name in state.options for word in (f"--{name}", state.options[name])]
    given = parser().parse_args([*words, *state.words])
    os.makedirs(state.places.base, exist_ok=True)
    given.work_dir = given.work_dir or state.places.base
    return _all_hosts(job_of(given), given.chunk_bytes, given.log_level)


def _all_hosts(job: PartitionJob, chunk_bytes: int, level: str) -> int:
    logging.basicConfig(level=level, format="graph: %(levelname)s: %(message)s", stream=sys.stdout, force=True)
    comm = world(os.environ)
    try:
        work(job, Exchange(comm, chunk_bytes))
    except JobError as error:
        print(f"graph: error: {error}", file=sys.stderr, flush=True)
        if not getattr(error, "on_all_hosts", False):
            _end(comm, error.exit_code)
        else:
            # mpirun ends the others once one has ended: each has its say first.
            comm.allgather(None)
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        _end(comm, 1)
        raise
    return 0


def _end(comm: object, code: int) -> None:
    """End all ranks: the others wait for this one."""
    abort = getattr(comm, "Abort", None)
    if abort is not None:
        abort(code)


if __name__ == "__main__":
    sys.exit(main())
