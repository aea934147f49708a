"""What a template says that CloudFormation, EC2 or a job would refuse: in plain words, with the place."""

from __future__ import annotations

import json
import re
from typing import Any, List

import pytest

from hvdsm.vpc.templates.room import Hosts
from hvdsm.vpc.templates.template import check_template, text

TEXT = text()
NAMED = "Key: Name, Value: !Ref AWS::StackName}"


def told(changed: str, level: str = "error") -> List[str]:
    """Rules and places of the findings of a level."""
    assert changed != TEXT
    return sorted({f"{one.rule} {one.resource}".strip() for one in check_template(changed) if one.level == level})


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("!Select [0, !GetAZs", "!Select [first, !GetAZs", "Subnet1: Fn::Select", '"first" in the place of a number'),
        (
            "CidrBlock: !Ref VpcCidrBlock",
            "CidrBlock: !Select [0, !Cidr [10.0.0.0/16, 2, x]]",
            "Vpc: Fn::Cidr",
            '"x" in the place',
        ),
        ("CidrBlock: !Ref VpcCidrBlock", "CidrBlock: !Sub []", "Vpc: Fn::Sub", "is given []"),
        ("CidrBlock: !Ref VpcCidrBlock", "CidrBlock: !GetAtt Vpc", "Vpc: Fn::GetAtt", 'is given ["Vpc"]'),
        ("CidrBlock: !Ref VpcCidrBlock", "CidrBlock: !Ref [a]", "Vpc: Ref", 'is given ["a"]'),
        ("FromPort: 500", "FromPort: http", "EncryptedIkeIngress", 'Properties/FromPort is "http"'),
        (
            "      Tags:\n        - {Key: Name, Value: !Ref AWS::StackName}",
            "      Tags: Name",
            "Vpc",
            'Properties/Tags is "Name"',
        ),
        ("Default: 14", "Default: two weeks", "FlowLogRetentionDays", 'Default is "two weeks"'),
        ("Rules:\n", "Rules:\n  Strange: 5\n", "Strange", "is 5"),
        ("HasFlowLogs: !Equals", "HasFlowLogs: !Equals []\n  More: !Equals", "Condition HasFlowLogs: Fn::Equals", "takes a list"),
    ],
)
def test_what_cannot_be_made_is_told_in_plain_words(old: str, new: str, place: str, said: str) -> None:
    changed = TEXT.replace(old, new, 1)
    assert changed != TEXT
    found = [one for one in check_template(changed) if one.rule == "render"]
    assert place in {one.resource for one in found}
    assert any(said in one.what for one in found if one.resource == place)
    assert not re.search(r"\w+Error|invalid literal|has no attribute|unpack|NoneType|indices", "".join(map(str, found)))


@pytest.mark.parametrize(
    ("each", "count", "places"),
    [(5, 50, []), (5, 51, ["Subnet1", "Subnet2", "Subnet3"]), (2, 125, []), (2, 126, ["Subnet1"])],
)
def test_each_subnet_holds_the_job(each: int, count: int, places: List[str]) -> None:
    found = [one for one in check_template(TEXT, hosts=Hosts(count, each)) if one.rule == "addresses"]
    assert {one.resource for one in found} >= set(places) and bool(found) is bool(places)
    assert all(one.level == "error" and f"take {each * count} addresses" in one.what and "251" in one.what for one in found)
    assert all("/23 or larger" in one.remedy for one in found)


def test_one_that_no_subnet_holds() -> None:
    (found, *_) = [one for one in check_template(TEXT, hosts=Hosts(20_000, 5)) if one.rule == "addresses"]
    assert "no subnet is that large" in found.remedy


def denying(operator: str, key: str, value: str) -> str:
    """The template with a statement in the policy of S3's endpoint that denies."""
    deny = f'{{Effect: Deny, Principal: "*", Action: "*", Resource: "*", Condition: {{{operator}: {{"{key}": {value}}}}}}}'
    return TEXT.replace("          - Sid: ImageLayers", f"          - {deny}\n          - Sid: ImageLayers", 1)


@pytest.mark.parametrize(
    ("operator", "key", "value", "level"),
    [
        ("StringNotEquals", "aws:SourceVpc", "!Ref Vpc", ""),
        ("StringNotEquals", "aws:sourceVpc", "!GetAtt Vpc.VpcId", ""),
        ("StringNotEquals", "aws:SourceVpc", '!Sub "${Vpc}"', ""),
        ("StringEquals", "aws:SourceVpc", "!Ref Vpc", "error"),
        ("StringNotEquals", "aws:SourceVpc", "!Ref RouteTable", "error"),
        ("StringNotEquals", "aws:SourceVpce", "vpce-0123456789abcdef0", "warning"),
        ("StringNotEquals", "aws:PrincipalAccount", "!Ref AWS::AccountId", ""),
        ("StringNotEquals", "aws:PrincipalAccount", '"999999999999"', "warning"),
        ("StringNotEquals", "aws:PrincipalOrgID", "o-a1b2c3d4e5", "warning"),
        ("BoolIfExists", "aws:SecureTransport", '"false"', ""),
        ("StringNotEquals", "s3:Unheard", "x", "error"),
    ],
)
def test_a_policy_that_denies_others(operator: str, key: str, value: str, level: str) -> None:
    found = [one.level for one in check_template(denying(operator, key, value)) if one.rule == "s3-policy"]
    assert next((one for one in ("error", "warning") if one in found), "") == level


