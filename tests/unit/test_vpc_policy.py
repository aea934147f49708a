"""The template of the network has what training needs in every form it can take, and what is missing or wrong is noticed."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import pytest

import hvdsm
from hvdsm.errors import ConfigError
from hvdsm.vpc.templates.policy import findings
from hvdsm.vpc.templates.reading import MOST_BYTES, load
from hvdsm.vpc.templates.rendering import Setting, render

PATH = Path(hvdsm.__file__).parent.parent / "vpc" / "training-cluster.yaml"
TEXT = PATH.read_text()
FULL = {"AvailabilityZoneCount": "3", "InterfaceEndpoints": "full", "ReadOnlyBucketArns": "arn:aws:s3:::open-data"}
FORMS = [
    {"AvailabilityZoneCount": count, "InterfaceEndpoints": endpoints, "FlowLogs": logs, "ReadOnlyBucketArns": buckets}
    for count, endpoints, logs, buckets in itertools.product(
        "123", ("none", "core", "full"), ("true", "false"), ("", "arn:aws:s3:::one,arn:aws:s3:::two")
    )
]

NO_PORTS = "      FromPort: -1\n      ToPort: -1\n"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form.values()) or "none")
def test_every_form_of_the_template_is_in_order(form: Dict[str, str]) -> None:
    assert [str(finding) for finding in findings(render(load(TEXT), form))] == []


@pytest.mark.parametrize(("region", "partition"), [("eu-central-1", "aws"), ("us-gov-west-1", "aws-us-gov")])
def test_other_regions_and_partitions(region: str, partition: str) -> None:
    zones = tuple(f"{region}{letter}" for letter in "abc")
    rendered = render(load(TEXT), FULL, Setting(region=region, partition=partition, zones=zones))
    assert findings(rendered) == []
    assert f"arn:{partition}:s3:::prod-{region}-starport-layer-bucket/*" in str(rendered.resources)


def test_named_zones_are_taken() -> None:
    given = {"AvailabilityZoneCount": "2", "AvailabilityZone1": "us-east-1c", "AvailabilityZone2": "us-east-1a"}
    found = render(load(TEXT), given).of_type("AWS::EC2::Subnet")
    assert {name: entry["AvailabilityZone"] for name, entry in found.items()} == {
        "Subnet1": "us-east-1c",
        "Subnet2": "us-east-1a",
    }


def test_read_only_buckets_stay_read_only() -> None:
    document = render(load(TEXT), FULL).resources["S3Endpoint"]["Properties"]["PolicyDocument"]
    (statement,) = [one for one in document["Statement"] if one["Sid"] == "ReadOnlyBuckets"]
    assert statement["Resource"] == ["arn:aws:s3:::open-data", "arn:aws:s3:::open-data/*"]
    assert not any(word in action for action in statement["Action"] for word in ("Put", "Delete", "*"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"VpcCidrBlock": "10.0.0.0"}, "VpcCidrBlock"),
        ({"VpcCidrBlock": "10.0.0.0/8"}, "VpcCidrBlock"),
        ({"VpcCidrBlock": "8.8.0.0/16"}, "private"),
        ({"SubnetCidrBlock1": "10.0.0.256/24"}, "SubnetCidrBlock1"),
        ({"SubnetCidrBlock2": "10.0.1.0/28"}, "SubnetCidrBlock2"),
        ({"AvailabilityZoneCount": "4"}, "1, 2, 3"),
        ({"AvailabilityZone1": "us-east-1"}, "AvailabilityZone1"),
        ({"AvailabilityZone1": "us-east-1a", "AvailabilityZone2": "us-east-1a"}, "different zones"),
        ({"AvailabilityZone2": "us-east-1b", "AvailabilityZone3": "us-east-1b"}, "different zones"),
        ({"AvailabilityZoneCount": "2", "AvailabilityZone1": "us-east-1b"}, "must both be named"),
        ({"AvailabilityZoneCount": "3", "AvailabilityZone3": "us-east-1b"}, "must both be named"),
        ({"SubnetCidrBlock1": "172.32.0.0/24"}, "private"),
        ({"ReadOnlyBucketArns": "*"}, "ARNs of buckets"),
        ({"ReadOnlyBucketArns": "arn:aws:s3:::open-data,arn:aws:s3:::*"}, "ARNs of buckets"),
        ({"InterfaceEndpoints": "all"}, "none, core, full"),
        ({"FlowLogRetentionDays": "2"}, "FlowLogRetentionDays"),
        ({"Zones": "1"}, "no parameter Zones"),
    ],
)
def test_a_wrong_parameter_is_refused(given: Dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        render(load(TEXT), given)


def without(block: str) -> Callable[[str], str]:
    """Take a resource away: from its name to the next line that is not indented deeper."""

    def change(text: str) -> str:
        lines, kept, inside = text.splitlines(), [], False
        for line in lines:
            if line.startswith(f"  {block}:"):
                inside = True
                continue
            if inside and (line.startswith("    ") or not line.strip()):
                continue
            inside = False
            kept.append(line)
        return "\n".join(kept) + "\n"

    return change


def swap(old: str, new: str, count: int = -1) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, count)

    return change


MUTATIONS: List[Tuple[str, Callable[[str], str], Dict[str, str]]] = [
    ("self-egress", without("EgressToItself"), {}),
    ("self-ingress", without("IngressFromItself"), {}),
    ("self-ingress", swap('IpProtocol: "-1"\n      SourceSecurityGroupId', "IpProtocol: tcp\n      SourceSecurityGroupId"), {}),
    ("self-egress", swap("DestinationSecurityGroupId: !Ref SecurityGroup", "CidrIp: 0.0.0.0/0"), {}),
    (
        "self-egress",
        swap("DestinationSecurityGroupId: !Ref SecurityGroup", "DestinationSecurityGroupId: !Ref TrafficEncryptedSecurityGroup"),
        {},
    ),
    (
        "ingress-only-itself",
        swap("SourceSecurityGroupId: !Ref SecurityGroup", "SourceSecurityGroupId: !Ref TrafficEncryptedSecurityGroup"),
        {},
    ),
    ("open-ingress", swap("SourceSecurityGroupId: !Ref SecurityGroup", "CidrIp: 0.0.0.0/0"), {}),
    ("encrypted-traffic", without("EncryptedEspIngress"), {}),
    ("encrypted-traffic", swap("FromPort: 500\n      ToPort: 500", "FromPort: 4500\n      ToPort: 4500"), {}),
    ("encrypted-traffic", without("EncryptedIkeEgress"), {}),
    ("encrypted-traffic", without("EncryptedEspEgress"), {}),
    ("encrypted-only", swap(f'IpProtocol: "50"\n{NO_PORTS}      Source', 'IpProtocol: "-1"\n      Source'), {}),
    ("dns", swap("EnableDnsHostnames: true", "EnableDnsHostnames: false"), {}),
    ("dns", swap("      EnableDnsHostnames: true\n", ""), {}),
    ("dns", swap("EnableDnsSupport: true", "EnableDnsSupport: false"), {}),
    ("s3-endpoint", swap("${AWS::Region}.s3", "${AWS::Region}.s3x"), {}),
    ("s3-endpoint", swap("com.amazonaws.${AWS::Region}.s3", "com.amazonaws.us-west-2.s3"), {}),
    ("s3-endpoint", without("S3Endpoint"), {}),
    ("s3-endpoint", swap("RouteTableIds: [!Ref RouteTable]", "RouteTableIds: []"), {}),
    (
        "s3-policy",
        swap(
            "              StringEquals:\n                aws:ResourceAccount: !Ref AWS::AccountId",
            "              Bool: {aws:SecureTransport: true}",
            1,
        ),
        {},
    ),
    ("s3-policy", swap("- s3:GetObject*", "- s3:*"), {}),
    ("cidr", swap("Default: 10.0.1.0/24", "Default: 10.0.0.0/24"), FULL),
    ("cidr", swap("Default: 10.0.2.0/24", "Default: 10.0.0.128/25"), FULL),
    ("cidr", swap("Default: 10.0.2.0/24", "Default: 10.1.2.0/24"), FULL),
    ("cidr", swap("Default: 10.0.0.0/24", "Default: 10.0.0.1/24"), {}),
    ("zones", swap("!Select [1, !GetAZs", "!Select [0, !GetAZs"), FULL),
    ("zones", swap('Count, "3"]', 'Count, "2"]'), {"AvailabilityZoneCount": "2"}),
    ("routes", without("RouteTableOfSubnet2"), FULL),
    ("private", swap("MapPublicIpOnLaunch: false", "MapPublicIpOnLaunch: true", 1), {}),
    ("no-way-out", swap("Resources:\n", "Resources:\n  Gateway:\n    Type: AWS::EC2::InternetGateway\n", 1), {}),
    (
        "no-way-out",
        swap(
            "Resources:\n",
            "Resources:\n  Away: {Type: AWS::EC2::Route, Properties: {DestinationCidrBlock: 0.0.0.0/0}}\n",
            1,
        ),
        {},
    ),
    ("endpoint-name", swap("${AWS::Region}.sagemaker.api", "${AWS::Region}.sagemaker-api"), FULL),
    ("endpoint-name", swap("${AWS::Region}.ecr.dkr", "${AWS::Region}.ecr.api"), FULL),
    ("endpoint-dns", swap("PrivateDnsEnabled: true", "PrivateDnsEnabled: false", 1), FULL),
    ("endpoint-subnets", swap("        - !If [HasThirdSubnet, !Ref Subnet3, !Ref AWS::NoValue]\n", "", 1), FULL),
    (
        "endpoint-group",
        swap(
            "FromPort: 443\n          ToPort: 443\n          CidrIp: !GetAtt",
            "FromPort: 80\n          ToPort: 80\n          CidrIp: !GetAtt",
        ),
        FULL,
    ),
    ("endpoint-set", without("StsEndpoint"), FULL),
    ("endpoint-set", swap("Condition: HasFullEndpoints\n", "Condition: HasSecondSubnet\n"), {"AvailabilityZoneCount": "2"}),
    ("flow-logs", without("FlowLog"), {}),
    ("flow-logs", swap("      RetentionInDays: !Ref FlowLogRetentionDays\n", "      Tags: []\n"), {}),
    ("log-group-name", swap("      RetentionInDays: !Ref", "      LogGroupName: /vpc/flow\n      RetentionInDays: !Ref"), {}),
    ("least-privilege", swap("                  - logs:CreateLogStream\n", "                  - logs:*\n"), {}),
    ("least-privilege", swap("- !GetAtt FlowLogGroup.Arn", '- "*"'), {}),
    ("outputs", without("SecurityGroupId"), {}),
    ("outputs", swap("Value: !Ref Subnet2\n", "Value: !Ref Subnet1\n"), FULL),
    ("exports", swap('Export: {Name: !Sub "${AWS::StackName}-VpcId"}', "Export: {Name: VpcId}"), {}),
    ("vpc-config", swap('["${Subnet1}"]', '["${Subnet1}", "${Subnet2}"]'), FULL),
    ("vpc-config", swap('"SecurityGroupIds"', '"SecurityGroups"'), {}),
    (
        "open-egress",
        swap(
            "- IpProtocol: tcp\n          FromPort: 443\n          ToPort: 443\n          CidrIp: 0.0.0.0/0",
            '- IpProtocol: "-1"\n          CidrIp: 0.0.0.0/0',
            1,
        ),
        {},
    ),
    (
        "https-egress",
        swap(
            "FromPort: 443\n          ToPort: 443\n          CidrIp: 0.0.0.0/0",
            "FromPort: 80\n          ToPort: 80\n          CidrIp: 0.0.0.0/0",
            1,
        ),
        {},
    ),
    ("tags", swap("        - {Key: Name, Value: !Ref AWS::StackName}", "        - {Key: Owner, Value: me}", 1), {}),
]


@pytest.mark.parametrize(("rule", "change", "form"), MUTATIONS, ids=[f"{n}-{rule}" for n, (rule, _, _) in enumerate(MUTATIONS)])
def test_what_is_taken_away_or_wrong_is_noticed(rule: str, change: Callable[[str], str], form: Dict[str, str]) -> None:
    text = change(TEXT)
    assert text != TEXT
    try:
        found = {finding.rule for finding in findings(render(load(text), form))}
    except ConfigError:
        # What hangs on the missing part cannot even be made.
        return
    assert rule in found, found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swap("!Select [0, !GetAZs", "!Select [7, !GetAZs"), "takes item 7"),
        (swap("!Ref RouteTable, SubnetId: !Ref Subnet1", "!Ref RouteTabel, SubnetId: !Ref Subnet1"), "RouteTabel"),
        (swap("[NamesZone1,", "[NamesZoneOne,"), "NamesZoneOne"),
        (swap("!GetAtt FlowLogGroup.Arn", "!GetAtt FlowLogs.Arn"), "no such resource"),
        (
            swap("    Condition: HasSecondSubnet\n    Properties: {RouteTableId", "    Properties: {RouteTableId"),
            "not made with these",
        ),
        (swap("Outputs:\n", "Outputs:\n  VpcId:\n    Value: twice\n"), "stands twice"),
    ],
)
def test_what_cannot_be_made_is_an_error(change: Callable[[str], str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        render(load(change(TEXT)), {})


def test_a_template_that_is_too_large() -> None:
    with pytest.raises(ConfigError, match=str(MOST_BYTES)):
        load(TEXT + "#" * MOST_BYTES)
