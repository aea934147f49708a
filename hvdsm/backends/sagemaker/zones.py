"""The subnet of several that a job runs in, and where it goes next when there is no capacity; pure.

One job runs in one subnet: traffic by EFA does not cross availability zones, and that by TCP takes longer between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from hvdsm.compose.limits import MAX_NAME
from hvdsm.errors import ConfigError

# The end of a job's name, which is kept when the name must be cut: it has the time that makes names differ.
_KEPT = 24


@dataclass(frozen=True)
class Place:
    """A subnet that a job may run in.

    Attributes:
        subnet: its id.
        zone: name of its availability zone; empty where it is not known.
        zone_id: id of the zone, which is the same in all accounts; empty where it is not known.
        wrong: what keeps the job from running there.
    """

    subnet: str
    zone: str = ""
    zone_id: str = ""
    wrong: Tuple[str, ...] = ()

    def __str__(self) -> str:
        """With its zone, if that is known."""
        return f"{self.subnet} in {self.zone}" if self.zone else self.subnet

    @property
    def short(self) -> str:
        """The zone, or else the subnet."""
        return self.zone or self.subnet

    def as_json(self) -> Dict[str, str]:
        """For machines."""
        return {"subnet": self.subnet, **({"zone": self.zone} if self.zone else {})}


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        place: where the job goes.
        further: where it goes next when there is no capacity, one place in each other zone.
        passed: what stands before it in the list, and cannot be used.
        forced: whether the zone was asked for.
    """

    place: Place
    further: Tuple[Place, ...] = ()
    passed: Tuple[Place, ...] = ()
    forced: bool = False

    def __str__(self) -> str:
        """One line: which subnet, why, and what comes next."""
        reasons = list(dict.fromkeys(place.wrong[0] for place in self.passed if place.wrong))
        why = f", since {'; '.join(reasons)}" if reasons else ", as --zone says" if self.forced else ""
        following = ", ".join(str(place) for place in self.further)
        more = f"; when there is no capacity, and the job is waited for, next in {following}" if following else ""
        return f"the job runs in {self.place}{why}{more}"


@dataclass(frozen=True)
class Attempt:
    """A job that was submitted, or refused, and where."""

    job_name: str
    place: Place

    def as_json(self) -> Dict[str, str]:
        """For ``job.json``."""
        return {"job_name": self.job_name, **self.place.as_json()}


def choose(places: Sequence[Place], zone: Optional[str] = None) -> Optional[Choice]:
    """The first place where nothing is wrong.

    Args:
        places: subnets, the preferred one first.
        zone: name or id of the availability zone that it must be in.

    Returns:
        The choice; None when something is wrong with every place.

    Raises:
        ConfigError: no place is in the zone.
    """
    wanted = in_zone(places, zone) if zone is not None else places
    good = next((place for place in wanted if not place.wrong), None)
    if good is None:
        return None
    passed = tuple(wanted[: wanted.index(good)])
    return Choice(good, () if zone is not None else _further(places, good), passed, forced=zone is not None)


def _further(places: Iterable[Place], first: Place) -> Tuple[Place, ...]:
    """Places to turn to: lack of capacity concerns a zone, so that a second subnet of one is of no use."""
    seen = {first.short}
    found: List[Place] = []
    for place in places:
        if not place.wrong and place.short not in seen:
            seen.add(place.short)
            found.append(place)
    return tuple(found)


def in_zone(places: Sequence[Place], zone: str) -> Sequence[Place]:
    """The places of a zone.

    Raises:
        ConfigError: there are none.
    """
    found = [place for place in places if zone and zone in (place.zone, place.zone_id)]
    if found:
        return found
    known = [f"{place.zone} ({place.zone_id})" if place.zone_id else place.zone for place in places if place.zone]
    if not known:
        names = ", ".join(place.subnet for place in places)
        raise ConfigError(
            f"it is not known which zones the subnets are in: {names}",
            where=f"--zone {zone}",
            remedy="allow ec2:DescribeSubnets, or name one of them: --subnet and --security-group",
        )
    raise ConfigError(
        f"no subnet is there; they are in {', '.join(dict.fromkeys(known))}",
        where=f"--zone {zone}",
        remedy=f"--zone {known[0].split(' ')[0]}, or leave it out",
    )


def name_of(name: str, number: int) -> str:
    """A job's name with a number behind it, at most as long as the service allows: what is too much is cut from the middle.

    >>> name_of("train-2026-01-01-00-00-00-000", 2)
    'train-2026-01-01-00-00-00-000-2'
    """
    suffix = f"-{number}"
    over = len(name) + len(suffix) - MAX_NAME
    if over <= 0:
        return name + suffix
    head, tail = name[: len(name) - _KEPT], name[len(name) - _KEPT :]
    return "-".join(part.strip("-") for part in (head[: -over - 1], tail)) + suffix


def next_name(name: str, is_taken: Callable[[str], bool], number: int = 2) -> str:
    """The first name with a number behind it that is not taken."""
    while is_taken(name_of(name, number)):
        number += 1
    return name_of(name, number)


def where_tried(attempts: Sequence[Attempt]) -> str:
    """Zones and names of attempts, as a sentence has them."""
    return ", ".join(f"{attempt.place.short} ({attempt.job_name})" for attempt in attempts)
