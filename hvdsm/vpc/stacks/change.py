"""What an operation would do to each resource of a stack.

Source: AWS CloudFormation API Reference, ResourceChange.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

CREATE, UPDATE = "CREATE", "UPDATE"
# What a job has, or goes through: without it, or with another one in its place, a running job is cut off.
_CARRYING = frozenset(
    f"AWS::EC2::{name}"
    for name in (
        "VPC", "Subnet", "SecurityGroup", "SecurityGroupIngress", "SecurityGroupEgress", "RouteTable", "Route", "VPCEndpoint",
        "SubnetRouteTableAssociation", "VPCCidrBlock", "SubnetCidrBlock", "DHCPOptions", "VPCDHCPOptionsAssociation",
        "NetworkAcl", "NetworkAclEntry", "SubnetNetworkAclAssociation", "NatGateway", "InternetGateway", "VPCGatewayAttachment",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """What becomes of a resource.

    Attributes:
        action: ``Add``, ``Modify``, ``Remove``, ``Import`` or ``Dynamic``.
        logical_id: its name in the template.
        physical_id: its name in AWS; empty for one that is made.
        kind: its type.
        replacement: ``True``, ``False`` or ``Conditional`` for one that is modified; else empty.
        properties: what is modified, such as ``CidrBlock`` or ``Tags``.
    """

    action: str
    logical_id: str
    physical_id: str
    kind: str
    replacement: str = ""
    properties: Tuple[str, ...] = ()

    @property
    def cuts(self) -> bool:
        """Whether a job that runs in the network may be cut off by it."""
        away = self.action == "Remove" or self.replacement in ("True", "Conditional")
        return away and self.kind in _CARRYING

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return {
            "action": self.action,
            "resource": self.logical_id,
            "physical_id": self.physical_id or None,
            "type": self.kind,
            "replacement": self.replacement or None,
            "properties": list(self.properties),
            "cuts_running_jobs": self.cuts,
        }


@dataclass(frozen=True)
class ChangeSet:
    """A change set.

    Attributes:
        id: its ARN.
        stack_id: the ARN of its stack.
        kind: ``CREATE`` or ``UPDATE``.
        changes: what it does; empty where nothing is to be done.
        made_stack: whether its stack was made for it.
    """

    id: str
    stack_id: str
    kind: str
    changes: Tuple[Change, ...] = ()
    made_stack: bool = False


def change_of(entry: Mapping[str, Any]) -> Change:
    """A change from DescribeChangeSet's description of it."""
    names: Dict[str, None] = {}
    for detail in entry.get("Details") or ():
        target = detail.get("Target") or {}
        name = target.get("Name") or target.get("Attribute")
        if name and name != "Properties":
            names[str(name)] = None
    if not names:
        names = dict.fromkeys(str(scope) for scope in entry.get("Scope") or ())
    return Change(
        action=str(entry.get("Action") or ""),
        logical_id=str(entry.get("LogicalResourceId") or ""),
        physical_id=str(entry.get("PhysicalResourceId") or ""),
        kind=str(entry.get("ResourceType") or ""),
        replacement=str(entry.get("Replacement") or "") if entry.get("Action") == "Modify" else "",
        properties=tuple(names),
    )
