"""The template that comes with hvdsm, and templates of others: what is said about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Set

import pytest

import hvdsm
from hvdsm.errors import ConfigError
from hvdsm.vpc.templates.template import check_template, defaults, text

ROOT = Path(hvdsm.__file__).parent.parent


def test_the_template_of_the_package_is_that_at_the_top() -> None:
    assert text() == (ROOT / "vpc" / "training-cluster.yaml").read_text()


def test_no_form_of_it_has_a_finding() -> None:
    assert [str(finding) for finding in check_template(text())] == []


def test_its_defaults_are_those_of_the_first_network() -> None:
    found = defaults(text())
    assert (found["VpcCidrBlock"], found["SubnetCidrBlock1"], found["SubnetCidrBlock2"]) == (
        "10.0.0.0/16",
        "10.0.0.0/24",
        "10.0.1.0/24",
    )
    assert (found["AvailabilityZoneCount"], found["InterfaceEndpoints"], found["FlowLogs"]) == ("1", "none", "true")


def test_with_parameters_only_their_form_is_checked() -> None:
    broken = text().replace("Default: 10.0.1.0/24", "Default: 10.0.0.0/24")
    assert check_template(broken, parameters={}) == []
    assert [finding.rule for finding in check_template(broken, parameters={"AvailabilityZoneCount": "2"})] == ["cidr"]
    assert "cidr" in {finding.rule for finding in check_template(broken)}


DEEP = f"Resources: {'[' * 5000}{']' * 5000}"
ALIASES = "a: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
BOMB = f"{ALIASES}Resources: {{Vpc: {{Type: AWS::EC2::VPC, Properties: {{CidrBlock: *a11}}}}}}"
NOTHING = ["", "just words", "[1, 2]", "{}", "Resources: 5", "a: b: c", "Resources: {}\nResources: {}", "? [a]\n: b", DEEP, BOMB]


@pytest.mark.parametrize("nothing", NOTHING, ids=range(len(NOTHING)))
def test_what_is_no_template_is_refused(nothing: str) -> None:
    with pytest.raises(ConfigError, match="template"):
        check_template(nothing)


@pytest.mark.parametrize(
    "resources",
    [
        "{Vpc: 5}",
        "{Vpc: {Type: 5}}",
        "{Vpc: {Type: AWS::EC2::VPC, Properties: [1]}}",
        "{Group: {Type: AWS::EC2::SecurityGroup, Properties: {SecurityGroupIngress: 7}}}",
        "{Group: {Type: AWS::EC2::SecurityGroup, Properties: {SecurityGroupIngress: [{FromPort: x}]}}}",
        "{Away: {Type: AWS::EC2::VPCEndpoint, Properties: {PolicyDocument: [], RouteTableIds: 3}}}",
        "{Away: {Type: AWS::EC2::VPCEndpoint, Properties: {PolicyDocument: {Statement: [{Condition: 1}]}}}}",
    ],
)
def test_a_malformed_template_has_findings_and_no_traceback(resources: str) -> None:
    assert check_template(f"Resources: {resources}") != []


def test_a_pattern_that_is_none_is_an_error_and_one_of_java_a_warning() -> None:
    for broken, level in (
        (text().replace("2[0-7])$", "2[0-7]$"), "error"),
        (text().replace("2[0-7])$", "2[0-7])\\z"), "warning"),
    ):
        found = [finding for finding in check_template(broken) if finding.rule == "pattern"]
        assert [(finding.resource, finding.level) for finding in found] == [(f"SubnetCidrBlock{n}", level) for n in (1, 2, 3)]


@pytest.mark.parametrize(("secure", "said"), [("false", []), ("true", ["s3-policy"]), (False, [])])
def test_a_policy_that_refuses_what_is_not_https_refuses_no_job(secure: Any, said: List[str]) -> None:
    deny = '{Effect: Deny, Principal: "*", Action: "s3:*", Resource: "*", Condition: {Bool: {"aws:SecureTransport": %s}}}'
    denied = deny % json.dumps(secure)
    found = check_template(text().replace("          - Sid: ImageLayers", f"          - {denied}\n          - Sid: ImageLayers"))
    assert sorted({finding.rule for finding in found}) == said


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (
            "{A: {Type: X, DependsOn: B}, B: {Type: X, DependsOn: [C]}, C: {Type: X, Properties: {P: !Ref A}}, D: {Type: X}}",
            "[A, B, C]",
        ),
        ("{A: {Type: X, Properties: {P: !GetAtt A.Id}}, B: {Type: X, DependsOn: A}}", "[A]"),
        ("{A: {Type: X, DependsOn: Nobody}}", "Nobody"),
    ],
)
def test_resources_that_wait_for_each_other(resources: str, said: str) -> None:
    found = [finding for finding in check_template(f"Resources: {resources}") if finding.rule == "render"]
    assert len(found) == 1 and said in found[0].what


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        (
            "SourceSecurityGroupId: !Ref SecurityGroup\n",
            "SourceSecurityGroupName: !Ref SecurityGroup\n",
            {"self-ingress", "rule-peer"},
        ),
        ('IpProtocol: "50"', "IpProtocol: esp", {"encrypted-traffic", "rule-ports"}),
        ('IpProtocol: "50"', "IpProtocol: 50", set()),
    ],
)
def test_words_that_ec2_does_not_take(old: str, new: str, rules: Set[str]) -> None:
    found = {finding.rule for finding in check_template(text().replace(old, new)) if finding.level == "error"}
    assert found >= rules and bool(found) is bool(rules)


def test_one_that_is_too_large_has_a_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        check_template(f"{text()}# {'x' * 51_200}")
    assert caught.value.remedy is not None


# As samples on the web have it: TCP only, no rule for the way out, one zone after the other for one job, S3 for everyone.
SAMPLE: Dict[str, Any] = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Parameters": {
        "Zones": {"Type": "List<AWS::EC2::AvailabilityZone::Name>"},
        "Cidr": {"Type": "String", "Default": "10.20.0.0/16"},
    },
    "Resources": {
        "Net": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": {"Ref": "Cidr"}, "EnableDnsSupport": "true"}},
        **{
            f"Private{letter}": {
                "Type": "AWS::EC2::Subnet",
                "Properties": {
                    "VpcId": {"Ref": "Net"},
                    "CidrBlock": {"Fn::Select": [number, {"Fn::Cidr": [{"Fn::GetAtt": ["Net", "CidrBlock"]}, 4, 8]}]},
                    "AvailabilityZone": {"Fn::Select": [number, {"Ref": "Zones"}]},
                },
            }
            for number, letter in enumerate("AB")
        },
        "Table": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Net"}}},
        **{
            f"Table{letter}": {
                "Type": "AWS::EC2::SubnetRouteTableAssociation",
                "Properties": {"SubnetId": {"Ref": f"Private{letter}"}, "RouteTableId": {"Ref": "Table"}},
            }
            for letter in "AB"
        },
        "Workers": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "x", "VpcId": {"Ref": "Net"}}},
        "WorkersIn": {
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {
                "GroupId": {"Fn::GetAtt": ["Workers", "GroupId"]},
                "IpProtocol": "tcp",
                "FromPort": 0,
                "ToPort": 65535,
                "SourceSecurityGroupId": {"Fn::GetAtt": ["Workers", "GroupId"]},
            },
        },
        "ToS3": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcId": {"Ref": "Net"},
                "ServiceName": {"Fn::Join": ["", ["com.amazonaws.", {"Ref": "AWS::Region"}, ".s3"]]},
                "RouteTableIds": [{"Ref": "Table"}],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": "*",
                            "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
                            "Resource": "*",
                        }
                    ],
                },
            },
        },
    },
    "Outputs": {
        "VpcId": {"Value": {"Ref": "Net"}},
        "Subnet1Id": {"Value": {"Ref": "PrivateA"}},
        "Subnet2Id": {"Value": {"Ref": "PrivateB"}},
        "SecurityGroupId": {"Value": {"Fn::GetAtt": ["Workers", "GroupId"]}},
    },
}


def found(template: Dict[str, Any], level: str = "error") -> List[str]:
    return sorted({f"{one.rule} {one.resource}".strip() for one in check_template(json.dumps(template)) if one.level == level})


def test_a_sample_of_another_kind_is_told_what_stops_jobs() -> None:
    assert found(SAMPLE) == ["dns Net", "s3-policy ToS3", "self-egress Workers", "self-ingress Workers"]
    said = [str(one) for one in check_template(json.dumps(SAMPLE))]
    assert any("EnableDnsHostnames is off" in line for line in said)
    assert any("buckets of any account" in line for line in said)
    assert {"encrypted-group", "flow-logs", "open-egress Workers", "tags Net"} <= set(found(SAMPLE, "warning"))


def test_names_of_resources_do_not_matter() -> None:
    renamed = text()
    for name in ("SecurityGroup", "RouteTable", "Subnet1", "Vpc", "S3Endpoint", "FlowLogGroup"):
        for mark in (
            f"  {name}:\n",
            f"!Ref {name}\n",
            f"!Ref {name}]",
            f"!Ref {name}}}",
            f"!Ref {name},",
            f"${{{name}}}",
            f"!GetAtt {name}.",
        ):
            renamed = renamed.replace(mark, mark.replace(name, f"My{name}"))
    assert "MyVpc" in renamed
    assert [str(finding) for finding in check_template(renamed)] == []


def test_without_an_output_the_best_group_is_judged() -> None:
    template = json.loads(json.dumps(SAMPLE))
    del template["Outputs"]["SecurityGroupId"]
    assert "self-ingress Workers" in found(template) and "job-group" in found(template)


def test_blocks_that_are_cut_out_twice_overlap() -> None:
    """cfn-lint takes a repeated index for good."""
    template = json.loads(json.dumps(SAMPLE))
    template["Resources"]["PrivateB"]["Properties"]["CidrBlock"]["Fn::Select"][0] = 0
    assert "cidr PrivateB" in found(template)
    template["Resources"]["PrivateB"]["Properties"]["CidrBlock"]["Fn::Select"][0] = 9
    assert any(name.startswith("render") for name in found(template))


def test_a_network_of_another_stack_is_no_error() -> None:
    template = json.loads(json.dumps(SAMPLE))
    del template["Resources"]["Net"]
    template["Parameters"]["NetId"] = {"Type": "AWS::EC2::VPC::Id", "Default": "vpc-0123456789abcdef0"}
    whole = (
        json.dumps(template)
        .replace('{"Ref": "Net"}', '{"Ref": "NetId"}')
        .replace('{"Fn::GetAtt": ["Net", "CidrBlock"]}', '"10.20.0.0/16"')
    )
    said = {(one.rule, one.level) for one in check_template(whole)}
    assert ("one-vpc", "note") in said and ("belonging", "error") not in said


def test_a_parameter_without_any_value_that_could_be_thought_of() -> None:
    template = json.loads(json.dumps(SAMPLE))
    template["Parameters"]["Secret"] = {"Type": "String", "AllowedPattern": "[0-9]{7}x"}
    (finding,) = [one for one in check_template(json.dumps(template)) if one.rule == "render"]
    assert "Secret" in str(finding) and "Secret=VALUE" in finding.remedy
