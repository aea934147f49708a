"""Unmodified scripts of users of the SDK 3 train on emulated hosts, of which nothing is left on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Dict, List, Tuple

from sdk_support import Ran, run_command, run_script

from hvdsm.sandbox import Sandbox

SCRIPTS = Path(__file__).resolve().parent / "scripts3"
ACCOUNT = "123456789012"
BUCKET = f"sagemaker-us-east-1-{ACCOUNT}"
PACKED = ["output/model.tar.gz", "output/output.tar.gz"]


def run(name: str, sdk3: str, sandbox: Sandbox, directory: Path) -> Tuple[Dict[str, Any], Ran]:
    """Run a script in a directory of its own; what it found, and all that it said."""
    ran = run_script(sdk3, SCRIPTS / f"{name}.py", sandbox, directory, SAGEMAKER_VALIDATE_ROLE="true")
    return result(ran), ran


def result(ran: Ran) -> Dict[str, Any]:
    """What a script found."""
    lines = [line for line in ran.output.splitlines() if line.startswith("RESULT ")]
    assert ran.code == 0, ran.output
    assert len(lines) == 1, ran.output
    found: Dict[str, Any] = json.loads(lines[0][len("RESULT ") :])
    return found


def assert_completed(found: Dict[str, Any], *names: str) -> None:
    """All these jobs have ended well."""
    for name in names:
        assert (found[name]["status"], found[name]["reason"]) == (["Completed", "Completed"], None), (name, found[name])


def pairs(argv: List[str]) -> Dict[str, str]:
    """The arguments of a script by their names."""
    return dict(zip(argv[::2], argv[1::2]))


def test_the_steps_of_a_notebook_by_the_command(sdk3: str, emulated_hosts: None, tmp_path: Path) -> None:
    """Nothing is set up in the script, not even logging: ``hvdsm sandbox -- python script.py``."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SAGEMAKER_"))}
    argv = [sys.executable, "-m", "hvdsm", "sandbox", "--", sdk3, str(SCRIPTS / "notebook_steps.py")]
    ran = run_command(argv, {**own, "HOME": str(tmp_path), "PYTHONPATH": str(SCRIPTS.parents[2])}, tmp_path)
    found = result(ran)
    assert found["role"].startswith(f"arn:aws:iam::{ACCOUNT}:role/")
    assert (found["account"], found["region"], found["bucket"]) == (ACCOUNT, "us-east-1", BUCKET)
    assert found["image"] == "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6-cpu-py312"
    assert (found["status"], found["s3"], found["downloaded"]) == ("Completed", PACKED, ["model.tar.gz"])
    assert found["output_data"].endswith("/output/output.tar.gz")

    told = found["told"]["algo-1"]
    assert (told["arn"], told["region"], told["hosts"], told["type"]) == (found["arn"], "us-east-1", ["algo-1"], "ml.c5.xlarge")
    assert told["channels"] == {"train": ["part-0.csv", "part-1.csv", "part-2.csv"], "test": ["part-1.csv"]}
    assert set(told["opt_ml"]) >= {"input", "model", "output"}
    assert (told["code"], "package" in told["code"]) == (sorted(p.name for p in (SCRIPTS / "source").glob("*.py")), False)
    assert told["environment"] == {"PLAIN": "a b", "QUOTED": 'it\'s "quoted" $HOME'}
    assert told["hps"] == {
        "epochs": 3,
        "learning-rate": 0.001,
        "amp": True,
        "seed": None,
        "layers": [64, 32],
        "optimizer": {"name": "sgd", "options": {"momentum": 0.9, "label": 'a "quoted" one'}},
        "text": '$HOME `id` "x" \\ grüße; rm',
        "empty": "",
        "digits": "007",
    }
    argv = pairs(told["argv"])
    assert (argv["--amp"], argv["--seed"], argv["--layers"], argv["--empty"]) == ("true", "null", "[64, 32]", "")
    assert argv["--text"] == '$HOME `id` "x" \\ grüße; rm'
    assert "report of algo-1 [not/markup] grüße" in ran.output
    assert ran.output.count("step 2 loss: 0.25; accuracy=0.5") == 1


