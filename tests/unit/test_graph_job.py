"""What the hosts of a graph job decide by themselves: their share, the latest model, the words of GraphStorm's scripts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pytest

from hvdsm.compose.compose_graph import EMBEDDINGS
from hvdsm.compose.compose_graph import TASKS as COMPOSE_TASKS
from hvdsm.graphjob.commands import distributed, partition_words, remap_words, script_words, threads_of
from hvdsm.graphjob.epochs import latest
from hvdsm.graphjob.failures import JobError
from hvdsm.graphjob.finishing import keep_model, upload_results
from hvdsm.graphjob.preparing import prepare
from hvdsm.graphjob.running import begin_anew
from hvdsm.graphjob.share import raw_mappings, share_of
from hvdsm.graphjob.state import JobState, Places, read_found, write_hosts
from hvdsm.graphjob.tasks import TASKS, script_of
from hvdsm.graphjob.transfers import Store

GRAPH = {
    "mag.json": 10, "data_transform_new.json": 1, "node_mapping.pt": 5, "edge_mapping.pt": 6, "part0/graph.dgl": 7,
    "part0/node_feat.dgl": 8, "part1/graph.dgl": 9, "part1/orig_nids.dgl": 3, "part10/graph.dgl": 1,
    "raw_id_mappings/paper/part-0.parquet": 4,
}  # fmt: skip


class FakeS3:
    """Objects in a dictionary; ``cut`` says of how many bytes a download is short."""

    def __init__(self, objects: Dict[str, bytes]) -> None:
        self.objects = objects
        self.cut: Dict[str, int] = {}
        self.fetched: List[str] = []

    def get_paginator(self, name: str) -> FakeS3:
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> List[Any]:
        del Bucket
        found = [{"Key": key, "Size": len(body)} for key, body in self.objects.items() if key.startswith(Prefix)]
        return [{"Contents": found[:2]}, {"Contents": found[2:]}, {}]

    def download_file(self, bucket: str, key: str, path: str, Callback: Any) -> None:
        del bucket, Callback
        self.fetched.append(key)
        body = self.objects[key]
        Path(path).write_bytes(body[: len(body) - self.cut.get(key, 0)])

    def upload_file(self, path: str, bucket: str, key: str, Callback: Any) -> None:
        del bucket, Callback
        self.objects[key] = Path(path).read_bytes()

    def head_object(self, Bucket: str, Key: str) -> Dict[str, int]:
        del Bucket
        return {"ContentLength": len(self.objects[Key])}


def objects(parts: int = 2) -> Dict[str, bytes]:
    found = {f"g/{name}": b"x" * size for name, size in GRAPH.items()}
    found["g/mag.json"] = b'{"num_parts": %d}' % parts
    return found


def state(tmp_path: Path, action: str = "train", host: int = 0, **options: str) -> JobState:
    channel = tmp_path / "yaml"
    channel.mkdir(exist_ok=True)
    (channel / "mag.yaml").write_text("gsf: {}")
    told = {"graph-name": "mag", "graph-data-s3": "s3://b/g/", f"{action}-yaml-s3": "s3://b/c/mag.yaml"}
    (tmp_path / "model").mkdir(exist_ok=True)
    return JobState(
        action,
        {**told, **{name.replace("_", "-"): value for name, value in options.items()}},
        (),
        Places(str(tmp_path / f"tmp{host}")),
        host=host,
        addresses=("10.0.0.1", "10.0.0.2"),
        port=20001,
        world=4,
        processes=2,
        yaml_directory=str(channel),
        model_directory=str(tmp_path / "model"),
        job_name="job",
    )


def test_the_tasks_are_those_of_the_compose_files() -> None:
    assert tuple(TASKS) == (*COMPOSE_TASKS, EMBEDDINGS)
    assert script_of(TASKS["edge_regression"], False, True) == "gsgnn_ep/gsgnn_lm_ep.py"
    assert script_of(TASKS[EMBEDDINGS], False, False) is None


def test_each_host_has_its_part_alone() -> None:
    first, second = (share_of(GRAPH, "mag", host, 2, "s3://b/g") for host in (0, 1))
    names = [name for name, _ in first.files]
    assert names == ["data_transform_new.json", "mag.json", "node_mapping.pt", "part0/graph.dgl", "part0/node_feat.dgl",
                     "part1/orig_nids.dgl"]  # fmt: skip
    assert [name for name, _ in second.files if name.startswith("part")] == ["part1/graph.dgl", "part1/orig_nids.dgl"]
    assert ("edge_mapping.pt", "edge_mapping.pt") in share_of(GRAPH, "mag", 1, 2, "", edges=True).files


def test_metadata_by_either_name_and_what_is_missing() -> None:
    assert share_of({"metadata.json": 1, "part0/g": 1}, "mag", 0, 1, "s3://b/g").config == "metadata.json"
    with pytest.raises(JobError, match=r"neither mag.json nor metadata.json"):
        share_of({"part0/g": 1}, "mag", 0, 1, "s3://b/g")
    with pytest.raises(JobError, match="has no part2/, which host 3 of 3"):
        share_of(GRAPH, "mag", 2, 3, "s3://b/g")
    warnings = share_of({"mag.json": 1, "part0/g": 1}, "mag", 0, 2, "s3://b/g").warnings
    assert ["data_transform_new.json" in warnings[0], "node_mapping.pt" in warnings[1]] == [True, True]


def test_raw_ids_of_gsprocessing_lie_a_level_deeper() -> None:
    assert dict(raw_mappings({"a/parquet/p.parquet": 1, "b/p.parquet": 1, "_SUCCESS": 0})) == {
        "a/parquet/p.parquet": "raw_id_mappings/a/p.parquet",
        "b/p.parquet": "raw_id_mappings/b/p.parquet",
    }


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["epoch-9", "epoch-10"], "epoch-10"),
        (["epoch-2", "epoch-2-iter-99", "epoch-2-iter-100"], "epoch-2-iter-100"),
        (["epoch-10", "epoch-9-iter-999"], "epoch-10"),
        (["epoch-3.bak", "epoch-", "epoch-1"], "epoch-1"),
        ([], None),
    ],
)
def test_the_latest_model(names: List[str], wanted: Any) -> None:
    assert latest(names) == wanted


def test_a_host_prepares(tmp_path: Path) -> None:
    s3, said = FakeS3(objects()), list[str]()
    here = state(tmp_path, host=1)
    prepare(here, Store(said.append, s3), said.append)
    found = read_found(here.places)
    graph = Path(here.places.graph("mag"))
    assert found == {"config": str(graph / "mag.json"), "yaml": str(tmp_path / "yaml" / "mag.yaml")}
    assert Path(here.places.ip_list).read_text() == "10.0.0.1 20001\n10.0.0.2 20001\n"
    assert sorted(p.relative_to(graph).as_posix() for p in graph.rglob("*") if p.is_file()) == [
        "data_transform_new.json", "mag.json", "node_mapping.pt", "part1/graph.dgl", "part1/orig_nids.dgl",
        "raw_id_mappings/paper/part-0.parquet",
    ]  # fmt: skip
    assert any("files" in line and "bytes downloaded" in line for line in said)


def test_a_restart_has_other_ports(tmp_path: Path) -> None:
    here = state(tmp_path)
    Path(here.places.graphs).mkdir(parents=True)
    write_hosts(here)
    begin_anew(replace(here, port=20002))
    assert Path(here.places.ip_list).read_text() == "10.0.0.1 20002\n10.0.0.2 20002\n"


def test_a_restart_begins_without_what_the_failed_ranks_have_saved(tmp_path: Path) -> None:
    train, infer = state(tmp_path), state(tmp_path, "infer", host=1)
    for path in (
        f"{train.places.saved}/epoch-5",
        infer.places.embeddings,
        infer.places.models,
        train.places.graphs,
        infer.places.graphs,
    ):
        Path(path).mkdir(parents=True)
    begin_anew(train)
    begin_anew(infer)
    assert list(Path(train.places.saved).iterdir()) == []
    assert (Path(infer.places.embeddings).exists(), Path(infer.places.models).exists()) == (False, True)


def test_another_number_of_hosts_downloads_nothing_but_the_description(tmp_path: Path) -> None:
    s3 = FakeS3(objects(parts=4))
    with pytest.raises(JobError, match=r"has 4 partitions, and the job 2 hosts\n  try: --instance-count 4"):
        prepare(state(tmp_path), Store(lambda _: None, s3), lambda _: None)
    assert s3.fetched == ["g/mag.json"]


def test_a_download_that_is_cut_is_found_out(tmp_path: Path) -> None:
    s3 = FakeS3(objects())
    s3.cut["g/part0/graph.dgl"] = 1
    with pytest.raises(JobError, match=r"s3://b/g/part0/graph.dgl: has 7 bytes, and 6 came, 3 times"):
        prepare(state(tmp_path), Store(lambda _: None, s3, delay=0), lambda _: None)
    assert not list(tmp_path.rglob("graph.dgl*"))


def test_models_that_inference_begins_with(tmp_path: Path) -> None:
    def model_of(keys: List[str]) -> List[str]:
        s3 = FakeS3({**objects(), **dict.fromkeys(keys, b"m")})
        here = state(tmp_path, "infer", model_artifact_s3="s3://b/m/")
        prepare(here, Store(lambda _: None, s3), lambda _: None)
        return sorted(path.name for path in Path(here.places.models).iterdir() if path.is_file())

    assert model_of(["m/model.bin", "m/dense.json"]) == ["dense.json", "model.bin"]
    assert model_of(["m/job/output/model/model.bin"]) == ["model.bin"]
    assert model_of(["m/epoch-9/model.bin", "m/epoch-10/model.bin", "m/epoch-10/ten"]) == ["model.bin", "ten"]
    with pytest.raises(JobError, match=r"has no model.bin; there are job-1/output/model, job-2/output/model"):
        model_of(["m/job-1/output/model/model.bin", "m/job-2/output/model/model.bin"])
    with pytest.raises(JobError, match=r"has no model.bin\n"):
        model_of(["m/readme"])


def test_raw_ids_that_were_asked_for_must_be_there(tmp_path: Path) -> None:
    here = state(tmp_path, raw_node_mappings_s3="s3://b/none/")
    with pytest.raises(JobError, match=r"s3://b/none: has no mappings of node IDs"):
        prepare(here, Store(lambda _: None, FakeS3(objects())), lambda _: None)


def test_the_latest_model_is_kept_with_its_configurations(tmp_path: Path) -> None:
    here = state(tmp_path)
    for name in ("epoch-9", "epoch-10", "epoch-10/sparse"):
        Path(here.places.saved, name).mkdir(parents=True)
        Path(here.places.saved, name, "model.bin").write_text(name)
    Path(here.places.saved, "config.yaml").write_text("y")
    Path(here.places.saved, "notes.txt").write_text("n")
    keep_model(here, Store(lambda _: None, FakeS3({})), lambda _: None)
    kept = {p.relative_to(here.model_directory).as_posix(): p.read_text() for p in Path(here.model_directory).rglob("*.*")}
    assert kept == {"model.bin": "epoch-10", "sparse/model.bin": "epoch-10/sparse", "config.yaml": "y"}


def test_results_are_uploaded_once(tmp_path: Path) -> None:
    here = state(tmp_path, "infer", output_emb_s3="s3://b/emb/", output_prediction_s3="s3://b/p")
    for directory in (here.places.embeddings, here.places.predictions):
        Path(directory, "paper").mkdir(parents=True)
        Path(directory, "paper", "one").write_text("1")
    s3 = FakeS3({})
    upload_results(here, Store(lambda _: None, s3), lambda _: None)
    assert sorted(s3.objects) == ["emb/paper/one", "p/paper/one"]
    assert not Path(here.places.embeddings).exists()


def test_inference_without_targets_uploads_nothing(tmp_path: Path) -> None:
    here, s3 = state(tmp_path, "infer"), FakeS3({})
    Path(here.places.embeddings).mkdir(parents=True)
    upload_results(here, Store(lambda _: None, s3), lambda _: None)
    assert s3.objects == {}


def test_the_words_of_the_scripts(tmp_path: Path) -> None:
    train = state(tmp_path)
    found = {"config": "/g/mag.json", "yaml": "/y.yaml", "model": "/m"}
    words = script_words(train, found, ["--fanout", "10"])
    assert words == [
        "--cf", "/y.yaml", "--save-model-path", train.places.saved, "--restore-model-path", "/m", "--fanout", "10",
        "--ip-config", train.places.ip_list, "--part-config", "/g/mag.json",
    ]  # fmt: skip
    infer = state(tmp_path, "infer", output_prediction_s3="s3://b/p", output_chunk_size="7")
    words = script_words(infer, found, [])
    assert words[4:8] == ["--save-embed-path", infer.places.embeddings, "--save-prediction-path", infer.places.predictions]
    assert remap_words(infer, [], False) == [
        "--rank", "0", "--world-size", "2", "--with-shared-fs", "False", "--num-processes", "2", "--output-chunk-size", "7",
        "--preserve-input", "False",
    ]  # fmt: skip
    variables = distributed(train, found, 1, "csc")
    assert (variables["DGL_NUM_CLIENT"], variables["DGL_NUM_SERVER"]) == ("8", "1")


def test_threads_are_those_of_the_words_else_as_the_launcher_divides_the_cores(tmp_path: Path) -> None:
    here = state(tmp_path)
    assert [threads_of(here, cores, server=False) for cores in (1, 8, 32)] == [1, 2, 8]
    assert [threads_of(here, cores, server=True) for cores in (1, 8, 32)] == [1, 2, 8]
    told = replace(
        here, words=("--num-omp-threads", "3", "--fanout", "4", "--num-server-threads=5"), environ={"OMP_NUM_THREADS": "9"}
    )
    assert (threads_of(told, 8, server=False), threads_of(told, 8, server=True)) == (3, 5)
    assert threads_of(replace(told, words=()), 8, server=False) == 9


def test_the_words_of_partitioning(tmp_path: Path) -> None:
    told = {"num_parts": "2", "output_data_s3": "s3://b/o", "skip_partitioning": "false", "log_level": "INFO"}
    assert partition_words(state(tmp_path, "partition", **told)) == [
        "--graph-data-s3", "s3://b/g/", "--output-data-s3", "s3://b/o", "--num-parts", "2", "--skip-partitioning", "false",
        "--log-level", "INFO",
    ]  # fmt: skip


def test_directories_are_those_of_graphstorms_scripts() -> None:
    places = Places("/tmp")
    assert (places.models, places.saved) == ("/tmp/gsgnn_model", "/tmp/gsgnn_model/model_checkpoints")
    assert (places.checkpoint, places.embeddings, places.predictions) == (
        "/tmp/gsgnn_model_checkpoint", "/tmp/infer_output/embs", "/tmp/infer_output/predict",
    )  # fmt: skip
