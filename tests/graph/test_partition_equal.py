"""Partitions are those that dgl.distributed.partition_graph makes of the same assignments, up to the order inside a part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List

import dgl
import numpy as np
import pytest
from partition_support import (
    Sample,
    assignments_of,
    described,
    dgl_partitions,
    homogeneous,
    on_threads,
    run_hosts,
    sample,
    write_chunked,
)

from hvdsm.graphjob.partition_exchange import Exchange
from hvdsm.graphjob.partition_metadata import parse_metadata
from hvdsm.graphjob.partition_run import Plan, partition

CONFIG = "dist_graph/metadata.json"


def made(
    graph: Sample, folder: Path, parts: int, *, hosts: int = 1, chunk: int = 2000, algorithm: str = "random", **how: Any
) -> Path:
    """Partition on so many hosts, which are threads; returns the output, which they share."""
    path = write_chunked(graph, folder / "in", **how)
    parsed = parse_metadata(path.read_text(), str(path))

    def work(comm: Any) -> None:
        scratch = str(folder / f"scratch{comm.Get_rank()}")
        plan = Plan(parsed, str(path.parent), str(folder / "out"), parts, algorithm, scratch=scratch)
        partition(plan, Exchange(comm, chunk))

    assert on_threads(hosts, work) == [None] * hosts
    return folder / "out"


def check_equal(graph: Sample, output: Path, assignments: Path, parts: int, reference: Path) -> None:
    """Compare with DGL's own."""
    theirs = dgl_partitions(graph, assignments_of(graph, assignments), parts, reference)
    for part in range(parts):
        ours = described(output / CONFIG, part, originals=True)
        expected = described(theirs, part, originals=False)
        for key in expected:
            assert ours[key] == expected[key], f"{key} of part {part}"
    mine, other = (json.loads(path.read_text()) for path in (output / CONFIG, theirs))
    for key in ("num_nodes", "num_edges", "num_parts", "halo_hops", "node_map", "edge_map", "ntypes", "etypes", "part-0"):
        assert mine[key] == other[key], key


@pytest.mark.parametrize("format", ["parquet", "numpy", "csv"])
@pytest.mark.parametrize("seed", [1, 2])
def test_heterogeneous_graphs(tmp_path: Path, format: str, seed: int) -> None:
    graph = sample(seed)
    output = made(graph, tmp_path, 3, format=format, row_counts=seed == 1)
    check_equal(graph, output, output / "partition_assignment", 3, tmp_path / "dgl")


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_homogeneous_graphs_and_any_number_of_parts(tmp_path: Path, parts: int) -> None:
    graph = homogeneous(parts)
    output = made(graph, tmp_path, parts)
    check_equal(graph, output, output / "partition_assignment", parts, tmp_path / "dgl")


@pytest.mark.parametrize(("hosts", "parts"), [(2, 2), (3, 4), (5, 2)])
def test_several_hosts_make_what_one_makes(tmp_path: Path, hosts: int, parts: int) -> None:
    graph = sample(hosts)
    several = made(graph, tmp_path / "several", parts, hosts=hosts, files=4)
    check_equal(graph, several, several / "partition_assignment", parts, tmp_path / "dgl")
    alone = made(graph, tmp_path / "alone", parts, files=4, chunk=1 << 20)
    assert (alone / CONFIG).read_text() == (several / CONFIG).read_text()
    for part in range(parts):
        for name in ("node_feat.dgl", "edge_feat.dgl", "orig_nids.dgl", "orig_eids.dgl"):
            left, right = (dgl.data.utils.load_tensors(str(o / "dist_graph" / f"part{part}" / name)) for o in (alone, several))
            assert {key: value.tolist() for key, value in left.items()} == {key: value.tolist() for key, value in right.items()}


def test_ranks_of_mpi(tmp_path: Path) -> None:
    graph = sample(7)
    write_chunked(graph, tmp_path / "in")
    arguments = ["--graph-data-s3", str(tmp_path / "in"), "--output-data-s3", str(tmp_path / "out"), "--num-parts", "2"]
    arguments += ["--metadata-filename", "metadata.json", "--chunk-bytes", "20000"]
    done = run_hosts(2, arguments)
    assert "PartitionDone" in done.stdout
    check_equal(graph, tmp_path / "out", tmp_path / "out" / "partition", 2, tmp_path / "dgl")


def test_assignments_follow_the_seed_and_reach_every_part(tmp_path: Path) -> None:
    from hvdsm.graphjob.partition_assign import random_blocks

    graph = parse_metadata(write_chunked(sample(3), tmp_path).read_text(), "m")
    drawn = [{kind: parts.tolist() for kind, _, parts in random_blocks(graph, 20, seed)} for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(set(parts) == set(range(20)) for parts in drawn[0].values())


def test_metis_cuts_fewer_edges(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # Four circles of friends, the members of which are spread over the IDs.
    member = rng.permutation(np.arange(400) % 4)
    groups = [np.flatnonzero(member == group) for group in range(4)]
    ends = np.concatenate([rng.choice(group, (600, 2)) for group in groups])
    rng.shuffle(ends)
    graph = Sample({"n": 400}, {("n", "e", "n"): (ends[:, 0], ends[:, 1])})
    cut = {}
    for algorithm in ("random", "metis"):
        output = made(graph, tmp_path / algorithm, 4, algorithm=algorithm)
        check_equal(graph, output, output / "partition_assignment", 4, tmp_path / algorithm / "dgl")
        parts = assignments_of(graph, output / "partition_assignment")["n"]
        cut[algorithm] = int((parts[ends[:, 0]] != parts[ends[:, 1]]).sum())
        meta = json.loads((output / "partition_assignment" / "partition_meta.json").read_text())
        assert (meta["algo_name"], meta["num_parts"], meta["version"]) == (algorithm, 4, "1.0.0")
    assert cut["metis"] == 0 and cut["random"] > 1000, cut


def test_metis_on_two_hosts(tmp_path: Path) -> None:
    graph = sample(4)
    output = made(graph, tmp_path, 2, hosts=2, algorithm="metis")
    check_equal(graph, output, output / "partition_assignment", 2, tmp_path / "dgl")


@pytest.mark.parametrize("format", ["parquet", "numpy", "csv"])
def test_files_and_parts_without_edges(tmp_path: Path, format: str) -> None:
    edge, other = ("a", "r", "b"), ("b", "s", "a")
    graph = Sample({"a": 6, "b": 6}, {edge: (np.array([0]), np.array([1])), other: (np.array([2, 3]), np.array([0, 0]))})
    output = made(graph, tmp_path, 3, hosts=2, format=format, row_counts=format == "numpy")
    metadata = json.loads((output / CONFIG).read_text())
    counts = {kind: [end - first for first, end in ranges] for kind, ranges in metadata["edge_map"].items()}
    assert sorted(counts["a:r:b"]) == [0, 0, 1] and sorted(counts["b:s:a"]) == [0, 0, 2]
    found: List[Any] = []
    for part in range(3):
        found_part = described(output / CONFIG, part, originals=True)
        found += [row[:2] for row in found_part["edges"] if row[-1] == 1]
    assert sorted(found) == [("a:r:b", 0), ("b:s:a", 0), ("b:s:a", 1)]
