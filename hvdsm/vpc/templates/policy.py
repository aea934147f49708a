"""What a network for distributed training must have, checked on a rendered template; cfn-lint knows none of this.

Sources: Amazon EC2 User Guide (EFA and security groups), Amazon VPC User Guide (DNS attributes, subnets, tenancy), SageMaker
Developer Guide (training jobs in a VPC, encryption of traffic between instances), AWS PrivateLink Guide (interface endpoints).
"""

from __future__ import annotations

import ipaddress
from itertools import combinations
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from hvdsm.vpc.templates.acls import network_acls
from hvdsm.vpc.templates.endpoints import interface_endpoints, s3_endpoint, tables_of
from hvdsm.vpc.templates.groups import Finding, encrypted_group, job_group, open_groups
from hvdsm.vpc.templates.handing import outputs
from hvdsm.vpc.templates.naming import Block, block_of, id_of, is_on, is_within, numbered, vpc_blocks
from hvdsm.vpc.templates.records import flow_logs, retained
from hvdsm.vpc.templates.rendering import Rendered
from hvdsm.vpc.templates.shapes import tag_keys

VPC, SUBNET = "AWS::EC2::VPC", "AWS::EC2::Subnet"
# Resources by which a network reaches the internet, or another network.
_WAYS_OUT = (
    "AWS::EC2::InternetGateway",
    "AWS::EC2::EgressOnlyInternetGateway",
    "AWS::EC2::NatGateway",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::EC2::VPCPeeringConnection",
    "AWS::EC2::TransitGatewayAttachment",
    "AWS::EC2::TransitGatewayVpcAttachment",
    "AWS::EC2::CarrierGateway",
    "AWS::EC2::VPNGateway",
    "AWS::EC2::VPNGatewayRoutePropagation",
    "AWS::EC2::LocalGatewayRouteTableVPCAssociation",
    "AWS::EC2::ClientVpnEndpoint",
    "AWS::EC2::ClientVpnTargetNetworkAssociation",
    "AWS::EC2::EIP",
    "AWS::EC2::GatewayRouteTableAssociation",
    "AWS::EC2::InstanceConnectEndpoint",
    "AWS::VpcLattice::ServiceNetworkVpcAssociation",
)
# Resources of which it is not told here what they make.
_UNSEEN = ("AWS::CloudFormation::Stack", "AWS::CloudFormation::CustomResource", "AWS::CloudFormation::Macro")
# Resources with a VpcId, which must be that of the template's network.
_IN_VPC = (
    SUBNET,
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::VPCEndpoint",
    "AWS::EC2::NetworkAcl",
)
_PRIVATE = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
# A subnet of fewer addresses has no room for five instances with EFA, beside the five that AWS keeps.
_LONGEST_PREFIX = 27


def findings(rendered: Rendered) -> List[Finding]:
    """Everything that is wrong with a rendered template."""
    return [finding for rule in RULES for finding in rule(rendered)]


def network(rendered: Rendered) -> Iterator[Finding]:
    """One network with working names, of its own addresses, that leads nowhere else."""
    vpcs = rendered.of_type(VPC)
    if len(vpcs) > 1 or (not vpcs and not rendered.parameters):
        yield Finding("one-vpc", "", f"makes {len(vpcs)} networks", "make one")
    elif not vpcs:
        yield Finding("one-vpc", "", "makes no network", "check the one that it uses: hvdsm vpc check --vpc-id ID", "note")
    for name, properties in vpcs.items():
        for key in ("EnableDnsSupport", "EnableDnsHostnames"):
            if not is_on(properties.get(key, key == "EnableDnsSupport")):
                yield Finding("dns", name, f"{key} is off", "set it to true: the private names of endpoints need both")
        if properties.get("InstanceTenancy", "default") != "default":
            what = f"has InstanceTenancy {properties['InstanceTenancy']}: instances on hardware of their own cost more, or fail"
            yield Finding("tenancy", name, what, "leave InstanceTenancy out")
        block = block_of(rendered, properties.get("CidrBlock"))
        if block is None or block.version != 4 or not 16 <= block.prefixlen <= 28:
            what = f"{properties.get('CidrBlock')!r} is no block of 16 to 65536 IPv4 addresses"
            yield Finding("cidr", name, what, "write it as 10.0.0.0/16")
        elif not any(is_within(block, private) for private in _PRIVATE):
            yield Finding("cidr", name, f"{block} are public addresses of others", "choose private addresses, as 10.0.0.0/16")
        asked = rendered.parameters.get("VpcCidrBlock")
        if asked is not None and properties.get("CidrBlock") != asked:
            yield Finding("cidr", name, f"has {properties.get('CidrBlock')}, not VpcCidrBlock", "let CidrBlock be the parameter")
    for name, properties in rendered.of_type("AWS::EC2::DHCPOptions").items():
        if list(properties.get("DomainNameServers") or ["AmazonProvidedDNS"]) != ["AmazonProvidedDNS"]:
            yield Finding("dns", name, "names other DNS servers", "use AmazonProvidedDNS: endpoints' names are known there only")
    for name, properties in rendered.of_type("AWS::EC2::VPCCidrBlock").items():
        if "CidrBlock" not in properties:
            yield Finding("ipv6", name, "adds IPv6", "take it away: training jobs use IPv4", "warning")
            continue
        block = block_of(rendered, properties["CidrBlock"])
        if block is not None and not any(is_within(block, private) for private in _PRIVATE):
            yield Finding("cidr", name, f"{block} are public addresses of others", "choose private addresses, as 10.1.0.0/16")


