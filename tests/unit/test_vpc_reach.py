"""Sets of addresses and ports come out as counting them one by one says."""

from __future__ import annotations

import ipaddress
from typing import List, Set, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvdsm.vpc.checking.facts import AclEntry
from hvdsm.vpc.checking.reach import ESP, TCP, UDP, Piece, block, not_allowed, ports_text, refused, split
from hvdsm.vpc.templates.groups import Rule

WHOLE = ipaddress.ip_network("10.0.0.0/28")
Point = Tuple[int, int]


def points(pieces: List[Piece]) -> Set[Point]:
    """Each address with each port."""
    found = [(int(address), port) for own, low, high in pieces for address in own for port in range(low, high + 1)]
    assert len(found) == len(set(found)), "pieces overlap"
    return set(found)


@st.composite
def cidrs(draw: st.DrawFn) -> str:
    """A block within a small network, or a larger one around it."""
    length = draw(st.sampled_from([0, 24, 28, 29, 30, 31, 32]))
    address = int(WHOLE.network_address) + draw(st.integers(0, 15))
    return str(ipaddress.ip_network((address, length), strict=False))


spans = st.tuples(st.integers(0, 7), st.integers(0, 7)).map(lambda pair: (min(pair), max(pair)))


def within(cidr: str, ports: Tuple[int, int]) -> Set[Point]:
    """The points of the small network that lie in a block and a span."""
    there = ipaddress.ip_network(cidr)
    return {(int(address), port) for address in WHOLE if address in there for port in range(ports[0], min(ports[1], 7) + 1)}


@settings(deadline=None)
@given(st.lists(st.tuples(cidrs(), spans), max_size=6))
def test_what_is_split_off(parts: List[Tuple[str, Tuple[int, int]]]) -> None:
    left: List[Piece] = [(WHOLE, 0, 7)]
    expected = points(left)
    for cidr, ports in parts:
        inside, left = split(left, ipaddress.ip_network(cidr), ports)
        assert points(inside) == expected & within(cidr, ports)
        expected -= within(cidr, ports)
        assert points(left) == expected


lines = st.builds(AclEntry, st.integers(1, 9), st.booleans(), st.booleans(), st.sampled_from(["-1", TCP, UDP]), spans, cidrs())


@settings(deadline=None)
@given(st.lists(lines, max_size=6), st.booleans())
def test_the_first_line_that_matches_decides(found: List[AclEntry], outward: bool) -> None:
    expected = set()
    for point in points([(WHOLE, 0, 7)]):
        for entry in found:
            ports = entry.ports if entry.protocol == TCP else (0, 65535)
            if entry.outward is outward and entry.protocol in ("-1", TCP) and point in within(entry.cidr, ports):
                if not entry.allow:
                    expected.add(point)
                break
        else:
            expected.add(point)
    assert points(refused(found, outward, TCP, [(WHOLE, 0, 7)])) == expected


rules = st.builds(Rule, st.just("sg-1"), st.booleans(), st.sampled_from(["-1", TCP, UDP, ESP]), spans, cidrs(), st.just(""))


@settings(deadline=None)
@given(st.lists(rules, max_size=6))
def test_what_one_rule_allows_is_allowed(found: List[Rule]) -> None:
    expected = points([(WHOLE, 0, 7)])
    for one in found:
        if one.outward and one.protocol in ("-1", TCP):
            expected -= within(one.peer, one.ports if one.protocol == TCP else (0, 65535))
    assert points(not_allowed(found, True, TCP, [(WHOLE, 0, 7)], lists={})) == expected


EVERY = (0, 65535)


@pytest.mark.parametrize(
    ("peer", "ports", "left"),
    [("sg-1", EVERY, ""), ("sg-2", EVERY, "0-7"), ("pl-1", EVERY, "0-7"), ("pl-2", EVERY, ""), ("sg-1", (2, 5), "0-1, 6-7")],
)
def test_members_and_prefix_lists(peer: str, ports: Tuple[int, int], left: str) -> None:
    found = [Rule("sg-1", False, TCP, ports, peer, "")]
    lists = {"pl-1": ("10.0.0.0/29", "not a block"), "pl-2": ("10.0.0.0/29", "10.0.0.8/29")}
    assert ports_text(not_allowed(found, False, TCP, [(WHOLE, 0, 7)], members=["sg-1"], lists=lists)) == left


def test_other_addresses_do_not_meet() -> None:
    inside, outside = split([(WHOLE, 0, 7)], ipaddress.ip_network("::/0"), (0, 65535))
    assert (inside, outside) == ([], [(WHOLE, 0, 7)])
    assert block("sg-1") is None
