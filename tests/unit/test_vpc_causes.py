"""Why an operation of a stack failed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from hvdsm.aws.cloudformation import StackEvent
from hvdsm.vpc.stacks.causes import cause_json, cause_lines, failures, readable, remedy, root_cause

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/net/4711"
VPC_LIMIT = (
    'Resource handler returned message: "The maximum number of VPCs has been reached. (Service: Ec2, Status Code: 400, Request '
    'ID: 11-22) (SDK Attempt Count: 1)" (RequestToken: 33-44, HandlerErrorCode: ServiceLimitExceeded)'
)


def event(at: float, name: str, status: str, reason: str = "", kind: str = "AWS::EC2::Subnet") -> StackEvent:
    return StackEvent(f"{name}-{status}-{at}", START + timedelta(seconds=at), name, f"id-{name}", kind, status, reason)


def own(at: float, status: str, reason: str = "") -> StackEvent:
    when = START + timedelta(seconds=at)
    return StackEvent(f"net-{status}-{at}", when, "net", STACK, "AWS::CloudFormation::Stack", status, reason)


FAILED = [
    own(0, "CREATE_IN_PROGRESS", "User Initiated"),
    event(1, "Subnet1", "CREATE_IN_PROGRESS"),
    event(1, "Subnet2", "CREATE_IN_PROGRESS"),
    event(3, "Subnet1", "CREATE_FAILED", "Resource creation cancelled"),
    event(3, "Subnet2", "CREATE_FAILED", "The CIDR '10.0.0.0/24' conflicts with another subnet"),
    own(4, "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [Subnet2, Subnet1]. Rollback requested by user."),
    event(5, "Vpc", "DELETE_FAILED", "has dependencies and cannot be deleted"),
    own(6, "ROLLBACK_FAILED", "The following resource(s) failed to delete: [Vpc]. "),
]


def test_the_cause_is_the_first_failure_that_is_no_consequence() -> None:
    for events in (FAILED, FAILED[::-1]):
        cause = root_cause(events)
        assert cause is not None and (cause.logical_id, cause.status) == ("Subnet2", "CREATE_FAILED")
    assert [found.logical_id for found in failures(FAILED)] == ["Subnet2", "Vpc"]


def test_without_a_failure_there_is_no_cause() -> None:
    good = [own(0, "CREATE_IN_PROGRESS"), event(1, "Vpc", "CREATE_COMPLETE"), own(2, "CREATE_COMPLETE")]
    assert root_cause(good) is None
    assert root_cause([]) is None
    assert cause_lines(good) == []
    assert cause_json(None) is None


@pytest.mark.parametrize("words", ["Resource creation cancelled", "Resource creation Cancelled", "Resource update cancelled."])
def test_cancelled_resources_are_passed_over(words: str) -> None:
    cause = root_cause([event(1, "A", "CREATE_FAILED", words), event(2, "B", "CREATE_FAILED", "no")])
    assert cause is not None and cause.logical_id == "B"


def test_words_that_only_sound_like_a_cancellation_are_a_cause() -> None:
    cause = root_cause([event(1, "A", "CREATE_FAILED", "The subscription was cancelled"), event(2, "B", "CREATE_FAILED", "no")])
    assert cause is not None and cause.logical_id == "A"


def test_where_no_resource_failed_the_stack_says_why() -> None:
    cause = root_cause([own(1, "ROLLBACK_IN_PROGRESS", "Rollback requested by user."), own(2, "ROLLBACK_COMPLETE")])
    assert cause is not None and cause.reason == "Rollback requested by user."
    only = [event(1, "A", "CREATE_FAILED", "Resource creation cancelled"), own(2, "ROLLBACK_IN_PROGRESS")]
    cause = root_cause(only)
    assert cause is not None and cause.status == "ROLLBACK_IN_PROGRESS"


def test_a_stack_within_the_stack_can_be_the_cause() -> None:
    reason = "Embedded stack arn:x was not successfully created: The following resource(s) failed to create: [Vpc]. "
    cause = root_cause([event(1, "Inner", "CREATE_FAILED", reason, "AWS::CloudFormation::Stack"), own(2, "ROLLBACK_COMPLETE")])
    assert cause is not None and cause.logical_id == "Inner"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (VPC_LIMIT, "The maximum number of VPCs has been reached. (ServiceLimitExceeded)"),
        (
            "The maximum number of VPCs has been reached. (Service: AmazonEC2; Status Code: 400; Error Code: VpcLimitExceeded; "
            "Request ID: 1; Proxy: null)",
            "The maximum number of VPCs has been reached. (VpcLimitExceeded)",
        ),
        (
            "API: ec2:CreateVpc You are not authorized to perform this operation. Encoded authorization failure message: aBc-123",
            "You are not authorized to perform this operation (ec2:CreateVpc)",
        ),
        ("Template error: Fn::Select  cannot select nonexistent value at index 2", None),
        ('Resource handler returned message: "null" (RequestToken: 1, HandlerErrorCode: InternalFailure)', "null"),
        ("No (round) brackets are lost", "No (round) brackets are lost"),
        ("", ""),
    ],
)
def test_reasons_are_cleaned_for_reading(raw: str, clean: str) -> None:
    assert readable(raw) == (" ".join(raw.split()) if clean is None else clean)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (VPC_LIMIT, "VPCs per Region"),
        ("x (Error Code: VpcEndpointLimitExceeded)", "Interface VPC endpoints per VPC"),
        ("The maximum number of security groups for VPC has been reached", "quota for security groups"),
        ("User: arn:x is not authorized to perform: ec2:CreateFlowLogs on resource: arn:y because", "allow ec2:CreateFlowLogs"),
        ("API: iam:CreateRole User: arn:x is not authorized to perform: iam:CreateRole on resource: z", "allow iam:CreateRole"),
        ("API: ec2:CreateVpc You are not authorized. Encoded authorization failure message: aB", "decode-authorization-message"),
        ("Access Denied", "aws sts get-caller-identity"),
        ("Unable to assume given IAM role (Error Code: InvalidParameter)", "trust policy"),
        ("The CIDR '10.0.0.0/24' conflicts with another subnet (Error Code: InvalidSubnet.Conflict)", "--subnet-cidr"),
        ("The CIDR '10.1.0.0/24' is invalid. (Error Code: InvalidSubnet.Range)", "--cidr"),
        ("Template error: Fn::Select  cannot select nonexistent value at index 2", "--zones"),
        (
            "Value (us-east-1z) for parameter availabilityZone is invalid. Subnets can currently only be created in the "
            "following availability zones: us-east-1a. (Error Code: InvalidParameterValue)",
            "aws ec2 describe-availability-zones",
        ),
        ("The VPC endpoint service x does not support the availability zone of the subnet: subnet-1.", "not in that zone"),
        ("The Vpc Endpoint Service 'com.amazonaws.us-east-1.lgos' does not exist", "misspelt"),
        (
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true",
            "EnableDnsHostnames",
        ),
        ("/hvdsm/net already exists in stack arn:x", "choose another name"),
        ("Export with name net-VpcId is already exported by stack other. Rolling back", "list-imports --export-name net-VpcId"),
        ("Export net-VpcId cannot be deleted as it is in use by other", "list-imports --export-name net-VpcId"),
        ("resource sg-1 has a dependent object (Error Code: DependencyViolation)", "--dry-run"),
        ("The vpc 'vpc-1' has dependencies and cannot be deleted.", "--dry-run"),
        ("Rate exceeded (Service: AWSLogs; Status Code: 400; Error Code: ThrottlingException)", "fewer requests"),
        ("Resource limit exceeded. (Service: CloudWatchLogs, Status Code: 400)", "log groups"),
        ("Requires capabilities : [CAPABILITY_IAM]", "CAPABILITY_IAM"),
        ("Exceeded attempts to wait. (HandlerErrorCode: NotStabilized)", "longer than"),
    ],
)
def test_known_causes_have_a_remedy(reason: str, words: str) -> None:
    found = remedy(reason)
    assert found is not None and words in found
    assert "{" not in found


def test_an_unknown_cause_has_none() -> None:
    assert remedy("It rains.") is None


def test_lines_have_the_cause_first() -> None:
    lines = cause_lines(FAILED)
    assert lines[0].startswith("root cause: Subnet2 (AWS::EC2::Subnet) CREATE_FAILED: The CIDR '10.0.0.0/24' conflicts")
    assert "--subnet-cidr" in lines[1]
    assert [line.split(" (")[0] for line in lines[2:]] == ["also failed: Vpc"]
    told = cause_json(root_cause(FAILED))
    assert told is not None and told["resource"] == "Subnet2" and told["time"] == "2026-01-01T00:00:03+00:00"
