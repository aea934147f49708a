"""What a network costs by the month: interface endpoints, NAT gateways and the records of traffic; all else of it costs nothing.

Prices are AWS's own for the region where the price list can be asked, else the list prices of us-east-1, which is said.
Sources: AWS PrivateLink pricing, Amazon VPC pricing, Amazon CloudWatch pricing (vended logs), AWS Price List API.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from hvdsm.aws.failures import translated
from hvdsm.aws.session import Aws, partition
from hvdsm.errors import HvdsmError
from hvdsm.vpc.templates.rendering import Rendered

# Hours of a month, as AWS's own calculators have them.
HOURS = 730
ENDPOINT_HOUR, ENDPOINT_GB = "endpoint hour", "endpoint GB"
NAT_HOUR, NAT_GB = "NAT gateway hour", "NAT gateway GB"
LOG_GB, LOG_KEPT = "flow log GB", "flow log GB kept a month"
# Service and end of the usage type, by which the price list knows each.
_USAGE = {
    ENDPOINT_HOUR: ("AmazonVPC", "VpcEndpoint-Hours"),
    ENDPOINT_GB: ("AmazonVPC", "VpcEndpoint-Bytes"),
    NAT_HOUR: ("AmazonEC2", "NatGateway-Hours"),
    NAT_GB: ("AmazonEC2", "NatGateway-Bytes"),
    LOG_GB: ("AmazonCloudWatch", "VendedLog-Bytes"),
    LOG_KEPT: ("AmazonCloudWatch", "TimedStorage-ByteHrs"),
}
_FAMILIES = {"VpcEndpoint": "VpcEndpoint", "NatGateway": "NAT Gateway"}
_LISTED = {ENDPOINT_HOUR: 0.01, ENDPOINT_GB: 0.01, NAT_HOUR: 0.045, NAT_GB: 0.045, LOG_GB: 0.50, LOG_KEPT: 0.03}
_LISTED_AT = "2025-06"
# Seconds that the price list may take to be reached and to answer.
_REACH, _ANSWER = 3.0, 10.0
# Types that cost nothing by themselves.
_FREE = re.compile(
    r"AWS::EC2::(?:VPC|Subnet|Route|RouteTable|SubnetRouteTableAssociation|SecurityGroup(?:Ingress|Egress)?|VPCEndpoint|FlowLog"
    r"|InternetGateway|VPCGatewayAttachment|NetworkAcl(?:Entry)?|SubnetNetworkAclAssociation|DHCPOptions|VPCDHCPOptionsAssociation"
    r"|VPCCidrBlock|NatGateway|PrefixList|PlacementGroup)|AWS::Logs::LogGroup|AWS::IAM::\w+"
)


@dataclass(frozen=True)
class Rates:
    """Prices by what they are for.

    Attributes:
        prices: such as that of an endpoint's hour in one zone.
        currency: of all.
        source: where they are from.
        note: why they are not those of the region.
    """

    prices: Mapping[str, float] = field(default_factory=lambda: dict(_LISTED))
    currency: str = "USD"
    source: str = f"list prices of us-east-1, {_LISTED_AT}"
    note: str = ""


@dataclass(frozen=True)
class Item:
    """A part of the costs.

    Attributes:
        what: what costs.
        per_month: how much; None for what depends on use alone.
        basis: how it is made up.
    """

    what: str
    per_month: Optional[float]
    basis: str


@dataclass(frozen=True)
class Costs:
    """What a network costs.

    Attributes:
        items: the parts.
        currency: of all.
        source: where the prices are from.
        unknown: types of resources that may cost something more.
        notes: what else is to be known.
    """

    items: Tuple[Item, ...]
    currency: str
    source: str
    unknown: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()

    @property
    def per_month(self) -> float:
        """What it costs by the month when nothing uses it."""
        return sum(item.per_month or 0.0 for item in self.items)

    @property
    def per_hour(self) -> float:
        """What it costs by the hour when nothing uses it."""
        return self.per_month / HOURS

    def lines(self) -> List[str]:
        """For people."""
        head = f"costs: {self.per_month:.2f} {self.currency} a month while nothing uses it ({self.source})"
        found = [head]
        for item in self.items:
            amount = "by use" if item.per_month is None else f"{item.per_month:.2f} {self.currency}"
            found.append(f"  {item.what}: {amount} ({item.basis})")
        found.append("  network, subnets, routes, security groups and the S3 gateway endpoint: nothing")
        if self.unknown:
            found.append(f"  not in it: {', '.join(self.unknown)}")
        return [*found, *(f"  {note}" for note in self.notes)]

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        return {
            "per_month": round(self.per_month, 4),
            "per_hour": round(self.per_hour, 6),
            "currency": self.currency,
            "source": self.source,
            "hours_per_month": HOURS,
            "items": [{"what": item.what, "per_month": item.per_month, "basis": item.basis} for item in self.items],
            "not_estimated": list(self.unknown),
            "notes": list(self.notes),
        }


def wanted(rendered: Rendered) -> Tuple[str, ...]:
    """The prices that a network's costs are made of."""
    found: List[str] = []
    if _endpoints(rendered):
        found += [ENDPOINT_HOUR, ENDPOINT_GB]
    if rendered.of_type("AWS::EC2::NatGateway"):
        found += [NAT_HOUR, NAT_GB]
    if rendered.of_type("AWS::EC2::FlowLog"):
        found += [LOG_GB, LOG_KEPT]
    return tuple(found)


