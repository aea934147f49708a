"""Requests and clients for tests against the sandbox."""

from __future__ import annotations

import io
import tarfile
from typing import Any, Dict, Iterator, List, Mapping

import boto3
from botocore.config import Config

from hvdsm.sandbox import GROUP, Sandbox

ROLE = "arn:aws:iam::123456789012:role/service-role/sagemaker-role"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"


def client(sandbox: Sandbox, service: str, *, attempts: int = 1, region: str = "") -> Any:
    """A client of boto3 that knows nothing of this process's environment; it tries once."""
    environ = sandbox.environ()
    return boto3.session.Session().client(
        service,
        region_name=region or sandbox.region,
        endpoint_url=sandbox.url,
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=environ["AWS_SESSION_TOKEN"],
        config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}, connect_timeout=5, read_timeout=30),
    )


def job_request(name: str = "job", **fields: Any) -> Dict[str, Any]:
    """A CreateTrainingJob request that the service accepts, with some fields changed."""
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/output"},
        "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **fields,
    }


def script_request(
    sandbox: Sandbox, name: str, source: Mapping[str, str], entry: str = "train.py", **fields: Any
) -> Dict[str, Any]:
    """A request in script mode, its source uploaded to ``s3://bucket/NAME/source.tar.gz``.

    Args:
        sandbox: whose S3 gets the source.
        name: of the job.
        source: files of the source and their texts.
        entry: the entry point.
        fields: fields of the request; ``HyperParameters`` are added to those of script mode.
    """
    put(sandbox, f"{name}/source.tar.gz", archive(source))
    values = {"sagemaker_program": entry, "sagemaker_submit_directory": f"s3://bucket/{name}/source.tar.gz"}
    return job_request(name, **{**fields, "HyperParameters": {**values, **fields.get("HyperParameters", {})}})


def archive(files: Mapping[str, str]) -> bytes:
    """A tar.gz of texts."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def put(sandbox: Sandbox, key: str, data: bytes, bucket: str = "bucket") -> None:
    """Put an object into a bucket, which is made if it is missing."""
    s3 = client(sandbox, "s3")
    if bucket not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=data)


def get(sandbox: Sandbox, uri: str) -> bytes:
    """The bytes of an object."""
    bucket, _, key = uri[len("s3://") :].partition("/")
    data: bytes = client(sandbox, "s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


def keys(sandbox: Sandbox, prefix: str, bucket: str = "bucket") -> List[str]:
    """Keys below a prefix."""
    found = client(sandbox, "s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for entry in found.get("Contents", ())]


def members(data: bytes) -> Dict[str, bytes]:
    """Files of a tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def log_lines(sandbox: Sandbox, job_name: str) -> Dict[str, List[str]]:
    """All lines of a job, by host; of several streams of a host one after the other."""
    found: Dict[str, List[str]] = {}
    logs = client(sandbox, "logs")
    for name in stream_names(logs, job_name):
        host = name.partition("/")[2].rpartition("-")[0]
        found.setdefault(host, []).extend(events_of(logs, name))
    return found


def stream_names(logs: Any, job_name: str) -> List[str]:
    """All streams of a job."""
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=GROUP, logStreamNamePrefix=f"{job_name}/")
    return [entry["logStreamName"] for page in pages for entry in page["logStreams"]]


def events_of(logs: Any, stream: str) -> Iterator[str]:
    """Messages of a stream from its head, page after page until the token repeats."""
    asked: Dict[str, Any] = {"logGroupName": GROUP, "logStreamName": stream, "startFromHead": True}
    while True:
        page = logs.get_log_events(**asked)
        for event in page["events"]:
            yield event["message"]
        if page["nextForwardToken"] == asked.get("nextToken"):
            return
        asked["nextToken"] = page["nextForwardToken"]
