"""A job that hangs, fails and goes on, exceeds its time or runs out of memory: on emulated hosts, with real ranks."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest
from container_jobs import RunningJob, start_host, start_job

pytestmark = pytest.mark.cluster

Start = Callable[..., RunningJob]
FROM_CHECKPOINT = """
import os, sys, hvdsm
from mpi4py import MPI
env = hvdsm.training_env()
path = env.checkpoint_dir + "/step"
os.makedirs(env.checkpoint_dir, exist_ok=True)
step = int(open(path).read()) if os.path.exists(path) else 0
print("restart", env.restart_count, "from step", step, flush=True)
MPI.COMM_WORLD.Barrier()
while step < 3:
    step += 1
    hvdsm.progress(step)
    open(path, "w").write(str(step))
    if env.rank == 1 and env.restart_count < 2:
        raise RuntimeError(f"lost at step {step}")
    MPI.COMM_WORLD.Barrier()
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts one job; its hosts are gone after the test."""
    jobs = []

    def begin(script: str, **options: object) -> RunningJob:
        jobs.append(start_job(tmp_path, script, **options))  # type: ignore[arg-type]
        return jobs[-1]

    yield begin
    for job in jobs:
        job.cluster.close()


def test_a_rank_that_stays_after_the_others_is_named(start: Start) -> None:
    script = """
import time
from mpi4py import MPI
rank = MPI.COMM_WORLD.rank
MPI.Finalize()
if rank == 3:
    time.sleep(4)
"""
    job = start(script, environment={"HVDSM_STRAGGLER_SECONDS": "1"}, sagemaker_mpi_num_of_processes_per_host=2)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    said = [line for line in job.read("algo-1").splitlines() if "still runs" in line]
    assert said == ["hvdsm: 3 of 4 ranks ended 1 s ago or earlier; rank 3 (algo-2) still runs"], job.everything()


def test_a_hang_is_ended_with_the_stacks_of_all_ranks(start: Start) -> None:
    script = """
import time, hvdsm
from mpi4py import MPI
rank = MPI.COMM_WORLD.rank
MPI.COMM_WORLD.Barrier()
def wait_for_data():
    while True:
        time.sleep(1)
for step in range(5):
    if rank == 3 and step == 2:
        wait_for_data()
    hvdsm.progress(step)
    MPI.COMM_WORLD.Barrier()
"""
    job = start(script, sagemaker_mpi_num_of_processes_per_host=2, sagemaker_hvdsm_hang_timeout=3)
    assert job.codes() == {"algo-1": 75, "algo-2": 75}, job.everything()
    for host in job.logs:
        text = job.failure(host) or ""
        first = text.splitlines()[0]
        assert first.startswith("rank 3 (algo-2, local rank 1): hang: no output and no progress from any of 4 ranks"), text
        assert "behind step 2: rank 3 (algo-2, local rank 1) at step 1" in first
        assert "wait_for_data" in text
    log = job.read("algo-1")
    for rank, host in enumerate(["algo-1", "algo-1", "algo-2", "algo-2"]):
        assert f'[{rank},{host}] stack:   File "' in log, log
    assert job.left_over("algo-2") == []


def test_a_stopped_rank_shows_its_state(start: Start) -> None:
    script = """
import os, signal
from mpi4py import MPI
if MPI.COMM_WORLD.rank == 1: os.kill(os.getpid(), signal.SIGSTOP)
MPI.COMM_WORLD.Barrier()
"""
    job = start(script, sagemaker_hvdsm_hang_timeout=2)
    assert job.codes() == {"algo-1": 75, "algo-2": 75}, job.everything()
    text = job.failure("algo-1") or ""
    assert "stopped: rank 1 (algo-2, local rank 0)" in text.splitlines()[0], text
    assert "state T (stopped)" in text


def test_output_and_progress_are_signs_of_life(start: Start) -> None:
    script = """
import time, hvdsm
from mpi4py import MPI
rank = MPI.COMM_WORLD.rank
for i in range(10):
    time.sleep(0.4)
    if rank == 0 and i < 5: print("still", i, flush=True)
    if rank == 1 and i >= 5: hvdsm.progress(i)
