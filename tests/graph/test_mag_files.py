"""The parts of examples/graphstorm_mag without jobs: its raw data, the chunked form, and what it says of missing outputs."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import dgl
import numpy as np
import pandas
import pytest
from graph_chain_support import ROOT
from partition_support import on_threads

from hvdsm.graphjob.partition_exchange import Exchange
from hvdsm.graphjob.partition_metadata import parse_metadata
from hvdsm.graphjob.partition_run import Plan, partition

sys.path.insert(0, str(Path(ROOT) / "examples" / "graphstorm_mag"))

import chunk_graph
import mag_outputs
import make_mag


def chain_script() -> Any:
    """The module run.py, whose name is no unusual one."""
    spec = importlib.util.spec_from_file_location("mag_run", Path(ROOT) / "examples" / "graphstorm_mag" / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw data."""
    directory = tmp_path_factory.mktemp("mag") / "raw"
    assert make_mag.main([str(directory)]) == 0
    return directory


def test_the_same_seed_makes_the_same_files(raw: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    make_mag.main([str(again)])
    make_mag.main([str(other), "--seed", "1"])
    names = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file())
    assert [name for name in names if (raw / name).read_bytes() != (again / name).read_bytes()] == []
    assert (raw / "writes.parquet").read_bytes() != (other / "writes.parquet").read_bytes()


def test_the_raw_data_are_as_the_readme_says(raw: Path) -> None:
    papers = pandas.read_parquet(raw / "paper.parquet").set_index("id")
    split = [
        [json.loads(line) for line in (raw / f"{name}.json").read_text().splitlines()] for name in ("train", "valid", "test")
    ]
    assert sorted(paper for part in split for paper in part) == sorted(papers.index)
    assert papers["venue"].value_counts().tolist() == [60] * 4
    for name, share in make_mag.HELD_OUT.items():
        hidden, seen = (pandas.read_parquet(folder / f"{name}.parquet") for folder in (raw / "held_out", raw))
        pairs = [set(zip(table["from"], table["to"])) for table in (hidden, seen)]
        assert not pairs[0] & pairs[1]
        assert len(pairs[0]) / (len(pairs[0]) + len(pairs[1])) == pytest.approx(share, abs=0.05)
    cites = pandas.read_parquet(raw / "cites.parquet")
    faithful = (papers.loc[cites["from"], "venue"].to_numpy() == papers.loc[cites["to"], "venue"].to_numpy()).mean()
    assert faithful > 0.85


def test_too_few_nodes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_mag.main([str(tmp_path / "raw"), "--papers", "10"])
    assert "at least 24" in capsys.readouterr().err


def constructed(directory: Path) -> Any:
    """A graph as GConstruct leaves it, with all kinds of data; its directory gets the other files."""
    rng = np.random.default_rng(0)
    ends = {
        ("author", "writes", "paper"): (rng.integers(0, 20, 90), rng.integers(0, 30, 90)),
        ("paper", "writes-rev", "author"): (rng.integers(0, 30, 90), rng.integers(0, 20, 90)),
    }
    graph = dgl.heterograph(
        {kind: tuple(map(dgl.backend.tensor, pair)) for kind, pair in ends.items()}, {"author": 20, "paper": 30}
    )
    tensor = dgl.backend.tensor
    graph.nodes["paper"].data["feat"] = tensor(rng.random((30, 3), dtype=np.float32))
    graph.nodes["paper"].data["venue"] = tensor(rng.integers(0, 4, 30).astype(np.int32))
    graph.nodes["paper"].data["__gs_orig_id"] = tensor(np.arange(30))
    graph.edges["writes"].data["train_mask"] = tensor(rng.integers(0, 2, 90).astype(np.int8))
    directory.mkdir()
    dgl.save_graphs(str(directory / "mag.dgl"), [graph])
    (directory / "raw_id_mappings" / "paper").mkdir(parents=True)
    (directory / "raw_id_mappings" / "paper" / "part-00000.parquet").write_bytes(b"ids")
    (directory / "data_transform_new.json").write_text("{}")
    return graph


