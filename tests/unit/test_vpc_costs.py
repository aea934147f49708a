"""What a network costs: by its template, by the region's prices or list prices, with its basis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from hvdsm.errors import CloudRefused
from hvdsm.vpc.stacks.costs import (
    ENDPOINT_GB,
    ENDPOINT_HOUR,
    HOURS,
    LOG_GB,
    LOG_KEPT,
    NAT_HOUR,
    Costs,
    Rates,
    estimate,
    fetch_rates,
    wanted,
)
from hvdsm.vpc.templates import template
from hvdsm.vpc.templates.reading import load
from hvdsm.vpc.templates.rendering import Rendered, Setting, render


def rendered(region: str = "us-east-1", **parameters: str) -> Rendered:
    zones = tuple(f"{region}{letter}" for letter in "abc")
    return render(load(template.text()), parameters, Setting(region=region, zones=zones))


def costs(region: str = "us-east-1", rates: Rates | None = None, **parameters: str) -> Costs:
    return estimate(rendered(region, **parameters), rates or Rates())


@pytest.mark.parametrize(
    ("zones", "endpoints", "hours"), [("1", "none", 0), ("1", "core", 4), ("2", "core", 8), ("3", "full", 24)]
)
def test_endpoints_cost_by_the_hour_and_zone(zones: str, endpoints: str, hours: int) -> None:
    found = costs(AvailabilityZoneCount=zones, InterfaceEndpoints=endpoints)
    assert found.per_month == pytest.approx(hours * HOURS * 0.01)
    assert found.per_hour == pytest.approx(hours * 0.01)


def test_a_network_with_nothing_costs_nothing() -> None:
    found = costs(FlowLogs="false")
    assert (found.items, found.per_month, found.source) == ((), 0.0, "nothing of it costs")
    assert wanted(rendered(FlowLogs="false")) == ()


def test_flow_logs_cost_by_use_and_say_how_long_they_are_kept() -> None:
    (item,) = costs(FlowLogRetentionDays="30").items
    assert item.per_month is None and "0.5 USD a GB written" in item.basis and "for 30 days" in item.basis
    assert wanted(rendered()) == (LOG_GB, LOG_KEPT)


def test_the_basis_is_told() -> None:
    text = "\n".join(costs(AvailabilityZoneCount="2", InterfaceEndpoints="core").lines())
    assert "58.40 USD a month" in text and "list prices of us-east-1, 2025-06" in text
    assert "0.01 USD an hour each, 730 h; 0.01 USD a GB through them" in text and "S3 gateway endpoint: nothing" in text


def test_list_prices_of_another_region_are_said_to_be_that() -> None:
    assert "eu-central-1 may cost up to twice as much" in "\n".join(costs("eu-central-1", InterfaceEndpoints="core").lines())
    own = Rates({ENDPOINT_HOUR: 0.012, ENDPOINT_GB: 0.01, LOG_GB: 0.6, LOG_KEPT: 0.03}, "USD", "AWS price list of eu-central-1")
    found = costs("eu-central-1", own, InterfaceEndpoints="core")
    assert found.per_month == pytest.approx(4 * HOURS * 0.012) and found.notes == ()


def test_other_templates() -> None:
    text = {
        "Resources": {
            "Nat": {"Type": "AWS::EC2::NatGateway", "Properties": {"SubnetId": "subnet-1"}},
            "Files": {"Type": "AWS::FSx::FileSystem", "Properties": {}},
        }
    }
    there = render(load(json.dumps(text)), {})
    found = estimate(there, Rates())
    assert found.per_month == pytest.approx(HOURS * 0.045) and NAT_HOUR in wanted(there)
    assert found.unknown == ("AWS::FSx::FileSystem",) and "not in it: AWS::FSx::FileSystem" in "\n".join(found.lines())


def test_for_machines() -> None:
    found = json.loads(json.dumps(costs(InterfaceEndpoints="core").as_json()))
    assert found["per_month"] == pytest.approx(29.2) and found["currency"] == "USD" and found["hours_per_month"] == HOURS
    assert [item["per_month"] for item in found["items"]] == [pytest.approx(29.2), None]


class PriceList:
    """AWS's price list: products by service, and what was asked."""

    region = "eu-central-1"

    def __init__(self, products: Mapping[str, list[str]] | Exception) -> None:
        self.products = products
        self.asked: list[dict[str, Any]] = []

    def client(self, service: str, **_: Any) -> PriceList:
        assert service == "pricing"
        return self

    def get_products(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        if isinstance(self.products, Exception):
            raise self.products
        # One product a page.
        found, number = self.products.get(asked["ServiceCode"], []), int(asked.get("NextToken", "0"))
        more = {"NextToken": str(number + 1)} if number + 1 < len(found) else {}
        return {"PriceList": found[number : number + 1], **more}


def product(usage: str, *steps: tuple[str, str]) -> str:
    dimensions = {str(n): {"beginRange": begin, "pricePerUnit": {"USD": price}} for n, (begin, price) in enumerate(steps)}
    terms = {"OnDemand": {"x": {"priceDimensions": dimensions}}}
    return json.dumps({"product": {"attributes": {"usagetype": usage}}, "terms": terms})


def test_prices_of_the_region() -> None:
    found = PriceList(
        {
            "AmazonVPC": [
                product("EUC1-VpcEndpoint-GWLBE-Hours", ("0", "9")),
                product("EUC1-VpcEndpoint-Hours", ("0", "0.0120000000")),
                product("EUC1-VpcEndpoint-Bytes", ("0", "0.0100000000"), ("1048576", "0.0060000000")),
            ],
            "AmazonCloudWatch": [
                product("EUC1-VendedLog-Bytes", ("10240", "0.3"), ("0", "0.63")),
                product("EUC1-TimedStorage-ByteHrs", ("0", "0.0324")),
            ],
        }
    )
    rates = fetch_rates(found, [ENDPOINT_HOUR, ENDPOINT_GB, LOG_GB, LOG_KEPT])  # type: ignore[arg-type]
    assert rates.prices == {ENDPOINT_HOUR: 0.012, ENDPOINT_GB: 0.01, LOG_GB: 0.63, LOG_KEPT: 0.0324}
    assert rates.source == "AWS price list of eu-central-1"
    assert all(
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-central-1"} in asked["Filters"] for asked in found.asked
    )


def test_prices_that_the_list_lacks_are_said_to_be_others() -> None:
    part = PriceList({"AmazonVPC": [product("EUC1-VpcEndpoint-Hours", ("0", "0.012"))]})
    rates = fetch_rates(part, [ENDPOINT_HOUR, LOG_GB])  # type: ignore[arg-type]
    assert rates.prices == {ENDPOINT_HOUR: 0.012} and "list prices of us-east-1, 2025-06 for flow log GB" in rates.source
    none = fetch_rates(PriceList({}), [LOG_GB])  # type: ignore[arg-type]
    assert none.source == Rates().source and "has nothing of eu-central-1" in none.note


def test_a_price_list_that_cannot_be_read_stops_nothing() -> None:
    refused = fetch_rates(PriceList(CloudRefused("no permission")), [LOG_GB])  # type: ignore[arg-type]
    assert refused.prices == Rates().prices and "could not be read: no permission" in refused.note
    silent = PriceList({})
    assert fetch_rates(silent, []) == Rates() and silent.asked == []  # type: ignore[arg-type]
