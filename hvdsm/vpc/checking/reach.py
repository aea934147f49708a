"""Which addresses and ports rules leave open: sets of (addresses, ports), from which rules take parts away."""

from __future__ import annotations

import ipaddress
from typing import Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from hvdsm.vpc.checking.facts import AclEntry, Block
from hvdsm.vpc.templates.groups import Rule

# Addresses, first port, last port.
Piece = Tuple[Block, int, int]
TCP, UDP, ESP = "6", "17", "50"
EVERYWHERE = ipaddress.ip_network("0.0.0.0/0")
ALL_PORTS = (0, 65535)


def block(text: str) -> Optional[Block]:
    """A block of addresses; None for anything else, such as the id of a group."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def blocks(texts: Iterable[str]) -> List[Block]:
    """The blocks among some texts."""
    return [found for found in map(block, texts) if found is not None]


def split(pieces: Sequence[Piece], other: Block, ports: Tuple[int, int]) -> Tuple[List[Piece], List[Piece]]:
    """What of some pieces lies within other addresses and ports, and what does not."""
    inside: List[Piece] = []
    outside: List[Piece] = []
    for own, low, high in pieces:
        if own.version != other.version or not own.overlaps(other) or high < ports[0] or low > ports[1]:
            outside.append((own, low, high))
            continue
        # Of two blocks that overlap one is within the other.
        common = own if own.prefixlen >= other.prefixlen else other
        if common != own:
            outside += [(rest, low, high) for rest in own.address_exclude(other)]  # type: ignore[arg-type]
        if low < ports[0]:
            outside.append((common, low, ports[0] - 1))
        if high > ports[1]:
            outside.append((common, ports[1] + 1, high))
        inside.append((common, max(low, ports[0]), min(high, ports[1])))
    return inside, outside


def not_allowed(
    rules: Iterable[Rule],
    outward: bool,
    protocol: str,
    pieces: Sequence[Piece],
    *,
    members: Iterable[str] = (),
    lists: Mapping[str, Sequence[str]],
    whole_lists: Iterable[str] = (),
) -> List[Piece]:
    """What security groups do not let through.

    Args:
        rules: the rules of all groups that an instance has: what one of them allows is allowed.
        outward: the direction.
        protocol: number of the protocol.
        pieces: where the others are, and their ports; for outgoing traffic the ports there, else the ports here.
        members: groups that all of the others are in.
        lists: addresses of prefix lists by their ids.
        whole_lists: prefix lists that have all of the others, whatever is known of their addresses.
    """
    named: Set[str] = {*members, *whole_lists}
    left = list(pieces)
    for rule in rules:
        if rule.outward is not outward or rule.protocol not in ("-1", protocol):
            continue
        ports = rule.ports if rule.protocol in (TCP, UDP) else ALL_PORTS
        if rule.peer in named:
            left = [piece for own in left for piece in split([own], own[0], ports)[1]]
        else:
            for peer in blocks(lists.get(rule.peer, (rule.peer,))):
                left = split(left, peer, ports)[1]
    return left


def refused(entries: Iterable[AclEntry], outward: bool, protocol: str, pieces: Sequence[Piece]) -> List[Piece]:
    """What a network ACL refuses: its first line that matches decides, and what no line matches is refused."""
    left, found = list(pieces), []
    for entry in entries:
        there = block(entry.cidr)
        if entry.outward is not outward or entry.protocol not in ("-1", protocol) or there is None:
            continue
        ports = entry.ports if entry.protocol in (TCP, UDP) else ALL_PORTS
        inside, left = split(left, there, ports)
        if not entry.allow:
            found += inside
    return [*found, *left]


def ports_text(pieces: Iterable[Piece]) -> str:
    """The ports of some pieces, those that meet joined.

    >>> ports_text([(EVERYWHERE, 0, 21), (EVERYWHERE, 22, 80), (EVERYWHERE, 443, 443)])
    '0-80, 443'
    """
    spans: List[List[int]] = []
    for low, high in sorted((low, high) for _, low, high in pieces):
        if spans and low <= spans[-1][1] + 1:
            spans[-1][1] = max(spans[-1][1], high)
        else:
            spans.append([low, high])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
