"""DGL's chunked graph format: what its metadata file says, checked before any data is read.

Source of the format: DGL User Guide, chapter 7.1.2 "Distributed Graph Partitioning Pipeline"; ``row_counts`` is what GraphStorm's
``updated_row_counts_metadata.json`` has besides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .partition_errors import PartitionError

FORMATS = ("csv", "numpy", "parquet")
_REMEDY = "write it again with GraphStorm's processing, or by DGL's chunked graph format"


@dataclass(frozen=True)
class Chunks:
    """The files of edges, or of a feature, in the order of their rows.

    Attributes:
        label: names them in messages.
        format: one of :data:`FORMATS`.
        files: paths, as the metadata has them.
        delimiter: between the columns of CSV.
        row_counts: rows of each file, where the metadata says so.
    """

    label: str
    format: str
    files: Tuple[str, ...]
    delimiter: str = " "
    row_counts: Optional[Tuple[int, ...]] = None


@dataclass(frozen=True)
class ChunkedGraph:
    """A graph in DGL's chunked format; the numbers of types are their places in ``node_types`` and ``edge_types``.

    Attributes:
        name: the graph's name.
        node_types: names.
        num_nodes: nodes of each type.
        edge_types: source, relation and destination type of each.
        num_edges: edges of each type.
        edges: files of each edge type.
        node_data: files by number of the node type and name of the feature.
        edge_data: files by number of the edge type and name of the feature.
    """

    name: str
    node_types: Tuple[str, ...]
    num_nodes: Tuple[int, ...]
    edge_types: Tuple[Tuple[str, str, str], ...]
    num_edges: Tuple[int, ...]
    edges: Tuple[Chunks, ...]
    node_data: Mapping[Tuple[int, str], Chunks]
    edge_data: Mapping[Tuple[int, str], Chunks]

    @property
    def all_chunks(self) -> List[Chunks]:
        """The files of everything, in one order on every host."""
        return [*self.edges, *self.node_data.values(), *self.edge_data.values()]

    def ends(self, edge_type: int) -> Tuple[int, int]:
        """The numbers of the node types that edges lead from and to."""
        source, _, destination = self.edge_types[edge_type]
        return self.node_types.index(source), self.node_types.index(destination)

    def edge_name(self, edge_type: int) -> str:
        """``source:relation:destination``, as DGL writes it in files."""
        return ":".join(self.edge_types[edge_type])

    @property
    def is_homogeneous(self) -> bool:
        """Whether there is one type of nodes and one of edges: DGL stores no types then."""
        return len(self.node_types) == 1 and len(self.edge_types) == 1


def share(count: int, rank: int, size: int) -> range:
    """The numbers of the files that a host reads: a run of equal length for each, the first ones longer by one.

    >>> [list(share(5, rank, 3)) for rank in range(3)]
    [[0, 1], [2, 3], [4]]
    """
    length, longer = divmod(count, size)
    first = rank * length + min(rank, longer)
    return range(first, first + length + (rank < longer))


def parse_metadata(text: str, where: str) -> ChunkedGraph:
    """Read the metadata file.

    Args:
        text: its content.
        where: its path or address, for messages.

    Raises:
        PartitionError: it is no such metadata; all that is wrong is named.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise PartitionError(f"is no JSON: {error}", where=where, remedy=_REMEDY) from None
    if not isinstance(data, dict):
        raise PartitionError("has no object of JSON", where=where, remedy=_REMEDY)
    reader = _Reader(data)
    graph = reader.graph()
    if graph is None or reader.problems:
        raise PartitionError("; ".join(reader.problems), where=where, remedy=_REMEDY)
    return graph


