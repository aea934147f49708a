"""The other services of the sandbox, which moto plays, and the command that serves all of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from sandbox_support import client, job_request, put

from hvdsm.sandbox import Sandbox


def test_objects_large_and_small_with_metadata(sandbox: Sandbox, tmp_path: Path) -> None:
    s3 = client(sandbox, "s3")
    s3.create_bucket(Bucket="bucket")
    big = tmp_path / "big"
    big.write_bytes(os.urandom(9 << 20))
    s3.upload_file(str(big), "bucket", "folder/with blank/ü+%.bin")
    s3.download_file("bucket", "folder/with blank/ü+%.bin", str(tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == big.read_bytes()
    s3.put_object(Bucket="bucket", Key="small", Body=b"abc", Metadata={"with_underscore": "1", "with-dash": "2"})
    told = s3.head_object(Bucket="bucket", Key="small")
    assert (told["ContentLength"], told["Metadata"]) == (3, {"with_underscore": "1", "with-dash": "2"})
    assert {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"} <= {name for name, _ in sandbox.requests}


def test_services_around_training(sandbox: Sandbox) -> None:
    assert client(sandbox, "sts").get_caller_identity()["Account"] == "123456789012"
    secret = client(sandbox, "secretsmanager").create_secret(Name="token", SecretString="t0p")
    assert client(sandbox, "secretsmanager").get_secret_value(SecretId=secret["ARN"])["SecretString"] == "t0p"
    client(sandbox, "ssm").put_parameter(Name="/p", Value="v", Type="SecureString")
    assert client(sandbox, "ssm").get_parameter(Name="/p", WithDecryption=True)["Parameter"]["Value"] == "v"
    client(sandbox, "ecr").create_repository(repositoryName="training")
    role = client(sandbox, "iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]
    assert client(sandbox, "iam").get_role(RoleName="r")["Role"]["Arn"] == role["Arn"]
    model = {"ModelName": "m", "ExecutionRoleArn": role["Arn"], "PrimaryContainer": {"Image": "image"}}
    assert client(sandbox, "sagemaker").create_model(**model)["ModelArn"].endswith("model/m")


def test_a_sandbox_begins_with_nothing() -> None:
    for _ in range(2):
        with Sandbox.start() as sandbox:
            assert client(sandbox, "s3").list_buckets()["Buckets"] == []
            put(sandbox, "key", b"data")


def test_an_environment_leads_to_the_sandbox_and_nowhere_else(sandbox: Sandbox) -> None:
    theirs = {
        "AWS_PROFILE": "mine",
        "AWS_ENDPOINT_URL_S3": "http://elsewhere",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://elsewhere",
        "PATH": os.environ["PATH"],
    }
    program = "import boto3; boto3.client('sagemaker').list_training_jobs(); print(boto3.client('s3').meta.endpoint_url)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=sandbox.client_environment(theirs), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == sandbox.url
    assert [name for name, _ in sandbox.requests] == ["ListTrainingJobs"]


def test_the_sdk_is_told_its_bucket_unless_it_has_settings(sandbox: Sandbox) -> None:
    variables = sandbox.client_environment({})
    told = json.loads(Path(variables["SAGEMAKER_ADMIN_CONFIG_OVERRIDE"]).read_text())["SageMaker"]["PythonSDK"]["Modules"]
    assert told == {"Session": {"DefaultS3Bucket": "sagemaker-us-east-1-123456789012"}, "TelemetryOptOut": True}
    theirs = {"SAGEMAKER_ADMIN_CONFIG_OVERRIDE": "/etc/a", "SAGEMAKER_USER_CONFIG_OVERRIDE": "/etc/b"}
    assert theirs.items() <= sandbox.client_environment(theirs).items()


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hvdsm.sandbox", "--runner", "instant", "--directory", str(tmp_path / "out")]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    variables = {}
    with subprocess.Popen(command, env={**environ, "AWS_PROFILE": "mine"}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "unset AWS_PROFILE\n"
        while "AWS_ENDPOINT_URL" not in variables:
            found = re.fullmatch(r"export (\w+)=(\S+)\n", process.stdout.readline())
            assert found is not None
            variables[found[1]] = found[2]
        create = f"boto3.client('sagemaker').create_training_job(**{job_request('one')!r})"
        program = f"import boto3; boto3.client('s3').list_buckets(); print({create}['TrainingJobArn'])"
        done = subprocess.run([sys.executable, "-c", program], env={**environ, **variables}, capture_output=True, text=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert (done.returncode, done.stdout.strip().rpartition("/")[2]) == (0, "one"), done.stderr


def test_without_moto_jobs_work_and_the_rest_says_what_to_install() -> None:
    program = """
import sys
sys.modules["moto"] = None
from botocore.exceptions import ClientError
from hvdsm.sandbox import Sandbox
from sandbox_support import client, job_request
with Sandbox.start() as sandbox:
    client(sandbox, "sagemaker").create_training_job(**job_request("job"))
    print(sandbox.wait("job").status)
    try:
        client(sandbox, "s3").list_buckets()
    except ClientError as error:
        print(error)
"""
    environ = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Completed\n")
    assert "pip install 'moto[s3,server]'" in done.stdout
