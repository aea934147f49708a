"""No host holds the whole graph: neither what it receives at a time, nor its memory at the peak, follows the graph's size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import numpy as np
from partition_support import ROOT, Sample, Thread, on_threads, sample, write_chunked

from hvdsm.graphjob.partition_exchange import Exchange
from hvdsm.graphjob.partition_metadata import parse_metadata
from hvdsm.graphjob.partition_run import Plan, partition
from hvdsm.graphjob.partition_store import Store

HOSTS = 4
PEAK = """
import json, sys
import dgl, numpy, torch, pyarrow.parquet
from dgl.data.utils import save_tensors
from hvdsm.graphjob.partition_exchange import Exchange, OneHost
from hvdsm.graphjob.partition_metadata import parse_metadata
from hvdsm.graphjob.partition_run import Plan, partition

def memory(name):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(name + ":"))

folder, parts = sys.argv[1], int(sys.argv[2])
# The libraries' own arenas and threads are there before the measurement.
dgl.save_graphs(folder + "/warm", [dgl.graph((torch.arange(9), torch.arange(9)))])
graph = parse_metadata(open(folder + "/in/metadata.json").read(), "m")
open("/proc/self/clear_refs", "w").write("5")
before = memory("VmRSS")
partition(Plan(graph, folder + "/in", folder + "/out", parts), Exchange(OneHost(), 1 << 20))
print(json.dumps(memory("VmHWM") - before))
"""


class Watched(Thread):
    """Remembers what came at a time."""

    def __init__(self, comm: Thread) -> None:
        super().__init__(comm.rank, comm.size, comm.barrier, comm.board)
        self.most = 0

    def Alltoallv(self, sent: List[Any], got: List[Any]) -> None:
        self.most = max(self.most, len(got[0]), len(sent[0]))
        super().Alltoallv(sent, got)


def test_hosts_receive_a_chunk_at_a_time_and_keep_their_own_parts(tmp_path: Path) -> None:
    chunk = 1 << 16
    graph = sample(1, nodes=4000, edges=60_000)
    path = write_chunked(graph, tmp_path / "in", format="numpy", files=HOSTS)
    parsed = parse_metadata(path.read_text(), str(path))
    rows: List[Any] = [None] * HOSTS

    class Counting(Store):
        """Remembers rows as they are removed."""

        def __init__(self, directory: str) -> None:
            super().__init__(directory)
            self.seen: Any = {}

        def write(self, part: int, name: str, place: int, values: Any) -> None:
            super().write(part, name, place, values)
            self.seen[part, name] = self.seen.get((part, name), 0) + len(values)

    def work(comm: Any) -> Any:
        watched = Watched(comm)
        scratch = str(tmp_path / f"scratch{comm.Get_rank()}")
        made: List[Counting] = []

        def store(directory: str) -> Store:
            made.append(Counting(directory))
            return made[0]

        plan = Plan(parsed, str(path.parent), str(tmp_path / "out"), HOSTS, scratch=scratch)
        partition(plan, Exchange(watched, chunk), store=store)
        rows[comm.Get_rank()] = made[0].seen
        return watched.most

    most = on_threads(HOSTS, work)
    whole = sum(array.nbytes for ends in graph.edges.values() for array in ends)
    assert whole > 10 * chunk
    assert all(0 < bytes_ <= chunk for bytes_ in most), most
    for rank in range(HOSTS):
        assert {part for part, _ in rows[rank]} == {rank}, "rows of other hosts' parts never come"
    metadata = json.loads((tmp_path / "out" / "dist_graph" / "metadata.json").read_text())
    for rank in range(HOSTS):
        owned = sum(end - first for first, end in (ranges[rank] for ranges in metadata["edge_map"].values()))
        assert rows[rank][rank, "edges"] == owned
        first, end = metadata["node_map"]["paper"][rank]
        assert rows[rank][rank, "paper/feat"] == end - first


def test_peak_memory_is_that_of_a_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes, edges, parts = 300_000, 1_000_000, 10
    edge = ("n", "e", "n")
    graph = Sample(
        {"n": nodes},
        {edge: (rng.integers(0, nodes, edges), rng.integers(0, nodes, edges))},
        {"n": {"feat": rng.random((nodes, 100), dtype=np.float32)}},
        {edge: {"weight": rng.random((edges, 10), dtype=np.float32)}},
    )
    write_chunked(graph, tmp_path / "in", format="numpy", files=3)
    whole = nodes * 400 + edges * (16 + 40)
    environ = {**os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", PEAK, str(tmp_path), str(parts)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    peak = json.loads(done.stdout.splitlines()[-1])
    # One host makes all ten parts, one after another: it holds one, with halo nodes and edges, and a chunk.
    assert peak < whole / 2, f"{peak >> 20} of {whole >> 20} MiB"
