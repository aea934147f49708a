"""A partitioning as a job: data from S3 to each host, partitions back, and what GraphStorm wants beside them."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from .partition_assign import META
from .partition_build import METADATA
from .partition_errors import PartitionError
from .partition_exchange import Exchange
from .partition_metadata import ChunkedGraph, parse_metadata, share
from .partition_places import Place, places
from .partition_run import Plan, partition

OUTPUT = "dist_graph"
ASSIGNMENTS = "partition"
TRANSFORMATIONS = "data_transform_new.json"
"""What GraphStorm calls the transformations of a graph's features, as they were made."""
_LAUNCH = "launch_arguments.json"
_MAPPINGS = "raw_id_mappings"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartitionJob:
    """What a job is asked for; addresses are of S3, or directories that all hosts have.

    Attributes:
        graph_data: where the chunked graph lies.
        output: where partitions go.
        num_parts: number of parts.
        metadata_filename: its name in ``graph_data``.
        algorithm: ``random`` or ``metis``.
        skip_partitioning: take the assignments in ``<output>/partition``.
        seed: of random parts.
        region: AWS region; that of the environment by default.
        work_dir: directory for what lies between; the system's for temporary files by default.
    """

    graph_data: str
    output: str
    num_parts: int
    metadata_filename: str = "updated_row_counts_metadata.json"
    algorithm: str = "random"
    skip_partitioning: bool = False
    seed: int = 0
    region: Optional[str] = None
    work_dir: Optional[str] = None


