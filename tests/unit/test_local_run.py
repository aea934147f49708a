"""The life of a job, with real processes in place of hosts."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, List, Optional, Tuple

from hvdsm.backends.base import NOTE, OUTPUT
from hvdsm.backends.local.run import INTERRUPTED, STOPPED, TIMEOUT, Run
from hvdsm.backends.local.single import SingleMachine

HOSTS = ("algo-1", "algo-2")


class Machines(SingleMachine):
    """Several "hosts", each a process of this machine."""

    lost: Tuple[str, ...] = ()


def run(tmp_path: Path, program: str, max_run: float = 100, grace: float = 10, **patience: float) -> Run:
    made = Run(time.monotonic(), max_run, grace, **patience)
    environments = {host: {**os.environ, "HOST": host, "PYTHONUNBUFFERED": "1"} for host in HOSTS}
    made.start_programs(
        Machines(), environments, str(tmp_path), [sys.executable, "-c", "import os, signal, sys, time\n" + program]
    )
    return made


def drive(made: Run, on_output: Any = None) -> Tuple[bytes, List[str]]:
    shown, said = b"", []
    for event in made.events():
        if event.kind == OUTPUT:
            shown += event.data
            if on_output:
                on_output(shown)
        elif event.kind == NOTE:
            said.append(event.text)
    return shown, said


def codes(made: Run) -> List[Optional[int]]:
    return [host.exit_code for host in made.hosts]


def test_output_and_exit_codes(tmp_path: Path) -> None:
    made = run(tmp_path, "print('[0,' + os.environ['HOST'] + '] x'); print('own'); sys.exit(7)")
    shown, said = drive(made)
    assert sorted(shown.splitlines()) == [b"[0,algo-1] x", b"own", b"own"]
    assert (codes(made), said, made.reason) == ([7, 7], [], None)
    assert (tmp_path / "algo-2.log").read_bytes() == b"[0,algo-2] x\nown\n"


def test_much_output_is_whole(tmp_path: Path) -> None:
    made = run(tmp_path, "sys.stdout.write(('x' * 999 + '\\n') * 5000)")
    shown, _ = drive(made)
    assert len(shown) == 10_000_000
    assert all(os.path.getsize(tmp_path / f"{host}.log") == 5_000_000 for host in HOSTS)


def test_time_limit(tmp_path: Path) -> None:
    made = run(tmp_path, "signal.signal(15, lambda *_: sys.exit(0)); time.sleep(600)", max_run=1)
    _, said = drive(made)
    assert (made.reason, made.stragglers) == (TIMEOUT, [])
    assert any("time limit of 1 s" in text for text in said)


def test_time_limit_of_a_program_that_does_not_heed(tmp_path: Path) -> None:
    program = "signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(600)"
    made = run(tmp_path, program, max_run=1, grace=0.2, margin=0.2)
    _, said = drive(made)
    assert (made.reason, made.stragglers) == (TIMEOUT, list(HOSTS))
    assert any("killed" in text for text in said)


def test_first_interrupt_is_orderly(tmp_path: Path) -> None:
    made = run(tmp_path, "signal.signal(15, lambda *_: (print('saving'), sys.exit(0))); print('ready'); time.sleep(600)")
    stopped: List[int] = []

    def on_output(shown: bytes) -> None:
        if shown.count(b"ready\n") == 2 and not stopped:
            stopped.append(1)
            made.stop(signal.SIGINT)

    shown, _ = drive(made, on_output)
    assert shown.count(b"saving") == 2
    assert (made.reason, made.stop_signal, codes(made)) == (STOPPED, signal.SIGINT, [0, 0])


def test_second_interrupt_is_at_once(tmp_path: Path) -> None:
    made = run(tmp_path, "signal.signal(15, lambda *_: print('term')); print('ready')\nwhile True: time.sleep(600)")

    def on_output(shown: bytes) -> None:
        if (shown.count(b"ready\n") == 2 and b"term" not in shown) or shown.endswith(b"term\n"):
            made.stop(signal.SIGINT)

    _, said = drive(made, on_output)
    assert (made.reason, made.stragglers) == (STOPPED, list(HOSTS))
    assert "stopped at once" in said


def test_a_host_that_does_not_end_with_the_others(tmp_path: Path) -> None:
    made = run(tmp_path, "time.sleep(600 if os.environ['HOST'] == 'algo-2' else 0)", straggle=0.5)
    drive(made)
    assert made.stragglers == ["algo-2"]


def test_a_daemon_that_holds_the_output_keeps_nobody_waiting(tmp_path: Path) -> None:
    made = run(tmp_path, "print('x')\nif os.fork() == 0:\n os.setsid()\n time.sleep(600)")
    shown, _ = drive(made)
    assert (shown, codes(made)) == (b"x\nx\n", [0, 0])


def test_closing_early_ends_the_programs(tmp_path: Path) -> None:
    made = run(tmp_path, "print('x'); time.sleep(600)")
    events = made.events()
    next(events)
    events.close()
    assert [host.process.wait(60) for host in made.hosts] == [137, 137]
    made.stop()


RUNNING = (
    "signal.signal(15, lambda *_: (print('saving', flush=True), sys.exit(0))); print('hvdsm: 2 of 2 ranks running (0.10 s)'); "
)


def test_hosts_are_taken_away_some_time_after_the_ranks_run(tmp_path: Path) -> None:
    made = run(tmp_path, RUNNING + "time.sleep(600)", interrupt_after=0.1)
    shown, said = drive(made)
    assert (made.reason, made.stragglers, made.asked_to_stop()) == (INTERRUPTED, [], False)
    assert shown.count(b"saving") == 2 and any("interruption after 0.1 s" in text for text in said)


def test_what_a_rank_says_is_no_sign_that_ranks_run(tmp_path: Path) -> None:
    made = run(tmp_path, "print('[0,algo-1] hvdsm: 2 of 2 ranks running'); print('1 of 2 ranks running')", interrupt_after=0.001)
    drive(made)
    assert (made.reason, codes(made)) == (None, [0, 0])


def test_a_stop_during_an_interruption_is_a_stop(tmp_path: Path) -> None:
    program = RUNNING.replace("sys.exit(0)", "None") + "\nwhile True: time.sleep(600)"
    made = run(tmp_path, program, interrupt_after=0.001)

    heard = [0]

    def on_output(shown: bytes) -> None:
        # A host may be interrupted before it can handle it: one that says so is enough, twice.
        if shown.count(b"saving") > heard[-1] and len(heard) < 3:
            heard.append(shown.count(b"saving"))
            made.stop(signal.SIGINT)

    _, said = drive(made, on_output)
    assert (made.reason, made.asked_to_stop(), "stopped at once" in said) == (STOPPED, True, True)


def test_the_time_limit_counts_what_an_earlier_run_has_used(tmp_path: Path) -> None:
    made = run(tmp_path, "time.sleep(600)", max_run=100, used=99.9)
    _, said = drive(made)
    assert made.reason == TIMEOUT and any("time limit of 100 s" in text for text in said)
