"""CloudFormation of the sandbox, as clients of botocore see it."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from sandbox_support import client as new_client

from hvdsm.sandbox import Fault, Sandbox, StackScript

TEMPLATE = (Path(__file__).parents[2] / "vpc" / "training-cluster.yaml").read_text()
SMALL = {
    "Parameters": {"Cidr": {"Type": "String", "Default": "10.0.1.0/24"}, "Extra": {"Type": "String", "Default": "no"}},
    "Conditions": {"HasExtra": {"Fn::Equals": [{"Ref": "Extra"}, "yes"]}},
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": {"Ref": "Cidr"}}},
        "Table": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        "Route": {
            "Type": "AWS::EC2::SubnetRouteTableAssociation",
            "Properties": {"SubnetId": {"Ref": "Subnet"}, "RouteTableId": {"Ref": "Table"}},
        },
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": {"Ref": "Vpc"}}},
        "More": {
            "Type": "AWS::EC2::SecurityGroup",
            "Condition": "HasExtra",
            "Properties": {"GroupDescription": "more", "VpcId": {"Ref": "Vpc"}},
        },
    },
    "Outputs": {"SubnetId": {"Value": {"Ref": "Subnet"}, "Export": {"Name": {"Fn::Sub": "${AWS::StackName}-Subnet"}}}},
}
BODY = json.dumps(SMALL)
IMPORTING = {
    "Resources": {"Thing": {"Type": "Some::Unknown::Thing", "Properties": {"At": {"Fn::ImportValue": "net-Subnet"}}}},
    "Outputs": {"At": {"Value": {"Ref": "Thing"}}},
}


# To read EC2's description takes longer than most tests.
client = functools.lru_cache(maxsize=None)(new_client)


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    """One sandbox for all tests; each leaves no stack behind."""
    shared.stacks.clock = clock = Clock()
    yield shared
    shared.faults.clear()
    shared.stacks.scripts.clear()
    cloud = client(shared, "cloudformation")
    for _ in range(2):
        clock.now += 10_000
        for stack in cloud.describe_stacks()["Stacks"]:
            cloud.update_termination_protection(StackName=stack["StackName"], EnableTerminationProtection=False)
            cloud.delete_stack(StackName=stack["StackName"])
    assert cloud.describe_stacks()["Stacks"] == []


@pytest.fixture
def cloud(sandbox: Sandbox) -> Any:
    return client(sandbox, "cloudformation")


def go_on(sandbox: Sandbox, seconds: float) -> None:
    clock = sandbox.stacks.clock
    assert isinstance(clock, Clock)
    clock.now += seconds


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def status_of(cloud: Any, name: str = "net") -> str:
    return str(cloud.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


def events(cloud: Any, name: str = "net") -> list[dict[str, Any]]:
    """All events, the oldest first."""
    pages = cloud.get_paginator("describe_stack_events").paginate(StackName=name)
    return [event for page in pages for event in page["StackEvents"]][::-1]


def story(cloud: Any, name: str = "net") -> list[tuple[str, str]]:
    return [(event["LogicalResourceId"], event["ResourceStatus"]) for event in events(cloud, name)]


def parameters(**values: str) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


def outputs(cloud: Any, name: str = "net") -> dict[str, str]:
    return {one["OutputKey"]: one["OutputValue"] for one in cloud.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", ())}


def physical(cloud: Any, name: str = "net") -> dict[str, str]:
    found = cloud.describe_stack_resources(StackName=name)["StackResources"]
    return {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in found}


def mutated(**resources: Any) -> str:
    return json.dumps({**SMALL, "Resources": {**SMALL["Resources"], **resources}})


def test_the_template_makes_what_it_says(sandbox: Sandbox, cloud: Any) -> None:
    made = cloud.create_stack(
        StackName="net", TemplateBody=TEMPLATE, Capabilities=["CAPABILITY_IAM"], Tags=[{"Key": "team", "Value": "a"}],
        Parameters=parameters(AvailabilityZoneCount="2", InterfaceEndpoints="core"),
    )  # fmt: skip
    cloud.get_waiter("stack_create_complete").wait(StackName="net")
    found, ec2 = outputs(cloud), client(sandbox, "ec2")
    own = {"Name": "tag:aws:cloudformation:stack-id", "Values": [made["StackId"]]}
    subnets = ec2.describe_subnets(Filters=[own])["Subnets"]
    assert {one["SubnetId"] for one in subnets} == {found["Subnet1Id"], found["Subnet2Id"]}
    assert len({one["AvailabilityZone"] for one in subnets}) == 2
    tags = {tag["Key"]: tag["Value"] for tag in subnets[0]["Tags"]}
    assert (tags["team"], tags["aws:cloudformation:stack-name"]) == ("a", "net")
    assert tags["aws:cloudformation:logical-id"] in ("Subnet1", "Subnet2")
    endpoints = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [found["VpcId"]]}])["VpcEndpoints"]
    interface = [one for one in endpoints if one["VpcEndpointType"] == "Interface"]
    assert len(interface) == 4
    assert all(set(one["SubnetIds"]) == {found["Subnet1Id"], found["Subnet2Id"]} for one in interface)
    (group,) = ec2.describe_security_groups(GroupIds=[found["SecurityGroupId"]])["SecurityGroups"]
    pairs = [(rule["IpProtocol"], pair["GroupId"]) for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
    assert pairs == [("-1", found["SecurityGroupId"])]
    (log,) = ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [found["VpcId"]]}])["FlowLogs"]
    assert log["DeliverLogsStatus"] == "SUCCESS"
    groups = client(sandbox, "logs").describe_log_groups(logGroupNamePrefix=log["LogGroupName"])["logGroups"]
    assert [one["retentionInDays"] for one in groups] == [14]
    exported = {one["Name"]: one["Value"] for one in cloud.list_exports()["Exports"]}
    assert exported["net-VpcId"] == found["VpcId"]
    cloud.delete_stack(StackName="net")
    cloud.get_waiter("stack_delete_complete").wait(StackName=made["StackId"])
    assert ec2.describe_subnets(Filters=[own])["Subnets"] == []
    assert [one["IsDefault"] for one in ec2.describe_vpcs()["Vpcs"]] == [True]
    assert client(sandbox, "logs").describe_log_groups()["logGroups"] == []
    assert client(sandbox, "iam").list_roles()["Roles"] == []


def test_the_template_is_updated_and_back(sandbox: Sandbox, cloud: Any) -> None:
    cloud.create_stack(StackName="net", TemplateBody=TEMPLATE, Capabilities=["CAPABILITY_IAM"])
    begin = physical(cloud)
    for values in (
        {"AvailabilityZoneCount": "3", "InterfaceEndpoints": "full"},
        {"AvailabilityZoneCount": "2", "InterfaceEndpoints": "core", "FlowLogRetentionDays": "30"},
        {"FlowLogs": "false", "SubnetCidrBlock1": "10.0.64.0/24", "InterfaceEndpoints": "core"},
        {"ReadOnlyBucketArns": "arn:aws:s3:::open-data,arn:aws:s3:::more-data"},
    ):
        cloud.update_stack(
            StackName="net", UsePreviousTemplate=True, Capabilities=["CAPABILITY_IAM"], Parameters=parameters(**values)
        )
        assert status_of(cloud) == "UPDATE_COMPLETE", events(cloud)[-30:]
    now = physical(cloud)
    assert set(now) == set(begin)
    # The subnet was replaced twice; what keeps its properties keeps its ID.
    assert now["Subnet1"] != begin["Subnet1"]
    assert (now["Vpc"], now["SecurityGroup"]) == (begin["Vpc"], begin["SecurityGroup"])
    policy = client(sandbox, "ec2").describe_vpc_endpoints(VpcEndpointIds=[now["S3Endpoint"]])["VpcEndpoints"][0][
        "PolicyDocument"
    ]
    assert "arn:aws:s3:::open-data/*" in policy


def test_creation_takes_its_time_in_the_order_of_needs(sandbox: Sandbox, cloud: Any) -> None:
    sandbox.stacks.script(StackScript(seconds=10, seconds_of={"Group": 100}))
    cloud.create_stack(StackName="net", TemplateBody=BODY, ClientRequestToken="token-1")
    assert story(cloud) == [("net", "CREATE_IN_PROGRESS"), ("Vpc", "CREATE_IN_PROGRESS"), ("Vpc", "CREATE_IN_PROGRESS")]
    assert outputs(cloud) == {}
    go_on(sandbox, 11)
    begun = story(cloud)
    assert ("Vpc", "CREATE_COMPLETE") in begun
    assert {name for name, status in begun if status == "CREATE_IN_PROGRESS"} == {"net", "Vpc", "Subnet", "Table", "Group"}
    go_on(sandbox, 30)
    assert ("Route", "CREATE_COMPLETE") in story(cloud)
    assert status_of(cloud) == "CREATE_IN_PROGRESS"
    assert refusal(cloud.update_stack, StackName="net", TemplateBody=BODY)[1].endswith(
        "is in CREATE_IN_PROGRESS state and can not be updated."
    )
    go_on(sandbox, 100)
    assert status_of(cloud) == "CREATE_COMPLETE"
    told = events(cloud)
    assert {event["ClientRequestToken"] for event in told} == {"token-1"}
    assert len({event["EventId"] for event in told}) == len(told)
    times = [event["Timestamp"] for event in told]
    assert times == sorted(times)
    assert (told[-1]["Timestamp"] - told[0]["Timestamp"]).total_seconds() == pytest.approx(110, abs=0.1)
    assert set(outputs(cloud)) == {"SubnetId"}


def test_a_failure_is_rolled_back(sandbox: Sandbox, cloud: Any) -> None:
    sandbox.stacks.script(StackScript(seconds=5, seconds_of={"Table": 2}, fail={"Table": "The maximum number has been reached."}))
    cloud.create_stack(StackName="net", TemplateBody=BODY)
    go_on(sandbox, 1000)
    with pytest.raises(WaiterError, match="terminal failure state"):
        cloud.get_waiter("stack_create_complete").wait(StackName="net")
    told = {(event["LogicalResourceId"], event["ResourceStatus"]): event.get("ResourceStatusReason") for event in events(cloud)}
    assert told["Table", "CREATE_FAILED"] == "The maximum number has been reached."
    assert told["Subnet", "CREATE_FAILED"] == told["Group", "CREATE_FAILED"] == "Resource creation cancelled"
    assert str(told["net", "ROLLBACK_IN_PROGRESS"]).startswith(
        "The following resource(s) failed to create: [Group, Subnet, Table]."
    )
    assert story(cloud)[-1] == ("net", "ROLLBACK_COMPLETE")
    assert [one["IsDefault"] for one in client(sandbox, "ec2").describe_vpcs()["Vpcs"]] == [True]
    code, message = refusal(cloud.update_stack, StackName="net", TemplateBody=BODY)
    assert code == "ValidationError"
    assert message.endswith("is in ROLLBACK_COMPLETE state and can not be updated.")
    sets = {"StackName": "net", "TemplateBody": BODY, "ChangeSetName": "a"}
    assert refusal(cloud.create_change_set, **sets)[1].endswith("is in ROLLBACK_COMPLETE state and can not be updated.")


@pytest.mark.parametrize(("on_failure", "ended"), [("DO_NOTHING", "CREATE_FAILED"), ("DELETE", "DELETE_COMPLETE")])
def test_what_is_left_of_a_failure_can_be_chosen(sandbox: Sandbox, cloud: Any, on_failure: str, ended: str) -> None:
    sandbox.stacks.script(StackScript(fail={"Route": "no"}))
    made = cloud.create_stack(StackName="net", TemplateBody=BODY, OnFailure=on_failure)
    assert status_of(cloud, made["StackId"]) == ended


def test_a_stack_that_takes_longer_than_it_may(sandbox: Sandbox, cloud: Any) -> None:
    sandbox.stacks.script(StackScript(seconds_of={"Group": 3600}))
    cloud.create_stack(StackName="net", TemplateBody=BODY, TimeoutInMinutes=5)
    go_on(sandbox, 299)
    assert status_of(cloud) == "CREATE_IN_PROGRESS"
    go_on(sandbox, 2)
    reasons = {event["ResourceStatus"]: event.get("ResourceStatusReason") for event in events(cloud)}
    assert reasons["ROLLBACK_IN_PROGRESS"] == "Stack creation time exceeded the specified timeout. Rollback requested by user."
    assert ("Group", "CREATE_FAILED") in story(cloud)


def test_a_rollback_may_fail_itself(sandbox: Sandbox, cloud: Any) -> None:
    sandbox.stacks.script(StackScript(fail={"Route": "no"}, fail_rollback={"Table": "still used"}, times=1))
    cloud.create_stack(StackName="net", TemplateBody=BODY)
    stack = cloud.describe_stacks(StackName="net")["Stacks"][0]
    assert stack["StackStatus"] == "ROLLBACK_FAILED"
    # What the resource that failed needs cannot go either.
    assert stack["StackStatusReason"].startswith("The following resource(s) failed to delete: [Table].")
    assert set(physical(cloud)) >= {"Table", "Vpc"}


def test_an_api_error_is_the_reason(cloud: Any) -> None:
    other = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.128/25"}}
    cloud.create_stack(StackName="net", TemplateBody=mutated(Other=other))
    reasons = [event["ResourceStatusReason"] for event in events(cloud) if event["ResourceStatus"] == "CREATE_FAILED"]
    assert "conflicts with another subnet (Service: AmazonEC2; Status Code: 400; Error Code: InvalidSubnet.Conflict" in reasons[0]
    assert status_of(cloud) == "ROLLBACK_COMPLETE"


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"ServiceName": "com.amazonaws.us-east-1.s4"}, "The Vpc Endpoint Service 'com.amazonaws.us-east-1.s4' does not exist"),
        (
            {"VpcEndpointType": "Interface", "ServiceName": "com.amazonaws.us-east-1.logs", "PrivateDnsEnabled": True},
            "requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for vpc-",
        ),
    ],
)
def test_an_endpoint_that_ec2_refuses(cloud: Any, properties: dict[str, Any], words: str) -> None:
    endpoint = {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcId": {"Ref": "Vpc"}, **properties}}
    cloud.create_stack(StackName="net", TemplateBody=mutated(Endpoint=endpoint))
    (failed,) = [
        one for one in events(cloud) if (one["LogicalResourceId"], one["ResourceStatus"]) == ("Endpoint", "CREATE_FAILED")
    ]
    assert words in failed["ResourceStatusReason"]


def test_a_change_set_shows_what_it_would_do(cloud: Any) -> None:
    asked = {"StackName": "net", "TemplateBody": BODY, "ChangeSetName": "first"}
    assert refusal(cloud.create_change_set, **asked) == ("ValidationError", "Stack [net] does not exist")
    cloud.create_change_set(**asked, ChangeSetType="CREATE")
    cloud.get_waiter("change_set_create_complete").wait(StackName="net", ChangeSetName="first")
    assert status_of(cloud) == "REVIEW_IN_PROGRESS"
    changes = [one["ResourceChange"] for one in cloud.describe_change_set(StackName="net", ChangeSetName="first")["Changes"]]
    assert {(one["Action"], one["LogicalResourceId"]) for one in changes} == {
        ("Add", name) for name in ("Vpc", "Subnet", "Table", "Route", "Group")
    }
    assert physical(cloud) == {}
    assert refusal(cloud.create_change_set, **asked, ChangeSetType="CREATE") == (
        "AlreadyExistsException",
        "ChangeSet first already exists",
    )
    cloud.execute_change_set(StackName="net", ChangeSetName="first")
    assert status_of(cloud) == "CREATE_COMPLETE"
    assert refusal(cloud.execute_change_set, StackName="net", ChangeSetName="first")[0] == "InvalidChangeSetStatus"
    code, message = refusal(cloud.create_change_set, **{**asked, "ChangeSetName": "b"}, ChangeSetType="CREATE")
    assert (code, message) == (
        "ValidationError",
        "Stack [net] already exists and cannot be created again with the changeSet [b].",
    )


def test_changes_of_an_update(cloud: Any) -> None:
    cloud.create_stack(StackName="net", TemplateBody=BODY)
    asked = {"StackName": "net", "ChangeSetName": "more", "UsePreviousTemplate": True}
    cloud.create_change_set(**asked, Parameters=parameters(Extra="yes", Cidr="10.0.2.0/24"))
    told = cloud.describe_change_set(StackName="net", ChangeSetName="more")
    changes = {one["ResourceChange"]["LogicalResourceId"]: one["ResourceChange"] for one in told["Changes"]}
    assert {name: (one["Action"], one.get("Replacement")) for name, one in changes.items()} == {
        "More": ("Add", None),
        "Subnet": ("Modify", "True"),
        "Route": ("Modify", "Conditional"),
    }
    (detail,) = changes["Subnet"]["Details"]
    assert detail["Target"] == {"Attribute": "Properties", "Name": "CidrBlock", "RequiresRecreation": "Always"}
    assert (detail["ChangeSource"], detail["CausingEntity"]) == ("ParameterReference", "Cidr")
    before = physical(cloud)
    cloud.execute_change_set(StackName="net", ChangeSetName="more", ClientRequestToken="go")
    cloud.execute_change_set(StackName="net", ChangeSetName="more", ClientRequestToken="go")
    after = physical(cloud)
    assert status_of(cloud) == "UPDATE_COMPLETE"
    assert after["Subnet"] != before["Subnet"] and after["Group"] == before["Group"]
    assert outputs(cloud) == {"SubnetId": after["Subnet"]}
    end = [one for one in story(cloud) if one[1].startswith(("UPDATE_COMPLETE", "DELETE")) and one[0] in ("net", "Subnet")]
    assert end == [
        ("Subnet", "UPDATE_COMPLETE"),
        ("net", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Subnet", "DELETE_IN_PROGRESS"),
        ("Subnet", "DELETE_COMPLETE"),
        ("net", "UPDATE_COMPLETE"),
    ]


def test_no_changes(cloud: Any) -> None:
    cloud.create_stack(StackName="net", TemplateBody=BODY)
    same = {"StackName": "net", "TemplateBody": BODY}
    assert refusal(cloud.update_stack, **same) == ("ValidationError", "No updates are to be performed.")
    cloud.create_change_set(**same, ChangeSetName="same")
    told = cloud.describe_change_set(StackName="net", ChangeSetName="same")
    assert (told["Status"], told["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert told["StatusReason"].startswith("The submitted information didn't contain changes.")
    assert refusal(cloud.execute_change_set, StackName="net", ChangeSetName="same")[0] == "InvalidChangeSetStatus"
    cloud.delete_change_set(StackName="net", ChangeSetName="same")
    assert cloud.list_change_sets(StackName="net")["Summaries"] == []
    assert refusal(cloud.describe_change_set, StackName="net", ChangeSetName="same")[0] == "ChangeSetNotFound"


def test_a_change_set_may_take_long_or_fail(sandbox: Sandbox, cloud: Any) -> None:
    sandbox.stacks.script(StackScript(change_set_seconds=20))
    sandbox.stacks.script(StackScript(change_set_fails="Insufficient permissions", times=1))
    asked = {"StackName": "net", "TemplateBody": BODY, "ChangeSetType": "CREATE"}
    cloud.create_change_set(**asked, ChangeSetName="one")
    told = cloud.describe_change_set(StackName="net", ChangeSetName="one")
    assert (told["Status"], told["StatusReason"]) == ("FAILED", "Insufficient permissions")
    cloud.create_change_set(**asked, ChangeSetName="two")
    assert cloud.describe_change_set(StackName="net", ChangeSetName="two")["Status"] == "CREATE_PENDING"
    go_on(sandbox, 21)
    assert cloud.describe_change_set(StackName="net", ChangeSetName="two")["Status"] == "CREATE_COMPLETE"


def test_a_failed_update_is_undone(sandbox: Sandbox, cloud: Any) -> None:
    cloud.create_stack(StackName="net", TemplateBody=BODY, Tags=[{"Key": "a", "Value": "1"}])
    before, ec2 = physical(cloud), client(sandbox, "ec2")
    sandbox.stacks.script(StackScript(fail={"Route": "not today"}))
    cloud.update_stack(
        StackName="net", UsePreviousTemplate=True, Parameters=parameters(Extra="yes", Cidr="10.0.2.0/24"),
        Tags=[{"Key": "b", "Value": "2"}],
    )  # fmt: skip
    stack = cloud.describe_stacks(StackName="net")["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert stack["Parameters"] == [
        {"ParameterKey": "Cidr", "ParameterValue": "10.0.1.0/24"},
        {"ParameterKey": "Extra", "ParameterValue": "no"},
    ]
    assert physical(cloud) == before
    assert len(ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [before["Vpc"]]}])["Subnets"]) == 1
    (vpc,) = ec2.describe_vpcs(VpcIds=[before["Vpc"]])["Vpcs"]
    assert {tag["Key"] for tag in vpc["Tags"] if not tag["Key"].startswith("aws:")} == {"a"}
    told = {key: event.get("ResourceStatusReason") for event in events(cloud) for key in [event["ResourceStatus"]]}
    assert told["UPDATE_ROLLBACK_IN_PROGRESS"] == "The following resource(s) failed to update: [Route]. "
    sandbox.stacks.script(StackScript())
    cloud.update_stack(StackName="net", UsePreviousTemplate=True, Parameters=parameters(Extra="yes"))
    assert status_of(cloud) == "UPDATE_COMPLETE"


def test_a_rollback_of_an_update_that_fails_can_be_continued(sandbox: Sandbox, cloud: Any) -> None:
    cloud.create_stack(StackName="net", TemplateBody=BODY)
    before = physical(cloud)
    sandbox.stacks.script(StackScript(fail={"Route": "no"}, fail_rollback={"Subnet": ("locked", 1)}))
    cloud.update_stack(StackName="net", UsePreviousTemplate=True, Parameters=parameters(Cidr="10.0.2.0/24"))
    assert status_of(cloud) == "UPDATE_ROLLBACK_FAILED"
    assert refusal(cloud.update_stack, StackName="net", TemplateBody=BODY)[0] == "ValidationError"
    cloud.continue_update_rollback(StackName="net")
    assert status_of(cloud) == "UPDATE_ROLLBACK_COMPLETE"
    assert physical(cloud) == before


def test_an_update_can_be_cancelled(sandbox: Sandbox, cloud: Any) -> None:
    cloud.create_stack(StackName="net", TemplateBody=BODY)
    sandbox.stacks.script(StackScript(seconds=60))
    cloud.update_stack(StackName="net", UsePreviousTemplate=True, Parameters=parameters(Extra="yes"))
    go_on(sandbox, 5)
    cloud.cancel_update_stack(StackName="net")
    assert status_of(cloud) == "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
    go_on(sandbox, 61)
    assert status_of(cloud) == "UPDATE_ROLLBACK_COMPLETE"
    assert set(physical(cloud)) == set(SMALL["Resources"]) - {"More"}
    assert refusal(cloud.cancel_update_stack, StackName="net")[0] == "ValidationError"


def test_network_interfaces_keep_their_subnet_until_they_vanish(sandbox: Sandbox, cloud: Any) -> None:
    identifier = cloud.create_stack(StackName="net", TemplateBody=BODY)["StackId"]
    ec2, here = client(sandbox, "ec2"), physical(cloud)
    free = ec2.describe_subnets(SubnetIds=[here["Subnet"]])["Subnets"][0]["AvailableIpAddressCount"]
    left = sandbox.stacks.leave_interfaces("net", count=2, seconds=300)
    (used,) = sandbox.stacks.leave_interfaces("net", in_use=True, job="big-job")
    there = {one["NetworkInterfaceId"]: one for one in ec2.describe_network_interfaces()["NetworkInterfaces"]}
    assert {name: (one["Status"], one["RequesterManaged"]) for name, one in there.items()} == {
        left[0]: ("available", True),
        left[1]: ("available", True),
        used: ("in-use", True),
    }
    assert "big-job" in there[used]["Description"]
    assert [one["GroupId"] for one in there[used]["Groups"]] == [here["Group"]]
    assert ec2.describe_subnets(SubnetIds=[here["Subnet"]])["Subnets"][0]["AvailableIpAddressCount"] == free - 3
    assert refusal(ec2.delete_network_interface, NetworkInterfaceId=used)[1].endswith("is currently in use.")
    cloud.delete_stack(StackName="net")
    stack = cloud.describe_stacks(StackName="net")["Stacks"][0]
    assert stack["StackStatus"] == "DELETE_FAILED"
    assert stack["StackStatusReason"] == "The following resource(s) failed to delete: [Group, Subnet]. "
    why = {e["LogicalResourceId"]: e["ResourceStatusReason"] for e in events(cloud) if e["ResourceStatus"] == "DELETE_FAILED"}
    assert f"resource {here['Group']} has a dependent object (Service: AmazonEC2; Status Code: 400; Error Code: " in why["Group"]
    assert "has dependencies and cannot be deleted. (Service: AmazonEC2;" in why["Subnet"]
    go_on(sandbox, 301)
    assert [one["NetworkInterfaceId"] for one in ec2.describe_network_interfaces()["NetworkInterfaces"]] == [used]
    sandbox.stacks.end_use([used], seconds=10)
    # A subnet that is left within the time that its deletion takes goes at the first try.
    sandbox.stacks.script(StackScript(seconds=15))
    cloud.delete_stack(StackName=identifier)
    go_on(sandbox, 100)
    assert status_of(cloud, identifier) == "DELETE_COMPLETE"
    assert refusal(cloud.describe_stacks, StackName="net") == ("ValidationError", "Stack with id net does not exist")


def test_a_deletion_that_fails_for_some_times(sandbox: Sandbox, cloud: Any) -> None:
    identifier = cloud.create_stack(StackName="net", TemplateBody=BODY)["StackId"]
    sandbox.stacks.script(StackScript(fail_delete={"Group": ("has a dependent object", 2)}))
    code, message = refusal(cloud.delete_stack, StackName="net", RetainResources=["Group"])
    assert code == "ValidationError" and "only when the stack is in the DELETE_FAILED state" in message
    for expected in ("DELETE_FAILED", "DELETE_FAILED", "DELETE_COMPLETE"):
        cloud.delete_stack(StackName="net")
        assert status_of(cloud, identifier) == expected


def test_resources_can_be_retained_after_a_failed_deletion(sandbox: Sandbox, cloud: Any) -> None:
    thing = {"Type": "Some::Thing", "Properties": {}}
    identifier = cloud.create_stack(StackName="net", TemplateBody=json.dumps({"Resources": {"A": thing, "B": thing}}))["StackId"]
    sandbox.stacks.script(StackScript(fail_delete={"A": "no"}))
    cloud.delete_stack(StackName="net")
    cloud.delete_stack(StackName="net", RetainResources=["A"])
    assert status_of(cloud, identifier) == "DELETE_COMPLETE"
    assert ("A", "DELETE_SKIPPED") in story(cloud, identifier)
    assert [one["StackStatus"] for one in cloud.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]]


def test_a_stack_can_be_deleted_while_it_is_created(sandbox: Sandbox, cloud: Any) -> None:
    sandbox.stacks.script(StackScript(seconds=30))
    identifier = cloud.create_stack(StackName="net", TemplateBody=BODY)["StackId"]
    go_on(sandbox, 31)
    cloud.delete_stack(StackName="net")
    assert status_of(cloud) == "DELETE_IN_PROGRESS"
    go_on(sandbox, 300)
    assert status_of(cloud, identifier) == "DELETE_COMPLETE"


def test_protection(cloud: Any) -> None:
    cloud.create_stack(StackName="net", TemplateBody=BODY, EnableTerminationProtection=True)
    assert refusal(cloud.delete_stack, StackName="net") == (
        "ValidationError",
        "Stack [net] cannot be deleted while TerminationProtection is enabled",
    )
    cloud.update_termination_protection(StackName="net", EnableTerminationProtection=False)
    cloud.delete_stack(StackName="net")
    cloud.delete_stack(StackName="net")
    assert cloud.describe_stacks()["Stacks"] == []


def test_exports_that_others_use(cloud: Any) -> None:
    code, message = refusal(cloud.create_stack, StackName="user", TemplateBody=json.dumps(IMPORTING))
    assert (code, message) == ("ValidationError", "No export named net-Subnet found.")
    cloud.create_stack(StackName="net", TemplateBody=BODY)
    cloud.create_stack(StackName="user", TemplateBody=json.dumps(IMPORTING))
    assert cloud.list_imports(ExportName="net-Subnet")["Imports"] == ["user"]
    cloud.delete_stack(StackName="net")
    stack = cloud.describe_stacks(StackName="net")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert stack["StackStatusReason"] == "Delete canceled. Cannot delete export net-Subnet as it is in use by user."
    cloud.update_stack(StackName="net", UsePreviousTemplate=True, Parameters=parameters(Cidr="10.0.9.0/24"))
    assert status_of(cloud) == "UPDATE_ROLLBACK_COMPLETE"
    assert "Export net-Subnet cannot be updated as it is in use by user" in [e.get("ResourceStatusReason") for e in events(cloud)]
    cloud.delete_stack(StackName="user")
    assert refusal(cloud.list_imports, ExportName="net-Subnet")[0] == "ValidationError"


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"TemplateBody": TEMPLATE}, "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]"),
        ({"TemplateBody": BODY + " " * 51_200}, "ValidationError", "Member must have length less than or equal to 51200"),
        ({"TemplateBody": "Resources: [unclosed"}, "ValidationError", "Template format error"),
        ({"TemplateBody": "{}"}, "ValidationError", "Template format error: At least one Resources member must be defined."),
        ({"TemplateBody": mutated(A={"Type": "T", "Properties": {"a": {"Ref": "Nobody"}}})}, "ValidationError", "[Nobody]"),
        ({"TemplateBody": BODY, "StackName": "a_b"}, "ValidationError", "at 'stackName' failed to satisfy constraint"),
        (
            {"TemplateBody": BODY, "Parameters": parameters(No="1")},
            "ValidationError",
            "Parameters: [No] do not exist in the template",
        ),
        (
            {"TemplateBody": TEMPLATE, "Parameters": parameters(VpcCidrBlock="everything")},
            "ValidationError",
            "Parameter VpcCidrBlock failed to satisfy constraint: must be a private IPv4 block",
        ),
        (
            {"TemplateBody": TEMPLATE, "Parameters": parameters(InterfaceEndpoints="some")},
            "ValidationError",
            "Parameter 'InterfaceEndpoints' must be one of AllowedValues",
        ),
        (
            {
                "TemplateBody": TEMPLATE,
                "Capabilities": ["CAPABILITY_IAM"],
                "Parameters": parameters(AvailabilityZone1="us-east-1a", AvailabilityZone2="us-east-1a"),
            },
            "ValidationError",
            "AvailabilityZone1 and AvailabilityZone2 must be different zones",
        ),
    ],
)
def test_what_is_refused_at_once(cloud: Any, asked: dict[str, Any], code: str, words: str) -> None:
    found = refusal(cloud.create_stack, **{"StackName": "net", **asked})
    assert found[0] == code
    assert words in found[1]
    assert cloud.describe_stacks()["Stacks"] == []


def test_a_request_that_is_repeated_after_a_lost_answer(sandbox: Sandbox, cloud: Any) -> None:
    sandbox.faults.add(Fault(operation="CreateStack", service="cloudformation", drop_connection="after"))
    patient = client(sandbox, "cloudformation", attempts=3)
    made = patient.create_stack(StackName="net", TemplateBody=BODY, ClientRequestToken="once")
    assert status_of(cloud, made["StackId"]) == "CREATE_COMPLETE"
    assert refusal(cloud.create_stack, StackName="net", TemplateBody=BODY) == (
        "AlreadyExistsException",
        "Stack [net] already exists",
    )


def test_throttling_and_denials_are_faults_as_of_any_service(sandbox: Sandbox, cloud: Any) -> None:
    cloud.create_stack(StackName="net", TemplateBody=BODY)
    sandbox.faults.add(Fault(operation="DescribeStackEvents", service="cloudformation", error="Throttling"))
    assert refusal(cloud.describe_stack_events, StackName="net") == ("Throttling", "Rate exceeded")
    assert story(cloud)[-1] == ("net", "CREATE_COMPLETE")


def test_events_come_in_pages_that_do_not_move(sandbox: Sandbox, cloud: Any) -> None:
    cloud.create_stack(StackName="net", TemplateBody=TEMPLATE, Capabilities=["CAPABILITY_IAM"])
    for number in range(4):
        cloud.update_stack(
            StackName="net", UsePreviousTemplate=True, Capabilities=["CAPABILITY_IAM"],
            Parameters=parameters(AvailabilityZoneCount="23"[number % 2], FlowLogs=("true", "false")[number % 2]),
        )  # fmt: skip
    first = cloud.describe_stack_events(StackName="net")
    assert len(first["StackEvents"]) == 100
    cloud.delete_stack(StackName="net")
    second = cloud.describe_stack_events(StackName=first["StackEvents"][0]["StackId"], NextToken=first["NextToken"])
    oldest, newest = first["StackEvents"][-1], second["StackEvents"][0]
    everything = [event["EventId"] for event in events(cloud, oldest["StackId"])]
    assert everything.index(oldest["EventId"]) == everything.index(newest["EventId"]) + 1


def test_questions_about_templates(cloud: Any) -> None:
    told = cloud.validate_template(TemplateBody=TEMPLATE)
    assert told["Capabilities"] == ["CAPABILITY_IAM"]
    assert {"ParameterKey": "FlowLogs", "DefaultValue": "true"}.items() <= {
        key: value for one in told["Parameters"] if one["ParameterKey"] == "FlowLogs" for key, value in one.items()
    }.items()
    summary = cloud.get_template_summary(TemplateBody=TEMPLATE)
    assert "AWS::EC2::VPCEndpoint" in summary["ResourceTypes"]
    cloud.create_stack(StackName="net", TemplateBody=BODY)
    body = cloud.get_template(StackName="net")["TemplateBody"]
    assert (body if isinstance(body, dict) else json.loads(body)) == SMALL
    (one,) = [
        one
        for one in cloud.list_stack_resources(StackName="net")["StackResourceSummaries"]
        if one["ResourceType"].endswith("VPC")
    ]
    detail = cloud.describe_stack_resource(StackName="net", LogicalResourceId="Vpc")["StackResourceDetail"]
    assert detail["PhysicalResourceId"] == one["PhysicalResourceId"]


def test_a_region_has_its_own_stacks(sandbox: Sandbox, cloud: Any) -> None:
    there = client(sandbox, "cloudformation", region="eu-west-1")
    there.create_stack(StackName="net", TemplateBody=BODY)
    assert cloud.describe_stacks()["Stacks"] == []
    zones = {one["AvailabilityZone"] for one in client(sandbox, "ec2", region="eu-west-1").describe_subnets()["Subnets"]}
    assert all(zone.startswith("eu-west-1") for zone in zones)
    there.delete_stack(StackName="net")


def test_the_page_says_what_a_script_has() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    exec(compile(example, "docs/sandbox.md", "exec"), {})
    rows = page.partition("| field of `StackScript` |")[2].partition("\n\n")[0]
    named = {name for row in rows.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == {field.name for field in dataclasses.fields(StackScript)}


def test_scripts_for_some_operations_go_before_those_for_all(sandbox: Sandbox, cloud: Any) -> None:
    for number in (1, 2):
        sandbox.stacks.script(StackScript(fail={"Vpc": f"{number}"}, times=1), stack="n*")
    sandbox.stacks.script(StackScript(fail={"Vpc": "3"}))
    found = []
    for name in ("other", "net-a", "net-b", "net-c"):
        cloud.create_stack(StackName=name, TemplateBody=BODY)
        found += [one["ResourceStatusReason"] for one in events(cloud, name) if one["ResourceStatus"] == "CREATE_FAILED"]
    assert found == ["3", "1", "2", "3"]
