"""A chunked graph, partitioned by ``hvdsm graph partition`` on two hosts: what comes out, and what a missing file does.

GraphStorm trains and infers on such a graph in test_mag_chain.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterator

import dgl
import numpy as np
import pytest
from graph_chain_support import BUCKET, Place, place
from partition_support import Sample, write_chunked

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800), pytest.mark.xdist_group("graph-chain")]
PAPERS, AUTHORS, EDGES = 80, 40, 240


def small() -> Sample:
    """A graph with features, labels and masks."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, PAPERS)
    known = (np.eye(2)[labels] * 4 - 2 + rng.normal(0, 0.1, (PAPERS, 2))).astype(np.float32)
    split = rng.permutation(np.arange(PAPERS) % 5)
    masks = {
        f"{name}_mask": np.isin(split, which).astype(np.int8)
        for name, which in (("train", [0, 1, 2]), ("val", [3]), ("test", [4]))
    }
    ends = rng.integers(0, AUTHORS, EDGES), rng.integers(0, PAPERS, EDGES)
    edges = {("author", "writes", "paper"): ends, ("paper", "writes-rev", "author"): (ends[1], ends[0])}
    features = {
        "paper": {"feat": known, "label": labels, **masks},
        "author": {"feat": rng.random((AUTHORS, 2), dtype=np.float32)},
    }
    return Sample({"paper": PAPERS, "author": AUTHORS}, edges, features)


@pytest.fixture(scope="module")
def partitioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The graph in two parts, where the chain's jobs look for it."""
    import pandas

    folder = tmp_path_factory.mktemp("chunked")
    with place(tmp_path_factory.mktemp("partitioned")) as found:
        write_chunked(small(), folder, name="tiny").rename(folder / "updated_row_counts_metadata.json")
        for kind, count in (("paper", PAPERS), ("author", AUTHORS)):
            mapping = folder / "raw_id_mappings" / kind / "part-00000.parquet"
            mapping.parent.mkdir(parents=True)
            pandas.DataFrame({"orig": [f"{kind}-{n}" for n in range(count)], "new": range(count)}).to_parquet(mapping)
        found.upload(folder, "chunked")
        ended = found.graph(
            "partition", "--graph-data-s3", f"s3://{BUCKET}/chunked", "--output-data-s3", f"s3://{BUCKET}/made",
            "--num-parts", "2", "--instance-count", "2", "--task-name", "two",
        )  # fmt: skip
        assert ended.code == 0, ended.output
        yield found


def test_everything_is_there(partitioned: Place) -> None:
    files = ("edge_feat.dgl", "graph.dgl", "node_feat.dgl", "orig_eids.dgl", "orig_nids.dgl")
    mappings = ["raw_id_mappings/author/part-00000.parquet", "raw_id_mappings/paper/part-00000.parquet"]
    parts = [f"part{part}/{name}" for part in (0, 1) for name in files]
    assert partitioned.names("made/dist_graph") == ["metadata.json", *parts, *mappings]
    assert partitioned.names("made/partition") == ["author.txt", "paper.txt", "partition_meta.json"]


def test_what_a_part_says_of_a_node_is_what_was_said_of_its_original(partitioned: Place, tmp_path: Path) -> None:
    given = small().node_data
    seen = dict.fromkeys(given, 0)
    for part in (0, 1):
        tables = []
        for name in ("orig_nids", "node_feat"):
            path = tmp_path / f"{name}-{part}"
            partitioned.s3.download_file(BUCKET, f"made/dist_graph/part{part}/{name}.dgl", str(path))
            tables.append(dgl.data.utils.load_tensors(str(path)))
        originals, features = tables
        assert set(features) == {f"{kind}/{name}" for kind, values in given.items() for name in values}
        for name, value in features.items():
            kind, _, field = name.partition("/")
            assert np.array_equal(value.numpy(), given[kind][field][originals[kind].numpy()]), name
        for kind, old in originals.items():
            seen[kind] += len(set(old.tolist()))
    assert seen == {"paper": PAPERS, "author": AUTHORS}


def test_a_missing_file_ends_all_hosts_and_nothing_is_written(partitioned: Place, tmp_path: Path) -> None:
    for name in partitioned.names("chunked"):
        if name != "data/author-writes-paper-2.parquet":
            source = {"Bucket": BUCKET, "Key": f"chunked/{name}"}
            partitioned.s3.copy_object(Bucket=BUCKET, Key=f"broken/{name}", CopySource=source)
    ended = partitioned.graph(
        "partition", "--graph-data-s3", f"s3://{BUCKET}/broken", "--output-data-s3", f"s3://{BUCKET}/never",
        "--num-parts", "2", "--instance-count", "2", "--task-name", "broken",
    )  # fmt: skip
    assert ended.code == 78, json.dumps(ended.outcome) + ended.output
    assert "algo-2: s3://graphs/broken/data/author-writes-paper-2.parquet: there is no such file" in ended.output
    assert partitioned.names("never") == []
