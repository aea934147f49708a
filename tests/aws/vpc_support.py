"""Stacks of the sandbox for tests of ``hvdsm vpc``."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Sequence

from hvdsm.aws.cloudformation import Stack, StackEvent, find
from hvdsm.aws.session import Aws, connect
from hvdsm.sandbox import Sandbox
from hvdsm.vpc.stacks.deploying import Deployed, carry_out, plan
from hvdsm.vpc.stacks.plans import Order, Plan
from hvdsm.vpc.stacks.stack_parameters import Wish

# A template that needs nothing: a network, and a group.
SMALL = """
Resources:
  Vpc: {Type: "AWS::EC2::VPC", Properties: {CidrBlock: 10.9.0.0/16}}
  Group: {Type: "AWS::EC2::SecurityGroup", Properties: {GroupDescription: all, VpcId: !Ref Vpc}}
Outputs:
  VpcId: {Value: !Ref Vpc}
  SecurityGroupId: {Value: !Ref Group}
"""


class Told:
    """What was said and shown."""

    def __init__(self) -> None:
        self.lines: List[str] = []
        self.events: List[StackEvent] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def __call__(self, events: Sequence[StackEvent]) -> None:
        self.events += events

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def session(sandbox: Sandbox) -> Aws:
    """A session of the sandbox, whose requests botocore makes once."""
    return connect(environ={**sandbox.environ(), "AWS_MAX_ATTEMPTS": "1"})


def order(name: str = "net", *, template: Optional[str] = None, **fields: Any) -> Order:
    """An order; fields of the wish may be among the fields."""
    own = {key: fields.pop(key) for key in ("tags", "protect", "recreate", "timeout") if key in fields}
    return Order(name, template, Wish(**fields), interval=0.02, **{"timeout": 60.0, **own})


def planned(aws: Aws, wanted: Order, told: Optional[Told] = None) -> Plan:
    """A plan."""
    told = told or Told()
    return plan(aws, wanted, show=told, say=told.say)


def deployed(aws: Aws, wanted: Order, told: Optional[Told] = None, **how: Any) -> Deployed:
    """A stack that is made or changed."""
    told = told or Told()
    return carry_out(aws, planned(aws, wanted, told), show=told, say=told.say, **how)


def stack_of(aws: Aws, name: str = "net") -> Stack:
    """A stack that is there."""
    found = find(aws, name)
    assert found is not None
    return found


def made_by_others(aws: Aws, name: str = "net", template: str = SMALL, **fields: Any) -> str:
    """A stack that somebody makes without hvdsm; its id."""
    return str(aws.client("cloudformation").create_stack(StackName=name, TemplateBody=template, **fields)["StackId"])


def until(aws: Aws, name: str, status: str, seconds: float = 20.0) -> Stack:
    """A stack, once it has a status."""
    end = time.monotonic() + seconds
    while True:
        found = find(aws, name)
        if found is not None and found.status == status:
            return found
        assert time.monotonic() < end, f"{name} is {found and found.status}, not {status}"
        time.sleep(0.02)


def asked(sandbox: Sandbox, operation: str) -> int:
    """How often an operation was asked for."""
    return sum(name == operation for name, _ in sandbox.requests)


def subnets(aws: Aws, ids: Sequence[str]) -> Dict[str, Dict[str, Any]]:
    """Subnets as EC2 has them."""
    found = aws.client("ec2").describe_subnets(SubnetIds=list(ids))["Subnets"]
    return {entry["SubnetId"]: entry for entry in found}
