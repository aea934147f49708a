"""Network ACLs of a rendered template: whether they let the traffic of a job pass.

A subnet without an ACL of its own has the network's default one, which lets everything pass.
Source of the rules: Amazon VPC User Guide, network ACLs: the entry with the lowest number that matches decides, else nothing
passes; they keep no state, so that answers need an entry of their own.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Iterator, List, Mapping, Optional, Tuple

from hvdsm.vpc.templates.groups import Finding
from hvdsm.vpc.templates.naming import Block, block_of, id_of
from hvdsm.vpc.templates.rendering import Rendered

# One of the addresses of S3, to stand for it: with a gateway endpoint, too, packets go to S3's public addresses.
_S3 = "52.216.0.1"
_TCP = 6
# Ports that answers come back to: those that Linux takes for its own end.
_ANSWERS = (32768, 60999)


def network_acls(rendered: Rendered) -> Iterator[Finding]:
    """Each subnet with an ACL of the template: HTTPS to S3 and back, and TCP from and to the other subnets."""
    subnets = rendered.of_type("AWS::EC2::Subnet")
    for entry in rendered.of_type("AWS::EC2::SubnetNetworkAclAssociation").values():
        acl = id_of(rendered, entry.get("NetworkAclId"), "AWS::EC2::NetworkAcl")
        subnet = id_of(rendered, entry.get("SubnetId"), "AWS::EC2::Subnet")
        if acl is None or subnet is None:
            continue
        block = block_of(rendered, subnets[subnet].get("CidrBlock"))
        for outward, way in ((False, "into"), (True, "out of")):
            rows = _entries(rendered, acl, outward)
            ports = (443, 443) if outward else _ANSWERS
            if not _passes(rows, _TCP, ports, _S3):
                what = f"does not let TCP {ports[0]} to {ports[1]} {way} {subnet}, which S3 needs"
                yield Finding("network-acl", acl, what, "allow it for 0.0.0.0/0: ACLs keep no state")
            for other, properties in subnets.items():
                there = block_of(rendered, properties.get("CidrBlock"))
                if other != subnet and there is not None and not _all_pass(rows, there):
                    end = "to" if outward else "from"
                    what = f"does not let TCP {end} {other} {way} {subnet}, which a job with hosts in both needs"
                    yield Finding("network-acl", acl, what, f"allow TCP for {there}, in both directions, with a low number")
            if len(subnets) == 1 and block is not None and not _all_pass(rows, block):
                what = f"refuses traffic {way} {subnet} with the subnet's own addresses; within the subnet that does not matter"
                yield Finding("network-acl", acl, what, "mind it before a job gets a second subnet", "note")


def _all_pass(rows: List[Mapping[str, Any]], block: Block) -> bool:
    """Whether TCP passes at all ports, for the first and the last address of a block."""
    return all(_passes(rows, _TCP, (0, 65535), str(address)) for address in (block[0], block[-1]))


def _entries(rendered: Rendered, acl: str, outward: bool) -> List[Mapping[str, Any]]:
    found = [
        entry
        for entry in rendered.of_type("AWS::EC2::NetworkAclEntry").values()
        if id_of(rendered, entry.get("NetworkAclId"), "AWS::EC2::NetworkAcl") == acl
        and (str(entry.get("Egress", False)).lower() == "true") is outward
    ]
    return sorted(found, key=lambda entry: int(entry.get("RuleNumber", 32767)))


def _passes(entries: List[Mapping[str, Any]], protocol: int, ports: Tuple[int, int], address: str) -> bool:
    """Whether all of some ports pass: the first entry that touches any of them must allow, until all are allowed."""
    allowed: List[Tuple[int, int]] = []
    for entry in entries:
        touched = _touched(entry, protocol, ports, address)
        if touched is None:
            continue
        if str(entry.get("RuleAction")).lower() != "allow":
            return _covers(allowed, touched) and _covers(allowed, ports)
        allowed.append(touched)
        if _covers(allowed, ports):
            return True
    return False


def _touched(entry: Mapping[str, Any], protocol: int, ports: Tuple[int, int], address: str) -> Optional[Tuple[int, int]]:
    try:
        if ipaddress.ip_address(address) not in ipaddress.ip_network(str(entry.get("CidrBlock", "::/128"))):
            return None
    except ValueError:
        return None
    if str(entry.get("Protocol")) not in ("-1", str(protocol)):
        return None
    limits = entry.get("PortRange") if str(entry.get("Protocol")) != "-1" else None
    low, high = (int(limits["From"]), int(limits["To"])) if limits else (0, 65535)
    low, high = max(low, ports[0]), min(high, ports[1])
    return (low, high) if low <= high else None


def _covers(parts: List[Tuple[int, int]], ports: Tuple[int, int]) -> bool:
    reached = ports[0] - 1
    for low, high in sorted(parts):
        if low <= reached + 1:
            reached = max(reached, high)
    return reached >= ports[1]
