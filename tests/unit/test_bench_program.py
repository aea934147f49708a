"""The program of ``hvdsm bench network``, with ranks that are threads."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from types import SimpleNamespace
from typing import Any, Dict, List, Optional

import pytest
from bench_ranks import Rank, clock_of, on_ranks
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.bench.assembling import Parts
from hvdsm.bench.program import here, main, matrix
from hvdsm.bench.program.allreduce import Failed, Guarded, agree, curve
from hvdsm.bench.program.engines import Engine, HorovodEngine, begin
from hvdsm.bench.program.pairs import LEAST, PairMeter
from hvdsm.bench.program.pausing import Watchdog, expected, spread_of
from hvdsm.bench.program.rounds import ALL, FIRST, KINDS, RING, rounds
from hvdsm.bench.request import Settings


@given(st.integers(2, 40), st.sampled_from(KINDS), st.booleans())
def test_every_pair_is_measured_once_and_no_host_twice_at_a_time(count: int, kind: str, together: bool) -> None:
    parts = rounds(count, kind, together=together)
    pairs = [pair for part in parts for pair in part]
    assert len(set(pairs)) == len(pairs)
    assert all(0 <= low < high < count for low, high in pairs)
    wanted = {ALL: count * (count - 1) // 2, RING: 1 if count == 2 else count, FIRST: count - 1}
    assert len(pairs) == wanted[kind]
    for part in parts:
        hosts = [host for pair in part for host in pair]
        assert len(set(hosts)) == len(hosts)
        assert together or len(part) == 1
    if kind == ALL and together:
        assert len(parts) == (count if count % 2 else count - 1)


def test_a_pair_of_ranks_measures_each_size() -> None:
    def run(comm: Rank) -> List[Dict[str, Any]]:
        meter = PairMeter(comm, 1 - comm.rank, asks=comm.rank == 0, seconds=0.01, limit=5.0)
        return meter.points([1, 8, 1024])

    asked, other = on_ranks(2, run)
    assert other == []
    assert [point["bytes"] for point in asked] == [1, 8, 1024]
    for point in asked:
        times, rates = point["latency_us"], point["bandwidth_mb_s"]
        assert 0 < times["min"] <= times["median"] <= times["p95"]
        assert times["samples"] >= LEAST and rates["samples"] >= LEAST
        assert 0 < rates["median"] <= rates["max"]


def test_latency_is_half_of_a_round_trip() -> None:
    # The clock is looked at three times a round trip: when it may be the last one, before it and after it.
    def run(comm: Rank) -> List[float]:
        meter = PairMeter(
            comm,
            1 - comm.rank,
            asks=comm.rank == 0,
            seconds=0.5,
            limit=100.0,
            clock=clock_of([0.0, 0.0, 0.2]) if not comm.rank else clock_of([0.001]),
        )
        return meter.latency(8)

    asked, _ = on_ranks(2, run)
    assert len(asked) >= LEAST
    assert {round(one, 9) for one in asked} <= {0.2, 0.0}


def test_points_that_would_take_too_long_are_left_out() -> None:
    def run(comm: Rank) -> List[Dict[str, Any]]:
        clock = clock_of([0.25]) if comm.rank == 0 else clock_of([0.001])
        meter = PairMeter(comm, 1 - comm.rank, asks=comm.rank == 0, seconds=0.1, limit=0.1, clock=clock)
        return meter.points([8, 64, 1 << 20])

    asked, _ = on_ranks(2, run)
    assert [point["bytes"] for point in asked] == [8]


def test_what_a_message_will_take_grows_as_it_grew_last() -> None:
    assert expected(8, []) == 0.0
    assert expected(1 << 20, [(8, 0.02)]) == 0.02
    assert expected(3000, [(1000, 0.02), (2000, 0.03)]) == pytest.approx(0.04)


@given(st.lists(st.floats(1e-7, 10), min_size=1, max_size=50))
def test_a_spread_is_in_order(times: List[float]) -> None:
    spread = spread_of(times)
    assert spread["min"] <= spread["median"] <= spread["p95"] <= round(max(times) * 1e6, 3)
    assert spread["samples"] == len(times)


class Ones(Engine):
    """Reduces by the communicator itself; fails where it is told to."""

    def __init__(self, comm: Rank, fails: Dict[str, int]) -> None:
        super().__init__(comm, 0, "127.0.0.1", 1.0)
        self.fails = fails

    def load(self) -> None:
        if self.fails.get("load") == self.comm.rank:
            raise ImportError("no such library")

    def start(self) -> Any:
        if self.fails.get("start") == self.comm.rank:
            raise RuntimeError("port in use")
        return "1.0", "ones"

    def make(self, count: int) -> Any:
        left = [3 if self.fails.get("run") == self.comm.rank else -1]

        def run() -> None:
            left[0] -= 1
            if left[0] == 0:
                raise ValueError("connection closed")

        return run


def reduced(fails: Dict[str, int], ranks: int = 3) -> List[Any]:
    """The points on each rank, or why there are none."""

    def run(comm: Rank) -> Any:
        engine, guarded = Ones(comm, fails), Guarded(f"algo-{comm.rank + 1}")
        try:
            told = begin(engine, "ones", guarded, lambda _name: fails.get("absent") == comm.rank)
            return told, curve(comm, guarded, engine.make, [4, 64], 0.001, 1.0)
        except Failed as failure:
            return str(failure)

    return on_ranks(ranks, run)


def test_an_all_reduce_is_measured_on_all_ranks_alike() -> None:
    for told, points in reduced({}):
        assert told == ("1.0", "ones")
        assert [point["bytes"] for point in points] == [4, 64]
        for point in points:
            rate = point["bytes"] / point["time_us"]["median"] / 1e3
            assert point["algorithm_bandwidth_gb_s"] == pytest.approx(rate, abs=1e-6)
            assert point["bus_bandwidth_gb_s"] == pytest.approx(rate * 4 / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        ({"absent": 1}, "ones is not installed on algo-2"),
        ({"load": 2}, "ImportError on algo-3: no such library"),
        ({"start": 0}, "RuntimeError on algo-1: port in use"),
        ({"run": 1}, "ValueError on algo-2: connection closed"),
    ],
)
def test_what_fails_on_one_rank_is_known_to_all(fails: Dict[str, int], why: str) -> None:
    assert reduced(fails) == [why] * 3


def test_a_rank_that_failed_does_nothing_more() -> None:
    guarded, done = Guarded("algo-1"), []
    guarded(lambda: 1 / 0)
    guarded(lambda: done.append(1))
    assert not done and "ZeroDivisionError on algo-1" in str(guarded.reason)
    with pytest.raises(Failed):
        on_ranks(1, lambda comm: agree(comm, guarded))


def measured(values: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Pairs with latency and bandwidth, and where it is another one the least latency."""

    def points(latency: float, rate: float, least: Optional[float] = None) -> List[Dict[str, Any]]:
        small = {"median": latency, "min": latency if least is None else least}
        large = {"median": latency * 2, "min": latency * 2}
        rates = {"median": rate, "max": rate}
        return [
            {"bytes": 8, "latency_us": small, "bandwidth_mb_s": {"median": 1.0, "max": 1.0}},
            {"bytes": 1024, "latency_us": large, "bandwidth_mb_s": rates},
        ]

    return [{"a": names.split()[0], "b": names.split()[1], "points": points(*costs)} for names, costs in values.items()]


