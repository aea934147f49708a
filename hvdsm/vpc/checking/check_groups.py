"""Checks of the security groups that a job is given: its hosts reach each other, and nobody else reaches them.

Sources: Amazon EC2 User Guide (EFA: all traffic to and from the group itself; rules of several groups are joined), SageMaker
Developer Guide (training jobs in a VPC: members of a group must reach each other; encryption of traffic between instances:
UDP 500 and protocol 50).
"""

from __future__ import annotations

from typing import FrozenSet, Iterator, List, Sequence, Tuple

from hvdsm.vpc.checking.check_subnets import chosen
from hvdsm.vpc.checking.facts import Network, SecurityGroup, label
from hvdsm.vpc.checking.reach import ESP, EVERYWHERE, TCP, UDP, Piece, not_allowed, ports_text
from hvdsm.vpc.checking.wanted import Job
from hvdsm.vpc.templates.groups import Finding, Rule

MOST_GROUPS = 5
_ANYWHERE = ("0.0.0.0/0", "::/0")


def attached(network: Network, job: Job) -> List[SecurityGroup]:
    """The job's groups that are there."""
    return [found for name in job.groups for found in [network.group(name)] if found is not None]


def rules_of(network: Network, job: Job) -> List[Rule]:
    """All their rules: what one of them allows is allowed."""
    return [rule for group in attached(network, job) for rule in group.rules]


def authorize(network: Network, group: str, outward: bool, permission: str) -> str:
    """The command that adds a rule."""
    way = "egress" if outward else "ingress"
    start = f"aws ec2 authorize-security-group-{way} --region {network.region} --group-id {group}"
    return f"{start} --ip-permissions '{permission}'"


def groups(network: Network, job: Job) -> Iterator[Finding]:
    """They are there, few enough, and in the network of the subnets."""
    if not job.groups:
        remedy = f"aws ec2 describe-security-groups --region {network.region}, and --security-group ID"
        yield Finding("security-groups", "", "names no security group", remedy)
    if len(job.groups) > MOST_GROUPS:
        yield Finding(
            "security-groups", "", f"names {len(job.groups)} security groups, of which a job takes {MOST_GROUPS}", "name fewer"
        )
    for name in sorted({name for name in job.groups if network.group(name) is None}):
        remedy = f"aws ec2 describe-security-groups --region {network.region} lists those that are there"
        yield Finding("security-groups", name, f"there is no such security group in {network.region}", remedy)
    places = {subnet.vpc_id for subnet in chosen(network, job)}
    for group in attached(network, job):
        if places and group.vpc_id not in places:
            what = f"is in {group.vpc_id}, and the subnets are in {', '.join(sorted(places))}"
            remedy = f"aws ec2 describe-security-groups --region {network.region} --filters Name=vpc-id,Values={min(places)}"
            yield Finding("one-vpc", label(group), what, remedy)


def efa(network: Network, job: Job) -> Iterator[Finding]:
    """Each group has all traffic from and to itself; a rule for addresses, such as 0.0.0.0/0, does not match EFA's."""
    if job.count < 2 or not job.efa(network):
        return
    if job.encrypted:
        # A rule for EFA would let traffic through that is not encrypted.
        what = (
            f"EFA of {', '.join(job.types)} goes past the encryption of IP traffic; AWS describes no encrypted traffic over EFA"
        )
        remedy = "measure it, as traffic may go by TCP and be slow, or use no --encrypt-traffic"
        yield Finding("efa-encrypted", "", what, remedy, "warning")
        return
    for group in attached(network, job):
        for outward, rule, way in ((False, "self-ingress", "from"), (True, "self-egress", "to")):
            if not any(one.outward is outward and one.protocol == "-1" and one.peer == group.id for one in group.rules):
                permission = f"IpProtocol=-1,UserIdGroupPairs=[{{GroupId={group.id}}}]"
                what = f"has no rule for all traffic {way} itself, which EFA needs; a rule for addresses does not count"
                yield Finding(rule, label(group), what, authorize(network, group.id, outward, permission))


