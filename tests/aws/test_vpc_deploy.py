"""Stacks made and changed over HTTP: what is planned, done and left when something goes wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from aws_support import moto_aws, moto_server
from vpc_support import SMALL, Told, asked, deployed, made_by_others, order, planned, session, stack_of, subnets, until

from hvdsm.aws.cloudformation import StackEvent, find
from hvdsm.errors import CloudRefused, ConfigError, JobTimeout
from hvdsm.sandbox import Fault, Sandbox, StackScript
from hvdsm.vpc.stacks.deploying import carry_out, discard
from hvdsm.vpc.stacks.having import resources_or_events
from hvdsm.vpc.stacks.settling import StackFailed
from hvdsm.vpc.templates.template import text

QUOTA = "The maximum number of VPCs has been reached. (Service: Ec2, Status Code: 400, Request ID: 1)"


def test_a_network_is_made_and_a_second_time_nothing_happens(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    done = deployed(aws, order(zones=2), told)
    assert done.stack.status == "CREATE_COMPLETE" and done.stack.protected
    outputs = done.stack.outputs
    assert {"VpcId", "Subnet1Id", "Subnet2Id", "SecurityGroupId", "TrafficEncryptedSecurityGroupId"} <= set(outputs)
    assert json.loads(outputs["VpcConfig"]) == {
        "Subnets": [outputs["Subnet1Id"]],
        "SecurityGroupIds": [outputs["SecurityGroupId"]],
    }
    there = subnets(aws, [outputs["Subnet1Id"], outputs["Subnet2Id"]])
    assert [entry["CidrBlock"] for entry in there.values()] == ["10.0.0.0/24", "10.0.1.0/24"]
    assert len({entry["AvailabilityZone"] for entry in there.values()}) == 2
    assert done.followed is not None and {event.logical_id for event in told.events} >= {"Vpc", "Subnet1", "Subnet2", "net"}

    executed = asked(sandbox, "ExecuteChangeSet")
    again = planned(aws, order(zones=2))
    assert again.nothing
    kept = carry_out(aws, again, show=told, say=told.say)
    assert (kept.stack.id, kept.followed) == (done.stack.id, None)
    assert asked(sandbox, "ExecuteChangeSet") == executed == 1
    assert aws.client("cloudformation").list_change_sets(StackName="net")["Summaries"] == []


def test_an_update_keeps_what_is_not_given(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    deployed(aws, order(zones=2, cidr="10.20.0.0/16", flow_log_days=30, tags={"team": "vision"}, protect=False))
    found = planned(aws, order(endpoints="core", tags={"project": "x"}))
    assert "AvailabilityZoneCount=2" in "\n".join(found.notes) and "VpcCidrBlock=10.20.0.0/16" in "\n".join(found.notes)
    done = carry_out(aws, found, show=Told(), say=Told().say)
    assert done.stack.status == "UPDATE_COMPLETE" and not done.stack.protected, "an update leaves the protection as it is"
    assert done.stack.parameters["FlowLogRetentionDays"] == "30" and done.stack.parameters["SubnetCidrBlock2"] == "10.20.1.0/24"
    assert done.stack.tags == {"team": "vision", "project": "x"}
    assert {change.logical_id for change in found.change_set.changes} >= {"LogsEndpoint", "StsEndpoint", "EndpointSecurityGroup"}


def test_protection_is_set_without_a_change(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    deployed(aws, order(template=SMALL, protect=False))
    assert deployed(aws, order(template=SMALL)).stack.protected is False
    assert deployed(aws, order(template=SMALL, protect=True)).stack.protected is True
    assert asked(sandbox, "ExecuteChangeSet") == 1


def test_a_plan_leaves_nothing(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    found = planned(aws, order(endpoints="full", zones=2))
    assert found.change_set.kind == "CREATE" and {change.action for change in found.change_set.changes} == {"Add"}
    assert found.costs is not None and found.costs.per_month == pytest.approx(8 * 2 * 730 * 0.01)
    discard(aws, found, told.say)
    assert find(aws, "net") is None

    deployed(aws, order())
    before = stack_of(aws)
    discard(aws, planned(aws, order(zones=2)), told.say)
    assert stack_of(aws) == before
    assert aws.client("cloudformation").list_change_sets(StackName="net")["Summaries"] == []


def test_an_empty_stack_of_another_plan_is_used_and_left_by_a_plan(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    other = planned(aws, order())
    mine = planned(aws, order(zones=2), told)
    assert not mine.change_set.made_stack and told.lines == []
    discard(aws, mine, told.say)
    assert stack_of(aws).status == "REVIEW_IN_PROGRESS", "somebody else's change set is in it"
    done = carry_out(aws, other, show=told, say=told.say)
    assert done.stack.status == "CREATE_COMPLETE" and "Subnet2Id" not in done.stack.outputs


def test_an_empty_stack_is_not_deleted_while_it_has_other_change_sets(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    first = planned(aws, order())
    second = planned(aws, order())
    discard(aws, first, Told().say)
    assert stack_of(aws).status == "REVIEW_IN_PROGRESS"
    discard(aws, second, Told().say)


def test_what_cuts_jobs_off_is_warned_of(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    deployed(aws, order(zones=2))
    found = planned(aws, order(zones=1))
    assert [change.logical_id for change in found.change_set.changes if change.action == "Remove"]
    (warning,) = found.warnings
    assert "Subnet2" in warning and warning.endswith("are removed: jobs that run in the network are cut off")
    assert planned(aws, order(zones=3)).warnings == []


def test_a_failure_names_its_root_cause_first(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    sandbox.stacks.script(StackScript(fail={"S3Endpoint": QUOTA}, seconds_of={"SecurityGroup": 0.2}, times=1))
    with pytest.raises(StackFailed) as caught:
        deployed(aws, order(zones=2), told)
    error = caught.value
    assert error.exit_code == 78 and error.cause is not None and error.cause.logical_id == "S3Endpoint"
    assert error.what.startswith("S3Endpoint (AWS::EC2::VPCEndpoint) CREATE_FAILED: The maximum number of VPCs has been reached.")
    assert "ROLLBACK_COMPLETE" in error.what and "--recreate" in str(error) and "VPCs per Region" in str(error)
    # The next one is told why, and what to do.
    with pytest.raises(StackFailed, match="The maximum number of VPCs has been reached"):
        deployed(aws, order(zones=2))
    failed_id = stack_of(aws).id
    aws.client("cloudformation").update_termination_protection(StackName="net", EnableTerminationProtection=True)
    told = Told()
    done = deployed(aws, order(zones=2, recreate=True), told)
    assert done.stack.status == "CREATE_COMPLETE" and done.stack.id != failed_id
    assert "is ROLLBACK_COMPLETE: it is deleted, to be made again" in told.text


def test_recreate_does_nothing_to_a_stack_that_is_whole(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    first = deployed(aws, order(template=SMALL)).stack
    assert deployed(aws, order(template=SMALL, recreate=True)).stack.id == first.id
    assert asked(sandbox, "DeleteStack") == 0


def test_recreate_takes_an_empty_stack_away(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    left = planned(aws, order(template=SMALL)).change_set.stack_id
    done = deployed(aws, order(template=SMALL, recreate=True))
    assert done.stack.status == "CREATE_COMPLETE" and done.stack.id != left


def test_a_roll_back_that_fails_names_what_is_left(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    sandbox.stacks.script(
        StackScript(fail={"Group": "no"}, fail_rollback={"Vpc": "has dependencies and cannot be deleted"}, times=1)
    )
    with pytest.raises(StackFailed) as caught:
        deployed(aws, order(template=SMALL))
    assert "now: ROLLBACK_FAILED; left: Vpc (vpc-" in caught.value.what
    assert "hvdsm vpc delete net" in str(caught.value)
    assert deployed(aws, order(template=SMALL, recreate=True)).stack.status == "CREATE_COMPLETE"


def test_an_update_that_fails_leaves_the_stack_as_it_was(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    deployed(aws, order())
    sandbox.stacks.script(StackScript(fail={"Subnet2": "The CIDR '10.0.1.0/24' conflicts with another subnet"}, times=1))
    with pytest.raises(StackFailed) as caught:
        deployed(aws, order(zones=2))
    assert "Subnet2" in caught.value.what and "it is as it was before the update" in caught.value.what
    assert stack_of(aws).status == "UPDATE_ROLLBACK_COMPLETE"
    assert deployed(aws, order(zones=2)).stack.status == "UPDATE_COMPLETE"


def test_an_update_whose_roll_back_fails_needs_a_person(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    deployed(aws, order())
    script = StackScript(fail={"Subnet2": "no"}, seconds_of={"Subnet2": 0.3}, fail_rollback={"FlowLogGroup": "stuck"}, times=1)
    sandbox.stacks.script(script)
    wanted = order(zones=2, flow_log_days=30)
    with pytest.raises(StackFailed, match=r": Subnet2 \(AWS::EC2::Subnet\) CREATE_FAILED: no\n"):
        deployed(aws, wanted)
    assert stack_of(aws).status == "UPDATE_ROLLBACK_FAILED"
    with pytest.raises(StackFailed) as caught:
        deployed(aws, wanted)
    assert "continue-update-rollback --stack-name net" in str(caught.value)


def test_what_others_do_is_waited_for(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    assert find(aws, "net") is None
    sandbox.stacks.script(StackScript(seconds=5.0, times=1))
    made_by_others(aws)
    assert stack_of(aws).status == "CREATE_IN_PROGRESS"
    assert deployed(aws, order(template=SMALL), told).followed is None
    assert "net is CREATE_IN_PROGRESS: an operation that began elsewhere; waiting" in told.text

    sandbox.stacks.script(StackScript(seconds=5.0, times=1))
    aws.client("cloudformation").delete_stack(StackName="net")
    told = Told()
    done = deployed(aws, order(template=SMALL), told)
    assert done.stack.status == "CREATE_COMPLETE" and "DELETE_IN_PROGRESS" in told.text


def test_what_others_do_first_is_said(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    mine, theirs = planned(aws, order(template=SMALL)), planned(aws, order(template=SMALL))
    carry_out(aws, theirs, show=told, say=told.say)
    with pytest.raises(CloudRefused, match="changed by someone else in the meantime"):
        carry_out(aws, mine, show=told, say=told.say)


def test_a_time_limit(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    sandbox.stacks.script(StackScript(seconds=0.7, times=1))
    found = replace(planned(aws, order(template=SMALL)), deadline=time.monotonic() + 0.3)
    with pytest.raises(JobTimeout) as caught:
        carry_out(aws, found, show=told, say=told.say)
    assert caught.value.exit_code == 75 and "goes on without this command" in caught.value.what
    assert until(aws, "net", "CREATE_COMPLETE").protected, "nothing else would protect it"


def test_a_time_limit_before_anything_has_begun(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    found = replace(planned(aws, order(template=SMALL)), deadline=time.monotonic() - 1)
    with pytest.raises(JobTimeout, match="nothing was changed"):
        carry_out(aws, found, show=told, say=told.say)
    assert find(aws, "net") is None
    sandbox.stacks.script(StackScript(change_set_seconds=60.0, times=1))
    with pytest.raises(JobTimeout, match="the change set is still CREATE_PENDING; nothing was changed"):
        planned(aws, order(template=SMALL, timeout=1.0))
    assert find(aws, "net") is None, "a change set that is still being made goes with its stack"


def test_without_waiting(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    sandbox.stacks.script(StackScript(seconds=0.3, times=1))
    done = deployed(aws, order(template=SMALL), wait=False)
    assert (done.stack.status, done.ended, done.stack.protected) == ("CREATE_IN_PROGRESS", False, True)
    until(aws, "net", "CREATE_COMPLETE")


def test_a_change_set_that_fails_leaves_no_stack(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    sandbox.stacks.script(
        StackScript(change_set_fails="Template error: Fn::Select  cannot select nonexistent value at index 1", times=1)
    )
    with pytest.raises(CloudRefused) as caught:
        planned(aws, order())
    assert "cannot select nonexistent value at index 1" in str(caught.value) and "--zone" in str(caught.value)
    assert find(aws, "net") is None


WAYS = {
    "DescribeStacks": Fault(status=503),
    "CreateChangeSet": Fault(drop_connection="after"),
    "DescribeChangeSet": Fault(status=500),
    "ExecuteChangeSet": Fault(drop_connection="after"),
    "DescribeStackEvents": Fault(drop_connection=True),
    "UpdateTerminationProtection": Fault(drop_connection=True),
    "DescribeAvailabilityZones": Fault(error="RequestLimitExceeded", status=503),
}


@pytest.mark.parametrize("operation", WAYS)
def test_what_passes_is_waited_for(sandbox: Sandbox, operation: str) -> None:
    aws, told = session(sandbox), Told()
    sandbox.faults.add(Fault(operation=operation, error="Throttling"), replace(WAYS[operation], operation=operation))
    done = deployed(aws, order(template=SMALL), told)
    assert (done.stack.status, done.stack.protected) == ("CREATE_COMPLETE", True)
    assert sandbox.faults.left() == [] and "waiting up to" in told.text
    assert len(aws.client("ec2").describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.9.0.0/16"]}])["Vpcs"]) == 1


@pytest.mark.parametrize("operation", ["CreateChangeSet", "ExecuteChangeSet", "DescribeStacks"])
def test_a_missing_permission(sandbox: Sandbox, operation: str) -> None:
    aws = session(sandbox)
    message = f"User: arn:aws:iam::123456789012:user/me is not authorized to perform: cloudformation:{operation}"
    sandbox.faults.add(Fault(operation=operation, error="AccessDenied", status=403, message=message, times=None))
    with pytest.raises(CloudRefused, match=f"lacks the permission cloudformation:{operation}"):
        deployed(aws, order(template=SMALL))
    assert aws.client("ec2").describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.9.0.0/16"]}])["Vpcs"] == []
    sandbox.faults.clear()
    assert find(aws, "net") is None


def test_a_quota_of_stacks_is_no_throttling(sandbox: Sandbox) -> None:
    message = "Limit for stack has been exceeded"
    sandbox.faults.add(Fault(operation="CreateChangeSet", error="LimitExceededException", message=message, times=None))
    with pytest.raises(CloudRefused, match="quota of CloudFormation is used up") as caught:
        planned(session(sandbox), order(template=SMALL))
    assert "Stack count" in str(caught.value) and asked(sandbox, "CreateChangeSet") == 1


def test_permissions_that_are_not_needed(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    for operation in ("DescribeAvailabilityZones", "UpdateTerminationProtection", "DescribeInstanceTypeOfferings"):
        sandbox.faults.add(Fault(operation=operation, error="AccessDenied", status=403, times=None))
    found = planned(aws, order(instance_type="ml.p4d.24xlarge"), told)
    done = carry_out(aws, found, show=told, say=told.say)
    assert done.stack.status == "CREATE_COMPLETE" and not done.stack.protected
    assert "warning: the stack is not protected against deletion" in told.text
    assert "ec2:DescribeAvailabilityZones" in "\n".join(found.notes) and "ml.p4d.24xlarge" in "\n".join(found.notes)


def test_capabilities_are_given_where_they_are_needed(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    assert deployed(aws, order()).stack.capabilities == ["CAPABILITY_IAM"]
    assert deployed(aws, order("small", template=SMALL)).stack.capabilities == []


def test_a_template_of_ones_own(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    found = planned(aws, order(template=SMALL))
    assert any("self-egress" in note or "all traffic" in note for note in found.notes), found.notes
    # What cannot be worked out here is AWS's to judge.
    odd = '  Odd: {Type: "AWS::EC2::VPCEndpoint", Properties: {VpcEndpointType: Interface, SubnetIds: 5, ServiceName: x}}\n'
    unknown = SMALL.replace("Outputs:", f"{odd}Outputs:")
    found = planned(aws, order("odd", template=unknown))
    assert found.costs is None and "the template is not checked, and its costs are not known" in "\n".join(found.notes)
    with pytest.raises(ConfigError, match="no table of tables"):
        planned(aws, order("odd", template=SMALL + "Parameters: {A: b}\n"))


class Offline(Told):
    """Loses the network when something begins to happen."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.sandbox = sandbox

    def __call__(self, events: Sequence[StackEvent]) -> None:
        if not self.events:
            self.sandbox.go_offline(0.7)
        super().__call__(events)


