"""By what way a subnet reaches S3.

SageMaker's network interfaces have no public addresses, so that an internet gateway is no way.
Sources: SageMaker Developer Guide (training jobs in a VPC), AWS PrivateLink Guide (gateway endpoints; private DNS for S3),
Amazon VPC User Guide (main route table, NAT gateways).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional, Tuple

from hvdsm.vpc.checking.facts import Endpoint, Network, RouteTable, Subnet, label

GATEWAY, INTERFACE, NAT, OTHER, NONE = "gateway", "interface", "nat", "other", "none"
# Routes to everything else.
DEFAULT = "0.0.0.0/0"


@dataclass(frozen=True)
class Way:
    """A way to S3.

    Attributes:
        kind: one of the constants above.
        what: what is wrong with it, or what it leads through.
        remedy: what to do about it.
        endpoint: the endpoint that it goes by.
    """

    kind: str
    what: str = ""
    remedy: str = ""
    endpoint: Optional[Endpoint] = None


def service_of(region: str) -> str:
    """Name of S3's endpoint service."""
    return f"com.amazonaws.{region}.s3"


def is_s3(network: Network, endpoint: Endpoint) -> bool:
    """Whether an endpoint is for S3 of this region."""
    return endpoint.service in (service_of(network.region), f"cn.{service_of(network.region)}")


def endpoints(network: Network, kind: str) -> List[Endpoint]:
    """Endpoints of a kind for S3 of this region."""
    return [endpoint for endpoint in network.endpoints if endpoint.kind == kind and is_s3(network, endpoint)]


def way_of(network: Network, subnet: Subnet) -> Way:
    """The way from a subnet to S3; where there are several, the one that traffic takes."""
    table = network.table_of(subnet.id)
    if table is None:
        what = "has no route table, not even a main one"
        return Way(NONE, what, f"aws ec2 create-route-table --region {network.region} --vpc-id {subnet.vpc_id}")
    gateways = endpoints(network, "Gateway")
    mine = [endpoint for endpoint in gateways if table.id in endpoint.tables and endpoint.state == "available"]
    if mine:
        if any(route.target == mine[0].id and route.state == "blackhole" for route in table.routes):
            what = f"cannot be reached: the route to {label(mine[0])} in {table.id} is a blackhole"
            return Way(NONE, what, _again(network, mine[0], table))
        return Way(GATEWAY, endpoint=mine[0])
    usable = [one for one in endpoints(network, "Interface") if one.state == "available" and one.private_dns]
    interface = next((one for one in usable if not one.inbound_only), None)
    if interface is not None:
        return Way(INTERFACE, f"goes by the interface endpoint {label(interface)}, which costs by the hour and GB", "", interface)
    return _by_default(network, subnet, table) or Way(NONE, *_without(network, subnet, table, gateways))


def _again(network: Network, endpoint: Endpoint, table: RouteTable) -> str:
    change = f"aws ec2 modify-vpc-endpoint --region {network.region} --vpc-endpoint-id {endpoint.id}"
    return f"{change} --remove-route-table-ids {table.id}, then the same with --add-route-table-ids"


def _add(network: Network, table: RouteTable, endpoint: Optional[Endpoint] = None) -> str:
    if endpoint is not None:
        change = f"aws ec2 modify-vpc-endpoint --region {network.region} --vpc-endpoint-id {endpoint.id}"
        return f"{change} --add-route-table-ids {table.id}"
    return (
        f"aws ec2 create-vpc-endpoint --region {network.region} --vpc-endpoint-type Gateway --vpc-id {table.vpc_id} "
        f"--service-name {service_of(network.region)} --route-table-ids {table.id}"
    )


def _by_default(network: Network, subnet: Subnet, table: RouteTable) -> Optional[Way]:
    """The way of the default route, if it is one."""
    route = next((route for route in table.routes if route.destination == DEFAULT), None)
    if route is None:
        return None
    remedy = _add(network, table, next(iter(endpoints(network, "Gateway")), None))
    if route.state == "blackhole":
        return Way(NONE, f"cannot be reached: the default route of {label(table)} leads to {route.target}, which is gone", remedy)
    if route.target.startswith("igw-"):
        what = (
            f"cannot be reached: the default route of {label(table)} is the internet gateway, and a job has no public addresses"
        )
        return Way(NONE, what, remedy)
    if not route.target.startswith("nat-"):
        return Way(OTHER, f"goes by {route.target}, and whether that leads to S3 cannot be seen here", remedy)
    return _by_nat(network, subnet, route.target, remedy)


def _by_nat(network: Network, subnet: Subnet, name: str, remedy: str) -> Way:
    if not network.was_read("DescribeNatGateways"):
        return Way(OTHER, f"goes by the NAT gateway {name}, which could not be looked at", remedy)
    nat = next((nat for nat in network.nats if nat.id == name), None)
    if nat is None or nat.state != "available":
        state = "is not there" if nat is None else f"has the state {nat.state}"
        return Way(NONE, f"cannot be reached: the NAT gateway {name} {state}", remedy)
    if not nat.public:
        return Way(OTHER, f"goes by the private NAT gateway {name}, and whether that leads to S3 cannot be seen here", remedy)
    beyond = network.table_of(nat.subnet)
    out = beyond is not None and any(
        route.destination == DEFAULT and route.target.startswith("igw-") and route.state == "active" for route in beyond.routes
    )
    if not out:
        what = f"cannot be reached: the subnet {nat.subnet} of the NAT gateway {name} has no route to an internet gateway"
        return Way(NONE, what, remedy)
    far = network.subnet(nat.subnet)
    zone = f" in another zone ({far.zone})" if far is not None and far.zone != subnet.zone else ""
    return Way(NAT, f"goes by the NAT gateway {name}{zone}: slower, and each GB costs", remedy)


def _without(network: Network, subnet: Subnet, table: RouteTable, gateways: List[Endpoint]) -> Tuple[str, str]:
    """Why there is no way, and what to do."""
    place = f"route table {label(table)}{' (the main one)' if subnet.id not in table.subnets else ''}"
    for gateway in gateways:
        if gateway.state != "available":
            what = f"cannot be reached: the state of {label(gateway)} is {gateway.state}"
            return (
                what,
                f"aws ec2 describe-vpc-endpoints --region {network.region} --vpc-endpoint-ids {gateway.id}, and wait for it",
            )
        what = f"cannot be reached: its {place} does not have the endpoint {label(gateway)}"
        return what, _add(network, table, gateway)
    for other in endpoints(network, "Interface"):
        if other.state == "available":
            change = f"aws ec2 modify-vpc-endpoint --region {network.region} --vpc-endpoint-id {other.id} --private-dns-enabled"
            what = f"cannot be reached: S3's own name does not lead to its endpoint {label(other)}"
            return what, f"{_add(network, table)}, or {change} --dns-options PrivateDnsOnlyForInboundResolverEndpoint=false"
    strange = [one for one in network.endpoints if re.search(r"\.s3$", one.service) and not is_s3(network, one)]
    if strange:
        what = f"cannot be reached: {label(strange[0])} is for {strange[0].service}, another region's"
        return what, _add(network, table)
    return f"cannot be reached: {place} leads neither to an endpoint of S3 nor to a NAT gateway", _add(network, table)
