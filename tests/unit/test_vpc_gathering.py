"""What is read of a network, from answers as EC2 gives them: to the last page, whatever is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List

import pytest
from botocore.exceptions import ClientError
from vpc_networks import EFA, GOOD, TCP_JOB

from hvdsm.errors import CloudRefused, ConfigError
from hvdsm.vpc.checking import parsing
from hvdsm.vpc.checking.checks import examine
from hvdsm.vpc.checking.facts import Unread
from hvdsm.vpc.checking.gathering import gather, offered
from hvdsm.vpc.checking.reporting import drawn, plain, summary
from hvdsm.vpc.checking.surveying import Survey
from hvdsm.vpc.templates.groups import Rule

EFA_TWICE = replace(TCP_JOB, instances=((EFA, 2),), subnets=("subnet-a", "subnet-b"))


class Ec2:
    """Answers by operation, page after page; the next one is asked for by the token of the one before."""

    def __init__(self, pages: Dict[str, List[Dict[str, Any]]], refused: Dict[str, str]) -> None:
        self.pages, self.refused = pages, refused
        self.asked: List[Any] = []

    def __getattr__(self, name: str) -> Any:
        def call(**given: Any) -> Dict[str, Any]:
            self.asked.append((name, given))
            if name in self.refused:
                raise ClientError({"Error": {"Code": self.refused[name], "Message": "no"}}, name)
            pages = self.pages.get(name, [{}])
            number = int(given.get("NextToken", 0))
            return {**pages[number], **({"NextToken": str(number + 1)} if number + 1 < len(pages) else {})}

        return call


class Fake:
    """Stands for a session of AWS."""

    region = "us-east-1"

    def __init__(self, pages: Dict[str, Any], **refused: str) -> None:
        self.ec2 = Ec2(pages, refused)

    def client(self, name: str, **_more: Any) -> Any:
        return self.ec2 if name == "ec2" else Ec2({"get_caller_identity": [{"Account": "1", "Arn": "a"}]}, {})


ATTRIBUTES = {"EnableDnsSupport": {"Value": True}, "EnableDnsHostnames": {"Value": False}}
VPC = {"describe_vpcs": [{"Vpcs": [{"VpcId": "vpc-1"}]}], "describe_vpc_attribute": [ATTRIBUTES]}


def subnet(name: str, place: str = "vpc-1") -> Dict[str, Any]:
    return {"SubnetId": name, "VpcId": place, "AvailabilityZone": "us-east-1a", "CidrBlock": "10.0.0.0/24"}


def test_every_page_is_read() -> None:
    pages = [{"InstanceTypeOfferings": [{"Location": "us-east-1a"}]}, {}, {"InstanceTypeOfferings": [{"Location": "us-east-1b"}]}]
    fake: Any = Fake({"describe_instance_type_offerings": pages})
    assert offered(fake, EFA) == {"us-east-1a", "us-east-1b"}
    assert fake.ec2.asked[0][1]["Filters"] == [{"Name": "instance-type", "Values": ["p4d.24xlarge"]}]
    assert [given.get("NextToken") for _, given in fake.ec2.asked] == [None, "1", "2"]


def test_the_network_is_that_of_the_subnet() -> None:
    fake: Any = Fake({**VPC, "describe_subnets": [{"Subnets": [subnet("subnet-a")]}]})
    network = gather(fake, subnets=["subnet-a", "subnet-b"])
    assert network.vpc is not None and (network.vpc.id, network.vpc.dns_support, network.vpc.dns_hostnames) == (
        "vpc-1",
        True,
        False,
    )
    assert [one.id for one in network.subnets] == ["subnet-a"]
    assert network.missing == ("subnet-b",)


@pytest.mark.parametrize("given", [{"subnets": ["subnet-a"]}, {"vpc_id": "vpc-1", "security_groups": ["sg-1"]}])
def test_what_is_forbidden_is_recorded(given: Dict[str, Any]) -> None:
    fake: Any = Fake(VPC, describe_subnets="UnauthorizedOperation", describe_security_groups="UnauthorizedOperation")
    network = gather(fake, **given)
    assert "ec2:DescribeSubnets" in {entry.permission for entry in network.unread}
    assert network.missing == ()
    assert all(entry.reason == "no" for entry in network.unread)


def test_another_refusal_is_an_error() -> None:
    fake: Any = Fake(VPC, describe_subnets="InvalidParameterValue")
    with pytest.raises(CloudRefused, match="DescribeSubnets"):
        gather(fake, vpc_id="vpc-1")


def test_no_network() -> None:
    fake: Any = Fake({})
    with pytest.raises(ConfigError, match="nothing says which network"):
        gather(fake)
    with pytest.raises(ConfigError, match="there is no VPC"):
        gather(fake, vpc_id="vpc-1")
    assert gather(fake, subnets=["subnet-a"]).missing == ("subnet-a",)


def test_a_group_alone_that_may_not_be_read() -> None:
    fake: Any = Fake(VPC, describe_security_groups="UnauthorizedOperation")
    with pytest.raises(CloudRefused, match="AWS refuses DescribeSecurityGroups") as caught:
        gather(fake, security_groups=["sg-1"])
    assert "sg-1" in str(caught.value) and "ec2:DescribeSecurityGroups" in str(caught.value.remedy)


@pytest.mark.parametrize("operation", ["DescribeVpcs", "DescribeVpcAttribute"])
def test_a_verdict_says_that_dns_was_not_checked(operation: str) -> None:
    network = replace(GOOD, unread=(Unread(operation, f"ec2:{operation}", "no"),))
    report = examine(network, TCP_JOB)
    assert report.ok
    assert summary(Survey(network, report))[-1] == (
        f"a job can run if its names are resolved: DNS was not checked, as {operation} may not be called"
    )


def test_rules_of_every_kind() -> None:
    permissions = [
        {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [{"GroupId": "sg-2"}], "PrefixListIds": [{"PrefixListId": "pl-1"}]},  # noqa: E501
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    ]  # fmt: skip
    (group,) = parsing.groups([{"GroupId": "sg-1", "GroupName": "g", "IpPermissions": permissions, "IpPermissionsEgress": []}])
    every = (0, 65535)
    assert group.rules == (
        Rule("sg-1", False, "6", (1, 2), "sg-2", "sg-1"),
        Rule("sg-1", False, "6", (1, 2), "pl-1", "sg-1"),
        Rule("sg-1", False, "-1", every, "10.0.0.0/8", "sg-1"),
        Rule("sg-1", False, "-1", every, "::/0", "sg-1"),
    )


def test_what_is_deleted_is_not_there() -> None:
    assert parsing.nats([{"NatGatewayId": "nat-1", "State": "deleted"}]) == []
    assert parsing.endpoints([{"VpcEndpointId": "vpce-1", "State": "Deleted"}]) == []
    (kept,) = parsing.endpoints([{"VpcEndpointId": "vpce-1", "State": "Available", "PolicyDocument": "no JSON"}])
    assert (kept.state, kept.kind, kept.policy) == ("available", "Gateway", None)


def test_a_table_and_lines() -> None:
    report = examine(GOOD, TCP_JOB)
    assert plain(report.findings) == []
    words = summary(Survey(GOOD, report))
    assert words[0] == "vpc-1 (net) in us-east-1: 23 checks, 0 errors, 0 warnings, 0 notes"
    assert words[-1] == "a job can run"
    found = examine(GOOD, EFA_TWICE).findings
    shown = drawn(found)
    assert "LEVEL" in shown and "one-zone" in shown
    # A remedy stands in one line, so that it can be copied.
    assert f"1. {found[0].remedy}\n" in shown
