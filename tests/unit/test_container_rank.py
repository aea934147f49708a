"""A rank's environment, the report of a job, the ledger and the loop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from hvdsm.compose.environment import Paths
from hvdsm.compose.mpirun import rank_program
from hvdsm.container.conductor import Ledger, launch_failure, mpirun_verdict
from hvdsm.container.loop import Loop
from hvdsm.container.rank import merged_environment, place
from hvdsm.container.report import write_outcome
from hvdsm.model import JobOutcome


def test_a_process_that_nobody_placed_is_alone() -> None:
    assert place({}) == {"rank": 0, "local_rank": 0, "world_size": 1, "local_world_size": 1}
    assert place({"PMIX_RANK": "5", "HVDSM_RANK": "2"})["rank"] == 2


def test_a_colon_alone_reaches_the_script() -> None:
    # For mpirun it would begin another program.
    words = [":", "%:", "%%:", "a:b", "%", "", "::"]
    command = rank_program(sys.executable, [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words])
    assert ":" not in command
    env = {name: value for name, value in os.environ.items() if name != "HVDSM_SESSION"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == words


def test_credentials_stay_those_of_the_host() -> None:
    name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
    merged = merged_environment({name: "/v2/own"}, {name: "/v2/launcher", "AWS_SECRET_ACCESS_KEY": "leak"}, [])
    assert merged == {name: "/v2/own"}


def test_an_exported_variable_wins_also_when_empty() -> None:
    assert merged_environment({"A": "host"}, {"A": ""}, ["A"]) == {"A": ""}


@pytest.mark.parametrize(("host", "mpi"), [("", "/mpi"), ("/a", "/mpi:"), ("/a", ":/mpi")])
def test_search_paths_get_no_empty_entry(host: str, mpi: str) -> None:
    merged = merged_environment({"LD_LIBRARY_PATH": host}, {"LD_LIBRARY_PATH": mpi}, [])
    assert "" not in merged["LD_LIBRARY_PATH"].split(":")


def test_files_of_an_outcome(tmp_path: Path) -> None:
    said: List[str] = []
    paths = Paths(str(tmp_path))
    record = tmp_path / "deep" / "outcome.json"
    write_outcome(JobOutcome("j", "Completed", 0), paths, str(record), said.append)
    assert (tmp_path / "output" / "success").read_text() == ""
    assert json.loads(record.read_text())["status"] == "Completed"
    failed = JobOutcome("j", "Failed", 78, failure=launch_failure("no \udc80", 78, 0.0, host="a"))
    write_outcome(failed, paths, None, said.append)
    assert (tmp_path / "output" / "failure").read_text() == "a: no \\udc80\nClientError: ExitCode 78\n"
    assert not said


def test_the_scripts_own_failure_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "failure").write_text("mine")
    failed = JobOutcome("j", "Failed", 1, failure=launch_failure("ours", 1, 0.0))
    write_outcome(failed, Paths(str(tmp_path)), None, lambda _text: None)
    assert (tmp_path / "output" / "failure").read_text() == "mine"


def test_a_file_that_cannot_be_written_goes_to_the_log(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file where a directory should be")
    said: List[str] = []
    failed = JobOutcome("j", "Failed", 1, failure=launch_failure("the reason", 1, 0.0))
    write_outcome(failed, Paths(str(tmp_path)), None, said.append)
    assert "cannot write" in said[0]
    assert "the reason" in said[0]


def event(rank: int, code: int = 0, **more: object) -> dict:
    return {"rank": rank, "local_rank": 0, "world_size": 2, "exit_code": code, **more}


def ledger() -> Ledger:
    found = Ledger("j", ["a", "b"])
    for rank, host in enumerate("ab"):
        found.on_started(host, event(rank))
    return found


def test_an_exception_is_not_counted_again_when_its_process_ends() -> None:
    found = ledger()
    found.on_failure("b", event(1, 1, exception="ValueError", message="bad", traceback="T"), 1.0)
    found.on_exited("b", event(1, 1), 1.1)
    found.on_exited("a", event(0, 143, signal=15), 1.2)
    outcome = found.outcome(2.0)
    assert outcome.failure is not None
    assert (outcome.exit_code, outcome.failure.rank, outcome.failure.exception) == (1, 1, "ValueError")
    assert found.hosts_running() == set()


def test_a_stop_is_no_failure() -> None:
    found = ledger()
    found.stopping = True
    found.on_exited("a", event(0, 143, signal=15), 1.0)
    found.on_exited("b", event(1, 0), 1.0)
    outcome = found.outcome(1.0)
    assert (outcome.status, outcome.exit_code, outcome.failure) == ("Stopped", 143, None)
    assert not found.failed


def test_a_missing_rank_is_no_success() -> None:
    found = Ledger("j", ["a", "b"])
    found.on_started("a", event(0))
    found.on_exited("a", event(0), 1.0)
    assert found.all_ended
    assert not found.all_succeeded


@pytest.mark.parametrize(
    ("code", "started", "expected"), [(0, 0, 78), (1, 0, 78), (-9, 0, 78), (7, 4, 7), (-9, 4, 137), (0, 4, 1)]
)
def test_mpirun_never_ends_the_job_with_success(code: int, started: int, expected: int) -> None:
    assert mpirun_verdict(code, started, "")[1] == expected


def test_timers_run_in_order_and_can_be_cancelled() -> None:
    loop = Loop()
    seen: List[str] = []
    loop.later(0.02, loop.stop)
    loop.later(0.01, lambda: seen.append("second"))
    loop.later(0.0, lambda: seen.append("first"))
    loop.later(0.0, lambda: seen.append("cancelled")).cancel()
    loop.run()
    assert seen == ["first", "second"]


def test_a_descriptor_unwatched_in_the_same_round_is_not_called() -> None:
    loop = Loop()
    seen: List[int] = []
    pipes = [os.pipe() for _ in range(2)]

    def ready(index: int) -> None:
        seen.append(index)
        for read, _ in pipes:
            loop.unwatch(read)
        loop.stop()

    for index, (read, write) in enumerate(pipes):
        loop.watch(read, 1, lambda _events, index=index: ready(index))  # type: ignore[misc]
        os.write(write, b"x")
    loop.run()
    for read, write in pipes:
        os.close(read)
        os.close(write)
    assert len(seen) == 1


def test_signals_call_back_in_the_loop() -> None:
    loop = Loop()
    before = signal.getsignal(signal.SIGUSR1)
    try:
        loop.on_signals({signal.SIGUSR1: loop.stop})
        loop.later(0.0, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        loop.run()
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)
