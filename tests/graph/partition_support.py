"""Graphs in DGL's chunked format for tests, and partitions compared with those that DGL makes itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import dgl
import numpy as np
import torch

import hvdsm

ROOT = str(Path(hvdsm.__file__).parent.parent)
SECONDS = 200.0
Etype = Tuple[str, str, str]


@dataclass
class Sample:
    """A graph and its features, by type."""

    nodes: Dict[str, int]
    edges: Dict[Etype, Tuple[Any, Any]]
    node_data: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    edge_data: Dict[Etype, Dict[str, Any]] = field(default_factory=dict)

    def dgl_graph(self) -> Any:
        """The same for DGL, with the original IDs as features."""
        graph = dgl.heterograph(
            {kind: tuple(map(torch.tensor, ends)) for kind, ends in self.edges.items()}, num_nodes_dict=self.nodes
        )
        for kind, count in self.nodes.items():
            graph.nodes[kind].data["orig"] = torch.arange(count)
            for name, value in self.node_data.get(kind, {}).items():
                graph.nodes[kind].data[name] = torch.from_numpy(value)
        for edge, (sources, _) in self.edges.items():
            graph.edges[edge].data["orig"] = torch.arange(len(sources))
            for name, value in self.edge_data.get(edge, {}).items():
                graph.edges[edge].data[name] = torch.from_numpy(value)
        return graph


def sample(seed: int, nodes: int = 60, edges: int = 300) -> Sample:
    """A random graph of two node types and three edge types, with features of several types and shapes."""
    rng = np.random.default_rng(seed)
    count = {"author": int(rng.integers(nodes // 2, nodes)), "paper": nodes}
    kinds: List[Etype] = [("author", "writes", "paper"), ("paper", "cites", "paper"), ("paper", "rev-writes", "author")]
    ends = {}
    for kind in kinds:
        number = int(rng.integers(edges // 2, edges))
        ends[kind] = (rng.integers(0, count[kind[0]], number), rng.integers(0, count[kind[2]], number))
    node_data = {
        "paper": {
            "feat": rng.standard_normal((count["paper"], 5)).astype(np.float32),
            "label": rng.integers(0, 4, count["paper"]),
            "train_mask": rng.integers(0, 2, count["paper"]).astype(np.int8),
        },
        "author": {"wide": rng.standard_normal((count["author"], 2, 3))},
    }
    cites = len(ends[kinds[1]][0])
    edge_data = {
        kinds[1]: {"weight": rng.standard_normal((cites, 1)).astype(np.float16), "year": rng.integers(1900, 2000, cites)}
    }
    return Sample(count, ends, node_data, edge_data)


def homogeneous(seed: int) -> Sample:
    """A random graph of one type of nodes and edges."""
    rng = np.random.default_rng(seed)
    edge = ("node", "to", "node")
    return Sample(
        {"node": 50}, {edge: (rng.integers(0, 50, 200), rng.integers(0, 50, 200))}, {"node": {"feat": rng.random((50, 4))}}
    )


def write_chunked(
    graph: Sample, directory: Path, *, format: str = "parquet", files: int = 3, row_counts: bool = True, name: str = "sample"
) -> Path:
    """Write a graph in DGL's chunked format; features lie in one file more than edges. Returns the metadata's path."""
    directory.mkdir(parents=True, exist_ok=True)

    def chunks(label: str, values: Any, number: int, form: str) -> Dict[str, Any]:
        names, counts = [], []
        for index, piece in enumerate(np.array_split(values, number)):
            file = f"data/{label}-{index}.{ {'numpy': 'npy'}.get(form, form) }"
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            write_rows(directory / file, piece, form)
            names.append(file)
            counts.append(len(piece))
        said: Dict[str, Any] = {"format": {"name": form}, "data": names}
        if form == "csv":
            said["format"]["delimiter"] = " "
        if row_counts:
            said["row_counts"] = counts
        return said

    def joined(edge: Etype) -> str:
        return ":".join(edge)

    data = {
        "graph_name": name,
        "node_type": list(graph.nodes),
        "num_nodes_per_type": list(graph.nodes.values()),
        "edge_type": [joined(edge) for edge in graph.edges],
        "num_edges_per_type": [len(ends[0]) for ends in graph.edges.values()],
        "edges": {joined(e): chunks("-".join(e), np.column_stack(ends), files, format) for e, ends in graph.edges.items()},
        "node_data": {
            kind: {name: chunks(f"{kind}-{name}", value, files + 1, _form(format, value)) for name, value in features.items()}
            for kind, features in graph.node_data.items()
        },
        "edge_data": {
            joined(e): {
                name: chunks(f"{'-'.join(e)}-{name}", value, files + 1, _form(format, value)) for name, value in features.items()
            }
            for e, features in graph.edge_data.items()
        },
    }
    path = directory / "metadata.json"
    path.write_text(json.dumps(data))
    return path


def _form(format: str, value: Any) -> str:
    # CSV knows neither the width of numbers nor more than two dimensions.
    return "numpy" if format == "csv" and (value.ndim > 2 or value.dtype.itemsize != 8) else format


def write_rows(path: Path, rows: Any, form: str) -> None:
    """Write a file of rows."""
    if form == "numpy":
        np.save(path, rows)
    elif form == "csv":
        np.savetxt(path, rows, fmt="%d" if rows.dtype.kind in "iu" else "%r", delimiter=" ")
    else:
        import pyarrow
        import pyarrow.parquet

        flat = rows.reshape(len(rows), int(np.prod(rows.shape[1:])))
        if rows.ndim == 2 and rows.dtype.kind in "iu":
            columns = {f"c{n}": pyarrow.array(flat[:, n]) for n in range(flat.shape[1])}
        elif rows.ndim == 1:
            columns = {"value": pyarrow.array(rows)}
        else:
            columns = {"value": pyarrow.array(list(flat), pyarrow.list_(pyarrow.from_numpy_dtype(rows.dtype)))}
        table = pyarrow.table(columns)
        if rows.ndim > 2:
            table = table.replace_schema_metadata({"shape": str(rows.shape)})
        pyarrow.parquet.write_table(table, path, row_group_size=7)


def assignments_of(graph: Sample, directory: Path) -> Dict[str, Any]:
    """The part of each node of each type, as files say."""
    return {kind: np.loadtxt(directory / f"{kind}.txt", dtype=np.int64, ndmin=1) for kind in graph.nodes}


def dgl_partitions(graph: Sample, parts: Dict[str, Any], num_parts: int, directory: Path) -> Path:
    """What ``dgl.distributed.partition_graph`` makes of given assignments; returns the metadata's path."""
    from dgl.distributed import partition as module

    made = graph.dgl_graph()
    given = torch.from_numpy(np.concatenate([parts[kind] for kind in made.ntypes]))
    drawn, module.random_choice = module.random_choice, lambda *_: given
    try:
        dgl.distributed.partition_graph(made, "sample", num_parts, str(directory), part_method="random", num_hops=1)
    finally:
        module.random_choice = drawn
    return directory / "sample.json"


