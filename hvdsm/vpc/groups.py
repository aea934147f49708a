"""Security groups of a rendered template: who may talk to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, List, Mapping, Tuple

from hvdsm.vpc.rendering import Rendered, references

_ANYWHERE = ("0.0.0.0/0", "::/0")
_EFA = "EFA needs it; without it ranks on several hosts wait for each other for ever"


@dataclass(frozen=True)
class Finding:
    """Something that a template lacks, or should not have.

    Attributes:
        rule: short name of the rule.
        resource: logical name, empty for the template as a whole.
        what: what is wrong.
        remedy: what to do.
    """

    rule: str
    resource: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.rule}: {self.resource + ': ' if self.resource else ''}{self.what}; {self.remedy}"


@dataclass(frozen=True)
class Rule:
    """A rule of a security group, wherever it is written."""

    group: str
    outward: bool
    protocol: str
    ports: Tuple[int, int]
    peer: str
    named: str

    def covers(self, protocol: str, port: int = 0) -> bool:
        """Whether it allows a protocol, by its number, at a port."""
        if self.protocol == "-1":
            return True
        return self.protocol == protocol and (protocol not in ("6", "17") or self.ports[0] <= port <= self.ports[1])


_PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58", "all": "-1", "esp": "50"}


def target(value: Any) -> str:
    """The logical name that a value refers to, or the value."""
    found = references(value)
    return found[0] if found else str(value)


def rules_of(rendered: Rendered) -> List[Rule]:
    """All rules of all groups, wherever they are written."""
    made: List[Rule] = []
    for name, properties in rendered.of_type("AWS::EC2::SecurityGroup").items():
        for outward, key in ((False, "SecurityGroupIngress"), (True, "SecurityGroupEgress")):
            made += [_rule(name, outward, entry, name) for entry in properties.get(key) or ()]
        if not properties.get("SecurityGroupEgress"):
            # Such a group is given a rule for everything to everywhere.
            made.append(Rule(name, True, "-1", (0, 65535), "default", name))
    for outward, kind in ((False, "AWS::EC2::SecurityGroupIngress"), (True, "AWS::EC2::SecurityGroupEgress")):
        for name, properties in rendered.of_type(kind).items():
            made.append(_rule(target(properties.get("GroupId")), outward, properties, name))
    return made


def _rule(group: str, outward: bool, entry: Mapping[str, Any], named: str) -> Rule:
    protocol = str(entry.get("IpProtocol", "-1")).lower()
    protocol = _PROTOCOLS.get(protocol, protocol)
    peers = (
        "SourceSecurityGroupId",
        "DestinationSecurityGroupId",
        "CidrIp",
        "CidrIpv6",
        "SourcePrefixListId",
        "DestinationPrefixListId",
    )
    peer = next((target(entry[key]) for key in peers if key in entry), "")
    wanted = "DestinationSecurityGroupId" if outward else "SourceSecurityGroupId"
    wrong = "SourceSecurityGroupId" if outward else "DestinationSecurityGroupId"
    if wrong in entry and wanted not in entry:
        peer = ""
    low, high = int(entry.get("FromPort", 0)), int(entry.get("ToPort", 65535))
    return Rule(group, outward, protocol, (0, 65535) if low < 0 else (low, high), peer, named)


def output(rendered: Rendered, name: str) -> str:
    """The logical name that an output refers to; empty where there is no such output."""
    return target(rendered.outputs[name]["Value"]) if name in rendered.outputs else ""


def job_group(rendered: Rendered) -> Iterator[Finding]:
    """The group of the instances: all traffic to and from itself, and nothing comes in from elsewhere."""
    group = output(rendered, "SecurityGroupId")
    if group not in rendered.of_type("AWS::EC2::SecurityGroup"):
        yield Finding("job-group", "", "the output SecurityGroupId names no security group", "let it be that of the instances")
        return
    rules = [rule for rule in rules_of(rendered) if rule.group == group]
    for outward, way, name in ((False, "from", "ingress"), (True, "to", "egress")):
        if not any(rule.outward is outward and rule.protocol == "-1" and rule.peer == group for rule in rules):
            remedy = f"add a rule with IpProtocol -1 {way} {group} itself ({_EFA})"
            yield Finding(f"self-{name}", group, f"has no rule for all traffic {way} itself", remedy)
    for rule in rules:
        if not rule.outward and rule.peer != group:
            yield Finding("ingress-only-itself", rule.named, f"lets {rule.peer or 'someone'} in", "take it away")
    if not any(
        (rule.outward and rule.covers("6", 443) and rule.peer in (*_ANYWHERE, "default")) or _is_prefix(rule) for rule in rules
    ):
        yield Finding(
            "https-egress",
            group,
            "cannot reach S3",
            "allow TCP 443 to 0.0.0.0/0 or to S3's prefix list; routes decide what that is",
        )


def _is_prefix(rule: Rule) -> bool:
    return rule.outward and rule.peer.startswith("pl-") and rule.covers("6", 443)


def encrypted_group(rendered: Rendered) -> Iterator[Finding]:
    """The group for encrypted traffic: IKE and ESP among its members."""
    group = output(rendered, "TrafficEncryptedSecurityGroupId")
    if group not in rendered.of_type("AWS::EC2::SecurityGroup"):
        yield Finding(
            "encrypted-group", "", "the output TrafficEncryptedSecurityGroupId names no security group", "add the group"
        )
        return
    for outward, way in ((False, "from"), (True, "to")):
        own = [rule for rule in rules_of(rendered) if rule.group == group and rule.outward is outward and rule.peer == group]
        for protocol, port, said in (("17", 500, "UDP 500 (IKE)"), ("50", 0, "protocol 50 (ESP)")):
            if not any(rule.covers(protocol, port) for rule in own):
                yield Finding("encrypted-traffic", group, f"does not allow {said} {way} itself", "add the rule")
    for rule in rules_of(rendered):
        if rule.group == group and not rule.outward and rule.peer != group:
            yield Finding("ingress-only-itself", rule.named, f"lets {rule.peer or 'someone'} in", "take it away")


def open_groups(rendered: Rendered) -> Iterator[Finding]:
    """No group lets the whole world in, or out by every port."""
    for rule in rules_of(rendered):
        if rule.peer in _ANYWHERE and not rule.outward:
            yield Finding("open-ingress", rule.named, f"lets {rule.peer} in", "name a group or the network's own addresses")
        elif rule.outward and (rule.peer == "default" or (rule.peer in _ANYWHERE and rule.protocol == "-1")):
            yield Finding("open-egress", rule.named, "allows all traffic to everywhere", "name protocols, ports and peers")
