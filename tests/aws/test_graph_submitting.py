"""Graph jobs are created in a SageMaker on this machine, alike by the command and from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from sandbox_support import client, put

from hvdsm import graph
from hvdsm.cli import main
from hvdsm.sandbox import Sandbox

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/graphstorm:sm-cpu"
ROLE = "arn:aws:iam::123456789012:role/graphs"
WORDS = ["--fanout=10", "--feat", "a", "--feat", "b", "--lr=-1e-3", "--target-etype", "a,b,c", "d,e,f", "--flag"]
PLACES = {"image_url": IMAGE, "role": ROLE, "region": "us-east-1"}
MODEL = {
    "graph_name": "mag", "graph_data_s3": "s3://graphs/mag/", "yaml_s3": "s3://graphs/nc.yaml", "instance_count": 2,
    "task_type": "node_classification", "model_artifact_s3": "s3://graphs/model/", "log_level": "DEBUG",
    "instance_type": "ml.c5.xlarge",
    "sm_estimator_parameters": "max_run=600 volume_size=40 environment={'A': 'b c'}", "max_restarts": 1,
}  # fmt: skip
GIVEN: Dict[str, Dict[str, Any]] = {
    "train": {**MODEL, "model_checkpoint_to_load": "s3://graphs/epoch-2/"},
    "infer": {**MODEL, "output_emb_s3": "s3://graphs/emb", "output_prediction_s3": "s3://graphs/p", "output_chunk_size": 7},
    "partition": {
        "graph_data_s3": "s3://graphs/chunked", "num_parts": 2, "output_data_s3": "s3://graphs/parts",
        "skip_partitioning": "true",
    },
}  # fmt: skip
# What differs: names, and where sources lie.
OWN = ("sagemaker_job_name", "sagemaker_submit_directory")


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that plays that jobs complete, with the metadata of a graph of two parts."""
    monkeypatch.chdir(tmp_path)
    with Sandbox.start() as started:
        for name, value in started.environ().items():
            monkeypatch.setenv(name, value)
        put(started, "mag/mag.json", b'{"num_parts": 2}', "graphs")
        put(started, "nc.yaml", b"gsf", "graphs")
        yield started


def options(given: Dict[str, Any]) -> List[str]:
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def described(sandbox: Sandbox, name: str) -> Dict[str, Any]:
    service = client(sandbox, "sagemaker")
    found = service.describe_training_job(TrainingJobName=name)
    values = {key: value for key, value in found["HyperParameters"].items() if key not in OWN}
    fields = ("ResourceConfig", "StoppingCondition", "OutputDataConfig", "Environment", "RoleArn", "ProfilerConfig")
    tags = service.list_tags(ResourceArn=found["TrainingJobArn"])["Tags"]
    # The container program is a channel as well, under a name of its contents.
    channels = {c["ChannelName"]: c["DataSource"]["S3DataSource"]["S3Uri"] for c in found.get("InputDataConfig", ())}
    return {**{name: found.get(name) for name in fields}, "values": values, "tags": tags, "channels": channels}


@pytest.mark.parametrize("action", ["train", "infer", "partition"])
def test_the_command_and_python_create_the_same(sandbox: Sandbox, capsys: pytest.CaptureFixture[str], action: str) -> None:
    given = {**PLACES, **GIVEN[action]}
    words = [] if action == "partition" else WORDS
    command = ["graph", action, *options(given), "--task-name", "one", "--tag", "team=a", *words, "--backend", "sagemaker"]
    assert main([*command, "--async-execution", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    handle = getattr(graph, action)(
        **given, task_name="two", tags={"team": "a"}, arguments=words, backend="sagemaker", async_execution=True
    )
    first, second = described(sandbox, answer["job_name"]), described(sandbox, handle.name)
    assert first == second
    assert {"Key": "team", "Value": "a"} in first["tags"]
    assert (answer["job_name"], handle.name) == (
        ("gs-partition-one", "gs-partition-two") if action == "partition" else ("one", "two")
    )


def test_a_job_is_waited_for(sandbox: Sandbox) -> None:
    given = {**PLACES, **GIVEN["train"], "task_name": "waited"}
    handle = graph.train(**given, backend="sagemaker", async_execution=False)
    assert handle.outcome.exit_code == 0
    assert described(sandbox, "waited")["ResourceConfig"]["InstanceCount"] == 2


def test_two_jobs_of_one_second_have_two_names(sandbox: Sandbox) -> None:
    del sandbox
    given = {**PLACES, **GIVEN["train"]}
    handles: Tuple[Any, ...] = tuple(graph.train(**given, backend="sagemaker") for _ in range(2))
    assert handles[0].name != handles[1].name


def test_a_script_of_ones_own(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.py").write_text("print()")
    given = {**PLACES, **GIVEN["train"], "task_name": "mine", "entry_point": "run/mine.py"}
    graph.train(**given, arguments=["--fanout=10", "--x", "a b", "c"], backend="sagemaker")
    values = described(sandbox, "mine")["values"]
    assert (values["sagemaker_program"], values["fanout"], values["x"]) == ('"mine.py"', '"10"', '"a b c"')
    assert "sagemaker_hvdsm_plan" not in values