def described(config: Path, part: int, originals: bool) -> Dict[str, Any]:
    """A partition in terms of original IDs, which do not depend on the order inside a part.

    Args:
        config: the partitions' metadata.
        part: number of the part.
        originals: whether original IDs are files beside the graph; otherwise they are features named ``orig``.
    """
    graph, node_feats, edge_feats, book, *_ = dgl.distributed.load_partition(str(config), part)
    metadata = json.loads(config.read_text())
    node_types, edge_types = list(metadata["ntypes"]), list(metadata["etypes"])
    node_of, edge_of = _original_ids(config, metadata, originals)
    nids, eids = graph.ndata[dgl.NID].numpy(), graph.edata[dgl.EID].numpy()
    inner, inner_edge = graph.ndata["inner_node"].numpy(), graph.edata["inner_edge"].numpy()
    if len(node_types) > 1 or len(edge_types) > 1:
        assert [node_types[kind] for kind in graph.ndata[dgl.NTYPE].tolist()] == [node_of[n][0] for n in nids]
        assert [edge_types[kind] for kind in graph.edata[dgl.ETYPE].tolist()] == [edge_of[n][0] for n in eids]
    assert list(inner_edge) == sorted(inner_edge, reverse=True), "inner edges come first"
    assert list(eids) == [*sorted(eids[inner_edge == 1]), *sorted(eids[inner_edge == 0])]
    assert np.array_equal(nids[: inner.sum()], np.arange(inner.sum()) + nids[0]), "inner nodes come first, in order"
    owner = graph.ndata["part_id"].tolist() if metadata["num_parts"] > 1 else [0] * len(nids)
    sources, destinations = (ends.numpy() for ends in graph.edges())
    found = {
        "schemes": {(side, key): str(value.dtype) for side in ("ndata", "edata") for key, value in getattr(graph, side).items()},
        "nodes": sorted((*node_of[n], int(i), int(p)) for n, i, p in zip(nids, inner, owner)),
        "edges": sorted(
            (*edge_of[e], *node_of[nids[s]], *node_of[nids[d]], int(i))
            for e, s, d, i in zip(eids, sources, destinations, inner_edge)
        ),
    }
    found["features"] = {
        **_rows(node_feats, {k: _in_part(metadata["node_map"][k][part], node_of) for k in node_types}),
        **_rows(edge_feats, {k: _in_part(metadata["edge_map"][k][part], edge_of) for k in edge_types}),
    }
    assert book.nid2partid(torch.from_numpy(nids)).tolist() == owner
    assert set(book.eid2partid(torch.from_numpy(eids[inner_edge == 1])).tolist()) <= {part}
    return found


