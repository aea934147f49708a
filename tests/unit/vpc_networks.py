"""A network in which any job can run, as facts; tests break it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Tuple

from hvdsm.vpc.checking.facts import Acl, AclEntry, Endpoint, Network, Route, RouteTable, SecurityGroup, Subnet, Vpc
from hvdsm.vpc.checking.wanted import Job
from hvdsm.vpc.templates.groups import Rule

EFA, PLAIN = "ml.p4d.24xlarge", "ml.c5.xlarge"
S3 = "com.amazonaws.us-east-1.s3"
S3_CIDRS = ("52.216.0.0/15", "3.5.0.0/19")
ACCOUNT = "123456789012"
POLICY = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject*", "s3:ListBucket*", "s3:PutObject"],
            "Resource": "arn:aws:s3:::*",
            "Condition": {"StringEquals": {"aws:ResourceAccount": ACCOUNT}},
        }
    ]
}


def rule(group: str, outward: bool, peer: str, protocol: str = "-1", ports: Tuple[int, int] = (0, 65535)) -> Rule:
    """A rule of a group."""
    return Rule(group, outward, protocol, ports, peer, group)


def line(
    number: int, outward: bool, allow: bool, cidr: str = "0.0.0.0/0", protocol: str = "-1", ports: Any = (0, 65535)
) -> AclEntry:
    """A line of a network ACL."""
    return AclEntry(number, outward, allow, protocol, ports, cidr)


OPEN_ACL = (line(100, False, True), line(100, True, True), line(32767, False, False), line(32767, True, False))
SELF = (rule("sg-job", False, "sg-job"), rule("sg-job", True, "sg-job"))
HTTPS = rule("sg-job", True, "0.0.0.0/0", "6", (443, 443))
GOOD = Network(
    region="us-east-1",
    account=ACCOUNT,
    vpc=Vpc("vpc-1", ("10.0.0.0/16",), True, True, "default", ACCOUNT, "dopt-1", ("AmazonProvidedDNS",), "ec2.internal", "net"),
    subnets=(
        Subnet("subnet-a", "vpc-1", "us-east-1a", "use1-az1", "10.0.0.0/24", 251, "net-1", zone_type="availability-zone"),
        Subnet("subnet-b", "vpc-1", "us-east-1b", "use1-az2", "10.0.1.0/24", 251, "net-2", zone_type="availability-zone"),
    ),
    groups=(
        SecurityGroup("sg-job", "vpc-1", (*SELF, HTTPS), "net"),
        SecurityGroup(
            "sg-encrypted",
            "vpc-1",
            (
                rule("sg-encrypted", False, "sg-encrypted", "17", (500, 500)),
                rule("sg-encrypted", False, "sg-encrypted", "50"),
                rule("sg-encrypted", True, "sg-encrypted"),
                rule("sg-encrypted", True, "0.0.0.0/0", "6", (443, 443)),
            ),
        ),
        SecurityGroup("sg-door", "vpc-1", (rule("sg-door", False, "10.0.0.0/16", "6", (443, 443)),)),
    ),
    tables=(
        RouteTable("rtb-main", "vpc-1", True, routes=(Route("10.0.0.0/16", "local"),)),
        RouteTable(
            "rtb-job",
            "vpc-1",
            subnets=frozenset({"subnet-a", "subnet-b"}),
            routes=(Route("10.0.0.0/16", "local"), Route("pl-s3", "vpce-s3")),
        ),
    ),
    acls=(Acl("acl-1", "vpc-1", frozenset({"subnet-a", "subnet-b"}), OPEN_ACL, default=True),),
    endpoints=(
        Endpoint("vpce-s3", "Gateway", S3, policy=POLICY, tables=frozenset({"rtb-job"})),
        Endpoint(
            "vpce-logs",
            "Interface",
            "com.amazonaws.us-east-1.logs",
            subnets=frozenset({"subnet-a", "subnet-b"}),
            groups=frozenset({"sg-door"}),
            private_dns=True,
        ),
    ),
    prefix_lists={"pl-s3": S3},
    prefix_cidrs={"pl-s3": S3_CIDRS},
    services=frozenset({S3, "com.amazonaws.us-east-1.logs"}),
    logged=frozenset({"vpc-1"}),
    offered={EFA: frozenset({"us-east-1a", "us-east-1b"}), PLAIN: frozenset({"us-east-1a", "us-east-1b"})},
    efa={EFA: True, PLAIN: False},
)
EFA_JOB = Job(((EFA, 4),), subnets=("subnet-a",), groups=("sg-job",))
TCP_JOB = replace(EFA_JOB, instances=((PLAIN, 4),))
ENCRYPTED_JOB = replace(TCP_JOB, encrypted=True, groups=("sg-encrypted",))


def with_one(network: Network, field: str, name: str, **changes: Any) -> Network:
    """A network in which one thing is different."""
    found = tuple(replace(entry, **changes) if entry.id == name else entry for entry in getattr(network, field))
    assert found != getattr(network, field), f"{field} has no {name}, or it is the same"
    return replace(network, **{field: found})


def with_rules(network: Network, group: str, *rules: Rule) -> Network:
    """A network in which a group has these rules."""
    return with_one(network, "groups", group, rules=rules)


def with_routes(network: Network, *routes: Route) -> Network:
    """A network whose jobs have these routes beside the local one."""
    return with_one(network, "tables", "rtb-job", routes=(Route("10.0.0.0/16", "local"), *routes))


def without_s3(network: Network) -> Network:
    """A network that has no endpoint for S3."""
    kept = tuple(endpoint for endpoint in network.endpoints if endpoint.service != S3)
    return with_routes(replace(network, endpoints=kept), Route("10.9.0.0/16", "pcx-1"))
