"""A VPC from a stack's outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from aws_support import Reply, fake_aws, moto_aws, moto_server

from hvdsm.aws.session import Aws
from hvdsm.aws.stacks import outputs, vpc_config
from hvdsm.errors import ConfigError

TEMPLATE = {
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "One": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.0/24"}},
        "Two": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.2.0/24"}},
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": {"Ref": "Vpc"}}},
    },
    "Outputs": {
        "Subnet1Id": {"Value": {"Ref": "One"}},
        "Subnet2Id": {"Value": {"Ref": "Two"}},
        "SecurityGroupId": {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}},
    },
}
BOTH = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with moto_server() as url:
        yield moto_aws(url)


def test_a_real_stack(aws: Aws) -> None:
    aws.client("cloudformation").create_stack(StackName="net", TemplateBody=json.dumps(TEMPLATE))
    found = outputs(aws, "net")
    config = vpc_config(found, "net")
    assert config == {"SecurityGroupIds": [found["SecurityGroupId"]], "Subnets": [found["Subnet1Id"], found["Subnet2Id"]]}
    assert config["SecurityGroupIds"][0].startswith("sg-")
    assert all(name.startswith("subnet-") for name in config["Subnets"])


def test_a_stack_that_is_not_there(aws: Aws) -> None:
    with pytest.raises(ConfigError, match="there is no stack of this name in eu-central-1") as caught:
        outputs(aws, "none")
    assert caught.value.where == "stack none"


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"])
def test_a_stack_that_is_not_whole(status: str) -> None:
    text = (
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>net</StackName>"
        f"<CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>{status}</StackStatus></member></Stacks>"
        "</DescribeStacksResult></DescribeStacksResponse>"
    )
    with fake_aws() as fake:
        fake.on("DescribeStacks", Reply(200, text.encode(), {"Content-Type": "text/xml"}))
        with pytest.raises(ConfigError, match=f"its state is {status}"):
            outputs(fake.aws(), "net")


@pytest.mark.parametrize(
    "found",
    [
        {"VpcConfig": json.dumps(BOTH), "Subnet1Id": "other"},
        {"Subnet2Id": "subnet-2", "Subnet1Id": "subnet-1", "SecurityGroupId": "sg-1", "VpcId": "vpc-1"},
        {"PrivateSubnet1": "subnet-1", "PrivateSubnet2": "subnet-2", "SecurityGroups": "sg-1"},
        {"SubnetIds": "subnet-1, subnet-2", "SecurityGroupIds": '["sg-1"]'},
        {"Subnet1Id": "subnet-1", "Subnet2Id": "subnet-2", "SecurityGroupId": "sg-1", "TrafficEncryptedSecurityGroupId": "sg-2"},
    ],
)
def test_outputs(found: dict[str, str]) -> None:
    assert vpc_config(found, "net") == BOTH


def test_more_than_nine_subnets_keep_their_order() -> None:
    found = {f"Subnet{n}Id": f"subnet-{n}" for n in range(12, 0, -1)}
    assert vpc_config({**found, "SecurityGroupId": "sg-1"}, "net")["Subnets"] == [f"subnet-{n}" for n in range(1, 13)]


@pytest.mark.parametrize("whole", [{"VpcConfig": json.dumps(BOTH)}, {"Subnet1Id": "subnet-1", "Subnet2Id": "subnet-2"}])
def test_encrypted_traffic_has_a_group_of_its_own(whole: dict[str, str]) -> None:
    found = {**whole, "SecurityGroupId": "sg-1", "TrafficEncryptedSecurityGroupId": "sg-2"}
    assert vpc_config(found, "net", encrypted=True) == {**BOTH, "SecurityGroupIds": ["sg-2"]}
    del found["TrafficEncryptedSecurityGroupId"]
    assert vpc_config(found, "net", encrypted=True) == BOTH


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "has no output that names a subnet; its outputs: none"),
        ({"SecurityGroupId": "sg-1", "SubnetOneId": "s"}, "it has SubnetOneId"),
        ({"Subnet1Id": "subnet-1"}, "has no output that names a security group"),
        ({"VpcConfig": "vpc-1"}, "is no VpcConfig: vpc-1"),
        ({"VpcConfig": '{"Subnets": ["subnet-1"]}'}, "is no VpcConfig"),
        ({"VpcConfig": '{"Subnets": [], "SecurityGroupIds": ["sg-1"]}'}, "is no VpcConfig"),
    ],
)
def test_outputs_that_do_not_do(found: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        vpc_config(found, "net")
    assert words in str(caught.value)
    assert "stack net" in str(caught.value)
