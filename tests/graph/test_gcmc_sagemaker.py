"""The GC-MC example's run_sagemaker.py with the real SDK 2: a job of two hosts that download their data."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path
from typing import List

import pytest
from gcmc_support import EXAMPLE, SMALL, Ran, small_data
from sdk_support import client, run_script

from hvdsm.sandbox import Sandbox

pytest.importorskip("dgl", reason="DGL 1.1.3: `make test-graph` installs it")
pytestmark = [pytest.mark.cluster, pytest.mark.examples, pytest.mark.timeout(900)]

SCRIPT = EXAMPLE / "run_sagemaker.py"
ROLE = "arn:aws:iam::123456789012:role/service-role/training"


def archived(sandbox: Sandbox, uri: str) -> List[str]:
    """Names of files in a tar.gz on S3."""
    bucket, _, key = uri[len("s3://") :].partition("/")
    data = client(sandbox, "s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return sorted(member.name for member in tar if member.isfile())


def test_two_hosts_without_a_channel(sdk2: str, sandbox: Sandbox, tmp_path: Path) -> None:
    place = small_data(tmp_path / "data", size=(60, 60, 1000))
    client(sandbox, "s3").create_bucket(Bucket="my-bucket")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in place.iterdir():
            archive.write(file, f"ml-100k/{file.name}")
    client(sandbox, "s3").put_object(Bucket="my-bucket", Key="ml-100k.zip", Body=packed.getvalue(), ACL="public-read")
    words = ["--bucket=my-bucket", "--instance_type=ml.c5.xlarge", "--instance_count=2", "--job_name=one", "--hyperparams"]
    words += [f"{name}={value}" for name, value in {**SMALL, "train_max_iter": "3"}.items()]
    words += [f"data_url={sandbox.url}/my-bucket/ml-100k.zip", f"data_md5={hashlib.md5(packed.getvalue()).hexdigest()}"]
    ran = run_script(sdk2, SCRIPT, sandbox, tmp_path, *words, seconds=800, SAGEMAKER_ROLE=ROLE)
    assert ran.code == 0, ran.output
    log = plain(ran.output)
    assert "rank 1 of 2 on algo-2: cpu" in log and Ran(0, log).final[0] <= 3

    job = client(sandbox, "sagemaker").describe_training_job(TrainingJobName="one")
    assert job["TrainingJobStatus"] == "Completed" and job["RoleArn"] == ROLE and not job.get("InputDataConfig")
    image = job["AlgorithmSpecification"]["TrainingImage"]
    assert re.fullmatch(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/sagemaker-dgl-gcmc:latest", image)
    tags = client(sandbox, "sagemaker").list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert {"Key": "ML Task", "Value": "DGL"} in tags
    model = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert model.startswith("s3://my-bucket/artifacts/one/") and f"model: {model}" in ran.output
    assert archived(sandbox, model) == ["best_valid_net", "net.txt", "test_loss.csv", "train_loss.csv", "valid_loss.csv"]
    assert archived(sandbox, model.replace("model.tar.gz", "output.tar.gz")) == ["rmse.png"]
    code = job["HyperParameters"]["sagemaker_submit_directory"].strip('"')
    assert code.startswith("s3://my-bucket/customcode/") and {"train.py", "gcmc/model.py"} <= set(archived(sandbox, code))


def plain(output: str) -> str:
    """The output without the colours and host names that the SDK puts before lines."""
    lines = re.sub(r"\x1b\[\d+m", "", output).replace("\r", "").splitlines()
    return "\n".join(re.sub(r"^algo-\d+ +\| ", "", line) for line in lines)
