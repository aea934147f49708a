"""A past job's request, made again from its description, and changed to run here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from hvdsm.errors import UsageError
from hvdsm.jobs.request import (
    FIELDS,
    fitting_processes,
    processes_wanted,
    replay_name,
    request_of,
    with_instance_count,
    with_own_checkpoints,
    with_processes,
)
from hvdsm.sandbox.description import describe
from hvdsm.sandbox.jobs import TrainingJob
from hvdsm.sandbox.logstore import LogStore

HERE = Path(__file__).parent
CAPTURED = sorted((HERE.parent / "cluster" / "requests").glob("*.json"))


def golden(name: str) -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads((HERE / "golden" / "jobs" / name).read_text())
    return found


def test_a_description_becomes_its_request() -> None:
    description = golden("description.json")
    assert request_of(description) == golden("request.json")
    assert description == golden("description.json")


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_requests_of_the_sdks_survive(path: Path) -> None:
    captured = json.loads(path.read_text())
    request = captured.get("request", captured)
    job = TrainingJob(request["TrainingJobName"], "arn:aws:sagemaker:x", request, 0.0, LogStore())
    expected = {name: value for name, value in request.items() if name in FIELDS}
    again = request_of(describe(job))
    # Once more changes nothing, and what was meant is there: defaults that a request spells out may go.
    assert request_of(again) == again
    assert again == request_of(expected)
    for name in ("HyperParameters", "Environment", "ResourceConfig", "RoleArn"):
        assert again.get(name) == (expected.get(name) or None)


def test_the_fields_are_those_of_the_service() -> None:
    from botocore.session import Session

    model = Session().get_service_model("sagemaker")
    wanted = set(model.operation_model("CreateTrainingJob").input_shape.members)
    told = set(model.operation_model("DescribeTrainingJob").output_shape.members)
    assert wanted & told <= set(FIELDS)


@pytest.mark.parametrize(
    ("wanted", "hosts", "cpus", "gpus", "count"),
    [(8, 2, 2, 0, 4), (2, 4, 2, 0, 2), (1, 16, 2, 0, 1), (8, 2, 64, 0, 8), (8, 2, 4, 4, 2), (2, 2, 4, 4, 2), (8, 16, 2, 0, 2)],
)
def test_ranks_that_fit(wanted: int, hosts: int, cpus: int, gpus: int, count: int) -> None:
    found, note = fitting_processes(wanted, hosts, cpus, gpus)
    assert found == count
    assert bool(note) == (count < wanted)


def test_fewer_hosts() -> None:
    request = golden("request.json")
    assert with_instance_count(request, 1)["ResourceConfig"]["InstanceCount"] == 1
    with pytest.raises(UsageError, match="only have fewer"):
        with_instance_count(request, 3)
    groups = [{"InstanceGroupName": name, "InstanceType": "t", "InstanceCount": count} for name, count in (("a", 3), ("b", 2))]
    grouped = {"ResourceConfig": {"InstanceGroups": groups}}
    changed = with_instance_count(grouped, 4)["ResourceConfig"]["InstanceGroups"]
    assert [group["InstanceCount"] for group in changed] == [3, 1]
    with pytest.raises(UsageError, match="2 instance groups"):
        with_instance_count(grouped, 1)


def test_ranks_of_a_request() -> None:
    request = golden("request.json")
    assert processes_wanted(request, {}) == 8
    assert processes_wanted(request, {"algo-1": 4, "algo-2": 4}) == 4
    changed = with_processes(request, 2)
    assert changed["HyperParameters"]["sagemaker_mpi_num_of_processes_per_host"] == "2"
    assert processes_wanted({"HyperParameters": {}}, {"algo-1": 1}) is None
    assert with_processes({"HyperParameters": {}}, 2) == {"HyperParameters": {}}


def test_checkpoints_are_its_own() -> None:
    request = golden("request.json")
    changed, notes = with_own_checkpoints(request, "/results/x.checkpoints")
    assert "CheckpointConfig" not in changed and "s3://bucket/checkpoints" in notes[0]
    elsewhere = {"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/saved"}}
    changed, _ = with_own_checkpoints(elsewhere, "/results/x.checkpoints")
    assert changed["CheckpointConfig"] == {"S3Uri": "file:///results/x.checkpoints", "LocalPath": "/opt/ml/saved"}
    assert with_own_checkpoints({"a": 1}, "/x") == ({"a": 1}, [])


def test_names_of_replays() -> None:
    assert replay_name("job", lambda name: False) == "job-replay"
    assert replay_name("job", lambda name: name in ("job-replay", "job-replay-2")) == "job-replay-3"
    long = replay_name("a" * 55 + "-" + "b" * 7, lambda name: False)
    assert long == "a" * 55 + "-replay" and len(long) <= 63