MPI.COMM_WORLD.Barrier()
"""
    job = start(script, sagemaker_hvdsm_hang_timeout=2)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()


def test_ranks_start_again_from_their_checkpoints(start: Start) -> None:
    job = start(FROM_CHECKPOINT, sagemaker_hvdsm_max_restarts=5)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    log = job.read("algo-1")
    for text in ("restart 0 from step 0", "restart 1 from step 1", "restart 2 from step 2"):
        assert log.count(text) == 2, log
    outcome = job.outcome()
    assert (outcome["status"], outcome["restarts"]) == ("Completed", 2)
    assert [text for text in outcome["warnings"] if "RuntimeError: lost at step 1" in text], outcome
    assert job.failure("algo-1") is None


def test_a_job_that_gets_no_further_is_given_up(start: Start) -> None:
    script = "from mpi4py import MPI\nMPI.COMM_WORLD.Barrier()\nprint('begin', flush=True)\nraise SystemExit(4)"
    job = start(script, sagemaker_hvdsm_max_restarts=20)
    assert job.codes() == {"algo-1": 4, "algo-2": 4}, job.everything()
    assert job.outcome()["restarts"] == 2
    assert job.read("algo-1").count("ranks running") == 3, job.everything()
    assert "given up: 3 runs in a row" in job.read("algo-1")


def test_restarts_are_counted(start: Start) -> None:
    job = start("raise SystemExit(9)", sagemaker_hvdsm_max_restarts=1)
    assert job.codes() == {"algo-1": 9, "algo-2": 9}, job.everything()
    assert job.outcome()["restarts"] == 1


def test_a_time_limit_ends_the_job_with_75(start: Start) -> None:
    script = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"saving" + os.linesep.encode()), os._exit(0)))
print("begin", flush=True)
time.sleep(300)
"""
    job = start(script, sagemaker_hvdsm_timeout=4)
    assert job.codes() == {"algo-1": 75, "algo-2": 75}, job.everything()
    assert job.read("algo-1").count("saving") == 2
    assert "exceeded its time limit of 4 s" in (job.failure("algo-2") or "")


def test_python_below_a_shell_entry_point_is_seen(start: Start, tmp_path: Path) -> None:
    job = start("", late=("algo-1", "algo-2"), sagemaker_program="run.sh")
    for host in job.logs:
        (tmp_path / host / "code" / "run.sh").write_text(
            "python -c 'print(\"one\")'\npython help.py || echo 'a helper failed'\nexec python -u train.py --name 'a b'\n"
        )
        (tmp_path / host / "code" / "help.py").write_text("raise KeyError('no harm')")
        (tmp_path / host / "code" / "train.py").write_text(
            "import sys\nfrom mpi4py import MPI\nMPI.COMM_WORLD.Barrier()\n"
            "if MPI.COMM_WORLD.rank == 1: raise ValueError(f'bad batch {sys.argv[1:]}')\nMPI.COMM_WORLD.Barrier()\n"
        )
        start_host(job, host, environment={"PATH": os.path.dirname(sys.executable) + ":" + os.environ["PATH"]})
    assert job.codes() == {"algo-1": 1, "algo-2": 1}, job.everything()
    text = job.failure("algo-1") or ""
    assert text.startswith("rank 1 (algo-2, local rank 0): ValueError: bad batch ['--name', 'a b']"), text
    assert "train.py" in text
    assert job.read("algo-1").count("a helper failed") == 2


def test_pid_1_passes_sigterm_and_collects_orphans(start: Start) -> None:
    script = """
import os, signal, subprocess, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"saving" + os.linesep.encode()), os._exit(0)))
subprocess.Popen(["sh", "-c", "true & exec sleep 0.1"]).wait()
time.sleep(1)
states = [open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[0] for p in os.listdir("/proc") if p.isdigit()]
print("zombies:", states.count("Z"), "pid 1:", open("/proc/1/cmdline").read().replace("\\0", " "), flush=True)
time.sleep(300)
"""
    job = start(script, count=1, late=("algo-1",))
    wrapped = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable]
    start_host(job, "algo-1", prefix=wrapped)
    job.wait_for("zombies:")
    line = next(line for line in job.read("algo-1").splitlines() if "zombies:" in line)
    assert "zombies: 0 pid 1: " in line, line
    assert "hvdsm.container" in line
    job.cluster.popen("algo-1", ["pkill", "-TERM", "-o", "-f", "^[^ ]*/python[0-9.]* -m hvdsm.container$"]).wait(timeout=20)
    assert job.codes() == {"algo-1": 0}, job.everything()
    assert "saving" in job.read("algo-1")


