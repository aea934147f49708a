"""Unmodified scripts of users of the SDK 2 train on emulated hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from sdk_support import Ran, run_script

from hvdsm.sandbox import Sandbox

SCRIPTS = Path(__file__).resolve().parent / "scripts2"
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

Get = Callable[[str], Ran]


@pytest.fixture
def get(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> Get:
    """Runs one of the scripts to its end."""
    return lambda name: run_script(sdk2, SCRIPTS / f"{name}.py", shared_sandbox, tmp_path, seconds=600)


def result(ran: Ran) -> Dict[str, Any]:
    """What a script has found."""
    lines = [line for line in ran.output.splitlines() if line.startswith("RESULT ")]
    assert len(lines) == 1, ran.output
    found: Dict[str, Any] = json.loads(lines[0][len("RESULT ") :])
    return found


def has(lines: List[str], *texts: str) -> bool:
    """Whether every text is in one of the lines."""
    return all(any(text in line for line in lines) for text in texts)


def test_notebook_tensorflow(get: Get) -> None:
    ran = get("notebook_tensorflow")
    assert ran.code == 0, ran.output
    found = result(ran)
    assert (found["account"], found["names"]) == ("123456789012", ["model.pth"])
    assert found["role"].startswith("arn:aws:iam::123456789012:role/")
    assert found["name"].startswith("tf-horovod-demo-")
    assert found["model_data"] == f"s3://sagemaker-us-east-1-123456789012/{found['name']}/output/model.tar.gz"
    lines = ran.output.splitlines()
    # Four ranks on two hosts end with the same weights, which the log has as it was written.
    assert len({line.rpartition(" has ")[2] for line in lines if " of 4 has " in line}) == 1
    assert has(lines, "[0,algo-1] rank 0 of 4", "[1,algo-1] rank 1 of 4", "[2,algo-2] rank 2 of 4", "[3,algo-2] rank 3 of 4")
    assert has(lines, "[0,algo-1] epoch 20 loss: 0.0", "Training seconds: ", "Completed - Training job completed")
    told = found["describe"]
    assert told["BillableTimeInSeconds"] == told["TrainingTimeInSeconds"] > 0
    assert [step["Status"] for step in told["SecondaryStatusTransitions"]][-2:] == ["Uploading", "Completed"]
    final = [(metric["MetricName"], metric["Value"]) for metric in told["FinalMetricDataList"]]
    assert len(final) == 1 and final[0][0] == "train:loss" and 0 < final[0][1] < 0.1
    assert found["frame"] and {row["metric_name"] for row in found["frame"]} == {"train:loss"}
    assert {"Key": "project", "Value": "demo"} in found["tags"]


def test_many_estimators(get: Get) -> None:
    ran = get("many_estimators")
    assert ran.code == 0, ran.output
    found = result(ran)
    status, why = found.pop("builtin")
    assert status == "Failed" and "the program of this job is in" in why and "linear-learner" in why
    place = "s3://sagemaker-eu-west-1-123456789012/kind-{}/output/model.tar.gz"
    assert found == {name: [["model.tar.gz"], place.format(name)] for name in found}
    assert len(found) == 8


def test_many_distributions(get: Get) -> None:
    ran = get("many_distributions")
    assert ran.code == 0, ran.output
    found = result(ran)
    assert has(found["three"], *(f"rank {i} of 3 on algo-{i + 1}, sum 3" for i in range(3)))
    ranks = ["[0,algo-2] rank 0", "[1,algo-2] rank 1", "[2,algo-3] rank 2", "[3,algo-3] rank 3"]
    assert has(found["groups"], "[algo-1] rank 0 of 1 on algo-1", *(f"{text} of 4" for text in ranks))
    assert has(found["alone"], "rank 0 of 1 on algo-1, sum 0")
    assert has(found["torchrun"], "rank 0 of 2, sum 2", "rank 1 of 2, sum 2")
    assert has(found["ddp"], "rank 0 of 2, sum 2", "rank 1 of 2, sum 2", "warning: sagemaker_distributed_dataparallel_enabled")
    mirrored = {line.partition("worker ")[2] for line in found["mirrored"] if "worker " in line and " of 2: [" in line}
    assert sorted(text[0] for text in mirrored) == ["0", "1"]
    assert len({text.partition(": ")[2] for text in mirrored}) == 1
    assert len(found["servers"]) == 1 and "use mpi with Horovod" in found["servers"][0]


def test_many_failures(get: Get) -> None:
    ran = get("many_failures")
    # The last line of the script fails, and the SDK's exception ends the script.
    assert ran.code == 1 and "UnexpectedStatusException" in ran.output and "exit code 3" in ran.output, ran.output
    found = result(ran)
    wanted = {
        "raise": ['ValueError: no "luck", é', "raise ValueError(", "exit code: 1"],
        "exit": ["exit code 3", "ExecuteUserScriptError: ExitCode 3"],
        "crash": ["SIGSEGV", "exit code: 139"],
        "module": ["No module named 'not_installed_here'"],
        "syntax": ["SyntaxError"],
        "own": ["AlgorithmError: a reason of my own, exit code: 1"],
        "second": ["rank 1 (algo-2, local rank 0): KeyError: 'on the second'"],
        "requirements": ["pip cannot install hvdsm-has-no-such-package==99"],
    }
    for name, texts in wanted.items():
        error, reason, *statuses = found[name]
        assert statuses == ["Failed", "Failed"], found[name]
        assert all(text in reason for text in texts), reason
        assert f"Error for Training job fails-{name}: Failed. Reason: {reason}" in error
    assert 'No file named "not-here.py"' in found["nothing there"]
    assert "No S3 objects found under S3 URL" in found["no data"]


def test_many_options(get: Get) -> None:
    ran = get("many_options")
    assert ran.code == 0, ran.output
    found = result(ran)
    keys = found.pop("keys")
    ended = {name: values["status"] for name, values in found.items()}
    assert ended.pop("limit") == ["Stopped", "MaxRuntimeExceeded"]
    assert ended == {name: ["Completed", "Completed"] for name in ended}, [values["error"] for values in found.values()]
    values = found["values"]
    assert values["told"]["hps"] == values["wanted"]
    assert values["told"]["environment"] == 'a b="c" $HOME\n2'
    given = dict(zip(values["told"]["argv"][::2], values["told"]["argv"][1::2]))
    for name in ("quotes", "lines", "unicode", "empty", "long", "number"):
        assert given[f"--{name}"] == values["wanted"][name]
    assert (given["--flag"], given["--batch-size"], given["--rate"]) == ("True", "64", "1e-05")
    told = [json.loads(line.partition("told: ")[2]) for line in found["inputs"]["lines"] if "told: " in line]
    everywhere = {"fast": [f"part-{i}.csv" for i in range(4)], "manifest": ["part-1.csv", "part-2.csv"], "one": ["part-3.csv"]}
    sharded = {"algo-1": ["part-0.csv", "part-2.csv"], "algo-2": ["part-1.csv", "part-3.csv"]}
    assert {host["host"]: host["channels"] for host in told} == {
        name: {**everywhere, "sharded": parts} for name, parts in sharded.items()
    }
    assert has(found["pipe"]["lines"], "read ['row 0', 'row 1', 'row 2', 'row 3', '']")
    assert has(found["isolated"]["lines"], '"code": ["sourcedir.tar.gz"]')
    assert has(found["places"]["lines"], "from a dependency")
    assert found["places"]["model"] == "s3://options/out/option-places/output/model/"
    assert has(found["shell"]["lines"], "shell algo-1 -a b c", "42")
    assert not has(found["shell"]["lines"], "sitecustomize")
    assert found["network"]["request"]["VpcConfig"]["Subnets"] == ["subnet-0123abcd"]
    assert found["spot"]["request"]["EnableManagedSpotTraining"] is True
    assert set(keys) >= {
        "board/option-board/tensorboard-output/a/e",
        "checkpoints/epoch-1.pt",
        "mycode/option-places/source/sourcedir.tar.gz",
        "out/option-places/output/model/file",
        "out/option-places/output/output/file",
    }


def test_life_cycle(get: Get) -> None:
    ran = get("life_cycle")
    assert ran.code == 0, ran.output
    found = result(ran)
    status, secondary, hyperparameters, model = found["stopped"]
    assert (status, secondary, hyperparameters["sagemaker_program"]) == ("Stopped", "Stopped", '"train.py"')
    assert model.endswith("/long-one/output/model.tar.gz")
    assert found["attached"][0] and json.loads(found["attached"][1]["a"]) == {"b": [1]}
    assert found["frame"] == [{"metric_name": "accuracy", "value": 0.5}]
    assert found["final"] == {"loss": 0.125, "accuracy": 0.75}
    assert "Training job names must be unique" in found["twice"]
    assert found["listed"] == ["long-one", "second-one"]
    assert ran.has('"channels": {"model": ["model.tar.gz"]}')
