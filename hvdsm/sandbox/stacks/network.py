"""VPCs, subnets and route tables of stacks."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from hvdsm.sandbox.stacks.records import Made
from hvdsm.sandbox.stacks.world import World, dependency, is_true

Props = Mapping[str, Any]
Result = Tuple[str, Dict[str, Any]]


def create_vpc(world: World, _made: Made, props: Props) -> Result:
    """AWS::EC2::VPC."""
    vpc = world.ec2.create_vpc(CidrBlock=props["CidrBlock"], InstanceTenancy=props.get("InstanceTenancy", "default"))["Vpc"]
    name = vpc["VpcId"]
    _dns(world, name, props)
    group = world.backend.get_default_security_group(name)
    attributes = {"VpcId": name, "CidrBlock": props["CidrBlock"], "DefaultSecurityGroup": group.id if group else ""}
    return name, attributes


def _dns(world: World, name: str, props: Props) -> None:
    support, names = props.get("EnableDnsSupport", True), props.get("EnableDnsHostnames", False)
    world.ec2.modify_vpc_attribute(VpcId=name, EnableDnsSupport={"Value": is_true(support)})
    world.ec2.modify_vpc_attribute(VpcId=name, EnableDnsHostnames={"Value": is_true(names)})


def update_vpc(world: World, made: Made, _old: Props, new: Props) -> None:
    """DNS; the rest needs another VPC."""
    _dns(world, made.physical, new)


def delete_vpc(world: World, made: Made) -> None:
    """Refused while anything but what it was made with is in it."""
    groups = world.ec2.describe_security_groups(Filters=_of_vpc(made.physical))["SecurityGroups"]
    others = [group for group in groups if group["GroupName"] != "default"]
    inside = world.ec2.describe_network_interfaces(Filters=_of_vpc(made.physical))["NetworkInterfaces"]
    if others or inside:
        raise dependency(f"The vpc '{made.physical}' has dependencies and cannot be deleted.")
    world.ec2.delete_vpc(VpcId=made.physical)


def _of_vpc(name: str) -> Any:
    return [{"Name": "vpc-id", "Values": [name]}]


def create_subnet(world: World, _made: Made, props: Props) -> Result:
    """AWS::EC2::Subnet."""
    asked = {key: props[key] for key in ("VpcId", "CidrBlock", "AvailabilityZone", "AvailabilityZoneId") if props.get(key)}
    subnet = world.ec2.create_subnet(**asked)["Subnet"]
    name = subnet["SubnetId"]
    _public(world, name, props)
    attributes = {"SubnetId": name, "AvailabilityZone": subnet["AvailabilityZone"], "VpcId": props["VpcId"]}
    attributes["AvailabilityZoneId"] = subnet.get("AvailabilityZoneId", "")
    attributes["CidrBlock"] = props["CidrBlock"]
    return name, attributes


def _public(world: World, name: str, props: Props) -> None:
    wanted = is_true(props.get("MapPublicIpOnLaunch", False))
    world.ec2.modify_subnet_attribute(SubnetId=name, MapPublicIpOnLaunch={"Value": wanted})


def update_subnet(world: World, made: Made, _old: Props, new: Props) -> None:
    """Public addresses; the rest needs another subnet."""
    _public(world, made.physical, new)


def delete_subnet(world: World, made: Made) -> None:
    """Refused while network interfaces are in it."""
    filters = [{"Name": "subnet-id", "Values": [made.physical]}]
    if world.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]:
        raise dependency(f"The subnet '{made.physical}' has dependencies and cannot be deleted.")
    world.ec2.delete_subnet(SubnetId=made.physical)


def create_table(world: World, _made: Made, props: Props) -> Result:
    """AWS::EC2::RouteTable."""
    name = world.ec2.create_route_table(VpcId=props["VpcId"])["RouteTable"]["RouteTableId"]
    return name, {"RouteTableId": name}


def delete_table(world: World, made: Made) -> None:
    """Refused while a subnet uses it."""
    tables = world.ec2.describe_route_tables(RouteTableIds=[made.physical])["RouteTables"]
    if any(entry.get("SubnetId") for table in tables for entry in table.get("Associations", ())):
        raise dependency(f"The routeTable '{made.physical}' has dependencies and cannot be deleted.")
    world.ec2.delete_route_table(RouteTableId=made.physical)


def create_association(world: World, _made: Made, props: Props) -> Result:
    """AWS::EC2::SubnetRouteTableAssociation."""
    name = world.ec2.associate_route_table(RouteTableId=props["RouteTableId"], SubnetId=props["SubnetId"])["AssociationId"]
    return name, {"Id": name}


def update_association(world: World, made: Made, _old: Props, new: Props) -> None:
    """Another table for the same subnet."""
    answer = world.ec2.replace_route_table_association(AssociationId=made.physical, RouteTableId=new["RouteTableId"])
    made.physical = answer["NewAssociationId"]
    made.attributes["Id"] = made.physical


def delete_association(world: World, made: Made) -> None:
    """The subnet has the VPC's main table again."""
    world.ec2.disassociate_route_table(AssociationId=made.physical)
