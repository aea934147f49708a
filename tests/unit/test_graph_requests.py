"""The requests of graph jobs, compared whole with what is kept in golden/graph; and what is refused before."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

from hvdsm.aws.shapes import check_service_request
from hvdsm.compose.plan import parse_plan
from hvdsm.compose.request import file_path
from hvdsm.errors import ConfigError, UsageError
from hvdsm.graphjob.state import OWN, read_state
from hvdsm.model.plan import WAIT
from hvdsm.recipes.graph.jobs import GraphParts
from hvdsm.recipes.graph.metadata import check_instances, partitions
from hvdsm.recipes.graph.processing import Construction, construct_command, processing_request
from hvdsm.recipes.graph.request import graph_request
from hvdsm.recipes.graph.run import run_of

GOLDEN = Path(__file__).parent / "golden" / "graph"
STAMP = "2026-01-31-12-00-00"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/graphstorm:sm-gpu"
ROLE = "arn:aws:iam::123456789012:role/graphs"
TRAIN: Dict[str, Any] = {
    "instance_count": 3,
    "graph_name": "ogbn-mag",
    "graph_data_s3": "s3://b/ogbn_mag_lp_3p",
    "yaml_s3": "s3://b/conf/mag_lp.yaml",
    "model_artifact_s3": "s3://b/model/",
    "task_type": "link_prediction",
}
# The end of the document's example.
WORDS = ("--lp-decoder-type", "dot_product", "--num-layers", "1", "--fanout", "10", "--hidden-size", "128", "--backend", "gloo")
INFER = {**TRAIN, "output_emb_s3": "s3://b/emb/", "output_prediction_s3": "s3://b/predictions"}


def made(
    tmp_path: Path, action: str, given: Dict[str, Any], words: Tuple[str, ...] = WORDS, **more: Any
) -> Tuple[Dict[str, Any], GraphParts]:
    in_cloud = more.pop("in_cloud", True)
    run = run_of(action, given, words, uploads=not in_cloud)
    return graph_request(run, str(tmp_path), timestamp=STAMP, in_cloud=in_cloud, region="us-east-1", output="/out", **more)


def source_of(request: Dict[str, Any]) -> str:
    return file_path(json.loads(request["HyperParameters"]["sagemaker_submit_directory"]))


def matches(name: str, request: Dict[str, Any]) -> None:
    source = source_of(request)
    request["HyperParameters"]["sagemaker_submit_directory"] = "SOURCE"
    with open(os.path.join(source, "plan.json"), encoding="utf-8") as file:
        found = {"request": request, "plan": json.load(file)}
    path = GOLDEN / f"{name}.json"
    if os.environ.get("HVDSM_WRITE_GOLDEN"):
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    assert found == json.loads(path.read_text(encoding="utf-8"))


def test_training_as_the_document_has_it(tmp_path: Path) -> None:
    parameters = "max_run=3600 subnets=['subnet-1234','subnet-4567'] security_group_ids=['sg-1']"
    request, parts = made(tmp_path, "train", TRAIN, parameters=parameters)
    assert parts.warnings == ()
    matches("train", request)


def test_inference_as_the_document_has_it(tmp_path: Path) -> None:
    request, parts = made(tmp_path, "infer", INFER)
    assert parts.warnings == ("--output-prediction-s3 is left out: link_prediction has no predictions to save",)
    matches("infer", request)


def test_partitioning(tmp_path: Path) -> None:
    given = {"graph_data_s3": "s3://b/chunked", "num_parts": 4, "output_data_s3": "s3://b/parts", "task_name": "mag"}
    request, parts = made(tmp_path, "partition", given, ())
    assert parts.warnings == ("--instance-count 1 becomes 4: one host makes one part",)
    assert request["ResourceConfig"]["InstanceCount"] == 4
    matches("partition", request)


def test_the_service_takes_the_requests(tmp_path: Path) -> None:
    for action, given in (("train", TRAIN), ("infer", INFER)):
        request, _ = made(tmp_path / action, action, given)
        request["AlgorithmSpecification"]["TrainingImage"] = IMAGE
        request["RoleArn"] = ROLE
        # Uploaded, before it is sent.
        request["HyperParameters"]["sagemaker_submit_directory"] = '"s3://b/source.tar.gz"'
        request["OutputDataConfig"] = {**request["OutputDataConfig"], "S3OutputPath": "s3://b/out"}
        check_service_request(request, region="us-east-1")


def test_here_the_job_itself_brings_the_model(tmp_path: Path) -> None:
    request, parts = made(tmp_path, "train", TRAIN, in_cloud=False)
    assert request["ResourceConfig"]["InstanceType"] == "local"
    assert request["OutputDataConfig"] == {"S3OutputPath": "file:///out"}
    assert parts.plan is not None
    assert parts.plan.environment["HVDSM_GRAPH_MODEL"] == "s3://b/model/"


def test_the_plan(tmp_path: Path) -> None:
    request, parts = made(tmp_path, "infer", INFER)
    with open(os.path.join(source_of(request), "plan.json"), encoding="utf-8") as file:
        plan = parse_plan(json.load(file))
    assert plan == parts.plan
    assert [step.name for step in plan.steps] == ["download", "remap", "upload"]
    (server,) = plan.roles
    assert (server.name, server.hosts, server.count, server.end) == ("server", "each", 1, WAIT)
    assert server.ready.port == "{port:dgl}"


def test_the_hosts_read_what_was_forwarded(tmp_path: Path) -> None:
    words = (*WORDS, "--feat", "a", "--feat", "b c", "--note", "it's", "--flag")
    request, _ = made(tmp_path, "train", TRAIN, words)
    values = {key: json.loads(value) for key, value in request["HyperParameters"].items() if key != "sagemaker_hvdsm_plan"}
    environ = {"SM_HPS": json.dumps(values), "HVDSM_GRAPH_ADDRESSES": "10.0.0.1,10.0.0.2", "HVDSM_GRAPH_HOST_INDEX": "1"}
    state = read_state(environ, source_of(request))
    assert (state.action, state.host, state.hosts) == ("train", 1, 2)
    assert state.options["graph-data-s3"] == "s3://b/ogbn_mag_lp_3p"
    assert state.words == (*WORDS, "--note", "it's", "--flag", "--feat", "a", "--feat", "b c")


@pytest.mark.parametrize("action", ["train", "infer", "partition"])
def test_the_hosts_know_every_hyperparameter_of_hvdsms(tmp_path: Path, action: str) -> None:
    more = {
        "custom_script": "/opt/x.py", "model_checkpoint_to_load": "s3://b/epoch-2/", "raw_node_mappings_s3": "s3://b/raw",
        "num_parts": 3, "output_data_s3": "s3://b/o",
    }  # fmt: skip
    given = {**INFER, **more, "task_type": "node_classification"}
    if action == "train":
        given = {name: value for name, value in given.items() if not name.startswith(("output", "num_parts", "raw"))}
    elif action == "infer":
        given = {name: value for name, value in given.items() if name not in ("num_parts", "output_data_s3")}
    else:
        kept = ("num_parts", "output_data_s3", "graph_data_s3", "instance_count")
        given = {name: value for name, value in given.items() if name in kept}
    request, _ = made(tmp_path, action, given, ())
    assert {key for key in request["HyperParameters"] if not key.startswith("sagemaker_")} <= set(OWN)


def test_a_script_of_ones_own_runs_instead(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train_entry.py").write_text("")
    request, _ = made(tmp_path, "train", {**TRAIN, "entry_point": "x"}, entry_point=str(tmp_path / "run" / "train_entry.py"))
    values = request["HyperParameters"]
    assert source_of(request) == str(tmp_path / "run")
    assert json.loads(values["sagemaker_program"]) == "train_entry.py"
    assert "sagemaker_hvdsm_plan" not in values
    assert "sagemaker_mpi_enabled" not in values
    assert json.loads(values["fanout"]) == "10"
    _, parts = made(
        tmp_path, "train", {**TRAIN, "entry_point": "x"}, in_cloud=False, entry_point=str(tmp_path / "run" / "train_entry.py")
    )
    assert parts.warnings == (
        "--model-artifact-s3 is left out: the model of a script of your own stays in model/ of the results here",
    )


@pytest.mark.parametrize(
    ("action", "change", "message"),
    [
        ("train", {"task_type": "node_clasification"}, "there is no task type"),
        ("train", {"task_type": None}, "--task-type: is missing"),
        ("train", {"graph_name": ""}, "--graph-name: is missing"),
        ("infer", {"graph_name": None}, "--graph-name: is missing"),
        ("train", {"graph_data_s3": None}, "--graph-data-s3: must be an address of S3"),
        ("train", {"task_type": "compute_emb"}, "is for inference"),
        ("train", {"yaml_s3": "s3://b/conf.json"}, "must end in .yaml or .yml"),
        ("train", {"graph_data_s3": "b/graph"}, "--graph-data-s3: must be an address of S3"),
        ("train", {"model_checkpoint_to_load": "/models/epoch-2"}, "--model-checkpoint-to-load"),
        ("train", {"output_emb_s3": "s3://b/e"}, "means nothing to a job of the kind train"),
        ("train", {"task_name": "no_underscores"}, "which is no name of a job"),
        ("train", {"log_level": "LOUD"}, "there is no level"),
        ("infer", {"model_artifact_s3": None}, "--model-artifact-s3: is missing"),
        ("infer", {"model_artifact_s3": "epoch-0"}, "must be an address of S3"),
        ("infer", {"output_chunk_size": 0}, "--output-chunk-size: must be 1 or more"),
        ("partition", {"num_parts": None}, "--num-parts: is missing"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, action: str, change: Dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made(tmp_path, action, {**TRAIN, **change})


def test_nothing_may_say_what_the_plan_says(tmp_path: Path) -> None:
    for word in ("--part-config", "--num-servers", "--restore-model-path", "--task-type"):
        with pytest.raises(UsageError, match="is set by hvdsm itself"):
            made(tmp_path, "train", TRAIN, (word, "1"))


def test_embeddings_of_training_want_one_host(tmp_path: Path) -> None:
    words = ("--save-embed-path", "/tmp/e")
    with pytest.raises(UsageError, match="--save-embed-path: after training GraphStorm reads the model from a disk"):
        made(tmp_path / "three", "train", TRAIN, words)
    request, _ = made(tmp_path / "one", "train", {**TRAIN, "instance_count": 1}, words)
    assert json.loads(request["HyperParameters"]["save-embed-path"]) == "/tmp/e"


def test_a_type_of_sagemakers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--instance-type local: is this machine"):
        made(tmp_path, "train", TRAIN, instance_type="local")


def test_a_model_below_its_address(tmp_path: Path) -> None:
    request, _ = made(tmp_path, "infer", {**INFER, "model_sub_path": "/job/epoch-3/"})
    assert json.loads(request["HyperParameters"]["model-artifact-s3"]) == "s3://b/model/job/epoch-3"


def test_the_number_of_partitions() -> None:
    objects = {("b", "g/mag.json"): b'{"num_parts": 2}', ("b", "other/metadata.json"): b"{}", ("c", "mag.json"): b"no"}
    assert partitions("s3://b/g/", "mag", lambda bucket, key: objects.get((bucket, key))) == (2, "mag.json")
    with pytest.raises(ConfigError, match=r"has neither mag.json nor metadata.json"):
        partitions("s3://b/none", "mag", lambda bucket, key: objects.get((bucket, key)))
    with pytest.raises(ConfigError, match="has no num_parts"):
        partitions("s3://b/other", "mag", lambda bucket, key: objects.get((bucket, key)))
    with pytest.raises(ConfigError, match="is no JSON"):
        partitions("s3://c", "mag", lambda bucket, key: objects.get((bucket, key)))
    check_instances(2, 2, "mag.json")
    with pytest.raises(UsageError, match=r"is 3, and the graph has 2 partitions \(mag.json\)"):
        check_instances(3, 2, "mag.json")


def test_construction() -> None:
    asked = Construction(
        "s3://b/raw", "s3://b/graph", "mag graph", "conf/config.json", IMAGE, ROLE, extra=("--num-parts", "2", "--x", "a b")
    )
    request = processing_request(asked, STAMP)
    path = GOLDEN / "construct.json"
    if os.environ.get("HVDSM_WRITE_GOLDEN"):
        path.write_text(json.dumps(request, indent=2) + "\n", encoding="utf-8")
    assert request == json.loads(path.read_text(encoding="utf-8"))
    assert construct_command(asked)[-4:] == ("--num-parts", "2", "--x", "a b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config_file": "/etc/config.json"}, "is relative to --input-graph-s3"),
        ({"config_file": "../config.json"}, "is relative to --input-graph-s3"),
        ({"input_graph": "/data"}, "--input-graph-s3: must be an address of S3"),
        ({"extra": ("--output-dir=/x",)}, "--output-dir: is set by hvdsm itself"),
        ({"role": None}, "--role: a job in SageMaker needs one"),
    ],
)
def test_constructions_that_cannot_be_meant(change: Dict[str, Any], message: str) -> None:
    fields: Dict[str, Any] = {
        "input_graph": "s3://b/raw", "output_graph": "s3://b/g", "graph_name": "m", "config_file": "c.json", "image": IMAGE,
        "role": ROLE,
    }  # fmt: skip
    with pytest.raises(UsageError, match=message):
        processing_request(Construction(**{**fields, **change}), STAMP)
