"""A single host of an emulated cluster is slowed, in both directions, and the others are not."""

from __future__ import annotations

import sys

import pytest
from emulator_support import run, unavailable
from test_emulator_network import MEASURE, start_server

from hvdsm.emulator import ClusterSpec, EmulatedCluster, SlowHost

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]


def measured(spec: ClusterSpec, host: str) -> tuple[float, float]:
    """Seconds of a round trip between a host and the first one, and for a megabyte to it."""
    with EmulatedCluster.start(spec) as cluster:
        start_server(cluster)
        trip, megabyte = run(cluster, host, [sys.executable, "-c", MEASURE]).out.split()
        return float(trip), float(megabyte)


@pytest.mark.parametrize("slow", ["algo-1", "algo-2"])
def test_the_delay_counts_once_each_way_whoever_begins(slow: str) -> None:
    trip, _ = measured(ClusterSpec(3, slow=(SlowHost(slow, 25.0),)), "algo-2")
    other, _ = measured(ClusterSpec(3, slow=(SlowHost(slow, 25.0),)), "algo-3")
    assert trip >= 0.05
    assert other >= 0.05 if slow == "algo-1" else other < trip


@pytest.mark.parametrize("slow", ["algo-1", "algo-2"])
def test_the_rate_limits_what_it_sends_and_what_it_receives(slow: str) -> None:
    # A megabyte at 32 Mbit/s takes a quarter of a second.
    _, megabyte = measured(ClusterSpec(2, slow=(SlowHost(slow, 0.0, 32.0),)), "algo-2")
    assert megabyte >= 0.25


def test_delays_add_up() -> None:
    spec = ClusterSpec(2, delay_ms=5.0, slow=(SlowHost("algo-1", 10.0), SlowHost("algo-2", 15.0, 500.0)))
    trip, _ = measured(spec, "algo-2")
    assert trip >= 0.06