def _pieces(network: Network, job: Job, ports: Tuple[int, int]) -> List[Piece]:
    own = [subnet.block for subnet in chosen(network, job)]
    return [(one, *ports) for one in own if one is not None] or [(EVERYWHERE, *ports)]


def between_hosts(network: Network, job: Job) -> Iterator[Finding]:
    """Hosts reach each other by TCP at all ports: ranks choose theirs as they start, and wait for ever for one that is closed."""
    found = attached(network, job)
    if job.count < 2 or not found or job.encrypted:
        return
    members = frozenset(group.id for group in found)
    for outward, rule, way, said in ((False, "self-ingress", "from", "in"), (True, "self-egress", "to", "out")):
        if job.efa(network) and any(finding.rule == rule for finding in efa(network, job)):
            continue
        left = _lacking(network, job, outward, TCP, (0, 65535), members)
        if left:
            ports = ports_text(left)
            which = "at any port" if ports == "0-65535" else f"at ports {ports}"
            what = f"TCP {way} the job's other hosts is not let {said} {which}: ranks would wait for each other for ever"
            permission = f"IpProtocol=-1,UserIdGroupPairs=[{{GroupId={found[0].id}}}]"
            yield Finding(rule, _named(found), what, authorize(network, found[0].id, outward, permission))


def _lacking(
    network: Network, job: Job, outward: bool, protocol: str, ports: Tuple[int, int], members: FrozenSet[str]
) -> List[Piece]:
    rules, lists = rules_of(network, job), network.prefix_cidrs
    return not_allowed(rules, outward, protocol, _pieces(network, job, ports), members=members, lists=lists)


def _named(found: Sequence[SecurityGroup]) -> str:
    return ", ".join(label(group) for group in found)


def encrypted(network: Network, job: Job) -> Iterator[Finding]:
    """With encrypted traffic hosts reach each other by IKE (UDP 500) and ESP (protocol 50)."""
    found = attached(network, job)
    if not job.encrypted or job.count < 2 or not found:
        return
    members = frozenset(group.id for group in found)
    kinds = (
        (UDP, (500, 500), "UDP 500 (IKE)", "IpProtocol=udp,FromPort=500,ToPort=500"),
        (ESP, (0, 65535), "protocol 50 (ESP)", "IpProtocol=50,FromPort=-1,ToPort=-1"),
    )
    for outward, way in ((False, "from"), (True, "to")):
        for protocol, ports, said, permission in kinds:
            if _lacking(network, job, outward, protocol, ports, members):
                wanted = f"{permission},UserIdGroupPairs=[{{GroupId={found[0].id}}}]"
                what = f"does not allow {said} {way} the job's other hosts, which encrypted traffic needs"
                yield Finding("encrypted-traffic", _named(found), what, authorize(network, found[0].id, outward, wanted))


def open_to_all(network: Network, job: Job) -> Iterator[Finding]:
    """Nobody from anywhere is let in."""
    for group in attached(network, job):
        for rule in group.rules:
            if rule.outward or rule.peer not in _ANYWHERE:
                continue
            field = "Ipv6Ranges=[{CidrIpv6=::/0}]" if ":" in rule.peer else "IpRanges=[{CidrIp=0.0.0.0/0}]"
            name = {TCP: "tcp", UDP: "udp", "1": "icmp", "58": "icmpv6"}.get(rule.protocol, rule.protocol)
            ports = f"FromPort={rule.ports[0]},ToPort={rule.ports[1]}," if rule.protocol in (TCP, UDP) else ""
            start = f"aws ec2 revoke-security-group-ingress --region {network.region} --group-id {group.id}"
            what = f"lets {rule.peer} in by {'every protocol' if rule.protocol == '-1' else name}"
            remedy = f"{start} --ip-permissions 'IpProtocol={name},{ports}{field}'"
            yield Finding("open-ingress", label(group), what, remedy, "warning")
