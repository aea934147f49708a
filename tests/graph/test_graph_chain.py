"""A small graph from raw data to embeddings and predictions, on two emulated hosts with two trainers each; and faults."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator

import pytest
from graph_chain_support import BUCKET, PAPERS, Place, place, processes

# Not imported here: that takes long.
if find_spec("graphstorm") is None:
    pytest.skip("GraphStorm is not installed: make test-graph", allow_module_level=True)
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800), pytest.mark.xdist_group("graph-chain")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The graph, constructed."""
    with place(tmp_path_factory.mktemp("graphs")) as found:
        ended = found.graph(
            "construct", "--input-graph-s3", f"s3://{BUCKET}/raw", "--output-graph-s3", f"s3://{BUCKET}/tiny_2p",
            "--graph-name", "tiny", "--graph-config-file", "config.json", "--num-parts", "2", "--add-reverse-edges",
            "--num-processes", "1", "--task-name", "construct",
        )  # fmt: skip
        assert ended.code == 0, ended.output
        yield found


@pytest.fixture(scope="module")
def trained(made: Place) -> Place:
    """The model, trained by two trainers on each host."""
    words = ("--model-artifact-s3", f"s3://{BUCKET}/model", "--num-trainers", "2", "--backend", "gloo", "--num-epochs", "3")
    ended = made.job("train", "train", *words)
    assert ended.code == 0, ended.output
    assert ended.outcome["ranks_per_host"] == {"algo-1": 2, "algo-2": 2}
    assert ended.outcome["warnings"] == [w for w in ended.outcome["warnings"] if "server" not in w]
    return made


def test_construction(made: Place) -> None:
    names = made.names("tiny_2p")
    assert {"tiny.json", "node_mapping.pt", "edge_mapping.pt", "data_transform_new.json"} <= set(names)
    assert {name.split("/")[0] for name in names if "/" in name} == {"part0", "part1", "raw_id_mappings"}


def test_the_model_is_where_it_was_to_go(trained: Place) -> None:
    names = trained.names("model/train/output/model")
    assert "model.bin" in names
    assert any(name.endswith(".yaml") for name in names)
    assert (Path(trained.directory) / "hvdsm-out" / "train" / "model" / "model.bin").is_file()


def test_embeddings_and_predictions_of_every_host(trained: Place) -> None:
    import pandas

    ended = trained.job(
        "infer", "infer", "--model-artifact-s3", f"s3://{BUCKET}/model", "--output-emb-s3", f"s3://{BUCKET}/emb/",
        "--output-prediction-s3", f"s3://{BUCKET}/predictions", "--infer-all-target-nodes", "true", "--no-validation", "true",
    )  # fmt: skip
    assert ended.code == 0, ended.output
    assert trained.names("emb")
    tables = [name for name in trained.names("predictions") if name.endswith(".parquet")]
    frames = [
        pandas.read_parquet(io.BytesIO(trained.s3.get_object(Bucket=BUCKET, Key=f"predictions/{name}")["Body"].read()))
        for name in tables
    ]
    together = pandas.concat(frames)
    assert set(together["nid"]) == {f"p{i}" for i in range(PAPERS)}


def test_a_part_that_is_missing_fails_on_all_hosts_before_ranks(made: Place) -> None:
    for name in made.names("tiny_2p"):
        if not name.startswith("part1/"):
            source = {"Bucket": BUCKET, "Key": f"tiny_2p/{name}"}
            made.s3.copy_object(Bucket=BUCKET, Key=f"broken/{name}", CopySource=source)
    words = ("--graph-data-s3", f"s3://{BUCKET}/broken", "--model-artifact-s3", f"s3://{BUCKET}/never")
    ended = made.job("train", "missing", *words)
    assert ended.code == 78
    assert "has no part1/, which host 2 of 2 is to hold" in ended.output
    assert "ranks running" not in ended.outcome["phases"]
    assert made.names("never") == []


def test_a_wrong_number_of_hosts_is_refused_before_anything_starts(made: Place) -> None:
    ended = made.job("train", "wrong", "--instance-count", "3")
    assert ended.code == 2
    assert "--instance-count: is 3, and the graph has 2 partitions (tiny.json)" in ended.output
    assert not (made.directory / "hvdsm-out" / "wrong").exists()


def test_a_trainer_that_fails_leaves_nothing_behind(made: Place) -> None:
    words = ("--model-artifact-s3", f"s3://{BUCKET}/never", "--label-field", "no-such-label")
    ended = made.job("train", "failing", *words)
    assert (ended.code, ended.outcome["status"]) == (1, "Failed"), ended.output
    folder = made.directory / "hvdsm-out" / "failing"
    for path in (folder / "output" / "failure", folder / "logs" / "algo-1.log", folder / "logs" / "algo-2.log"):
        assert "AssertionError: no-such-label does not exist as a node feature of paper" in path.read_text(), path.read_text()
    assert made.names("never") == []


@pytest.mark.parametrize(
    ("part", "message"), [("server", "the process server was killed by SIGKILL"), ("rank", "killed by SIGKILL")]
)
def test_a_process_that_is_killed_ends_the_job_everywhere(made: Place, part: str, message: str) -> None:
    name = f"killed-{part}"
    ended = made.broken(name, part, "--model-artifact-s3", f"s3://{BUCKET}/never", "--num-epochs", "5000")
    assert (ended.code, ended.outcome["status"]) == (137, "Failed"), ended.output
    assert "finished" not in ended.outcome["phases"]
    folder = made.directory / "hvdsm-out" / name
    for path in (folder / "output" / "failure", folder / "logs" / "algo-1.log", folder / "logs" / "algo-2.log"):
        assert message in path.read_text(), path.read_text()
    assert made.names("never") == []
    assert list(processes(name)) == []
