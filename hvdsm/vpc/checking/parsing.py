"""Facts from the answers of Amazon EC2.  Source of the fields: Amazon EC2 API Reference."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from hvdsm.vpc.checking.facts import Acl, AclEntry, Endpoint, Nat, Route, RouteTable, SecurityGroup, Subnet, Vpc
from hvdsm.vpc.templates.groups import Rule

Entries = Iterable[Mapping[str, Any]]
_PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58", "all": "-1"}
# Where a route may lead, by the fields of the answer.
_TARGETS = (
    "GatewayId", "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId", "NetworkInterfaceId", "InstanceId",
    "LocalGatewayId", "CarrierGatewayId", "EgressOnlyInternetGatewayId", "CoreNetworkArn", "OdbNetworkArn",
)  # fmt: skip
_DESTINATIONS = ("DestinationCidrBlock", "DestinationPrefixListId", "DestinationIpv6CidrBlock")


def tags(entry: Mapping[str, Any]) -> Dict[str, str]:
    """Tags by their keys."""
    return {str(tag.get("Key")): str(tag.get("Value") or "") for tag in entry.get("Tags") or ()}


def _name(entry: Mapping[str, Any]) -> str:
    return tags(entry).get("Name", "")


def subnets(entries: Entries) -> List[Subnet]:
    """Subnets by their zones."""
    made = [
        Subnet(
            id=str(entry["SubnetId"]),
            vpc_id=str(entry.get("VpcId") or ""),
            zone=str(entry.get("AvailabilityZone") or ""),
            zone_id=str(entry.get("AvailabilityZoneId") or ""),
            cidr=str(entry.get("CidrBlock") or ""),
            free=int(entry.get("AvailableIpAddressCount") or 0),
            name=_name(entry),
            state=str(entry.get("State") or "available").lower(),
            public=bool(entry.get("MapPublicIpOnLaunch")),
            ipv6_only=bool(entry.get("Ipv6Native")),
            outpost=str(entry.get("OutpostArn") or ""),
        )
        for entry in entries
    ]
    return sorted(made, key=lambda subnet: (subnet.zone, subnet.id))


def groups(entries: Entries) -> List[SecurityGroup]:
    """Security groups with a rule for each peer."""
    made = []
    for entry in entries:
        name = str(entry["GroupId"])
        rules = [
            rule
            for outward, key in ((False, "IpPermissions"), (True, "IpPermissionsEgress"))
            for permission in entry.get(key) or ()
            for rule in _rules(name, outward, permission)
        ]
        shown = _name(entry) or str(entry.get("GroupName") or "")
        made.append(SecurityGroup(name, str(entry.get("VpcId") or ""), tuple(rules), shown))
    return made


def _rules(group: str, outward: bool, permission: Mapping[str, Any]) -> Iterator[Rule]:
    protocol = str(permission.get("IpProtocol", "-1")).lower()
    ports = _ports(permission)
    lists = (
        ("UserIdGroupPairs", "GroupId"), ("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"), ("PrefixListIds", "PrefixListId")
    )  # fmt: skip
    for key, field in lists:
        for peer in permission.get(key) or ():
            yield Rule(group, outward, _PROTOCOLS.get(protocol, protocol), ports, str(peer.get(field) or ""), group)


def _ports(entry: Mapping[str, Any]) -> Tuple[int, int]:
    low, high = entry.get("FromPort"), entry.get("ToPort")
    return (0, 65535) if low is None or high is None or int(low) < 0 else (int(low), int(high))


def tables(entries: Entries) -> List[RouteTable]:
    """Route tables."""
    made = []
    for entry in entries:
        associations = entry.get("Associations") or ()
        routes = tuple(
            Route(_first(route, _DESTINATIONS), _first(route, _TARGETS), str(route.get("State") or "active").lower())
            for route in entry.get("Routes") or ()
        )
        made.append(
            RouteTable(
                str(entry["RouteTableId"]),
                str(entry.get("VpcId") or ""),
                any(one.get("Main") for one in associations),
                frozenset(str(one["SubnetId"]) for one in associations if one.get("SubnetId")),
                routes,
                _name(entry),
            )
        )
    return made


def _first(entry: Mapping[str, Any], keys: Tuple[str, ...]) -> str:
    return next((str(entry[key]) for key in keys if entry.get(key)), "")


def acls(entries: Entries) -> List[Acl]:
    """Network ACLs, their lines in the order in which they decide."""
    made = []
    for entry in entries:
        lines = []
        for line in entry.get("Entries") or ():
            ports = line.get("PortRange") or {}
            span = _ports({"FromPort": ports.get("From"), "ToPort": ports.get("To")})
            cidr = str(line.get("CidrBlock") or line.get("Ipv6CidrBlock") or "")
            allow = str(line.get("RuleAction")).lower() == "allow"
            lines.append(
                AclEntry(int(line["RuleNumber"]), bool(line.get("Egress")), allow, str(line.get("Protocol")), span, cidr)
            )
        served = frozenset(str(one["SubnetId"]) for one in entry.get("Associations") or () if one.get("SubnetId"))
        ordered = tuple(sorted(lines, key=lambda line: line.number))
        place = str(entry.get("VpcId") or "")
        made.append(Acl(str(entry["NetworkAclId"]), place, served, ordered, _name(entry), bool(entry.get("IsDefault"))))
    return made


def endpoints(entries: Entries) -> List[Endpoint]:
    """Endpoints that are not deleted."""
    return [
        Endpoint(
            id=str(entry["VpcEndpointId"]),
            kind=str(entry.get("VpcEndpointType") or "Gateway"),
            service=str(entry.get("ServiceName") or ""),
            state=str(entry.get("State") or "available").lower(),
            policy=_policy(entry.get("PolicyDocument")),
            tables=frozenset(str(name) for name in entry.get("RouteTableIds") or ()),
            subnets=frozenset(str(name) for name in entry.get("SubnetIds") or ()),
            groups=frozenset(str(group.get("GroupId")) for group in entry.get("Groups") or ()),
            private_dns=bool(entry.get("PrivateDnsEnabled")),
            inbound_only=bool((entry.get("DnsOptions") or {}).get("PrivateDnsOnlyForInboundResolverEndpoint")),
            name=_name(entry),
        )
        for entry in entries
        if str(entry.get("State") or "").lower() != "deleted"
    ]


def _policy(text: Any) -> Optional[Mapping[str, Any]]:
    if not text:
        return None
    try:
        document = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return None
    return document if isinstance(document, Mapping) else None


def nats(entries: Entries) -> List[Nat]:
    """NAT gateways that are not deleted."""
    return [
        Nat(
            str(entry["NatGatewayId"]),
            str(entry.get("SubnetId") or ""),
            str(entry.get("State") or "available").lower(),
            str(entry.get("ConnectivityType") or "public").lower() == "public",
        )
        for entry in entries
        if str(entry.get("State") or "").lower() != "deleted"
    ]


def logged(entries: Entries) -> List[str]:
    """What has flow logs."""
    return [str(entry.get("ResourceId")) for entry in entries if str(entry.get("FlowLogStatus") or "ACTIVE").upper() == "ACTIVE"]


def zone_types(entries: Entries) -> Dict[str, str]:
    """What kind of zone a name stands for."""
    return {str(entry.get("ZoneName")): str(entry.get("ZoneType") or "availability-zone") for entry in entries}


def zones_of(entries: Entries) -> List[str]:
    """Zones that offer a type."""
    return [str(entry["Location"]) for entry in entries]


def prefix_lists(entries: Entries) -> Dict[str, Tuple[str, Tuple[str, ...]]]:
    """Name and addresses of prefix lists."""
    return {
        str(entry["PrefixListId"]): (
            str(entry.get("PrefixListName") or ""),
            tuple(str(cidr) for cidr in entry.get("Cidrs") or ()),
        )
        for entry in entries
    }


def vpc(entry: Mapping[str, Any]) -> Vpc:
    """A network's own settings."""
    blocks = [str(one.get("CidrBlock")) for one in entry.get("CidrBlockAssociationSet") or () if _is_associated(one)]
    return Vpc(
        id=str(entry["VpcId"]),
        cidrs=tuple(dict.fromkeys([*([str(entry["CidrBlock"])] if entry.get("CidrBlock") else []), *blocks])),
        tenancy=str(entry.get("InstanceTenancy") or "default"),
        owner=str(entry.get("OwnerId") or ""),
        dhcp_id=str(entry.get("DhcpOptionsId") or ""),
        name=_name(entry),
    )


def _is_associated(entry: Mapping[str, Any]) -> bool:
    return str((entry.get("CidrBlockState") or {}).get("State") or "associated") == "associated"


def dhcp(entry: Mapping[str, Any]) -> Tuple[Tuple[str, ...], str]:
    """The name servers and the domain name of DHCP options."""
    found = {
        str(option.get("Key")): [str(value.get("Value")) for value in option.get("Values") or ()]
        for option in entry.get("DhcpConfigurations") or ()
    }
    return tuple(found.get("domain-name-servers") or ()), " ".join(found.get("domain-name") or ())
