"""New IDs of nodes. Each host keeps those of its share of each type's nodes, and the others ask it.

DGL counts nodes part after part, within a part type after type; within those ours keep the order of their original IDs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from .partition_assign import Block
from .partition_exchange import Exchange, whole_share
from .partition_metadata import ChunkedGraph
from .partition_store import Store

Array = NDArray[Any]


@dataclass(frozen=True)
class Ranges:
    """Which new IDs belong to which part and type.

    Attributes:
        first: first new ID of each type (second index) in each part (first index).
        starts: first new ID of each part, and the end of the last.
    """

    first: Array
    starts: Array

    @classmethod
    def of_counts(cls, counts: Array) -> Ranges:
        """From the number of each type in each part; parts are rows."""
        ends = np.cumsum(counts.reshape(-1)).reshape(counts.shape)
        return cls(ends - counts, np.concatenate([[0], ends[:, -1]]).astype(np.int64))

    def of_type(self, kind: int) -> List[List[int]]:
        """First and end of a type in each part, as DGL's JSON has it."""
        flat = np.append(self.first.reshape(-1), self.starts[-1])
        at = np.arange(len(self.first)) * self.first.shape[1] + kind
        return [[int(flat[n]), int(flat[n + 1])] for n in at]

    def count(self, part: int) -> int:
        """Number of IDs of a part."""
        return int(self.starts[part + 1] - self.starts[part])

    def before(self, part: int, kind: int) -> int:
        """IDs of a part that come before those of a type."""
        return int(self.first[part, kind] - self.starts[part])

    def of_part(self, part: int) -> List[Tuple[int, int]]:
        """First and end of each type in a part."""
        ends = [*self.first[part, 1:].tolist(), int(self.starts[part + 1])]
        return list(zip(self.first[part].tolist(), ends))


@dataclass(frozen=True)
class Nodes:
    """The nodes' new IDs.

    Attributes:
        ranges: IDs by part and type.
        bounds: for each type, which original IDs each host keeps.
        new: for each type, new IDs of those that this host keeps.
    """

    ranges: Ranges
    bounds: List[Array]
    new: List[Array]

    def table(self, kind: int, _rank: int) -> Array:
        """New IDs of this host's nodes of a type."""
        return self.new[kind]


def number_nodes(
    graph: ChunkedGraph, exchange: Exchange, num_parts: int, blocks: Optional[Iterator[Block]], store: Store
) -> Nodes:
    """Give every node its new ID, and keep the original IDs of each part.

    Args:
        graph: the graph.
        exchange: the hosts.
        num_parts: number of parts.
        blocks: on the first host, parts of all nodes.
        store: what belongs to this host's parts.
    """
    bounds = [whole_share(count, exchange.size) for count in graph.num_nodes]
    parts = _scattered(exchange, bounds, blocks)
    mine = np.stack([np.bincount(part, minlength=num_parts) for part in parts], axis=1).astype(np.int64)
    by_host = np.stack(exchange.gather(mine))
    ranges = Ranges.of_counts(by_host.sum(axis=0))
    begin = ranges.first + by_host[: exchange.rank].sum(axis=0)
    new = [_numbered(part, begin[:, kind]) for kind, part in enumerate(parts)]
    for kind in range(len(graph.num_nodes)):
        first = int(bounds[kind][exchange.rank])
        for at in exchange.rounds(_slices(len(new[kind]), exchange.rows(24))):
            rows = slice(0, 0) if at is None else at
            ids = new[kind][rows]
            dealt = exchange.deal(np.arange(rows.start, rows.start + len(ids)) + first, ids, ranges.starts)
            with exchange.alone():
                for part, place, piece in dealt:
                    store.write(part, "orig_nids", place, piece)
    return Nodes(ranges, bounds, new)


def _scattered(exchange: Exchange, bounds: List[Array], blocks: Optional[Iterator[Block]]) -> List[Array]:
    """The first host's blocks, on the hosts that keep them."""
    kept = [np.zeros(int(bound[exchange.rank + 1] - bound[exchange.rank]), dtype=np.uint16) for bound in bounds]
    for block in exchange.rounds(blocks if blocks is not None else iter(())):
        kind, start, parts = block if block is not None else (0, 0, np.empty(0, dtype=np.uint16))
        kind, start = exchange.gather((kind, start))[0]
        edges = np.clip(bounds[kind] - start, 0, len(parts))
        got, _ = exchange.send(parts, np.diff(edges).tolist())
        at = max(start - int(bounds[kind][exchange.rank]), 0)
        kept[kind][at : at + len(got)] = got
    return kept


def _numbered(parts: Array, begin: Array) -> Array:
    """New IDs of nodes in the order of their original IDs, given the first one of each part."""
    order = np.argsort(parts, kind="stable")
    counts = np.bincount(parts, minlength=len(begin))
    within = np.arange(len(parts)) - np.repeat(np.cumsum(counts) - counts, counts)
    new = np.empty(len(parts), dtype=np.int64)
    new[order] = within + np.repeat(begin, counts)
    return new


def _slices(count: int, rows: int) -> Iterator[slice]:
    return (slice(start, min(start + rows, count)) for start in range(0, count, rows))
