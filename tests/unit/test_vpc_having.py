"""What a stack has, told by its events."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from hvdsm.aws.cloudformation import StackEvent
from hvdsm.errors import ConfigError
from hvdsm.vpc.stacks.addresses import choose_blocks
from hvdsm.vpc.stacks.having import resources_of_events

BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def event(at: int, name: str, physical: str, status: str, kind: str = "AWS::EC2::Subnet") -> StackEvent:
    return StackEvent(f"e{at}", BEGAN + timedelta(seconds=at), name, physical, kind, status)


def test_a_resource_is_as_its_last_event_says() -> None:
    stack = "arn:aws:cloudformation:us-east-1:123456789012:stack/net/1"
    found = resources_of_events(
        [
            event(0, "net", stack, "CREATE_IN_PROGRESS", "AWS::CloudFormation::Stack"),
            event(1, "Subnet1", "", "CREATE_IN_PROGRESS"),
            event(2, "Subnet1", "subnet-1", "CREATE_IN_PROGRESS"),
            event(3, "Subnet1", "subnet-1", "CREATE_COMPLETE"),
            event(4, "Subnet2", "subnet-2", "CREATE_COMPLETE"),
            # Replaced: the old one goes after the new one was made.
            event(5, "Subnet1", "subnet-9", "UPDATE_COMPLETE"),
            event(6, "Subnet1", "subnet-1", "DELETE_IN_PROGRESS"),
            event(7, "Subnet1", "subnet-1", "DELETE_COMPLETE"),
            event(8, "Subnet2", "subnet-2", "DELETE_COMPLETE"),
        ]
    )
    assert [(one.logical_id, one.physical_id, one.status) for one in found] == [
        ("Subnet1", "subnet-9", "UPDATE_COMPLETE"),
        ("Subnet2", "subnet-2", "DELETE_COMPLETE"),
    ]


def test_more_instances_than_any_subnet_holds() -> None:
    with pytest.raises(ConfigError, match="more than the largest subnet has") as caught:
        choose_blocks("10.0.0.0/16", ["10.0.0.0/24"], used=1, fixed=[False], needed=(500_000, "100000 instances"))
    assert caught.value.where == "--instance-count"
