"""Endpoints of a rendered template: the ways to S3 and to other AWS services.

Sources: AWS PrivateLink Guide (gateway endpoints for Amazon S3, interface endpoints, private DNS), Amazon ECR User Guide (the
bucket of image layers), SageMaker Developer Guide (training jobs in a VPC).
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, Set

from hvdsm.vpc.templates.groups import Finding, Rule, rules_of, target
from hvdsm.vpc.templates.iam import Request, allows, is_everybody, is_owner, statements
from hvdsm.vpc.templates.naming import attribute_of, block_of, id_of, is_on, is_within, vpc_blocks, words
from hvdsm.vpc.templates.rendering import Rendered

# Endpoints of the services that scripts call, by the end of their names.
CORE = ("logs", "monitoring", "sts", "sagemaker.api")
FULL = (*CORE, "sagemaker.runtime", "ecr.api", "ecr.dkr", "kms")
SERVICES = (*FULL, "ssm", "ssmmessages", "ec2messages", "secretsmanager", "elasticfilesystem", "s3", "ec2", "fsx", "events")
# What a job does with the buckets of its account.
_OBJECT_ACTIONS = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
    "s3:GetObjectTagging",
    "s3:PutObjectTagging",
)
_BUCKET_ACTIONS = ("s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads")
_NOT_FOR_JOBS = (
    "s3:DeleteBucket",
    "s3:PutBucketPolicy",
    "s3:PutBucketAcl",
    "s3:PutObjectAcl",
    "s3:CreateBucket",
    "s3:DeleteBucketPolicy",
    "s3:DeleteObjectVersion",
    "s3:PutBucketVersioning",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutLifecycleConfiguration",
    "s3:PutReplicationConfiguration",
    "s3:ReplicateObject",
    "s3:ObjectOwnerOverrideToBucketOwner",
    "s3:BypassGovernanceRetention",
)
_SOMEBODY = "999999999999"
_STRANGERS = [str(number) * 12 for number in range(9, 0, -1)]
_ACCOUNT = re.compile(r"\d{12}")


def s3_endpoint(rendered: Rendered) -> Iterator[Finding]:
    """S3 by a gateway endpoint that every subnet's routes have, for buckets of this account."""
    begin = f"com.amazonaws.{rendered.setting.region}."
    mine: Dict[str, Mapping[str, Any]] = {}
    for name, entry in rendered.of_type("AWS::EC2::VPCEndpoint").items():
        if entry.get("VpcEndpointType", "Gateway") == "Gateway":
            if entry.get("ServiceName") == begin + "s3":
                mine[name] = entry
            elif entry.get("ServiceName") != begin + "dynamodb":
                yield Finding("s3-endpoint", name, f"{entry.get('ServiceName')!r} is not the name of S3", f"name {begin}s3")
    if len(mine) != 1:
        yield Finding("s3-endpoint", "", f"has {len(mine)} gateway endpoints for S3", "make one: no data comes in without it")
    for name, entry in mine.items():
        listed = [id_of(rendered, table, "AWS::EC2::RouteTable") for table in entry.get("RouteTableIds") or ()]
        for subnet, table in tables_of(rendered).items():
            if table not in listed:
                yield Finding("s3-endpoint", name, f"is not in the route table of {subnet}", "add the table to RouteTableIds")
        if None in listed and rendered.of_type("AWS::EC2::RouteTable"):
            yield Finding("s3-endpoint", name, "names a route table that is none of the template's", "take it out")
        vpc = id_of(rendered, entry.get("VpcId"), "AWS::EC2::VPC")
        place = f"${{{vpc}}}" if vpc else str(entry.get("VpcId"))
        yield from _s3_policy(rendered, name, entry.get("PolicyDocument"), place)


