"""``hvdsm bench network`` on emulated hosts: what it measures is what was set, and who was slowed is named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import pytest
from doc_pages import BENCH
from emulator_support import unavailable
from launching import environment, launch

from hvdsm.bench.record import Bench, from_json, read
from hvdsm.bench.source import write_source

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def bench(output: Path, *words: str) -> Ended:
    """Run ``hvdsm bench network WORDS…``."""
    done = subprocess.run(
        [sys.executable, "-m", "hvdsm", "bench", "network", "--output", str(output), *words],
        env=environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def measured(output: Path, *words: str) -> Bench:
    """What it measured with MPI alone."""
    done = bench(output, "--json", "--engines", "mpi", *words)
    assert done.code == 0, done.err
    return from_json(json.loads(done.out))


def latency(run: Bench, size: int = 8) -> float:
    """Milliseconds between the first two hosts at their best: other work on the machine makes the rest slower."""
    found = next(point.latency_us for point in run.pairs[0].points if point.bytes == size)
    assert found is not None
    return found.min / 1e3


def rate(run: Bench) -> float:
    """10^6 bytes a second between the first two hosts, at the largest size."""
    found = run.pairs[0].points[-1].bandwidth_mb_s
    assert found is not None
    return found.median


@pytest.mark.alone
def test_the_slowed_host_of_four_is_named_and_no_other(tmp_path: Path) -> None:
    done = bench(tmp_path, *BENCH.split()[3:], "--job-name", "net")
    assert done.code == 0, done.err
    run = read(str(tmp_path / "net" / "network.json"))
    assert [(one.kind, one.hosts) for one in run.findings] == [("slow-host", ("algo-3",))]
    assert run.findings[0].latency_ratio is not None and run.findings[0].latency_ratio > 10
    assert len(run.pairs) == 6 and [host.name for host in run.hosts] == [f"algo-{number}" for number in range(1, 5)]
    for pair in run.pairs:
        times = pair.points[0].latency_us
        assert times is not None and (times.min > 20_000) == ("algo-3" in (pair.a, pair.b))
    assert run.mpi is not None and run.mpi.transport == "tcp"
    assert {(host.address, host.interface) for host in run.hosts} == {(f"10.77.0.{number}", "eth0") for number in range(1, 5)}
    assert "algo-3 is slow" in done.out and "algo-3 is slower: 20 ms more in each direction" in done.out
    page = (tmp_path / "net" / "network.html").read_text()
    assert "algo-3 is slow" in page
    assert str(tmp_path / "net" / "network.html") in done.out


@pytest.mark.alone
def test_delay_and_rate_are_measured_as_they_are_set(tmp_path: Path) -> None:
    sizes = ("--sizes", "8,256K", "--seconds", "0.5")
    plain = measured(tmp_path, *sizes)
    delayed = measured(tmp_path, *sizes, "--delay-ms", "5")
    narrow = measured(tmp_path, *sizes, "--mbit", "100")
    assert 5 <= latency(delayed) < 6
    assert latency(delayed) == pytest.approx(latency(plain) + 5, abs=0.5)
    # 100 Mbit/s are 12.5 MB/s, of which headers and acknowledgements take their part.
    assert 8 < rate(narrow) <= 12.5 < rate(plain)
    assert delayed.shaping is not None and delayed.shaping.delay_ms == 5 and plain.shaping is None
    # All are as slow: nobody is named.
    assert delayed.findings == () and narrow.findings == ()


BROKEN = """
import os
if os.environ["SM_CURRENT_HOST"] == "algo-2":
    {what}
import sys, types
sys.modules[__name__ + ".distributed"] = types.SimpleNamespace(is_available=lambda: True)
"""


def test_an_engine_that_breaks_does_not_take_the_rest_with_it(tmp_path: Path) -> None:
    script = Path(write_source(str(tmp_path)))
    for name, what in (("torch", "raise ImportError('libcuda is missing')"), ("horovod", "os.abort()")):
        (script.parent / name).mkdir()
        (script.parent / name / "__init__.py").write_text(BROKEN.format(what=what))
    words: List[str] = ["--sizes", "8,64", "--allreduce-sizes", "64", "--seconds", "0.01", "--limit", "1"]
    done = launch(
        tmp_path,
        "--instance-count",
        "2",
        "--source-dir",
        str(script.parent),
        "network.py",
        *words,
        "--engines",
        "mpi,torch,horovod",
    )
    assert done.code != 0
    found: Dict[str, Any] = json.loads((done.results / "output" / "data" / "bench.json").read_text())
    assert found["phase"] == "horovod"
    assert len(found["pairs"]) == 1 and [one["engine"] for one in found["allreduce"]] == ["mpi"]
    assert found["not_measured"] == [{"engine": "torch", "why": "ImportError on algo-2: libcuda is missing"}]


@pytest.mark.parametrize(("said", "kept"), [("(1 of 3", False), ("all-reduce by mpi", True)])
def test_ctrl_c_leaves_what_was_measured_of_all_pairs_or_says_that_nothing_is(tmp_path: Path, said: str, kept: bool) -> None:
    words = ["--instance-count", "3", "--delay-ms", "5", "--sizes", "8,1K", "--seconds", "0.3", "--engines", "mpi,torch,horovod"]
    with subprocess.Popen(
        [sys.executable, "-m", "hvdsm", "bench", "network", "--json", "--output", str(tmp_path), "--job-name", "left", *words],
        env=environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        next(line for line in run.stderr if said in line)
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    told = json.loads(out)
    if kept:
        assert len(from_json(told).pairs) == 3 and (tmp_path / "left" / "network.html").exists()
    else:
        assert told["exit_code"] == 130 and "there are no results" in told["error"]
    assert (tmp_path / "left" / "network.json").exists() == kept


def test_a_wrong_host_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = bench(tmp_path, "--slow-host", "algo-7:mbit=1", "--json")
    assert done.code == 2 and "algo-7" in json.loads(done.out)["error"]
    done = bench(tmp_path, "--hosts", "single")
    assert done.code == 2 and "two at least" in done.err
    done = bench(tmp_path, "--instance-count", "1")
    assert done.code == 2 and "two at least" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_the_slow_host_and_starts_nothing(tmp_path: Path) -> None:
    done = bench(tmp_path, "--dry-run", "--slow-host", "2:delay-ms=3", "--json")
    assert done.code == 0
    shown = json.loads(done.out)
    assert any("algo-2 is slower: 3 ms" in note for note in shown["notes"])
    assert list(tmp_path.iterdir()) == []


def test_the_commands_take_it(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print('trained')\n")
    done = launch(tmp_path / "out", "--instance-count", "2", "--slow-host", "2:delay-ms=1,mbit=900", str(script))
    assert done.code == 0 and any("algo-2 is slower: 1 ms more in each direction and 900 Mbit/s" in line for line in done.lines)
    words = [sys.executable, "-m", "hvdsm", "cluster", "--instance-count", "2", "--slow-host"]
    for slow, code in (("algo-2:delay-ms=1", 0), ("algo-3:delay-ms=1", 2)):
        command = subprocess.run([*words, slow, "--", "true"], env=environment(), capture_output=True, timeout=60, check=False)
        assert command.returncode == code
