"""Jobs in directories of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from hvdsm.backends.local.running import process_start
from hvdsm.errors import ConfigError, UsageError
from hvdsm.jobs.base import Line
from hvdsm.jobs.files import LogFiles
from hvdsm.jobs.local import LocalRun, find_run, runs_in
from hvdsm.jobs.lookup import Filters, Where, find_job, list_all
from hvdsm.jobs.tables import plain, state_lines
from hvdsm.model import JobOutcome

REQUEST = {
    "TrainingJobName": "one",
    "HyperParameters": {"sagemaker_program": "train.py", "api_key": "hidden"},
    "ResourceConfig": {"InstanceCount": 2, "InstanceType": "local"},
}
# Waits to be stopped, and tells that it was.
WAITS = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); print('ready', flush=True); signal.pause()"


def run_in(root: Path, name: str = "one", **files: Any) -> LocalRun:
    directory = root / name
    (directory / "logs").mkdir(parents=True)
    for file, content in {"request": REQUEST, **files}.items():
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (directory / f"{file}.json").write_text(text)
    found = find_run(name, str(root))
    assert found is not None
    return found


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE) as started:
        assert started.stdout is not None and started.stdout.readline() == b"ready\n"
        yield started
        started.kill()


def running(process: subprocess.Popen[bytes], shift: int = 0) -> dict[str, Any]:
    start = process_start(process.pid)
    return {"pid": process.pid, "started": 1e9, "process_start": None if start is None else start + shift}


def logged(files: LogFiles, *, last: bool = True) -> list[Line]:
    return [line for batch in files.batches(last=last) for line in batch]


def test_a_job_that_runs(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    run = run_in(tmp_path, running=running(process))
    state = run.state()
    assert (state.summary.status, state.hosts, state.exit_code) == ("InProgress", ("algo-1", "algo-2"), None)
    assert f"process {process.pid}" in "\n".join(state_lines(state, run.place))
    assert run.stop(now=False) == f"one is being stopped (process {process.pid})"
    assert process.wait(60) == 5
    assert run.state().summary.status == "Lost"
    assert "nothing runs it" in run.stop(now=False)


def test_now_is_a_second_signal(tmp_path: Path) -> None:
    text = "import signal, sys; got = []; h = lambda n, f: got.append(n); signal.signal(15, h); signal.signal(2, h)\n"
    text += "print('ready', flush=True)\nwhile len(got) < 2: signal.pause() if not got else None\nsys.exit(len(got))"
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert "killed" in run_in(tmp_path, running=running(process)).stop(now=True)
        assert process.wait(60) == 2


def test_a_process_of_the_same_number_is_another(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    run = run_in(tmp_path, running=running(process, shift=1))
    assert run.state().summary.status == "Lost"
    run.stop(now=True)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 5


def test_a_job_that_has_ended(tmp_path: Path) -> None:
    outcome = JobOutcome("one", "Failed", 7, ranks_per_host={"algo-1": 2}, phases={"hosts up": 0.1}, seconds=2.5)
    run = run_in(tmp_path, outcome=json.loads(outcome.to_json()))
    state = run.state()
    assert (state.summary.status, state.exit_code, state.seconds) == ("Failed", 7, 2.5)
    assert run.wait(print).exit_code == 7
    assert "ended already" in run.stop(now=False)
    described = json.dumps(run.describe())
    assert "hidden" not in described and "masked" in described


def test_a_job_without_an_outcome_was_lost(tmp_path: Path) -> None:
    run = run_in(tmp_path, outcome="{ not JSON")
    assert run.state().summary.status == "Lost"
    assert "lost" in run.state().notes[0]
    assert run.wait(print).exit_code == 1


def test_names(tmp_path: Path) -> None:
    run_in(tmp_path, "first-job")
    where = Where(str(tmp_path), "local")
    assert find_job("first-job", where).name == "first-job"
    assert find_job(str(tmp_path / "first-job"), Where("elsewhere", "local")).name == "first-job"
    with pytest.raises(ConfigError, match="did you mean first-job"):
        find_job("first-jab", where)
    for name in ("..", "a b", "-x", ""):
        with pytest.raises(UsageError, match="no name of a job"):
            find_job(name, where)
    (tmp_path / "no-job").mkdir()
    assert find_run("no-job", str(tmp_path)) is None
    assert runs_in(str(tmp_path / "nothing")) == []


def test_a_list(tmp_path: Path) -> None:
    for number, status in enumerate(("Completed", "Failed", "Failed")):
        outcome = json.loads(JobOutcome("x", status, number).to_json())
        run = run_in(tmp_path, f"job-{number}", outcome=outcome)
        for name in ("request.json", "outcome.json"):
            os.utime(os.path.join(run.directory, name), (1000.0 * number + (name[0] == "o"), 1000.0 * number + (name[0] == "o")))
    run_in(tmp_path, "far", job={"backend": "sagemaker", "job_name": "far", "region": "eu-west-1"})
    where = Where(str(tmp_path), "local")
    names = [job.name for job in list_all(where, Filters())[0]]
    assert names == ["far", "job-2", "job-1", "job-0"]
    assert [job.name for job in list_all(where, Filters(status="Failed", limit=1))[0]] == ["job-2"]
    assert [job.name for job in list_all(where, Filters(name="JOB", since=1000.0))[0]] == ["job-2", "job-1"]
    (far,) = list_all(where, Filters(status="Submitted"))[0]
    assert (far.backend, far.place) == ("sagemaker", "eu-west-1")
    lines = plain(list_all(where, Filters(name="job"))[0], 5000.0)
    assert lines[0].split() == ["NAME", "WHERE", "STATUS", "EXIT", "CREATED", "TOOK", "PLACE"]
    assert len({line.index("local") for line in lines[1:]}) == 1 and "1.0 s" in lines[1]
    with pytest.raises(UsageError, match="no status"):
        Filters(status="Broken")


def test_logs_grow(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    logs = tmp_path / "one" / "logs"
    files = LogFiles(run.directory, "algo-2")
    assert logged(files, last=False) == []
    (logs / "algo-10.log").write_bytes(b"x\n")
    (logs / "algo-2.log").write_bytes(b"a\nb")
    assert [(line.host, line.data) for line in logged(files, last=False)] == [("algo-2", b"a"), ("algo-10", b"x")]
    with open(logs / "algo-2.log", "ab") as file:
        file.write(b"c\n\nd")
    # An interruption takes the logs away while they are read.
    logs.rename(tmp_path / "one" / "logs-interrupted")
    logs.mkdir()
    (logs / "algo-2.log").write_bytes(b"second\n")
    assert [line.data for line in logged(files)] == [b"bc", b"", b"d", b"second"]
    assert logged(files) == []


def test_since_of_files(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    for number in (1, 2):
        path = tmp_path / "one" / "logs" / f"algo-{number}.log"
        path.write_bytes(b"x\n")
        os.utime(path, (number * 100, number * 100))
    said: list[str] = []
    batches = run.lines(hosts=None, since=150.0, follow=False, say=said.append)
    assert [line.host for batch in batches for line in batch] == ["algo-2"]
    assert "no times" in said[0] and "left out: algo-1" in said[0]


def test_a_command_of_the_requests_own_repeats_nothing(tmp_path: Path) -> None:
    own = {**REQUEST, "AlgorithmSpecification": {"ContainerEntrypoint": ["bash", "-c", "true"]}}
    assert not run_in(tmp_path, request=own).repeats()
    assert run_in(tmp_path, "two").repeats()
