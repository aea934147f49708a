"""What a job costs: tables, AWS's price list, and the estimate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_support import FakeAws, failure, fake_aws

from hvdsm.aws.prices import Prices, estimate, fetch_prices, read_prices
from hvdsm.errors import CloudRefused, CloudUnavailable, ConfigError

REQUEST: dict[str, Any] = {
    "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2},
    "StoppingCondition": {"MaxRuntimeInSeconds": 5400},
}


def written(directory: Path, name: str, text: str) -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"ml.c5.xlarge": 0.2, "eu-central-1": {"ml.c5.xlarge": 0.25, "ml.p4d.24xlarge": 40}}'),
        ("a.json", '{"prices": {"ml.c5.xlarge": "0.2", "eu-central-1": {"ml.c5.xlarge": 0.25, "ml.p4d.24xlarge": 40}}}'),
        ("a.toml", '"ml.c5.xlarge" = 0.2\n[eu-central-1]\n"ml.c5.xlarge" = 0.25\n"ml.p4d.24xlarge" = 40\n'),
        ("a.toml", "ml.c5.xlarge = 0.2\n[eu-central-1]\nml.c5.xlarge = 0.25\nml.p4d.24xlarge = 40\n"),
        ("a.csv", "instance_type, region, price\nml.c5.xlarge, , 0.2\nml.c5.xlarge,eu-central-1,0.25\n"
                  "ml.p4d.24xlarge,eu-central-1,40\n"),
    ],
)  # fmt: skip
def test_tables(tmp_path: Path, name: str, text: str) -> None:
    prices = read_prices(written(tmp_path, name, text))
    assert prices.of("ml.c5.xlarge") == prices.of("ml.c5.xlarge", "us-east-1") == 0.2
    assert prices.of("ml.c5.xlarge", "eu-central-1") == 0.25
    assert prices.of("ml.p4d.24xlarge", "eu-central-1") == 40
    assert prices.of("ml.p4d.24xlarge", "us-east-1") is None
    assert prices.currency == "USD"


def test_currencies(tmp_path: Path) -> None:
    assert read_prices(written(tmp_path, "a.json", '{"currency": "EUR", "ml.c5.xlarge": 1}')).currency == "EUR"
    assert read_prices(written(tmp_path, "a.csv", "instance_type,price,currency\nml.c5.xlarge,1,EUR\n")).currency == "EUR"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", "cannot be understood"),
        ("a.json", "[1]", "is no table"),
        ("a.toml", "a = ", "cannot be understood"),
        ("a.json", '{"c5.xlarge": 1}', "'c5.xlarge' is no instance type"),
        ("a.json", '{"ml.c5.xlarge": "cheap"}', "'cheap' is no price"),
        ("a.json", '{"ml.c5.xlarge": true}', "True is no price"),
        ("a.json", '{"ml.c5.xlarge": -1}', "-1 is no price"),
        ("a.json", '{"ml.c5.xlarge": NaN}', "nan is no price"),
        ("a.csv", "type,cost\nml.c5.xlarge,1\n", "has the columns type, cost"),
        ("a.csv", "instance_type,price\nml.c5.xlarge,1\nml.c5.xlarge,2\n", "has two prices"),
        ("a.csv", "instance_type,price,currency\nml.c5.xlarge,1,EUR\nml.m5.large,1,USD\n", "several currencies: EUR, USD"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(ConfigError) as caught:
        read_prices(path)
    assert words in str(caught.value)
    assert path in str(caught.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_prices(str(tmp_path / "none.json"))


def test_hours_and_maximum() -> None:
    found = estimate(REQUEST, Prices({"ml.c5.xlarge": 0.2}))
    assert found.per_hour == pytest.approx(0.4)
    assert found.maximum == pytest.approx(0.6)
    assert str(found) == (
        "price: 0.40 USD per hour, at most 0.60 USD (2 x ml.c5.xlarge at 0.2 USD/h, for 90 min at most, from the given table)"
    )


def test_the_service_own_limit_and_warm_instances() -> None:
    resources = {**REQUEST["ResourceConfig"], "KeepAlivePeriodInSeconds": 1800}
    found = estimate({"ResourceConfig": resources}, Prices({"ml.c5.xlarge": 1.0}), "EUR")
    assert found.maximum == pytest.approx(2 * 24.5)
    assert "for 24 h at most and 30 min warm" in found.basis
    assert found.currency == "EUR"


def test_groups_of_several_types() -> None:
    groups = [
        {"InstanceGroupName": "a", "InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "b", "InstanceType": "ml.p4d.24xlarge", "InstanceCount": 2},
        {"InstanceGroupName": "c", "InstanceType": "ml.c5.xlarge", "InstanceCount": 3},
    ]
    found = estimate(
        {**REQUEST, "ResourceConfig": {"InstanceGroups": groups}}, Prices({"ml.c5.xlarge": 1, "ml.p4d.24xlarge": 10})
    )
    assert found.per_hour == pytest.approx(24)
    assert "4 x ml.c5.xlarge" in found.basis


def test_what_has_no_price_is_named_and_never_guessed() -> None:
    found = estimate(REQUEST, Prices({"ml.c5.large": 0.1}, source="a.json"))
    assert (found.per_hour, found.maximum, found.missing) == (None, None, ("ml.c5.xlarge",))
    assert str(found) == "price: not known for ml.c5.xlarge (no price from a.json; --prices FILE gives one)"


def test_spot_is_an_upper_bound() -> None:
    found = estimate({**REQUEST, "EnableManagedSpotTraining": True}, Prices({"ml.c5.xlarge": 0.2}))
    assert "an upper bound: spot capacity costs less" in str(found)


def test_the_region_of_the_request() -> None:
    prices = Prices({}, {"eu-central-1": {"ml.c5.xlarge": 1.0}})
    assert estimate(REQUEST, prices).missing
    assert estimate({**REQUEST, "HyperParameters": {"sagemaker_region": '"eu-central-1"'}}, prices).per_hour == 2.0
    assert estimate(REQUEST, prices, region="eu-central-1").per_hour == 2.0


def product(usage: str, *prices: str) -> str:
    dimensions = {str(i): {"unit": "Hrs", "pricePerUnit": {"USD": price}} for i, price in enumerate(prices)}
    return json.dumps(
        {"product": {"attributes": {"usagetype": usage}}, "terms": {"OnDemand": {"x": {"priceDimensions": dimensions}}}}
    )


def price_list(fake: FakeAws, pages: list[list[str]]) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        number = int(body.get("NextToken", "0"))
        more = {"NextToken": str(number + 1)} if number + 1 < len(pages) else {}
        return {"FormatVersion": "aws_v1", "PriceList": pages[number], **more}

    fake.on("GetProducts", answer)


def test_the_price_list_of_aws() -> None:
    with fake_aws() as fake:
        price_list(
            fake,
            [
                [product("EUC1-Host:ml.c5.xlarge", "9"), product("EUC1-Train:ml.c5.xlarge.spot", "8")],
                [],
                [product("EUC1-Train:ml.c5.xlarge", "0.2330000000", "0.0000000000")],
            ],
        )
        prices = fetch_prices(fake.aws(), ["ml.c5.xlarge", "ml.c5.xlarge"])
        asked = fake.requests[0][1]
        signed = fake.headers[0]["Authorization"]
    assert prices.of("ml.c5.xlarge", "eu-central-1") == 0.233
    assert prices.of("ml.c5.xlarge") is None
    assert prices.source == "AWS price list"
    assert asked["ServiceCode"] == "AmazonSageMaker"
    assert {entry["Field"]: entry["Value"] for entry in asked["Filters"]} == {
        "regionCode": "eu-central-1", "instanceName": "ml.c5.xlarge",
    }  # fmt: skip
    assert "/us-east-1/pricing/" in signed, "the price list is not served everywhere"
    assert fake.count("GetProducts") == 3


def test_two_prices_of_a_type_are_none() -> None:
    with fake_aws() as fake:
        price_list(fake, [[product("EUC1-Train:ml.c5.xlarge", "1", "2")]])
        assert fetch_prices(fake.aws(), ["ml.c5.xlarge"]).of("ml.c5.xlarge", "eu-central-1") is None
        price_list(fake, [[]])
        assert fetch_prices(fake.aws(), ["ml.c5.xlarge"]).of("ml.c5.xlarge", "eu-central-1") is None


def test_a_price_list_that_cannot_be_read() -> None:
    with fake_aws() as fake:
        fake.on("GetProducts", failure("AccessDeniedException", "User: a is not authorized to perform: pricing:GetProducts"))
        with pytest.raises(CloudRefused, match="lacks the permission pricing:GetProducts"):
            fetch_prices(fake.aws(), ["ml.c5.xlarge"])
        fake.on("GetProducts", failure("ExpiredTokenException", "old"))
        with pytest.raises(CloudUnavailable):
            fetch_prices(fake.aws(), ["ml.c5.xlarge"])
