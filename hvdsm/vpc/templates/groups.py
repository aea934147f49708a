"""Security groups of a rendered template: who may talk to whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Set, Tuple

from hvdsm.vpc.templates.functions import references
from hvdsm.vpc.templates.naming import attribute_of, block_of, id_of
from hvdsm.vpc.templates.rendering import Rendered

_ANYWHERE = ("0.0.0.0/0", "::/0")
_EFA = "EFA needs it; without it ranks on several hosts wait for each other for ever"


@dataclass(frozen=True)
class Finding:
    """Something that a template or a network lacks, or should not have.

    Attributes:
        rule: short name of the rule.
        resource: logical name, or id and name; empty for the whole.
        what: what is wrong.
        remedy: what to do.
        level: ``error`` where no job can run, ``warning`` where it may fail, be slow or cost more, else ``note``.
    """

    rule: str
    resource: str
    what: str
    remedy: str
    level: str = "error"

    def __str__(self) -> str:
        """One line."""
        return f"{self.rule}: {self.resource + ': ' if self.resource else ''}{self.what}; {self.remedy}"


@dataclass(frozen=True)
class Rule:
    """A rule of a security group, wherever it is written.

    Attributes:
        group: the group that has it.
        outward: whether it is about traffic to the peer.
        protocol: its number as text, ``-1`` for all.
        ports: the first and the last.
        peer: a group, a block of addresses, a prefix list; ``default`` for the rule of a group that was given none.
        named: where it is written.
        value: the peer as the template has it.
    """

    group: str
    outward: bool
    protocol: str
    ports: Tuple[int, int]
    peer: str
    named: str
    value: Any = field(default=None, compare=False)

    def covers(self, protocol: str, port: int = 0) -> bool:
        """Whether it allows a protocol, by its number, at a port."""
        if self.protocol == "-1":
            return True
        return self.protocol == protocol and (protocol not in ("6", "17") or self.ports[0] <= port <= self.ports[1])


# Names that EC2 takes; all others go by their numbers.
_PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58", "all": "-1"}
_GROUP = "AWS::EC2::SecurityGroup"
# SourceSecurityGroupName is none: EC2 takes it in a default VPC only.
_PEERS = {
    False: ("SourceSecurityGroupId", "CidrIp", "CidrIpv6", "SourcePrefixListId"),
    True: ("DestinationSecurityGroupId", "CidrIp", "CidrIpv6", "DestinationPrefixListId"),
}
_IKE, _ESP = ("17", 500, "UDP 500 (IKE)"), ("50", 0, "protocol 50 (ESP)")


def target(value: Any) -> str:
    """The logical name that a value refers to, or the value."""
    found = references(value)
    return found[0] if found else str(value)


def rules_of(rendered: Rendered) -> List[Rule]:
    """All rules of all groups, wherever they are written."""
    made: List[Rule] = []
    for name, properties in rendered.of_type(_GROUP).items():
        for outward, key in ((False, "SecurityGroupIngress"), (True, "SecurityGroupEgress")):
            listed = properties.get(key) or ()
            made += [_rule(rendered, name, outward, entry, name) for entry in ([listed] if isinstance(listed, dict) else listed)]
        if not properties.get("SecurityGroupEgress"):
            # Such a group is given a rule for everything to everywhere.
            made.append(Rule(name, True, "-1", (0, 65535), "default", name))
    for outward, kind in ((False, "AWS::EC2::SecurityGroupIngress"), (True, "AWS::EC2::SecurityGroupEgress")):
        for name, properties in rendered.of_type(kind).items():
            group = id_of(rendered, properties.get("GroupId"), _GROUP) or ""
            made.append(_rule(rendered, group, outward, properties, name))
    return made


def _rule(rendered: Rendered, group: str, outward: bool, entry: Mapping[str, Any], named: str) -> Rule:
    protocol = str(entry.get("IpProtocol", "")).lower()
    found = [entry[key] for key in _PEERS[outward] if key in entry]
    value = found[0] if len(found) == 1 else None
    peer = _peer(rendered, value)
    low, high = int(entry.get("FromPort", 0)), int(entry.get("ToPort", 65535))
    ports = (0, 65535) if low < 0 else (low, high)
    return Rule(group, outward, _PROTOCOLS.get(protocol, protocol), ports, peer, named, value)


def _peer(rendered: Rendered, value: Any) -> str:
    """A group, a network or what is written out; empty for what can be no peer."""
    group = id_of(rendered, value, _GROUP) or attribute_of(rendered, value, "AWS::EC2::VPC", "CidrBlock")
    if group is not None or value is None:
        return group or ""
    if isinstance(value, str):
        return value if value.startswith(("sg-", "pl-")) or block_of(rendered, value) is not None else ""
    # A reference to something else of the template is a mistake; what comes from elsewhere is not known.
    return "" if references(value) and references(value)[0] in rendered.resources else str(value)


def output(rendered: Rendered, name: str) -> str:
    """The logical name that an output refers to; empty where there is no such output."""
    return target(rendered.outputs[name]["Value"]) if name in rendered.outputs else ""


def output_group(rendered: Rendered, name: str) -> Optional[str]:
    """The security group that an output is the id of."""
    return id_of(rendered, rendered.outputs[name].get("Value"), _GROUP) if name in rendered.outputs else None


def job_group(rendered: Rendered) -> Iterator[Finding]:
    """The group of the instances: all traffic to and from itself, and nothing comes in from elsewhere."""
    group = output_group(rendered, "SecurityGroupId")
    if group is not None:
        yield from _job_group(rendered, group)
        return
    remedy = "let it be that of the instances"
    yield Finding("job-group", "", "the output SecurityGroupId names no security group", remedy)
    # Which group would be given to a job is not known then: the best of them.
    taken = {
        target(value)
        for entry in rendered.of_type("AWS::EC2::VPCEndpoint").values()
        for value in entry.get("SecurityGroupIds") or ()
    }
    taken.add(output(rendered, "TrafficEncryptedSecurityGroupId"))
    tried: Dict[str, List[Finding]] = {}
    for name in rendered.of_type(_GROUP):
        if name not in taken:
            tried[name] = list(_job_group(rendered, name))
    yield from min(tried.values(), key=len, default=[])


def _job_group(rendered: Rendered, group: str) -> Iterator[Finding]:
    rules = [rule for rule in rules_of(rendered) if rule.group == group]
    for outward, way, name in ((False, "from", "ingress"), (True, "to", "egress")):
        if not any(rule.outward is outward and rule.protocol == "-1" and rule.peer == group for rule in rules):
            remedy = f"add a rule with IpProtocol -1 {way} {group} itself ({_EFA})"
            yield Finding(f"self-{name}", group, f"has no rule for all traffic {way} itself", remedy)
    yield from _both(rules, group)


def _both(rules: List[Rule], group: str) -> Iterator[Finding]:
    """What holds for both groups of instances."""
    for rule in rules:
        if not rule.outward and rule.peer != group:
            yield Finding("ingress-only-itself", rule.named, f"lets {rule.peer or 'someone'} in", "take it away")
        elif rule.outward and rule.protocol == "-1" and rule.peer not in (group, "default", *_ANYWHERE):
            yield Finding("egress-only-itself", rule.named, f"allows everything to {rule.peer or 'someone'}", "take it away")
    if not any(
        rule.outward and rule.covers("6", 443) and (rule.peer in ("0.0.0.0/0", "default") or _is_prefix(rule)) for rule in rules
    ):
        remedy = "allow TCP 443 to 0.0.0.0/0 or to S3's prefix list; routes decide what that is"
        yield Finding("https-egress", group, "cannot reach S3", remedy)


def _is_prefix(rule: Rule) -> bool:
    return isinstance(rule.value, str) and rule.value.startswith("pl-")


def encrypted_group(rendered: Rendered) -> Iterator[Finding]:
    """The group for encrypted traffic: IKE and ESP among its members, and nothing that is not encrypted."""
    group = output_group(rendered, "TrafficEncryptedSecurityGroupId")
    if group is None:
        what = "the output TrafficEncryptedSecurityGroupId names no security group"
        yield Finding("encrypted-group", "", what, "add the group, or do without encrypted traffic", "warning")
        return
    if group == output_group(rendered, "SecurityGroupId"):
        yield Finding("encrypted-group", group, "is the group for traffic in the clear, too", "make a group of its own")
        return
    rules = [rule for rule in rules_of(rendered) if rule.group == group]
    for outward, way in ((False, "from"), (True, "to")):
        own = [rule for rule in rules if rule.outward is outward and rule.peer == group]
        for protocol, port, said in (_IKE, _ESP):
            if not any(rule.covers(protocol, port) for rule in own):
                yield Finding("encrypted-traffic", group, f"does not allow {said} {way} itself", "add the rule")
        for rule in own:
            if rule.protocol != "50" and (rule.protocol, rule.ports) != ("17", (500, 500)):
                yield Finding(
                    "encrypted-only",
                    rule.named,
                    f"lets traffic pass {way} itself in the clear",
                    "allow UDP 500 and protocol 50",
                    "warning",
                )
    yield from _both(rules, group)


def open_groups(rendered: Rendered) -> Iterator[Finding]:
    """No group lets the whole world in, or out by every port; every rule belongs to a group and names one peer."""
    for rule in rules_of(rendered):
        if rule.peer in _ANYWHERE and not rule.outward:
            yield Finding("open-ingress", rule.named, f"lets {rule.peer} in", "name a group or the network's own addresses")
        elif rule.outward and (rule.peer == "default" or (rule.peer in _ANYWHERE and not _is_one_port(rule))):
            yield Finding(
                "open-egress", rule.named, "allows all traffic to everywhere", "name protocols, ports and peers", "warning"
            )
        if not rule.peer:
            yield Finding("rule-peer", rule.named, "names no peer, or several, or that of the other direction", "name one")
        if not rule.group and rendered.of_type(_GROUP):
            yield Finding("rule-peer", rule.named, "belongs to no group of the template", "let GroupId be the group's")
        if rule.ports[0] > rule.ports[1] or rule.protocol not in ("-1", *map(str, range(256))):
            yield Finding(
                "rule-ports",
                rule.named,
                f"has protocol {rule.protocol!r}, ports {rule.ports[0]} to {rule.ports[1]}",
                "correct it",
            )
    seen = [(rule.group, rule.outward, rule.protocol, rule.ports, rule.peer) for rule in rules_of(rendered)]
    for rule in rules_of(rendered):
        if rule.peer and seen.count((rule.group, rule.outward, rule.protocol, rule.ports, rule.peer)) > 1:
            yield Finding("rule-twice", rule.named, "stands twice, which EC2 refuses", "keep one of them")
    used = _given(rendered)
    for name, entry in rendered.of_type(_GROUP).items():
        if name not in used:
            yield Finding("unused-group", name, "is attached to nothing and named by no output", "take it away", "warning")
        if any("SourceSecurityGroupOwnerId" in rule for rule in entry.get("SecurityGroupIngress") or ()):
            yield Finding("rule-peer", name, "names a group of another account", "name a group of this network")
    for name, entry in rendered.of_type("AWS::EC2::SecurityGroupIngress").items():
        if entry.get("SourceSecurityGroupOwnerId", rendered.setting.account) != rendered.setting.account:
            yield Finding("rule-peer", name, "names a group of another account", "name a group of this network")


def _given(rendered: Rendered) -> Set[str]:
    """Groups that something other than a rule refers to."""
    others = [entry for entry in rendered.resources.values() if not str(entry.get("Type")).startswith(f"{_GROUP}")]
    return {name for entry in [*others, *rendered.outputs.values()] for name in references(entry)}


def _is_one_port(rule: Rule) -> bool:
    return rule.protocol == "6" and rule.ports[0] == rule.ports[1]
