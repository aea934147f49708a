"""``hvdsm launch --backend sagemaker``: jobs that really train, on emulated hosts behind a SageMaker service on loopback."""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cloud_launching import BASE, IMAGE, ROLE, created, hvdsm_command, launch, outcome_of, variables

import hvdsm
from hvdsm.aws.session import connect
from hvdsm.aws.storage import list_objects, read_bytes

pytestmark = pytest.mark.cluster

TRAIN = """
import os, sys
from mpi4py import MPI
from helper import NAME
comm = MPI.COMM_WORLD
total = comm.allreduce(comm.rank)
data = sorted(os.listdir(os.environ["SM_CHANNEL_TRAIN"])) if "SM_CHANNEL_TRAIN" in os.environ else []
print(f"rank {comm.rank} of {comm.size} sum={total} {NAME} data={data} args={sys.argv[1:]}", flush=True)
if comm.rank == 3 and "--fail" in sys.argv:
    raise ValueError("asked to fail")
if comm.rank == 0:
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w") as file:
        file.write("trained")
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "src"
    directory.mkdir()
    (directory / "train.py").write_text(TRAIN)
    (directory / "helper.py").write_text("NAME = 'helped'\n")
    (directory / "scratch.log").write_text("x" * 1000)
    (directory / ".gitignore").write_text("*.log\n")
    (tmp_path / "data").mkdir()
    for name in "abc":
        (tmp_path / "data" / f"{name}.csv").write_text(name)
    return tmp_path


def test_a_job_trains_and_comes_back(emulated_sandbox: Any, source: Path) -> None:
    words = ["--instance-count", "2", "--processes-per-host", "2", "--source-dir", "src", "--job-name", "one", "--hp", "lr=0.1"]
    more = ["--channel", "train=data", "--metric", "sum=sum=([0-9]+)", "--metric", "never=nothing (x)", "--tag", "team=a b"]
    done = launch(emulated_sandbox, source, *words, *more, "train.py", "--name", "it's")
    assert done.code == 0, done.text
    said = "helped data=['a.csv', 'b.csv', 'c.csv'] args=['--lr', '0.1', '--name', \"it's\"]"
    for rank in range(4):
        host = f"algo-{rank // 2 + 1}"
        assert done.lines.count(f"[{rank},{host}] rank {rank} of 4 sum=6 {said}") == 1, done.text
    assert "hvdsm: outcome" not in done.text
    outcome = outcome_of(source, "one")
    assert outcome["ranks_per_host"] == {"algo-1": 2, "algo-2": 2}
    assert (outcome["status"], outcome["exit_code"], outcome["world_size"]) == ("Completed", 0, 4)
    assert outcome["metrics"]["sum"] == {"count": 4, "last": 6, "min": 6, "max": 6}
    assert any("nothing (x)" in text for text in outcome["warnings"])
    (request,) = created(emulated_sandbox)
    assert request["Tags"] == [{"Key": "team", "Value": "a b"}]
    aws = connect(environ=variables(emulated_sandbox))
    packed = read_bytes(aws, json.loads(request["HyperParameters"]["sagemaker_submit_directory"]), 1 << 20)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == [".gitignore", "helper.py", "train.py"]
    model = read_bytes(aws, outcome["model_dir"], 1 << 20)
    with tarfile.open(fileobj=io.BytesIO(model)) as tar:
        assert "model.txt" in [name.lstrip("./") for name in tar.getnames()]
    logs = source / "hvdsm-out" / "one" / "logs"
    assert sorted(path.name for path in logs.iterdir()) == ["algo-1.log", "algo-2.log"]


def test_a_failing_rank_ends_as_it_does_locally(emulated_sandbox: Any, source: Path) -> None:
    words = ["--instance-count", "2", "--processes-per-host", "2", "--source-dir", "src"]
    cloud = launch(emulated_sandbox, source, *words, "--job-name", "cloud", "train.py", "--fail")
    local = hvdsm_command(emulated_sandbox, source, "launch", *words, "--job-name", "local", "train.py", "--fail")
    assert (cloud.code, local.code) == (1, 1), cloud.text
    one, two = outcome_of(source, "cloud")["failure"], outcome_of(source, "local")["failure"]
    for name in ("kind", "message", "exit_code", "host", "rank", "local_rank", "exception"):
        assert one[name] == two[name], name
    assert "rank 3 (algo-2, local rank 1): ValueError: asked to fail" in cloud.text
    assert 'raise ValueError("asked to fail")' in cloud.text


def test_a_script_that_exits_with_a_code_of_its_own(emulated_sandbox: Any, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sys\nsys.exit(7)\n")
    done = launch(emulated_sandbox, tmp_path, "--instance-count", "2", "--job-name", "seven", "train.py")
    assert done.code == 7, done.text


def test_an_image_that_has_hvdsm(emulated_sandbox: Any, source: Path) -> None:
    words = ["--container-program", "train", "--instance-count", "2", "--source-dir", "src", "--job-name", "own", "train.py"]
    done = launch(emulated_sandbox, source, *words)
    assert done.code == 0, done.text
    (request,) = created(emulated_sandbox)
    assert "ContainerEntrypoint" not in request["AlgorithmSpecification"] and "InputDataConfig" not in request
    assert outcome_of(source, "own")["world_size"] == 2


def test_the_request_of_a_rehearsal_is_the_one_that_is_sent(emulated_sandbox: Any, source: Path) -> None:
    words = ["--instance-count", "2", "--source-dir", "src", "--job-name", "same", "--instance-type", "ml.c5.xlarge"]
    more = ["--image", IMAGE, "--role", ROLE, "--tag", "a=b", "--env", "X=1", "--max-run", "600", "train.py"]
    shown = hvdsm_command(emulated_sandbox, source, "launch", "--dry-run", "--json", *words, *more)
    sent = hvdsm_command(emulated_sandbox, source, "launch", "--dry-run", "--json", "--backend", "sagemaker", *words, *more)
    local, cloud = json.loads(shown.text)["request"], json.loads(sent.text)["request"]
    for request in (local, cloud):
        for name in ("InputDataConfig", "OutputDataConfig"):
            request.pop(name, None)
        request["AlgorithmSpecification"].pop("ContainerEntrypoint", None)
        for name in ("sagemaker_submit_directory", "sagemaker_region"):
            request["HyperParameters"].pop(name, None)
    assert local == cloud
    assert created(emulated_sandbox) == []


def test_secrets_are_masked_in_a_dry_run_and_nothing_is_sent(sandbox: Any, source: Path) -> None:
    done = launch(
        sandbox, source, "--dry-run", "--source-dir", "src", "--env", "API_TOKEN=hush-hush", "train.py", "--password", "geheim"
    )
    assert done.code == 0, done.text
    assert "hush-hush" not in done.text and "geheim" not in done.text and "<masked>" in done.text
    assert created(sandbox) == []
    assert not (source / "hvdsm-out").exists()


def test_without_waiting(emulated_sandbox: Any, source: Path) -> None:
    done = launch(emulated_sandbox, source, "--no-wait", "--source-dir", "src", "--job-name", "later", "train.py")
    assert done.code == 0 and "hvdsm jobs wait later" in done.text, done.text
    found = json.loads((source / "hvdsm-out" / "later" / "job.json").read_text())
    assert found["arn"].endswith(":training-job/later")
    waited = hvdsm_command(emulated_sandbox, source, "jobs", "wait", "later")
    assert waited.code == 0 and "rank 0 of 1" in waited.text, waited.text


def test_from_python(emulated_sandbox: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in emulated_sandbox.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(source)
    stream = io.StringIO()
    job = hvdsm.launch(
        "train.py", source_dir="src", backend="sagemaker", image=IMAGE, role=ROLE, instance_type="ml.c5.xlarge", instance_count=2,
        stream=stream, interval=0.1,
    )  # fmt: skip
    assert job.arn in stream.getvalue()
    outcome = job.wait(stream)
    assert outcome.ok and outcome.ranks_per_host == {"algo-1": 1, "algo-2": 1}
    assert (job.status, job.outcome) == ("Completed", outcome)
    lines = list(job.logs())
    assert sum("rank 1 of 2" in line for line in lines) == 1
    job.stop()


def test_no_sdk_is_imported_and_no_boto3_for_help(tmp_path: Path) -> None:
    code = (
        "import sys, hvdsm.cli\n"
        "hvdsm.cli.main(['launch', '--help'])\n"
        "print([name for name in ('boto3', 'botocore', 'sagemaker', 'rich', 'yaml') if name in sys.modules])"
    )
    import subprocess

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--keep-alive", "999999"], r"KeepAlivePeriodInSeconds.*21,?600"),
        (["--tag", "aws:x=1"], "aws:"),
        (["--instance-type", "ml.none.xlarge"], "InstanceType"),
        (["--subnet", "subnet-1!", "--security-group", "sg-1"], "Subnets"),
        (["--job-name", "under_score"], "TrainingJobName"),
        (["--set", "RemoteDebugConfig.EnableRemoteDebgu=true"], "EnableRemoteDebug"),
        (["--max-wait", "60"], "--spot"),
        (["--spot", "--max-run", "600", "--max-wait", "60"], "MaxWaitTimeInSeconds"),
        (["--checkpoint", "here"], "--checkpoint s3://"),
        (["--channel", "train=nowhere"], "nowhere"),
        (["--env", "1X=1"], "Environment"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(sandbox: Any, source: Path, words: Any, said: str) -> None:
    done = launch(sandbox, source, "--source-dir", "src", *words, "train.py")
    assert done.code in (2, 78), done.text
    assert re.search(said, done.text), done.text
    assert [operation for operation, _ in sandbox.requests if operation not in ("GetCallerIdentity",)] == []
    assert not (source / "hvdsm-out").exists()


def test_uploads_and_what_is_there_already(sandbox: Any, source: Path) -> None:
    prefix = "s3://sagemaker-us-east-1-123456789012/mine"
    words = ["--source-dir", "src", "--no-wait", "train.py"]
    first = launch(sandbox, source, "--job-name", "a", *words)
    assert first.code == 0, first.text
    second = launch(sandbox, source, "--job-name", "b", "--s3-prefix", prefix, *words)
    third = launch(sandbox, source, "--job-name", "c", "--s3-prefix", prefix, *words)
    assert second.code == 0 and third.code == 0, third.text
    assert re.search(r"source: 3 files, [\d,]+ bytes, packed [\d,]+ bytes", second.text)
    assert "is there already" not in second.text and "is there already" in third.text
    keys = sorted(entry.key for entry in list_objects(connect(environ=variables(sandbox)), prefix))
    assert [key for key in keys if "sourcedir" in key] == ["mine/b/source/sourcedir.tar.gz", "mine/c/source/sourcedir.tar.gz"]
    assert BASE[0] == "--backend"
