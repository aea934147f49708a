"""The job around a partitioning: S3, what GraphStorm wants besides, and what goes wrong on one host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import dgl
import numpy as np
import pytest
from partition_support import (
    SECONDS,
    assignments_of,
    described,
    dgl_partitions,
    on_threads,
    run_hosts,
    sample,
    write_chunked,
    write_rows,
)

from hvdsm.aws.session import Aws, connect
from hvdsm.aws.storage import list_objects, upload_tree
from hvdsm.graphjob import partition as program
from hvdsm.graphjob.failures import JobError
from hvdsm.graphjob.partition_exchange import Exchange
from hvdsm.graphjob.partition_job import PartitionJob, arguments_of, run
from hvdsm.model.plan import JobPlan
from hvdsm.recipes.graph.source import write_source

INPUT = "s3://graphs/in"
METADATA = "updated_row_counts_metadata.json"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """A moto server with a bucket, which the environment leads to."""
    from moto.server import ThreadedMotoServer

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.get_host_and_port()[1]}")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    made = connect()
    client = made.client("s3")
    for entry in client.list_buckets()["Buckets"]:
        for found in list_objects(made, f"s3://{entry['Name']}"):
            client.delete_object(Bucket=entry["Name"], Key=found.key)
        client.delete_bucket(Bucket=entry["Name"])
    client.create_bucket(Bucket="graphs")
    yield made
    server.stop()


def keys(aws: Aws, prefix: str) -> List[str]:
    return [entry.key[len(prefix) :] for entry in list_objects(aws, f"s3://graphs/{prefix}")]


def download(aws: Aws, prefix: str, folder: Path) -> Path:
    for name in keys(aws, prefix):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(aws.client("s3").get_object(Bucket="graphs", Key=f"{prefix}{name}")["Body"].read())
    return folder


def processed(folder: Path, seed: int = 1) -> Path:
    """What GraphStorm's processing leaves: a chunked graph, string IDs, and its transformations."""
    write_chunked(sample(seed), folder).rename(folder / METADATA)
    for name in ("paper/parquet/part-00000.parquet", "author/part-00000.parquet"):
        (folder / "raw_id_mappings" / name).parent.mkdir(parents=True)
        write_rows(folder / "raw_id_mappings" / name, np.arange(5), "parquet")
    (folder / "launch_arguments.json").write_text('{"config_filename": "gsp.json"}')
    (folder / "gsp_with_transformations.json").write_text('{"graph": "transformed"}')
    return folder


def job(source: str, target: str, **more: Any) -> PartitionJob:
    return PartitionJob(source, target, 2, **more)


def run_on(hosts: int, asked: PartitionJob) -> List[Any]:
    """Run a job on so many hosts, which are threads; what each raised, or None."""
    return on_threads(hosts, lambda comm: run(asked, Exchange(comm, 20_000)))


def test_from_s3_to_s3(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = sample(1)
    upload_tree(aws, str(processed(tmp_path / "in")), INPUT)
    # What an earlier job has left must not be taken for a graph, nor stay.
    for name in ("metadata.json", "sample.json", "node_mapping.pt"):
        aws.client("s3").put_object(Bucket="graphs", Key=f"out/dist_graph/{name}", Body=b"old")
    assert run_on(2, job(f"{INPUT}/", "s3://graphs/out/", work_dir=str(tmp_path))) == [None, None]
    files = ["edge_feat.dgl", "graph.dgl", "node_feat.dgl", "orig_eids.dgl", "orig_nids.dgl"]
    assert keys(aws, "out/dist_graph/") == sorted(
        ["data_transform_new.json", "metadata.json", *(f"part{part}/{name}" for part in (0, 1) for name in files)]
        + ["raw_id_mappings/author/part-00000.parquet", "raw_id_mappings/paper/parquet/part-00000.parquet"]
    )
    assert keys(aws, "out/partition/") == ["author.txt", "paper.txt", "partition_meta.json"]
    output = download(aws, "out/", tmp_path / "out")
    assert (output / "dist_graph" / "data_transform_new.json").read_text() == '{"graph": "transformed"}'
    original = tmp_path / "in" / "raw_id_mappings" / "author" / "part-00000.parquet"
    assert (output / "dist_graph" / "raw_id_mappings" / "author" / "part-00000.parquet").read_bytes() == original.read_bytes()
    theirs = dgl_partitions(graph, assignments_of(graph, output / "partition"), 2, tmp_path / "dgl")
    for part in (0, 1):
        ours = described(output / "dist_graph" / "metadata.json", part, originals=True)
        assert ours == described(theirs, part, originals=False)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("hvdsm-partition-")], "nothing is left on the hosts"


