"""Training jobs: created once, described, stopped, listed; over real HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from aws_support import DROP, Clock, FakeAws, Reply, failure, fake_aws

from hvdsm.aws.training import create_job, describe_job, differences, list_jobs, stop_job
from hvdsm.errors import CloudRefused, CloudUnavailable, ConfigError

ARN = "arn:aws:sagemaker:eu-central-1:111122223333:training-job/mnist-1"
REQUEST: dict[str, Any] = {
    "TrainingJobName": "mnist-1",
    "RoleArn": "arn:aws:iam::111122223333:role/train",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "HyperParameters": {"epochs": "3"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "Tags": [{"Key": "team", "Value": "a"}],
}
TAKEN = failure("ResourceInUse", f"Training job names must be unique within an AWS account and region, ... ({ARN})")


@pytest.fixture
def fake() -> Iterator[FakeAws]:
    with fake_aws() as made:
        yield made


def described(**changes: Any) -> dict[str, Any]:
    """The answer for REQUEST, with the defaults that the service adds."""
    made: dict[str, Any] = {name: value for name, value in REQUEST.items() if name != "Tags"}
    made["OutputDataConfig"] = {"KmsKeyId": "", "S3OutputPath": "s3://bucket/out", "CompressionType": "GZIP"}
    return {**made, "TrainingJobArn": ARN, "CreationTime": time.time(), "TrainingJobStatus": "InProgress", **changes}


def create(fake: FakeAws, clock: Clock | None = None, **options: Any) -> str:
    clock = clock or Clock()
    return create_job(fake.aws(), REQUEST, clock=clock, wait=clock.wait, jitter=lambda: 1.0, **options)


def test_created_at_once(fake: FakeAws) -> None:
    fake.on("CreateTrainingJob", {"TrainingJobArn": ARN})
    assert create(fake) == ARN
    assert fake.requests == [("CreateTrainingJob", REQUEST)]
    assert "hvdsm/" in fake.headers[0]["User-Agent"]


def test_throttling_is_waited_out(fake: FakeAws) -> None:
    said: list[str] = []
    fake.on("CreateTrainingJob", [failure("ThrottlingException", "Rate exceeded")] * 3 + [{"TrainingJobArn": ARN}])
    clock = Clock()
    assert create(fake, clock, say=said.append) == ARN
    assert clock.waits == [0.5, 1.0, 2.0]
    assert "Rate exceeded" in said[0]
    assert len(said) == 2


def test_a_lost_answer_is_found_again(fake: FakeAws) -> None:
    fake.on("CreateTrainingJob", [DROP, TAKEN])
    fake.on("DescribeTrainingJob", described())
    assert create(fake) == ARN


def test_a_lost_answer_that_botocore_itself_tries_again(fake: FakeAws) -> None:
    fake.on("CreateTrainingJob", [Reply(503, {}), TAKEN])
    fake.on("DescribeTrainingJob", described())
    assert create_job(fake.aws(AWS_MAX_ATTEMPTS="2"), REQUEST) == ARN


@pytest.mark.parametrize(
    "other",
    [
        described(HyperParameters={"epochs": "4"}),
        described(CreationTime=time.time() - 3600),
        described(ResourceConfig={"InstanceType": "ml.c5.xlarge", "InstanceCount": 3, "VolumeSizeInGB": 30}),
    ],
)
def test_another_job_of_the_name_is_not_ours(fake: FakeAws, other: dict[str, Any]) -> None:
    fake.on("CreateTrainingJob", [DROP, TAKEN])
    fake.on("DescribeTrainingJob", other)
    with pytest.raises(CloudRefused, match="there is a training job of this name already") as caught:
        create(fake)
    assert "--job-name" in str(caught.value)


def test_a_name_that_was_taken_before_is_not_even_looked_at(fake: FakeAws) -> None:
    fake.on("CreateTrainingJob", TAKEN)
    with pytest.raises(CloudRefused, match="already"):
        create(fake)
    assert fake.count("DescribeTrainingJob") == 0


def test_no_answer_to_the_last_try_but_the_job_is_there(fake: FakeAws) -> None:
    fake.on("CreateTrainingJob", DROP)
    fake.on("DescribeTrainingJob", described())
    assert create(fake, limit=5) == ARN


def test_no_answer_and_no_job(fake: FakeAws) -> None:
    fake.on("CreateTrainingJob", DROP)
    fake.on("DescribeTrainingJob", failure("ValidationException", "Requested resource not found."))
    with pytest.raises(CloudUnavailable, match="cannot create the training job: AWS cannot be reached"):
        create(fake, limit=5)


def test_no_answer_at_all_says_that_there_may_be_a_job(fake: FakeAws) -> None:
    fake.on("CreateTrainingJob", DROP)
    fake.on("DescribeTrainingJob", DROP)
    with pytest.raises(CloudUnavailable, match="or learn whether it was created") as caught:
        create(fake, limit=5)
    assert "hvdsm jobs status mnist-1" in str(caught.value)


def test_what_is_refused_is_not_tried_again(fake: FakeAws) -> None:
    fake.on("CreateTrainingJob", failure("ValidationException", "no such role"))
    with pytest.raises(CloudRefused, match="no such role"):
        create(fake)
    assert len(fake.requests) == 1


def test_a_request_that_botocore_refuses(fake: FakeAws) -> None:
    with pytest.raises(CloudRefused, match="the request is wrong: Missing required parameter"):
        create_job(fake.aws(), {"TrainingJobName": "x"})
    assert fake.requests == []


def test_describe_has_no_metadata_of_the_answer(fake: FakeAws) -> None:
    fake.on("DescribeTrainingJob", {"TrainingJobName": "x", "TrainingJobStatus": "Failed"})
    assert describe_job(fake.aws(), "x") == {"TrainingJobName": "x", "TrainingJobStatus": "Failed"}


def test_stopping_what_has_ended_is_no_error(fake: FakeAws) -> None:
    fake.on("StopTrainingJob", [Reply(), failure("ValidationException", "The request was rejected because the training job is in "
                                                 "status Completed.")])  # fmt: skip
    stop_job(fake.aws(), "x")
    stop_job(fake.aws(), "x")
    fake.on("StopTrainingJob", failure("ValidationException", "the name is too long"))
    with pytest.raises(CloudRefused, match="too long"):
        stop_job(fake.aws(), "x")


def jobs(fake: FakeAws, count: int) -> None:
    """A service with jobs, the newest first, on pages that may be empty."""

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        begin = int(body.get("NextToken", "0"))
        if begin == 100 and not body.get("NextToken", "").endswith(" "):
            return {"TrainingJobSummaries": [], "NextToken": "100 "}
        end = min(count, begin + body["MaxResults"])
        rows = [
            {"TrainingJobName": f"job-{n}", "TrainingJobArn": ARN, "CreationTime": 1, "TrainingJobStatus": "Completed"}
            for n in range(begin, end)
        ]
        return {"TrainingJobSummaries": rows, **({"NextToken": str(end)} if end < count else {})}

    fake.on("ListTrainingJobs", answer)


def test_all_pages_are_listed_the_empty_one_too(fake: FakeAws) -> None:
    jobs(fake, 250)
    found = [entry["TrainingJobName"] for entry in list_jobs(fake.aws(), name_contains="job", status="Completed")]
    assert found == [f"job-{n}" for n in range(250)]
    first = fake.requests[0][1]
    assert first == {
        "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100, "NameContains": "job",
        "StatusEquals": "Completed",
    }  # fmt: skip


def test_no_more_than_the_limit_is_asked_for(fake: FakeAws) -> None:
    jobs(fake, 250)
    assert len(list(list_jobs(fake.aws(), limit=7))) == 7
    assert [body["MaxResults"] for _, body in fake.requests] == [7]
    assert len(list(list_jobs(fake.aws(), limit=0))) == 0


def test_a_status_that_does_not_exist(fake: FakeAws) -> None:
    with pytest.raises(ConfigError, match="'Done' is no status"):
        list(list_jobs(fake.aws(), status="Done"))


@pytest.mark.parametrize(
    ("wanted", "found", "paths"),
    [
        ({"A": 1}, {"A": 1, "B": 2}, []),
        ({"A": {"B": [1, 2]}}, {"A": {"B": [1]}}, ["A.B"]),
        ({"A": {}}, {}, []),
        ({"A": ""}, {}, []),
        ({"A": {"Tags": 1}}, {"A": {"Tags": 2}}, ["A.Tags"]),
        ({"Tags": 1}, {}, []),
        ({"A": [{"B": 1}]}, {"A": [{"B": 2}]}, ["A[0].B"]),
    ],
)
def test_differences(wanted: Any, found: Any, paths: list[str]) -> None:
    assert differences(wanted, found) == paths
