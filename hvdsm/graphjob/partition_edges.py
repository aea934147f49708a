"""Edges on their way to the parts: that of their destination, and that of their source where it is another.

The first passage gives their nodes new IDs and counts; the second numbers the edges and brings them to their parts.  Between them
they lie on the disk of the host that read them.  DGL counts edges part after part, within a part type after type; within those
ours keep the order of the files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Iterator, List, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from .partition_errors import PartitionError
from .partition_exchange import Exchange
from .partition_files import Shape, batches
from .partition_metadata import ChunkedGraph, Chunks, share
from .partition_nodes import Nodes, Ranges
from .partition_store import Store

Array = NDArray[Any]
_NOBODY = np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class Source:
    """Files, where they lie on this host, and what all of them hold.

    Attributes:
        chunks: the files.
        directory: what their paths are relative to.
        shapes: of every file, also of those on other hosts.
    """

    chunks: Chunks
    directory: str
    shapes: Tuple[Shape, ...]

    def bounds(self, size: int) -> Array:
        """Rows that each host reads: host h those from ``bounds[h]`` to ``bounds[h + 1]``."""
        counts = [sum(self.shapes[n].rows for n in share(len(self.shapes), host, size)) for host in range(size)]
        return np.cumsum([0, *counts])

    def batches(self, rank: int, size: int, rows: int) -> Iterator[Tuple[int, Array]]:
        """This host's rows: number of the first, and a batch."""
        first = int(self.bounds(size)[rank])
        for number in share(len(self.chunks.files), rank, size):
            path = located(self.directory, self.chunks.files[number])
            for batch in batches(self.chunks, path, self.shapes[number], rows):
                yield first, batch
                first += len(batch)


def located(directory: str, file: str) -> str:
    """Where a file lies that the metadata names."""
    return os.path.normpath(os.path.join(directory, file))


@dataclass(frozen=True)
class Edges:
    """The edges' new IDs.

    Attributes:
        ranges: IDs by part and type.
        bounds: for each type, which original IDs each host has read.
        new: for each type, a file with the new IDs of those that this host has read.
    """

    ranges: Ranges
    bounds: List[Array]
    new: List[str]

    def table(self, kind: int, rank: int) -> Array:
        """New IDs of this host's edges of a type."""
        if self.bounds[kind][rank] == self.bounds[kind][rank + 1]:
            return np.empty(0, dtype=np.int64)
        table: Array = np.memmap(self.new[kind], dtype=np.int64, mode="r")
        return table


def pairs(graph: ChunkedGraph, kind: int, source: Source, exchange: Exchange) -> Iterator[Tuple[int, Array]]:
    """This host's edges of a type, as pairs of original IDs; the number of the first comes before them.

    Raises:
        PartitionError: there is no such node.
    """
    limits = np.array([graph.num_nodes[end] for end in graph.ends(kind)])
    for first, batch in source.batches(exchange.rank, exchange.size, exchange.rows(64)):
        rows = batch.astype(np.int64)
        wrong = np.argwhere((rows < 0) | (rows >= limits))
        if len(wrong):
            row, end = (int(n) for n in wrong[0])
            raise PartitionError(
                f"edge {first + row} has the {('source', 'destination')[end]} {int(rows[row, end])}, but there are {limits[end]} "
                f"nodes of the type {graph.node_types[graph.ends(kind)[end]]}",
                where=source.chunks.label,
                remedy="the edges or the metadata's num_nodes_per_type is wrong: write the graph again",
            )
        yield first, rows


def deliver_edges(
    graph: ChunkedGraph, sources: Sequence[Source], exchange: Exchange, nodes: Nodes, store: Store, directory: str
) -> Edges:
    """Number all edges, and bring each to the parts that need it.

    Args:
        graph: the graph.
        sources: the files of each edge type.
        exchange: the hosts.
        nodes: new IDs of nodes.
        store: what belongs to this host's parts; ``edges`` are source, destination and original ID in the order of the new IDs,
            ``outer`` those to other parts: source, destination and new ID.
        directory: for files between the passages.
    """
    num_parts = len(nodes.ranges.first)
    mine = np.zeros((num_parts, len(sources)), dtype=np.int64)
    paths = [os.path.join(directory, f"edges{kind}") for kind in range(len(sources))]
    for kind, source in enumerate(sources):
        begin, end = graph.ends(kind)
        for batch in exchange.rounds(pairs(graph, kind, source, exchange)):
            rows = _NOBODY if batch is None else batch[1]
            sides = zip((begin, end), (rows[:, 0], rows[:, 1]))
            found = np.stack([exchange.look_up(ids, nodes.bounds[side], nodes.new[side]) for side, ids in sides], axis=1)
            mine[:, kind] += np.bincount(_part(found[:, 1], nodes.ranges.starts), minlength=num_parts)
            with exchange.alone():
                _append(paths[kind], found)
    by_host = np.stack(exchange.gather(mine))
    ranges = Ranges.of_counts(by_host.sum(axis=0))
    following = ranges.first + by_host[: exchange.rank].sum(axis=0)
    bounds = [source.bounds(exchange.size) for source in sources]
    edges = Edges(ranges, bounds, [os.path.join(directory, f"eids{kind}") for kind in range(len(sources))])
    for kind, path in enumerate(paths):
        first = int(bounds[kind][exchange.rank])
        for found in exchange.rounds(_read_back(path, exchange.rows(64))):
            ends = _NOBODY if found is None else found
            part = _part(ends[:, 1], nodes.ranges.starts)
            ids = _following(part, following[:, kind])
            dealt = exchange.deal(np.column_stack([ends, np.arange(first, first + len(ends))]), ids, ranges.starts)
            first += len(ends)
            outer = _deal_outer(exchange, ends, part, ids, nodes.ranges.starts)
            with exchange.alone():
                _append(edges.new[kind], ids)
                for number, place, rows in dealt:
                    store.write(number, "edges", place, rows)
                for number, rows in outer:
                    store.append(number, "outer", rows)
        with exchange.together():
            if os.path.exists(path):
                os.remove(path)
    return edges


def _append(path: str, rows: Array) -> None:
    with open(path, "ab") as file:
        file.write(np.ascontiguousarray(rows).data)


def _part(ids: Array, starts: Array) -> Array:
    return np.searchsorted(starts, ids, side="right") - 1


def _following(part: Array, following: Array) -> Array:
    """New IDs of edges in their order, given the next one of each part, which is moved on."""
    order = np.argsort(part, kind="stable")
    counts = np.bincount(part, minlength=len(following))
    ids = np.empty(len(part), dtype=np.int64)
    ids[order] = np.arange(len(part)) + np.repeat(following - (np.cumsum(counts) - counts), counts)
    following += counts
    return ids


def _deal_outer(exchange: Exchange, ends: Array, part: Array, ids: Array, starts: Array) -> List[Tuple[int, Array]]:
    """Bring edges that lead to another part to their source's, too: DGL keeps them beside its own."""
    source = _part(ends[:, 0], starts)
    outer = np.flatnonzero(source != part)
    order = outer[np.argsort(source[outer] % exchange.size, kind="stable")]
    counts = np.bincount(source[order] % exchange.size, minlength=exchange.size)
    got, _ = exchange.send(np.column_stack([ends[order], ids[order]]), counts.tolist())
    owner = _part(got[:, 0], starts)
    return [(number, got[owner == number]) for number in np.unique(owner).tolist()]


def _read_back(path: str, rows: int) -> Iterator[Array]:
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        while True:
            found = np.frombuffer(file.read(rows * 16), dtype=np.int64).reshape(-1, 2)
            if not len(found):
                return
            yield found
