"""What there is in and around a stack's network that is not the stack's own: looked at before anything is deleted.

Source: Amazon EC2 API Reference; AWS CloudFormation API Reference, ListExports and ListImports.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

from hvdsm.aws.cloudformation import Stack, StackResource, name_of
from hvdsm.aws.session import Aws
from hvdsm.vpc.deletion.looking import Looking
from hvdsm.vpc.deletion.obstacles import Interface, Obstacle, Own, Survey, in_the_way, interfaces_of, own_of
from hvdsm.vpc.deletion.tenants import tenants
from hvdsm.vpc.stacks.having import resources_or_events

# Requests at a time: EC2 throttles an account that asks more.
_AT_ONCE = 6
_ENDED = frozenset(("deleted", "deleting", "failed", "rejected", "expired", "terminated", "detached"))
# What has network interfaces that name it.
_WITH_INTERFACES = ("VPC endpoint", "NAT gateway", "instance", "notebook instance", "Studio domain")
# What can be in a network: kind, method, key of the answer, key of its name, name of the filter, argument of the filters, remedy.
_THINGS: Tuple[Tuple[str, str, str, str, str, str, str], ...] = (
    (
        "VPC endpoint", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", "vpc-id", "Filters",
        "aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {id}",
    ),
    (
        "NAT gateway", "describe_nat_gateways", "NatGateways", "NatGatewayId", "vpc-id", "Filter",
        "aws ec2 delete-nat-gateway --nat-gateway-id {id}",
    ),
    (
        "internet gateway", "describe_internet_gateways", "InternetGateways", "InternetGatewayId", "attachment.vpc-id", "Filters",
        "aws ec2 detach-internet-gateway --vpc-id {vpc} --internet-gateway-id {id}",
    ),
    (
        "VPN gateway", "describe_vpn_gateways", "VpnGateways", "VpnGatewayId", "attachment.vpc-id", "Filters",
        "aws ec2 detach-vpn-gateway --vpc-id {vpc} --vpn-gateway-id {id}",
    ),
    (
        "peering connection", "describe_vpc_peering_connections", "VpcPeeringConnections", "VpcPeeringConnectionId",
        "requester-vpc-info.vpc-id", "Filters", "aws ec2 delete-vpc-peering-connection --vpc-peering-connection-id {id}",
    ),
    (
        "peering connection", "describe_vpc_peering_connections", "VpcPeeringConnections", "VpcPeeringConnectionId",
        "accepter-vpc-info.vpc-id", "Filters", "aws ec2 delete-vpc-peering-connection --vpc-peering-connection-id {id}",
    ),
    (
        "network ACL", "describe_network_acls", "NetworkAcls", "NetworkAclId", "vpc-id", "Filters",
        "aws ec2 delete-network-acl --network-acl-id {id}",
    ),
    (
        "route table", "describe_route_tables", "RouteTables", "RouteTableId", "vpc-id", "Filters",
        "aws ec2 delete-route-table --route-table-id {id}",
    ),
)  # fmt: skip


def resources_of(aws: Aws, stack: Stack, *, say: Callable[[str], None]) -> List[StackResource]:
    """The resources of a stack that are there, or were there before it was deleted in part."""
    if stack.empty or stack.status == "DELETE_COMPLETE":
        return []
    return [entry for entry in resources_or_events(aws, stack, say) if entry.physical_id]


def survey(aws: Aws, stack: Stack, *, say: Callable[[str], None]) -> Survey:
    """Look at all that a deletion of a stack would meet; nothing is changed.

    Args:
        aws: session.
        stack: the stack.
        say: is told of waits.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: the stack's own resources may not be read.
    """
    ever = resources_of(aws, stack, say=say)
    made = [entry for entry in ever if entry.status != "DELETE_COMPLETE"]
    looking = Looking(aws, say)
    # Interfaces of an endpoint that has just been deleted are the stack's own as well.
    own = replace(own_of(made), all=own_of(ever).all)
    obstacles: List[Obstacle] = []
    subnets = _subnets(looking, own)
    obstacles += [
        _foreign("subnet", entry, "SubnetId", "aws ec2 delete-subnet --subnet-id {id}")
        for entry in subnets
        if entry["SubnetId"] not in own.subnets
    ]
    own = replace(own, subnets=own.subnets | {str(entry["SubnetId"]) for entry in subnets})
    parts: List[Callable[[], List[Obstacle]]] = [
        lambda: _imports(looking, stack),
        lambda: tenants(looking, own),
        lambda: _instances(looking, own),
        lambda: _groups(looking, own),
        lambda: _things(looking, own),
    ]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="vpc-survey") as pool:
        met = pool.submit(lambda: interfaces(looking, own))
        obstacles += [entry for part in [pool.submit(call) for call in parts] for entry in part.result()]
        found = met.result()
    named = {entry.id for entry in obstacles if entry.kind in _WITH_INTERFACES}
    obstacles += [in_the_way(entry) for entry in found if not entry.passing and not _explained(entry, named)]
    leftovers = tuple(entry for entry in found if entry.passing)
    return Survey(stack, tuple(made), _each_once(obstacles), leftovers, tuple(looking.unread), own)


def _explained(interface: Interface, named: Iterable[str]) -> bool:
    """Whether what an interface belongs to is named already."""
    return any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", interface.owner) for name in named)


def _each_once(obstacles: Sequence[Obstacle]) -> Tuple[Obstacle, ...]:
    found: Dict[Tuple[str, str], Obstacle] = {}
    for entry in obstacles:
        found.setdefault((entry.kind, entry.id), entry)
    return tuple(found.values())


def interfaces(looking: Looking, own: Own) -> List[Interface]:
    """The network interfaces in a stack's networks, subnets and security groups that are not its own."""
    found: List[Dict[str, Any]] = []
    for name, values in (("vpc-id", own.vpcs), ("subnet-id", own.subnets), ("group-id", own.groups)):
        if values and not (name == "subnet-id" and own.vpcs):
            found += looking.all(
                "ec2", "describe_network_interfaces", "NetworkInterfaces", "network interfaces", Filters=_filter(name, values)
            )
    return interfaces_of(found, own)