def test_a_lost_network_is_waited_for_while_the_stack_goes_on(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Offline(sandbox)
    sandbox.stacks.script(StackScript(seconds=0.3, times=1))
    done = carry_out(aws, planned(aws, order(template=SMALL)), show=told, say=told.say)
    assert done.stack.status == "CREATE_COMPLETE" and done.stack.protected
    assert "cannot be reached" in told.text and "it goes on after" in told.text
    assert len(told.events) == len({event.id for event in told.events})


def test_zones_by_name_and_id(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    zones = aws.client("ec2").describe_availability_zones()["AvailabilityZones"]
    done = deployed(aws, order(zone_names=(zones[2]["ZoneId"], zones[0]["ZoneName"])))
    there = subnets(aws, [done.stack.outputs["Subnet1Id"], done.stack.outputs["Subnet2Id"]])
    assert [there[done.stack.outputs[f"Subnet{n}Id"]]["AvailabilityZone"] for n in (1, 2)] == [
        zones[2]["ZoneName"],
        zones[0]["ZoneName"],
    ]
    with pytest.raises(ConfigError, match="has no Availability Zone us-east-1q"):
        planned(aws, order("other", zone_names=("us-east-1q",)))


def test_parameters_are_checked_before_anything_is_sent(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    with pytest.raises(ConfigError, match="overlaps"):
        planned(aws, order(zones=2, subnet_cidrs=("10.0.0.0/23", "10.0.1.0/24")))
    assert asked(sandbox, "CreateChangeSet") == 0


def test_a_cloudformation_of_another_make() -> None:
    """moto's own makes everything at once, and refuses a change set that changes nothing."""
    with moto_server() as url:
        aws, told = moto_aws(url), Told()
        wanted = order(template=SMALL, protect=False)
        discard(aws, planned(aws, wanted), told.say)
        assert find(aws, "net") is None
        done = deployed(aws, wanted)
        assert done.stack.status == "CREATE_COMPLETE" and done.followed is not None
        assert planned(aws, wanted).nothing
        changed = deployed(aws, order(template=SMALL.replace("GroupDescription: all", "GroupDescription: some"), protect=False))
        assert changed.stack.status == "UPDATE_COMPLETE" and changed.stack.id == done.stack.id


def test_the_template_is_made_by_a_cloudformation_of_another_make() -> None:
    """By a plain CreateStack of the file as it is; moto passes over resources that it does not know."""
    with moto_server() as url:
        aws = moto_aws(url)
        aws.client("cloudformation").create_stack(StackName="plain", TemplateBody=text(), Capabilities=["CAPABILITY_IAM"])
        made = find(aws, "plain")
        assert made is not None and made.status == "CREATE_COMPLETE"
        rules = aws.client("ec2").describe_security_groups(GroupIds=[made.outputs["TrafficEncryptedSecurityGroupId"]])
        assert {rule["IpProtocol"] for rule in rules["SecurityGroups"][0]["IpPermissions"]} == {"udp", "50"}


def test_protection_that_the_service_cannot_set_is_soon_given_up(sandbox: Sandbox) -> None:
    page = "<!doctype html><title>500 Internal Server Error</title><h1>Out of order</h1>"
    sandbox.faults.add(Fault("UpdateTerminationProtection", status=500, message=page, times=None))
    told = Told()
    done = carry_out(session(sandbox), planned(session(sandbox), order(template=SMALL)), show=told, say=told.say)
    assert done.stack.status == "CREATE_COMPLETE" and not done.stack.protected
    warning = next(line for line in told.lines if line.startswith("warning: the stack is not protected"))
    assert "500 Internal Server Error" in warning and "<" not in warning and "Out of order" not in warning
    assert "waiting up to 5 s" in told.text


def test_a_stack_that_others_delete_meanwhile_is_no_success(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    sandbox.stacks.script(StackScript(seconds=1.0, times=1))

    def show(events: Sequence[StackEvent]) -> None:
        if not asked(sandbox, "DeleteStack"):
            aws.client("cloudformation").delete_stack(StackName="net")

    with pytest.raises(StackFailed, match="DELETE_COMPLETE") as caught:
        carry_out(aws, planned(aws, order(template=SMALL)), show=show, say=Told().say)
    assert "hvdsm vpc deploy net" in str(caught.value)


def test_a_stack_of_another_kind_is_left_alone(sandbox: Sandbox) -> None:
    aws = session(sandbox)
    topic = 'Parameters: {Who: {Type: String, Default: me}}\nResources: {Topic: {Type: "AWS::SNS::Topic"}}\n'
    aws.client("cloudformation").create_stack(StackName="net", TemplateBody=topic)
    with pytest.raises(ConfigError, match="of another template") as caught:
        planned(aws, order())
    assert "--template" in str(caught.value) and asked(sandbox, "CreateChangeSet") == 0
    # Who names the template means it.
    assert deployed(aws, order(template=SMALL)).stack.status == "UPDATE_COMPLETE"


def test_resources_that_cannot_be_listed_are_told_by_events(sandbox: Sandbox) -> None:
    aws, told = session(sandbox), Told()
    made = deployed(aws, order(template=SMALL)).stack
    listed = resources_or_events(aws, made, told.say)
    sandbox.faults.add(Fault("ListStackResources", status=500, times=None))
    by_events = resources_or_events(aws, made, told.say, wait=lambda seconds: True)
    assert {(one.logical_id, one.physical_id, one.status) for one in by_events} == {
        (one.logical_id, one.physical_id, one.status) for one in listed
    }
    assert "its events are taken instead" in told.text
