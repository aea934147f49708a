"""Which subnet of several a job runs in, and where it goes next."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.aws.stacks import all_subnets
from hvdsm.backends.sagemaker.job import SageMakerJob, without_capacity
from hvdsm.backends.sagemaker.plan import SageMakerOptions, SageMakerPlan
from hvdsm.backends.sagemaker.result import lacks_capacity
from hvdsm.backends.sagemaker.submitting import submit_again
from hvdsm.backends.sagemaker.zones import Attempt, Choice, Place, choose, name_of, next_name
from hvdsm.compose.limits import MAX_NAME, NAME
from hvdsm.errors import ConfigError
from hvdsm.model import JobOutcome, RankFailure

ONE, TWO, THREE = (Place(f"subnet-{end}", f"us-east-1{end}", f"use1-az{number}") for number, end in enumerate("abc", 1))


def without(place: Place, *wrong: str) -> Place:
    return Place(place.subnet, place.zone, place.zone_id, wrong)


def test_the_first_that_fits() -> None:
    choice = choose([ONE, TWO, THREE])
    assert choice == Choice(ONE, (TWO, THREE))
    assert str(choice) == (
        "the job runs in subnet-a in us-east-1a; when there is no capacity, and the job is waited for, next in "
        "subnet-b in us-east-1b, subnet-c in us-east-1c"
    )
    assert str(choose([ONE])) == "the job runs in subnet-a in us-east-1a"


def test_what_is_wrong_with_those_before_it_is_told() -> None:
    bad = without(ONE, "us-east-1a does not offer ml.p4d.24xlarge", "and more")
    choice = choose([bad, TWO])
    assert choice is not None and (choice.place, choice.further, choice.passed) == (TWO, (), (bad,))
    assert str(choice) == "the job runs in subnet-b in us-east-1b, since us-east-1a does not offer ml.p4d.24xlarge"
    assert choose([bad, without(TWO, "full")]) is None


def test_a_zone_is_tried_once_and_one_that_does_not_fit_never() -> None:
    twin = Place("subnet-a2", "us-east-1a", "use1-az1")
    choice = choose([ONE, twin, without(TWO, "full"), THREE])
    assert choice is not None and choice.further == (THREE,)
    unknown = choose([Place("subnet-a"), Place("subnet-b")])
    assert unknown == Choice(Place("subnet-a"), (Place("subnet-b"),))


@pytest.mark.parametrize("zone", ["us-east-1b", "use1-az2"])
def test_a_zone_that_is_named(zone: str) -> None:
    choice = choose([ONE, TWO, THREE], zone)
    assert choice == Choice(TWO, forced=True) and str(choice) == "the job runs in subnet-b in us-east-1b, as --zone says"
    assert choose([ONE, without(TWO, "full")], zone) is None


def test_a_zone_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"they are in us-east-1a \(use1-az1\), us-east-1b \(use1-az2\)") as caught:
        choose([ONE, TWO], "us-east-1f")
    assert caught.value.remedy == "--zone us-east-1a, or leave it out"
    with pytest.raises(ConfigError, match="not known which zones") as caught:
        choose([Place("subnet-a")], "us-east-1a")
    assert "ec2:DescribeSubnets" in str(caught.value)
    # No zone is one that is not known.
    with pytest.raises(ConfigError):
        choose([Place("subnet-a")], "")


@given(st.from_regex(NAME, fullmatch=True), st.integers(2, 400))
def test_names_of_further_jobs_are_names(name: str, number: int) -> None:
    made = name_of(name, number)
    assert NAME.fullmatch(made) and len(made) <= MAX_NAME and made != name and made.endswith(f"-{number}")


def test_a_long_name_keeps_its_time() -> None:
    name = "a" * 39 + "2026-01-01-00-00-00-000x"
    assert len(name) == MAX_NAME
    assert name_of(name, 2) == "a" * 36 + "-2026-01-01-00-00-00-000x-2"
    assert next_name("job", {"job-2", "job-3"}.__contains__) == "job-4"


def test_subnets_of_a_stack() -> None:
    found = {"Subnet1Id": "a", "Subnet2Id": "b", "SecurityGroupId": "g"}
    assert all_subnets(found, "net") == ["a", "b"]
    whole = '{"SecurityGroupIds": ["g"], "Subnets": ["b"]}'
    assert all_subnets({**found, "VpcConfig": whole}, "net") == ["b", "a"]
    assert all_subnets({"VpcConfig": whole}, "net") == ["b"]


@pytest.mark.parametrize(
    ("status", "reason", "lacks"),
    [
        ("Failed", "CapacityError: Unable to provision requested ML compute capacity.", True),
        ("Failed", "InsufficientCapacityError: none", True),
        ("Failed", "AlgorithmError: ExecuteUserScriptError: CapacityError", False),
        ("Stopped", "CapacityError: none", False),
        ("Failed", "", False),
    ],
)
def test_what_lacks_capacity(status: str, reason: str, lacks: bool) -> None:
    assert lacks_capacity({"TrainingJobStatus": status, "FailureReason": reason}) is lacks


LACKING = {"TrainingJobStatus": "Failed", "FailureReason": "CapacityError: none"}


def job_in(choice: Choice, tmp_path: Any, **more: Any) -> SageMakerJob:
    request = {"TrainingJobName": "job", "VpcConfig": {"Subnets": [choice.place.subnet], "SecurityGroupIds": ["g"]}}
    plan = SageMakerPlan(request, SageMakerOptions(), (), "s3://b", "us-east-1", str(tmp_path / "job"), choice=choice)
    return SageMakerJob("job", "arn", "us-east-1", None, request, plan=plan, **more)


def test_an_interrupt_between_two_jobs(tmp_path: Any) -> None:
    said: List[str] = []
    job = job_in(Choice(ONE, (TWO,)), tmp_path, description=LACKING)
    with pytest.raises(KeyboardInterrupt):
        submit_again(None, job, said.append, [2])
    assert said == ["job has ended for lack of capacity, and no other job was created"] and job.following is None


@pytest.mark.parametrize(
    ("further", "description"),
    [((), LACKING), ((TWO,), {"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: x"})],
)
def test_jobs_that_are_not_tried_again(tmp_path: Any, further: Any, description: Dict[str, Any]) -> None:
    said: List[str] = []
    assert submit_again(None, job_in(Choice(ONE, further), tmp_path, description=description), said.append, []) is None
    assert said == []


def test_an_outcome_names_the_zones() -> None:
    attempts = [Attempt("job", ONE), Attempt("job-2", TWO)]
    failed = JobOutcome("job-2", "Failed", 69, failure=RankFailure("launch", "CapacityError: none", 69))
    told = without_capacity(failed, attempts)
    assert told.failure is not None and told.exit_code == 69
    assert told.failure.message == "no capacity in us-east-1a (job), us-east-1b (job-2): CapacityError: none"
    assert without_capacity(JobOutcome("job", "Completed", 0), attempts).failure is None
