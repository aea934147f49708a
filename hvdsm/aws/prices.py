"""What a job costs at most: from a table of prices, or AWS's own price list; never guessed."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from hvdsm.aws.failures import translated
from hvdsm.aws.session import Aws, partition
from hvdsm.errors import ConfigError

# The service's own limit where a request has none (StoppingCondition of the API reference), seconds.
DEFAULT_RUNTIME = 86400
# Seconds that the price list may take to be reached and to answer: nobody waits long for it, and in many a VPC it is not there.
_REACH = 3.0
_ANSWER = 10.0
_TYPE = r"ml\.[a-z0-9-]+\.[a-z0-9-]+"
_ENTRY = re.compile(rf"(?:(?P<region>[a-z]{{2,4}}(?:-[a-z]+)+-\d{{1,2}})\.)?(?P<type>{_TYPE})")
_FORM = 'a table like {"ml.c5.xlarge": 0.2}, or one such table per region; prices are per instance and hour'


@dataclass(frozen=True)
class Prices:
    """Prices per instance and hour.

    Attributes:
        anywhere: by instance type.
        by_region: by region and instance type; they go before.
        currency: of all.
        source: where they are from.
    """

    anywhere: Mapping[str, float] = field(default_factory=dict)
    by_region: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    currency: str = "USD"
    source: str = ""

    def of(self, kind: str, region: Optional[str] = None) -> Optional[float]:
        """The price of an instance type, or None where the table has none."""
        found = self.by_region.get(region or "", {}).get(kind)
        return self.anywhere.get(kind) if found is None else found


@dataclass(frozen=True)
class Estimate:
    """What a job costs.

    Attributes:
        per_hour: of all its instances; None when the price of one is not known.
        maximum: for the longest time that the job may run, warm instances after it included; None as above.
        basis: what it is made of, in words.
        missing: instance types without a price.
        currency: of all.
    """

    per_hour: Optional[float]
    maximum: Optional[float]
    basis: str
    missing: Tuple[str, ...] = ()
    currency: str = "USD"

    def __str__(self) -> str:
        """One line for people."""
        if self.per_hour is None or self.maximum is None:
            return f"price: not known for {', '.join(self.missing)} ({self.basis})"
        return f"price: {self.per_hour:.2f} {self.currency} per hour, at most {self.maximum:.2f} {self.currency} ({self.basis})"


def read_prices(path: str) -> Prices:
    """A table of prices from a JSON, TOML or CSV file, by the file's ending.

    JSON and TOML hold instance types with prices, or regions with such tables, and optionally ``currency``; CSV has the columns
    ``instance_type`` and ``price``, and optionally ``region`` and ``currency``.

    Raises:
        ConfigError: the file cannot be read, or is no such table.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(getattr(error, "strerror", None) or str(error), where=path, remedy="check --prices") from None
    if path.lower().endswith(".csv"):
        entries, currency = _from_csv(text, path)
    else:
        content = _parsed(text, path)
        currency = content.pop("currency", "USD")
        entries = list(_flat(content.pop("prices", content), ""))
    return _table(entries, str(currency), path)


def _parsed(text: str, path: str) -> Dict[str, Any]:
    try:
        if path.lower().endswith(".toml"):
            content: Any = _toml(text)
        else:
            content = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"cannot be understood: {error}", where=path, remedy=f"give it {_FORM}") from None
    if not isinstance(content, dict):
        raise ConfigError("is no table", where=path, remedy=f"give it {_FORM}")
    return content


def _toml(text: str) -> Any:
    try:
        toml: Any = import_module("tomllib")
    except ImportError:
        # Python 3.10 has none of its own.
        toml = import_module("tomli")
    return toml.loads(text)


