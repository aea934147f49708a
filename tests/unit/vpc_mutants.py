"""Makes templates that differ from a good one in one place: in every place, and in the ways in which people go wrong."""

from __future__ import annotations

import pickle
from typing import Any, Callable, Dict, Iterator, List, Tuple

SECTIONS = ("Parameters", "Rules", "Conditions", "Resources", "Outputs")
Path = Tuple[Any, ...]
Mutant = Tuple[str, Callable[[], Dict[str, Any]]]

# What a text is changed to beside misspellings of it.
SIBLINGS: Dict[str, List[Any]] = {
    "-1": ["tcp", "6", "1"],
    "tcp": ["udp", "-1"],
    "udp": ["tcp", "-1"],
    "50": ["51", "-1", "tcp"],
    "0.0.0.0/0": ["10.0.0.0/8", "::/0", "10.0.0.0/16"],
    "127.0.0.1/32": ["0.0.0.0/0", "10.0.0.0/8"],
    "Allow": ["Deny"],
    "Gateway": ["Interface", "GatewayLoadBalancer"],
    "Interface": ["Gateway"],
    "REJECT": ["ACCEPT", "ALL"],
    "Delete": ["Retain", "Snapshot"],
    "VPC": ["Subnet", "NetworkInterface"],
    "cloud-watch-logs": ["s3", "kinesis-data-firehose"],
    "2012-10-17": ["2008-10-17"],
    "vpc-flow-logs.amazonaws.com": ["ec2.amazonaws.com", "*", "delivery.logs.amazonaws.com"],
    "sts:AssumeRole": ["sts:*", "sts:AssumeRoleWithSAML"],
    "10.0.0.0/16": ["10.1.0.0/16", "10.0.0.0/24", "8.8.0.0/16", "10.0.0.0/15"],
    "10.0.0.0/24": ["10.1.0.0/24", "10.0.0.0/23", "10.0.0.1/24", "10.0.0.0/28"],
    "10.0.1.0/24": ["10.0.0.0/24", "10.0.2.0/24", "10.0.0.0/23", "10.9.1.0/24"],
    "10.0.2.0/24": ["10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/16", "10.9.2.0/24"],
    "none": ["core", "full"],
    "core": ["none", "full"],
    "full": ["none", "core"],
    "true": ["false"],
    "1": ["2", "3", "0", "4"],
    "3": ["1", "2"],
    "*": [{"AWS": "arn:aws:iam::123456789012:root"}, {"Service": "ec2.amazonaws.com"}],
    "StringEquals": ["StringNotEquals", "StringLike", "StringEqualsIfExists"],
    "aws:ResourceAccount": ["aws:PrincipalAccount", "aws:SourceAccount", "s3:ResourceAccount"],
    "aws:SourceAccount": ["aws:ResourceAccount", "aws:PrincipalAccount"],
}
SERVICES = ("dynamodb", "s3", "sqs", "sagemaker-api", "ecr-dkr", "kmss", "sagemaker.notebook")


def walk(value: Any, path: Path = ()) -> Iterator[Tuple[Path, Any]]:
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield from walk(inner, (*path, key))


def at(template: Any, path: Path) -> Any:
    for key in path:
        template = template[key]
    return template


def put(template: Dict[str, Any], path: Path, value: Any) -> Callable[[], Dict[str, Any]]:
    def make() -> Dict[str, Any]:
        made = copied(template)
        at(made, path[:-1])[path[-1]] = value
        return made

    return make


def without(template: Dict[str, Any], path: Path) -> Callable[[], Dict[str, Any]]:
    def make() -> Dict[str, Any]:
        made = copied(template)
        del at(made, path[:-1])[path[-1]]
        return made

    return make


def renamed(template: Dict[str, Any], path: Path, key: str) -> Callable[[], Dict[str, Any]]:
    def make() -> Dict[str, Any]:
        made = copied(template)
        parent = at(made, path[:-1])
        items = [(key if name == path[-1] else name, value) for name, value in parent.items()]
        parent.clear()
        parent.update(items)
        return made

    return make


def copied(template: Dict[str, Any]) -> Dict[str, Any]:
    # Some times as fast as copy.deepcopy, and there are thousands of them.
    made: Dict[str, Any] = pickle.loads(pickle.dumps(template))
    return made


def said(path: Path) -> str:
    return "/".join(str(part) for part in path)


