"""What ``hvdsm launch --backend sagemaker`` does when AWS, the network or the user gets in the way."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest
from cloud_launching import BASE as _BASE
from cloud_launching import created, ended, launch, outcome_of, read_until, start

from hvdsm.compose.outcome_line import encode_outcome
from hvdsm.model import JobOutcome, RankFailure
from hvdsm.sandbox import Fault, Pace, Sandbox, Script

FAILURE = RankFailure(
    "exception", "no", 1, host="algo-2", rank=1, local_rank=0, exception="ValueError", traceback="Traceback: no\n"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print()\n")
    return tmp_path


def report(code: int = 0, status: str = "Completed", **more: Any) -> str:
    return encode_outcome(JobOutcome("job", status, code, **more))


def lines(code: int = 0, count: int = 3) -> Dict[str, List[str]]:
    said = [f"[0,algo-1] line {index}" for index in range(count)]
    return {"algo-1": ["hvdsm: begins", *said, report(code, "Completed" if code == 0 else "Failed")]}


def asked(sandbox: Sandbox, operation: str) -> int:
    return sum(name == operation for name, _ in sandbox.requests)


@pytest.mark.parametrize(
    "operation", ["CreateTrainingJob", "DescribeTrainingJob", "DescribeLogStreams", "GetLogEvents", "PutObject"]
)
@pytest.mark.parametrize("error", ["ThrottlingException", "InternalFailure"])
def test_what_passes_is_tried_again(sandbox: Sandbox, place: Path, operation: str, error: str) -> None:
    sandbox.script("job", Script(lines=lines()))
    if operation == "PutObject":
        error = {"ThrottlingException": "SlowDown"}.get(error, "InternalError")
    sandbox.faults.add(Fault(operation, times=3, error=error, status=503 if operation == "PutObject" else None))
    done = launch(sandbox, place, "--job-name", "job", "train.py")
    assert done.code == 0, done.text
    assert [line for line in done.lines if "line" in line and "[0," in line] == [f"[0,algo-1] line {index}" for index in range(3)]
    assert len(sandbox.jobs) == 1 and not sandbox.faults.left()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_is_lost_makes_no_second_job(sandbox: Sandbox, place: Path, when: str) -> None:
    sandbox.script("job", Script(lines=lines()))
    sandbox.faults.add(Fault("CreateTrainingJob", drop_connection=when))
    done = launch(sandbox, place, "--job-name", "job", "train.py")
    assert done.code == 0, done.text
    assert list(sandbox.jobs) == ["job"]


def test_a_name_that_is_taken(sandbox: Sandbox, place: Path) -> None:
    assert launch(sandbox, place, "--job-name", "job", "--no-wait", "train.py").code == 0
    done = launch(sandbox, place, "--job-name", "job", "--output", "other", "train.py")
    assert done.code == 78 and "--job-name" in done.text, done.text
    assert "no job was created; uploaded until then" in done.text
    assert not (place / "other").exists()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("AccessDeniedException", 78, "IAM"),
        ("ResourceLimitExceeded", 78, "ml.p4d.24xlarge for training job usage"),
        ("ExpiredTokenException", 69, "expired"),
        ("UnrecognizedClientException", 69, "credentials"),
        ("ValidationException", 78, "refuses"),
    ],
)
def test_a_job_that_may_not_be_created(sandbox: Sandbox, place: Path, error: str, code: int, said: str) -> None:
    sandbox.faults.add(Fault("CreateTrainingJob", times=None, error=error))
    done = launch(sandbox, place, "--job-name", "job", "train.py")
    assert (done.code, said in done.text) == (code, True), done.text
    assert "no job was created; uploaded until then" in done.text and "sourcedir.tar.gz" in done.text
    assert not (place / "hvdsm-out").exists()


def test_credentials_that_have_expired_already(sandbox: Sandbox, place: Path) -> None:
    environ = sandbox.environ()
    sandbox.expire_credentials()
    done = launch(sandbox, place, "--job-name", "job", "train.py", env=environ)
    assert done.code == 69 and "expired" in done.text, done.text
    assert created(sandbox) == []


def test_credentials_that_expire_while_a_job_is_followed(sandbox: Sandbox, place: Path) -> None:
    sandbox.script("job", Script.held(lines={"algo-1": ["hvdsm: begins", "here"]}))
    process = start(sandbox, place, "launch", *_BASE, "--job-name", "job", "train.py")
    read_until(process, "here")
    sandbox.expire_credentials()
    done = ended(process)
    assert done.code == 69 and "expired" in done.text, done.text
    assert "job goes on without this command" in done.text and "hvdsm jobs wait job" in done.text
    assert sandbox.jobs["job"].status == "InProgress"


def test_no_credentials_and_no_region(sandbox: Sandbox, place: Path) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": ""}
    done = launch(sandbox, place, "train.py", env=nobody)
    assert done.code == 69 and "no AWS credentials" in done.text, done.text
    done = launch(sandbox, place, "train.py", env={"AWS_REGION": "", "AWS_DEFAULT_REGION": ""})
    assert done.code == 78 and "--region" in done.text, done.text


def test_no_capacity(sandbox: Sandbox, place: Path) -> None:
    sandbox.script("job", Script.capacity())
    done = launch(sandbox, place, "--job-name", "job", "train.py")
    assert done.code == 69 and "Unable to provision requested ML compute capacity" in done.text, done.text
    assert outcome_of(place, "job")["status"] == "Failed"


def test_a_job_that_fails_before_there_are_logs(sandbox: Sandbox, place: Path) -> None:
    sandbox.script("job", Script.failing("ClientError: Cannot pull image, exit code: 1"))
    done = launch(sandbox, place, "--job-name", "job", "train.py")
    assert done.code == 1 and "Cannot pull image" in done.text, done.text


def test_a_rank_that_failed_is_reported_as_locally(sandbox: Sandbox, place: Path) -> None:
    said = report(7, "Failed", failure=FAILURE, world_size=2, ranks_per_host={"algo-1": 1, "algo-2": 1})
    script = Script(
        status="Failed", reason="AlgorithmError: x, exit code: 7", lines={"algo-1": ["hvdsm: begins", said]}, model=False
    )
    sandbox.script("job", script)
    done = launch(sandbox, place, "--job-name", "job", "--instance-count", "2", "train.py")
    assert done.code == 7, done.text
    assert "rank 1 (algo-2, local rank 0): ValueError: no" in done.text and "Traceback: no" in done.text
    assert outcome_of(place, "job")["failure"]["rank"] == 1


def test_time_limit(sandbox: Sandbox, place: Path) -> None:
    sandbox.script("job", Script.overtime(lines()))
    done = launch(sandbox, place, "--job-name", "job", "--max-run", "60", "train.py")
    assert done.code == 75 and "MaxRuntimeInSeconds is 60" in done.text, done.text


def test_stopped_from_elsewhere(sandbox: Sandbox, place: Path) -> None:
    sandbox.script("job", Script.held(lines={"algo-1": ["hvdsm: begins", "here"]}))
    process = start(sandbox, place, "launch", *_BASE, "--job-name", "job", "train.py")
    read_until(process, "here")
    sandbox.jobs["job"].stop()
    done = ended(process)
    assert done.code == 143 and "Stopping" in done.text, done.text
    assert outcome_of(place, "job")["status"] == "Stopped"


def test_the_network_goes_away_and_comes_back(sandbox: Sandbox, place: Path) -> None:
    sandbox.script("job", Script.held(lines={"algo-1": ["hvdsm: begins", "here"]}))
    process = start(sandbox, place, "launch", *_BASE, "--job-name", "job", "train.py")
    read_until(process, "here")
    sandbox.go_offline()
    seen = read_until(process, "waiting up to")
    sandbox.go_online()
    sandbox.release("job")
    done = ended(process)
    assert done.code == 0, seen + done.text
    assert "goes on" in done.text


def test_an_interrupt_leaves_the_job(sandbox: Sandbox, place: Path) -> None:
    sandbox.script("job", Script.held(lines={"algo-1": ["hvdsm: begins", "here"]}))
    process = start(sandbox, place, "launch", *_BASE, "--job-name", "job", "train.py")
    read_until(process, "here")
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.code == 130, done.text
    assert "hvdsm jobs wait job" in done.text and "hvdsm jobs stop job" in done.text
    assert sandbox.jobs["job"].status == "InProgress" and asked(sandbox, "StopTrainingJob") == 0


def test_an_interrupt_stops_the_job_when_asked_to(sandbox: Sandbox, place: Path) -> None:
    sandbox.script("job", Script.held(lines={"algo-1": ["hvdsm: begins", "here"]}))
    process = start(sandbox, place, "launch", *_BASE, "--stop-on-interrupt", "--job-name", "job", "train.py")
    read_until(process, "here")
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.code == 143, done.text
    assert asked(sandbox, "StopTrainingJob") == 1 and sandbox.jobs["job"].status == "Stopped"


def test_a_second_interrupt_leaves_a_job_that_is_stopping(tmp_path: Path, place: Path) -> None:
    with Sandbox.start(pace=Pace(stopping=60)) as sandbox:
        sandbox.script("job", Script.held(lines={"algo-1": ["hvdsm: begins", "here"]}))
        process = start(sandbox, place, "launch", *_BASE, "--stop-on-interrupt", "--job-name", "job", "train.py")
        read_until(process, "here")
        process.send_signal(signal.SIGINT)
        read_until(process, "Stopping")
        process.send_signal(signal.SIGINT)
        done = ended(process)
        assert done.code == 130 and "is being stopped" in done.text, done.text


@pytest.mark.parametrize(("operation", "service"), [("GetCallerIdentity", None), ("PutObject", "s3")])
def test_an_interrupt_before_there_is_a_job(sandbox: Sandbox, place: Path, operation: str, service: Any) -> None:
    sandbox.faults.add(Fault(operation, service=service, times=None, delay=2.0, drop_connection=True))
    process = start(sandbox, place, "launch", *_BASE, "--job-name", "job", "train.py")
    # The fault is struck when the request has come; it waits then.
    assert sandbox.wait_for_request(operation, timeout=60)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.code == 130, done.text
    assert sandbox.jobs == {} and not (place / "hvdsm-out").exists()


@pytest.mark.parametrize("stop", [False, True])
def test_an_interrupt_while_the_job_is_created_waits_for_the_answer(sandbox: Sandbox, place: Path, stop: bool) -> None:
    sandbox.script("job", Script.held())
    sandbox.faults.add(Fault("CreateTrainingJob", delay=2.0))
    words = ["--stop-on-interrupt"] if stop else []
    process = start(sandbox, place, "launch", *_BASE, *words, "--job-name", "job", "train.py")
    read_until(process, "creating the job")
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.code == 130, done.text
    assert "no job was created" not in done.text and "created arn:" in done.text
    assert ("is being stopped" if stop else "hvdsm jobs stop job") in done.text
    assert asked(sandbox, "StopTrainingJob") == (1 if stop else 0) and list(sandbox.jobs) == ["job"]


def test_a_second_interrupt_while_the_job_is_created_says_that_it_may_be(sandbox: Sandbox, place: Path) -> None:
    sandbox.script("job", Script.held())
    sandbox.faults.add(Fault("CreateTrainingJob", times=None, drop_connection="after"))
    process = start(sandbox, place, "launch", *_BASE, "--job-name", "job", "train.py")
    assert sandbox.wait_for_request("CreateTrainingJob", timeout=60)
    process.send_signal(signal.SIGINT)
    assert sandbox.wait_for_request("CreateTrainingJob", count=2, timeout=60)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.code == 130, done.text
    assert "no job was created" not in done.text and "job may have been created" in done.text
    assert list(sandbox.jobs) == ["job"] and "hvdsm jobs stop job" in done.text


def numbered(host: str, count: int) -> Sequence[str]:
    return ["hvdsm: begins", *(f"{host} says {index}" for index in range(count))]


def test_two_hundred_hosts_lose_no_line_and_repeat_none(tmp_path: Path, place: Path) -> None:
    hosts = [f"algo-{index}" for index in range(1, 201)]
    said = {host: [*numbered(host, 20), *([report(0)] if host == "algo-1" else [])] for host in hosts}
    late = {host: [f"{host} says late"] for host in hosts[50:150]}
    with Sandbox.start(pace=Pace(training=3)) as sandbox:
        sandbox.script("job", Script(lines=said, late_lines=late, late=0.1))
        sandbox.faults.add(Fault("GetLogEvents", times=20, after=50, error="ThrottlingException"))
        done = launch(sandbox, place, "--job-name", "job", "--instance-count", "200", "train.py")
    assert done.code == 0, done.text[-2000:]
    for index, host in enumerate(hosts):
        name = "" if index == 0 else f"{host}: "
        shown = [line for line in done.lines if line.startswith(f"{name}{host} says")]
        wanted = [f"{name}{host} says {number}" for number in range(20)]
        assert [line for line in shown if not line.endswith("late")] == wanted, host
        kept = (place / "hvdsm-out" / "job" / "logs" / f"{host}.log").read_text().splitlines()
        assert [line for line in kept if " says " in line and not line.endswith("late")] == [
            f"{host} says {n}" for n in range(20)
        ]
