"""The document of ``hvdsm bench network``: what is written is read back, what is wrong is named, and its making."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Union

import pytest

from hvdsm.bench.assembling import Context, assemble, lines
from hvdsm.bench.record import SCHEMA, HostShape, NotMeasured, Shaping, from_json, read, to_json
from hvdsm.bench.request import ENGINES, QUICK, Settings, make_settings, parse_sizes
from hvdsm.bench.source import write_source
from hvdsm.cli.bench_show import check_place
from hvdsm.errors import ConfigError, UsageError

TIMES = {"median": 30.0, "min": 20.0, "p95": 44.0, "samples": 200}
RATES = {"median": 900.0, "max": 1000.0, "samples": 3}


def written(**more: Any) -> Dict[str, Any]:
    """What a job of three hosts writes."""
    ends = [("algo-1", "algo-2"), ("algo-1", "algo-3"), ("algo-2", "algo-3")]
    point = {"bytes": 8, "latency_us": TIMES, "bandwidth_mb_s": RATES}
    reduced = {"bytes": 4096, "time_us": TIMES, "algorithm_bandwidth_gb_s": 1.0, "bus_bandwidth_gb_s": 4 / 3}
    return {
        "hosts": [{"name": f"algo-{number}", "address": f"10.77.0.{number}", "interface": "eth0"} for number in (1, 2, 3)],
        "world_size": 3,
        "processes_per_host": 1,
        "mpi": {"name": "Open MPI", "version": "4.1.8", "mpi4py": "4.1.2", "transport": "tcp"},
        "settings": {"pair_sizes": [8]},
        "pairs": [{"a": a, "b": b, "points": [copy.deepcopy(point)]} for a, b in ends],
        "allreduce": [{"engine": "mpi", "version": "4.1.8", "detail": "float32", "points": [reduced]}],
        "not_measured": [{"engine": "torch", "why": "torch is not installed on algo-2"}],
        "phase": None,
        "seconds": 3.2,
        **more,
    }


CONTEXT = Context(
    "2026-11-21T17:30:00Z", "network-1", "local", "mine", "local", shaping=Shaping(5.0, 0.0, {"algo-1": HostShape(1.0, 2.0)})
)


def document(**more: Any) -> Dict[str, Any]:
    return to_json(assemble(written(**more), CONTEXT, "bench.json"))


def test_a_document_is_read_back(tmp_path: Path) -> None:
    bench = assemble(written(), CONTEXT, "bench.json")
    path = tmp_path / "network.json"
    path.write_text(json.dumps(to_json(bench)))
    assert read(str(path)) == bench
    assert to_json(bench)["schema"] == SCHEMA
    assert bench.shaping is not None and bench.shaping.hosts["algo-1"] == HostShape(1.0, 2.0)
    assert bench.summary.latency_us is not None and bench.summary.latency_us.median == 30.0
    assert bench.findings == ()


def test_fields_that_are_not_known_are_ignored() -> None:
    made = document()
    made["colour"] = "red"
    made["pairs"][0]["points"][0]["colour"] = float("nan")
    assert from_json(made) == from_json(document())


Place = Sequence[Union[str, int]]


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (["schema"], "hvdsm.bench.network/2", "schema"),
        (["made"], None, "made"),
        (["hosts"], [], "hosts"),
        (["hosts", 1, "name"], "algo-1", "hosts"),
        (["hosts", 1], "algo-2", "hosts[1]"),
        (["hosts", 0, "cpus"], 2.5, "hosts[0].cpus"),
        (["world_size"], 0, "world_size"),
        (["world_size"], True, "world_size"),
        (["pairs"], {}, "pairs"),
        (["pairs", 0, "a"], "algo-9", "pairs[0]"),
        (["pairs", 0, "a"], "algo-2", "pairs[0]"),
        (["pairs", 2, "a"], "algo-1", "pairs"),
        (["pairs", 0, "points", 0, "bytes"], 0, "pairs[0].points[0].bytes"),
        (["pairs", 0, "points", 0, "latency_us", "median"], float("nan"), "latency_us.median"),
        (["pairs", 0, "points", 0, "latency_us", "median"], float("inf"), "latency_us.median"),
        (["pairs", 0, "points", 0, "latency_us", "min"], -1, "latency_us.min"),
        (["pairs", 0, "points", 0, "bandwidth_mb_s", "samples"], "3", "bandwidth_mb_s.samples"),
        (["allreduce", 0, "points", 0, "time_us"], None, "allreduce[0].points[0].time_us"),
        (["not_measured", 0, "why"], 3, "not_measured[0].why"),
        (["summary", "bus_bandwidth_gb_s", "mpi"], "fast", "summary.bus_bandwidth_gb_s.mpi"),
        (["shaping", "hosts", "algo-1"], [], "shaping.hosts.algo-1"),
        (["mpi", "version"], 4, "mpi.version"),
        (["seconds"], 10**400, "seconds"),
    ],
)
def test_a_wrong_field_is_named(place: Place, value: Any, named: str) -> None:
    made: Any = document()
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ConfigError) as raised:
        from_json(made, "somewhere.json")
    assert named in raised.value.what and raised.value.where == "somewhere.json" and raised.value.remedy


@pytest.mark.parametrize("name", sorted(set(document()) - {"region", "placement", "mpi", "shaping"}))
def test_a_field_that_is_missing_is_named(name: str) -> None:
    made = document()
    del made[name]
    with pytest.raises(ConfigError, match=name):
        from_json(made)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, '"x"'])
def test_what_is_no_document_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "network.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read(str(path))
    assert raised.value.where == str(path)
    with pytest.raises(ConfigError):
        read(str(tmp_path / "none.json"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused_wherever_it_is(tmp_path: Path, number: str) -> None:
    path = tmp_path / "network.json"
    path.write_text(json.dumps(document(settings={"seconds": "HERE"})).replace('"HERE"', number))
    with pytest.raises(ConfigError, match=f"{number} is no number") as raised:
        read(str(path))
    assert raised.value.where == str(path)


def test_an_engine_that_ended_the_job_is_not_measured_for_that_reason() -> None:
    made = assemble(written(phase="horovod"), CONTEXT, "bench.json", "rank 1 was killed by signal 6")
    assert NotMeasured("horovod", "rank 1 was killed by signal 6") in made.not_measured
    # What had a reason of its own, or was measured, keeps it.
    assert len(assemble(written(phase="torch"), CONTEXT, "bench.json", "killed").not_measured) == 1
    assert len(assemble(written(phase="mpi"), CONTEXT, "bench.json", "killed").not_measured) == 1
    assert len(assemble(written(phase="horovod"), CONTEXT, "bench.json").not_measured) == 1


def test_the_lines_say_what_matters() -> None:
    text = "\n".join(lines(assemble(written(), CONTEXT, "bench.json")))
    assert "3 hosts, 3 pairs, Open MPI 4.1.8 over tcp (eth0)" in text
    assert "median 30 us, best 30 us (algo-1 - algo-2)" in text
    assert "all-reduce by mpi (float32), 4KB: 30 us, bus 1.33 GB/s" in text
    assert "not measured: torch: torch is not installed on algo-2" in text
    assert "no host and no pair stands out" in text
    slow = written()
    for pair in slow["pairs"][1:]:
        pair["points"][0]["latency_us"] = {**TIMES, "median": 3000.0, "min": 2000.0}
    text = "\n".join(lines(assemble(slow, CONTEXT, "bench.json")))
    assert "algo-3 is slow: latency 3 ms, 100 times the usual 30 us" in text


@pytest.mark.parametrize(
    ("text", "found"), [("8,1K,64k,1M", (8, 1024, 65536, 1 << 20)), ("4MB, 4MiB,1", (1, 4 << 20)), ("1G", (1 << 30,))]
)
def test_sizes_are_read(text: str, found: Sequence[int]) -> None:
    assert parse_sizes(text, "--sizes") == found


@pytest.mark.parametrize("text", ["", "0", "-8", "1.5K", "8,,64", "2G", "9999999999999999", "8 64", "x"])
def test_sizes_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_sizes(text, "--sizes")
    assert raised.value.where == "--sizes"


def test_settings_are_what_the_user_says() -> None:
    assert make_settings() == Settings()
    assert make_settings(quick=True) == QUICK
    made = make_settings(sizes="8,10,1K,1M", max_size="64K", seconds=2.0, engines="torch, MPI", pairs="ring")
    assert made.sizes == (8, 10, 1024) and made.allreduce_sizes == (8, 1024)
    assert made.engines == ("mpi", "torch") and made.limit == 40.0
    assert make_settings(sizes="1").allreduce_sizes == (4,)


@pytest.mark.parametrize(
    ("hosts", "shared", "said", "together"),
    [(2, False, None, False), (64, False, None, True), (64, True, None, False), (2, True, True, True), (64, False, False, False)],
)
def test_many_hosts_measure_several_pairs_at_a_time(hosts: int, shared: bool, said: Any, together: bool) -> None:
    assert make_settings(hosts=hosts, shared_cores=shared, together=said).together is together


@pytest.mark.parametrize("arguments", [{"engines": "nccl"}, {"engines": ","}, {"max_size": "4"}, {"max_size": "x"}])
def test_settings_that_cannot_be_are_refused(arguments: Dict[str, str]) -> None:
    with pytest.raises(UsageError):
        make_settings(**arguments)  # type: ignore[arg-type]


def test_engines_end_with_the_one_that_has_threads_of_its_own() -> None:
    assert ENGINES[0] == "mpi" and ENGINES[-1] == "horovod"


def test_the_source_is_whole_and_imports_nothing_of_hvdsm(tmp_path: Path) -> None:
    script = Path(write_source(str(tmp_path)))
    package = script.parent / "hvdsm_network"
    names: List[str] = sorted(path.name for path in package.iterdir())
    assert "main.py" in names and "__init__.py" in names
    for path in package.iterdir():
        assert "hvdsm." not in "".join(
            line for line in path.read_text().splitlines() if line.lstrip().startswith(("import ", "from "))
        )
    assert script.name == "network.py" and "hvdsm_network.main" in script.read_text()


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    check_place(str(tmp_path / "new" / "page.html"))
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "page.html"):
        with pytest.raises(ConfigError) as refused:
            check_place(str(path))
        assert refused.value.where == str(path) and refused.value.remedy == "name another place"
