"""The parameters of a network's stack from what is asked for, checked before anything is sent.

Source: AWS CloudFormation API Reference, CreateChangeSet (UsePreviousValue).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.aws.session import partition
from hvdsm.errors import ConfigError, UsageError
from hvdsm.vpc.stacks.addresses import choose_blocks
from hvdsm.vpc.stacks.zone_choice import Zone, choose_zones
from hvdsm.vpc.templates.reading import values_of

COUNT, CIDR, ENDPOINTS = "AvailabilityZoneCount", "VpcCidrBlock", "InterfaceEndpoints"
BUCKETS, FLOW_LOGS, FLOW_LOG_DAYS = "ReadOnlyBucketArns", "FlowLogs", "FlowLogRetentionDays"
ZONE, SUBNET = "AvailabilityZone", "SubnetCidrBlock"
MOST_ZONES = 3
# What DescribeStacks shows instead of a secret.
HIDDEN = "****"
# Option of each parameter, for messages.
_OPTIONS = {
    COUNT: "--zones", CIDR: "--cidr", ENDPOINTS: "--endpoints", BUCKETS: "--read-only-bucket", FLOW_LOGS: "--flow-logs",
    FLOW_LOG_DAYS: "--flow-log-days", **{f"{ZONE}{n}": "--zone" for n in (1, 2, 3)},
    **{f"{SUBNET}{n}": "--subnet-cidr" for n in (1, 2, 3)},
}  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What is asked of a network; None leaves the stack's value as it is, or takes the template's default.

    Attributes:
        zones: how many Availability Zones, 1 to 3.
        zone_names: names or ids of zones, in order.
        cidr: addresses of the network.
        subnet_cidrs: addresses of the subnets, in order.
        endpoints: interface endpoints: ``none``, ``core`` or ``full``.
        read_only_buckets: buckets of other accounts that may be read: names, S3 addresses or ARNs.
        flow_logs: whether refused traffic is recorded.
        flow_log_days: days that the record is kept.
        parameters: parameters of the template by their names.
        instance_type: type of the jobs' instances; their zones are chosen by it.
        instance_count: instances that a job will have; the subnets must have addresses for them.
    """

    zones: Optional[int] = None
    zone_names: Tuple[str, ...] = ()
    cidr: Optional[str] = None
    subnet_cidrs: Tuple[str, ...] = ()
    endpoints: Optional[str] = None
    read_only_buckets: Tuple[str, ...] = ()
    flow_logs: Optional[bool] = None
    flow_log_days: Optional[int] = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    instance_type: Optional[str] = None
    instance_count: Optional[int] = None


@dataclass(frozen=True)
class Chosen:
    """Values of a stack's parameters.

    Attributes:
        given: those that are sent.
        kept: those that an existing stack keeps.
        effective: the value of every parameter, as far as it can be known.
        notes: what was decided, in words.
    """

    given: Dict[str, str]
    kept: Dict[str, str]
    effective: Dict[str, str]
    notes: Tuple[str, ...] = ()

    def for_request(self) -> List[Dict[str, Any]]:
        """Parameters as a request has them."""
        sent: List[Dict[str, Any]] = [{"ParameterKey": name, "ParameterValue": value} for name, value in self.given.items()]
        return sent + [{"ParameterKey": name, "UsePreviousValue": True} for name in self.kept]


@dataclass(frozen=True)
class Place:
    """What is known of the region.

    Attributes:
        region: its name.
        zones: its Availability Zones; None where they could not be listed.
        offering: names of the zones that offer the wanted instance type; None where that is not known.
        per_instance: addresses that an instance of the wanted type takes.
    """

    region: str
    zones: Optional[Tuple[Zone, ...]] = None
    offering: Optional[frozenset[str]] = None
    per_instance: int = 5