def ways_out(rendered: Rendered) -> Iterator[Finding]:
    """No way to the internet or to another network."""
    remedy = "take it away: training needs S3 only, through its endpoint; a NAT gateway costs by the GB"
    for name, entry in rendered.resources.items():
        if entry.get("Type") in _WAYS_OUT:
            yield Finding("no-way-out", name, f"is an {entry['Type']}", remedy)
        elif str(entry.get("Type")) in _UNSEEN or str(entry.get("Type")).startswith("Custom::"):
            what = f"is an {entry['Type']}, and what it makes is not seen here"
            yield Finding("unseen", name, what, "check the network that it makes: hvdsm vpc check --vpc-id ID", "warning")
    for name, properties in rendered.of_type("AWS::EC2::Route").items():
        found = next((str(properties[key]) for key in properties if key.startswith("Destination")), "something")
        yield Finding("no-way-out", name, f"routes {found} elsewhere", remedy)


def belonging(rendered: Rendered) -> Iterator[Finding]:
    """Every part lies in the template's network."""
    vpcs = list(rendered.of_type(VPC))
    for kind in _IN_VPC if vpcs else ():
        for name, properties in rendered.of_type(kind).items():
            if id_of(rendered, properties.get("VpcId"), VPC) not in vpcs:
                yield Finding("belonging", name, "is not in the template's network", f"let VpcId be the id of {vpcs[0]}")


def subnets(rendered: Rendered) -> Iterator[Finding]:
    """Subnets within the network, apart from each other, private, and large enough."""
    found = rendered.of_type(SUBNET)
    whole = vpc_blocks(rendered)
    blocks: Dict[str, Optional[Block]] = {name: block_of(rendered, entry.get("CidrBlock")) for name, entry in found.items()}
    for name, block in blocks.items():
        entry = found[name]
        if block is None or block.version != 4:
            if not isinstance(entry.get("CidrBlock"), dict):
                what = f"{entry.get('CidrBlock')!r} is no block of IPv4 addresses"
                yield Finding("cidr", name, what, "write it as 10.0.0.0/24")
        elif whole and not any(is_within(block, outer) for outer in whole):
            yield Finding("cidr", name, f"{block} is not within {whole[0]}", "choose a block within the network's")
        elif block.prefixlen > _LONGEST_PREFIX:
            what = f"{block} has {block.num_addresses} addresses, of which AWS keeps 5 and an instance with EFA takes 5"
            yield Finding("cidr", name, what, "choose a larger block, as a /24")
        if is_on(entry.get("MapPublicIpOnLaunch", False)):
            yield Finding("private", name, "gives public addresses", "set MapPublicIpOnLaunch to false")
        if is_on(entry.get("Ipv6Native", False)) or is_on(entry.get("AssignIpv6AddressOnCreation", False)):
            yield Finding("ipv6", name, "gives addresses of IPv6", "take it away: training jobs use IPv4")
    for (one, first), (two, second) in combinations(blocks.items(), 2):
        if first is not None and second is not None and first.overlaps(second):
            yield Finding("cidr", two, f"{second} overlaps {first} of {one}", "choose blocks that lie apart")
    for number, name in numbered(rendered, SUBNET, "Subnet{}Id").items():
        asked = rendered.parameters.get(f"SubnetCidrBlock{number}")
        if asked is not None and found[name].get("CidrBlock") != asked:
            what = f"has {found[name].get('CidrBlock')}, not SubnetCidrBlock{number}"
            yield Finding("cidr", name, what, "let CidrBlock be the parameter")