def run(job: PartitionJob, exchange: Exchange) -> None:
    """Run the job; all hosts call this.

    Nothing but assignments is uploaded before all partitions are made; the partitions' metadata comes last.

    Raises:
        JobError: data are wrong, or a host failed; on all hosts.
    """
    with exchange.together():
        work = tempfile.mkdtemp(prefix="hvdsm-partition-", dir=job.work_dir)
    try:
        _run(job, exchange, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(job: PartitionJob, exchange: Exchange, work: str) -> None:
    first = exchange.rank == 0
    begin = time.monotonic()
    with exchange.together():
        source, target = places(job.graph_data, job.output, _log.info, job.region)
        graph = _graph(job, source)
        transformations = _transformations(source) if first else None
        assignments = _fetch_assignments(graph, target, work) if job.skip_partitioning and first else None
    if exchange.size != job.num_parts and first:
        _log.warning("%d hosts make %d parts: jobs that train want as many hosts as parts", exchange.size, job.num_parts)
    with exchange.together():
        directory = _fetch(graph, source, exchange, work)
    made = os.path.join(work, "output")

    def assigned() -> None:
        if not job.skip_partitioning:
            target.put(os.path.join(made, "partition_assignment"), ASSIGNMENTS)

    assigned_by = (assignments or work) if job.skip_partitioning else None
    plan = Plan(graph, directory, made, job.num_parts, job.algorithm, job.seed, assigned_by, os.path.join(work, "scratch"))
    partition(plan, exchange, assigned=assigned)
    with exchange.together():
        if first:
            # Readers look for these first: without them there is no half-written graph, nor another one's IDs.
            for name in (METADATA, f"{graph.name}.json", "node_mapping.pt", "edge_mapping.pt"):
                target.remove(f"{OUTPUT}/{name}")
    with exchange.together():
        for part in range(exchange.rank, job.num_parts, exchange.size):
            target.put(os.path.join(made, OUTPUT, f"part{part}"), f"{OUTPUT}/part{part}")
        if first:
            _put_others(source, target, transformations)
    with exchange.together():
        if first:
            _put_metadata(target, os.path.join(made, OUTPUT, METADATA), work)
    _log.info("%s is there after %.1f s", target.at(OUTPUT), time.monotonic() - begin)


def _graph(job: PartitionJob, source: Place) -> ChunkedGraph:
    text = source.text(job.metadata_filename)
    where = source.at(job.metadata_filename)
    if text is None:
        raise PartitionError(
            "there is no such metadata file",
            where=where,
            remedy="check --graph-data-s3; --metadata-filename metadata.json takes the one of a graph whose row counts "
            "needed no repair",
        )
    return parse_metadata(text, where)


def _fetch(graph: ChunkedGraph, source: Place, exchange: Exchange, work: str) -> str:
    """Bring this host's share of all files; returns what the metadata's paths are relative to."""
    names: List[str] = []
    for chunks in graph.all_chunks:
        names += [chunks.files[number] for number in share(len(chunks.files), exchange.rank, exchange.size)]
    return source.fetch(names, os.path.join(work, "data"))


def _fetch_assignments(graph: ChunkedGraph, target: Place, work: str) -> str:
    there = set(target.names(ASSIGNMENTS))
    names = [f"{name}.txt" for name in graph.node_types]
    missing = [name for name in names if name not in there]
    if missing:
        raise PartitionError(
            f"no assignments of nodes to parts: {', '.join(missing)}",
            where=target.at(ASSIGNMENTS),
            remedy="partition without --skip-partitioning: it writes them there",
        )
    wanted = [f"{ASSIGNMENTS}/{name}" for name in (*names, *({META} & there))]
    return os.path.join(target.fetch(wanted, os.path.join(work, "assignments")), ASSIGNMENTS)


def _transformations(source: Place) -> Optional[str]:
    """The file of transformations that GraphStorm's processing has left, found by its launch arguments; checked to be there."""
    text = source.text(_LAUNCH)
    if text is None:
        _log.warning(
            "no %s in %s: without it an endpoint cannot transform its requests as the graph's features were", _LAUNCH, source.root
        )
        return None
    try:
        told = json.loads(text)["config_filename"]
        name = str(told).replace(".json", "_with_transformations.json")
    except (ValueError, KeyError, TypeError) as error:
        raise PartitionError(
            f"has no config_filename ({type(error).__name__}: {error})", where=source.at(_LAUNCH), remedy="remove or repair it"
        ) from None
    if source.text(name) is None:
        raise PartitionError(
            f"there is no such file, which {_LAUNCH} leads to",
            where=source.at(name),
            remedy=f"process the graph again, or remove {_LAUNCH}",
        )
    return name


def _put_others(source: Place, target: Place, transformations: Optional[str]) -> None:
    """What GraphStorm wants beside the partitions: its string IDs, and the transformations of features."""
    names = source.names(_MAPPINGS)
    for name in names:
        source.copy(f"{_MAPPINGS}/{name}", target, f"{OUTPUT}/{_MAPPINGS}/{name}")
    _log.info("%d files of %s copied", len(names), _MAPPINGS)
    if transformations is not None:
        source.copy(transformations, target, f"{OUTPUT}/{TRANSFORMATIONS}")


def _put_metadata(target: Place, path: str, work: str) -> None:
    alone = os.path.join(work, "last")
    os.makedirs(alone)
    shutil.move(path, os.path.join(alone, METADATA))
    target.put(alone, OUTPUT)


def arguments_of(job: PartitionJob) -> List[Tuple[str, str]]:
    """The job as arguments of ``python -m hvdsm.graphjob.partition``; what is as by default is left out."""
    default = PartitionJob("", "", 0)
    given: Dict[str, object] = {
        "graph-data-s3": job.graph_data,
        "output-data-s3": job.output,
        "num-parts": job.num_parts,
        "metadata-filename": job.metadata_filename,
        "partition-algorithm": job.algorithm,
        "skip-partitioning": str(job.skip_partitioning).lower(),
    }
    for name, value, usual in (("seed", job.seed, default.seed), ("region", job.region, None), ("work-dir", job.work_dir, None)):
        if value != usual:
            given[name] = value
    return [(name, str(value)) for name, value in given.items()]