def _flat(content: Any, path: str) -> Iterator[Tuple[str, Any]]:
    """Entries of nested tables, their names joined by dots: TOML takes an unquoted ml.c5.xlarge for three tables."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _flat(value, f"{path}.{name}" if path else str(name))
    else:
        yield path, content


def _from_csv(text: str, path: str) -> Tuple[List[Tuple[str, Any]], str]:
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    names = [str(name).strip().lower() for name in rows.fieldnames or ()]
    if not {"instance_type", "price"} <= set(names):
        raise ConfigError(
            f"has the columns {', '.join(names) or '(none)'}", where=path, remedy="name the columns instance_type,price[,region]"
        )
    rows.fieldnames = names
    entries, currencies = [], set()
    for row in rows:
        region = (row.get("region") or "").strip()
        kind = (row.get("instance_type") or "").strip()
        entries.append((f"{region}.{kind}" if region else kind, (row.get("price") or "").strip()))
        currencies.add((row.get("currency") or "USD").strip())
    if len(currencies) > 1:
        raise ConfigError(f"has several currencies: {', '.join(sorted(currencies))}", where=path, remedy="use one file for each")
    return entries, currencies.pop() if currencies else "USD"


def _table(entries: Iterable[Tuple[str, Any]], currency: str, path: str) -> Prices:
    anywhere: Dict[str, float] = {}
    by_region: Dict[str, Dict[str, float]] = {}
    for name, value in entries:
        parts = _ENTRY.fullmatch(name)
        if parts is None:
            raise ConfigError(f"{name!r} is no instance type", where=path, remedy=f"give it {_FORM}")
        price = _price(value)
        if price is None:
            raise ConfigError(f"{value!r} is no price", where=f"{path}: {name}", remedy="give a number such as 0.2")
        table = anywhere if parts["region"] is None else by_region.setdefault(parts["region"], {})
        if table.get(parts["type"], price) != price:
            raise ConfigError("has two prices", where=f"{path}: {name}", remedy="leave one of them out")
        table[parts["type"]] = price
    return Prices(anywhere, by_region, currency, path)


def _price(value: Any) -> Optional[float]:
    if isinstance(value, bool):
        return None
    try:
        price = float(value)
    except (TypeError, ValueError):
        return None
    return price if 0 <= price < 1e6 else None


def fetch_prices(aws: Aws, types: Iterable[str]) -> Prices:
    """On-demand prices of training instances from the AWS price list; types that it does not have are left out.

    Raises:
        CloudUnavailable: the price list cannot be reached.
        CloudRefused: these credentials may not read it (pricing:GetProducts).
    """
    # The price list is served in few regions, and has all of them.
    place = "cn-northwest-1" if partition(aws.region) == "aws-cn" else "us-east-1"
    client = aws.client("pricing", region=place, attempts=1, read_timeout=_ANSWER, connect_timeout=_REACH)
    found: Dict[str, float] = {}
    currency = "CNY" if place.startswith("cn-") else "USD"
    for kind in sorted(set(types)):
        wanted = {"regionCode": aws.region, "instanceName": kind}
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
        asked: Dict[str, Any] = {"ServiceCode": "AmazonSageMaker", "Filters": filters}
        prices = set()
        with translated(f"read the price of {kind}", aws.region):
            while True:
                page = client.get_products(**asked)
                for text in page.get("PriceList") or ():
                    prices |= set(_on_demand(text if isinstance(text, Mapping) else json.loads(text), kind, currency))
                if not page.get("NextToken"):
                    break
                asked["NextToken"] = page["NextToken"]
        if len(prices) == 1:
            found[kind] = prices.pop()
    return Prices({}, {aws.region: found}, currency, "AWS price list")


def _on_demand(product: Mapping[str, Any], kind: str, currency: str) -> Iterator[float]:
    """The prices of a product, if it is a training instance of this type; its usage type tells (``USE1-Train:ml.c5.xlarge``)."""
    usage = str(((product.get("product") or {}).get("attributes") or {}).get("usagetype") or "")
    if not re.fullmatch(rf"(?:\w+-)?Train(?:ing)?:{re.escape(kind)}", usage):
        return
    for term in ((product.get("terms") or {}).get("OnDemand") or {}).values():
        for dimension in (term.get("priceDimensions") or {}).values():
            price = _price((dimension.get("pricePerUnit") or {}).get(currency))
            if price:
                yield price


def estimate(
    request: Mapping[str, Any], prices: Prices, currency: Optional[str] = None, *, region: Optional[str] = None
) -> Estimate:
    """What a job costs for the longest time that it may run.

    Spot capacity costs less than on-demand capacity, how much is known afterwards only: the maximum is an upper bound then.
    Storage, data transfer and what else the account uses are not in it.

    Args:
        request: CreateTrainingJob request.
        prices: see :func:`read_prices` and :func:`fetch_prices`.
        currency: name of the currency, where it is not the prices' own.
        region: region that the job runs in; by default the one that its hyperparameter ``sagemaker_region`` names.
    """
    resources = request.get("ResourceConfig") or {}
    groups = resources.get("InstanceGroups") or [resources]
    place = region or str((request.get("HyperParameters") or {}).get("sagemaker_region") or "").strip('"') or None
    named = currency or prices.currency
    counts: Dict[str, int] = {}
    for group in groups:
        kind = str(group.get("InstanceType") or "an unnamed instance type")
        counts[kind] = counts.get(kind, 0) + int(group.get("InstanceCount") or 1)
    known = {kind: prices.of(kind, place) for kind in counts}
    missing = tuple(sorted(kind for kind, price in known.items() if price is None))
    source = f"from {prices.source}" if prices.source else "from the given table"
    if missing:
        return Estimate(None, None, f"no price {source}; --prices FILE gives one", missing, named)
    per_hour = sum(counts[kind] * (price or 0.0) for kind, price in known.items())
    runtime = int((request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds") or DEFAULT_RUNTIME)
    warm = int(resources.get("KeepAlivePeriodInSeconds") or 0)
    parts = [f"{count} x {kind} at {known[kind]:g} {named}/h" for kind, count in sorted(counts.items())]
    basis = f"{' + '.join(parts)}, for {_hours(runtime)} at most{f' and {_hours(warm)} warm' if warm else ''}, {source}"
    if request.get("EnableManagedSpotTraining"):
        basis += "; an upper bound: spot capacity costs less"
    return Estimate(per_hour, per_hour * (runtime + warm) / 3600, basis, (), named)


def _hours(seconds: int) -> str:
    """A duration in the unit that fits.

    >>> [_hours(seconds) for seconds in (45, 5400, 86400)]
    ['45 s', '90 min', '24 h']
    """
    if seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    return f"{seconds / 60:g} min" if seconds % 60 == 0 else f"{seconds} s"
