"""Training jobs of the sandbox over HTTP: their life, what is refused, and how they are listed."""

from __future__ import annotations

import json
import threading
import urllib.request
from typing import Any, List

import pytest
from botocore.exceptions import ClientError
from sandbox_support import client, job_request

from hvdsm.errors import UsageError
from hvdsm.sandbox import Pace, Sandbox, Script, Step, TrainingJob


def refused(call: Any, **arguments: Any) -> List[str]:
    """Code and message of the error that a call gets."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return [error["Code"], error["Message"]]


def test_a_job_goes_through_all_statuses_and_completes(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    arn = sagemaker.create_training_job(**job_request("first"))["TrainingJobArn"]
    sandbox.wait("first")
    told = sagemaker.describe_training_job(TrainingJobName="first")
    assert arn == told["TrainingJobArn"] == "arn:aws:sagemaker:us-east-1:123456789012:training-job/first"
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Completed", "Completed")
    changes = told["SecondaryStatusTransitions"]
    assert [change["Status"] for change in changes] == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(change["StatusMessage"] for change in changes)
    for change, following in zip(changes, changes[1:]):
        assert change["StartTime"] <= change["EndTime"] == following["StartTime"]
    assert told["CreationTime"] <= told["TrainingStartTime"] <= told["TrainingEndTime"] == told["LastModifiedTime"]
    assert told["TrainingTimeInSeconds"] >= 1
    assert told["BillableTimeInSeconds"] == told["TrainingTimeInSeconds"]
    assert told["ModelArtifacts"] == {"S3ModelArtifacts": "s3://bucket/output/first/output/model.tar.gz"}
    assert "FailureReason" not in told


def test_a_description_has_all_that_the_request_had_and_the_defaults(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in", "S3DataDistributionType": "FullyReplicated"}
    given = job_request(
        "full",
        HyperParameters={"epochs": "3"},
        Environment={"LEVEL": "high"},
        RetryStrategy={"MaximumRetryAttempts": 2},
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        Tags=[{"Key": "team", "Value": "vision"}],
    )
    del given["StoppingCondition"]
    sagemaker.create_training_job(**given)
    told = sagemaker.describe_training_job(TrainingJobName="full")
    for field in ("HyperParameters", "Environment", "RetryStrategy", "RoleArn", "ResourceConfig"):
        assert told[field] == given[field]
    assert told["InputDataConfig"][0] == {
        **given["InputDataConfig"][0],
        "CompressionType": "None",
        "RecordWrapperType": "None",
    }
    assert told["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert told["EnableManagedSpotTraining"] is False
    assert "Tags" not in told
    assert sagemaker.list_tags(ResourceArn=told["TrainingJobArn"])["Tags"] == given["Tags"]


def test_a_name_is_taken_once_it_was_used(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sagemaker.create_training_job(**job_request("twice"))
    code, message = refused(sagemaker.create_training_job, **job_request("twice"))
    assert code == "ResourceInUse"
    assert "must be unique" in message


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"TrainingJobName": "under_score"}, "under_score"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "MaxRuntimeInSeconds"),
        ({"ResourceConfig": {"InstanceType": "ml.none", "InstanceCount": 1, "VolumeSizeInGB": 1}}, "ml.none"),
        ({"HyperParameters": {"a": "x" * 3000}}, "HyperParameters"),
    ],
)
def test_what_the_service_refuses_is_refused(sandbox: Sandbox, fields: Any, named: str) -> None:
    body = json.dumps({**job_request("bad"), **fields}).encode()
    headers = {"X-Amz-Target": "SageMaker.CreateTrainingJob", "Content-Type": "application/x-amz-json-1.1"}
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(sandbox.url, body, headers))
    assert caught.value.code == 400
    assert caught.value.headers["x-amzn-RequestId"]
    told = json.load(caught.value)
    assert told["__type"] == "ValidationException"
    assert named in told["message"]
    assert not sandbox.jobs


def test_a_missing_field_is_refused_as_the_service_does(sandbox: Sandbox) -> None:
    headers = {"X-Amz-Target": "SageMaker.DescribeTrainingJob"}
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(sandbox.url, b"{}", headers))
    assert "TrainingJobName" in json.load(caught.value)["message"]


def test_a_job_that_does_not_exist(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    for call in (sagemaker.describe_training_job, sagemaker.stop_training_job, sagemaker.delete_training_job):
        assert refused(call, TrainingJobName="none") == ["ValidationException", "Requested resource not found."]


@pytest.mark.parametrize("status", ["Starting", "Downloading", "Training"])
def test_a_job_can_be_stopped_in_every_status(sandbox: Sandbox, status: str) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.script("long", Script.held(status))
    sagemaker.create_training_job(**job_request("long"))
    assert sandbox.jobs["long"].wait(lambda job: job.secondary == status)
    assert sagemaker.describe_training_job(TrainingJobName="long")["TrainingJobStatus"] == "InProgress"
    sagemaker.stop_training_job(TrainingJobName="long")
    sandbox.wait("long")
    told = sagemaker.describe_training_job(TrainingJobName="long")
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "Stopping" in [change["Status"] for change in told["SecondaryStatusTransitions"]]
    assert bool(told["ModelArtifacts"]["S3ModelArtifacts"]) == (status == "Training")
    assert ("TrainingTimeInSeconds" in told) == (status == "Training")


def test_stopping_takes_time_and_asking_again_changes_nothing() -> None:
    with Sandbox.start(pace=Pace(stopping=30.0)) as sandbox:
        sagemaker = client(sandbox, "sagemaker")
        sandbox.script("long", Script.held())
        sagemaker.create_training_job(**job_request("long"))
        for _ in range(2):
            sagemaker.stop_training_job(TrainingJobName="long")
            told = sagemaker.describe_training_job(TrainingJobName="long")
            assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopping", "Stopping")


def test_an_ended_job_cannot_be_stopped(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sagemaker.create_training_job(**job_request("short"))
    sandbox.wait("short")
    code, message = refused(sagemaker.stop_training_job, TrainingJobName="short")
    assert code == "ValidationException"
    assert "in status Completed" in message


def test_a_held_job_goes_on_when_it_is_released(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.script("held", Script.held("Downloading"))
    sagemaker.create_training_job(**job_request("held"))
    assert sandbox.jobs["held"].wait(lambda job: job.secondary == "Downloading")
    sandbox.release("held")
    assert sandbox.wait("held").status == "Completed"


def test_a_capacity_error_says_so_and_has_no_logs(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.script("big", Script.capacity())
    sagemaker.create_training_job(**job_request("big"))
    sandbox.wait("big")
    told = sagemaker.describe_training_job(TrainingJobName="big")
    assert told["TrainingJobStatus"] == "Failed"
    assert told["FailureReason"].startswith("CapacityError: ")
    assert [change["Status"] for change in told["SecondaryStatusTransitions"]] == ["Starting", "Failed"]
    assert "Insufficient capacity" in told["SecondaryStatusTransitions"][0]["StatusMessage"]
    with pytest.raises(ClientError, match="log group does not exist"):
        client(sandbox, "logs").describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")


def test_a_time_limit_ends_a_job_as_the_service_does(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.script("late", Script.overtime())
    sagemaker.create_training_job(**job_request("late"))
    sandbox.wait("late")
    told = sagemaker.describe_training_job(TrainingJobName="late")
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_interruptions_and_retries_begin_anew(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.script("spot", Script(interruptions=1, retries=1, lines={"algo-1": ["begin"]}, billable=7))
    sagemaker.create_training_job(**job_request("spot"))
    sandbox.wait("spot")
    told = sagemaker.describe_training_job(TrainingJobName="spot")
    statuses = [change["Status"] for change in told["SecondaryStatusTransitions"]]
    once = ["Starting", "Downloading", "Training", "Uploading"]
    assert statuses == [*once, "Interrupted", *once, "Restarting", *once, "Completed"]
    assert told["BillableTimeInSeconds"] == 7
    streams = client(sandbox, "logs").describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
    assert len(streams) == 3


def test_the_quota_is_said_when_the_job_is_created(sandbox: Sandbox) -> None:
    sandbox.script("*", Script(refuse=("ResourceLimitExceeded", "The account-level service limit is 0")))
    code, message = refused(client(sandbox, "sagemaker").create_training_job, **job_request("much"))
    assert (code, message) == ("ResourceLimitExceeded", "The account-level service limit is 0")
    assert not sandbox.jobs


def test_metrics_are_found_in_the_lines(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.script("measured", Script(lines={"algo-1": ["loss=2.5", "loss=0.5;"]}))
    request = job_request("measured")
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "loss", "Regex": "loss=([0-9.]+)"},
        {"Name": "never", "Regex": "nothing=(.*)"},
    ]
    sagemaker.create_training_job(**request)
    sandbox.wait("measured")
    found = sagemaker.describe_training_job(TrainingJobName="measured")["FinalMetricDataList"]
    assert [(metric["MetricName"], metric["Value"]) for metric in found] == [("loss", 0.5)]


def test_pages_of_jobs_have_every_job_once(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    names = [f"job-{number:02d}" for number in range(23)]
    for name in names:
        sagemaker.create_training_job(**job_request(name))
    for order, wanted in (("Ascending", names), ("Descending", names[::-1])):
        found, asked = [], {"SortBy": "CreationTime", "SortOrder": order, "MaxResults": 5}
        while True:
            page = sagemaker.list_training_jobs(**asked)
            found += [summary["TrainingJobName"] for summary in page["TrainingJobSummaries"]]
            if not page.get("NextToken"):
                break
            # A job that comes meanwhile moves nothing.
            if len(found) == 5 and order == "Ascending":
                sagemaker.create_training_job(**job_request("another"))
            asked["NextToken"] = page["NextToken"]
        assert [name for name in found if name != "another"] == wanted
    assert len(sagemaker.list_training_jobs()["TrainingJobSummaries"]) == 10


def test_jobs_are_selected_by_name_status_and_time(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.script("bad-*", Script.failing("AlgorithmError: , exit code: 1"))
    for name in ("good-1", "bad-1", "good-2"):
        sagemaker.create_training_job(**job_request(name))
        sandbox.wait(name)

    def listed(**selection: Any) -> List[str]:
        pages = sagemaker.get_paginator("list_training_jobs").paginate(**selection)
        return [summary["TrainingJobName"] for page in pages for summary in page["TrainingJobSummaries"]]

    assert listed() == ["good-1", "bad-1", "good-2"]
    assert listed(NameContains="good", SortBy="Name", SortOrder="Descending") == ["good-2", "good-1"]
    assert listed(StatusEquals="Failed") == ["bad-1"]
    made = sagemaker.describe_training_job(TrainingJobName="bad-1")["CreationTime"]
    assert listed(CreationTimeAfter=made) == ["good-2"]
    assert listed(CreationTimeBefore=made) == ["good-1"]
    # As documented, a page is filtered by status after it was made.
    assert sagemaker.list_training_jobs(StatusEquals="Failed", MaxResults=1)["TrainingJobSummaries"] == []


def test_tags_can_be_changed(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    arn = sagemaker.create_training_job(**job_request("tagged"))["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "3"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]


def test_deleting_frees_the_name_of_an_ended_job_only(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    sandbox.script("job", Script.held())
    sagemaker.create_training_job(**job_request("job"))
    assert refused(sagemaker.delete_training_job, TrainingJobName="job")[0] == "ResourceInUse"
    sandbox.jobs["job"].wait(lambda job: job.secondary == "Training")
    sandbox.release("job")
    sandbox.wait("job")
    sagemaker.delete_training_job(TrainingJobName="job")
    sagemaker.create_training_job(**job_request("job"))


def test_a_warm_pool_is_kept_and_can_be_given_up(sandbox: Sandbox) -> None:
    sagemaker = client(sandbox, "sagemaker")
    request = job_request("warm")
    request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 600
    sagemaker.create_training_job(**request)
    sandbox.wait("warm")
    assert sagemaker.describe_training_job(TrainingJobName="warm")["WarmPoolStatus"]["Status"] == "Available"
    assert refused(sagemaker.delete_training_job, TrainingJobName="warm")[0] == "ResourceInUse"
    sagemaker.update_training_job(TrainingJobName="warm", ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    assert "WarmPoolStatus" not in sagemaker.describe_training_job(TrainingJobName="warm")


def test_another_region_has_its_own_jobs(sandbox: Sandbox) -> None:
    client(sandbox, "sagemaker").create_training_job(**job_request("here"))
    there = client(sandbox, "sagemaker", region="eu-central-1")
    assert refused(there.describe_training_job, TrainingJobName="here")[0] == "ValidationException"
    arn = there.create_training_job(**job_request("here"))["TrainingJobArn"]
    assert arn.startswith("arn:aws:sagemaker:eu-central-1:")
    assert list(sandbox.jobs) == ["here"]


def test_a_runner_of_ones_own_leads_the_job() -> None:
    def lead(job: TrainingJob) -> None:
        job.enter("Training", "by hand")
        job.log("algo-1", ["hello"])
        job.end("Failed", reason="because " + "x" * 2000)

    with Sandbox.start(runner=lead) as sandbox:
        client(sandbox, "sagemaker").create_training_job(**job_request("own"))
        job = sandbox.wait("own")
        assert job.failure_reason is not None
        assert len(job.failure_reason) == 1024


def test_steps_are_as_long_as_the_script_says() -> None:
    steps = (Step("Starting", 0.0), Step("Pending", 0.2, "Waiting"), Step("Training", 0.0))
    with Sandbox.start() as sandbox:
        sandbox.script("slow", Script(steps=steps))
        client(sandbox, "sagemaker").create_training_job(**job_request("slow"))
        job = sandbox.wait("slow")
        pending = next(change for change in job.transitions if change.status == "Pending")
        assert pending.end is not None
        # One of them is in whole milliseconds.
        assert pending.end - pending.start >= 0.199


def test_a_stopped_sandbox_leaves_no_thread_and_no_port() -> None:
    before = set(threading.enumerate())
    with Sandbox.start() as sandbox:
        sandbox.script("*", Script.held())
        for number in range(3):
            client(sandbox, "sagemaker").create_training_job(**job_request(f"job-{number}"))
        url = sandbox.url
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)
    left = [thread for thread in set(threading.enumerate()) - before if "hvdsm-sandbox" in thread.name]
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]


def test_an_unknown_runner_is_refused_and_nothing_is_left_open() -> None:
    with pytest.raises(UsageError, match="emulated"):
        Sandbox.start(runner="imagined")


def test_what_a_runner_raises_fails_its_job() -> None:
    seen = []

    def breaks(_job: TrainingJob) -> None:
        raise ValueError("broken")

    hook, threading.excepthook = threading.excepthook, lambda failed: seen.append(failed.exc_value)
    try:
        with Sandbox.start(runner=breaks) as sandbox:
            client(sandbox, "sagemaker").create_training_job(**job_request("broken"))
            job = sandbox.wait("broken")
    finally:
        threading.excepthook = hook
    assert (job.status, job.failure_reason) == ("Failed", "InternalServerError: ValueError: broken")
    assert [str(error) for error in seen] == ["broken"]