def tables_of(rendered: Rendered) -> Dict[str, str]:
    """The route table of each subnet."""
    found: Dict[str, str] = {}
    for entry in rendered.of_type("AWS::EC2::SubnetRouteTableAssociation").values():
        subnet = id_of(rendered, entry.get("SubnetId"), "AWS::EC2::Subnet")
        table = id_of(rendered, entry.get("RouteTableId"), "AWS::EC2::RouteTable")
        if subnet is not None and table is not None:
            found[subnet] = table
    return found


def _s3_policy(rendered: Rendered, name: str, document: Any, vpc: str) -> Iterator[Finding]:
    if not isinstance(document, dict) or not document.get("Statement"):
        what = "has no policy, so that any bucket of anyone can be reached"
        yield Finding("s3-policy", name, what, "allow this account's buckets, by aws:ResourceAccount")
        return
    where = rendered.setting
    arn = f"arn:{where.partition}:s3:::"
    own, layers = f"{arn}sagemaker-{where.region}-{where.account}", f"{arn}prod-{where.region}-starport-layer-bucket"

    def passes(action: str, place: str, owner: str, lenient: bool = True) -> bool:
        request = Request(action, place, owner, vpc, f"${{{name}}}", lenient, where.account)
        return allows(document, request, doubtful=False)

    needed = [(a, f"{own}/a/b") for a in _OBJECT_ACTIONS] + [(a, own) for a in _BUCKET_ACTIONS]
    missing = [a for a, place in needed if not passes(a, place, where.account)]
    if not missing and not all(passes(a, place, where.account, False) for a, place in needed):
        what = "allows jobs to use this account's buckets on conditions about who asks, or from where, that are not known here"
        yield Finding("s3-policy", name, what, "see that they hold for the job's role, network and endpoint", "warning")
    if missing:
        remedy = f"allow {', '.join(missing)} for anybody, by aws:ResourceAccount"
        yield Finding("s3-policy", name, "does not allow jobs to use this account's buckets", remedy)
    wide = [a for a in _NOT_FOR_JOBS if allows(document, Request(a, f"{own}/a", where.account), doubtful=True)]
    wide += [a for a in _NOT_FOR_JOBS if allows(document, Request(a, own, where.account), doubtful=True) and a not in wide]
    if wide:
        yield Finding("s3-policy", name, f"allows {', '.join(wide)}, which no job needs", "name the actions that jobs need")
    # An account that the policy does not name, be it to leave it out.
    stranger = next((name for name in _STRANGERS if name not in _named_accounts(document)), _SOMEBODY)
    for bucket in (f"{arn}somebodys-data", f"{arn}sagemaker-{where.region}-{stranger}"):
        if any(allows(document, Request(a, place, stranger), doubtful=True) for a, place in _uses(bucket)):
            remedy = "add the condition aws:ResourceAccount, or name buckets"
            yield Finding("s3-policy", name, "allows buckets of any account", remedy)
            break
    for other in _named_accounts(document) - {where.account}:
        if any(allows(document, Request(a, place, other), doubtful=True) for a, place in _uses(f"{arn}somebodys-data")):
            what = f"allows buckets of another account, {other}"
            yield Finding("s3-policy", name, what, "let aws:ResourceAccount be AWS::AccountId", "warning")
    if not passes("s3:GetObject", f"{layers}/1-2/3", _SOMEBODY):
        what = "does not allow the bucket that layers of ECR's images lie in"
        yield Finding("s3-policy", name, what, f"allow s3:GetObject for {layers}/*", "warning")
    yield from _named_buckets(rendered, name, document, [layers], passes)
    if any(not is_everybody(one.get("Principal")) for one in statements(document)):
        yield Finding("s3-policy", name, "has a statement for some principals only", 'set Principal to "*": roles limit who may')
    listed = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    for statement in listed:
        resources = words(statement.get("Resource")) if isinstance(statement, dict) else []
        if not resources or any(not text.startswith("arn:") and text != "*" for text in resources):
            yield Finding("s3-policy", name, "has a statement without resources", "name them by their ARNs")
    if document.get("Version") != "2012-10-17":
        yield Finding("s3-policy", name, f"has the version {document.get('Version')}", "set Version to 2012-10-17")


