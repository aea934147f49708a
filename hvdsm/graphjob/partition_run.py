"""Partitions a graph whose files lie on the hosts' disks: the work itself, without S3."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional

import numpy as np
from numpy.typing import NDArray

from .partition_assign import (
    AssignmentWriter,
    Block,
    array_blocks,
    check_parts,
    file_blocks,
    metis_parts,
    random_blocks,
    room_for_metis,
)
from .partition_build import METADATA, part_metadata, write_part
from .partition_edges import Source, deliver_edges, pairs
from .partition_errors import PartitionError
from .partition_exchange import Exchange
from .partition_features import check_edges, deliver_feature, feature_names, kind_of, sources_of
from .partition_metadata import ChunkedGraph
from .partition_nodes import number_nodes
from .partition_store import Store

Array = NDArray[Any]
ALGORITHMS = ("random", "metis")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What is to be done; the same on all hosts.

    Attributes:
        graph: the graph.
        directory: what the metadata's paths are relative to; each host needs its share of the files only.
        output: a directory of each host: ``partition_assignment`` on the first, ``dist_graph`` on all.
        num_parts: number of parts; part p belongs to host p modulo their number.
        algorithm: one of :data:`ALGORITHMS`.
        seed: of random parts.
        assignments: directory of the first host with assignments that are taken instead of making some; None makes them.
        scratch: directory for what lies between; removed at the end.
    """

    graph: ChunkedGraph
    directory: str
    output: str
    num_parts: int
    algorithm: str = "random"
    seed: int = 0
    assignments: Optional[str] = None
    scratch: str = ""


def partition(
    plan: Plan,
    exchange: Exchange,
    *,
    assigned: Callable[[], None] = lambda: None,
    store: Callable[[str], Store] = Store,
) -> Dict[str, Any]:
    """Write the partitions of this host.

    Args:
        plan: what is to be done.
        exchange: the hosts; all of them call this.
        assigned: called on the first host when the assignments are written, before anything else is done with them.
        store: makes what keeps the rows of this host's parts, given its directory.

    Returns:
        The partitions' metadata, which the first host has written to ``dist_graph/metadata.json``.

    Raises:
        JobError: data are wrong, or a host failed; on all hosts.
    """
    graph = plan.graph
    scratch = plan.scratch or os.path.join(plan.output, f"scratch{exchange.rank}")
    with exchange.together():
        check_parts(graph, plan.num_parts)
        shutil.rmtree(scratch, ignore_errors=True)
        os.makedirs(scratch)
        rows = store(os.path.join(scratch, "rows"))
    try:
        return _partition(plan, exchange, scratch, rows, assigned)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _partition(plan: Plan, exchange: Exchange, scratch: str, store: Store, assigned: Callable[[], None]) -> Dict[str, Any]:
    graph, rank = plan.graph, exchange.rank
    edge_names = [graph.edge_name(kind) for kind in range(len(graph.edge_types))]
    node_features = feature_names(graph.node_data, graph.node_types)
    edge_features = feature_names(graph.edge_data, edge_names)
    counts = [
        *graph.num_edges,
        *(graph.num_nodes[n] for n, _ in graph.node_data),
        *(graph.num_edges[n] for n, _ in graph.edge_data),
    ]
    found = sources_of(graph.all_chunks, counts, plan.directory, exchange)
    sources = [found[chunks.label] for chunks in graph.edges]
    with exchange.together():
        for source in sources:
            check_edges(source.chunks.label, source)
    blocks = _blocks(plan, exchange, sources)
    nodes = number_nodes(graph, exchange, plan.num_parts, blocks, store)
    with exchange.together():
        if rank == 0:
            assigned()
    _log.info("PartitionDone: %d nodes in %d parts (%s)", sum(graph.num_nodes), plan.num_parts, _method(plan))
    edges = deliver_edges(graph, sources, exchange, nodes, store, scratch)
    _log.info("%d edges delivered", sum(graph.num_edges))
    for ids, features in ((nodes, node_features), (edges, edge_features)):
        for name, (kind, chunks) in features.items():
            deliver_feature(name, found[chunks.label], exchange, ids, kind, store)
    _log.info("%d features delivered", len(node_features) + len(edge_features))
    target = os.path.join(plan.output, "dist_graph")
    kinds = [{n: kind_of(found[chunks.label]) for n, (_, chunks) in some.items()} for some in (node_features, edge_features)]
    metadata = part_metadata(graph, _method(plan), nodes.ranges, edges.ranges)
    with exchange.together():
        os.makedirs(target, exist_ok=True)
        for part in range(rank, plan.num_parts, exchange.size):
            write_part(graph, part, nodes.ranges, edges.ranges, store, kinds[0], kinds[1], target)
            _log.info("part%d is written", part)
    with exchange.together():
        if rank == 0:
            with open(os.path.join(target, METADATA), "w", encoding="utf-8") as file:
                json.dump(metadata, file, indent=4)
    return metadata


def _method(plan: Plan) -> str:
    return "assigned" if plan.assignments else plan.algorithm


def _blocks(plan: Plan, exchange: Exchange, sources: List[Source]) -> Optional[Iterator[Block]]:
    """On the first host, parts of all nodes; all hosts call this."""
    graph = plan.graph
    if plan.assignments is not None:
        return file_blocks(graph, plan.num_parts, plan.assignments) if exchange.rank == 0 else None
    if plan.algorithm not in ALGORITHMS:
        raise PartitionError(f"{plan.algorithm!r} is none", where="--partition-algorithm", remedy=" or ".join(ALGORITHMS))
    whole = _whole(plan, exchange, sources) if plan.algorithm == "metis" else None
    if exchange.rank != 0:
        return None
    seed = plan.seed if whole is None else None
    directory = os.path.join(plan.output, "partition_assignment")
    writer = AssignmentWriter(graph, directory, plan.num_parts, plan.algorithm, seed)
    blocks = random_blocks(graph, plan.num_parts, plan.seed) if whole is None else _metis_blocks(plan, whole)
    return writer.passing(blocks)


def _metis_blocks(plan: Plan, whole: Array) -> Iterator[Block]:
    yield from array_blocks(plan.graph, metis_parts(plan.graph, plan.num_parts, whole))


def _whole(plan: Plan, exchange: Exchange, sources: List[Source]) -> Array:
    """All edges on the first host, none on the others: METIS takes nothing less."""
    graph = plan.graph
    with exchange.together():
        needed, free = room_for_metis(sum(graph.num_edges), sum(graph.num_nodes))
        if exchange.rank == 0 and needed > free:
            raise PartitionError(
                f"METIS takes the whole graph's structure, about {needed >> 20} MiB; {free >> 20} MiB are free",
                where="--partition-algorithm metis",
                remedy="--partition-algorithm random, or an instance type with more memory",
            )
    first = np.cumsum([0, *graph.num_nodes])
    whole = np.empty((sum(graph.num_edges) if exchange.rank == 0 else 0, 2), dtype=np.int64)
    begin = 0
    for kind, source in enumerate(sources):
        bounds = source.bounds(exchange.size)
        done = bounds[:-1].copy()
        offset = first[list(graph.ends(kind))]
        for batch in exchange.rounds(pairs(graph, kind, source, exchange)):
            rows = np.empty((0, 2), dtype=np.int64) if batch is None else batch[1] + offset
            got, came = exchange.send(rows, [len(rows), *[0] * (exchange.size - 1)])
            for host, piece in enumerate(np.split(got, np.cumsum(came)[:-1])):
                whole[begin + done[host] : begin + done[host] + len(piece)] = piece
                done[host] += len(piece)
        begin += graph.num_edges[kind]
    return whole
