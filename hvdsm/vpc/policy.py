"""What a network for distributed training must have, checked on a rendered template; cfn-lint knows none of this.

Sources: Amazon EC2 User Guide (EFA and security groups), SageMaker Developer Guide (training jobs in a VPC, encryption of traffic
between instances), AWS PrivateLink Guide (interface endpoints).
"""

from __future__ import annotations

import ipaddress
import json
from itertools import combinations
from typing import Any, Callable, Dict, Iterator, List, Sequence

from hvdsm.vpc.groups import Finding, encrypted_group, job_group, open_groups, output, rules_of, target
from hvdsm.vpc.rendering import Rendered

# Endpoints of the services that scripts call, by the end of their names.
SERVICES = (
    "logs",
    "monitoring",
    "sts",
    "sagemaker.api",
    "sagemaker.runtime",
    "ecr.api",
    "ecr.dkr",
    "kms",
    "ssm",
    "secretsmanager",
)
CORE = ("logs", "monitoring", "sts", "sagemaker.api")
# Resources by which a network reaches the internet, or another network.
_WAYS_OUT = (
    "AWS::EC2::InternetGateway",
    "AWS::EC2::EgressOnlyInternetGateway",
    "AWS::EC2::NatGateway",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::EC2::VPCPeeringConnection",
    "AWS::EC2::TransitGatewayAttachment",
    "AWS::EC2::VPNGateway",
    "AWS::EC2::EIP",
)


def findings(rendered: Rendered) -> List[Finding]:
    """Everything that is wrong with a rendered template."""
    return [finding for rule in RULES for finding in rule(rendered)]


def network(rendered: Rendered) -> Iterator[Finding]:
    """One network with working names."""
    vpcs = rendered.of_type("AWS::EC2::VPC")
    if len(vpcs) != 1:
        yield Finding("one-vpc", "", f"makes {len(vpcs)} networks", "make one")
    for name, properties in vpcs.items():
        for key in ("EnableDnsSupport", "EnableDnsHostnames"):
            if str(properties.get(key, key == "EnableDnsSupport")).lower() != "true":
                yield Finding("dns", name, f"{key} is off", "set it to true: the private names of endpoints need both")
    for name, entry in rendered.resources.items():
        if entry["Type"] in _WAYS_OUT:
            yield Finding(
                "no-way-out", name, f"is an {entry['Type']}", "take it away: training needs S3 only, through its endpoint"
            )
    for name, properties in rendered.of_type("AWS::EC2::Route").items():
        yield Finding(
            "no-way-out", name, f"routes {properties.get('DestinationCidrBlock', 'something')} elsewhere", "take it away"
        )


def subnets(rendered: Rendered) -> Iterator[Finding]:
    """Subnets within the network, apart from each other, each in a zone of its own, each with the routes."""
    found = rendered.of_type("AWS::EC2::Subnet")
    whole = next((_block(entry.get("CidrBlock")) for entry in rendered.of_type("AWS::EC2::VPC").values()), None)
    blocks = {name: _block(entry.get("CidrBlock")) for name, entry in found.items()}
    for name, block in blocks.items():
        if block is None:
            yield Finding("cidr", name, f"{found[name].get('CidrBlock')!r} is no block of addresses", "write it as 10.0.0.0/24")
        elif whole is not None and not block.subnet_of(whole):
            yield Finding("cidr", name, f"{block} is not within {whole}", "choose a block within the network's")
        if str(found[name].get("MapPublicIpOnLaunch", False)).lower() == "true":
            yield Finding("private", name, "gives public addresses", "set MapPublicIpOnLaunch to false")
    for (one, first), (two, second) in combinations(blocks.items(), 2):
        if first is not None and second is not None and first.overlaps(second):
            yield Finding("cidr", two, f"{second} overlaps {first} of {one}", "choose blocks that lie apart")
        zone = found[one].get("AvailabilityZone")
        if zone is not None and zone == found[two].get("AvailabilityZone"):
            yield Finding("zones", two, f"is in {zone}, where {one} is", "give each subnet a zone of its own")
    for name, entry in found.items():
        if "AvailabilityZone" not in entry:
            yield Finding("zones", name, "is in any zone", "name the zone: EFA and latency depend on it")
    count = int(rendered.parameters.get("AvailabilityZoneCount", len(found)))
    if len(found) != count:
        yield Finding("zones", "", f"makes {len(found)} subnets for {count} zones", "make one for each zone")
    tables = _tables(rendered)
    for name in found:
        if name not in tables:
            yield Finding("routes", name, "has no route table of its own", "associate it with the table that has S3's endpoint")


def _tables(rendered: Rendered) -> Dict[str, str]:
    """The route table of each subnet."""
    associations = rendered.of_type("AWS::EC2::SubnetRouteTableAssociation").values()
    return {target(entry.get("SubnetId")): target(entry.get("RouteTableId")) for entry in associations}