def choose(wish: Wish, declared: Mapping[str, Mapping[str, Any]], previous: Optional[Mapping[str, str]], place: Place) -> Chosen:
    """The values of a stack's parameters.

    Args:
        wish: what is asked for.
        declared: the template's parameters.
        previous: values of the stack as it is; None where it is made anew.
        place: the region.

    Raises:
        UsageError: something is asked for twice.
        ConfigError: the template has no such parameter, or a value is refused: its pattern, zones that are not there or the same,
            addresses that overlap, lie outside or are too few.
    """
    given = _given(wish, place.region)
    for name in given:
        if name not in declared:
            has = ", ".join(sorted(declared)) or "none"
            what = f"the template has no parameter {name}"
            raise ConfigError(what, where=_option_of(name, wish), remedy=f"leave it out; its parameters: {has}")
    known = {name: value for name, value in (previous or {}).items() if name in declared}
    notes: List[str] = []
    effective = _effective(declared, known, given)
    values_of(_checkable(declared, effective), effective)
    if COUNT in declared and wish.zone_names:
        given[COUNT] = str(max(len(wish.zone_names), int(effective[COUNT])))
        effective = _effective(declared, known, given)
    live = int(known.get(COUNT, "0")) if previous is not None and COUNT in declared else 0
    if COUNT in declared:
        given.update(_zones(wish, effective, live, place, notes))
        effective = _effective(declared, known, given)
    if CIDR in declared and f"{SUBNET}1" in declared:
        slots = [name for name in (f"{SUBNET}{n}" for n in range(1, MOST_ZONES + 1)) if name in declared]
        used = int(effective.get(COUNT, str(len(slots))))
        blocks = choose_blocks(
            effective[CIDR],
            [effective[name] for name in slots],
            used=used,
            fixed=[name in given or (n < live and wish.cidr is None) for n, name in enumerate(slots)],
            needed=_needed(wish, effective, place),
            notes=notes,
        )
        given.update({name: block for name, block in zip(slots, blocks) if block != effective[name]})
        effective = _effective(declared, known, given)
    values_of(_checkable(declared, effective, zones=True), effective)
    kept = {name: value for name, value in known.items() if name not in given}
    return Chosen(given, kept, effective, tuple(notes))


def _given(wish: Wish, region: str) -> Dict[str, str]:
    if len(wish.zone_names) > MOST_ZONES or len(wish.subnet_cidrs) > MOST_ZONES:
        option = "--zone" if len(wish.zone_names) > MOST_ZONES else "--subnet-cidr"
        raise UsageError(f"there are at most {MOST_ZONES} zones, with a subnet each", where=option, remedy="leave some out")
    if wish.zones is not None and len(wish.zone_names) > wish.zones:
        raise UsageError(
            f"{len(wish.zone_names)} zones are named for --zones {wish.zones}", where="--zone", remedy="leave --zones out"
        )
    found: Dict[str, str] = {}
    if wish.zones is not None:
        found[COUNT] = str(wish.zones)
    # A zone's id is replaced by its name later.
    found.update({f"{ZONE}{n}": name for n, name in enumerate(wish.zone_names, 1)})
    found.update({f"{SUBNET}{n}": block for n, block in enumerate(wish.subnet_cidrs, 1)})
    if wish.cidr is not None:
        found[CIDR] = wish.cidr
    if wish.endpoints is not None:
        found[ENDPOINTS] = wish.endpoints
    if wish.read_only_buckets:
        found[BUCKETS] = ",".join(bucket_arn(name, region) for name in wish.read_only_buckets if name)
    if wish.flow_logs is not None:
        found[FLOW_LOGS] = "true" if wish.flow_logs else "false"
    if wish.flow_log_days is not None:
        found[FLOW_LOG_DAYS] = str(wish.flow_log_days)
    for name, value in wish.parameters.items():
        if name in found and found[name] != value:
            raise UsageError(f"{name} is given by {_OPTIONS[name]}, too", where="--parameter", remedy="leave one of them out")
        found[name] = value
    return found


