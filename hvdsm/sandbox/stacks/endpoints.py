"""VPC endpoints of stacks, and the network interfaces that others have in a network."""

from __future__ import annotations

import functools
import json
import uuid
from types import SimpleNamespace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.sandbox.stacks.records import Made
from hvdsm.sandbox.stacks.world import Refused, World, is_true, refused

Props = Mapping[str, Any]
Result = Tuple[str, Dict[str, Any]]
# What EC2 says of an endpoint's own interfaces.
_OF_ENDPOINT = "VPC Endpoint Interface"
# Services that are known without asking moto, which takes half a second to list all.
_GATEWAYS = ("s3", "dynamodb")
_KNOWN = frozenset(
    ("ec2", "ecr.api", "ecr.dkr", "elasticfilesystem", "kms", "logs", "monitoring", "sagemaker.api", "sagemaker.runtime", "sts")
)


def create_endpoint(world: World, _made: Made, props: Props) -> Result:
    """AWS::EC2::VPCEndpoint."""
    kind, vpc, service = props.get("VpcEndpointType", "Gateway"), props["VpcId"], props["ServiceName"]
    _check_service(world, kind, service)
    asked: Dict[str, Any] = {"VpcEndpointType": kind, "VpcId": vpc, "ServiceName": service}
    if "PolicyDocument" in props:
        asked["PolicyDocument"] = _policy(props["PolicyDocument"])
    if kind == "Gateway":
        asked["RouteTableIds"] = list(props.get("RouteTableIds") or [])
    else:
        private = is_true(props.get("PrivateDnsEnabled", False))
        subnets = list(props.get("SubnetIds") or [])
        _check_interface(world, vpc, service, private, subnets)
        asked.update(SubnetIds=[], SecurityGroupIds=list(props.get("SecurityGroupIds") or []), PrivateDnsEnabled=private)
    name = world.ec2.create_vpc_endpoint(**asked)["VpcEndpoint"]["VpcEndpointId"]
    if kind != "Gateway":
        try:
            _set_subnets(world, name, list(props.get("SubnetIds") or []))
        except Refused:
            _remove(world, name)
            raise
    return name, {"Id": name, "DnsEntries": [f"Z1:{name}.{service}"], "NetworkInterfaceIds": []}