def test_a_chunked_graph_partitions_into_what_was_constructed(tmp_path: Path) -> None:
    graph = constructed(tmp_path / "graph")
    assert chunk_graph.main([str(tmp_path / "graph"), str(tmp_path / "chunked"), "--chunks", "3"]) == 0
    path = tmp_path / "chunked" / chunk_graph.METADATA
    parsed = parse_metadata(path.read_text(), str(path))

    def work(comm: Any) -> None:
        scratch = str(tmp_path / f"scratch{comm.Get_rank()}")
        partition(Plan(parsed, str(path.parent), str(tmp_path / "out"), 2, scratch=scratch), Exchange(comm))

    assert on_threads(2, work) == [None, None]
    seen: Dict[str, List[int]] = {"paper": [], "author": [], "writes": []}
    for part in (0, 1):
        folder = tmp_path / "out" / "dist_graph" / f"part{part}"
        nodes, edges, features, masks = (
            dgl.data.utils.load_tensors(str(folder / f"{name}.dgl"))
            for name in ("orig_nids", "orig_eids", "node_feat", "edge_feat")
        )
        assert set(features) == {"paper/feat", "paper/venue"}
        for name in ("feat", "venue"):
            assert features[f"paper/{name}"].tolist() == graph.nodes["paper"].data[name][nodes["paper"]].tolist()
        written = edges["author:writes:paper"]
        assert masks["author:writes:paper/train_mask"].tolist() == graph.edges["writes"].data["train_mask"][written].tolist()
        for kind, ids in (("paper", nodes["paper"]), ("author", nodes["author"]), ("writes", written)):
            seen[kind] += ids.tolist()
    assert {kind: sorted(ids) for kind, ids in seen.items()} == {
        "paper": [*range(30)],
        "author": [*range(20)],
        "writes": [*range(90)],
    }


def test_what_belongs_to_a_chunked_graph_comes_along(tmp_path: Path) -> None:
    constructed(tmp_path / "graph")
    chunk_graph.main([str(tmp_path / "graph"), str(tmp_path / "chunked")])
    assert (tmp_path / "chunked" / "raw_id_mappings" / "paper" / "part-00000.parquet").read_bytes() == b"ids"
    told = json.loads((tmp_path / "chunked" / "launch_arguments.json").read_text())["config_filename"]
    assert (tmp_path / "chunked" / told.replace(".json", "_with_transformations.json")).read_text() == "{}"


def test_a_graph_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        chunk_graph.main([str(tmp_path), str(tmp_path / "chunked")])
    assert "mag.dgl: there is no such file: construct the graph with --output-format DGL" in capsys.readouterr().err


class Objects:
    """An S3 by its objects."""

    def __init__(self, bodies: Dict[str, bytes]) -> None:
        self.bodies = bodies

    def get_paginator(self, name: str) -> Any:
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> Iterator[Dict[str, Any]]:
        yield {"Contents": [{"Key": key} for key in self.bodies if key.startswith(Prefix)]}

    def get_object(self, Bucket: str, Key: str) -> Dict[str, Any]:
        return {"Body": io.BytesIO(self.bodies[Key])}


