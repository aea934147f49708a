"""The types of resources: how each is made, changed and deleted, and what of it needs another one.

Source: the AWS CloudFormation template reference, "Update requires" of each property.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional

from hvdsm.sandbox.stacks import endpoints, groups, network, others
from hvdsm.sandbox.stacks.records import Made, Stack
from hvdsm.sandbox.stacks.world import World, carried_out, tags_of

Props = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A type of resource.

    Attributes:
        create: makes one; gives its ID and attributes.
        delete: deletes one.
        update: changes one in its place; None where only tags can be changed.
        fixed: properties whose change needs another one; ``*`` is all but tags.
        tagged: whether EC2 keeps its tags.
    """

    create: Callable[[World, Made, Props], Any]
    delete: Callable[[World, Made], None]
    update: Optional[Callable[[World, Made, Props, Props], None]] = None
    fixed: FrozenSet[str] = frozenset()
    tagged: bool = True

    def replaces(self, name: str) -> bool:
        """Whether a change of this property needs another one."""
        return name in self.fixed or ("*" in self.fixed and name not in ("Tags", "Description"))


_RULE = frozenset({"*"})
KINDS: Dict[str, Kind] = {
    "AWS::EC2::VPC": Kind(network.create_vpc, network.delete_vpc, network.update_vpc, frozenset({"CidrBlock"})),
    "AWS::EC2::Subnet": Kind(
        network.create_subnet,
        network.delete_subnet,
        network.update_subnet,
        frozenset({"VpcId", "CidrBlock", "AvailabilityZone", "AvailabilityZoneId"}),
    ),
    "AWS::EC2::RouteTable": Kind(network.create_table, network.delete_table, None, frozenset({"VpcId"})),
    "AWS::EC2::SubnetRouteTableAssociation": Kind(
        network.create_association, network.delete_association, network.update_association, frozenset({"SubnetId"}), False
    ),
    "AWS::EC2::SecurityGroup": Kind(
        groups.create_group, groups.delete_group, groups.update_group, frozenset({"GroupDescription", "GroupName", "VpcId"})
    ),
    "AWS::EC2::SecurityGroupIngress": Kind(groups.create_ingress, groups.delete_rule, groups.update_rule, _RULE, False),
    "AWS::EC2::SecurityGroupEgress": Kind(groups.create_egress, groups.delete_rule, groups.update_rule, _RULE, False),
    "AWS::EC2::VPCEndpoint": Kind(
        endpoints.create_endpoint,
        endpoints.delete_endpoint,
        endpoints.update_endpoint,
        frozenset({"ServiceName", "VpcId", "VpcEndpointType"}),
    ),
    "AWS::EC2::FlowLog": Kind(others.create_flow_log, others.delete_flow_log, None, _RULE),
    "AWS::Logs::LogGroup": Kind(
        others.create_log_group, others.delete_log_group, others.update_log_group, frozenset({"LogGroupName"}), False
    ),
    "AWS::IAM::Role": Kind(others.create_role, others.delete_role, others.update_role, frozenset({"RoleName", "Path"}), False),
}
_ANY = Kind(others.create_any, others.delete_any, None, _RULE, False)


def kind_of(name: str) -> Kind:
    """The type of this name."""
    return KINDS.get(name, _ANY)


def make(world: World, stack: Stack, made: Made, properties: Props) -> None:
    """Make a resource, and put its ID and attributes into its record.

    Raises:
        Refused: a service refuses it.
    """
    kind = kind_of(made.kind)
    physical, attributes = carried_out(lambda: kind.create(world, made, {**properties, "_stack": stack.name}))
    made.physical, made.properties = physical, properties
    made.attributes.update(attributes)
    if kind.tagged:
        world.tag(physical, _all_tags(stack, made))


def change(world: World, stack: Stack, made: Made, properties: Props) -> None:
    """Change a resource in its place.

    Raises:
        Refused: a service refuses it.
    """
    kind, old = kind_of(made.kind), made.properties
    if kind.update is not None and _without_tags(old) != _without_tags(properties):
        update = kind.update
        carried_out(lambda: update(world, made, old, properties))
    made.properties = properties
    if kind.tagged:
        world.tag(made.physical, _all_tags(stack, made))


def unmake(world: World, made: Made) -> None:
    """Delete a resource; one that never came to be is no error.

    Raises:
        Refused: a service refuses it.
    """
    if not made.physical:
        return
    try:
        carried_out(lambda: kind_of(made.kind).delete(world, made))
    except Exception as error:
        # Somebody else has deleted it: that is what is wanted.
        if ".NotFound" in str(error) or "NoSuchEntity" in str(error) or "InvalidAssociationID" in str(error):
            return
        raise


def _without_tags(properties: Props) -> Dict[str, Any]:
    return {name: value for name, value in properties.items() if name != "Tags"}


def _all_tags(stack: Stack, made: Made) -> Dict[str, str]:
    own = {
        "aws:cloudformation:stack-name": stack.name,
        "aws:cloudformation:stack-id": stack.id,
        "aws:cloudformation:logical-id": made.name,
    }
    return {**(stack.wanted.tags if stack.wanted else {}), **tags_of(made.properties), **own}


def resolved(value: Any, resources: Mapping[str, Made]) -> Any:
    """A rendered value with the IDs and attributes of resources in the places of their names."""
    if isinstance(value, list):
        return [resolved(item, resources) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("Ref"), str) and value["Ref"] in resources:
            return resources[value["Ref"]].physical
        if len(value) == 1 and isinstance(value.get("Fn::GetAtt"), list):
            name, attribute = value["Fn::GetAtt"]
            return _attribute(resources[name], attribute)
        return {key: resolved(inner, resources) for key, inner in value.items()}
    return _in_text(value, resources) if isinstance(value, str) and "${" in value else value


def _attribute(made: Made, name: str) -> Any:
    return made.attributes[name] if name in made.attributes else others.any_attribute(made, name)


def _in_text(text: str, resources: Mapping[str, Made]) -> str:
    parts: List[str] = []
    rest = text
    while "${" in rest:
        before, _, rest = rest.partition("${")
        inner, end, after = rest.partition("}")
        name, dot, attribute = inner.partition(".")
        parts.append(before)
        if end and name in resources:
            parts.append(str(_attribute(resources[name], attribute) if dot else resources[name].physical))
            rest = after
        else:
            parts.append("${")
    return "".join(parts) + rest