def _filter(name: str, values: Iterable[str]) -> List[Dict[str, Any]]:
    return [{"Name": name, "Values": sorted(values)}]


def _subnets(looking: Looking, own: Own) -> List[Dict[str, Any]]:
    if not own.vpcs:
        return []
    return looking.all("ec2", "describe_subnets", "Subnets", "subnets", Filters=_filter("vpc-id", own.vpcs))


def _foreign(kind: str, entry: Dict[str, Any], key: str, remedy: str) -> Obstacle:
    name = str(entry[key])
    vpc = str(entry.get("VpcId") or next((one.get("VpcId") for one in entry.get("Attachments") or () if one.get("VpcId")), ""))
    tags = {str(tag.get("Key")): str(tag.get("Value")) for tag in entry.get("Tags") or ()}
    called = f" {tags['Name']!r}" if tags.get("Name") else ""
    whose = (
        f"of stack {tags['aws:cloudformation:stack-name']}" if "aws:cloudformation:stack-name" in tags else "not of this stack"
    )
    return Obstacle(kind, name, f"{called.strip()} is in the network, {whose}".strip(), remedy.format(id=name, vpc=vpc or "VPC"))


def _instances(looking: Looking, own: Own) -> List[Obstacle]:
    """Instances in the networks, or in subnets, of the stack."""
    places = own.vpcs or own.subnets
    if not places:
        return []
    wanted = _filter("vpc-id" if own.vpcs else "subnet-id", places)
    found = []
    for reservation in looking.all("ec2", "describe_instances", "Reservations", "instances", Filters=wanted):
        for entry in reservation.get("Instances") or ():
            name, state = str(entry["InstanceId"]), str((entry.get("State") or {}).get("Name") or "")
            if name not in own.all and state != "terminated":
                remedy = f"aws ec2 terminate-instances --instance-ids {name}"
                found.append(Obstacle("instance", name, f"is in {entry.get('SubnetId') or 'the network'} ({state})", remedy))
    return found


def _groups(looking: Looking, own: Own) -> List[Obstacle]:
    """Groups of others in the networks of the stack, and groups anywhere whose rules name the stack's."""
    found: Dict[str, Obstacle] = {}
    if own.groups:
        for name in ("ip-permission.group-id", "egress.ip-permission.group-id"):
            for entry in looking.all(
                "ec2", "describe_security_groups", "SecurityGroups", "security groups", Filters=_filter(name, own.groups)
            ):
                group = str(entry["GroupId"])
                if group not in own.all and _names(entry, own):
                    text = f"{entry.get('GroupName') or ''} has rules that name this stack's groups".strip()
                    remedy = f"aws ec2 revoke-security-group-ingress (or -egress) --group-id {group}"
                    found.setdefault(group, Obstacle("security group", group, text, remedy))
    if own.vpcs:
        wanted = _filter("vpc-id", own.vpcs)
        for entry in looking.all("ec2", "describe_security_groups", "SecurityGroups", "security groups", Filters=wanted):
            # The default group goes with its network.
            if entry["GroupId"] not in own.all and entry.get("GroupName") != "default":
                remedy = "aws ec2 delete-security-group --group-id {id}"
                found.setdefault(str(entry["GroupId"]), _foreign("security group", entry, "GroupId", remedy))
    return list(found.values())


def _names(group: Dict[str, Any], own: Own) -> bool:
    """Whether a group's rules name groups of the stack; what stands in for EC2 may not know the filter."""
    rules = [*(group.get("IpPermissions") or ()), *(group.get("IpPermissionsEgress") or ())]
    return any(str(pair.get("GroupId")) in own.groups for rule in rules for pair in rule.get("UserIdGroupPairs") or ())


def _things(looking: Looking, own: Own) -> List[Obstacle]:
    """Whatever else others have made in the networks of the stack."""
    if not own.vpcs:
        return []
    found = []
    for kind, method, key, name, by, argument, remedy in _THINGS:
        for entry in looking.all("ec2", method, key, f"{kind}s", **{argument: _filter(by, own.vpcs)}):
            state = entry.get("State") or (entry.get("Status") or {}).get("Code") or ""
            main = any(one.get("Main") for one in entry.get("Associations") or () if isinstance(one, dict))
            if entry[name] in own.all or str(state).lower() in _ENDED or entry.get("IsDefault") or main:
                continue
            found.append(_foreign(kind, entry, name, remedy))
    return found


def _imports(looking: Looking, stack: Stack) -> List[Obstacle]:
    """Stacks that import what this one exports."""
    if stack.empty:
        return []
    users: Dict[str, List[str]] = {}
    for export in looking.all("cloudformation", "list_exports", "Exports", "exports"):
        if export.get("ExportingStackId") == stack.id:
            name = str(export["Name"])
            for user in looking.all("cloudformation", "list_imports", "Imports", "imports of exports", ExportName=name):
                users.setdefault(str(user), []).append(name)
    return [
        Obstacle(
            "stack", name_of(user), f"imports {', '.join(names)}", f"aws cloudformation delete-stack --stack-name {name_of(user)}"
        )
        for user, names in users.items()
    ]