def test_hosts_outside_of_the_distribution_groups_run_the_script_plainly(start: Start, tmp_path: Path) -> None:
    script = """
import os
print("I am", os.environ["SM_CURRENT_HOST"], os.environ.get("RANK"), os.environ.get("OMPI_COMM_WORLD_SIZE"), flush=True)
"""
    groups = [
        {"instance_group_name": "data", "instance_type": "ml.c5.large", "hosts": ["algo-1"]},
        {"instance_group_name": "train", "instance_type": "ml.g5.xlarge", "hosts": ["algo-3", "algo-2"]},
    ]
    job = start(script, count=3, late=("algo-1", "algo-2", "algo-3"), sagemaker_distribution_instance_groups=["train"])
    for host in job.logs:
        path = tmp_path / host / "input" / "config" / "resourceconfig.json"
        config = json.loads(path.read_text())
        config.update(instance_groups=groups, current_group_name="data" if host == "algo-1" else "train")
        path.write_text(json.dumps(config))
        start_host(job, host)
    assert set(job.codes().values()) == {0}, job.everything()
    log = job.read("algo-3")
    assert "[0,algo-3] I am algo-3 0 2" in log, log
    assert "[1,algo-2] I am algo-2 1 2" in log
    assert "[algo-1] I am algo-1 None None" in log
    assert job.outcome("algo-1")["world_size"] == 2


def test_torchrun_starts_the_ranks(start: Start) -> None:
    script = """
import os, torch.distributed as dist, torch
dist.init_process_group("gloo")
t = torch.ones(1)
dist.all_reduce(t)
print("sum", int(t), os.environ["LOCAL_RANK"], "elastic" if "TORCHELASTIC_RUN_ID" in os.environ else "", flush=True)
dist.barrier()
if dist.get_rank() == 3: raise RuntimeError("one rank fails")
dist.barrier()
"""
    options = {"sagemaker_mpi_enabled": "false", "sagemaker_torch_distributed_enabled": "true"}
    job = start(script, sagemaker_hvdsm_processes_per_host=2, **options)
    assert job.codes() == {"algo-1": 1, "algo-2": 1}, job.everything()
    assert job.read("algo-1").count("sum 4") == 4
    assert len(re.findall(r"sum 4 [01] elastic\n", job.read("algo-1"))) == 4
    assert (job.failure("algo-2") or "").startswith("rank 3 (algo-2, local rank 1): RuntimeError: one rank fails")


@pytest.fixture
def small_memory() -> Iterator[Callable[[], None]]:
    """A memory control group of 400 MiB, what a container's memory limit is, that everything started meanwhile is in.

    The tests themselves leave it by the call that this gives: they would be the largest process there, which the kernel ends.
    """
    first = Path("/sys/fs/cgroup/memory")
    root = first if first.is_dir() else Path("/sys/fs/cgroup")
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    before = next(path for _, controllers, path in lines if controllers == ("memory" if root == first else ""))
    group = root / f"hvdsm-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if root == first else "memory.max")).write_text(str(400 << 20))
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")

    def leave() -> None:
        (root / before.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))

    try:
        yield leave
    finally:
        leave()
        for _ in range(50):
            if not (group / "cgroup.procs").read_text():
                group.rmdir()
                break
            time.sleep(0.1)