def zones(rendered: Rendered) -> Iterator[Finding]:
    """Each subnet in a zone of its own, that which was asked for."""
    found = rendered.of_type(SUBNET)
    placed = {name: entry.get("AvailabilityZone", entry.get("AvailabilityZoneId")) for name, entry in found.items()}
    for name, zone in placed.items():
        if not zone:
            yield Finding("zones", name, "is in any zone", "name the zone: EFA and latency depend on it")
        elif isinstance(zone, str) and "AvailabilityZone" in found[name] and zone not in rendered.setting.zones:
            yield Finding("zones", name, f"is in {zone}, which is no zone of the region", "take it from GetAZs or a parameter")
        if "AvailabilityZone" in found[name] and "AvailabilityZoneId" in found[name]:
            yield Finding("zones", name, "names a zone and the id of one, which EC2 refuses", "keep AvailabilityZone")
        if "OutpostArn" in found[name]:
            yield Finding("zones", name, "is on an Outpost", "use a zone of the region")
    for one, two in combinations(placed, 2):
        if placed[one] and placed[one] == placed[two]:
            yield Finding("zones", two, f"is in {placed[one]}, where {one} is", "give each subnet a zone of its own")
    asked = rendered.parameters.get("AvailabilityZoneCount")
    if asked is not None and str(len(found)) != str(asked):
        yield Finding("zones", "", f"makes {len(found)} subnets for {asked} zones", "make one for each zone")
    for number, name in numbered(rendered, SUBNET, "Subnet{}Id").items():
        wanted = rendered.parameters.get(f"AvailabilityZone{number}")
        if wanted and placed[name] != wanted:
            yield Finding("zones", name, f"is in {placed[name]}, not AvailabilityZone{number}", "let it be the parameter")
        elif wanted == "" and number <= len(rendered.setting.zones) and placed[name] != rendered.setting.zones[number - 1]:
            what = f"is in {placed[name]} by default, not in zone {number} of the region"
            yield Finding("zones", name, what, f"take item {number - 1} of GetAZs")


def routes(rendered: Rendered) -> Iterator[Finding]:
    """Each subnet has a route table of the template, and one only."""
    tables = tables_of(rendered)
    for name in rendered.of_type(SUBNET):
        if name not in tables:
            remedy = "associate it with the table that has S3's endpoint"
            yield Finding("routes", name, "has no route table of its own", remedy)
    placed = [
        id_of(rendered, entry.get("SubnetId"), SUBNET)
        for entry in rendered.of_type("AWS::EC2::SubnetRouteTableAssociation").values()
    ]
    for name in {subnet for subnet in placed if subnet is not None and placed.count(subnet) > 1}:
        yield Finding("routes", name, "has two route tables", "associate it once")


def tags(rendered: Rendered) -> Iterator[Finding]:
    """Names by which people find things."""
    for kind in (VPC, SUBNET, "AWS::EC2::SecurityGroup", "AWS::EC2::RouteTable", "AWS::EC2::VPCEndpoint", "AWS::EC2::FlowLog"):
        for name, entry in rendered.of_type(kind).items():
            if not any(tag.get("Key") == "Name" and _is_named(tag, rendered) for tag in entry.get("Tags") or ()):
                yield Finding("tags", name, "has no tag Name with the stack's name", "add one", "warning")


def _is_named(tag: Any, rendered: Rendered) -> bool:
    return rendered.setting.stack in str(tag.get("Value", ""))


RULES: Sequence[Callable[[Rendered], Iterator[Finding]]] = (
    job_group,
    encrypted_group,
    open_groups,
    network,
    ways_out,
    belonging,
    subnets,
    zones,
    routes,
    network_acls,
    s3_endpoint,
    interface_endpoints,
    flow_logs,
    retained,
    outputs,
    tags,
    tag_keys,
)
