"""The Lightning example's run_sagemaker.py with the real SDK 2: in the local service, and in the SDK's local mode."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Dict, List

import pytest
from lightning_support import EXAMPLE, SMALL, Ran, environment
from sdk_support import client, client_environment, run_command, run_script

from hvdsm.sandbox import Sandbox

pytest.importorskip("lightning")
pytest.importorskip("sklearn")
pytestmark = [pytest.mark.cluster, pytest.mark.examples, pytest.mark.timeout(600)]

SCRIPT = EXAMPLE / "run_sagemaker.py"
ROLE = "arn:aws:iam::123456789012:role/service-role/training"
TINY = [f"{name}={value}" for name, value in {**SMALL, "model.width": "4"}.items()]


def make_digits(place: Path) -> None:
    """The digits in ``place/.cache``."""
    subprocess.run([sys.executable, str(EXAMPLE / "make_digits.py"), str(place / ".cache")], env=environment(), check=True)


def plain(output: str) -> Ran:
    """The output without the colours and host names that the SDK puts before lines."""
    lines = re.sub(r"\x1b\[\d+m", "", output).replace("\r", "").splitlines()
    return Ran(0, "\n".join(re.sub(r"^algo-\d+ +\| ", "", line) for line in lines))


def test_in_the_service(sdk2: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Upload, train on two hosts by mpirun, then go on from the checkpoints by torchrun."""
    make_digits(tmp_path)
    client(sandbox, "s3").create_bucket(Bucket="my-bucket")
    upload = ["sh", str(EXAMPLE / "upload-cifar-10.sh"), "s3://my-bucket/datasets/cifar-10"]
    done = run_command(upload, client_environment(sandbox, tmp_path, CIFAR10_MD5="", PYTHON=sys.executable), tmp_path)
    assert done.code == 0, done.output
    words = ["--instance_type=ml.c5.xlarge", "--instance_count=2", "--volume_size=77"]
    words += ["--checkpoint_path=s3://my-bucket/checkpoints"]
    chosen = ["--hyperparams", *TINY, "trainer.devices=2"]
    variables = {"S3_PATH": "s3://my-bucket", "SAGEMAKER_ROLE": ROLE}
    more = ["trainer.max_epochs=1", "logger.name=a=b"]
    first = run_script(sdk2, SCRIPT, sandbox, tmp_path, *words, "--job_name=first", *chosen, *more, **variables)
    assert first.code == 0, first.output
    log = plain(first.output)
    assert [place[:2] + place[3:] for place in log.places] == [
        (str(rank), "4", str(rank % 2), str(rank // 2), "2") for rank in range(4)
    ]
    assert [place[2] for place in log.places] == ["algo-1", "algo-1", "algo-2", "algo-2"]
    assert log.epochs == [1] and len(set(log.digests.values())) == 1 and len(log.digests) == 4

    job = client(sandbox, "sagemaker").describe_training_job(TrainingJobName="first")
    assert job["TrainingJobStatus"] == "Completed"
    assert job["RoleArn"] == ROLE and job["ResourceConfig"]["VolumeSizeInGB"] == 77
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert job["RetryStrategy"] == {"MaximumRetryAttempts": 5}
    assert job["CheckpointConfig"] == {"S3Uri": "s3://my-bucket/checkpoints", "LocalPath": "/opt/ml/checkpoints"}
    assert job["Environment"] == {"SM_CHECKPOINT_DIR": "/opt/ml/checkpoints"}
    assert job["HyperParameters"]["logger.name"] == '"a=b"'
    ((channel,),) = ([source["DataSource"]["S3DataSource"]["S3Uri"] for source in job["InputDataConfig"]],)
    assert channel == "s3://my-bucket/datasets/cifar-10"
    assert f"model: {job['ModelArtifacts']['S3ModelArtifacts']}" in first.output
    assert archived(sandbox, job["ModelArtifacts"]["S3ModelArtifacts"]) == ["model.pt"]

    words += ["--job_name=second", "--distribution=torch_distributed"]
    second = run_script(sdk2, SCRIPT, sandbox, tmp_path, *words, *chosen, "trainer.max_epochs=2", **variables)
    assert second.code == 0, second.output
    log = plain(second.output)
    assert log.found(r"(resumed from /opt/ml/checkpoints/last.ckpt: epoch 1 is done, step 9)$")
    assert log.epochs == [2] and len(log.places) == 4


def archived(sandbox: Sandbox, uri: str) -> List[str]:
    """Names of files in a tar.gz on S3."""
    bucket, _, key = uri[len("s3://") :].partition("/")
    data = client(sandbox, "s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [member.name for member in tar if member.isfile()]


def test_spot(sdk2: str, tmp_path: Path) -> None:
    with Sandbox.start() as sandbox:  # plays the job
        client(sandbox, "s3").create_bucket(Bucket="my-bucket")
        client(sandbox, "s3").put_object(Bucket="my-bucket", Key="data/x", Body=b"x")
        words = ["--instance_type=ml.c5.xlarge", f"--role={ROLE}", "--input_path=s3://my-bucket/data", "--job_name=spot"]
        words += ["--output_path=s3://my-bucket/output", "--spot_instances", "True", "--max_run=100", "--max_wait=200"]
        ran = run_script(sdk2, SCRIPT, sandbox, tmp_path, *words)
        assert ran.code == 0, ran.output
        job = client(sandbox, "sagemaker").describe_training_job(TrainingJobName="spot")
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 200}


def test_local_mode_with_four_hosts(sdk2: str, emulated_hosts: None, tmp_path: Path) -> None:
    make_digits(tmp_path)
    command = [sys.executable, "-m", "hvdsm", "sandbox", "--", sdk2, str(SCRIPT), "--instance_type=local", "--instance_count=4"]
    command += ["--hyperparams", *TINY, "trainer.accelerator=cpu", "trainer.devices=1", "trainer.max_epochs=1"]
    ran = run_command(command, environment({"HOME": str(tmp_path)}), tmp_path)
    assert ran.code == 0, ran.output
    log = plain(ran.output)
    assert [(place[0], place[1], place[2], place[5]) for place in log.places] == [
        (str(rank), "4", f"algo-{rank + 1}", "4") for rank in range(4)
    ]
    assert len(log.digests) == 4 and len(set(log.digests.values())) == 1
    assert "model: file://output/model.tar.gz" in ran.output
    with tarfile.open(tmp_path / "output" / "model.tar.gz") as tar:
        assert [os.path.basename(member.name) for member in tar if member.isfile()] == ["model.pt"]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "run_sagemaker.py: no AWS region: export AWS_DEFAULT_REGION=us-east-1, or run `aws configure`"),
        ({"AWS_DEFAULT_REGION": "eu-west-1", "SAGEMAKER_ROLE": ""}, "--role: a job in the cloud needs an execution role"),
    ],
)
def test_what_is_missing_is_told(sdk2: str, tmp_path: Path, variables: Dict[str, str], told: str) -> None:
    words = ["--instance_type=ml.c5.xlarge", "--input_path=s3://b/d", "--output_path=s3://b/o"]
    words += ["--role=arn"] if not variables else []
    env = {**environment({"HOME": str(tmp_path), "AWS_CONFIG_FILE": os.devnull}), **variables}
    ran = run_command([sdk2, str(SCRIPT), *words], env, tmp_path)
    assert ran.code == 1 and told in ran.output, ran.output
