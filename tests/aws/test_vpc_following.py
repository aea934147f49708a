"""Operations of stacks followed over HTTP: delays, failures, roll-backs, throttling, and a network that goes away."""

from __future__ import annotations

import copy
import io
import json
from typing import Any, List

import pytest
from vpc_stacks import TEMPLATE, create, session

from hvdsm.aws.cloudformation import StackEvent
from hvdsm.errors import JobTimeout
from hvdsm.sandbox import Fault, Sandbox, StackScript
from hvdsm.vpc.stacks.causes import cause_lines
from hvdsm.vpc.stacks.following import Followed, follow
from hvdsm.vpc.stacks.tree import shown

CONFLICT = "The CIDR '10.0.0.0/24' conflicts with another subnet (Service: Ec2, Status Code: 400, Request ID: 1)"


def run(sandbox: Sandbox, stack_id: str, said: List[str], **more: Any) -> Followed:
    options = {"limit": 60.0, "interval": 0.05, **more}
    with shown("net", io.StringIO()) as view:
        return follow(session(sandbox), stack_id, show=view, say=said.append, **options)


def test_a_stack_is_followed_to_its_end(sandbox: Sandbox) -> None:
    sandbox.stacks.script(StackScript(seconds=0.2))
    stack = create(sandbox)
    events: List[StackEvent] = []
    ended = follow(session(sandbox), stack.id, token="made", show=events.extend, limit=60.0, interval=0.05, say=lambda text: None)
    assert ended.ok and ended.cause is None and tuple(events) == ended.events
    assert len({event.id for event in events}) == len(events)
    complete = [event.logical_id for event in events if event.status == "CREATE_COMPLETE"]
    assert complete[0] == "Vpc" and complete[-1] == "net" and sorted(complete[1:3]) == ["Group", "Subnet1"]


def test_a_failure_is_named_and_the_roll_back_followed(sandbox: Sandbox) -> None:
    sandbox.stacks.script(StackScript(seconds_of={"Group": 0.4}, seconds=0.1, fail={"Subnet1": CONFLICT}))
    stack = create(sandbox)
    ended = run(sandbox, stack.id, [], token="made")
    assert not ended.ok and ended.stack.status == "ROLLBACK_COMPLETE"
    assert ended.cause is not None and ended.cause.logical_id == "Subnet1"
    assert any("cancelled" in event.reason for event in ended.events)
    lines = cause_lines(ended.events)
    assert (
        lines[0] == "root cause: Subnet1 (AWS::EC2::Subnet) CREATE_FAILED: The CIDR '10.0.0.0/24' conflicts with another subnet"
    )
    assert "--subnet-cidr" in lines[1] and len(lines) == 2


def test_events_of_earlier_operations_are_left_out(sandbox: Sandbox) -> None:
    stack = create(sandbox)
    first = run(sandbox, stack.id, [], token="made")
    wider = copy.deepcopy(TEMPLATE)
    wider["Resources"]["Other"] = {**TEMPLATE["Resources"]["Group"]}
    update = {"StackName": "net", "TemplateBody": json.dumps(wider), "ClientRequestToken": "changed"}
    session(sandbox).client("cloudformation").update_stack(**update)
    for more in ({"token": "changed"}, {"after": first.events[-1].id}, {}):
        second = run(sandbox, stack.id, [], **more)
        assert second.stack.status == "UPDATE_COMPLETE"
        assert {event.logical_id for event in second.events} == {"Other", "net"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("DescribeStackEvents", times=3, service="cloudformation", error="Throttling"),
        Fault("DescribeStacks", times=2, service="cloudformation", status=503),
        Fault("DescribeStackEvents", times=2, service="cloudformation", drop_connection=True),
    ],
)
def test_faults_that_pass_are_waited_for(sandbox: Sandbox, fault: Fault) -> None:
    sandbox.stacks.script(StackScript(seconds=0.1))
    stack = create(sandbox)
    sandbox.faults.add(fault)
    said: List[str] = []
    ended = run(sandbox, stack.id, said, token="made")
    assert ended.ok and not sandbox.faults.left()
    assert "waiting up to" in said[0] and said[-1].startswith("it goes on")


def test_a_lost_network_is_waited_for(sandbox: Sandbox) -> None:
    sandbox.stacks.script(StackScript(seconds=0.2))
    stack = create(sandbox)
    sandbox.go_offline(0.8)
    said: List[str] = []
    assert run(sandbox, stack.id, said, token="made").ok
    assert "cannot be reached" in said[0] and said[-1].startswith("it goes on")


def test_the_deadline_leaves_the_operation_alone(sandbox: Sandbox) -> None:
    sandbox.stacks.script(StackScript(seconds=60))
    stack = create(sandbox)
    with pytest.raises(JobTimeout, match="is still CREATE_IN_PROGRESS"):
        run(sandbox, stack.id, [], token="made", limit=0.3)
    assert sandbox.stacks.status("net") == "CREATE_IN_PROGRESS"


def test_a_failed_deletion_has_its_own_cause(sandbox: Sandbox) -> None:
    sandbox.stacks.script(StackScript(fail_delete={"Group": "resource sg-1 has a dependent object"}))
    stack = create(sandbox)
    session(sandbox).client("cloudformation").delete_stack(StackName="net", ClientRequestToken="gone")
    ended = run(sandbox, stack.id, [], token="gone")
    assert ended.stack.status == "DELETE_FAILED" and ended.cause is not None
    assert (ended.cause.logical_id, ended.cause.status) == ("Group", "DELETE_FAILED")