def _policy(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


@functools.lru_cache(maxsize=None)
def _services(region: str, account: str) -> Dict[str, List[str]]:
    from moto.ec2.models import ec2_backends

    found: Dict[str, List[str]] = {}
    listed: Any = ec2_backends[account][region]._collect_default_endpoint_services(account, region)
    for entry in listed:
        found.setdefault(entry["ServiceName"], []).extend(kind["ServiceType"] for kind in entry["ServiceType"])
    return found


def _check_service(world: World, kind: str, service: str) -> None:
    if not service.startswith(("com.amazonaws.", "aws.")):
        # A service of somebody's own.
        return
    prefix, name = f"com.amazonaws.{world.region}.", service.rpartition(f"{world.region}.")[2]
    if service.startswith(prefix) and ((kind == "Gateway" and name in _GATEWAYS) or (kind == "Interface" and name in _KNOWN)):
        return
    kinds = _services(world.region, world.account).get(service)
    if kinds is None:
        raise refused(f"The Vpc Endpoint Service '{service}' does not exist", "InvalidServiceName")
    if kind not in kinds:
        raise refused(f"Endpoint type ({kind}) does not match available service types ({kinds}).", "InvalidParameter")


def _check_interface(world: World, vpc: str, service: str, private: bool, subnets: Sequence[str]) -> None:
    zones = [entry["AvailabilityZone"] for entry in _subnets(world, subnets)]
    if len(zones) != len(set(zones)):
        raise refused(
            f"Found another VPC endpoint subnet in the availability zone of {subnets[-1]}", "DuplicateSubnetsInSameZone"
        )
    if not private:
        return
    record = world.backend.get_vpc(vpc)
    if not (is_true(record.enable_dns_support) and is_true(record.enable_dns_hostnames)):
        text = "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for "
        raise refused(f"{text}{vpc}", "InvalidParameter")
    for other in world.backend.vpc_end_points.values():
        if (other.vpc_id, other.service_name, other.state) == (vpc, service, "available") and is_true(other.private_dns_enabled):
            domain = ".".join(reversed(service.split(".")[3:])) + f".{world.region}.amazonaws.com"
            text = f"private-dns-enabled cannot be set because there is already a conflicting DNS domain for {domain} in the VPC"
            raise refused(f"{text} {vpc}", "InvalidParameter")


def _subnets(world: World, names: Sequence[str]) -> List[Dict[str, Any]]:
    return list(world.ec2.describe_subnets(SubnetIds=list(names))["Subnets"]) if names else []


def _set_subnets(world: World, name: str, subnets: List[str]) -> None:
    """Give an interface endpoint an interface in each of its subnets, with its groups, and none elsewhere."""
    backend = world.backend
    endpoint = backend.vpc_end_points[name]
    for identifier in list(endpoint.network_interface_ids):
        interface = backend.enis[identifier]
        if interface.subnet.id not in subnets:
            endpoint.network_interface_ids.remove(identifier)
            forget(backend, identifier)
    there = {backend.enis[identifier].subnet.id for identifier in endpoint.network_interface_ids}
    for subnet in subnets:
        if subnet not in there:
            made = add_interface(world, subnet, endpoint.security_group_ids, f"{_OF_ENDPOINT} {name}", kind="vpc_endpoint")
            endpoint.network_interface_ids.append(made)
    for identifier in endpoint.network_interface_ids:
        groups = [backend.get_security_group_from_id(group) for group in endpoint.security_group_ids]
        backend.enis[identifier]._group_set = [group for group in groups if group]
    endpoint.subnet_ids = subnets


def update_endpoint(world: World, made: Made, old: Props, new: Props) -> None:
    """Policy, subnets, groups, route tables and private names."""
    asked: Dict[str, Any] = {"VpcEndpointId": made.physical}
    if "PolicyDocument" in new:
        asked["PolicyDocument"] = _policy(new["PolicyDocument"])
    for field, short in (("RouteTableIds", "RouteTableIds"), ("SecurityGroupIds", "SecurityGroupIds")):
        before, after = list(old.get(field) or []), list(new.get(field) or [])
        asked[f"Add{short}"] = [name for name in after if name not in before]
        asked[f"Remove{short}"] = [name for name in before if name not in after]
    subnets = list(new.get("SubnetIds") or [])
    zones = [entry["AvailabilityZone"] for entry in _subnets(world, subnets)]
    if len(zones) != len(set(zones)):
        raise refused(
            f"Found another VPC endpoint subnet in the availability zone of {subnets[-1]}", "DuplicateSubnetsInSameZone"
        )
    world.ec2.modify_vpc_endpoint(**{key: value for key, value in asked.items() if value})
    endpoint = world.backend.vpc_end_points[made.physical]
    if new.get("VpcEndpointType", "Gateway") != "Gateway":
        endpoint.private_dns_enabled = is_true(new.get("PrivateDnsEnabled", False))
        _set_subnets(world, made.physical, subnets)


def delete_endpoint(world: World, made: Made) -> None:
    """With its interfaces."""
    if made.physical in world.backend.vpc_end_points:
        _remove(world, made.physical)


def _remove(world: World, name: str) -> None:
    backend = world.backend
    endpoint = backend.vpc_end_points[name]
    for identifier in list(endpoint.network_interface_ids):
        forget(backend, identifier)
    endpoint.network_interface_ids = []
    world.ec2.delete_vpc_endpoints(VpcEndpointIds=[name])
    # moto would show it as deleted for ever.
    backend.vpc_end_points.pop(name, None)


def add_interface(
    world: World,
    subnet: str,
    groups: Sequence[str],
    description: str,
    *,
    kind: str = "interface",
    requester: Optional[str] = None,
    in_use: bool = True,
) -> str:
    """Make a network interface that belongs to a service; its ID.

    Args:
        world: where.
        subnet: ID.
        groups: IDs.
        description: what the service says of it.
        kind: type of the interface, such as ``efa``.
        requester: who asked for it; the account itself by default.
        in_use: whether it is attached to something.

    Raises:
        Refused: the subnet has no address left.
    """
    from moto.ec2.exceptions import InvalidSubnetIdError

    backend = world.backend
    try:
        record = backend.get_subnet(subnet)
    except InvalidSubnetIdError:
        raise refused(f"The subnet ID '{subnet}' does not exist", "InvalidSubnetID.NotFound") from None
    if record.available_ip_address_count <= 0:
        raise refused(f"Insufficient free addresses in subnet '{subnet}'", "InsufficientFreeAddressesInSubnet")
    interface = backend.create_network_interface(record, "", group_ids=list(groups) or None, description=description)
    address = record.get_available_subnet_ip(interface)
    interface.private_ip_address = address
    interface.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": address}]
    interface.requester_managed, interface.requester_id = True, requester or world.account
    interface.interface_type, interface.status = kind, "in-use" if in_use else "available"
    if in_use:
        # The instance is the service's own: it has an owner and no ID.
        interface.instance = SimpleNamespace(id=None, owner_id="amazon-aws", security_groups=[])
        interface.attachment_id = f"eni-attach-{uuid.uuid4().hex[:17]}"
    return str(interface.id)


def release_interface(backend: Any, identifier: str) -> None:
    """Detach a network interface."""
    interface = backend.enis.get(identifier)
    if interface is not None:
        interface.status, interface.instance, interface.attachment_id = "available", None, None


def forget(backend: Any, identifier: str) -> None:
    """Remove a network interface; its address is free again."""
    interface = backend.enis.pop(identifier, None)
    if interface is not None:
        interface.subnet.del_subnet_ip(interface.private_ip_address)