class _Reader:
    """Collects problems while it reads."""

    def __init__(self, data: Dict[str, Any]) -> None:
        self.data = data
        self.problems: List[str] = []

    def graph(self) -> Optional[ChunkedGraph]:
        name = self.data.get("graph_name")
        if not isinstance(name, str) or not name:
            self.problems.append("graph_name is missing")
        node_types = self.names("node_type")
        edge_names = self.names("edge_type")
        num_nodes = self.counts("num_nodes_per_type", "num_nodes_per_chunk", len(node_types))
        num_edges = self.counts("num_edges_per_type", "num_edges_per_chunk", len(edge_names))
        edge_types = []
        for edge in edge_names:
            parts = tuple(edge.split(":"))
            if len(parts) != 3:
                self.problems.append(f"edge type {edge!r} is not SOURCE:RELATION:DESTINATION")
                continue
            self.problems += [f"edge type {edge}: no node type {end!r}" for end in (parts[0], parts[2]) if end not in node_types]
            edge_types.append((parts[0], parts[1], parts[2]))
        edges = self.table("edges")
        self.problems += [f"edges has no {name}" for name in edge_names if name not in edges]
        self.problems += [f"edges has {name}, which edge_type has not" for name in edges if name not in edge_names]
        found = [self.chunks(edges[name], f"edges of {name}") for name in edge_names if name in edges]
        node_data = self.features("node_data", node_types)
        edge_data = self.features("edge_data", edge_names)
        if self.problems:
            return None
        ends = (tuple(node_types), tuple(num_nodes), tuple(edge_types), tuple(num_edges))
        return ChunkedGraph(str(name), *ends, tuple(chunks for chunks in found if chunks), node_data, edge_data)

    def names(self, key: str) -> List[str]:
        value = self.data.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(name, str) and name for name in value):
            self.problems.append(f"{key} is no list of names")
            return []
        self.problems += [f"{key}: {name!r} comes twice" for name in sorted({name for name in value if value.count(name) > 1})]
        self.problems += [f"{key}: {name!r} cannot name a file" for name in value if "/" in name or "\0" in name]
        return value

    def counts(self, key: str, per_chunk: str, length: int) -> List[int]:
        value = self.data.get(key)
        if value is None and isinstance(self.data.get(per_chunk), list):
            value = [sum(chunk) if _is_counts(chunk) else None for chunk in self.data[per_chunk]]
        if value is None or not _is_counts(value) or len(value) != length:
            self.problems.append(f"{key} does not have a number for each type")
            return []
        return list(value)

    def table(self, key: str) -> Dict[str, Any]:
        value = self.data.get(key, {})
        if value is None or isinstance(value, dict):
            return value or {}
        self.problems.append(f"{key} is no object")
        return {}

    def features(self, key: str, types: Sequence[str]) -> Dict[Tuple[int, str], Chunks]:
        found: Dict[Tuple[int, str], Chunks] = {}
        for kind, features in self.table(key).items():
            if kind not in types or not isinstance(features, dict):
                self.problems.append(f"{key} has {kind!r}, which is no such type, or has no features")
                continue
            for name, spec in features.items():
                chunks = self.chunks(spec, f"{key} {kind}/{name}")
                if "/" in name:
                    self.problems.append(f"{key} {kind}: the feature {name!r} has a slash in its name")
                elif chunks:
                    found[types.index(kind), name] = chunks
        return found

    def chunks(self, spec: Any, label: str) -> Optional[Chunks]:
        """The files of one thing; None when something is wrong."""
        if not isinstance(spec, dict) or not isinstance(spec.get("format"), dict) or not isinstance(spec.get("data"), list):
            self.problems.append(f"{label}: format or data is missing")
            return None
        form = spec["format"].get("name")
        files = spec["data"]
        counts = spec.get("row_counts")
        before = len(self.problems)
        if form not in FORMATS:
            self.problems.append(f"{label}: format {form!r} is none of {', '.join(FORMATS)}")
        if not files or not all(isinstance(file, str) and file for file in files):
            self.problems.append(f"{label}: data is no list of files")
        elif counts is not None and (not _is_counts(counts) or len(counts) != len(files)):
            self.problems.append(f"{label}: row_counts does not have a number for each file")
        delimiter = spec["format"].get("delimiter", " ")
        if not isinstance(delimiter, str) or len(delimiter) != 1:
            self.problems.append(f"{label}: delimiter {delimiter!r} is no single character")
        if len(self.problems) > before:
            return None
        return Chunks(label, form, tuple(files), delimiter, tuple(counts) if counts is not None else None)


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value)
