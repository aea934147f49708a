"""Which part each node belongs to: at random, by METIS, or as files say; a block of nodes at a time.

Files are DGL's partition assignments: ``<node type>.txt`` has the number of a part in each line, and ``partition_meta.json``
beside them says how many parts there are.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from .partition_errors import PartitionError
from .partition_metadata import ChunkedGraph

Array = NDArray[Any]
Block = Tuple[int, int, Array]
"""Node type, first node, and the part of each node from there on."""

META = "partition_meta.json"
# Nodes whose parts are drawn, read or written at a time. Part of the meaning of a seed.
BLOCK = 1 << 18
# DGL keeps parts of nodes in 64 bits; ours travel in 16.
MOST_PARTS = 1 << 16


def check_parts(graph: ChunkedGraph, num_parts: int) -> None:
    """Check that each part can have a node of each type, which DGL's samplers and GraphStorm want.

    Raises:
        PartitionError: it cannot.
    """
    if not 1 <= num_parts < MOST_PARTS:
        raise PartitionError(f"{num_parts} parts", where="--num-parts", remedy=f"1 to {MOST_PARTS - 1}")
    few = [f"{name} has {count}" for name, count in zip(graph.node_types, graph.num_nodes) if count < num_parts]
    if few:
        raise PartitionError(
            f"{num_parts} parts need as many nodes of each type, but {', '.join(few)}",
            where="--num-parts",
            remedy="take fewer parts, or leave these nodes out of the graph",
        )


def random_blocks(graph: ChunkedGraph, num_parts: int, seed: int) -> Iterator[Block]:
    """Parts drawn with equal chances; each part has a node of each type.

    The same seed gives the same parts, whatever the number of hosts.
    """
    for kind, count in enumerate(graph.num_nodes):
        for number, start in enumerate(range(0, count, BLOCK)):
            draw = np.random.default_rng([seed, kind, number])
            parts = draw.integers(0, num_parts, min(BLOCK, count - start), dtype=np.uint16)
            if start < num_parts:
                ends = min(num_parts, start + len(parts))
                parts[: ends - start] = np.random.default_rng([seed, kind]).permutation(num_parts)[start:ends]
            yield kind, start, parts


def array_blocks(graph: ChunkedGraph, parts: Array) -> Iterator[Block]:
    """Blocks of an array with the part of every node, type after type."""
    first = 0
    for kind, count in enumerate(graph.num_nodes):
        for start in range(0, count, BLOCK):
            yield kind, start, parts[first + start : first + min(start + BLOCK, count)].astype(np.uint16)
        first += count


def file_blocks(graph: ChunkedGraph, num_parts: int, directory: str) -> Iterator[Block]:
    """Parts that files in a directory say.

    Raises:
        PartitionError: a file is missing, has the wrong number of lines, or something else than a part in a line.
    """
    _check_meta(num_parts, os.path.join(directory, META))
    for kind, (name, count) in enumerate(zip(graph.node_types, graph.num_nodes)):
        path = os.path.join(directory, f"{name}.txt")
        try:
            with open(path, encoding="ascii") as file:
                start = 0
                for parts in _parsed(file, num_parts, path):
                    yield kind, start, parts
                    start += len(parts)
        except FileNotFoundError:
            raise PartitionError(
                "there is no such file", where=path, remedy="partition without --skip-partitioning: it writes the assignments"
            ) from None
        if start != count:
            raise PartitionError(
                f"has {start} lines, but the graph has {count} nodes of the type {name}",
                where=path,
                remedy="the assignments are another graph's: partition without --skip-partitioning",
            )


def _parsed(file: Any, num_parts: int, path: str) -> Iterator[Array]:
    line = 0
    while True:
        # Lines of a number have a few characters each.
        lines: List[str] = file.readlines(BLOCK)
        if not lines:
            return
        try:
            parts = np.array(lines, dtype=np.int64)
        except ValueError as error:
            raise PartitionError(
                f"lines {line + 1} to {line + len(lines)} have something that is no number: {error}", where=path, remedy=_LINES
            ) from None
        wrong = np.flatnonzero((parts < 0) | (parts >= num_parts))
        if len(wrong):
            at = int(wrong[0])
            raise PartitionError(f"line {line + at + 1} names part {int(parts[at])} of {num_parts}", where=path, remedy=_LINES)
        line += len(lines)
        yield parts.astype(np.uint16)


_LINES = "each line is the number of a part, from 0; or partition without --skip-partitioning"


def _check_meta(num_parts: int, path: str) -> None:
    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file).get("num_parts")
    except FileNotFoundError:
        return
    except (ValueError, AttributeError) as error:
        raise PartitionError(f"is no object of JSON: {error}", where=path, remedy="remove it, or write it again") from None
    if told is not None and told != num_parts:
        raise PartitionError(f"the assignments are of {told} parts, not {num_parts}", where=path, remedy=f"--num-parts {told}")


class AssignmentWriter:
    """Writes blocks to files as they pass by.

    Args:
        graph: the graph.
        directory: where to; it is made.
        num_parts: number of parts.
        algorithm: its name.
        seed: of random parts; None where there is none.
    """

    def __init__(self, graph: ChunkedGraph, directory: str, num_parts: int, algorithm: str, seed: Optional[int]) -> None:
        self.graph, self.directory = graph, directory
        self.meta: Dict[str, Any] = {"algo_name": algorithm, "num_parts": num_parts, "version": "1.0.0"}
        if seed is not None:
            self.meta["seed"] = seed
        self.words = np.array([b"%d\n" % part for part in range(num_parts)], dtype=object)

    def passing(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The blocks, each written before it is given on; the meta file comes last."""
        os.makedirs(self.directory, exist_ok=True)
        for name in self.graph.node_types:
            with open(os.path.join(self.directory, f"{name}.txt"), "wb"):
                continue
        for kind, start, parts in blocks:
            with open(os.path.join(self.directory, f"{self.graph.node_types[kind]}.txt"), "ab") as file:
                file.write(b"".join(self.words[parts].tolist()))
            yield kind, start, parts
        with open(os.path.join(self.directory, META), "w", encoding="utf-8") as meta:
            json.dump(self.meta, meta, indent=2)