def _block(text: Any) -> Any:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def s3_endpoint(rendered: Rendered) -> Iterator[Finding]:
    """S3 by a gateway endpoint that every subnet's routes have, for buckets of this account."""
    endpoints = rendered.of_type("AWS::EC2::VPCEndpoint")
    wanted = f"com.amazonaws.{rendered.setting.region}.s3"
    gateways = {n: e for n, e in endpoints.items() if e.get("VpcEndpointType", "Gateway") == "Gateway"}
    for name, entry in gateways.items():
        if entry.get("ServiceName") != wanted:
            yield Finding("s3-endpoint", name, f"{entry.get('ServiceName')!r} is not the name of S3", f"name {wanted}")
    mine = {name: entry for name, entry in gateways.items() if entry.get("ServiceName") == wanted}
    if len(mine) != 1:
        yield Finding("s3-endpoint", "", f"has {len(mine)} gateway endpoints for S3", "make one: no data comes in without it")
    for name, entry in mine.items():
        served = {target(table) for table in entry.get("RouteTableIds") or ()}
        for subnet, table in _tables(rendered).items():
            if table not in served:
                yield Finding("s3-endpoint", name, f"is not in the route table of {subnet}", "add the table to RouteTableIds")
        yield from _policy(name, entry.get("PolicyDocument"))


