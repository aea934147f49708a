"""The arithmetic of the cloud benchmark; nothing is measured here, and no SDK is needed."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from cloud import SDK, Client, beside, counted, cpu_of, numbered, sdk_environment, sdk_version, seconds_until
from measure import Goal


def printed(hosts: int, lines: int) -> list[str]:
    return [f"algo-{host}: {line}" for host in range(1, hosts + 1) for line in numbered(host, lines)]


def test_all_lines_once_in_any_order() -> None:
    lines = ["begins", *printed(12, 50), "ends"]
    random.Random(0).shuffle(lines)
    assert counted("\n".join(lines).encode() + b"\n", 12, 50) == (0, 0)


def test_lost_and_repeated_lines_are_counted_apart() -> None:
    lines = printed(3, 10)
    shown = [*lines[1:], lines[5], lines[5], lines[7]]
    assert counted("\n".join(shown).encode(), 3, 10) == (1, 3)
    assert counted(b"", 3, 10) == (30, 0)


def test_a_line_that_is_not_whole_is_lost() -> None:
    lines = printed(1, 3)
    broken = lines[1][:-2]
    assert counted("\n".join([lines[0], broken, lines[2]]).encode(), 1, 3) == (1, 0)
    assert counted("\n".join([lines[0], lines[1] + lines[2]]).encode(), 1, 3) == (1, 0)


@pytest.mark.parametrize(
    ("now", "phase", "left"), [(100.0, 0.5, 15.0), (115.0, 0.5, 0.0), (116.0, 0.5, 29.0), (190.0, 0.1, 3.0), (158.0, 0.9, 29.0)]
)
def test_seconds_until_a_phase_of_a_cycle(now: float, phase: float, left: float) -> None:
    assert seconds_until(100.0, now, 30.0, phase) == pytest.approx(left)


def test_rows_stand_beside_the_sdk_where_there_is_one() -> None:
    row = beside("end", "s", {"hvdsm": [0.5, 0.9], "sdk": [20.0, 30.0]}, Goal(allowance=1.5))
    assert (row.value, row.peer, row.peer_name, row.met) == (0.7, 25.0, SDK, True)
    alone = beside("end", "s", {"hvdsm": [0.5]})
    assert (alone.peer, alone.peer_name, alone.ratio) == (None, "", None)


def test_cpu_of_a_process_agrees_with_its_own_count() -> None:
    own = os.times()
    assert cpu_of(os.getpid()) == pytest.approx(sum(own[:4]), abs=0.5)


def test_an_environment_without_the_sdk_is_refused(tmp_path: Path) -> None:
    assert sdk_version(str(tmp_path)) == ""
    with pytest.raises(RuntimeError, match="--sdk names a virtual environment"):
        sdk_environment(str(tmp_path))


def test_a_command_that_creates_no_job_is_not_measured(tmp_path: Path) -> None:
    client = Client("none", [sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"], str(tmp_path), os.environ)
    with pytest.raises(RuntimeError, match="none created no job:\nno such thing"):
        client.wait_created()
    with pytest.raises(RuntimeError, match="none ended with 3:\nno such thing"):
        client.wait_returned()


def test_a_command_that_goes_on_is_ended_by_close(tmp_path: Path) -> None:
    client = Client("long", [sys.executable, "-c", "import signal; signal.pause()"], str(tmp_path), os.environ)
    client.note_creation()
    client.wait_created()
    client.close()
    assert client.returned >= client.arrived >= client.begun