def test_assignments_are_taken_as_they_are(aws: Aws, tmp_path: Path) -> None:
    graph = sample(1)
    upload_tree(aws, str(processed(tmp_path / "in")), INPUT)
    for name, count in graph.nodes.items():
        lines = "".join(f"{number * 7 % 3 % 2}\n" for number in range(count))
        aws.client("s3").put_object(Bucket="graphs", Key=f"out/partition/{name}.txt", Body=lines.encode())
    assert run_on(2, job(INPUT, "s3://graphs/out", skip_partitioning=True)) == [None, None]
    output = download(aws, "out/", tmp_path / "out")
    ours = [dgl.data.utils.load_tensors(str(output / "dist_graph" / f"part{part}" / "orig_nids.dgl")) for part in (0, 1)]
    for name, count in graph.nodes.items():
        for part in (0, 1):
            assert ours[part][name].tolist() == [number for number in range(count) if number * 7 % 3 % 2 == part]
    assert keys(aws, "out/partition/") == ["author.txt", "paper.txt"], "nothing else is written there"


def test_optional_files_may_be_missing(aws: Aws, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_chunked(sample(1), tmp_path / "in")
    upload_tree(aws, str(tmp_path / "in"), INPUT)
    assert run_on(2, job(INPUT, "s3://graphs/out", metadata_filename="metadata.json")) == [None, None]
    assert "no launch_arguments.json in s3://graphs/in" in caplog.text
    assert not [key for key in keys(aws, "out/dist_graph/") if "raw_id" in key or "transform" in key]


def test_number_of_hosts_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run_on(1, job(str(processed(tmp_path / "in")), str(tmp_path / "out"))) == [None]
    assert "1 hosts make 2 parts" in caplog.text


def change_metadata(folder: Path, change: Callable[[Dict[str, Any]], Any]) -> None:
    data = json.loads((folder / METADATA).read_text())
    change(data)
    (folder / METADATA).write_text(json.dumps(data))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def shorter(path: Path) -> None:
    write_rows(path, np.load(path)[:-1] if path.suffix == ".npy" else np.arange(3), "parquet")


# What happens to the graph, and the words of the error: what, and where.
FAULTS: Dict[str, Any] = {
    "no metadata": (lambda d: (d / METADATA).unlink(), "there is no such metadata file", METADATA),
    "no JSON": (lambda d: (d / METADATA).write_text("{"), "is no JSON", METADATA),
    "missing edges": (lambda d: (d / "data/paper-cites-paper-2.parquet").unlink(), "there is no such file", "rank 1"),
    "truncated edges": (lambda d: cut_short(d / "data/paper-cites-paper-0.parquet"), "cannot be read", "rank 0"),
    "truncated feature": (lambda d: cut_short(d / "data/paper-feat-3.parquet"), "cannot be read", "paper-feat-3.parquet"),
    "fewer labels": (lambda d: shorter(d / "data/paper-label-0.parquet"), "has 3 rows, its metadata tells of 15", "paper/label"),
    "unknown node": (
        lambda d: write_rows(d / "data/paper-cites-paper-2.parquet", np.full((rows_of(d, 2), 2), 60), "parquet"),
        "has the source 60, but there are 60 nodes of the type paper",
        "edges of paper:cites:paper",
    ),
    "wrong number of edges": (
        lambda d: change_metadata(d, lambda data: data["num_edges_per_type"].__setitem__(0, 7)),
        "but the metadata tells of 7",
        "author:writes:paper",
    ),
    "shapes that differ": (
        lambda d: write_rows(d / "data/paper-feat-3.parquet", np.zeros((15, 4), np.float32), "parquet"),
        "rows of the shapes [(4,), (5,)]",
        "paper/feat",
    ),
    "text": (
        lambda d: write_rows(d / "data/paper-label-3.parquet", np.array(["x"] * 15, object), "parquet"),
        "no number",
        "rank 1",
    ),
    "no transformations": (lambda d: (d / "gsp_with_transformations.json").unlink(), "there is no such file", "gsp_with_"),
}


def rows_of(folder: Path, file: int) -> int:
    return int(json.loads((folder / METADATA).read_text())["edges"]["paper:cites:paper"]["row_counts"][file])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_host_is_named_on_all_and_nothing_is_written(tmp_path: Path, fault: str) -> None:
    change, what, where = FAULTS[fault]
    folder = processed(tmp_path / "in")
    change(folder)
    raised = run_on(2, job(str(folder), str(tmp_path / "out")))
    assert [type(error).__name__ for error in raised] == ["FailedTogether"] * 2, raised
    assert str(raised[0]) == str(raised[1])
    assert what in raised[0].what and where in raised[0].where and raised[0].remedy, str(raised[0])
    assert not (tmp_path / "out" / "dist_graph").exists()


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("0\n" * 59, "has 59 lines, but the graph has 60 nodes"),
        ("0\n" * 59 + "2\n", "line 60 names part 2 of 2"),
        ("0\n" * 59 + "x\n", "is no number"),
        (None, "no assignments of nodes to parts: paper.txt"),
    ],
)
def test_wrong_assignments(tmp_path: Path, lines: Any, what: str) -> None:
    folder, target = processed(tmp_path / "in"), tmp_path / "out" / "partition"
    target.mkdir(parents=True)
    (target / "author.txt").write_text("1\n" * sample(1).nodes["author"])
    if lines is not None:
        (target / "paper.txt").write_text(lines)
    raised = run_on(2, job(str(folder), str(tmp_path / "out"), skip_partitioning=True))
    assert all(isinstance(error, JobError) and what in error.what for error in raised), raised
    assert not (tmp_path / "out" / "dist_graph").exists()


