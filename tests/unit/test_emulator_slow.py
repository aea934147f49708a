"""Slow hosts of an emulated cluster: how they are named, and what the switch makes of them."""

from __future__ import annotations

import pytest

from hvdsm.backends.local import LocalOptions
from hvdsm.backends.local.notes import shape_notes
from hvdsm.emulator import ClusterSpec
from hvdsm.emulator.switch import Link, Rates, make_links
from hvdsm.errors import UsageError
from hvdsm.model.slow import SlowHost, parse_slow_host, slow_hosts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("algo-3:delay-ms=20,mbit=100", SlowHost("algo-3", 20.0, 100.0)),
        ("3:delay-ms=0.5", SlowHost("algo-3", 0.5)),
        ("algo-1:mbit=1e3", SlowHost("algo-1", 0.0, 1000.0)),
        ("algo-2: mbit=10, delay_ms=1", SlowHost("algo-2", 1.0, 10.0)),
    ],
)
def test_a_slow_host_is_read(text: str, found: SlowHost) -> None:
    assert parse_slow_host(text) == found
    assert parse_slow_host(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "algo-3", "algo-3:", ":mbit=1", "algo-3:mbit", "algo-3:mbit=0", "algo-3:mbit=-1", "algo-3:mbit=nan",
             "algo-3:mbit=inf", "algo-3:rate=3", "algo-3:mbit=1,mbit=2", "algo-3:delay-ms=20 mbit=100"]
)  # fmt: skip
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_slow_host(text)


@pytest.mark.parametrize(
    "slow",
    [("algo-9:mbit=1",), ("algo-1:mbit=1", "algo-1:delay-ms=3"), (SlowHost("algo-1"),), (SlowHost("algo-1", -1.0),),
     (SlowHost("algo-1", float("nan")),)],
)  # fmt: skip
def test_a_cluster_refuses_slow_hosts_that_cannot_be(slow: tuple) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError):
        ClusterSpec(2, slow=slow_hosts(slow)).check()


@pytest.mark.parametrize("number", [-1.0, float("nan"), float("inf")])
def test_a_cluster_refuses_a_network_that_cannot_be(number: float) -> None:
    for wrong in (ClusterSpec(2, delay_ms=number), ClusterSpec(2, mbit=number)):
        with pytest.raises(UsageError, match=f"{number:g} M?[mb]"):
            wrong.check()


def test_a_slow_host_is_slow_in_both_directions() -> None:
    links = make_links([1, 2, 3], 0.005, 100.0, {2: (0.02, 10.0), 3: (0.0, 1000.0)})
    assert links[1] == Link(0.005, 100.0, 0.0, 0.0)
    assert links[2] == Link(0.025, 10.0, 0.02, 10.0)
    # A link of its own that is faster does not make it faster than all are.
    assert links[3] == Link(0.005, 100.0, 0.0, 1000.0)
    assert make_links([1], 0.0, 0.0, {}) == {1: Link()}


def test_frames_wait_for_those_before_them_and_are_dropped_behind_a_long_queue() -> None:
    rates = Rates()
    assert rates.pass_frame(1, 10.0, 1250, 0.0) == 10.0
    # 1250 bytes are a millisecond at 10 Mbit/s.
    assert rates.pass_frame(1, 10.0, 1250, 10.0) == pytest.approx(10.001)
    assert rates.pass_frame(1, 10.0, 1250, 10.0) == pytest.approx(10.002)
    assert rates.pass_frame(2, 10.0, 1250, 10.0) == pytest.approx(10.001)
    assert rates.pass_frame(1, 11.0, 1250, 10.0) == pytest.approx(11.001)
    assert rates.pass_frame(1, 11.0, 1_250_000, 10.0) == pytest.approx(12.001)
    assert rates.pass_frame(1, 11.0, 1250, 10.0) is None


def test_a_rehearsal_says_how_the_network_is_slowed() -> None:
    assert shape_notes(LocalOptions()) == []
    (note,) = shape_notes(LocalOptions(delay_ms=5.0, slow_hosts=(SlowHost("algo-2", 20.0, 100.0),)))
    assert "5 ms one way" in note and "algo-2 is slower: 20 ms more in each direction and 100 Mbit/s at most" in note


def test_options_of_a_rehearsal_take_texts() -> None:
    assert LocalOptions(slow_hosts=("3:mbit=1",)).slow_hosts == (SlowHost("algo-3", 0.0, 1.0),)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        LocalOptions(slow_hosts=("algo-3",))  # type: ignore[arg-type]
