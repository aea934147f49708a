"""What stands in the way of deleting a network: whose it is, and how it is taken away; pure.

Source: Amazon EC2 API Reference, DescribeNetworkInterfaces; descriptions of interfaces as the services write them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from hvdsm.aws.cloudformation import Stack, StackResource

# How long SageMaker leaves network interfaces behind, for people.
LEFT_FOR = "20 to 90 minutes"
_VPC, _SUBNET, _GROUP = "AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup"
_ENDPOINT, _INTERFACE, _INSTANCE = "AWS::EC2::VPCEndpoint", "AWS::EC2::NetworkInterface", "AWS::EC2::Instance"


@dataclass(frozen=True)
class Own:
    """What a stack has by itself.

    Attributes:
        vpcs: its networks.
        subnets: all subnets of its networks, and its subnets in other networks.
        groups: its security groups.
        all: the names in AWS of all its resources.
    """

    vpcs: FrozenSet[str] = frozenset()
    subnets: FrozenSet[str] = frozenset()
    groups: FrozenSet[str] = frozenset()
    all: FrozenSet[str] = frozenset()

    @property
    def any(self) -> bool:
        """Whether a job can be in it."""
        return bool(self.vpcs or self.subnets or self.groups)

    def has(self, subnets: Sequence[str], groups: Sequence[str]) -> bool:
        """Whether something with these subnets and security groups is in it."""
        return bool(self.subnets.intersection(subnets) or self.groups.intersection(groups))


@dataclass(frozen=True)
class Obstacle:
    """Something that is not the stack's, and is in use or would keep it from being deleted.

    Attributes:
        kind: such as ``training job``.
        id: its name.
        what: where it is, or whose.
        remedy: how it is taken away.
    """

    kind: str
    id: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.kind} {self.id} {self.what}; to remove it: {self.remedy}"

    def as_json(self) -> Dict[str, str]:
        """For machines."""
        return {"kind": self.kind, "id": self.id, "what": self.what, "remedy": self.remedy}


@dataclass(frozen=True)
class Interface:
    """A network interface that is not the stack's own.

    Attributes:
        id: such as ``eni-0123``.
        subnet: its subnet.
        groups: its security groups.
        status: ``in-use``, ``available``, or on the way between them.
        owner: whose it is, as far as it can be known.
        passing: whether its service removes it by itself.
        remedy: how it is taken away, otherwise.
    """

    id: str
    subnet: str
    groups: Tuple[str, ...]
    status: str
    owner: str
    passing: bool
    remedy: str = ""

    def __str__(self) -> str:
        """One line."""
        return f"{self.id} in {self.subnet} ({', '.join(self.groups) or 'no group'}), {self.status}: {self.owner}"

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return {
            "id": self.id,
            "subnet": self.subnet,
            "security_groups": list(self.groups),
            "status": self.status,
            "owner": self.owner,
            "goes_by_itself": self.passing,
        }


@dataclass(frozen=True)
class Survey:
    """What a deletion would meet.

    Attributes:
        stack: the stack.
        resources: its resources that are there.
        obstacles: what has to be taken away before.
        leftovers: interfaces that their service removes by itself.
        unread: what could not be looked at, and why.
        own: what the stack has, and had before it was deleted in part.
    """

    stack: Stack
    resources: Tuple[StackResource, ...] = ()
    obstacles: Tuple[Obstacle, ...] = ()
    leftovers: Tuple[Interface, ...] = ()
    unread: Tuple[str, ...] = ()
    own: Own = field(default_factory=Own)


def own_of(resources: Sequence[StackResource]) -> Own:
    """What a stack has, from its resources; subnets of its networks that others made are not among it yet."""

    def names(kind: str) -> FrozenSet[str]:
        return frozenset(entry.physical_id for entry in resources if entry.kind == kind and entry.physical_id)

    return Own(
        names(_VPC), names(_SUBNET), names(_GROUP), frozenset(entry.physical_id for entry in resources if entry.physical_id)
    )


# Whose an interface is, by its description: pattern, owner, and how it is taken away.
_OWNERS: Tuple[Tuple[str, str, str], ...] = (
    (r"SageMaker Notebook Instance (\S+)", "SageMaker notebook instance {1}", "aws sagemaker stop-notebook-instance"),
    (r"SageMaker for Studio Domain\s?\(?([\w-]*)", "SageMaker Studio domain {1}", "aws sagemaker delete-domain, its apps first"),
    (r"sagemaker", "SageMaker", ""),
    (r"^VPC Endpoint Interface (vpce-\w+)", "VPC endpoint {1}", "aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {1}"),
    (
        r"^AWS Lambda VPC ENI-(.+?)(?:-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?$",
        "Lambda function {1}",
        "aws lambda delete-function --function-name {1}, or take it out of the VPC",
    ),
    (r"EFS mount target for (fs-\w+)", "EFS file system {1}", "aws efs delete-mount-target, those of {1}"),
    (r"FSx|^Amazon FSx", "FSx file system", "delete the file system, or its stack"),
    (r"NAT Gateway (nat-\w+)", "NAT gateway {1}", "aws ec2 delete-nat-gateway --nat-gateway-id {1}"),
    (r"^ELB (?:app/|net/|gwy/)?([^/\s]+)", "load balancer {1}", "aws elbv2 delete-load-balancer (aws elb for a classic one)"),
    (
        r"Transit Gateway Attachment (tgw-attach-\w+)",
        "transit gateway attachment {1}",
        "aws ec2 delete-transit-gateway-vpc-attachment",
    ),
    (r"^RDSNetworkInterface", "RDS database", "delete the database instance"),
    (r"^ElastiCache", "ElastiCache cluster", "delete the cluster"),
    (r"^RedshiftNetworkInterface", "Redshift cluster", "delete the cluster"),
    (r"^Amazon EKS (\S+)", "EKS cluster {1}", "aws eks delete-cluster --name {1}"),
    (r"^arn:aws[\w-]*:ecs:\S+", "ECS task", "stop the task"),
    (r"Route 53 Resolver", "Route 53 Resolver endpoint", "aws route53resolver delete-resolver-endpoint"),
    (r"\bGlue\b", "Glue connection", "delete the job or development endpoint that uses it"),
)


def interfaces_of(entries: Sequence[Mapping[str, Any]], own: Own) -> List[Interface]:
    """The interfaces among EC2's answers that are not the stack's own, each once."""
    found: Dict[str, Interface] = {}
    for entry in entries:
        made = _interface(entry, own)
        if made is not None:
            found.setdefault(made.id, made)
    return list(found.values())


def _interface(entry: Mapping[str, Any], own: Own) -> Optional[Interface]:
    name = str(entry.get("NetworkInterfaceId") or "")
    described = str(entry.get("Description") or "")
    attachment = entry.get("Attachment") or {}
    instance = str(attachment.get("InstanceId") or "")
    status = str(entry.get("Status") or "")
    endpoint = re.search(r"vpce-\w+", described)
    if name in own.all or instance in own.all or (endpoint and endpoint[0] in own.all):
        return None
    owner, remedy = owner_of(
        described, str(entry.get("RequesterId") or ""), instance, str(attachment.get("InstanceOwnerId") or "")
    )
    free = status == "available"
    # What a service manages it also removes; in use it is only SageMaker's interface that nobody can free but the service.
    passing = owner == "SageMaker" or (free and (bool(entry.get("RequesterManaged")) or owner.startswith("SageMaker")))
    if free and not passing:
        remedy = f"aws ec2 delete-network-interface --network-interface-id {name}"
    groups = tuple(str(group["GroupId"]) for group in entry.get("Groups") or ())
    told = f"{owner} ({described})" if described and described not in owner else owner
    return Interface(name, str(entry.get("SubnetId") or ""), groups, status, told, passing, remedy)


def owner_of(described: str, requester: str, instance: str = "", instance_owner: str = "") -> Tuple[str, str]:
    """Whose an interface is as far as it can be known, and how it is taken away.

    Args:
        described: its description.
        requester: who asked for it.
        instance: the instance that it is attached to.
        instance_owner: the account, or service, whose instance that is.

    >>> owner_of("Interface for NAT Gateway nat-1", "")[0]
    'NAT gateway nat-1'
    """
    if instance:
        return f"instance {instance}", f"aws ec2 terminate-instances --instance-ids {instance}"
    for pattern, owner, remedy in _OWNERS:
        match = re.search(pattern, described, re.IGNORECASE)
        if match:
            name = match[1] if match.groups() else ""
            return owner.replace("{1}", name).strip(), remedy.replace("{1}", name)
    if "sagemaker" in f"{requester} {instance_owner}".lower():
        return "SageMaker", ""
    service = next((text for text in (instance_owner, requester) if text.startswith("amazon-")), "")
    if service:
        return f"service {service}", "delete what uses it in that service"
    return (f"not known (asked for by {requester})" if requester else "not known"), "find out whose it is, and delete that"


def in_the_way(interface: Interface) -> Obstacle:
    """The obstacle that an interface is."""
    return Obstacle(
        "network interface", interface.id, f"in {interface.subnet}, {interface.status}: {interface.owner}", interface.remedy
    )
