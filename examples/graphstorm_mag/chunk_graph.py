"""Write a graph that GConstruct has made (``--output-format DGL``) in DGL's chunked format.

    python examples/graphstorm_mag/chunk_graph.py mag-graph mag-chunked --graph-name mag --chunks 2

That is the format of graphs that were made by many hosts, with which distributed partitioning begins; GraphStorm's GSProcessing
writes it with Spark.  Nodes keep their numbers.  ``raw_id_mappings`` come along, and the transformations of the features, under
the names that GSProcessing gives them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

METADATA = "updated_row_counts_metadata.json"
# What GConstruct's own partitioning leaves in the graph.
OWN = "__gs_"


def chunks(rows: Any, name: str, directory: str, number: int) -> Dict[str, Any]:
    """Write rows as so many Parquet files; returns what the metadata say of them."""
    import pyarrow
    import pyarrow.parquet

    files, counts = [], []
    for index, piece in enumerate(np.array_split(rows, number)):
        if piece.ndim == 1:
            columns = {"value": pyarrow.array(piece)}
        elif piece.dtype.kind in "iu":
            columns = {f"column{place}": pyarrow.array(piece[:, place]) for place in range(piece.shape[1])}
        else:
            columns = {"value": pyarrow.array(list(piece))}
        file = os.path.join(name, f"part-{index:05d}.parquet")
        os.makedirs(os.path.join(directory, name), exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(columns), os.path.join(directory, file))
        files.append(file)
        counts.append(len(piece))
    return {"format": {"name": "parquet"}, "data": files, "row_counts": counts}


def write_chunked(graph: Any, graph_name: str, directory: str, number: int) -> None:
    """Write a DGL graph, its features, labels and masks."""
    names = {kind: ":".join(kind) for kind in graph.canonical_etypes}
    folder = {kind: "-".join(kind) for kind in graph.canonical_etypes}
    metadata = {
        "graph_name": graph_name,
        "node_type": graph.ntypes,
        "num_nodes_per_type": [graph.num_nodes(kind) for kind in graph.ntypes],
        "edge_type": list(names.values()),
        "num_edges_per_type": [graph.num_edges(kind) for kind in graph.canonical_etypes],
        "edges": {
            name: chunks(
                np.column_stack([ends.numpy() for ends in graph.edges(etype=kind)]), f"edges/{folder[kind]}", directory, number
            )
            for kind, name in names.items()
        },
        "node_data": {
            kind: {
                key: chunks(value.numpy(), f"node_data/{kind}-{key}", directory, number)
                for key, value in graph.nodes[kind].data.items()
                if not key.startswith(OWN)
            }
            for kind in graph.ntypes
        },
        "edge_data": {
            name: {
                key: chunks(value.numpy(), f"edge_data/{folder[kind]}-{key}", directory, number)
                for key, value in graph.edges[kind].data.items()
                if not key.startswith(OWN)
            }
            for kind, name in names.items()
        },
    }
    for side in ("node_data", "edge_data"):
        metadata[side] = {kind: found for kind, found in metadata[side].items() if found}
    with open(os.path.join(directory, METADATA), "w", encoding="utf-8") as file:
        json.dump(metadata, file, indent=1)


def bring_along(source: str, directory: str, graph_name: str) -> List[str]:
    """Copy what belongs to the graph beside its structure; returns the names."""
    shutil.copytree(os.path.join(source, "raw_id_mappings"), os.path.join(directory, "raw_id_mappings"), dirs_exist_ok=True)
    transformed = f"{graph_name}_with_transformations.json"
    shutil.copyfile(os.path.join(source, "data_transform_new.json"), os.path.join(directory, transformed))
    with open(os.path.join(directory, "launch_arguments.json"), "w", encoding="utf-8") as file:
        json.dump({"config_filename": f"{graph_name}.json"}, file)
    return ["raw_id_mappings", transformed]


def main(words: Optional[Sequence[str]] = None) -> int:
    """Write what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description="Write a graph of GConstruct's in DGL's chunked format.")
    parser.add_argument("source", help="GConstruct's output, with GRAPH-NAME.dgl")
    parser.add_argument("directory", help="where the chunked graph goes")
    parser.add_argument("--graph-name", default="mag", help="name of the graph (default: mag)")
    parser.add_argument("--chunks", type=int, default=2, help="files of each kind (default: 2)")
    given = parser.parse_args(words)
    path = os.path.join(given.source, f"{given.graph_name}.dgl")
    if not os.path.isfile(path):
        parser.error(f"{path}: there is no such file: construct the graph with --output-format DGL")
    import dgl

    write_chunked(dgl.load_graphs(path)[0][0], given.graph_name, given.directory, given.chunks)
    bring_along(given.source, given.directory, given.graph_name)
    print(f"{given.directory}: {METADATA}, {sum(len(files) for _, _, files in os.walk(given.directory))} files in all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
