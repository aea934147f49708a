"""What ``hvdsm bench network`` measured as a document (schema ``hvdsm.bench.network/1``); its parts are in ``parts``.

Readers ignore fields that they do not know.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any, Dict

from hvdsm.bench.fields import Fields
from hvdsm.bench.parts import (
    AllReduce,
    AllReducePoint,
    Bench,
    Extreme,
    Extremes,
    Finding,
    Host,
    HostShape,
    Mpi,
    NotMeasured,
    Pair,
    Point,
    Rates,
    Shaping,
    Summary,
    Times,
)
from hvdsm.errors import ConfigError

__all__ = [
    "SCHEMA",
    "AllReduce",
    "AllReducePoint",
    "Bench",
    "Extreme",
    "Extremes",
    "Finding",
    "Host",
    "HostShape",
    "Mpi",
    "NotMeasured",
    "Pair",
    "Point",
    "Rates",
    "Shaping",
    "Summary",
    "Times",
    "from_json",
    "read",
    "to_json",
]

SCHEMA = "hvdsm.bench.network/1"


def to_json(bench: Bench) -> Dict[str, Any]:
    """The document; all numbers in it are finite."""
    document: Dict[str, Any] = json.loads(json.dumps({"schema": SCHEMA, **asdict(bench)}, allow_nan=False))
    return document


def read(path: str) -> Bench:
    """A document from a file.

    Raises:
        ConfigError: it cannot be read, is no JSON, is of another schema, or a field is wrong.
    """
    remedy = "a network.json that `hvdsm bench network` wrote"
    try:
        with open(path, encoding="utf-8-sig") as file:
            document = json.load(file, parse_float=_finite, parse_constant=_finite)
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=path, remedy="check the path") from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=path, remedy=remedy) from None
    except ValueError as error:
        raise ConfigError(f"is no JSON: {error}", where=path, remedy=remedy) from None
    return from_json(document, path)


def _finite(text: str) -> float:
    """A number of JSON, which has neither infinity nor what is no number, though Python's reader takes both."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


def from_json(document: Any, where: str = "network.json") -> Bench:
    """The record of a document.

    Args:
        document: the JSON, parsed.
        where: the file's name, for errors.

    Raises:
        ConfigError: it is of another schema, or a field is wrong; both named.
    """
    fields = Fields(document, where)
    if fields.values.get("schema") != SCHEMA:
        raise fields.wrong("schema", f"must be {SCHEMA!r}, not {fields.values.get('schema')!r}")
    hosts = fields.each("hosts", _host)
    names = [host.name for host in hosts]
    if len(set(names)) != len(names) or not names:
        raise fields.wrong("hosts", "must name each host once, and one at least")
    pairs = fields.each("pairs", _pair)
    for number, pair in enumerate(pairs):
        for end in (pair.a, pair.b):
            if end not in names:
                raise fields.wrong(f"pairs[{number}]", f"names {end!r}, which is none of the hosts")
        if pair.a == pair.b:
            raise fields.wrong(f"pairs[{number}]", "must be two hosts")
    if len({frozenset((pair.a, pair.b)) for pair in pairs}) != len(pairs):
        raise fields.wrong("pairs", "must name each pair once")
    return Bench(
        made=fields.text("made"),
        hvdsm=fields.text("hvdsm"),
        job_name=fields.text("job_name"),
        backend=fields.text("backend"),
        label=fields.text("label"),
        instance_type=fields.text("instance_type"),
        region=fields.optional_text("region"),
        placement=fields.mapping("placement") if fields.has("placement") else None,
        hosts=hosts,
        processes_per_host=fields.integer("processes_per_host", 1),
        world_size=fields.integer("world_size", 1),
        mpi=fields.optional("mpi", _mpi),
        shaping=fields.optional("shaping", _shaping),
        settings=fields.mapping("settings"),
        pairs=pairs,
        allreduce=fields.each("allreduce", _allreduce),
        not_measured=fields.each("not_measured", lambda one: NotMeasured(one.text("engine"), one.text("why"))),
        findings=fields.each("findings", _finding),
        summary=_summary(fields.object("summary")),
        seconds=fields.number("seconds"),
    )


def _host(fields: Fields) -> Host:
    cpus, gpus, memory = (fields.integer(name) if fields.has(name) else None for name in ("cpus", "gpus", "memory_bytes"))
    return Host(
        name=fields.text("name"),
        address=fields.optional_text("address"),
        interface=fields.optional_text("interface"),
        cpus=cpus,
        gpus=gpus,
        memory_bytes=memory,
        kernel=fields.optional_text("kernel"),
    )


def _mpi(fields: Fields) -> Mpi:
    return Mpi(fields.text("name"), fields.text("version"), fields.optional_text("mpi4py"), fields.optional_text("transport"))


def _shape(fields: Fields) -> HostShape:
    return HostShape(fields.number("delay_ms"), fields.number("mbit"))


def _shaping(fields: Fields) -> Shaping:
    hosts = fields.object("hosts")
    shapes = {name: _shape(hosts.object(name)) for name in hosts.values}
    return Shaping(fields.number("delay_ms"), fields.number("mbit"), shapes)


def _times(fields: Fields) -> Times:
    return Times(fields.number("median"), fields.number("min"), fields.number("p95"), fields.integer("samples", 1))


def _rates(fields: Fields) -> Rates:
    return Rates(fields.number("median"), fields.number("max"), fields.integer("samples", 1))


def _point(fields: Fields) -> Point:
    return Point(fields.integer("bytes", 1), fields.optional("latency_us", _times), fields.optional("bandwidth_mb_s", _rates))


def _pair(fields: Fields) -> Pair:
    return Pair(fields.text("a"), fields.text("b"), fields.each("points", _point))


def _allreduce_point(fields: Fields) -> AllReducePoint:
    return AllReducePoint(
        fields.integer("bytes", 1),
        _times(fields.object("time_us")),
        fields.number("algorithm_bandwidth_gb_s"),
        fields.number("bus_bandwidth_gb_s"),
    )


def _allreduce(fields: Fields) -> AllReduce:
    return AllReduce(
        fields.text("engine"), fields.optional_text("version"), fields.text("detail"), fields.each("points", _allreduce_point)
    )


def _finding(fields: Fields) -> Finding:
    return Finding(
        kind=fields.text("kind"),
        hosts=fields.texts("hosts"),
        what=fields.text("what"),
        latency_ratio=fields.optional_number("latency_ratio"),
        bandwidth_ratio=fields.optional_number("bandwidth_ratio"),
    )


def _extreme(fields: Fields) -> Extreme:
    return Extreme(fields.texts("pair"), fields.number("value"))


def _extremes(fields: Fields) -> Extremes:
    return Extremes(fields.number("median"), _extreme(fields.object("best")), _extreme(fields.object("worst")))


def _summary(fields: Fields) -> Summary:
    return Summary(
        latency_us=fields.optional("latency_us", _extremes),
        bandwidth_mb_s=fields.optional("bandwidth_mb_s", _extremes),
        bus_bandwidth_gb_s=fields.numbers("bus_bandwidth_gb_s"),
    )