def _in_part(bounds: Sequence[int], ids: Dict[int, Tuple[str, int]]) -> List[int]:
    return [ids[new][1] for new in range(*bounds)]


def _rows(features: Dict[str, Any], originals: Dict[str, List[int]]) -> Dict[str, Any]:
    found = {}
    for name, value in features.items():
        kind, _, feature = name.rpartition("/")
        if feature != "orig":
            rows = dict(zip(originals[kind], value.tolist()))
            assert len(value) == len(originals[kind]), name
            found[name] = (str(value.dtype), sorted((key, str(row)) for key, row in rows.items()))
    return found


def _original_ids(config: Path, metadata: Dict[str, Any], originals: bool) -> Tuple[Dict[int, Any], Dict[int, Any]]:
    """Type and original ID of each new ID, of all parts."""
    nodes: Dict[int, Tuple[str, int]] = {}
    edges: Dict[int, Tuple[str, int]] = {}
    for part in range(metadata["num_parts"]):
        folder = config.parent / f"part{part}"
        for table, maps, saved, feats in (
            (nodes, metadata["node_map"], "orig_nids.dgl", "node_feat.dgl"),
            (edges, metadata["edge_map"], "orig_eids.dgl", "edge_feat.dgl"),
        ):
            values = dgl.data.utils.load_tensors(str(folder / (saved if originals else feats)))
            for kind, ranges in maps.items():
                old = values[kind if originals else f"{kind}/orig"].tolist()
                new = range(*ranges[part])
                assert len(old) == len(new)
                table.update(zip(new, ((kind, number) for number in old)))
    return nodes, edges


class Thread:
    """A communicator whose ranks are threads of this process: MPI's meaning without its start."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier, board: List[Any]) -> None:
        self.rank, self.size, self.barrier, self.board = rank, size, barrier, board

    def Get_rank(self) -> int:
        return self.rank

    def Get_size(self) -> int:
        return self.size

    def allgather(self, value: Any) -> List[Any]:
        self.board[self.rank] = value
        self.barrier.wait(SECONDS)
        found = list(self.board)
        self.barrier.wait(SECONDS)
        return found

    def alltoall(self, values: List[Any]) -> List[Any]:
        assert len(values) == self.size
        return [sent[self.rank] for sent in self.allgather(values)]

    def Alltoallv(self, sent: List[Any], got: List[Any]) -> None:
        data, (sizes, places) = sent
        pieces = self.alltoall([data[at : at + size].copy() for size, at in zip(sizes, places)])
        for piece, size, at in zip(pieces, *got[1]):
            assert len(piece) == size
            got[0][at : at + size] = piece


def on_threads(size: int, work: Callable[[Any], Any]) -> List[Any]:
    """Run work on so many ranks; returns what each returned or raised."""
    barrier, board = threading.Barrier(size), [None] * size
    found: List[Any] = [None] * size

    def one(rank: int) -> None:
        try:
            found[rank] = work(Thread(rank, size, barrier, board))
        except BaseException as error:
            found[rank] = error
            if not getattr(error, "on_all_hosts", False):
                barrier.abort()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def run_hosts(
    hosts: int,
    arguments: Sequence[str],
    *,
    check: bool = True,
    program: Optional[Sequence[str]] = None,
    environ: Optional[Dict[str, str]] = None,
) -> subprocess.CompletedProcess[str]:
    """Run the program as so many ranks of MPI on this machine."""
    mpirun = os.path.join(sys.prefix, "bin", "mpirun")
    mpirun = mpirun if os.path.exists(mpirun) else shutil.which("mpirun") or mpirun
    command = [mpirun, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", str(hosts)]
    command += [sys.executable, *(program or ("-m", "hvdsm.graphjob.partition")), *arguments]
    given = {**os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", "DGLBACKEND": "pytorch", **(environ or {})}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done
