"""Availability Zones for the subnets of a network.

Source: Amazon EC2 User Guide, "Regions and Zones": a zone's name means another place in another account, its id does not; Local
Zones and Wavelength Zones have no training instances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import AbstractSet, List, Optional, Sequence, Tuple

from hvdsm.aws.failures import AwsRefused, is_denied, translated
from hvdsm.aws.session import Aws
from hvdsm.errors import ConfigError


@dataclass(frozen=True)
class Zone:
    """An Availability Zone: its name in this account, and its id."""

    name: str
    id: str = ""


def list_zones(aws: Aws) -> Tuple[Zone, ...]:
    """The region's Availability Zones that can be used, by their names.

    Raises:
        CloudUnavailable: AWS cannot be used.
        CloudRefused: AWS refuses the request; a permission is missing.
    """
    filters = [{"Name": "zone-type", "Values": ["availability-zone"]}, {"Name": "state", "Values": ["available"]}]
    with translated("list the Availability Zones", aws.region):
        found = aws.client("ec2").describe_availability_zones(Filters=filters).get("AvailabilityZones") or []
    # A service that does not know the filter answers Local Zones, too.
    usual = [entry for entry in found if entry.get("ZoneType", "availability-zone") == "availability-zone"]
    zones = (Zone(str(entry["ZoneName"]), str(entry.get("ZoneId") or "")) for entry in usual)
    return tuple(sorted(zones, key=lambda zone: zone.name))


def zones_if_allowed(aws: Aws, notes: List[str]) -> Optional[Tuple[Zone, ...]]:
    """The zones, or None where EC2 does not list them, which is noted: CloudFormation will say what it lacks."""
    try:
        return list_zones(aws) or None
    except AwsRefused as error:
        why = "it needs the permission ec2:DescribeAvailabilityZones" if is_denied(error) else error.what
        notes.append(f"not checked: whether the zones are there; {why}")
        return None


def choose_zones(
    values: Sequence[str],
    *,
    named: Sequence[bool],
    live: int,
    zones: Optional[Sequence[Zone]],
    offering: Optional[AbstractSet[str]],
    instance_type: Optional[str],
    region: str,
    notes: List[str],
) -> List[str]:
    """The zone of each subnet; empty for the region's own order.

    Args:
        values: for each subnet the name or id of a zone, empty where none is named.
        named: which of them are asked for now.
        live: how many subnets there are already; theirs stay as they are.
        zones: of the region; None where they are not known.
        offering: zones that offer the instance type; None where that is not asked for or not known.
        instance_type: the type.
        region: for messages.
        notes: gets what was decided, in words.

    Raises:
        ConfigError: a zone is not there or named twice, the region has too few, or none offers the type.
    """
    found = [_name_of(value, zones, region) if is_named else value for value, is_named in zip(values, named)]
    given = [name for name in found if name]
    for name in given:
        if given.count(name) > 1:
            raise ConfigError(f"{name} is named twice", where="--zone", remedy="give each subnet a zone of its own")
    if zones is None:
        return found
    order = [zone.name for zone in zones]
    if len(values) > len(order):
        few = f"the region has {len(order)} Availability Zones: {', '.join(order)}"
        raise ConfigError(few, where=f"--zones {len(values)} in {region}", remedy=f"--zones {len(order)}")
    if offering is not None:
        _check_offering(found, order, offering, instance_type, region, notes)
    for n, name in enumerate(found):
        # By the region's order it is in this one.
        implied = name or order[n]
        others = [other or order[m] for m, other in enumerate(found) if m != n and (other or m < n or m < live)]
        if name or n < live:
            if implied in others:
                what = f"{implied} would have two subnets: one is there by the region's order"
                raise ConfigError(what, where="--zone", remedy=f"name all {len(found)} zones: --zone …")
            continue
        offers = offering is None or implied in offering
        if implied in others or not offers:
            free = [other for other in order if other not in others and (offering is None or other in offering)]
            if not free and offering is not None:
                free = [other for other in order if other not in others]
                notes.append(f"warning: fewer than {len(found)} zones offer {instance_type}: {', '.join(sorted(offering))}")
            found[n] = free[0]
            notes.append(f"subnet {n + 1} is in {free[0]}")
    return found


def _name_of(value: str, zones: Optional[Sequence[Zone]], region: str) -> str:
    if zones is None:
        return value
    for zone in zones:
        if value in (zone.name, zone.id):
            return zone.name
    listed = ", ".join(f"{zone.name} ({zone.id})" if zone.id else zone.name for zone in zones)
    raise ConfigError(f"{region} has no Availability Zone {value}", where="--zone", remedy=f"one of {listed}")


def _check_offering(
    found: Sequence[str],
    order: Sequence[str],
    offering: AbstractSet[str],
    instance_type: Optional[str],
    region: str,
    notes: List[str],
) -> None:
    if not offering & set(order):
        raise ConfigError(
            f"no zone of {region} offers {instance_type}", where="--instance-type", remedy="another --region, or another type"
        )
    for name in found:
        if name and name not in offering:
            there = ", ".join(sorted(offering))
            notes.append(f"warning: {name} does not offer {instance_type}; {there} {'does' if len(offering) == 1 else 'do'}")