def _endpoints(rendered: Rendered) -> List[int]:
    """For each interface endpoint, in how many zones it is."""
    entries = rendered.of_type("AWS::EC2::VPCEndpoint").values()
    return [max(1, len(entry.get("SubnetIds") or ())) for entry in entries if entry.get("VpcEndpointType") == "Interface"]


def estimate(rendered: Rendered, rates: Rates) -> Costs:
    """What a network costs.

    Args:
        rendered: its template with the parameters put in.
        rates: prices; those that are not in it are taken from the list.
    """
    price = {**_LISTED, **rates.prices}
    unit = rates.currency
    items: List[Item] = []
    zones = _endpoints(rendered)
    if zones:
        hours = sum(zones)
        each = f"{len(zones)} endpoints, {hours} of them counted by zone" if hours != len(zones) else f"{len(zones)} in one zone"
        basis = (
            f"{each}, {price[ENDPOINT_HOUR]:g} {unit} an hour each, {HOURS} h; {price[ENDPOINT_GB]:g} {unit} a GB through them"
        )
        items.append(Item("interface endpoints", hours * HOURS * price[ENDPOINT_HOUR], basis))
    gateways = len(rendered.of_type("AWS::EC2::NatGateway"))
    if gateways:
        basis = f"{gateways} at {price[NAT_HOUR]:g} {unit} an hour, {HOURS} h; {price[NAT_GB]:g} {unit} a GB through them"
        items.append(Item("NAT gateways", gateways * HOURS * price[NAT_HOUR], basis))
    logs = rendered.of_type("AWS::EC2::FlowLog")
    if logs:
        days = [entry.get("RetentionInDays") for entry in rendered.of_type("AWS::Logs::LogGroup").values()]
        kept = next((f" for {day} days" for day in days if day), "")
        kinds = {str(entry.get("TrafficType", "ALL")) for entry in logs.values()}
        few = "; refused traffic alone is recorded, which is little" if kinds == {"REJECT"} else ""
        basis = f"{price[LOG_GB]:g} {unit} a GB written, {price[LOG_KEPT]:g} {unit} a GB and month kept{kept}{few}"
        items.append(Item("flow logs", None, basis))
    kinds_there = {str(entry.get("Type")) for entry in rendered.resources.values()}
    unknown = tuple(sorted(kind for kind in kinds_there if not _FREE.fullmatch(kind)))
    notes = [rates.note] if items and rates.note else []
    if items and rates.source == Rates().source and rendered.setting.region != "us-east-1":
        notes.append(f"{rendered.setting.region} may cost up to twice as much: https://aws.amazon.com/privatelink/pricing/")
    return Costs(tuple(items), unit, rates.source if items else "nothing of it costs", unknown, tuple(notes))


def fetch_rates(aws: Aws, names: Sequence[str]) -> Rates:
    """Prices of the region from AWS's price list; list prices where it cannot be asked, or has not all of them.

    Args:
        aws: session.
        names: what prices are wanted for.
    """
    if not names:
        return Rates()
    place = "cn-northwest-1" if partition(aws.region) == "aws-cn" else "us-east-1"
    currency = "CNY" if place.startswith("cn-") else "USD"
    try:
        client = aws.client("pricing", region=place, attempts=1, read_timeout=_ANSWER, connect_timeout=_REACH)
        found = {name: _price(client, aws.region, *_USAGE[name], currency) for name in names}
    except HvdsmError as error:
        return Rates(note=f"the price list of {aws.region} could not be read: {error.what}")
    known = {name: price for name, price in found.items() if price is not None}
    missing = [name for name in names if name not in known]
    if not known or (missing and currency != Rates().currency):
        return Rates(note=f"the price list has nothing of {aws.region} for {', '.join(missing)}")
    rest = f"; {Rates().source} for {', '.join(missing)}" if missing else ""
    return Rates(known, currency, f"AWS price list of {aws.region}{rest}")


def _price(client: Any, region: str, service: str, usage: str, currency: str) -> Optional[float]:
    """The price of the first step of a usage type; None where there is none, or more than one."""
    wanted = {"regionCode": region, "productFamily": _FAMILIES.get(usage.split("-")[0], "")}
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items() if value]
    asked: Dict[str, Any] = {"ServiceCode": service, "Filters": filters}
    prices = set()
    with translated(f"read the price of {usage}", region):
        while True:
            page = client.get_products(**asked)
            for text in page.get("PriceList") or ():
                prices |= set(_first_step(text if isinstance(text, Mapping) else json.loads(text), usage, currency))
            if not page.get("NextToken"):
                return prices.pop() if len(prices) == 1 else None
            asked["NextToken"] = page["NextToken"]


def _first_step(product: Mapping[str, Any], usage: str, currency: str) -> Iterator[float]:
    """What the first unit of a product costs, if it is of this usage type, whose name begins with the region's."""
    named = str(((product.get("product") or {}).get("attributes") or {}).get("usagetype") or "")
    if not re.fullmatch(rf"(?:[A-Z0-9]+-)?{re.escape(usage)}", named):
        return
    for term in ((product.get("terms") or {}).get("OnDemand") or {}).values():
        for dimension in (term.get("priceDimensions") or {}).values():
            if str(dimension.get("beginRange", "0")) not in ("0", "", "0.0"):
                continue
            try:
                price = float(str((dimension.get("pricePerUnit") or {}).get(currency)))
            except ValueError:
                continue
            if price > 0:
                yield price