def _named_accounts(document: Any) -> Set[str]:
    """The accounts that conditions on whose buckets they are ask about, however they do."""
    conditions = [statement.get("Condition") for statement in statements(document)]
    tests = [keys for condition in conditions if isinstance(condition, dict) for keys in condition.values()]
    values = [words(value) for keys in tests if isinstance(keys, dict) for key, value in keys.items() if is_owner(key)]
    return {value for listed in values for value in listed if _ACCOUNT.fullmatch(value)}


def _named_buckets(
    rendered: Rendered, name: str, document: Any, layers: List[str], passes: Callable[[str, str, str], bool]
) -> Iterator[Finding]:
    asked = [bucket for bucket in words(rendered.parameters.get("ReadOnlyBucketArns")) if bucket]
    for bucket in asked:
        reads = (("s3:GetObject", f"{bucket}/a/b"), ("s3:ListBucket", bucket), ("s3:GetBucketLocation", bucket))
        if not all(passes(a, place, _SOMEBODY) for a, place in reads):
            yield Finding("s3-policy", name, "does not allow the buckets of ReadOnlyBucketArns to be read", "allow it")
        others = (("s3:GetObject", f"{bucket}-of-others/a"), ("s3:ListBucket", f"{bucket}-of-others"))
        if any(allows(document, Request(a, place, _SOMEBODY), doubtful=True) for a, place in others):
            yield Finding("s3-policy", name, "allows buckets whose names begin as those of ReadOnlyBucketArns do", "end the ARN")
    for bucket in [*asked, *layers]:
        if any(allows(document, Request(a, place, _SOMEBODY), doubtful=True) for a, place in _writes(bucket)):
            yield Finding("s3-policy", name, "lets others' buckets be written to", "allow reading only")


def _uses(bucket: str) -> Iterator[Any]:
    yield from ((action, f"{bucket}/a") for action in _OBJECT_ACTIONS)
    yield from ((action, bucket) for action in (*_BUCKET_ACTIONS, *_NOT_FOR_JOBS))


def _writes(bucket: str) -> Iterator[Any]:
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:PutObjectTagging", "s3:PutObjectAcl", "s3:DeleteBucket"):
        yield from ((action, f"{bucket}/a"), (action, bucket))


def interface_endpoints(rendered: Rendered) -> Iterator[Finding]:
    """Interface endpoints: services that exist, private names, in every subnet, reachable from the instances."""
    begin = f"com.amazonaws.{rendered.setting.region}."
    seen: Dict[str, str] = {}
    for name, entry in rendered.of_type("AWS::EC2::VPCEndpoint").items():
        if entry.get("VpcEndpointType", "Gateway") == "Gateway":
            continue
        service = str(entry.get("ServiceName"))
        if not service.startswith(begin) or service[len(begin) :] not in SERVICES or entry["VpcEndpointType"] != "Interface":
            what = f"{service!r} is no service that training uses"
            yield Finding("endpoint-name", name, what, f"name {begin}SERVICE, one of {', '.join(SERVICES)}")
        if service in seen:
            yield Finding("endpoint-name", name, f"is for {service}, as {seen[service]} is", "make one of them")
        seen[service] = name
        yield from _interface_endpoint(rendered, name, entry)
    asked = rendered.parameters.get("InterfaceEndpoints")
    if asked is None:
        return
    wanted = {"none": (), "core": CORE, "full": FULL}.get(str(asked), FULL)
    missing = [service for service in wanted if begin + service not in seen]
    if missing:
        yield Finding("endpoint-set", "", f"has no endpoint for {', '.join(missing)}", f"the set {asked} needs it")
    more = [name for service, name in seen.items() if service[len(begin) :] not in wanted]
    if more:
        what = f"makes interface endpoints that nobody asked for: {', '.join(more)}"
        yield Finding("endpoint-set", "", what, "they cost by the hour: make them on request")