def test_ways_to_give_the_code(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """Scripts, commands, archives, folders in S3, requirements, files of hyperparameters."""
    found, _ = run("sources", sdk3, shared_sandbox, tmp_path)
    assert_completed(found, *found)
    assert found["shell"]["model"] == found["command"]["model"] == ["arguments.txt"]
    assert found["no directory"]["model"] == ["host.txt"]
    for name in ("archive", "stored folder", "stored archive"):
        assert found[name]["told"]["algo-1"]["argv"] == []
    assert found["requirements"]["told"] == {"told": [1]}
    assert found["json"]["told"]["algo-1"]["hps"] == {"epochs": 5, "nested": {"a": [1, "two"]}}
    assert pairs(found["yaml"]["told"]["algo-1"]["argv"]) == {"--epochs": "7", "--name": "from yaml", "--list": "[1, 2]"}


def test_ways_to_start_ranks(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """The SDK's torchrun reaches all hosts; its MPI starts every rank on the first one, as in the cloud."""
    found, ran = run("ranks", sdk3, shared_sandbox, tmp_path)
    assert_completed(found, *found)
    assert found["torchrun 1x2"]["told"]["told"] == {"places": ["algo-1:0", "algo-1:1"], "total": 3.0}
    assert found["torchrun 2x2"]["told"]["told"] == {
        "places": ["algo-1:0", "algo-1:1", "algo-2:0", "algo-2:1"],
        "total": 10.0,
    }
    assert found["mpi 1x2"]["told"]["told"] == {"places": ["algo-1", "algo-1"], "total": 3, "given": None}
    assert found["mpi 2x2"]["told"]["told"] == {"places": ["algo-1", "algo-1"], "total": 3, "given": "to all"}
    assert sorted(found["hosts"]["told"]) == ["algo-1", "algo-2"]
    assert found["hosts"]["told"]["algo-2"]["hosts"] == ["algo-1", "algo-2"]
    assert "report of algo-2 [not/markup] grüße" in ran.output


def test_ends(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """Failures with their reasons, a time limit, a stop; the list of jobs."""
    found, _ = run("ends", sdk3, shared_sandbox, tmp_path)
    codes = {"raise": 1, "exit": 3, "module": 1, "own": 1, "command": 2, "shell exit": 9, "quote": 2, "one host": 1}
    for name, code in codes.items():
        assert found[name]["status"] == ["Failed", "Failed"]
        assert found[name]["reason"].startswith("AlgorithmError: ")
        assert found[name]["reason"].endswith(f", exit code: {code}")
        assert found[name]["reason"] in found[name]["error"]
        assert found[name]["model"] == []
    assert "returned non-zero exit status 3" in found["exit"]["reason"]
    assert "died with <Signals.SIGSEGV: 11>" in found["segfault"]["reason"]
    assert found["own"]["reason"] == "AlgorithmError: the data has no column label, exit code: 1"
    # Nothing was written into /opt/ml/output/failure.
    assert found["shell exit"]["reason"] == "AlgorithmError: , exit code: 9"
    assert found["limit"]["status"] == ["Stopped", "MaxRuntimeExceeded"]
    assert (found["limit"]["error"], found["limit"]["reason"]) == (None, None)
    # The shell that the SDK starts does not pass SIGTERM on, so that the script saves nothing then; what there is is kept.
    assert found["limit"]["s3"] == found["stopped"]["s3"] == ["output/model.tar.gz"]
    assert "entry_script" in found["no script"]

    assert (found["stopped"]["status"], found["stopped"]["model"]) == (["Stopped", "Stopped"], ["early.txt"])
    assert "is in status Stopped" in found["stop again"]
    assert found["transitions"] == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert [name.rpartition("-")[0] for name in found["failed"]] == ["e-raise"]
    assert (found["latest"], found["all"]) == (found["name"], len(codes) + 3)
    assert "Requested resource not found" in found["deleted"]


def test_fields(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """What a ModelTrainer asks for is there on the hosts, in the description and in S3."""
    found, _ = run("fields", sdk3, shared_sandbox, tmp_path)
    names = ("channels", "plain", "spot", "warm", "groups", "private", "metrics")
    assert_completed(found, *names)
    told = found["channels"]["told"]
    everything = ["a.csv", "b.csv", "c.csv", "deep/d.csv"]
    for host in ("algo-1", "algo-2"):
        given = told[host]["channels"]
        assert (given["train"], given["local"], given["fast"]) == (everything, everything, everything)
    divided = [told[host]["channels"]["sharded"] for host in ("algo-1", "algo-2")]
    assert all(divided)
    assert sorted(divided[0] + divided[1]) == everything

    assert found["plain"]["s3"] == []
    plain = [key.partition("/output/")[2] for key in found["objects"] if key.startswith("plain/")]
    assert plain == ["model/algo-1.json", "output/algo-1.txt"]
    assert found["plain"]["described"]["ModelArtifacts"]["S3ModelArtifacts"].endswith("/output/model/")
    assert found["spot"]["described"]["EnableManagedSpotTraining"] is True
    assert found["spot"]["told"]["algo-1"]["checkpoints"] == ["epoch-0.pt"]
    assert {"fields/checkpoints/epoch-0.pt", "fields/checkpoints/epoch-1.pt"} <= set(found["objects"])
    assert found["warm"]["described"]["WarmPoolStatus"]["Status"] == "Available"
    assert any(key.startswith("f-warm/") and key.endswith("/checkpoints/epoch-0.pt") for key in found["objects"])
    groups = found["groups"]["told"]
    assert [(groups[host]["group"], groups[host]["type"]) for host in ("algo-1", "algo-2")] == [
        ("cpu", "ml.c5.xlarge"),
        ("big", "ml.m5.4xlarge"),
    ]
    private = found["private"]["described"]
    assert private["VpcConfig"] == {"SecurityGroupIds": ["sg-0123456789abcdef0"], "Subnets": ["subnet-0123456789abcdef0"]}
    assert private["EnableNetworkIsolation"] is private["EnableInterContainerTrafficEncryption"] is True
    assert found["tags"] == [{"Key": "team", "Value": "vision"}, {"Key": "cost", "Value": "1"}]
    metrics = found["metrics"]["described"]
    assert {entry["MetricName"]: entry["Value"] for entry in metrics["FinalMetricDataList"]} == {"loss": 0.25, "accuracy": 0.5}
    assert metrics["RetryStrategy"] == {"MaximumRetryAttempts": 2}
    board = f"boards/{metrics['TrainingJobName']}/tensorboard-output/run/events"
    assert board in found["objects"]

    there = found["elsewhere"]
    assert there["arn"] == there["told"]["algo-1"]["arn"]
    assert there["arn"].startswith(f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:training-job/f-elsewhere-")
    assert there["told"]["algo-1"]["region"] == "eu-west-1"


REFUSED = {
    "tuner": "CreateHyperParameterTuningJob",
    "remote": "functions of the SDK's @remote",
    "file system": "the file system EFS fs-0123456789abcdef0:/data cannot be reached from here",
    "image's own": "the program of this job is in 763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training",
    "no data": "No S3 objects found under S3 URL",
    "name": "TrainingJobName: must match the pattern",
    "type": "ml.nothing.large",
    "package": "r.txt",
}


def test_refused(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    """An error that says what and why, and no hanging: one script makes all calls."""
    refused, _ = run("refused", sdk3, shared_sandbox, tmp_path)
    assert {name: refused[name] for name, said in REFUSED.items() if said not in refused[name]} == {}
    assert refused["dry run"] == "no error: None"


def test_nothing_comes_to_this_machine(sdk3: str, emulated_hosts: None, tmp_path: Path) -> None:
    """What a job installs, removes, writes and leaves running is gone with its hosts; so is what runs when the sandbox ends."""
    before = _machine()
    with Sandbox.start(runner="emulated", directory=str(tmp_path / "jobs"), local={"stop_grace": 5.0}) as sandbox:
        found, _ = run("intrusion", sdk3, sandbox, tmp_path)
        assert_completed(found, "intruder")
        said = "\n".join(found["lines"])
        assert "Successfully uninstalled rich" in said
        assert "Successfully installed hvdsm-test-package" in said
        assert "intruded, click " in said
        left = next(job for name, job in sandbox.jobs.items() if name.startswith("i-left"))
        assert left.status == "InProgress"
    assert _machine() == before
    assert not Path("/tmp/hvdsm-test-intruder").exists()
    assert not (Path.home() / ".ssh" / "hvdsm_test_key").exists()
    assert _running("sleep", "86399") == []
    assert _running("fails.py", "stay") == []


def _machine() -> Dict[str, object]:
    """Packages of this environment, and the environment of all logins."""
    place = Path("/etc/environment")
    text = place.read_bytes() if place.exists() else b""
    packages = sorted((found.metadata["Name"], found.version) for found in distributions())
    return {"packages": packages, "environment": hashlib.sha256(text).hexdigest()}


def _running(*words: str) -> List[str]:
    """Processes of this machine whose command has all these words."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = place.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if all(word in argv for word in words):
            found.append(" ".join(argv))
    return found
