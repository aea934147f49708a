"""Small networks as stacks of the sandbox, and how the tests of ``hvdsm vpc`` look at them."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

from hvdsm.aws.cloudformation import Stack, find
from hvdsm.aws.session import Aws, connect
from hvdsm.sandbox import Sandbox

SUBNET = {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.0.0/24"}
TEMPLATE: Dict[str, Any] = {
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Subnet1": {"Type": "AWS::EC2::Subnet", "Properties": SUBNET},
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": {"Ref": "Vpc"}}},
    },
    "Outputs": {
        "VpcId": {"Value": {"Ref": "Vpc"}, "Export": {"Name": {"Fn::Sub": "${AWS::StackName}-VpcId"}}},
        "Subnet1Id": {"Value": {"Ref": "Subnet1"}},
        "SecurityGroupId": {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}},
    },
}


_sessions: Dict[str, Aws] = {}


def session(sandbox: Sandbox) -> Aws:
    """A session whose clients try once: what is tried again is hvdsm's own doing.  Each sandbox has one: clients cost time."""
    if sandbox.url not in _sessions:
        _sessions[sandbox.url] = connect(environ={**sandbox.environ(), "AWS_MAX_ATTEMPTS": "1"})
    return _sessions[sandbox.url]


def create(
    sandbox: Sandbox, name: str = "net", *, template: Optional[Dict[str, Any]] = None, token: str = "made", **more: Any
) -> Stack:
    """Begin to create a stack; the stack as it is then."""
    body = json.dumps(TEMPLATE if template is None else template)
    session(sandbox).client("cloudformation").create_stack(StackName=name, TemplateBody=body, ClientRequestToken=token, **more)
    found = find(session(sandbox), name)
    assert found is not None
    return found


def operations(sandbox: Sandbox) -> List[str]:
    """The operations that the sandbox was asked for."""
    return [operation for operation, _ in sandbox.requests]
