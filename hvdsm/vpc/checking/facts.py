"""What there is in a network, as frozen facts: read by :func:`.gathering.gather`, judged by :mod:`.checks`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any, FrozenSet, Mapping, Optional, Tuple, Union

from hvdsm.vpc.templates.groups import Rule

Block = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
# Addresses of each subnet that AWS keeps.  Source: Amazon VPC User Guide, subnet sizing.
RESERVED = 5


@dataclass(frozen=True)
class Subnet:
    """A subnet.

    Attributes:
        id: such as ``subnet-0123``.
        vpc_id: the network it is in.
        zone: name of its zone, such as ``us-east-1a``; another account may mean another place by it.
        zone_id: the same for all accounts, such as ``use1-az1``.
        cidr: its IPv4 addresses; empty where it has none.
        free: IPv4 addresses that are free now.
        name: its tag Name.
        state: ``available`` once it can be used.
        public: whether instances are given public addresses.
        ipv6_only: whether it has no IPv4 addresses.
        outpost: ARN of the Outpost that it is on, or empty.
        zone_type: ``availability-zone``, ``local-zone`` or ``wavelength-zone``; empty where that is not known.
    """

    id: str
    vpc_id: str
    zone: str
    zone_id: str = ""
    cidr: str = ""
    free: int = 0
    name: str = ""
    state: str = "available"
    public: bool = False
    ipv6_only: bool = False
    outpost: str = ""
    zone_type: str = ""

    @property
    def block(self) -> Optional[Block]:
        """Its IPv4 addresses."""
        return ipaddress.ip_network(self.cidr, strict=False) if self.cidr else None

    @property
    def size(self) -> int:
        """Addresses that it has for network interfaces, free or not."""
        return max(self.block.num_addresses - RESERVED, 0) if self.block is not None else 0


@dataclass(frozen=True)
class SecurityGroup:
    """A security group with its rules; a rule's peer is the id of a group or prefix list, or a block of addresses."""

    id: str
    vpc_id: str
    rules: Tuple[Rule, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Route:
    """A route: where to (a block, or the id of a prefix list), by what (an id, or ``local``), and its state."""

    destination: str
    target: str
    state: str = "active"


@dataclass(frozen=True)
class RouteTable:
    """A route table; the main one serves the subnets that are in no other."""

    id: str
    vpc_id: str
    main: bool = False
    subnets: FrozenSet[str] = frozenset()
    routes: Tuple[Route, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class AclEntry:
    """A line of a network ACL; the one with the lowest number that matches decides."""

    number: int
    outward: bool
    allow: bool
    protocol: str
    ports: Tuple[int, int]
    cidr: str


@dataclass(frozen=True)
class Acl:
    """A network ACL: what may enter and leave its subnets; it says nothing about traffic within one subnet."""

    id: str
    vpc_id: str
    subnets: FrozenSet[str] = frozenset()
    entries: Tuple[AclEntry, ...] = ()
    name: str = ""
    default: bool = False


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of a service in the network.

    Attributes:
        id: such as ``vpce-0123``.
        kind: ``Gateway``, ``Interface`` or another.
        service: such as ``com.amazonaws.us-east-1.s3``.
        state: ``available`` once it can be used.
        policy: what it lets through; None where AWS names none, which lets everything through.
        tables: route tables that lead to a gateway.
        subnets: where an interface endpoint has addresses.
        groups: security groups of an interface endpoint.
        private_dns: whether the service's own name leads to an interface endpoint.
        inbound_only: whether that holds for names asked from outside of the network only (S3 has such a setting).
        name: its tag Name.
    """

    id: str
    kind: str
    service: str
    state: str = "available"
    policy: Optional[Mapping[str, Any]] = None
    tables: FrozenSet[str] = frozenset()
    subnets: FrozenSet[str] = frozenset()
    groups: FrozenSet[str] = frozenset()
    private_dns: bool = False
    inbound_only: bool = False
    name: str = ""


@dataclass(frozen=True)
class Nat:
    """A NAT gateway; ``public`` ones lead to the internet."""

    id: str
    subnet: str
    state: str = "available"
    public: bool = True


@dataclass(frozen=True)
class Vpc:
    """A network's own settings; an attribute is None where it is not known.

    Attributes:
        id: such as ``vpc-0123``.
        cidrs: its blocks of IPv4 addresses.
        dns_support: whether names are resolved by AWS's server.
        dns_hostnames: whether private names of endpoints can be had.
        tenancy: ``default`` or ``dedicated``.
        owner: the account that owns it; another one's network may be shared.
        dhcp_id: id of its DHCP options; ``default`` stands for none.
        dns_servers: the servers that the DHCP options name; None where they could not be read.
        domain: the domain name that the DHCP options give; None where they could not be read.
        name: its tag Name.
    """

    id: str
    cidrs: Tuple[str, ...] = ()
    dns_support: Optional[bool] = None
    dns_hostnames: Optional[bool] = None
    tenancy: str = "default"
    owner: str = ""
    dhcp_id: str = ""
    dns_servers: Optional[Tuple[str, ...]] = None
    domain: Optional[str] = None
    name: str = ""


@dataclass(frozen=True)
class Unread:
    """Something that AWS did not tell.

    Attributes:
        operation: such as ``DescribeRouteTables``.
        permission: what the credentials lack, such as ``ec2:DescribeRouteTables``.
        reason: AWS's answer.
    """

    operation: str
    permission: str
    reason: str


@dataclass(frozen=True)
class Network:
    """All that is known of a network.

    Attributes:
        region: its region.
        account: the account of the credentials; empty where that is not known.
        vpc: its own settings; None where there is no such network, or it could not be read.
        subnets: all subnets of the network, and those that were asked for by their ids.
        groups: all security groups of the network, and those that were asked for.
        tables: its route tables.
        acls: its network ACLs.
        endpoints: its endpoints, those that are deleted left out.
        nats: its NAT gateways.
        prefix_lists: names of prefix lists by their ids.
        prefix_cidrs: addresses of prefix lists, where they were read.
        services: names of endpoint services that the region knows; None where that is not known.
        logged: ids of networks and subnets that have flow logs.
        offered: names of the zones that offer an instance type, by the type's name (``ml.…`` as it was asked for).
        efa: whether EC2 says that a type has EFA, by the type's name.
        unread: what could not be read.
        missing: ids that were asked for, and that are not there.
    """

    region: str
    account: str = ""
    vpc: Optional[Vpc] = None
    subnets: Tuple[Subnet, ...] = ()
    groups: Tuple[SecurityGroup, ...] = ()
    tables: Tuple[RouteTable, ...] = ()
    acls: Tuple[Acl, ...] = ()
    endpoints: Tuple[Endpoint, ...] = ()
    nats: Tuple[Nat, ...] = ()
    prefix_lists: Mapping[str, str] = field(default_factory=dict)
    prefix_cidrs: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    services: Optional[FrozenSet[str]] = None
    logged: FrozenSet[str] = frozenset()
    offered: Mapping[str, FrozenSet[str]] = field(default_factory=dict)
    efa: Mapping[str, bool] = field(default_factory=dict)
    unread: Tuple[Unread, ...] = ()
    missing: Tuple[str, ...] = ()

    def subnet(self, name: str) -> Optional[Subnet]:
        """The subnet of an id."""
        return next((found for found in self.subnets if found.id == name), None)

    def group(self, name: str) -> Optional[SecurityGroup]:
        """The security group of an id."""
        return next((found for found in self.groups if found.id == name), None)

    def table_of(self, subnet: str) -> Optional[RouteTable]:
        """The route table that serves a subnet: the one that it is in, else the main one."""
        own = next((table for table in self.tables if subnet in table.subnets), None)
        return own or next((table for table in self.tables if table.main), None)

    def acl_of(self, subnet: str) -> Optional[Acl]:
        """The network ACL of a subnet: the one that it is in, else the default one."""
        own = next((acl for acl in self.acls if subnet in acl.subnets), None)
        return own or next((acl for acl in self.acls if acl.default), None)

    def was_read(self, *operations: str) -> bool:
        """Whether all of these requests were answered."""
        return not any(entry.operation in operations for entry in self.unread)


def label(entry: Any) -> str:
    """Id and name of something that has both."""
    return f"{entry.id} ({entry.name})" if entry.name else str(entry.id)