def test_sigkill_says_what_the_memory_limit_says(start: Start, small_memory: Callable[[], None]) -> None:
    job = start("x = []\nwhile True: x.append(bytearray(10 << 20))", count=1, late=("algo-1",))
    small_memory()
    start_host(job, "algo-1")
    assert job.codes() == {"algo-1": 137}, job.everything()
    evidence = job.outcome()["failure"]["evidence"]
    assert "out of memory: the kernel ended 1 process of this container" in evidence, evidence
    assert "limit 400 MiB" in evidence
    assert evidence in (job.failure("algo-1") or "")


@pytest.mark.parametrize("slow", ["algo-1", "algo-2"])
def test_a_slow_reader_of_the_log_makes_ranks_wait_and_loses_nothing(start: Start, slow: str) -> None:
    script = "for i in range(50000): print(f'{i:07} ' + 'x' * 1000)"
    job = start(script, late=("algo-1", "algo-2"))
    for host in job.logs:
        pipe = 'set -o pipefail; "$@" | (sleep 4; cat)'
        start_host(job, host, prefix=["bash", "-c", pipe, "bash", job.python] if host == slow else [])
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()[-2000:]
    lines = job.read("algo-1").splitlines()
    for rank, host in ((0, "algo-1"), (1, "algo-2")):
        tag = f"[{rank},{host}] "
        assert [int(line[len(tag) :][:7]) for line in lines if line.startswith(tag)] == list(range(50000))


def test_the_signal_for_stacks_is_not_one_that_libraries_use() -> None:
    from hvdsm.container.stacks import STACK_SIGNAL

    assert STACK_SIGNAL not in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


PLAIN = {"sagemaker_mpi_enabled": "false"}


def test_without_a_distribution_no_host_waits_for_another_to_begin(start: Start) -> None:
    job = start("import os; print('here', os.environ['SM_CURRENT_HOST'], flush=True)", late=("algo-1",), **PLAIN)
    assert job.programs["algo-2"].wait(timeout=30) == 0, job.everything()
    assert "[1,algo-2] here algo-2" in job.read("algo-2")
    assert job.outcome("algo-2")["status"] == "Completed"
    start_host(job, "algo-1")
    assert job.programs["algo-1"].wait(timeout=30) == 0, job.everything()
    assert "algo-2 had not joined" in job.outcome("algo-1")["warnings"][0]


def test_without_a_distribution_a_failure_still_ends_all_hosts(start: Start) -> None:
    script = """
import os, time
if os.environ["SM_CURRENT_HOST"] == "algo-2": raise ValueError("bad data")
time.sleep(300)
"""
    job = start(script, late=("algo-1",), **PLAIN)
    start_host(job, "algo-1")
    assert job.codes() == {"algo-1": 1, "algo-2": 1}, job.everything()
    assert (job.failure("algo-1") or "").startswith("rank 1 (algo-2, local rank 0): ValueError: bad data")


def test_without_a_distribution_hosts_end_together(start: Start) -> None:
    script = "import os, time; time.sleep(3 * (os.environ['SM_CURRENT_HOST'] == 'algo-2')); print('done', flush=True)"
    job = start(script, **PLAIN)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    assert job.read("algo-1").count("done") == 2
    assert job.outcome("algo-1")["ranks_per_host"] == {"algo-1": 1, "algo-2": 1}


def test_without_a_distribution_ranks_start_again_too(start: Start) -> None:
    script = """
import os, time
if os.environ["HVDSM_RESTART_COUNT"] == "0" and os.environ["SM_CURRENT_HOST"] == "algo-2":
    raise SystemExit(5)
time.sleep(1)
"""
    job = start(script, sagemaker_hvdsm_max_restarts=2, **PLAIN)
    assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
    assert job.outcome("algo-2")["restarts"] == 1


def test_sigterm_to_a_host_that_is_alone(start: Start) -> None:
    script = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"saving" + os.linesep.encode()), os._exit(0)))
print("begin", flush=True)
time.sleep(300)
"""
    job = start(script, late=("algo-1",), **PLAIN)
    job.wait_for("begin", host="algo-2")
    job.programs["algo-2"].send_signal(signal.SIGTERM)
    assert job.programs["algo-2"].wait(timeout=30) == 0, job.everything()
    assert "saving" in job.read("algo-2")
    assert job.outcome("algo-2")["status"] == "Stopped"