def _words(value: Any) -> List[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _policy(name: str, document: Any) -> Iterator[Finding]:
    if not isinstance(document, dict) or not document.get("Statement"):
        yield Finding(
            "s3-policy", name, "has no policy, so that any bucket of anyone can be reached", "allow this account's buckets"
        )
        return
    own = 0
    for statement in document["Statement"]:
        if statement.get("Effect") != "Allow":
            continue
        equal = (statement.get("Condition") or {}).get("StringEquals") or {}
        limited = any(key.lower() in ("aws:resourceaccount", "s3:resourceaccount") for key in equal)
        own += limited
        actions, resources = _words(statement.get("Action")), _words(statement.get("Resource"))
        if any(action in ("*", "s3:*") for action in actions):
            yield Finding("s3-policy", name, "allows every action", "name the actions")
        if not limited and any(resource.split(":")[-1].split("/")[0] in ("*", "") for resource in resources):
            yield Finding(
                "s3-policy", name, "allows buckets of any account", "add the condition aws:ResourceAccount, or name buckets"
            )
        if not limited and any(word in action for action in actions for word in ("Put", "Delete")):
            yield Finding("s3-policy", name, "lets others' buckets be written to", "allow reading only")
    if not own:
        yield Finding("s3-policy", name, "does not allow this account's buckets", "add them, by aws:ResourceAccount")


def interface_endpoints(rendered: Rendered) -> Iterator[Finding]:
    """Interface endpoints: services that exist, private names, in every subnet, reachable from the instances."""
    begin = f"com.amazonaws.{rendered.setting.region}."
    seen: Dict[str, str] = {}
    subnets_there = set(rendered.of_type("AWS::EC2::Subnet"))
    groups = rules_of(rendered)
    whole = set(rendered.of_type("AWS::EC2::VPC"))
    for name, entry in rendered.of_type("AWS::EC2::VPCEndpoint").items():
        if entry.get("VpcEndpointType") != "Interface":
            continue
        service = str(entry.get("ServiceName"))
        short = service[len(begin) :] if service.startswith(begin) else ""
        if short not in SERVICES:
            yield Finding(
                "endpoint-name",
                name,
                f"{service!r} is no service that training uses",
                f"name {begin}SERVICE, one of {', '.join(SERVICES)}",
            )
        if service in seen:
            yield Finding("endpoint-name", name, f"is for {service}, as {seen[service]} is", "make one of them")
        seen[service] = name
        if str(entry.get("PrivateDnsEnabled", False)).lower() != "true":
            yield Finding("endpoint-dns", name, "has no private name", "set PrivateDnsEnabled to true")
        if {target(subnet) for subnet in entry.get("SubnetIds") or ()} != subnets_there:
            yield Finding("endpoint-subnets", name, "is not in every subnet", "list them all in SubnetIds")
        attached = {target(group) for group in entry.get("SecurityGroupIds") or ()}
        own = output(rendered, "SecurityGroupId")
        reached = own in attached or any(
            rule.group in attached and not rule.outward and rule.covers("6", 443) and (rule.peer in whole or rule.peer == own)
            for rule in groups
        )
        if not reached:
            yield Finding(
                "endpoint-group",
                name,
                "cannot be reached by the instances",
                "allow TCP 443 from the network or the instances' group",
            )
    asked = str(rendered.parameters.get("InterfaceEndpoints", "none"))
    missing = [service for service in CORE if asked != "none" and begin + service not in seen]
    if missing:
        yield Finding("endpoint-set", "", f"has no endpoint for {', '.join(missing)}", "the core set needs it")
    if asked == "none" and seen:
        yield Finding(
            "endpoint-set", "", "makes interface endpoints that nobody asked for", "they cost by the hour: make them on request"
        )


def flow_logs(rendered: Rendered) -> Iterator[Finding]:
    """A record of traffic, where it is asked for, that is kept for a time and whose role can do nothing else."""
    if str(rendered.parameters.get("FlowLogs", "true")) != "true":
        return
    if not rendered.of_type("AWS::EC2::FlowLog"):
        yield Finding("flow-logs", "", "has no flow logs", "add AWS::EC2::FlowLog for the network")
    for name, entry in rendered.of_type("AWS::Logs::LogGroup").items():
        if not entry.get("RetentionInDays"):
            yield Finding("flow-logs", name, "keeps its records for ever", "set RetentionInDays")
        if isinstance(entry.get("LogGroupName"), str) and rendered.setting.stack not in entry["LogGroupName"]:
            yield Finding(
                "log-group-name", name, "has a name of its own, which a second stack would have too", "leave LogGroupName out"
            )
    for name, entry in rendered.of_type("AWS::IAM::Role").items():
        for policy in entry.get("Policies") or ():
            for statement in policy["PolicyDocument"]["Statement"]:
                wide = any(word == "*" or word.endswith(":*") for word in _words(statement.get("Action")))
                if wide or "*" in _words(statement.get("Resource")):
                    yield Finding("least-privilege", name, "may do more than write flow logs", "name actions and the log group")
        if "ManagedPolicyArns" in entry:
            yield Finding("least-privilege", name, "has managed policies", "write out what it may do")


def outputs(rendered: Rendered) -> Iterator[Finding]:
    """Outputs by their names, each exported; VpcConfig ready for a request."""
    count = len(rendered.of_type("AWS::EC2::Subnet"))
    names = [
        "VpcId",
        "SecurityGroupId",
        "TrafficEncryptedSecurityGroupId",
        "VpcConfig",
        *(f"Subnet{n}Id" for n in range(1, count + 1)),
    ]
    for name in names:
        if name not in rendered.outputs:
            yield Finding("outputs", "", f"has no output {name}", "add it")
    kinds = {"VpcId": "AWS::EC2::VPC", **{f"Subnet{n}Id": "AWS::EC2::Subnet" for n in range(1, 4)}}
    for name, entry in rendered.outputs.items():
        export = (entry.get("Export") or {}).get("Name", "")
        if rendered.setting.stack not in str(export):
            yield Finding("exports", name, "has no export that names the stack", "export it as STACK-NAME")
        if name in kinds and target(entry["Value"]) not in rendered.of_type(kinds[name]):
            yield Finding("outputs", name, f"is no {kinds[name]}", "let it be the resource's")
    places = [output(rendered, f"Subnet{n}Id") for n in range(1, count + 1)]
    if len(set(places)) != len(places):
        yield Finding("outputs", "", "names one subnet twice", "let each output name its own")
    if "VpcConfig" in rendered.outputs:
        yield from _vpc_config(rendered, rendered.outputs["VpcConfig"]["Value"])


def _vpc_config(rendered: Rendered, value: Any) -> Iterator[Finding]:
    try:
        made = json.loads(value)
        given, groups = made["Subnets"], made["SecurityGroupIds"]
    except (TypeError, ValueError, KeyError):
        yield Finding("vpc-config", "VpcConfig", "is not JSON with Subnets and SecurityGroupIds", "write it as a request has it")
        return
    if [target(item) for item in given] != [output(rendered, "Subnet1Id")]:
        yield Finding(
            "vpc-config", "VpcConfig", "does not name exactly the first subnet", "one job, one subnet: EFA does not cross zones"
        )
    if [target(item) for item in groups] != [output(rendered, "SecurityGroupId")]:
        yield Finding("vpc-config", "VpcConfig", "does not name exactly the instances' group", "name it")


def tags(rendered: Rendered) -> Iterator[Finding]:
    """Names by which people find things."""
    for kind in ("AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup", "AWS::EC2::RouteTable"):
        for name, entry in rendered.of_type(kind).items():
            if not any(tag.get("Key") == "Name" for tag in entry.get("Tags") or ()):
                yield Finding("tags", name, "has no tag Name", "add one with the stack's name")


RULES: Sequence[Callable[[Rendered], Iterator[Finding]]] = (
    job_group,
    encrypted_group,
    open_groups,
    network,
    subnets,
    s3_endpoint,
    interface_endpoints,
    flow_logs,
    outputs,
    tags,
)
