"""The parameters of a network's stack: what is sent, kept and refused."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.errors import ConfigError, UsageError
from hvdsm.vpc.stacks.addresses import RESERVED, choose_blocks
from hvdsm.vpc.stacks.change import change_of
from hvdsm.vpc.stacks.plans import capabilities
from hvdsm.vpc.stacks.stack_parameters import Chosen, Place, Wish, bucket_arn, choose, names, said_kept
from hvdsm.vpc.stacks.zone_choice import Zone
from hvdsm.vpc.templates import template
from hvdsm.vpc.templates.reading import load
from hvdsm.vpc.templates.rendering import Setting, render

REGION = "us-east-1"
ZONES = tuple(Zone(f"us-east-1{letter}", f"use1-az{number}") for number, letter in enumerate("abcd", 1))
DECLARED = load(template.text())["Parameters"]
PLACE = Place(REGION, ZONES)
DEFAULT_BLOCKS = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]


def chosen(previous: Mapping[str, str] | None = None, place: Place = PLACE, **wish: Any) -> Chosen:
    return choose(Wish(**wish), DECLARED, previous, place)


def test_nothing_is_sent_that_is_not_asked_for() -> None:
    assert chosen().given == {} and chosen().for_request() == []
    assert chosen(endpoints="none").for_request() == [{"ParameterKey": "InterfaceEndpoints", "ParameterValue": "none"}]


def test_an_update_keeps_what_is_not_given() -> None:
    previous = {**chosen().effective, "VpcCidrBlock": "10.8.0.0/16", "SubnetCidrBlock1": "10.8.0.0/24", "Gone": "x"}
    found = chosen(previous, flow_log_days=7)
    sent = {entry["ParameterKey"]: entry for entry in found.for_request()}
    assert sent["FlowLogRetentionDays"] == {"ParameterKey": "FlowLogRetentionDays", "ParameterValue": "7"}
    assert sent["VpcCidrBlock"] == {"ParameterKey": "VpcCidrBlock", "UsePreviousValue": True}
    assert "Gone" not in sent and "SubnetCidrBlock1=10.8.0.0/24" in str(said_kept(found, DECLARED))


def test_a_hidden_value_is_kept_without_being_looked_at() -> None:
    declared = {**DECLARED, "Secret": {"Type": "String", "NoEcho": True, "AllowedPattern": "[a-z]{20}"}}
    found = choose(Wish(), declared, {**chosen().effective, "Secret": "****"}, PLACE)
    assert {"ParameterKey": "Secret", "UsePreviousValue": True} in found.for_request()


def test_buckets_are_arns() -> None:
    found = chosen(read_only_buckets=("open-data", "s3://more/", "arn:aws:s3:::third"))
    assert found.given == {"ReadOnlyBucketArns": "arn:aws:s3:::open-data,arn:aws:s3:::more,arn:aws:s3:::third"}
    assert bucket_arn("b", "cn-north-1") == "arn:aws-cn:s3:::b"


@pytest.mark.parametrize(
    ("wish", "error", "words"),
    [
        ({"zones": 1, "zone_names": ("us-east-1a", "us-east-1b")}, UsageError, "2 zones are named for --zones 1"),
        ({"zone_names": ("a", "b", "c", "d")}, UsageError, "at most 3 zones"),
        ({"subnet_cidrs": ("10.0.0.0/24",) * 4}, UsageError, "at most 3 zones"),
        ({"zones": 4}, ConfigError, "none of 1, 2, 3"),
        ({"zone_names": ("us-east-1a", "use1-az1")}, ConfigError, "us-east-1a is named twice"),
        ({"zone_names": ("us-west-2a",)}, ConfigError, "has no Availability Zone us-west-2a"),
        ({"subnet_cidrs": ("10.0.0.0/24", "10.0.0.128/25"), "zones": 2}, ConfigError, "overlaps 10.0.0.0/24 of subnet 1"),
        ({"subnet_cidrs": ("10.1.0.0/24",)}, ConfigError, "is not within 10.0.0.0/16"),
        ({"cidr": "10.0.0.0/24", "subnet_cidrs": ("10.0.0.0/24",), "zones": 2}, ConfigError, "has no place for 2 subnets"),
        ({"cidr": "10.0.1.0/16"}, ConfigError, "write 10.0.0.0/16"),
        ({"cidr": "8.8.0.0/16"}, ConfigError, "pattern"),
        ({"instance_count": 500, "cidr": "10.0.0.0/22"}, ConfigError, "has no place for 1 subnets"),
        ({"instance_count": 51, "subnet_cidrs": ("10.0.0.0/24",)}, ConfigError, "--subnet-cidr 10.0.0.0/23"),
        ({"parameters": {"VpcCidrBlok": "10.0.0.0/16"}}, ConfigError, "no parameter VpcCidrBlok"),
        ({"parameters": {"FlowLogs": "perhaps"}}, ConfigError, "none of true, false"),
        ({"parameters": {"FlowLogs": "false"}, "flow_logs": True}, UsageError, "is given by --flow-logs, too"),
        ({"read_only_buckets": ("a,b",)}, ConfigError, "is no bucket"),
    ],
)  # fmt: skip
def test_what_is_refused(wish: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        chosen(**wish)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("wish", "blocks"),
    [
        ({}, DEFAULT_BLOCKS),
        ({"zones": 3, "cidr": "10.8.0.0/16"}, ["10.8.0.0/24", "10.8.1.0/24", "10.8.2.0/24"]),
        ({"zones": 2, "cidr": "10.0.0.0/24"}, ["10.0.0.0/26", "10.0.0.64/26", "10.0.0.128/26"]),
        ({"zones": 2, "subnet_cidrs": ("10.0.1.0/24",)}, ["10.0.1.0/24", "10.0.0.0/24", "10.0.2.0/24"]),
        ({"zones": 1, "instance_count": 100}, ["10.0.0.0/23", "10.0.1.0/24", "10.0.2.0/24"]),
        ({"zones": 2, "subnet_cidrs": ("10.0.0.0/17", "10.0.128.0/17")}, ["10.0.0.0/17", "10.0.128.0/17", "10.0.2.0/24"]),
    ],
)  # fmt: skip
def test_blocks_of_subnets(wish: dict[str, Any], blocks: list[str]) -> None:
    found = chosen(**wish).effective
    used = int(found["AvailabilityZoneCount"])
    assert [found[f"SubnetCidrBlock{n}"] for n in range(1, used + 1)] == blocks[:used]
    zones = tuple(zone.name for zone in ZONES)
    render(load(template.text()), found, Setting(region=REGION, zones=zones))


def test_subnets_that_are_there_stay_unless_the_network_is_another() -> None:
    previous = {**chosen(zones=2).effective, "SubnetCidrBlock1": "10.0.9.0/24"}
    assert "SubnetCidrBlock1" not in chosen(previous, zones=3).given
    moved = chosen(previous, cidr="10.7.0.0/16")
    assert moved.effective["SubnetCidrBlock1"] == "10.7.0.0/24" and "subnets within 10.7.0.0/16" in "\n".join(moved.notes)
    with pytest.raises(ConfigError, match="250 instances"):
        chosen(previous, instance_count=250)


BLOCKS = st.builds(
    lambda second, third, width: str(IPv4Network(f"10.{second}.{third}.0/{width}", strict=False)),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(16, 24),
)


@given(whole=BLOCKS, subnets=st.lists(BLOCKS, min_size=3, max_size=3), used=st.integers(1, 3), need=st.integers(0, 300))
def test_chosen_blocks_fit_always(whole: str, subnets: list[str], used: int, need: int) -> None:
    try:
        found = choose_blocks(whole, subnets, used=used, fixed=[False] * 3, needed=(need, "what is wanted"))
    except ConfigError as error:
        assert "has no place for" in str(error)
        # Three blocks of a quarter each always have a place.
        assert need > 2 ** (32 - IPv4Network(whole).prefixlen - 2) - RESERVED
        return
    blocks = [IPv4Network(text) for text in found[:used]]
    assert all(block.subnet_of(IPv4Network(whole)) for block in blocks)
    assert not any(one.overlaps(other) for one, other in combinations(blocks, 2))
    assert all(block.num_addresses - RESERVED >= need for block in blocks)


def test_addresses_that_are_better_not_taken() -> None:
    assert "172.17.0.0/16" in "\n".join(chosen(cidr="172.17.0.0/16").notes)
    notes: list[str] = []
    choose_blocks("192.0.0.0/16", ["192.0.0.0/24"], used=1, fixed=[True], notes=notes)
    assert "is not private" in notes[0]
    assert chosen(cidr="172.18.0.0/16").notes == ("subnets within 172.18.0.0/16: 172.18.0.0/24",)


def zones_of(found: Chosen) -> list[str]:
    """The zones of the subnets as CloudFormation will have them."""
    order = [zone.name for zone in ZONES]
    count = int(found.effective["AvailabilityZoneCount"])
    return [found.effective[f"AvailabilityZone{n + 1}"] or order[n] for n in range(count)]


@pytest.mark.parametrize(
    ("wish", "zones"),
    [
        ({}, ["a"]),
        ({"zones": 3}, ["a", "b", "c"]),
        ({"zone_names": ("use1-az3", "us-east-1a")}, ["c", "a"]),
        ({"zone_names": ("us-east-1b",), "zones": 2}, ["b", "a"]),
        ({"zone_names": ("us-east-1c", "us-east-1b"), "zones": 3}, ["c", "b", "a"]),
        ({"zone_names": ("us-east-1d",), "zones": 3}, ["d", "b", "c"]),
    ],
)
def test_zones(wish: dict[str, Any], zones: list[str]) -> None:
    assert zones_of(chosen(**wish)) == [f"us-east-1{letter}" for letter in zones]


def test_zones_that_offer_the_instance_type() -> None:
    place = Place(REGION, ZONES, frozenset({"us-east-1c", "us-east-1d"}))
    assert zones_of(chosen(place=place, instance_type="ml.p4d.24xlarge")) == ["us-east-1c"]
    assert zones_of(chosen(place=place, zones=2, instance_type="ml.p4d.24xlarge")) == ["us-east-1c", "us-east-1d"]
    three = chosen(place=place, zones=3, instance_type="ml.p4d.24xlarge")
    assert set(zones_of(three)) >= {"us-east-1c", "us-east-1d"} and "fewer than 3 zones offer" in "\n".join(three.notes)
    named = chosen(place=place, zone_names=("us-east-1a",), instance_type="ml.p4d.24xlarge")
    assert "us-east-1a does not offer ml.p4d.24xlarge; us-east-1c, us-east-1d do" in "\n".join(named.notes)
    with pytest.raises(ConfigError, match="no zone of us-east-1 offers"):
        chosen(place=Place(REGION, ZONES, frozenset()), instance_type="ml.x")


def test_zones_of_subnets_that_are_there_stay() -> None:
    previous = chosen(zones=1).effective
    place = Place(REGION, ZONES, frozenset({"us-east-1b"}))
    assert "AvailabilityZone1" not in chosen(previous, place, zones=2, instance_type="ml.p4d.24xlarge").given
    named = {**previous, "AvailabilityZone1": "us-east-1b"}
    assert zones_of(chosen(named, zones=2)) == ["us-east-1b", "us-east-1a"]


def test_without_permission_to_list_zones() -> None:
    place = Place(REGION, None)
    assert chosen(place=place, zone_names=("us-east-1e",)).given["AvailabilityZone1"] == "us-east-1e"
    with pytest.raises(ConfigError, match="AvailabilityZone1"):
        chosen(place=place, zone_names=("use1-az1",))


def test_a_region_with_two_zones() -> None:
    with pytest.raises(ConfigError, match="the region has 2 Availability Zones"):
        chosen(place=Place(REGION, ZONES[:2]), zones=3)


def test_words() -> None:
    assert names(["a=1", "b=", "a=1"], "--tag") == {"a": "1", "b": ""}
    for words in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(UsageError):
            names(words, "--tag")


@pytest.mark.parametrize(
    ("resources", "extra", "found"),
    [
        ({"Vpc": "AWS::EC2::VPC"}, {}, []),
        ({"Role": "AWS::IAM::Role"}, {}, ["CAPABILITY_IAM"]),
        ({"Role": "AWS::IAM::Role"}, {"RoleName": "mine"}, ["CAPABILITY_NAMED_IAM"]),
        ({"Policy": "AWS::IAM::Policy"}, {"PolicyName": "mine"}, ["CAPABILITY_IAM"]),
        ({"Inner": "AWS::CloudFormation::Stack"}, {}, ["CAPABILITY_AUTO_EXPAND"]),
    ],
)
def test_capabilities(resources: dict[str, str], extra: dict[str, str], found: list[str]) -> None:
    assert capabilities({"Resources": {name: {"Type": kind, "Properties": extra} for name, kind in resources.items()}}) == found


def test_a_change_of_a_resource() -> None:
    details = [{"Target": {"Attribute": "Properties", "Name": "CidrBlock"}}, {"Target": {"Attribute": "Tags"}}]
    entry = {
        "Action": "Modify", "LogicalResourceId": "Subnet1", "PhysicalResourceId": "subnet-1",
        "ResourceType": "AWS::EC2::Subnet", "Replacement": "True", "Scope": ["Properties"], "Details": details,
    }  # fmt: skip
    found = change_of(entry)
    assert found.properties == ("CidrBlock", "Tags") and found.cuts
    assert not change_of({**entry, "Replacement": "False"}).cuts
    assert not change_of({**entry, "ResourceType": "AWS::Logs::LogGroup"}).cuts
    assert change_of({**entry, "Action": "Remove", "Replacement": None}).cuts
    assert not change_of({**entry, "Action": "Add", "Replacement": None}).cuts