def test_what_stands_out_a_little_is_measured_again_at_the_sizes_that_tell() -> None:
    hosts = ["x", "y", "z"]
    assert matrix.standing_out(measured({"x y": (10, 100), "x z": (11, 99), "y z": (12, 90)}), hosts) == {}
    found = matrix.standing_out(measured({"x y": (10, 100), "x z": (20, 99), "y z": (12, 50)}), hosts)
    assert found == {(0, 2): [8], (1, 2): [8, 1024]}
    # Two hosts have nothing to stand out of; a host whose pairs are all worse by far is no noise.
    assert matrix.standing_out(measured({"x y": (10, 100)}), ["x", "y"]) == {}
    assert matrix.standing_out(measured({"x y": (10, 100), "x z": (999, 99), "y z": (999, 90)}), hosts) == {}


def test_what_a_busy_core_did_to_a_pair_is_measured_again_also_beside_a_slow_host() -> None:
    # Half of the pairs are those of a: the median of all pairs is one of them.
    pairs = {"a b": (1286, 9, 1194), "a c": (1229, 9, 1183), "a d": (1274, 9, 1178)}
    good = {"b c": (903, 9, 122), "b d": (20, 9, 14), "c d": (18, 9, 14)}
    assert matrix.standing_out(measured({**pairs, **good}), ["a", "b", "c", "d"]) == {(1, 2): [8]}


def test_the_better_of_two_measurements_counts() -> None:
    (old,) = measured({"x y": (10, 100)})
    (new,) = measured({"x y": (5, 50)})
    matrix.better(old, new)
    assert [point["latency_us"]["median"] for point in old["points"]] == [5, 10]
    assert old["points"][1]["bandwidth_mb_s"]["median"] == 100
    # A better sample of the worse one says what the link can do.
    (lucky,) = measured({"x y": (9, 50, 2)})
    matrix.better(old, lucky)
    assert old["points"][0]["latency_us"] == {"median": 5, "min": 2}