def test_assignments_of_another_number_of_parts(tmp_path: Path) -> None:
    folder, out = processed(tmp_path / "in"), str(tmp_path / "out")
    assert run_on(1, job(str(folder), out)) == [None]
    raised = run_on(2, replace(job(str(folder), out, skip_partitioning=True), num_parts=3))
    assert all("the assignments are of 2 parts, not 3" in str(error) for error in raised), raised


def test_too_many_parts(tmp_path: Path) -> None:
    folder = processed(tmp_path / "in")
    raised = run_on(2, replace(job(str(folder), str(tmp_path / "out")), num_parts=61))
    assert all("paper has 60" in str(error) and "fewer parts" in str(error) for error in raised), raised


def test_one_host_without_a_place_ends_all(tmp_path: Path) -> None:
    asked = job(str(processed(tmp_path / "in")), str(tmp_path / "out"), work_dir=str(tmp_path))
    (tmp_path / "file").write_text("")
    places = [str(tmp_path), str(tmp_path / "file")]
    raised = on_threads(2, lambda comm: run(replace(asked, work_dir=places[comm.Get_rank()]), Exchange(comm, 20_000)))
    assert all("rank 1" in str(error) and "Not a directory" in str(error) for error in raised), raised
    assert not (tmp_path / "out").exists()


def test_ranks_of_mpi_end_with_the_error_on_each(tmp_path: Path) -> None:
    folder = processed(tmp_path / "in")
    (folder / "data/paper-cites-paper-2.parquet").unlink()
    done = run_hosts(2, words(job(str(folder), str(tmp_path / "out"))), check=False)
    assert done.returncode == 78, done.stdout + done.stderr
    assert done.stderr.count("graph: error: rank 1: ") == 2, done.stderr
    assert not (tmp_path / "out" / "dist_graph").exists()


def words(asked: PartitionJob) -> List[str]:
    return [word for name, value in arguments_of(asked) for word in (f"--{name}", value)]


def test_arguments_are_read_back() -> None:
    asked = PartitionJob("s3://a/b", "s3://c/d", 3, "m.json", "metis", True, 5, "eu-west-1", "/scratch")
    assert program.job_of(program.parser().parse_args(words(asked))) == asked
    plain = PartitionJob("in", "out", 1)
    assert program.job_of(program.parser().parse_args(words(plain))) == plain
    assert [name for name, _ in arguments_of(plain)] == [
        "graph-data-s3", "output-data-s3", "num-parts", "metadata-filename", "partition-algorithm", "skip-partitioning"
    ]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), [(["true"], True), (["False"], False), ([], True)])
def test_skip_partitioning_is_a_truth_value(given: List[str], expected: bool) -> None:
    base = ["--graph-data-s3", "a", "--output-graph-s3", "b", "--num-parts", "2", "--skip-partitioning"]
    assert program.parser().parse_args([*base, *given]).skip_partitioning is expected


def test_other_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--graph-data-s3", "a", "--output-data-s3", "b", "--num-parts", "2"]
    for more in (["--skip-partitioning", "perhaps"], ["--partition-algorithm", "parmetis"], ["--fanout", "10"]):
        assert program.main([*base, *more]) == 78
    told = capsys.readouterr().err
    assert all(words in told for words in ("neither true nor false", "choice: 'parmetis'", "unrecognized arguments: --fanout 10"))


def test_as_a_rank_of_the_jobs_own_source(tmp_path: Path) -> None:
    # The package travels by another name, without hvdsm.
    script = write_source(str(tmp_path / "source"), "partition", JobPlan(), [])
    graph = sample(1)
    values = {
        "graph-data-s3": str(processed(tmp_path / "in")), "output-data-s3": str(tmp_path / "out"), "num-parts": 2,
        "metadata-filename": METADATA, "partition-algorithm": "random", "skip-partitioning": "false", "log-level": "INFO",
        "graph-name": "sample",
    }  # fmt: skip
    environ = {**os.environ, "SM_HPS": json.dumps(values), "SAGEMAKER_BASE_DIR": str(tmp_path / "ml"), "PYTHONPATH": ""}
    command = [sys.executable, script]
    done = subprocess.run([*command, "rank"], env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0 and "graph: INFO: PartitionDone" in done.stdout, done.stdout + done.stderr
    theirs = dgl_partitions(graph, assignments_of(graph, tmp_path / "out" / "partition"), 2, tmp_path / "dgl")
    for part in (0, 1):
        ours = described(tmp_path / "out" / "dist_graph" / "metadata.json", part, originals=True)
        assert ours == described(theirs, part, originals=False)
    environ["SM_HPS"] = json.dumps({**values, "num-parts": 99})
    done = subprocess.run([*command, "rank"], env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 78 and "paper has 60" in done.stderr, done.stderr
