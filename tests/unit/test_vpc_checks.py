"""A good network has nothing wrong; each thing that is broken in it is named, with what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vpc_networks import (
    EFA,
    EFA_JOB,
    ENCRYPTED_JOB,
    GOOD,
    HTTPS,
    PLAIN,
    SELF,
    TCP_JOB,
    line,
    rule,
    with_one,
    with_routes,
    with_rules,
    without_s3,
)

from hvdsm.errors import ConfigError
from hvdsm.vpc.checking.checks import CHECKS, ESSENTIAL, best_group, check, examine, examine_each
from hvdsm.vpc.checking.facts import Nat, Network, Route, Unread
from hvdsm.vpc.checking.wanted import Job, job_of, per_instance

Change = Callable[[Network], Network]
TWO = ("subnet-a", "subnet-b")
ONLY_S3 = replace(GOOD, endpoints=GOOD.endpoints[:1])
DENIES = {"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}]}


def told(network: Network, job: Job) -> List[str]:
    """Rules with the levels at which they are told."""
    return [f"{finding.level} {finding.rule}" for finding in examine(network, job).findings]


@pytest.mark.parametrize("job", [EFA_JOB, TCP_JOB, ENCRYPTED_JOB, replace(TCP_JOB, network_isolation=True)])
def test_a_good_network(job: Job) -> None:
    report = examine(GOOD, job)
    assert report.findings == ()
    assert report.ok
    assert len(report.checked) == len(CHECKS)


def one(field: str, name: str, **changes: Any) -> Change:
    return lambda network: with_one(network, field, name, **changes)


def rules(*found: Any) -> Change:
    return lambda network: with_rules(network, "sg-job", *found)


def vpc(**changes: Any) -> Change:
    return lambda network: replace(network, vpc=replace(network.vpc, **changes))  # type: ignore[type-var]


def endpoint(**changes: Any) -> Change:
    return one("endpoints", "vpce-s3", **changes)


def acl(*entries: Any) -> Change:
    return one("acls", "acl-1", entries=entries)


def offered(zone: str) -> Change:
    return lambda network: replace(network, offered={EFA: frozenset({zone}), PLAIN: frozenset({zone})})


BROKEN = [
    ("ipv6", one("subnets", "subnet-a", ipv6_only=True, cidr=""), "error subnet-kind"),
    ("pending", one("subnets", "subnet-a", state="pending"), "error subnets"),
    ("outpost", one("subnets", "subnet-a", outpost="arn:aws:outposts:::op-1"), "error subnet-kind"),
    ("local zone", one("subnets", "subnet-a", zone_type="local-zone"), "error subnet-kind"),
    ("public", one("subnets", "subnet-a", public=True), "note public-subnet"),
    ("other zone", offered("us-east-1b"), "error zone-offers"),
    ("full", one("subnets", "subnet-a", free=7), "error addresses"),
    ("tiny", one("subnets", "subnet-a", cidr="10.0.0.0/29", free=3), "error addresses"),
    ("docker", one("subnets", "subnet-a", cidr="172.17.4.0/24"), "warning docker-addresses"),
    ("outside", one("subnets", "subnet-a", cidr="10.7.0.0/24"), "error cidr"),
    ("twice", one("subnets", "subnet-b", cidr="10.0.0.128/25"), "error cidr"),
    ("dedicated", vpc(tenancy="dedicated"), "error tenancy"),
    ("group elsewhere", one("groups", "sg-job", vpc_id="vpc-2"), "error one-vpc"),
    ("no rules", rules(), "error self-ingress"),
    ("no way in", rules(SELF[1], HTTPS), "error self-ingress"),
    ("no way out", rules(SELF[0], HTTPS), "error self-egress"),
    ("another group", rules(rule("sg-job", False, "sg-door"), SELF[1], HTTPS), "error self-ingress"),
    ("no https", rules(*SELF), "error s3-egress"),
    ("http", rules(*SELF, rule("sg-job", True, "0.0.0.0/0", "6", (80, 80))), "error s3-egress"),
    ("https to half", rules(*SELF, rule("sg-job", True, "52.216.0.0/16", "6", (443, 443))), "error s3-egress"),
    ("https by udp", rules(*SELF, rule("sg-job", True, "0.0.0.0/0", "17", (443, 443))), "error s3-egress"),
    ("open", rules(*SELF, HTTPS, rule("sg-job", False, "0.0.0.0/0", "6", (22, 22))), "warning open-ingress"),
    ("open v6", rules(*SELF, HTTPS, rule("sg-job", False, "::/0")), "warning open-ingress"),
    ("no endpoint", without_s3, "error s3-way"),
    ("other table", endpoint(tables=frozenset({"rtb-main"})), "error s3-way"),
    ("main table", one("tables", "rtb-job", subnets=frozenset()), "error s3-way"),
    ("pending endpoint", endpoint(state="pending"), "error s3-way"),
    ("other region", endpoint(service="com.amazonaws.eu-west-1.s3"), "error s3-way"),
    ("misspelt", endpoint(service="com.amazonaws.us-east-1.s4"), "error s3-way"),
    ("misspelt name", endpoint(service="com.amazonaws.us-east-1.s4"), "warning endpoint-name"),
    ("blackhole", lambda network: with_routes(network, Route("pl-s3", "vpce-s3", "blackhole")), "error s3-way"),
    ("other blackhole", lambda network: with_routes(network, Route("10.9.0.0/16", "pcx-1", "blackhole")), "warning blackhole"),
    ("detour", lambda network: with_routes(network, Route("10.0.0.0/24", "eni-1")), "warning detour"),
    ("no policy", endpoint(policy={"Statement": []}), "error s3-policy"),
    ("denies", endpoint(policy=DENIES), "error s3-policy"),
    ("dns", vpc(dns_support=False), "error dns-support"),
    ("hostnames", vpc(dns_hostnames=False), "error dns-hostnames"),
    ("servers", vpc(dns_servers=("10.0.0.9",)), "warning dns-servers"),
    ("no servers", vpc(dns_servers=()), "error dhcp"),
    ("no domain", vpc(domain=""), "error dhcp"),
    ("shared", vpc(dns_servers=None, domain=None), "note dhcp"),
    ("acl", acl(), "error acl"),
    ("acl out", acl(line(90, True, False, ports=(443, 443), protocol="6"), *GOOD.acls[0].entries), "error acl"),
    ("acl in", acl(line(90, False, False, ports=(40000, 40009), protocol="6"), *GOOD.acls[0].entries), "error acl"),
    ("acl s3", acl(line(90, True, False, cidr="3.5.0.0/24"), *GOOD.acls[0].entries), "error acl"),
    ("endpoint name", one("endpoints", "vpce-logs", service="com.amazonaws.us-east-1.log"), "warning endpoint-name"),
    ("endpoint dns", one("endpoints", "vpce-logs", private_dns=False), "warning endpoint-dns"),
    ("endpoint zone", one("endpoints", "vpce-logs", subnets=frozenset({"subnet-b"})), "warning endpoint-zones"),
    ("endpoint state", one("endpoints", "vpce-logs", state="failed"), "warning endpoint-state"),
    ("door", lambda network: with_rules(network, "sg-door"), "warning endpoint-group"),
    ("logs", lambda network: replace(network, logged=frozenset()), "note flow-logs"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), [entry[1:] for entry in BROKEN], ids=[entry[0] for entry in BROKEN])
def test_what_is_broken_is_named(change: Change, said: str) -> None:
    findings = examine(change(GOOD), EFA_JOB).findings
    assert said in [f"{finding.level} {finding.rule}" for finding in findings]
    assert all(finding.remedy for finding in findings)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"subnets": ()}, "error subnets"),
        ({"subnets": ("subnet-c",)}, "error subnets"),
        ({"subnets": tuple(f"subnet-{n}" for n in range(17))}, "error subnets"),
        ({"subnets": TWO}, "error one-zone"),
        ({"subnets": TWO, "instances": ((PLAIN, 2),)}, "warning one-zone"),
        ({"groups": ()}, "error security-groups"),
        ({"groups": ("sg-none",)}, "error security-groups"),
        ({"groups": ("sg-job",) * 6}, "error security-groups"),
        ({"groups": ("sg-job", "sg-door")}, "error self-egress"),
        ({"encrypted": True}, "warning efa-encrypted"),
        ({"instances": ((EFA, 51),)}, "error addresses"),
        ({"instances": ((None, 2),)}, "note zone-offers"),
        ({"instances": (("ml.p9.huge", 2),)}, "error zone-offers"),
        ({"instances": (("local", 2),)}, "error instance-type"),
        ({"instances": (("p4d.24xlarge", 2),)}, "error instance-type"),
    ],
)
def test_jobs_that_do_not_fit(changed: dict[str, Any], said: str) -> None:
    network = replace(GOOD, offered={**GOOD.offered, "ml.p9.huge": frozenset()})
    assert said in told(network, replace(EFA_JOB, **changed))


def test_the_remedy_for_a_missing_rule_is_a_command_with_the_ids() -> None:
    (found,) = examine(with_rules(GOOD, "sg-job", SELF[0], HTTPS), EFA_JOB).findings
    assert found.resource == "sg-job (net)"
    assert found.remedy == (
        "aws ec2 authorize-security-group-egress --region us-east-1 --group-id sg-job "
        "--ip-permissions 'IpProtocol=-1,UserIdGroupPairs=[{GroupId=sg-job}]'"
    )


def test_egress_to_everywhere_is_none_for_efa_but_enough_for_tcp() -> None:
    network = with_rules(GOOD, "sg-job", SELF[0], rule("sg-job", True, "0.0.0.0/0"))
    assert told(network, EFA_JOB) == ["error self-egress"]
    assert told(network, TCP_JOB) == []


@pytest.mark.parametrize(
    ("inward", "ports"),
    [
        (rule("sg-job", False, "sg-job", "6"), ""),
        (rule("sg-job", False, "10.0.0.0/24", "6"), ""),
        (rule("sg-job", False, "10.0.0.0/25", "6"), "at any port"),
        (rule("sg-job", False, "sg-job", "17"), "at any port"),
        (rule("sg-job", False, "sg-job", "6", (22, 22)), "at ports 0-21, 23-65535"),
    ],
)
def test_tcp_has_to_come_in_at_all_ports(inward: Any, ports: str) -> None:
    findings = examine(with_rules(GOOD, "sg-job", inward, SELF[1], HTTPS), TCP_JOB).findings
    assert [finding.rule for finding in findings] == (["self-ingress"] if ports else [])
    assert not ports or ports in findings[0].what


def test_one_host_needs_no_other() -> None:
    assert told(with_rules(GOOD, "sg-job", HTTPS), replace(EFA_JOB, instances=((EFA, 1),))) == []


def test_rules_of_several_groups_are_joined() -> None:
    network = with_rules(with_rules(GOOD, "sg-job", SELF[1], HTTPS), "sg-door", rule("sg-door", False, "sg-job"))
    assert told(network, replace(TCP_JOB, groups=("sg-job", "sg-door"))) == []


@pytest.mark.parametrize("lost", range(3))
def test_each_rule_for_encrypted_traffic_is_needed(lost: int) -> None:
    found = [entry for number, entry in enumerate(GOOD.groups[1].rules) if number != lost]
    assert set(told(with_rules(GOOD, "sg-encrypted", *found), ENCRYPTED_JOB)) == {"error encrypted-traffic"}


def test_a_prefix_list_of_s3_is_a_way_out_and_another_is_not() -> None:
    def out(name: str) -> Network:
        return with_rules(ONLY_S3, "sg-job", *SELF, rule("sg-job", True, name, "6", (443, 443)))

    assert told(out("pl-s3"), TCP_JOB) == []
    assert told(out("pl-other"), TCP_JOB) == ["error s3-egress"]
    assert told(replace(out("pl-mine"), prefix_cidrs={**GOOD.prefix_cidrs, "pl-mine": ("0.0.0.0/1",)}), TCP_JOB) == []


def test_without_known_addresses_of_s3_only_everywhere_is_enough() -> None:
    network = with_rules(replace(ONLY_S3, prefix_cidrs={}), "sg-job", *SELF, rule("sg-job", True, "52.0.0.0/8", "6", (443, 443)))
    assert told(network, TCP_JOB) == ["error s3-egress"]


class TestWaysToS3:
    """By a NAT gateway, by an internet gateway, by an interface endpoint."""

    def default(self, target: str, state: str = "active") -> Network:
        return with_routes(without_s3(GOOD), Route("0.0.0.0/0", target, state))

    def with_nat(self, out: str = "igw-1", **changes: Any) -> Network:
        network = replace(self.default("nat-1"), nats=(replace(Nat("nat-1", "subnet-b"), **changes),))
        return with_one(
            with_one(network, "tables", "rtb-main", subnets=frozenset({"subnet-b"}), routes=(Route("0.0.0.0/0", out),)),
            "tables", "rtb-job", subnets=frozenset({"subnet-a"}),
        )  # fmt: skip

    def test_nat(self) -> None:
        assert told(self.with_nat(), TCP_JOB) == ["warning s3-way"]

    @pytest.mark.parametrize("changes", [{"state": "failed"}, {"id": "nat-2"}, {"out": "pcx-1"}])
    def test_nat_that_leads_nowhere(self, changes: dict[str, str]) -> None:
        assert told(self.with_nat(**changes), TCP_JOB) == ["error s3-way"]

    def test_private_nat(self) -> None:
        assert told(self.with_nat(public=False), TCP_JOB) == ["warning s3-way"]

    def test_an_internet_gateway_is_none(self) -> None:
        (found,) = examine(self.default("igw-1"), TCP_JOB).of("error")
        assert "no public addresses" in found.what
        assert "create-vpc-endpoint" in found.remedy

    def test_what_cannot_be_seen_is_a_warning(self) -> None:
        assert told(self.default("tgw-1"), TCP_JOB) == ["warning s3-way"]

    def test_a_default_route_into_nothing(self) -> None:
        assert told(self.default("nat-1", "blackhole"), TCP_JOB) == ["error s3-way", "warning blackhole"]

    def test_an_unread_nat_is_no_error(self) -> None:
        network = replace(self.default("nat-1"), unread=(Unread("DescribeNatGateways", "ec2:DescribeNatGateways", "no"),))
        assert told(network, TCP_JOB) == ["warning s3-way", "warning not-checked"]

    def interface(self, **changes: Any) -> Network:
        s3 = replace(GOOD.endpoints[1], id="vpce-if", service=GOOD.endpoints[0].service, **changes)
        return replace(without_s3(GOOD), endpoints=(GOOD.endpoints[1], s3))

    def test_an_interface_endpoint(self) -> None:
        assert told(self.interface(), TCP_JOB) == ["note s3-way"]

    def test_an_interface_endpoint_without_its_name(self) -> None:
        (found,) = examine(self.interface(private_dns=False), TCP_JOB).of("error")
        assert "does not lead to its endpoint" in found.what

    def test_an_interface_endpoint_whose_group_lets_nobody_in(self) -> None:
        assert "error endpoint-group" in told(with_rules(self.interface(), "sg-door"), TCP_JOB)


def test_the_main_table_serves_a_subnet_of_no_other() -> None:
    moved = with_one(with_one(GOOD, "tables", "rtb-job", subnets=frozenset({"subnet-b"})), "endpoints", "vpce-s3", tables=frozenset({"rtb-main"}))  # noqa: E501  # fmt: skip
    assert told(moved, TCP_JOB) == []


def test_an_acl_does_not_matter_within_a_subnet() -> None:
    inner = line(90, False, False, "10.0.0.0/16")
    network = with_one(GOOD, "acls", "acl-1", entries=(inner, *GOOD.acls[0].entries))
    assert told(network, EFA_JOB) == ["note acl"]
    # Each of the two is kept from the other.
    assert told(network, replace(TCP_JOB, subnets=TWO)) == ["error acl", "error acl", "warning one-zone"]


def test_the_remedy_for_an_acl_goes_before_what_refuses() -> None:
    entries = (line(1, True, True, "10.0.0.0/8"), line(3, True, False), *GOOD.acls[0].entries)
    found = examine(with_one(GOOD, "acls", "acl-1", entries=entries), EFA_JOB).of("error")[0]
    assert "--egress --rule-number 2 --protocol tcp --port-range From=443,To=443" in found.remedy


def test_addresses_by_type() -> None:
    network = replace(GOOD, efa={})
    assert [per_instance(network, kind) for kind in (EFA, PLAIN, "ml.c5n.18xlarge", None)] == [5, 2, 5, 2]
    mixed = replace(TCP_JOB, instances=((EFA, 2), (PLAIN, 3)))
    assert mixed.addresses(GOOD) == 16
    assert mixed.count == 5


@pytest.mark.parametrize(
    ("count", "free", "words"), [(50, 250, ""), (50, 249, "cannot hold the job now"), (51, 251, "can never hold the job")]
)
def test_addresses_now_and_ever(count: int, free: int, words: str) -> None:
    network = replace(GOOD, subnets=(replace(GOOD.subnets[0], free=free), GOOD.subnets[1]))
    found = examine(network, replace(EFA_JOB, instances=((EFA, count),))).findings
    assert [words in finding.what for finding in found] == ([True] if words else [])
    assert not words or f"{count} instances take {5 * count} addresses (5 each)" in found[0].what


class TestWhatIsUnread:
    """A request that is refused is told, and what needs it is not judged."""

    @pytest.mark.parametrize("operation", sorted({need for entry in CHECKS for need in entry.needs}))
    def test_each(self, operation: str) -> None:
        network = replace(GOOD, unread=(Unread(operation, f"ec2:{operation}", "not authorized"),))
        report = examine(network, EFA_JOB)
        (found,) = report.findings
        assert found.rule == "not-checked"
        assert f"ec2:{operation}" in found.remedy
        assert all(title in found.what for title in {entry.title for entry in CHECKS if operation in entry.needs})
        assert len(report.checked) < len(CHECKS)
        assert report.ok is (operation not in ESSENTIAL)

    def test_nothing_at_all(self) -> None:
        unread = tuple(Unread(need, need, "no") for need in sorted({need for entry in CHECKS for need in entry.needs}))
        report = examine(Network("us-east-1", unread=unread), EFA_JOB)
        assert {finding.rule for finding in report.findings} == {"not-checked"}
        # That needs no facts.
        assert report.checked == ("instance type",)
        assert not report.ok


class TestCandidates:
    """A job is given one of several subnets."""

    job = replace(EFA_JOB, subnets=TWO)

    def test_the_first_that_does(self) -> None:
        report = examine_each(GOOD, self.job)
        assert report.job.subnets == ("subnet-a",)
        assert report.findings == ()

    def test_the_other_where_the_first_does_not(self) -> None:
        report = examine_each(replace(GOOD, offered={EFA: frozenset({"us-east-1b"})}), self.job)
        assert report.ok
        assert report.job.subnets == ("subnet-b",)
        (found,) = report.findings
        assert (found.level, found.rule) == ("warning", "zone-offers")
        assert "the job does without it" in found.what

    def test_none(self) -> None:
        network = with_one(replace(GOOD, offered={EFA: frozenset({"us-east-1b"})}), "subnets", "subnet-b", free=1)
        report = examine_each(network, self.job)
        assert {finding.rule for finding in report.of("error")} == {"zone-offers", "addresses"}

    def test_the_best_group(self) -> None:
        assert best_group(GOOD, EFA_JOB) == "sg-job"
        assert best_group(GOOD, ENCRYPTED_JOB) in ("sg-job", "sg-encrypted")
        assert best_group(replace(GOOD, groups=()), EFA_JOB) is None


def test_check_is_examine_in_short() -> None:
    given = {"instance_type": EFA, "instance_count": 51, "subnets": ["subnet-a"], "security_groups": ["sg-job"]}
    assert [finding.rule for finding in check(GOOD, **given)] == ["addresses"]  # type: ignore[arg-type]


def test_routes_of_another_network_are_not_judged_by_those_of_this_one() -> None:
    other = with_one(GOOD, "subnets", "subnet-b", vpc_id="vpc-2", cidr="10.9.0.0/24")
    own = replace(next(table for table in other.tables if "subnet-a" in table.subnets), subnets=frozenset({"subnet-a"}))
    other = replace(other, tables=(own, *(table for table in other.tables if table.id != own.id)))
    assert told(other, replace(TCP_JOB, subnets=("subnet-a", "subnet-b"))).count("error one-vpc") == 1
    assert "error s3-way" not in told(other, replace(TCP_JOB, subnets=("subnet-a", "subnet-b")))


def test_the_domain_of_us_east_1_has_another_name() -> None:
    network = replace(GOOD, vpc=replace(GOOD.vpc, dhcp_id="dopt-1", dns_servers=("AmazonProvidedDNS",), domain=""))  # type: ignore[type-var]
    remedies = [finding.remedy for finding in examine(network, TCP_JOB).findings if finding.rule == "dhcp"]
    assert len(remedies) == 1 and "Values=ec2.internal" in remedies[0]


def test_a_request_as_a_job() -> None:
    groups = [{"InstanceGroupName": "a", "InstanceType": EFA, "InstanceCount": 2}, {"InstanceType": PLAIN, "InstanceCount": 1}]
    job = job_of(
        {
            "ResourceConfig": {"InstanceGroups": groups},
            "VpcConfig": {"Subnets": ["subnet-a"], "SecurityGroupIds": ["sg-job"]},
            "EnableInterContainerTrafficEncryption": True,
            "OutputDataConfig": {"S3OutputPath": "s3://mine/out/"},
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://data/train"}}}],
        }
    )
    assert job == Job(((EFA, 2), (PLAIN, 1)), True, False, ("subnet-a",), ("sg-job",), ("mine/out",), ("data/train",))


@pytest.mark.parametrize(
    "request_",
    [
        {"VpcConfig": [1]},
        {"VpcConfig": {"Subnets": "subnet-a"}},
        {"ResourceConfig": "x"},
        {"ResourceConfig": {"InstanceCount": "many"}},
        {"ResourceConfig": {"InstanceType": 5}},
        {"InputDataConfig": [1]},
    ],
)
def test_a_request_of_another_shape_is_an_error(request_: Dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="shape"):
        job_of(request_)


@pytest.mark.parametrize(
    ("policy", "job", "said"),
    [
        ({"Resource": "arn:aws:s3:::mine/*"}, {"buckets": ("mine",)}, ["error s3-policy"]),
        ({"Resource": ["arn:aws:s3:::mine", "arn:aws:s3:::mine/*"]}, {"buckets": ("mine/run",)}, []),
        ({"Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, {}, ["warning s3-policy"]),
        ({"Resource": "*", "Action": "s3:Get*"}, {}, ["error s3-policy"]),
        ({"Resource": "*"}, {"inputs": ("others/data",)}, []),
        (
            {"Resource": ["arn:aws:s3:::mine", "arn:aws:s3:::mine/*"]},
            {"buckets": ("mine",), "inputs": ("others",)},
            ["error s3-policy"],
        ),
        ({"Resource": "*", "Condition": {"StringEquals": {"aws:ResourceAccount": "999999999999"}}}, {}, ["error s3-policy"]),
    ],
)
def test_buckets_that_the_policy_lets_through(policy: dict[str, Any], job: dict[str, Any], said: List[str]) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", **policy}
    network = with_one(GOOD, "endpoints", "vpce-s3", policy={"Statement": [statement]})
    assert told(network, replace(TCP_JOB, **job)) == said


@settings(deadline=None, max_examples=60)
@given(st.sets(st.sampled_from(range(len(BROKEN))), max_size=6), st.sampled_from([EFA_JOB, TCP_JOB, ENCRYPTED_JOB]))
def test_any_mixture_is_judged(chosen: set[int], job: Job) -> None:
    network = GOOD
    for number in sorted(chosen):
        try:
            network = BROKEN[number][1](network)
        except AssertionError:
            # What is to be changed has been taken away by another change.
            continue
    report = examine(network, job)
    assert len(report.checked) == len(CHECKS)
    assert len(set(report.findings)) == len(report.findings)
    assert [finding.level for finding in report.findings] == sorted(
        (finding.level for finding in report.findings), key=("error", "warning", "note").index
    )