def test_the_transport_is_what_the_counters_say() -> None:
    tcp, efa, other = ("tcp", "eth0"), (here.EFA, "rdmap0"), ("tcp", "eth1")
    before = {tcp: 1000, efa: 0, other: 0}
    assert here.carried(before, {tcp: 101_000, efa: 0, other: 50}, 100_000) == ("tcp", "eth0")
    assert here.carried(before, {tcp: 2000, efa: 100_000, other: 0}, 100_000) == (here.EFA, "rdmap0")
    assert here.carried(before, {tcp: 2000, efa: 0, other: 0}, 100_000) == (None, "")
    assert here.carried(before, before, 0) == (None, "")


def test_counters_of_this_host_never_name_the_loopback() -> None:
    assert all(device != "lo" and count >= 0 for (_, device), count in here.counters().items())


def test_the_arguments_of_the_job_are_read_back() -> None:
    settings = Settings(sizes=(8, 64), engines=("mpi", "torch"), pairs=RING, together=True)
    options = main.parse(settings.arguments(log=True))
    assert options.sizes == [8, 64] and options.engines == ["mpi", "torch"] and options.pairs == RING
    assert options.together and options.log and options.limit == settings.limit
    assert not main.parse(settings.arguments(log=False)).log


def test_results_in_the_log_are_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps({"pairs": [{"a": "x", "noise": base64.b64encode(zlib.compress(str(list(range(4000))).encode())).decode()}]})
    main.say_parts(text)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    parts = Parts()
    assert not parts.take(b"[0,algo-1] network: something else")
    for line in lines:
        assert parts.last is None
        assert parts.take(f"[0,algo-1] {line}\n".encode())
    assert parts.last == json.loads(text)
    # Half of a later message does not take away what was whole.
    assert parts.take(lines[0].encode())
    assert parts.last == json.loads(text)


def test_a_part_that_is_damaged_is_left_out() -> None:
    parts = Parts()
    assert parts.take(f"{main.MARK} 1/1 AAAA".encode())
    assert parts.last is None


def test_a_watchdog_ends_a_process_that_hangs_after_its_last_words() -> None:
    text = (
        "import threading\n"
        "from hvdsm.bench.program.pausing import Watchdog\n"
        "with Watchdog(0.05, lambda: print('last words', flush=True)):\n"
        "    threading.Event().wait(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1 and done.stdout == "last words\n"


def test_a_watchdog_leaves_alone_what_ends_in_time() -> None:
    said: List[str] = []
    with Watchdog(60, lambda: said.append("too long")):
        pass
    assert said == []


class Sums:
    """Horovod for TensorFlow, of one rank; its sum is wrong where it is told so."""

    Sum = "sum"

    def __init__(self, size: int, wrong: float = 0.0) -> None:
        self._size = size
        self._wrong = wrong
        self.ended = False

    def init(self) -> None:
        pass

    def size(self) -> int:
        return self._size

    def mpi_enabled(self) -> bool:
        return True

    def allreduce(self, values: List[float], name: str, op: str) -> List[float]:
        assert op == "sum" and name
        return [value * self._size + self._wrong for value in values]

    def shutdown(self) -> None:
        self.ended = True


def horovod(monkeypatch: pytest.MonkeyPatch, hvd: Sums) -> HorovodEngine:
    """An engine whose Horovod is built for TensorFlow."""
    monkeypatch.setitem(sys.modules, "horovod", SimpleNamespace(__version__="0.28.1"))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", hvd)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(ones=lambda shape: [1.0] * shape[0]))  # type: ignore[arg-type]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tensorflow" or None)
    return on_ranks(1, lambda comm: HorovodEngine(comm, 0, "127.0.0.1", 1.0))[0]


def test_horovod_of_tensorflow_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    hvd = Sums(1)
    engine = horovod(monkeypatch, hvd)
    engine.load()
    assert engine.start() == ("0.28.1", "horovod.tensorflow allreduce over MPI, float32")
    engine.make(16)()
    engine.stop()
    assert hvd.ended


def test_a_wrong_sum_and_a_wrong_world_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = horovod(monkeypatch, Sums(1, wrong=0.5))
    engine.load()
    engine.start()
    with pytest.raises(Failed, match=r"sum of 1 ones is 1\.5"):
        engine.make(4)()
    engine = horovod(monkeypatch, Sums(2))
    engine.load()
    with pytest.raises(Failed, match="2 ranks of 1"):
        engine.start()
