"""A job with a plan, on emulated hosts: steps before, processes beside the ranks, steps after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from container_jobs import RunningJob, start_host, start_job
from role_jobs import ASK, HOSTS, SCRIPT, SERVER, lines_with, only_on, plan, say, server

pytestmark = pytest.mark.cluster

Start = Callable[..., RunningJob]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts one job; its hosts are gone after the test."""
    jobs = []

    def begin(script: str, **options: Any) -> RunningJob:
        jobs.append(start_job(tmp_path, script, **options))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.cluster.close()


@pytest.mark.parametrize("kind", ["mpi", "torch_distributed", "none"])
def test_servers_stand_beside_the_ranks_and_steps_around_them(start: Start, kind: str) -> None:
    scheduler = {**server(), "name": "scheduler", "hosts": "first"}
    scheduler["command"] = [word.replace("server}", "scheduler}") for word in scheduler["command"]]
    scheduler["ready"] = {"line": "^serving on"}
    roles = plan(scheduler, server(after="scheduler"))
    enabled = {f"sagemaker_{name}_enabled": str(name == kind).lower() for name in ("mpi", "torch_distributed")}
    job = start(SCRIPT.replace("RANK", "SM_CURRENT_HOST"), **enabled, sagemaker_hvdsm_plan=roles)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    log = job.read("algo-1")
    for host in HOSTS:
        assert f"rank {host} heard YES YES worker" in log, job.everything()
        assert (job.folder / host / "output" / "success").exists()
        assert [line for line in job.left_over(host) if "python" in line] == []
        # A host has the lines of its own processes in its own log, too.
        assert f"[server,{host}] told to end after serving 2\n" in job.read(host)
    order = lines_with(
        log,
        "hosts joined",
        "[prepare,algo-2] prepared algo-2",
        "prepared on 2 of 2 hosts",
        "process scheduler started",
        "[scheduler,algo-1] serving on",
        "process server started",
        "ready beside the ranks: scheduler, server",
        " heard YES YES",
        "[server,algo-1] told to end",
        "[scheduler,algo-1] told to end",
        "ended after the ranks: scheduler, server",
        "[finish,algo-1] finished algo-1",
        "finished on 2 of 2 hosts",
        "job completed",
    )
    assert order == sorted(order), log
    assert "[scheduler,algo-2]" not in job.everything()
    phases = job.outcome()["phases"]
    names = ["hosts joined", "prepared", "roles ready", "ranks running", "ranks ended", "roles ended", "finished"]
    assert [name for name, _ in sorted(phases.items(), key=lambda phase: phase[1]) if name in names] == names


def test_a_slow_host_holds_all_others_back_before_the_ranks(start: Start) -> None:
    slow = only_on("algo-2", "while ! [ -e /opt/ml/go ]; do sleep 0.1; done")
    job = start(SCRIPT, sagemaker_hvdsm_plan=plan(prepare=say("begun", slow)))
    job.wait_for("[prepare,algo-2] begun")
    job.wait_for("[prepare,algo-1] begun")
    assert "process server started" not in job.everything()
    (job.folder / "algo-2" / "go").write_text("")
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    for host in HOSTS:
        (begun,) = lines_with(job.read(host), "process server started")
        assert begun > max(lines_with(job.read(host), "[prepare,"))


def test_the_plan_is_a_file_of_the_source_and_ranks_may_be_a_module(start: Start, tmp_path: Path) -> None:
    job = start("raise SystemExit(9)", late=HOSTS, sagemaker_program="", sagemaker_hvdsm_plan="plans/mine.json")
    module = ASK + "import sys\nprint('module heard', *ask('yes'), *sys.argv[1:], flush=True)\n"
    ranks = {"module": "worker.main", "arguments": ["--of", "{world_size}", "{hosts}", "{port:server}"]}
    for host in HOSTS:
        code = tmp_path / host / "code"
        (code / "plans").mkdir()
        (code / "plans" / "mine.json").write_text(json.dumps(plan(ranks=ranks)))
        (code / "worker").mkdir()
        (code / "worker" / "main.py").write_text(module)
        start_host(job, host)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    (line, other) = [line for line in job.read("algo-1").splitlines() if "module heard" in line]
    assert line.split("] ")[1].startswith("module heard YES YES --of 2 algo-1,algo-2 2"), line
    assert other.split("] ")[1] == line.split("] ")[1]


def test_after_a_restart_roles_start_again_on_other_ports_and_prepare_does_not(start: Start) -> None:
    script = SCRIPT + "import hvdsm\nif not hvdsm.training_env().restart_count: raise RuntimeError('once')\n"
    job = start(script, sagemaker_hvdsm_plan=plan(), sagemaker_hvdsm_max_restarts=1)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    log = job.read("algo-1")
    served = [line.split()[-2] for line in log.splitlines() if line.startswith("[server,algo-1] serving on")]
    assert len(served) == len(set(served)) == 2, log
    assert log.count("[prepare,algo-1]") == log.count("[finish,algo-1]") == 1
    outcome = job.outcome()
    assert outcome["restarts"] == 1 and "prepared" in outcome["phases"]
    assert any("RuntimeError: once" in warning for warning in outcome["warnings"])


def test_several_processes_of_a_role_have_ports_of_their_own(start: Start) -> None:
    port = "{port:server+index}"
    many = server(count=2, command=["{python}", "-c", SERVER, port], ready={"port": port})
    environment = {"SERVERS": "{addresses}", "SERVER_PORT": "{port:server+1}", "MY_ROLE": "worker"}
    job = start(SCRIPT, sagemaker_hvdsm_plan=plan(many, environment=environment))
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    log = job.read("algo-1")
    for host in HOSTS:
        assert f"[server-1,{host}] told to end after serving 2" in log
        assert f"[server-0,{host}] told to end after serving 0" in log


def test_roles_of_one_host_need_no_other(start: Start) -> None:
    job = start(SCRIPT, count=1, sagemaker_hvdsm_plan=plan())
    assert job.codes() == {"algo-1": 0}, job.everything()
    assert "heard YES worker" in job.read("algo-1")


def test_of_instance_groups_all_hosts_prepare_and_roles_are_where_ranks_are(start: Start, tmp_path: Path) -> None:
    script = "import os\nprint('script on', os.environ['SM_CURRENT_HOST'], 'of', os.environ.get('WORLD_SIZE'), flush=True)\n"
    roles = plan(server(environment={"MY_ROLE": "{host_index} of {hosts}"}), environment={})
    job = start(script, late=HOSTS, sagemaker_hvdsm_plan=roles, sagemaker_distribution_instance_groups=["gpu"])
    groups = [
        {"instance_group_name": name, "instance_type": "ml.c5.large", "hosts": [host]}
        for name, host in (("data", "algo-1"), ("gpu", "algo-2"))
    ]
    for host in HOSTS:
        path = tmp_path / host / "input" / "config" / "resourceconfig.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "instance_groups": groups}))
        start_host(job, host)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    log = job.read("algo-2")
    for line in (
        "[prepare,algo-1] prepared",
        "[prepare,algo-2] prepared",
        "[finish,algo-1] finished",
        "[finish,algo-2] finished",
    ):
        assert line in log, job.everything()
    assert "0 of algo-2" in log and "[server,algo-1]" not in job.everything()
    assert "script on algo-1 of None" in log and "script on algo-2 of 1" in log
