"""Buckets that are made when something is written to them, where the sandbox is told so; and metrics in CloudWatch."""

from __future__ import annotations

import io
import time
from typing import List

import pytest
from botocore.exceptions import ClientError
from sandbox_support import client, job_request

from hvdsm.sandbox import Sandbox, Script


def test_a_missing_bucket_is_an_error_unless_told_otherwise(sandbox: Sandbox) -> None:
    s3 = client(sandbox, "s3")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket="missing", Key="a", Body=b"1")
    told: List[str] = []
    sandbox.buckets.say = told.append
    s3.put_object(Bucket="missing", Key="a", Body=b"1")
    s3.put_object(Bucket="missing", Key="b", Body=b"2")
    assert s3.get_object(Bucket="missing", Key="a")["Body"].read() == b"1"
    assert len(told) == 1 and "bucket missing was not there" in told[0]


def test_large_objects_and_other_regions(sandbox: Sandbox) -> None:
    told: List[str] = []
    sandbox.buckets.say = told.append
    s3 = client(sandbox, "s3", region="eu-west-1")
    s3.upload_fileobj(io.BytesIO(b"x" * (9 << 20)), "elsewhere", "large")
    assert s3.head_object(Bucket="elsewhere", Key="large")["ContentLength"] == 9 << 20
    assert s3.get_bucket_location(Bucket="elsewhere")["LocationConstraint"] == "eu-west-1"
    assert s3.list_objects_v2(Bucket="looked-at").get("Contents") is None
    assert len(told) == 2


def test_what_is_read_must_be_there(sandbox: Sandbox) -> None:
    sandbox.buckets.say = lambda _text: None
    s3 = client(sandbox, "s3")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.get_object(Bucket="missing", Key="a")
    assert not sandbox.objects().exists("s3://missing/a")
    assert s3.list_buckets()["Buckets"] == []


def test_metrics_of_a_job_are_in_cloudwatch(sandbox: Sandbox) -> None:
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}, {"Name": "endless", "Regex": "(a+)+$"}]
    request = job_request("measured")
    request["AlgorithmSpecification"]["MetricDefinitions"] = definitions
    sandbox.script("measured", Script(steps=()))
    client(sandbox, "sagemaker").create_training_job(**request)
    job = sandbox.wait("measured")
    begin = int(time.time())
    # The second line takes the second expression for ever: it is given up, and the rest goes on.
    job.log("algo-1", ["loss=1.0", "a" * 64 + "b", "loss=3.0", "nothing"])
    cloudwatch = client(sandbox, "cloudwatch")
    asked = {
        "Namespace": "/aws/sagemaker/TrainingJobs",
        "MetricName": "loss",
        "Dimensions": [{"Name": "TrainingJobName", "Value": "measured"}],
        "StartTime": begin - 60,
        "EndTime": begin + 300,
        "Period": 360,
        "Statistics": ["Average", "Minimum", "Maximum", "SampleCount"],
    }
    for _ in range(2):
        (point,) = cloudwatch.get_metric_statistics(**asked)["Datapoints"]
        assert {name: point[name] for name in asked["Statistics"]} == {
            "Average": 2.0, "Minimum": 1.0, "Maximum": 3.0, "SampleCount": 2.0,
        }  # fmt: skip
    told = client(sandbox, "sagemaker").describe_training_job(TrainingJobName="measured")
    assert [(metric["MetricName"], metric["Value"]) for metric in told["FinalMetricDataList"]] == [("loss", 3.0)]