def test_a_policy_that_allows_an_organisation_only() -> None:
    own = "                aws:ResourceAccount: !Ref AWS::AccountId\n"
    changed = TEXT.replace(own, f"{own}                aws:PrincipalOrgID: o-a1b2c3d4e5\n")
    assert (told(changed), told(changed, "warning")) == ([], ["s3-policy S3Endpoint"])


ACL = """  Acl: {Type: AWS::EC2::NetworkAcl, Properties: {VpcId: !Ref Vpc}}
  AclOfSubnet1:
    Type: AWS::EC2::SubnetNetworkAclAssociation
    Properties: {NetworkAclId: !Ref Acl, SubnetId: !Ref Subnet1}
"""
ENTRY = """  Entry%d:
    Type: AWS::EC2::NetworkAclEntry
    Properties: {NetworkAclId: !Ref Acl, RuleNumber: %d, Protocol: %d, RuleAction: %s, CidrBlock: %s, Egress: %s}
"""


def with_acl(*entries: Any) -> str:
    """The template with an ACL of the first subnet: number, protocol, action and block, for both directions."""
    lines = [
        ENTRY % (2 * place + way, number, protocol, action, block, str(bool(way)).lower())
        for place, (number, protocol, action, block) in enumerate(entries)
        for way in (0, 1)
    ]
    return TEXT.replace("\nResources:\n", f"\nResources:\n{ACL}{''.join(lines)}")


ALL = (100, -1, "allow", "0.0.0.0/0")


def test_an_acl_says_nothing_about_traffic_within_a_subnet() -> None:
    changed = with_acl((50, -1, "deny", "10.0.0.0/24"), ALL)
    assert (told(changed), told(changed, "note")) == ([], ["network-acl Acl"])


def test_an_acl_between_subnets_and_to_s3() -> None:
    between = with_acl((50, -1, "deny", "10.0.1.0/24"), ALL)
    (first, *_) = [one for one in check_template(between) if one.rule == "network-acl"]
    assert first.level == "error" and "Subnet2" in first.what and "Subnet1" in first.what
    inside = with_acl((100, -1, "allow", "10.0.0.0/16"))
    assert all("S3" in one.what for one in check_template(inside) if one.rule == "network-acl")
    assert told(inside) == ["network-acl Acl"]
    assert told(with_acl(ALL)) == []


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        (r"^\d+\.\d+\.\d+\.\d+/(1[6-9]|2[0-4])$", "10.0.0.256/24"),
        (r"^10\.\d+\.0\.0/(1[6-9]|2[0-4])$", "10.300.0.0/16"),
        (r"^10\.[0-9]\.0\.0/([89]|1\d|2[0-4])$", "10.0.0.0/8"),
    ],
)
def test_a_pattern_that_takes_what_no_network_has(pattern: str, taken: str) -> None:
    changed = re.sub(r"AllowedPattern: .*", lambda _: f"AllowedPattern: {pattern}", TEXT, count=1)
    found = [one for one in check_template(changed) if one.rule == "pattern" and one.level == "error"]
    assert [(one.resource, taken in one.what) for one in found] == [("VpcCidrBlock", True)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\nResources:\n", "\nResources:\n  Log-group_2: {Type: AWS::Logs::LogGroup}\n", "logical-id Log-group_2"),
        ("\nOutputs:\n", "\nOutputs:\n  My_Out: {Value: a}\n", "logical-id My_Out"),
        (NAMED, f"{NAMED}\n        - {{Key: Name, Value: b}}", "tags Vpc"),
        (NAMED, f"{NAMED}\n        - {{Key: aws:b, Value: b}}", "tags Vpc"),
        ("EnableDnsSupport: true", "EnableDnsSuport: true", "property Vpc"),
        ("MapPublicIpOnLaunch: false", "MapPublicIpOnLaunch: false\n      Public: false", "property Subnet1"),
        ('"2010-09-09"', '"2012-10-17"', "version"),
    ],
)
def test_what_cloudformation_refuses(old: str, new: str, said: str) -> None:
    assert said in told(TEXT.replace(old, new, 1))


def test_a_version_without_quotes_and_none_are_in_order() -> None:
    assert check_template(TEXT.replace('"2010-09-09"', "2010-09-09", 1)) == []
    assert check_template(TEXT.replace('AWSTemplateFormatVersion: "2010-09-09"\n', "", 1)) == []


def test_each_type_of_the_template_has_its_properties_listed() -> None:
    from hvdsm.vpc.templates.reading import load
    from hvdsm.vpc.templates.shapes import PROPERTIES

    assert {entry["Type"] for entry in load(TEXT)["Resources"].values()} == set(PROPERTIES)
    assert json.dumps(sorted(PROPERTIES["AWS::EC2::RouteTable"])) == '["Tags", "VpcId"]'
