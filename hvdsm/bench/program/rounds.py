"""Which pairs are measured, and which of them at the same time."""

from __future__ import annotations

from typing import List, Tuple

ALL, RING, FIRST = "all", "ring", "first"
KINDS = (ALL, RING, FIRST)
Pair = Tuple[int, int]


def rounds(count: int, kind: str = ALL, *, together: bool = False) -> List[List[Pair]]:
    """Pairs of hosts (from 0, the lower number first), round after round; the pairs of a round are measured at the same time.

    Args:
        count: number of hosts.
        kind: ``all`` pairs; a ``ring``, each host with the next one; or the ``first`` host with each other one.
        together: whether pairs that have no host in common are measured at the same time, as in a tournament where everyone
            plays in each round; otherwise one after the other.
    """
    if kind == ALL:
        found = tournament(count)
    elif kind == RING:
        ends = [(host, (host + 1) % count) for host in range(count)]
        found = apart(sorted({(min(a, b), max(a, b)) for a, b in ends if a != b}))
    else:
        found = [[(0, host)] for host in range(1, count)]
    if together:
        return found
    return [[pair] for pair in sorted(pair for part in found for pair in part)]


def apart(pairs: List[Pair]) -> List[List[Pair]]:
    """The pairs in groups, each in the first one that has none of its hosts."""
    groups: List[List[Pair]] = []
    for pair in pairs:
        for group in groups:
            if not any(host in other for other in group for host in pair):
                group.append(pair)
                break
        else:
            groups.append([pair])
    return groups


def tournament(count: int) -> List[List[Pair]]:
    """All pairs in as few rounds as there can be: the circle method, in which one host stays and the others go around."""
    hosts = list(range(count)) + ([-1] if count % 2 else [])
    found = []
    for _ in range(len(hosts) - 1):
        half = len(hosts) // 2
        facing = zip(hosts[:half], reversed(hosts[half:]))
        found.append(sorted((min(a, b), max(a, b)) for a, b in facing if -1 not in (a, b)))
        hosts = [hosts[0], hosts[-1], *hosts[1:-1]]
    return [part for part in found if part]