def mutants(template: Dict[str, Any]) -> Iterator[Mutant]:
    """Each as a name that says what is changed and where, and a function that makes it."""
    for section in SECTIONS:
        for path, value in walk(template[section], (section,)):
            if len(path) > 1:
                yield f"delete {said(path)}", without(template, path)
                yield from _renamed(template, path)
            for name, other in _others(template, path, value):
                if other != value or type(other) is not type(value):
                    yield f"{name} {said(path)}", put(template, path, other)
    yield from _conditions(template)
    yield from _added(template)


def _renamed(template: Dict[str, Any], path: Path) -> Iterator[Mutant]:
    key = path[-1]
    if not isinstance(key, str) or path[0] in ("Rules", "Conditions") or key == "Ref" or key.startswith("Fn::"):
        return
    for other in [f"{key}x", *SIBLINGS.get(key, [])]:
        if isinstance(other, str):
            yield f"rename to {other} {said(path)}", renamed(template, path, other)


def _others(template: Dict[str, Any], path: Path, value: Any) -> Iterator[Tuple[str, Any]]:
    if isinstance(value, bool):
        yield "negate", not value
    elif isinstance(value, int):
        yield from ((f"make {other}", other) for other in sorted({value + 1, value - 1, 0}))
    elif isinstance(value, list):
        yield "empty", []
        if len(value) > 1 and value != value[::-1]:
            yield "reverse", value[::-1]
        if value:
            yield "repeat an item of", [*value, value[0]]
    elif isinstance(value, dict) and len(value) == 1:
        yield from _functions(template, value)
    elif isinstance(value, str) and path[-1] != "Ref":
        yield from _texts(path, value)


def _texts(path: Path, value: str) -> Iterator[Tuple[str, Any]]:
    yield "misspell", value[:-1] + "x" if value else "x"
    yield "shorten", value[:-1]
    for other in SIBLINGS.get(value, []):
        yield f"make {other}", other
    if "Pattern" in str(path[-1]):
        yield from ((f"make {other}", other) for other in (".*", ".+", r"^[\d./]+$", r"^.*$", r"^10\..*$"))
    if "${AWS::" in value:
        for name, literal in (
            ("Region", "us-east-1"),
            ("Region", "eu-west-1"),
            ("Partition", "aws"),
            ("StackName", "hvdsm-training"),
            ("StackName", "a"),
        ):
            if f"${{AWS::{name}}}" in value:
                yield f"write out {literal} in", value.replace(f"${{AWS::{name}}}", literal)
    if "com.amazonaws" in value:
        for service in SERVICES:
            yield f"make {service}", value[: value.rindex("}.") + 2] + service
    if value.startswith(("s3:", "logs:")):
        service = value.partition(":")[0]
        yield from ((f"make {other}", other) for other in (f"{service}:*", "*", f"{service}:Put*", f"{service}:Delete*"))
    if value.startswith("arn:"):
        yield "make *", "*"
        yield "drop the object of", value.rpartition("/")[0] or value
    if value.startswith("{"):
        yield from (("drop braces of", value[:-1]), ("rename a key of", value.replace("Subnets", "SubnetIds")))
        yield "swap", value.replace("${Subnet1}", "${SecurityGroup}")
        yield "other group in", value.replace("${SecurityGroup}", "${TrafficEncryptedSecurityGroup}")
        yield "further subnet in", value.replace('["${Subnet1}"]', '["${Subnet1}", "${Subnet1}"]')
        yield "no list in", value.replace('["${Subnet1}"]', '"${Subnet1}"')


def _functions(template: Dict[str, Any], value: Dict[str, Any]) -> Iterator[Tuple[str, Any]]:
    ((name, inner),) = value.items()
    resources = template["Resources"]
    if name == "Ref" and isinstance(inner, str):
        for other in _names(template, inner):
            yield f"refer to {other} at", {"Ref": other}
        yield "write out the name at", inner
        if inner in resources:
            yield "take an attribute at", {"Fn::GetAtt": [inner, "CidrBlock" if inner == "Vpc" else "VpcId"]}
    elif name == "Fn::GetAtt":
        yield from ((f"refer to {other} at", {"Ref": other}) for other in (inner[0], "AWS::StackName", "AWS::NoValue"))
        yield "other attribute at", {"Fn::GetAtt": [inner[0], "DefaultNetworkAcl" if inner[0] == "Vpc" else "Id"]}
        for other in resources:
            if other != inner[0] and resources[other]["Type"] in ("AWS::EC2::VPC", "AWS::IAM::Role", "AWS::Logs::LogGroup"):
                yield f"attribute of {other} at", {"Fn::GetAtt": [other, inner[1]]}
    elif name == "Fn::If":
        yield "swap branches of", {"Fn::If": [inner[0], inner[2], inner[1]]}
        yield "always first of", inner[1]
        yield "always second of", inner[2]
        for other in template["Conditions"]:
            if other != inner[0]:
                yield f"ask {other} at", {"Fn::If": [other, *inner[1:]]}
    elif name == "Fn::Not":
        yield "drop the Not of", inner[0]
    elif name in ("Fn::Equals", "Fn::And", "Fn::Or"):
        yield "negate", {"Fn::Not": [value]}
        if name != "Fn::Equals":
            yield "other function at", {"Fn::And" if name == "Fn::Or" else "Fn::Or": inner}
    elif name == "Fn::Select":
        yield from ((f"item {number} at", {"Fn::Select": [number, inner[1]]}) for number in (0, 1, 2, 3) if number != inner[0])
    elif name == "Fn::GetAZs":
        yield from ((f"zones of {region!r} at", {"Fn::GetAZs": region}) for region in ("us-west-2", "eu-west-1"))


