"""Following an operation: pauses, deadline, a network that is gone; time passes only when somebody waits."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, List, Optional

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from hvdsm.aws.cloudformation import StackEvent
from hvdsm.errors import CloudRefused, CloudUnavailable, JobTimeout
from hvdsm.vpc.stacks.following import Followed, follow, last_operation, of_operation

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/net/4711"
LOST = EndpointConnectionError(endpoint_url="https://cloudformation.us-east-1.amazonaws.com", error="gone")
THROTTLED = ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "DescribeStackEvents")


class Service:
    """CloudFormation as ``follow`` sees it: events at their times, and failures of requests."""

    region = "us-east-1"

    def __init__(self, *entries: Any) -> None:
        self.now = 0.0
        self.waits: List[float] = []
        self.errors: List[Exception] = []
        self.entries = [_entry(number, *entry) for number, entry in enumerate(entries)]

    def client(self, service: str, **_options: Any) -> Service:
        assert service == "cloudformation"
        return self

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += max(seconds, 0.01)

    def _past(self) -> List[Dict[str, Any]]:
        if self.errors:
            raise self.errors.pop(0)
        return [entry for entry in self.entries if entry["Timestamp"] <= START + timedelta(seconds=self.now)]

    def describe_stacks(self, StackName: str) -> Dict[str, Any]:
        assert StackName == STACK
        own = [entry for entry in self._past() if entry["PhysicalResourceId"] == STACK]
        return {"Stacks": [{"StackId": STACK, "StackName": "net", "StackStatus": own[-1]["ResourceStatus"]}] if own else []}

    def describe_stack_events(self, StackName: str) -> Dict[str, Any]:
        return {"StackEvents": self._past()[::-1]}


def _entry(number: int, at: float, name: str, status: str, token: str = "", reason: str = "") -> Dict[str, Any]:
    return {
        "EventId": f"e{number}",
        "Timestamp": START + timedelta(seconds=at),
        "LogicalResourceId": name,
        "PhysicalResourceId": STACK if name == "net" else f"id-{name}",
        "ResourceType": "AWS::CloudFormation::Stack" if name == "net" else "AWS::EC2::VPC",
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
        "ClientRequestToken": token,
    }


OLD = [(0, "net", "CREATE_IN_PROGRESS", "old"), (0, "Vpc", "CREATE_COMPLETE", "old"), (0, "net", "CREATE_COMPLETE", "old")]


def run(service: Service, shown: Optional[List[StackEvent]] = None, said: Optional[List[str]] = None, **more: Any) -> Followed:
    show: Callable[[Any], None] = (lambda events: None) if shown is None else shown.extend
    say: Callable[[str], None] = (lambda text: None) if said is None else said.append
    options = {"limit": 1000.0, **more}
    aws: Any = service
    return follow(aws, STACK, show=show, say=say, clock=service.clock, wait=service.wait, **options)


def test_each_event_of_the_operation_once() -> None:
    update = [(1, "net", "UPDATE_IN_PROGRESS", "t"), (5, "Vpc", "UPDATE_COMPLETE", "t"), (9, "net", "UPDATE_COMPLETE", "t")]
    for more in ({"token": "t"}, {"after": "e2"}, {"token": "t", "after": "e2"}):
        service = Service(*OLD, *update)
        service.now = 1.0
        shown: List[StackEvent] = []
        ended = run(service, shown, **more)
        assert ended.ok and ended.cause is None and ended.seconds == 8.0
        assert [event.id for event in shown] == ["e3", "e4", "e5"] == [event.id for event in ended.events]


def test_an_operation_that_has_not_begun_yet_is_waited_for() -> None:
    service = Service(*OLD, (3, "net", "UPDATE_IN_PROGRESS", "t"), (4, "net", "UPDATE_COMPLETE", "t"))
    ended = run(service, token="t", after="e2")
    assert ended.stack.status == "UPDATE_COMPLETE" and len(ended.events) == 2


def test_an_operation_that_never_begins_ends() -> None:
    service = Service(*OLD)
    ended = run(service, token="t", after="e2")
    assert ended.events == () and ended.stack.status == "CREATE_COMPLETE" and service.now < 30


def test_a_roll_back_with_a_token_of_its_own_belongs_to_it() -> None:
    service = Service(
        *OLD,
        (1, "net", "UPDATE_IN_PROGRESS", "t"),
        (2, "Vpc", "UPDATE_FAILED", "t", "no"),
        (3, "net", "UPDATE_ROLLBACK_IN_PROGRESS", "other"),
        (5, "net", "UPDATE_ROLLBACK_COMPLETE", "other"),
    )
    service.now = 1.0
    ended = run(service, token="t")
    assert not ended.ok and len(ended.events) == 4
    assert ended.cause is not None and ended.cause.logical_id == "Vpc"


def test_without_token_the_last_operation_is_followed() -> None:
    ended = run(Service(*OLD, (0, "net", "DELETE_IN_PROGRESS"), (0, "Vpc", "DELETE_COMPLETE"), (0, "net", "DELETE_COMPLETE")))
    assert [event.status for event in ended.events] == ["DELETE_IN_PROGRESS", "DELETE_COMPLETE", "DELETE_COMPLETE"]


def test_pauses_grow_while_nothing_happens() -> None:
    service = Service(
        (0, "net", "CREATE_IN_PROGRESS", "t"), (100, "Vpc", "CREATE_COMPLETE"), (115, "net", "CREATE_COMPLETE", "t")
    )
    run(service, token="t")
    assert service.waits[:6] == [2.0, 3.0, 4.5, 6.75, 10.0, 10.0]
    # Something has happened again, then nothing.
    assert service.waits[-3:] == [2.0, 3.0, 4.5]


def test_throttling_makes_it_slower() -> None:
    service = Service((0, "net", "CREATE_IN_PROGRESS", "t"), (30, "net", "CREATE_COMPLETE", "t"))
    service.errors = [THROTTLED]
    said: List[str] = []
    assert run(service, said=said, token="t").ok
    assert any("fewer requests" in text for text in said)
    assert service.waits[1] == 10.0


def test_a_lost_network_is_waited_for() -> None:
    service = Service((0, "net", "CREATE_IN_PROGRESS", "t"), (10, "net", "CREATE_COMPLETE", "t"))
    service.errors = [LOST] * 5
    said: List[str] = []
    assert run(service, said=said, token="t").ok
    assert "waiting up to" in said[0] and said[1].startswith("it goes on after")


def test_a_network_that_stays_lost_ends_the_patience() -> None:
    service = Service((0, "net", "CREATE_IN_PROGRESS", "t"))
    service.errors = [LOST] * 10000
    said: List[str] = []
    with pytest.raises(CloudUnavailable, match="cannot be reached"):
        run(service, said=said, token="t", limit=5000.0)
    assert said[-1] == "stack net in us-east-1: what is under way there goes on without this command"
    service.errors = [LOST] * 10000
    with pytest.raises(JobTimeout, match="after 20 s"):
        run(service, token="t", limit=20.0)


def test_the_deadline() -> None:
    service = Service((0, "net", "CREATE_IN_PROGRESS", "t"))
    with pytest.raises(JobTimeout) as caught:
        run(service, token="t", limit=30.0)
    assert service.now == pytest.approx(30.0, abs=0.1)
    text = str(caught.value)
    assert "is still CREATE_IN_PROGRESS after 30 s" in text and "goes on without" in text and "hvdsm vpc status net" in text


def test_a_refusal_is_not_waited_for() -> None:
    service = Service((0, "net", "CREATE_IN_PROGRESS", "t"))
    denied = {"Code": "AccessDenied", "Message": "not authorized to perform: cloudformation:DescribeStacks"}
    service.errors = [ClientError({"Error": denied}, "DescribeStacks")]
    with pytest.raises(CloudRefused, match="cloudformation:DescribeStacks"):
        run(service, token="t")
    assert service.waits == []


def test_a_stack_that_has_gone() -> None:
    with pytest.raises(CloudRefused, match="no such stack any more"):
        run(Service(), token="t")


def test_parts_of_a_history() -> None:
    service = Service(*OLD, (1, "net", "UPDATE_IN_PROGRESS", "t"), (2, "net", "UPDATE_ROLLBACK_COMPLETE", "t"))
    events = [
        StackEvent(e["EventId"], e["Timestamp"], e["LogicalResourceId"], e["PhysicalResourceId"], e["ResourceType"],
                   e["ResourceStatus"], "", e["ClientRequestToken"])
        for e in service.entries
    ]  # fmt: skip
    assert [event.id for event in last_operation(events)] == ["e3", "e4"]
    assert [event.id for event in of_operation(events, "t")] == ["e3", "e4"]
    assert of_operation(events, "none") == []
    assert len(of_operation(events, "none", others=True)) == 5 == len(of_operation(events, None))
