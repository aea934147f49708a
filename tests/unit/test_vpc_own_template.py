"""What the template of hvdsm alone has to be, beyond what is asked of any: nothing in it that is not listed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Set, Tuple

import pytest

import hvdsm
from hvdsm.errors import ConfigError
from hvdsm.vpc.templates import template as of_hvdsm
from hvdsm.vpc.templates.groups import rules_of
from hvdsm.vpc.templates.reading import fits, load
from hvdsm.vpc.templates.rendering import Rendered, render
from hvdsm.vpc.templates.template import check_template, every_finding, text

TEMPLATE = load(text())
FULL = {"AvailabilityZoneCount": "3", "InterfaceEndpoints": "full", "ReadOnlyBucketArns": "arn:aws:s3:::open-data"}
EC2 = "AWS::EC2::"
# How many of each type there are in the largest form, and what is set on them.
PARTS: Dict[str, Tuple[int, str]] = {
    f"{EC2}VPC": (1, "CidrBlock EnableDnsHostnames EnableDnsSupport Tags"),
    f"{EC2}Subnet": (3, "AvailabilityZone CidrBlock MapPublicIpOnLaunch Tags VpcId"),
    f"{EC2}RouteTable": (1, "Tags VpcId"),
    f"{EC2}SubnetRouteTableAssociation": (3, "RouteTableId SubnetId"),
    f"{EC2}SecurityGroup": (3, "GroupDescription SecurityGroupEgress SecurityGroupIngress Tags VpcId"),
    f"{EC2}SecurityGroupIngress": (3, "Description FromPort GroupId IpProtocol SourceSecurityGroupId ToPort"),
    f"{EC2}SecurityGroupEgress": (3, "Description DestinationSecurityGroupId FromPort GroupId IpProtocol ToPort"),
    f"{EC2}VPCEndpoint": (
        9,
        "PolicyDocument PrivateDnsEnabled RouteTableIds SecurityGroupIds ServiceName SubnetIds Tags VpcEndpointType VpcId",
    ),
    f"{EC2}FlowLog": (
        1,
        "DeliverLogsPermissionArn LogDestinationType LogGroupName MaxAggregationInterval ResourceId ResourceType Tags"
        " TrafficType",
    ),
    "AWS::Logs::LogGroup": (1, "RetentionInDays Tags"),
    "AWS::IAM::Role": (1, "AssumeRolePolicyDocument Policies"),
}
SELF, ENCRYPTED, ENDPOINTS = "SecurityGroup", "TrafficEncryptedSecurityGroup", "EndpointSecurityGroup"
ALL_PORTS = (0, 65535)
# Group, whether outward, protocol, ports, peer.
RULES: Set[Tuple[str, bool, str, Tuple[int, int], str]] = {
    (SELF, False, "-1", ALL_PORTS, SELF),
    (SELF, True, "-1", ALL_PORTS, SELF),
    (SELF, True, "6", (443, 443), "0.0.0.0/0"),
    (ENCRYPTED, True, "6", (443, 443), "0.0.0.0/0"),
    *((ENCRYPTED, outward, "17", (500, 500), ENCRYPTED) for outward in (False, True)),
    *((ENCRYPTED, outward, "50", ALL_PORTS, ENCRYPTED) for outward in (False, True)),
    (ENDPOINTS, False, "6", (443, 443), "Vpc"),
    (ENDPOINTS, True, "-1", ALL_PORTS, "127.0.0.1/32"),
}
READS = {"s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"}


def largest(template: Any) -> Rendered:
    return render(template, FULL)


def test_it_has_nothing_but_its_parts() -> None:
    sections = {
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Parameters",
        "Rules",
        "Conditions",
        "Resources",
        "Outputs",
    }
    assert set(TEMPLATE) == sections
    found = largest(TEMPLATE)
    counts = {kind: len(found.of_type(kind)) for kind in {str(entry["Type"]) for entry in found.resources.values()}}
    assert counts == {kind: count for kind, (count, _) in PARTS.items()}
    strange = {
        f"{name}: {key}"
        for kind, (_, keys) in PARTS.items()
        for name, properties in found.of_type(kind).items()
        for key in set(properties) - set(keys.split())
    }
    assert strange == set()
    with_policy = [name for name, entry in found.of_type(f"{EC2}VPCEndpoint").items() if "PolicyDocument" in entry]
    assert with_policy == ["S3Endpoint"]


def test_its_groups_have_no_other_rules() -> None:
    rules = rules_of(largest(TEMPLATE))
    assert {(rule.group, rule.outward, rule.protocol, rule.ports, rule.peer) for rule in rules} == RULES
    assert len(rules) == len(RULES)


def test_buckets_of_others_are_read_and_nothing_else() -> None:
    statements: List[Dict[str, Any]] = largest(TEMPLATE).of_type(f"{EC2}VPCEndpoint")["S3Endpoint"]["PolicyDocument"]["Statement"]
    own, *others = statements
    assert own["Condition"] == {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
    assert [statement.get("Condition") for statement in others] == [None, None]
    actions = [one["Action"] if isinstance(one["Action"], list) else [one["Action"]] for one in others]
    assert {action for listed in actions for action in listed} <= READS
    assert [one["Resource"] for one in others] == [
        "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*",
        ["arn:aws:s3:::open-data", "arn:aws:s3:::open-data/*"],
    ]


@pytest.mark.parametrize("name", ["VpcCidrBlock", "SubnetCidrBlock1", "SubnetCidrBlock2", "SubnetCidrBlock3"])
def test_its_patterns_take_blocks_with_room_only(name: str) -> None:
    pattern = TEMPLATE["Parameters"][name]["AllowedPattern"]
    longest = 24 if name == "VpcCidrBlock" else 27
    assert [size for size in range(33) if fits(pattern, f"10.0.0.0/{size}")] == list(range(16, longest + 1))


def policy_of(template: Any, number: int) -> Any:
    return template["Resources"]["S3Endpoint"]["Properties"]["PolicyDocument"]["Statement"][number]


def writes_of(template: Any) -> Any:
    return template["Resources"]["FlowLogRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]


def properties(template: Any, name: str) -> Any:
    return template["Resources"][name]["Properties"]


def write_out_addresses(template: Any) -> None:
    properties(template, "Subnet1")["CidrBlock"] = "10.0.0.0/24"


def write_out_the_network(template: Any) -> None:
    properties(template, "EndpointSecurityGroup")["SecurityGroupIngress"][0]["CidrIp"] = "10.0.0.0/16"


def make_up_a_zone(template: Any) -> None:
    properties(template, "Subnet1")["AvailabilityZone"]["Fn::If"][2] = {"Fn::Sub": "${AWS::Region}a"}


def name_a_zone_twice(template: Any) -> None:
    properties(template, "Subnet1")["AvailabilityZoneId"] = "use1-az1"


def keep_records_for_days_of_its_own(template: Any) -> None:
    properties(template, "FlowLogGroup")["RetentionInDays"] = 14


def refuse_other_addresses(template: Any) -> None:
    template["Rules"]["Added"] = {"Assertions": [{"Assert": {"Fn::Equals": [{"Ref": "VpcCidrBlock"}, "10.0.0.0/16"]}}]}


def take_small_subnets(template: Any) -> None:
    about = template["Parameters"]["SubnetCidrBlock1"]
    about["AllowedPattern"] = about["AllowedPattern"].replace("2[0-7]", "2[0-9]")


def leave_encrypted_jobs_out(template: Any) -> None:
    rule = properties(template, "EndpointSecurityGroup")["SecurityGroupIngress"][0]
    del rule["CidrIp"]
    rule["SourceSecurityGroupId"] = {"Ref": "SecurityGroup"}


def endpoint_in_the_group_of_jobs(template: Any) -> None:
    properties(template, "StsEndpoint")["SecurityGroupIds"] = [{"Ref": "SecurityGroup"}]


def let_buckets_be_expired(template: Any) -> None:
    policy_of(template, 0)["Action"].append("s3:PutLifecycleConfiguration")


def name_a_second_account(template: Any) -> None:
    policy_of(template, 0)["Condition"]["StringEquals"]["aws:ResourceAccount"] = [{"Ref": "AWS::AccountId"}, "111122223333"]


def leave_one_account_out(template: Any) -> None:
    policy_of(template, 0)["Condition"] = {"StringNotEquals": {"aws:ResourceAccount": "999999999999"}}


def let_names_go_on(template: Any) -> None:
    policy_of(template, 2)["Fn::If"][1]["Resource"]["Fn::Split"][1]["Fn::Sub"][0] = "${Buckets}*,${Objects}/*"


def write_to_every_log_group(template: Any) -> None:
    writes_of(template)["Resource"] = {"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:*"}


def write_to_another_log_group(template: Any) -> None:
    prefix = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group"
    writes_of(template)["Resource"] = {"Fn::Sub": f"{prefix}:/aws/lambda/*"}


def let_people_in(template: Any) -> None:
    made = {"Type": f"{EC2}InstanceConnectEndpoint", "Properties": {"SubnetId": {"Ref": "Subnet1"}}}
    template["Resources"]["Added"] = made


def add_public_addresses(template: Any) -> None:
    made = {"Type": f"{EC2}VPCCidrBlock", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "8.8.0.0/16"}}
    template["Resources"]["Added"] = made


def make_more_elsewhere(template: Any) -> None:
    template["Resources"]["Added"] = {
        "Type": "Custom::More",
        "Properties": {"ServiceToken": "arn:aws:lambda:us-east-1:1:function:x"},
    }


def name_a_group_of_others(template: Any) -> None:
    properties(template, "IngressFromItself")["SourceSecurityGroupOwnerId"] = "999999999999"


def go_to_another_region(template: Any) -> None:
    properties(template, "StsEndpoint")["ServiceRegion"] = "eu-west-1"


def give_names_for_ipv6(template: Any) -> None:
    properties(template, "StsEndpoint")["DnsOptions"] = {"DnsRecordIpType": "ipv6"}


def want_a_zone_that_there_is(template: Any) -> None:
    template["Parameters"]["AvailabilityZone1"]["Type"] = f"{EC2}AvailabilityZone::Name"


def take_many_blocks(template: Any) -> None:
    template["Parameters"]["SubnetCidrBlock1"]["Type"] = "CommaDelimitedList"


def leave_names_to_a_parameter(template: Any) -> None:
    template["Parameters"]["Names"] = {"Type": "String", "Default": "true", "AllowedValues": ["true", "false"]}
    properties(template, "Vpc")["EnableDnsHostnames"] = {"Ref": "Names"}


def leave_public_addresses_to_a_parameter(template: Any) -> None:
    template["Parameters"]["Public"] = {"Type": "String", "Default": "false", "AllowedValues": ["true", "false"]}
    properties(template, "Subnet1")["MapPublicIpOnLaunch"] = {"Ref": "Public"}


def let_the_role_do_more(template: Any) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    made = {"PolicyName": "more", "Roles": [{"Ref": "FlowLogRole"}], "PolicyDocument": document}
    template["Resources"]["Added"] = {"Type": "AWS::IAM::Policy", "Condition": "HasFlowLogs", "Properties": made}


@pytest.mark.parametrize(
    ("change", "rule", "level"),
    [
        (write_out_addresses, "cidr", "error"),
        (write_out_the_network, "endpoint-group", "error"),
        (make_up_a_zone, "zones", "error"),
        (name_a_zone_twice, "zones", "error"),
        (keep_records_for_days_of_its_own, "flow-logs", "error"),
        (refuse_other_addresses, "render", "error"),
        (take_small_subnets, "pattern", "error"),
        (leave_encrypted_jobs_out, "endpoint-group", "warning"),
        (endpoint_in_the_group_of_jobs, "endpoint-group", "warning"),
        (let_buckets_be_expired, "s3-policy", "error"),
        (name_a_second_account, "s3-policy", "warning"),
        (leave_one_account_out, "s3-policy", "error"),
        (let_names_go_on, "s3-policy", "error"),
        (write_to_every_log_group, "least-privilege", "error"),
        (write_to_another_log_group, "flow-logs", "error"),
        (let_people_in, "no-way-out", "error"),
        (add_public_addresses, "cidr", "error"),
        (make_more_elsewhere, "unseen", "warning"),
        (name_a_group_of_others, "rule-peer", "error"),
        (go_to_another_region, "endpoint-name", "error"),
        (give_names_for_ipv6, "endpoint-address", "error"),
        (want_a_zone_that_there_is, "defaults", "error"),
        (take_many_blocks, "cidr", "error"),
        (leave_names_to_a_parameter, "dns", "error"),
        (leave_public_addresses_to_a_parameter, "private", "error"),
        (let_the_role_do_more, "least-privilege", "error"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_only_another_form_or_a_closer_look_tells(change: Callable[[Any], None], rule: str, level: str) -> None:
    wrong = json.loads(json.dumps(TEMPLATE))
    change(wrong)
    assert (rule, level) in {(finding.rule, finding.level) for finding in every_finding(wrong)}


@pytest.mark.parametrize(
    "written",
    [
        [{"Fn::Sub": "${FlowLogGroup.Arn}"}],
        {"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${FlowLogGroup}:*"},
        [{"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${AWS::StackName}-*:*"}],
    ],
    ids=["attribute", "name", "of-the-stack"],
)
def test_other_words_for_the_log_group(written: Any) -> None:
    other = json.loads(json.dumps(TEMPLATE))
    writes_of(other)["Resource"] = written
    assert [str(finding) for finding in check_template(json.dumps(other))] == []


def test_a_checkout_without_links_and_an_installation_have_the_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "hvdsm"
    (package / "vpc").mkdir(parents=True)
    (tmp_path / "vpc").mkdir()
    monkeypatch.setattr(hvdsm, "__file__", str(package / "__init__.py"))
    with pytest.raises(ConfigError, match=of_hvdsm.NAME):
        text()
    (tmp_path / "vpc" / of_hvdsm.NAME).write_text('AWSTemplateFormatVersion: "2010-09-09"  # top\n')
    assert "# top" in text()
    # What a link is where there are none.
    (package / "vpc" / of_hvdsm.NAME).write_text(f"../../vpc/{of_hvdsm.NAME}")
    assert "# top" in text()
    (package / "vpc" / of_hvdsm.NAME).write_text('AWSTemplateFormatVersion: "2010-09-09"  # package\n')
    assert "# package" in text()
