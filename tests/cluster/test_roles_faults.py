"""What breaks in a job with a plan: every host ends by itself, with one exit code and one reason, and nothing is finished."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest
from container_jobs import OPEN_MPI, SECONDS, RunningJob, start_host, start_job
from role_jobs import ASK, HOSTS, SCRIPT, SERVER, WAITING, only_on, plan, say, server

pytestmark = pytest.mark.cluster

Start = Callable[..., RunningJob]
# Asks the servers once more when it is told to end, as one does that saves what they hold.
SAVING = (
    WAITING.split("import time")[0]
    + """
import signal, sys, time
from mpi4py import MPI
def end(*_):
    print("saving", *ask("last"), flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
MPI.COMM_WORLD.Barrier()
print("all here", flush=True)
time.sleep(300)
"""
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts one job; its hosts are gone after the test."""
    jobs = []

    def begin(script: str, document: Dict[str, Any], **options: Any) -> RunningJob:
        jobs.append(start_job(tmp_path, script, sagemaker_hvdsm_plan=document, **options))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.cluster.close()


def failed(job: RunningJob, code: int, *texts: str) -> None:
    """Every host has ended with a code and one reason; nothing was finished, and nothing is left."""
    assert job.codes() == dict.fromkeys(job.programs, code), job.everything()
    assert "[finish,algo-1]" not in job.read("algo-1") and "finished" not in job.outcome()["phases"], job.everything()
    for host in job.programs:
        text = job.failure(host)
        assert text is not None and all(part in text for part in texts), text
        assert not (job.folder / host / "output" / "success").exists()
        left = [line for line in job.left_over(host) if "python" in line or "sleep" in line]
        assert left == [], job.everything()


def kill(job: RunningJob, host: str, word: str, number: int = 9) -> None:
    job.cluster.popen(host, ["pkill", f"-{number}", "-f", word]).wait(timeout=SECONDS)


@pytest.mark.parametrize("host", HOSTS)
def test_a_server_that_is_killed_ends_the_ranks_of_all_hosts(start: Start, host: str) -> None:
    job = start(WAITING, plan())
    job.wait_for("all here", count=2)
    kill(job, host, "served = ")
    failed(job, 137, f"{host}: the process server was killed by SIGKILL before the ranks had ended", "serving on")
    assert job.outcome()["failure"]["kind"] == "role"


def test_after_a_killed_server_all_start_again_where_restarts_are_left(start: Start) -> None:
    script = WAITING.replace("time.sleep(300)", "time.sleep(0 if int(os.environ['HVDSM_RESTART_COUNT']) else 300)")
    job = start(script, plan(), sagemaker_hvdsm_max_restarts=1)
    job.wait_for("all here", count=2)
    kill(job, "algo-2", "served = ")
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    assert job.read("algo-1").count("all here") == 4 and "finished on 2 of 2 hosts" in job.read("algo-1")
    outcome = job.outcome()
    assert outcome["restarts"] == 1
    assert outcome["warnings"] == ["run 1 failed: algo-2: the process server was killed by SIGKILL before the ranks had ended"]


def test_an_sshd_that_was_killed_beside_the_ranks_ends_no_job_whose_ranks_have_ended(start: Start) -> None:
    """Its end is noticed when its last connection is gone; Open MPI 5 keeps one, so that is after the ranks, beside the steps."""
    script = WAITING.replace("time.sleep(300)", "while not os.path.exists('/opt/ml/go'): time.sleep(0.1)")
    job = start(script, plan(finish=say("finished", "sleep 2")), python=OPEN_MPI["5"])
    job.wait_for("all here", count=2)
    kill(job, "algo-2", "sshd_config")
    for host in HOSTS:
        (job.folder / host / "go").write_text("")
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    assert "finished on 2 of 2 hosts" in job.read("algo-1")
    assert "warning: sshd ended" in job.read("algo-2")


def test_ranks_that_notice_the_killed_server_first_are_not_the_cause(start: Start) -> None:
    script = ASK + "\nprint('all here', flush=True)\nwhile True: ask('yes')\n"
    job = start(script, plan())
    job.wait_for("all here", count=2)
    kill(job, "algo-2", "served = ")
    failed(job, 137, "algo-2: the process server was killed by SIGKILL")


def test_a_server_that_ends_with_a_code_is_named_with_its_last_lines(start: Start) -> None:
    broken = server(command=["/bin/sh", "-c", 'echo up; while ! [ -e /opt/ml/go ]; do sleep 0.1; done; echo "disk full"; exit 7'])
    broken["ready"] = {"line": "up"}
    job = start("import time; from mpi4py import MPI; print('here', flush=True); time.sleep(300)", plan(broken))
    job.wait_for("here", count=2)
    (job.folder / "algo-2" / "go").write_text("")
    failed(job, 7, "algo-2: the process server ended with exit code 7 before the ranks had ended", "disk full")


def test_a_server_that_ends_with_0_too_early_is_a_failure_with_a_remedy(start: Start) -> None:
    job = start(WAITING, plan(server(), {"name": "other", "command": ["/bin/sh", "-c", "echo bye"], "hosts": "first"}))
    failed(job, 1, "algo-1: the process other ended with exit code 0 before the ranks had ended", '"end": "wait"')


def test_a_server_that_is_never_ready_is_named_before_ranks_run(start: Start) -> None:
    words = only_on("algo-2", "echo no licence; sleep 300", 'exec "$0" -c "$1" "$2"')
    role = server(command=["/bin/sh", "-c", words, "{python}", SERVER, "{port:server}"], ready_timeout=2)
    job = start(SCRIPT, plan(role))
    failed(job, 75, "algo-2: the process server was not ready within 2 s: nothing listens on TCP port 2", "no licence")
    assert "heard" not in job.everything() and job.outcome()["failure"]["kind"] == "timeout"


def test_a_server_that_cannot_start_is_named_before_ranks_run(start: Start) -> None:
    job = start(SCRIPT, plan(server(command=["no-such-server"])))
    failed(job, 78, "role server on algo-", "cannot start no-such-server: No such file")
    assert "heard" not in job.everything()


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_cannot_prepare_ends_the_job_on_all(start: Start, host: str) -> None:
    words = only_on(host, "while ! [ -e /opt/ml/go ]; do sleep 0.1; done; echo no such bucket >&2; exit 5", "sleep 300")
    job = start(SCRIPT, plan(prepare=say("begun", words)))
    for name in HOSTS:
        job.wait_for(f"[prepare,{name}] begun")
    (job.folder / host / "go").write_text("")
    failed(job, 5, f"{host}: the step prepare ended with exit code 5", "no such bucket")
    assert "process server started" not in job.everything()


def test_a_step_beyond_its_time_is_named(start: Start) -> None:
    job = start(SCRIPT, plan(prepare={**say("begun", only_on("algo-2", "sleep 300")), "timeout": 2}))
    failed(job, 75, "algo-2: the step prepare had not ended after 2 s")


def test_a_host_that_cannot_finish_fails_the_job_and_its_ranks_do_not_run_again(start: Start) -> None:
    finish = say("finishing", only_on("algo-2", "echo access denied; exit 6", "sleep 300"))
    job = start(SCRIPT, plan(finish=finish), sagemaker_hvdsm_max_restarts=2)
    assert job.codes() == {"algo-1": 6, "algo-2": 6}, job.everything()
    for host in HOSTS:
        text = job.failure(host)
        assert text is not None and text.startswith("algo-2: the step finish ended with exit code 6\n"), text
        assert "access denied\n" in text
        assert [line for line in job.left_over(host) if "sleep" in line] == []
    outcome = job.outcome()
    assert outcome["status"] == "Failed" and "finished" not in outcome["phases"] and outcome["restarts"] == 0
    assert job.read("algo-1").count("heard YES YES") == 2


def test_a_rank_that_fails_is_the_cause_and_servers_live_until_all_ranks_have_ended(start: Start) -> None:
    script = SAVING.replace("time.sleep(300)", "if os.environ['RANK'] == '1': raise ValueError('bad batch')\ntime.sleep(300)")
    job = start(script, plan())
    failed(job, 1, "rank 1 (algo-2, local rank 0): ValueError: bad batch")
    log = job.read("algo-1")
    assert "saving LAST LAST" in log and log.index("saving LAST LAST") < log.index("told to end after serving")


def test_a_server_that_fails_by_the_end_of_a_rank_is_not_the_cause(start: Start) -> None:
    # Ends as soon as one of its clients is gone.
    fragile = server(command=["{python}", "-c", SERVER.replace("upper())", "upper())\n    os._exit(8)"), "{port:server}"])
    script = ASK + (
        "from mpi4py import MPI\nimport time\n"
        "peers = [socket.create_connection((a, int(os.environ['SERVER_PORT']))) for a in os.environ['SERVERS'].split(',')]\n"
        "MPI.COMM_WORLD.Barrier()\n"
        "if MPI.COMM_WORLD.rank == 1: raise ValueError('bad batch')\ntime.sleep(300)\n"
    )
    job = start(script, plan(fragile))
    failed(job, 1, "rank 1 (algo-2, local rank 0): ValueError: bad batch")


@pytest.mark.parametrize("host", HOSTS)
def test_a_stopped_job_lets_ranks_end_while_servers_live_and_finishes_nothing(start: Start, host: str) -> None:
    job = start(SAVING, plan(), environment={"HVDSM_STOP_GRACE": "20"})
    job.wait_for("all here", count=2)
    job.programs[host].send_signal(signal.SIGTERM)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    log = job.read("algo-1")
    assert log.count("saving LAST LAST") == 2 and "[finish," not in log
    assert job.outcome()["status"] == "Stopped"
    for name in HOSTS:
        assert job.failure(name) is None and not (job.folder / name / "output" / "success").exists()
        assert [line for line in job.left_over(name) if "python" in line] == []


@pytest.mark.parametrize("step", ["prepare", "finish"])
def test_a_job_that_is_stopped_in_a_step_is_stopped(start: Start, step: str) -> None:
    words = "trap 'echo tidied up; exit 0' TERM; echo begun {host}; while true; do sleep 0.1; done"
    job = start(SCRIPT, plan(**{step: {"command": ["/bin/sh", "-c", words]}}), environment={"HVDSM_STOP_GRACE": "20"})
    for host in HOSTS:
        job.wait_for(f"[{step},{host}] begun {host}")
    job.programs["algo-2"].send_signal(signal.SIGTERM)
    assert job.codes() == {"algo-1": 143, "algo-2": 143}, job.everything()
    for host in HOSTS:
        assert f"[{step},{host}] tidied up" in job.read("algo-1"), job.everything()
        assert job.failure(host) is None and not (job.folder / host / "output" / "success").exists()
        assert [line for line in job.left_over(host) if "sleep" in line] == []
    assert job.outcome()["status"] == "Stopped"


def test_a_host_that_is_lost_while_all_prepare_is_the_cause(start: Start) -> None:
    job = start(SCRIPT, plan(prepare=say("begun", "sleep 300")))
    for host in HOSTS:
        job.wait_for(f"[prepare,{host}] begun")
    job.programs["algo-2"].kill()
    assert job.programs["algo-1"].wait(timeout=SECONDS) == 1, job.everything()
    text = job.failure("algo-1")
    assert text is not None and text.startswith("algo-2: the host was lost"), text
    assert [line for line in job.left_over("algo-1") if "sleep" in line] == []


def test_a_server_that_does_not_end_is_a_warning_of_the_outcome(start: Start) -> None:
    stubborn = server(end_timeout=1)
    stubborn["command"][2] = SERVER.replace("    os._exit(0)\n", "")
    job = start(SCRIPT, plan(stubborn))
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    warnings = [f"{host}: server had not ended 1 s after SIGTERM" for host in HOSTS]
    assert sorted(job.outcome()["warnings"]) == warnings
    assert "finished on 2 of 2 hosts" in job.read("algo-1")


def test_a_server_that_must_end_by_itself_and_does_not_fails_the_job(start: Start) -> None:
    job = start(SCRIPT, plan(server(end="wait", end_timeout=1, overdue="failure")))
    failed(job, 75, "server had not ended 1 s after the end of the ranks", "serving on")


def test_hosts_with_different_plans_are_named(start: Start, tmp_path: Path) -> None:
    job = start(SCRIPT, plan(), late=("algo-2",))
    config = tmp_path / "algo-2" / "input" / "config" / "hyperparameters.json"
    config.write_text(config.read_text().replace("worker", "another"))
    start_host(job, "algo-2")
    failed(job, 78, "algo-2: the plan is not the one of algo-1")


def test_a_plan_that_is_wrong_is_refused_with_all_its_problems(start: Start) -> None:
    job = start(SCRIPT, plan(server(after="schedular"), finish={"commands": []}))
    failed(job, 78, "hyperparameter sagemaker_hvdsm_plan: 2 problems", "has no field 'commands'; did you mean command?")


def test_a_job_without_script_and_module_is_refused(start: Start) -> None:
    job = start(SCRIPT, plan(), sagemaker_program="")
    failed(job, 78, "no entry point is named", "ranks.module")
