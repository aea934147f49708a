"""What the values of a rendered template stand for: ids of resources that the template makes."""

from __future__ import annotations

import ipaddress
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from hvdsm.vpc.templates.rendering import Rendered

Block = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Attributes that are the same as the id that Ref gives.
_IDS: Mapping[str, Tuple[str, ...]] = {
    "AWS::EC2::VPC": ("VpcId",),
    "AWS::EC2::Subnet": ("SubnetId",),
    "AWS::EC2::SecurityGroup": ("GroupId", "Id"),
    "AWS::EC2::RouteTable": ("RouteTableId",),
    "AWS::EC2::NetworkAcl": ("Id",),
}


def id_of(rendered: Rendered, value: Any, kind: str) -> Optional[str]:
    """The logical name of the resource of a type whose id a value is; None where it is something else."""
    name: Any = None
    if isinstance(value, str):
        # As it stands inside of texts.
        inner = value[2:-1].split(".", 1) if value.startswith("${") and value.endswith("}") else [""]
        value = {"Ref": inner[0]} if len(inner) == 1 else {"Fn::GetAtt": inner}
    if isinstance(value, dict) and len(value) == 1:
        if "Ref" in value:
            name = value["Ref"]
        elif isinstance(value.get("Fn::GetAtt"), list) and value["Fn::GetAtt"][1] in _IDS.get(kind, ()):
            name = value["Fn::GetAtt"][0]
    return name if isinstance(name, str) and rendered.resources.get(name, {}).get("Type") == kind else None


def attribute_of(rendered: Rendered, value: Any, kind: str, attribute: str) -> Optional[str]:
    """The logical name of the resource of a type whose attribute a value is."""
    if isinstance(value, dict) and isinstance(value.get("Fn::GetAtt"), list):
        name, found = value["Fn::GetAtt"]
        if found == attribute and rendered.resources.get(name, {}).get("Type") == kind:
            return str(name)
    return None


def block_of(rendered: Rendered, value: Any) -> Optional[Block]:
    """The addresses that a value stands for: a text, or those of a network of the template."""
    vpc = attribute_of(rendered, value, "AWS::EC2::VPC", "CidrBlock")
    if vpc is not None:
        value = (rendered.resources[vpc].get("Properties") or {}).get("CidrBlock")
    try:
        return ipaddress.ip_network(value) if isinstance(value, str) else None
    except ValueError:
        return None


def is_within(inner: Block, outer: Block) -> bool:
    """Whether a block lies in another of the same kind of addresses."""
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def vpc_blocks(rendered: Rendered) -> List[Block]:
    """The addresses of the template's networks, further ones that are added to them included."""
    values = [entry.get("CidrBlock") for entry in rendered.of_type("AWS::EC2::VPC").values()]
    values += [entry.get("CidrBlock") for entry in rendered.of_type("AWS::EC2::VPCCidrBlock").values()]
    return [block for block in (block_of(rendered, value) for value in values) if block is not None]


def words(value: Any) -> List[str]:
    """One text or a list of texts, as a list."""
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def is_on(value: Any) -> bool:
    """Whether a boolean of a template is true, which may be written as a text."""
    return str(value).lower() == "true"


def numbered(rendered: Rendered, kind: str, output: str) -> Dict[int, str]:
    """Logical names by the number in outputs such as ``Subnet1Id``; OUTPUT has ``{}`` where the number is."""
    found: Dict[int, str] = {}
    for number in range(1, 17):
        entry = rendered.outputs.get(output.format(number))
        name = id_of(rendered, entry.get("Value"), kind) if entry else None
        if name is not None:
            found[number] = name
    return found