def _names(template: Dict[str, Any], name: str) -> List[str]:
    """Names that might stand where another does: all of its kind, and some of each other kind."""
    resources, found = template["Resources"], ["AWS::NoValue", "AWS::StackName", "AWS::Region", "NoSuchThing"]
    kind = resources[name]["Type"] if name in resources else None
    seen: List[str] = []
    for other, entry in resources.items():
        if other != name and (entry["Type"] == kind or entry["Type"] not in seen):
            seen.append(entry["Type"])
            found.append(other)
    if name in template["Parameters"]:
        found += [other for other in template["Parameters"] if other != name]
    if name.startswith("AWS::"):
        found += [other for other in ("AWS::AccountId", "AWS::Partition", "AWS::StackId", "AWS::URLSuffix") if other != name]
    return [other for other in found if other != name]


def _conditions(template: Dict[str, Any]) -> Iterator[Mutant]:
    for section in ("Resources", "Outputs"):
        for name, entry in template[section].items():
            for other in template["Conditions"]:
                if entry.get("Condition") != other:
                    yield f"condition {other} on {section}/{name}", put(template, (section, name, "Condition"), other)


ADDED: Dict[str, Dict[str, Any]] = {
    "internet gateway": {"Type": "AWS::EC2::InternetGateway"},
    "egress-only gateway": {"Type": "AWS::EC2::EgressOnlyInternetGateway", "Properties": {"VpcId": {"Ref": "Vpc"}}},
    "nat gateway": {
        "Type": "AWS::EC2::NatGateway",
        "Properties": {"SubnetId": {"Ref": "Subnet1"}, "ConnectivityType": "private"},
    },
    "route": {
        "Type": "AWS::EC2::Route",
        "Properties": {
            "RouteTableId": {"Ref": "RouteTable"},
            "DestinationCidrBlock": "0.0.0.0/0",
            "GatewayId": "igw-0123456789abcdef0",
        },
    },
    "route to a peer": {
        "Type": "AWS::EC2::Route",
        "Properties": {
            "RouteTableId": {"Ref": "RouteTable"},
            "DestinationCidrBlock": "192.168.0.0/16",
            "VpcPeeringConnectionId": "pcx-0123456789abcdef0",
        },
    },
    "peering": {
        "Type": "AWS::EC2::VPCPeeringConnection",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "PeerVpcId": "vpc-0123456789abcdef0"},
    },
    "second network": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.8.0.0/16"}},
    "ipv6": {"Type": "AWS::EC2::VPCCidrBlock", "Properties": {"VpcId": {"Ref": "Vpc"}, "AmazonProvidedIpv6CidrBlock": True}},
    "second s3 endpoint": {
        "Type": "AWS::EC2::VPCEndpoint",
        "Properties": {
            "VpcId": {"Ref": "Vpc"},
            "ServiceName": {"Fn::Sub": "com.amazonaws.${AWS::Region}.s3"},
            "RouteTableIds": [{"Ref": "RouteTable"}],
        },
    },
    "second route table": {
        "Type": "AWS::EC2::SubnetRouteTableAssociation",
        "Properties": {"RouteTableId": {"Ref": "RouteTable"}, "SubnetId": {"Ref": "Subnet1"}},
    },
    "further subnet": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {
            "VpcId": {"Ref": "Vpc"},
            "CidrBlock": "10.0.9.0/24",
            "AvailabilityZone": {"Fn::Select": [2, {"Fn::GetAZs": ""}]},
        },
    },
    "open ssh": {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {
            "GroupId": {"Ref": "SecurityGroup"},
            "IpProtocol": "tcp",
            "FromPort": 22,
            "ToPort": 22,
            "CidrIp": "0.0.0.0/0",
        },
    },
    "open ipv6": {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {"GroupId": {"Ref": "SecurityGroup"}, "IpProtocol": "-1", "CidrIpv6": "::/0"},
    },
    "everything out": {
        "Type": "AWS::EC2::SecurityGroupEgress",
        "Properties": {"GroupId": {"Ref": "SecurityGroup"}, "IpProtocol": "-1", "CidrIp": "0.0.0.0/0"},
    },
    "everything out by TCP": {
        "Type": "AWS::EC2::SecurityGroupEgress",
        "Properties": {
            "GroupId": {"Ref": "SecurityGroup"},
            "IpProtocol": "tcp",
            "FromPort": 0,
            "ToPort": 65535,
            "CidrIp": "0.0.0.0/0",
        },
    },
    "clear traffic in the encrypted group": {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {
            "GroupId": {"Ref": "TrafficEncryptedSecurityGroup"},
            "IpProtocol": "tcp",
            "FromPort": 0,
            "ToPort": 65535,
            "SourceSecurityGroupId": {"Ref": "TrafficEncryptedSecurityGroup"},
        },
    },
    "other dns": {"Type": "AWS::EC2::DHCPOptions", "Properties": {"DomainNameServers": ["10.0.0.53"]}},
    "elastic address": {"Type": "AWS::EC2::EIP", "Properties": {"Domain": "vpc"}},
    "vpn": {"Type": "AWS::EC2::VPNGateway", "Properties": {"Type": "ipsec.1"}},
}
PROPERTIES: List[Tuple[Path, Any]] = [
    (("Vpc", "Properties", "InstanceTenancy"), "dedicated"),
    (("Subnet1", "Properties", "Ipv6Native"), True),
    (("Subnet1", "Properties", "AssignIpv6AddressOnCreation"), True),
    (("Subnet1", "Properties", "OutpostArn"), "arn:aws:outposts:us-east-1:123456789012:outpost/op-1"),
    (("Vpc", "DeletionPolicy"), "Retain"),
    (("S3Endpoint", "DeletionPolicy"), "RetainExceptOnCreate"),
    (("SecurityGroup", "Properties", "GroupName"), "training"),
    (
        ("SecurityGroup", "Properties", "SecurityGroupIngress"),
        [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.0.0.0/16"}],
    ),
    (("FlowLogGroup", "Properties", "LogGroupName"), "/vpc/flow"),
    (("FlowLogRole", "Properties", "RoleName"), "flow-logs"),
    (("FlowLogRole", "Properties", "ManagedPolicyArns"), ["arn:aws:iam::aws:policy/AdministratorAccess"]),
    (("StsEndpoint", "Properties", "IpAddressType"), "ipv6"),
    (
        ("StsEndpoint", "Properties", "PolicyDocument"),
        {"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}]},
    ),
]


def _acl(action: str, egress: bool, protocol: int = -1, block: str = "0.0.0.0/0") -> Dict[str, Any]:
    rule = {
        "NetworkAclId": {"Ref": "Acl"},
        "RuleNumber": 100,
        "Protocol": protocol,
        "RuleAction": action,
        "CidrBlock": block,
        "Egress": egress,
    }
    return {"Type": "AWS::EC2::NetworkAclEntry", "Properties": rule}


def _added(template: Dict[str, Any]) -> Iterator[Mutant]:
    for name, entry in ADDED.items():
        yield f"add {name}", put(template, ("Resources", "Added"), entry)
    for path, value in PROPERTIES:
        yield f"set {said(path)}", put(template, ("Resources", *path), value)
    acl = {
        "Acl": {"Type": "AWS::EC2::NetworkAcl", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        "AclOfSubnet": {
            "Type": "AWS::EC2::SubnetNetworkAclAssociation",
            "Properties": {"NetworkAclId": {"Ref": "Acl"}, "SubnetId": {"Ref": "Subnet1"}},
        },
    }
    for name, inward, outward in (
        ("without entries", None, None),
        ("that denies", _acl("deny", False), _acl("deny", True)),
        ("for one direction", _acl("allow", False), None),
        ("for TCP only", _acl("allow", False, 6), _acl("allow", True, 6)),
        ("for the network only", _acl("allow", False, block="10.0.0.0/16"), _acl("allow", True, block="10.0.0.0/16")),
    ):
        entries = {**acl, **{key: entry for key, entry in (("In", inward), ("Out", outward)) if entry}}
        yield f"add an ACL {name}", put(template, ("Resources",), {**template["Resources"], **entries})