def metis_parts(graph: ChunkedGraph, num_parts: int, edges: Array) -> Array:
    """Parts by METIS, as DGL offers it; nodes of each type are balanced.

    Args:
        graph: the graph.
        num_parts: number of parts.
        edges: all edges, as pairs of numbers of nodes that are counted through all types.

    Returns:
        The part of each node, type after type.
    """
    import dgl
    import torch

    whole = dgl.graph(
        (torch.from_numpy(edges[:, 0].copy()), torch.from_numpy(edges[:, 1].copy())), num_nodes=sum(graph.num_nodes)
    )
    kinds = np.repeat(np.arange(len(graph.num_nodes)), graph.num_nodes)
    balance = None if graph.is_homogeneous else torch.from_numpy(kinds)
    if num_parts == 1:
        return np.zeros(len(kinds), dtype=np.uint16)
    parts = dgl.metis_partition_assignment(whole, num_parts, balance_ntypes=balance)
    found: Array = parts.numpy().astype(np.uint16)
    _give_every_part_a_node(found, kinds, num_parts)
    return found


def _give_every_part_a_node(parts: Array, kinds: Array, num_parts: int) -> None:
    """Move a node of each type into a part that METIS left without one: DGL's readers take no part without it."""
    for kind in np.unique(kinds):
        nodes = np.flatnonzero(kinds == kind)
        counts = np.bincount(parts[nodes], minlength=num_parts)
        for part in np.flatnonzero(counts == 0):
            largest = int(np.argmax(counts))
            parts[nodes[np.flatnonzero(parts[nodes] == largest)[-1]]] = part
            counts[largest] -= 1
            counts[part] += 1


def room_for_metis(edges: int, nodes: int) -> Tuple[int, int]:
    """Bytes that METIS needs for the whole structure, and those that are free on this host."""
    # Edges as pairs, DGL's copy of them and its symmetric CSR, METIS's own; a few arrays for nodes.
    needed = edges * (16 + 16 + 48 + 48) + nodes * 64
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    return needed, free
