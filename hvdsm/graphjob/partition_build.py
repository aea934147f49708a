"""Makes the files of a DistDGL partition, as ``dgl.distributed.partition_graph`` of DGL 1.1.3 does with one hop of halo nodes."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .partition_features import Kind
from .partition_metadata import ChunkedGraph
from .partition_nodes import Ranges
from .partition_store import Store

Array = NDArray[Any]
METADATA = "metadata.json"
"""Name of the partitions' own metadata, which DGL and GraphStorm look for beside them."""


def write_part(
    graph: ChunkedGraph,
    part: int,
    nodes: Ranges,
    edges: Ranges,
    store: Store,
    node_features: Mapping[str, Kind],
    edge_features: Mapping[str, Kind],
    directory: str,
) -> None:
    """Write ``part<number>`` below a directory: structure, features and original IDs; what it takes from the store is removed.

    Args:
        graph: the graph.
        part: number of the part.
        nodes: new IDs of nodes.
        edges: new IDs of edges.
        store: what the hosts have sent.
        node_features: types of features by name.
        edge_features: types of features by name.
        directory: of all partitions.
    """
    import torch
    from dgl.data.utils import save_tensors

    target = os.path.join(directory, f"part{part}")
    os.makedirs(target, exist_ok=True)
    names = [graph.edge_name(kind) for kind in range(len(graph.edge_types))]
    inner = store.read(part, "edges", edges.count(part), np.int64, (3,))
    outer = store.read(part, "outer", store.count(part, "outer"), np.int64, (3,))
    originals = store.read(part, "orig_nids", nodes.count(part), np.int64)
    save_tensors(os.path.join(target, "orig_nids.dgl"), _by_type(originals, nodes, part, graph.node_types))
    save_tensors(os.path.join(target, "orig_eids.dgl"), _by_type(inner[:, 2], edges, part, names))
    _write_structure(graph, part, nodes, edges, inner, outer, target)
    del originals, inner, outer
    for name in ("edges", "outer", "orig_nids"):
        store.remove(part, name)
    for file, ranges, types, features in (
        ("node_feat.dgl", nodes, graph.node_types, node_features),
        ("edge_feat.dgl", edges, names, edge_features),
    ):
        tensors = {}
        for name, (dtype, tail) in features.items():
            # A feature's own name has no slash, that of a type may.
            first, end = ranges.of_part(part)[types.index(name.rpartition("/")[0])]
            tensors[name] = torch.from_numpy(store.read(part, name, end - first, dtype, tail))
        save_tensors(os.path.join(target, file), tensors)
        del tensors
        for name in features:
            store.remove(part, name)


def _by_type(values: Array, ranges: Ranges, part: int, names: Sequence[str]) -> Dict[str, Any]:
    import torch

    start = int(ranges.starts[part])
    found = zip(names, ranges.of_part(part))
    return {name: torch.from_numpy(values[first - start : end - start].copy()) for name, (first, end) in found}


def _write_structure(
    graph: ChunkedGraph, part: int, nodes: Ranges, edges: Ranges, inner: Array, outer: Array, target: str
) -> None:
    import dgl
    import torch

    outer = outer[np.argsort(outer[:, 2], kind="stable")]
    low, high = int(nodes.starts[part]), int(nodes.starts[part + 1])
    # An outer edge has its source here, an inner one its destination.
    away = np.concatenate([inner[:, 0], outer[:, 1]])
    halo = np.unique(away[(away < low) | (away >= high)])

    def local(ids: Array) -> Any:
        here = (ids >= low) & (ids < high)
        return torch.from_numpy(np.where(here, ids - low, high - low + np.searchsorted(halo, ids)))

    ends = [local(np.concatenate([inner[:, end], outer[:, end]])) for end in (0, 1)]
    made = dgl.graph((ends[0], ends[1]), num_nodes=high - low + len(halo))
    ids = np.concatenate([np.arange(low, high), halo])
    if len(nodes.first) > 1:
        made.ndata["part_id"] = torch.from_numpy(np.searchsorted(nodes.starts, ids, side="right") - 1)
    made.ndata["inner_node"] = torch.from_numpy((np.arange(len(ids)) < high - low).astype(np.uint8))
    made.ndata[dgl.NID] = torch.from_numpy(ids)
    eids = np.concatenate([np.arange(int(edges.starts[part]), int(edges.starts[part + 1])), outer[:, 2]])
    made.edata["inner_edge"] = torch.from_numpy((np.arange(len(eids)) < len(inner)).astype(np.uint8))
    made.edata[dgl.EID] = torch.from_numpy(eids)
    # What DGL leaves in the one part that is the whole graph differs from what several parts have.
    if not graph.is_homogeneous or len(nodes.first) == 1:
        made.ndata[dgl.NTYPE] = torch.from_numpy(_types(ids, nodes))
        made.edata[dgl.ETYPE] = torch.from_numpy(_types(eids, edges))
    dgl.save_graphs(os.path.join(target, "graph.dgl"), [made], formats=["coo"])


def _types(ids: Array, ranges: Ranges) -> Array:
    """The type of each new ID; ranges follow one another part after part, within a part type after type."""
    found: Array = (np.searchsorted(ranges.first.reshape(-1), ids, side="right") - 1) % ranges.first.shape[1]
    return found.astype(np.int32)


def part_metadata(graph: ChunkedGraph, algorithm: str, nodes: Ranges, edges: Ranges) -> Dict[str, Any]:
    """What DGL's readers want to know of all partitions; paths are relative to it."""
    num_parts = len(nodes.first)
    names = [graph.edge_name(kind) for kind in range(len(graph.edge_types))]
    found: Dict[str, Any] = {
        "graph_name": graph.name,
        "num_nodes": sum(graph.num_nodes),
        "num_edges": sum(graph.num_edges),
        "part_method": algorithm,
        "num_parts": num_parts,
        "halo_hops": 1,
        "node_map": {name: nodes.of_type(kind) for kind, name in enumerate(graph.node_types)},
        "edge_map": {name: edges.of_type(kind) for kind, name in enumerate(names)},
        "ntypes": {name: kind for kind, name in enumerate(graph.node_types)},
        "etypes": {name: kind for kind, name in enumerate(names)},
    }
    for part in range(num_parts):
        found[f"part-{part}"] = {
            "node_feats": f"part{part}/node_feat.dgl",
            "edge_feats": f"part{part}/edge_feat.dgl",
            "part_graph": f"part{part}/graph.dgl",
        }
    return found