def bucket_arn(name: str, region: str) -> str:
    """The ARN of a bucket.

    >>> bucket_arn("s3://open-data/", "us-east-1")
    'arn:aws:s3:::open-data'
    """
    if name.startswith("arn:"):
        return name.rstrip("/")
    bucket = name[len("s3://") :] if name.startswith("s3://") else name
    bucket = bucket.rstrip("/")
    if not bucket or "/" in bucket or "," in bucket or "*" in bucket:
        raise ConfigError(f"{name!r} is no bucket", where="--read-only-bucket", remedy="name a bucket, or its ARN")
    return f"arn:{partition(region)}:s3:::{bucket}"


def _option_of(name: str, wish: Wish) -> str:
    return "--parameter" if name in wish.parameters or name not in _OPTIONS else _OPTIONS[name]


def _effective(declared: Mapping[str, Mapping[str, Any]], known: Mapping[str, str], given: Mapping[str, str]) -> Dict[str, str]:
    default = {name: str(about["Default"]) for name, about in declared.items() if "Default" in about}
    return {**default, **known, **given}


def _checkable(declared: Mapping[str, Mapping[str, Any]], effective: Mapping[str, str], *, zones: bool = False) -> Dict[str, Any]:
    """The declarations, without the rules for values that are hidden, and for zones' ids, which are looked up later."""
    made: Dict[str, Any] = {}
    for name, about in declared.items():
        is_zone = name.startswith(ZONE) and name != COUNT
        free = effective.get(name) == HIDDEN or (is_zone and not zones)
        made[name] = {key: about[key] for key in ("Type", "Default") if key in about} if free else about
    return made


def _zones(wish: Wish, effective: Mapping[str, str], live: int, place: Place, notes: List[str]) -> Dict[str, str]:
    count = int(effective[COUNT])
    slots = [f"{ZONE}{n}" for n in range(1, count + 1) if f"{ZONE}{n}" in effective]
    chosen = choose_zones(
        [effective[name] for name in slots],
        named=[bool(effective[name]) and (n < len(wish.zone_names) or name in wish.parameters) for n, name in enumerate(slots)],
        live=live,
        zones=place.zones,
        offering=place.offering,
        instance_type=wish.instance_type,
        region=place.region,
        notes=notes,
    )
    return {name: zone for name, zone in zip(slots, chosen) if zone != effective[name]}


def _needed(wish: Wish, effective: Mapping[str, str], place: Place) -> Tuple[int, str]:
    """Addresses that a subnet must have, and what for."""
    if wish.instance_count is None:
        return 0, ""
    endpoints = {"core": 4, "full": 8}.get(effective.get(ENDPOINTS, "none"), 0)
    jobs = wish.instance_count * place.per_instance
    words = f"{wish.instance_count} instances with {place.per_instance} addresses each"
    return jobs + endpoints, words + (f", and {endpoints} interface endpoints" if endpoints else "")


def said_kept(chosen: Chosen, declared: Mapping[str, Mapping[str, Any]]) -> Optional[str]:
    """What an update keeps although the template's default is another; None where there is nothing of the kind."""
    differ = [
        f"{name}={value}" for name, value in chosen.kept.items() if value != str(declared.get(name, {}).get("Default", value))
    ]
    return f"kept as the stack has them: {', '.join(differ)}" if differ else None


def names(words: Sequence[str], option: str) -> Dict[str, str]:
    """Words ``NAME=VALUE`` by their names.

    Raises:
        UsageError: a word is none, or a name is given twice.
    """
    found: Dict[str, str] = {}
    for word in words:
        name, equal, value = word.partition("=")
        if not name or not equal:
            raise UsageError(f"{word!r} is no NAME=VALUE", where=option, remedy=f"{option} NAME=VALUE")
        if found.get(name, value) != value:
            raise UsageError(f"{name} is given twice", where=option, remedy="leave one of them out")
        found[name] = value
    return found