def outputs(raw: Path, tmp_path: Path, quality: float) -> Dict[str, bytes]:
    """All that is expected, with predictions and embeddings that are right as often as said, else nonsense."""
    rng = np.random.default_rng(0)
    made = make_mag.make(240, 120, 0)
    bodies = {
        f"{prefix}/{name}{'part-0.parquet' if name.endswith('/') else ''}": b""
        for prefix, names in mag_outputs.expected(2).items()
        for name in names
        if not prefix.startswith(("embeddings", "predictions"))
    }
    right = rng.random(240) < quality
    tables = {
        "predictions/paper": ("paper", "pred", np.where(right, made.venues, rng.integers(0, 4, 240))),
        "embeddings-nc/paper": ("paper", "emb", list(rng.random((240, 12)))),
    }
    for kind, count in made.counts.items():
        vectors = rng.normal(0, 0.01, (count, 12))
        if kind == "paper" and quality > 0.5:
            vectors += np.eye(12)[made.paper_field]
        if kind == "author" and quality > 0.5:
            # The sum over what they wrote.
            np.add.at(vectors, made.edges["writes"][0], np.eye(12)[made.paper_field[made.edges["writes"][1]]])
        tables[f"embeddings-lp/{kind}"] = (kind, "emb", list(vectors))
    for prefix, (kind, column, values) in tables.items():
        path = tmp_path / "table.parquet"
        pandas.DataFrame({"nid": [make_mag.raw_id(kind, n) for n in range(len(values))], column: values}).to_parquet(path)
        bodies[f"{prefix}/part-0.parquet"] = path.read_bytes()
    return bodies


def test_good_outputs_have_no_problems(raw: Path, tmp_path: Path) -> None:
    found = mag_outputs.results(Objects(outputs(raw, tmp_path, 1.0)), "mag", str(raw), 2)
    assert found["problems"] == []
    assert found["figures"]["accuracy"] == 1.0
    assert found["figures"]["writes_hits"] > 0.6
    assert mag_outputs.report(found).endswith("all is there")


def test_outputs_of_chance_are_a_problem(raw: Path, tmp_path: Path) -> None:
    found = mag_outputs.results(Objects(outputs(raw, tmp_path, 0.0)), "mag", str(raw), 2)
    assert sorted(problem.split()[0] for problem in found["problems"]) == sorted(mag_outputs.LEAST)
    for name in ("accuracy", *(f"{of}_{what}" for of in ("links", "writes", "cites") for what in ("mrr", "hits"))):
        chance = found["figures"][f"{name}_chance"]
        assert found["figures"][name] == pytest.approx(chance, abs=0.03 if name.endswith("mrr") else 0.1), name


def test_outputs_that_are_missing_are_named(raw: Path, tmp_path: Path) -> None:
    bodies = outputs(raw, tmp_path, 1.0)
    for key in ("parts/dist_graph/part1/graph.dgl", "embeddings-lp/author/part-0.parquet"):
        del bodies[key]
    found = mag_outputs.results(Objects(bodies), "mag", str(raw), 2)
    assert found["problems"] == ["s3://mag/parts/dist_graph: no part1/graph.dgl", "s3://mag/embeddings-lp: no author/"]
    assert "PROBLEM: s3://mag/embeddings-lp: no author/" in mag_outputs.report(found)


def test_predictions_of_other_papers_are_an_error(raw: Path, tmp_path: Path) -> None:
    bodies = outputs(raw, tmp_path, 1.0)
    bodies["predictions/paper/part-1.parquet"] = bodies["predictions/paper/part-0.parquet"]
    with pytest.raises(ValueError, match="paper-0000 is twice"):
        mag_outputs.results(Objects(bodies), "mag", str(raw), 2)
    del bodies["predictions/paper/part-1.parquet"], bodies["predictions/paper/part-0.parquet"]
    pandas.DataFrame({"nid": ["author-0000"], "pred": [0]}).to_parquet(tmp_path / "other")
    bodies["predictions/paper/part-0.parquet"] = (tmp_path / "other").read_bytes()
    with pytest.raises(ValueError, match="not those of all papers"):
        mag_outputs.results(Objects(bodies), "mag", str(raw), 2)


def test_another_storage_is_taken_as_it_is() -> None:
    with chain_script().storage("http://127.0.0.1:5000") as variables:
        assert variables == {"AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}


def test_a_directory_with_earlier_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        chain_script().main([str(tmp_path)])
    assert f"{tmp_path}: is there already" in capsys.readouterr().err


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"run\.py: exit code 3 of: python -c 'raise SystemExit\(3\)'"):
        chain_script().run(["python", "-c", "raise SystemExit(3)"], str(tmp_path), [])