def _interface_endpoint(rendered: Rendered, name: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if not is_on(entry.get("PrivateDnsEnabled", False)):
        yield Finding("endpoint-dns", name, "has no private name", "set PrivateDnsEnabled to true")
    listed = [id_of(rendered, subnet, "AWS::EC2::Subnet") for subnet in entry.get("SubnetIds") or ()]
    there = sorted(rendered.of_type("AWS::EC2::Subnet"))
    if there and sorted(str(subnet) for subnet in listed) != there:
        yield Finding("endpoint-subnets", name, "is not in every subnet, once in each", "list them all in SubnetIds")
    if "ipv6" in str(entry.get("IpAddressType", "ipv4")).lower():
        yield Finding("endpoint-address", name, "has addresses of IPv6", "leave IpAddressType out: instances have IPv4")
    if "ipv6" in str((entry.get("DnsOptions") or {}).get("DnsRecordIpType", "")).lower():
        yield Finding("endpoint-address", name, "has names for IPv6 alone", "leave DnsOptions out: instances have IPv4")
    if entry.get("ServiceRegion", rendered.setting.region) != rendered.setting.region:
        yield Finding("endpoint-name", name, f"is for the service in {entry['ServiceRegion']}", "leave ServiceRegion out")
    if any(statement.get("Effect") != "Allow" for statement in statements(entry.get("PolicyDocument"))):
        yield Finding("endpoint-policy", name, "has a policy that denies", "take it away: roles limit who may do what")
    groups = [id_of(rendered, group, "AWS::EC2::SecurityGroup") for group in entry.get("SecurityGroupIds") or ()]
    rules = [rule for rule in rules_of(rendered) if rule.group in groups and not rule.outward]
    remedy = "allow TCP 443 from the network or the instances' group"
    if not any(rule.covers("6", 443) and _is_instances(rendered, rule, "SecurityGroupId") for rule in rules):
        yield Finding("endpoint-group", name, "cannot be reached by the instances", remedy)
    elif "TrafficEncryptedSecurityGroupId" in rendered.outputs and not any(
        rule.covers("6", 443) and _is_instances(rendered, rule, "TrafficEncryptedSecurityGroupId") for rule in rules
    ):
        what = "cannot be reached by the instances of jobs with encrypted traffic, which have a group of their own"
        yield Finding("endpoint-group", name, what, "allow TCP 443 from the network, or from both groups", "warning")
    out = [rule for rule in rules_of(rendered) if rule.group in groups and rule.outward and rule.value != "127.0.0.1/32"]
    if out and not any(rule.group == target(rendered.outputs.get("SecurityGroupId")) for rule in out):
        yield Finding(
            "endpoint-group", name, "may open connections, which no endpoint does", "let 127.0.0.1/32 be its peer", "warning"
        )
    if any(rule.protocol != "6" or rule.ports != (443, 443) for rule in rules):
        yield Finding("endpoint-group", name, "can be reached by more than HTTPS", "allow TCP 443 and no other port", "warning")


def _is_instances(rendered: Rendered, rule: Rule, output: str) -> bool:
    """Whether a rule's peer is the instances: the group that an output names, the network, or all of its addresses."""
    own = rendered.outputs.get(output)
    group = id_of(rendered, own.get("Value"), "AWS::EC2::SecurityGroup") if own else None
    if group is not None and rule.peer == group:
        return True
    outer = block_of(rendered, rule.value)
    if attribute_of(rendered, rule.value, "AWS::EC2::VPC", "CidrBlock"):
        return True
    blocks = vpc_blocks(rendered)
    return outer is not None and bool(blocks) and all(is_within(block, outer) for block in blocks)
