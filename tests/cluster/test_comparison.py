"""The rows of docs/comparison.md: where the usual programs fall short, hvdsm's container program on emulated hosts does not.

No time is judged here: limits only end a run that would hang.  ``make bench-container`` measures.
"""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest
from container_jobs import OPEN_MPI, ROOT, SECONDS, RunningJob, start_host, start_job

from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}"),
]

Start = Callable[..., RunningJob]
BOTH_OK = {"algo-1": 0, "algo-2": 0}
MEETING = "from mpi4py import MPI\nMPI.COMM_WORLD.Barrier()\nprint('all here', flush=True)\n"
WAITING = MEETING + "import time\ntime.sleep(300)\n"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts jobs, each in a folder of its own; their hosts are gone after the test."""
    jobs: List[RunningJob] = []

    def begin(script: str, **options: object) -> RunningJob:
        folder = tmp_path / f"job {len(jobs)}"
        folder.mkdir()
        jobs.append(start_job(folder, script, **options))  # type: ignore[arg-type]
        return jobs[-1]

    yield begin
    for job in jobs:
        job.cluster.close()


def on_host(job: RunningJob, host: str, argv: List[str]) -> str:
    """Output of a program on a host."""
    path = job.folder / "said"
    with path.open("wb") as file:
        job.cluster.popen(host, argv, stdout=file, stderr=file).wait(timeout=SECONDS)
    return path.read_bytes().decode(errors="replace")


def succeeded(job: RunningJob, host: str) -> bool:
    """Whether a host wrote its success file."""
    return (job.folder / host / "output" / "success").exists()


def failed_everywhere(job: RunningJob) -> int:
    """The one exit code of all hosts of a job that failed on all of them, with a reason on each and no success."""
    codes = job.codes()
    assert len(set(codes.values())) == 1, f"{codes}\n{job.everything()}"
    for host in job.logs:
        assert job.failure(host), f"{host} wrote no failure file\n{job.everything()}"
        assert not succeeded(job, host)
    code = codes["algo-1"]
    assert code != 0, job.everything()
    return code


def said(job: RunningJob, rank: int) -> List[str]:
    """A rank's lines in the launcher's log, without their tag."""
    return [line.partition("] ")[2] for line in job.read("algo-1").splitlines() if line.startswith(f"[{rank},")]


@pytest.mark.parametrize("options", ["--help", "-h", "-hostfile x"])
def test_row_01_options_that_start_nothing_fail_the_job(start: Start, options: str) -> None:
    job = start("print('ran')", sagemaker_mpi_custom_mpi_options=options)
    failed_everywhere(job)
    assert "] ran" not in job.read("algo-1")


def test_row_02_a_job_of_an_instant_ends_everywhere(start: Start) -> None:
    job = start("")
    assert job.codes() == BOTH_OK, job.everything()
    assert succeeded(job, "algo-1")
    assert succeeded(job, "algo-2")


def test_row_03_an_mpirun_that_refuses_its_options_fails_every_host(start: Start) -> None:
    job = start("print('ran')", sagemaker_mpi_custom_mpi_options="--no-such-option")
    failed_everywhere(job)
    assert "no-such-option" in (job.failure("algo-2") or ""), job.failure("algo-2")


def test_row_04_a_failing_rank_fails_every_host(start: Start) -> None:
    job = start(MEETING + "if MPI.COMM_WORLD.rank == 1:\n    raise SystemExit(7)\nMPI.COMM_WORLD.Barrier()\n")
    assert failed_everywhere(job) == 7
    assert job.failure("algo-1") == job.failure("algo-2")


@pytest.mark.parametrize("count", [1, 2])
def test_row_05_nothing_sleeps_for_a_fixed_time(start: Start, count: int) -> None:
    """A trivial job ends well, and no module that took part has a call of a function named sleep."""
    job = start(MEETING, count=count)
    assert set(job.codes().values()) == {0}, job.everything()
    named = [path for path in sorted(Path(ROOT, "hvdsm").rglob("*.py")) if b"sleep" in path.read_bytes()]
    for path in named:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert called != "sleep", f"{path}:{node.lineno}"


def test_row_06_a_worker_waits_for_a_limit_and_quietly(start: Start) -> None:
    job = start("", late=("algo-1",), environment={"HVDSM_RENDEZVOUS_TIMEOUT": "5"})
    assert job.programs["algo-2"].wait(timeout=SECONDS) == 75, job.everything()
    assert "the launcher algo-1 did not answer" in (job.failure("algo-2") or "")
    assert len(job.read("algo-2").splitlines()) < 8, job.read("algo-2")


@pytest.mark.parametrize("host", ["algo-1", "algo-2"])
def test_row_07_sigterm_to_pid_1_reaches_every_rank(start: Start, host: str) -> None:
    """The program is process 1 of a container, as SageMaker starts it, on both hosts."""
    script = (
        "import os, signal\n"
        "def end(*_):\n    os.write(1, b'saving' + os.linesep.encode())\n    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n" + WAITING
    )
    job = start(script, late=("algo-1", "algo-2"))
    container = ["unshare", "--fork", "--pid", "--mount-proc", sys.executable]
    for name in job.logs:
        start_host(job, name, prefix=container)
    job.wait_for("] all here", count=2)
    assert on_host(job, host, ["pkill", "-TERM", "-f", "^[^ ]*python[^ ]* -m hvdsm.container$"]) == ""
    assert job.codes() == BOTH_OK, job.everything()
    assert job.read("algo-1").count("] saving") == 2, job.everything()
    assert job.outcome()["status"] == "Stopped"


def test_row_08_every_rank_knows_its_own_host(start: Start) -> None:
    job = start(
        "import json, os\nprint(os.environ['SM_CURRENT_HOST'], json.loads(os.environ['SM_TRAINING_ENV'])['current_host'])",
        sagemaker_mpi_num_of_processes_per_host=2,
    )
    assert job.codes() == BOTH_OK, job.everything()
    assert [said(job, rank) for rank in range(4)] == [["algo-1 algo-1"]] * 2 + [["algo-2 algo-2"]] * 2


def test_row_09_custom_options_replace_the_defaults(start: Start) -> None:
    """Each of them is one that hvdsm sets itself, and Open MPI refuses to have some of them twice."""
    options = (
        '-x A="b c" --NCCL_DEBUG=WARN -mca btl_tcp_if_include 10.77.0.0/16 -mca oob_tcp_if_include 10.77.0.0/16 '
        "-mca btl tcp,self -mca pml ob1 -bind-to none -map-by node -np 4"
    )
    job = start(
        "import os\nfrom mpi4py import MPI\nMPI.COMM_WORLD.Barrier()\n"
        "print(os.environ['A'], os.environ['NCCL_DEBUG'], os.environ['SM_CURRENT_HOST'])",
        sagemaker_mpi_num_of_processes_per_host=2,
        sagemaker_mpi_custom_mpi_options=options,
    )
    assert job.codes() == BOTH_OK, job.everything()
    assert [said(job, rank) for rank in range(4)] == [["b c WARN algo-1"], ["b c WARN algo-2"]] * 2


def test_row_10_open_mpi_5_runs_the_job(start: Start) -> None:
    python = OPEN_MPI["5"]
    if not os.path.exists(python):
        pytest.skip(f"Open MPI 5 is not in {python}: make setup installs it")
    job = start(
        "from mpi4py import MPI\nprint(MPI.Get_library_version()[:11], MPI.COMM_WORLD.allreduce(1))",
        python=python,
        sagemaker_mpi_num_of_processes_per_host=2,
    )
    assert job.codes() == BOTH_OK, job.everything()
    assert [said(job, rank) for rank in range(4)] == [["Open MPI v5 4"]] * 4


def test_row_11_no_host_name_is_forged(start: Start) -> None:
    """The machine keeps its own name, ranks run without a preloaded library, and a missing configuration is said."""
    job = start(
        "import os; print(os.uname().nodename, os.environ['SM_CURRENT_HOST'], os.environ.get('LD_PRELOAD'))",
        late=("algo-1", "algo-2"),
    )
    for host in job.logs:
        assert on_host(job, host, ["hostname", f"ip-10-0-0-{host[-1]}"]) == ""
        start_host(job, host)
    assert job.codes() == BOTH_OK, job.everything()
    assert [said(job, rank) for rank in (0, 1)] == [["ip-10-0-0-1 algo-1 None"], ["ip-10-0-0-2 algo-2 None"]]
    alone = start("", count=1, late=("algo-1",))
    (alone.folder / "algo-1" / "input" / "config" / "resourceconfig.json").unlink()
    start_host(alone, "algo-1")
    assert failed_everywhere(alone) == 78
    assert "resourceconfig.json: the file is missing" in (alone.failure("algo-1") or "")


def test_row_12_output_keeps_its_bytes_and_comes_at_once(start: Start) -> None:
    long = "é" * 100_001  # two bytes each: no piece of a power of two ends between letters for all of them
    job = start(
        "import sys, time\nsys.stdout.reconfigure(encoding='utf-8')\n"
        f"print('x' + 'é' * {len(long)})\nprint('    indented\\ttext  ')\nprint('now', flush=True)\ntime.sleep(300)\n",
        count=1,
    )
    job.wait_for("] now\n")
    job.programs["algo-1"].send_signal(signal.SIGTERM)
    job.codes()
    log = job.logs["algo-1"].read_bytes()
    assert f"[0,algo-1] x{long}\n".encode() in log
    assert b"[0,algo-1]     indented\ttext  \n" in log


def test_row_13_an_error_word_does_not_slow_the_relay(start: Start) -> None:
    """With work that grows by the square, a fifth of these lines took nine seconds, and all of them would pass the limit."""
    count = 200_000
    job = start(f"print('ValueError: a word')\nfor n in range({count}):\n    print('[stderr] line', n)\n", count=1)
    assert job.codes() == {"algo-1": 0}
    assert said(job, 0) == ["ValueError: a word", *(f"[stderr] line {n}" for n in range(count))]


def test_row_14_a_grandchild_that_holds_the_output_keeps_nobody_waiting(start: Start) -> None:
    job = start("import subprocess\nsubprocess.Popen(['sleep', '4712'], start_new_session=True)\nprint('done')")
    assert job.codes() == BOTH_OK, job.everything()
    assert [said(job, rank) for rank in (0, 1)] == [["done"], ["done"]]
    for host in job.logs:
        assert not [line for line in job.left_over(host) if "4712" in line]


def test_row_15_a_false_is_false(start: Start) -> None:
    job = start("import os; print('plain', os.environ.get('OMPI_COMM_WORLD_SIZE'))", count=1, sagemaker_mpi_enabled="False")
    assert job.codes() == {"algo-1": 0}, job.everything()
    assert "plain None" in job.read("algo-1")


def test_row_15_a_number_in_quotes_is_never_doubled(start: Start) -> None:
    """It is understood as the number or refused by name; the two hosts never run 44 ranks for 4."""
    job = start("print('ran')", sagemaker_mpi_num_of_processes_per_host='"\\"2\\""')
    codes = set(job.codes().values())
    if codes == {0}:
        assert job.outcome()["ranks_per_host"] == {"algo-1": 2, "algo-2": 2}
    else:
        assert codes == {78}, job.everything()
        assert "sagemaker_mpi_num_of_processes_per_host" in (job.failure("algo-1") or "")


def test_row_16_the_failure_holds_the_traceback(start: Start) -> None:
    job = start(
        MEETING + "def load(batch):\n    raise ValueError('bad batch ' + batch)\n"
        "if MPI.COMM_WORLD.rank == 1:\n    load('17')\nMPI.COMM_WORLD.Barrier()\n"
    )
    failed_everywhere(job)
    for host in job.logs:
        shown = (job.failure(host) or "")[:1024]
        assert re.match(r"rank 1 \(algo-2, local rank 0\).*ValueError", shown), shown
        assert "bad batch 17" in shown
        assert "in load" in shown


def test_row_16_a_killed_rank_is_told_with_its_signal_and_a_hint(start: Start) -> None:
    job = start(MEETING + "import os\nif MPI.COMM_WORLD.rank == 1:\n    os.kill(os.getpid(), 9)\nMPI.COMM_WORLD.Barrier()\n")
    assert failed_everywhere(job) == 137
    shown = (job.failure("algo-1") or "")[:1024]
    assert "rank 1 (algo-2" in shown
    assert "SIGKILL" in shown
    assert "memory" in shown


FILES = """
import glob, os, sys
secret = sys.argv[1]
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        try:
            words = open(f"/proc/{name}/cmdline").read()
        except OSError:
            continue
        if secret in words:
            print("on a command line:", words.replace(chr(0), " "))
if os.path.exists("/etc/environment") and secret in open("/etc/environment").read():
    print("in /etc/environment")
for path in glob.glob("/root/.ssh/*") + glob.glob("/etc/ssh/*key*"):
    print("left in the image:", path)
(session,) = [path for path in glob.glob("/tmp/hvdsm-*") if os.path.exists(path + "/ssh_config")]
print(open(session + "/ssh_config").read())
print("key", open(session + "/client_key.pub").read().split()[1])
for name in ("client_key", "host_key"):
    print(name, oct(os.stat(f"{session}/{name}").st_mode & 0o777))
"""


def test_row_17_keys_are_of_one_job_and_secrets_stay_secret(start: Start) -> None:
    secret = "a-secret-of-the-test"
    keys = set()
    for _ in range(2):
        job = start(WAITING, environment={"AWS_SECRET_ACCESS_KEY": secret})
        job.wait_for("] all here", count=2)
        for host in job.logs:
            text = on_host(job, host, [sys.executable, "-c", FILES, secret])
            assert "StrictHostKeyChecking yes" in text, text
            assert "client_key 0o600" in text
            assert "host_key 0o600" in text
            for wrong in ("on a command line", "in /etc/environment", "left in the image"):
                assert wrong not in text
            keys.add(re.findall(r"^key (\S+)$", text, re.MULTILINE)[0])
        assert secret not in job.everything()
        job.cluster.close()
    assert len(keys) == 4


def test_row_18_the_program_needs_no_package(start: Start) -> None:
    """On both hosts it runs without site-packages, and imports nothing but itself and the standard library."""
    job = start("print('ran')", late=("algo-1", "algo-2"))
    script = (
        "import sys\nfrom hvdsm.container.train import main\ncode = main()\n"
        "names = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print('modules:', sorted(names - {'hvdsm', '__main__', '__mp_main__'}))\nsys.exit(code)\n"
    )
    if not hasattr(sys, "stdlib_module_names"):
        pytest.skip("this Python is older than 3.10 and does not list its standard library")
    settings: Dict[str, str] = {
        "HVDSM_REHEARSAL": "1",
        "HVDSM_OUTCOME_FILE": "/opt/ml/outcome.json",
        "HVDSM_MPIRUN": os.path.join(os.path.dirname(sys.executable), "mpirun"),
        "PYTHONPATH": ROOT,
    }
    for host in job.logs:
        with job.logs[host].open("wb") as log:
            job.programs[host] = job.cluster.popen(
                host, [sys.executable, "-S", "-c", script], env=settings, stdout=log, stderr=log
            )
    assert job.codes() == BOTH_OK, job.everything()
    for host in job.logs:
        assert "modules: []" in job.read(host), job.read(host)


def test_row_19_a_million_lines_arrive_whole(start: Start) -> None:
    count = 250_000
    job = start(
        MEETING + f"for n in range({count}):\n    print('line %06d of the rank' % n)\n",
        sagemaker_mpi_num_of_processes_per_host=2,
    )
    assert job.codes() == BOTH_OK
    for rank in range(4):
        lines = said(job, rank)
        assert lines[0] == "all here"
        assert lines[1:] == [f"line {n:06d} of the rank" for n in range(count)]


def test_driver_row_1_processes_are_counted_per_host(start: Start) -> None:
    job = start("import os; print(os.environ['WORLD_SIZE'])", count=2, sagemaker_mpi_num_of_processes_per_host=3)
    assert job.codes() == BOTH_OK, job.everything()
    assert job.outcome()["ranks_per_host"] == {"algo-1": 3, "algo-2": 3}
    assert [said(job, rank) for rank in range(6)] == [["6"]] * 6


def test_driver_row_3_quotes_in_a_hyperparameter_are_only_text(start: Start) -> None:
    value = 'it\'s "a" $HOME `x` ; & | \\ \n two'
    job = start("import json, sys; print(json.dumps(sys.argv[1:]))", note=json.dumps(value))
    assert job.codes() == BOTH_OK, job.everything()
    assert [[json.loads(line) for line in said(job, rank)] for rank in (0, 1)] == [[["--note", value]]] * 2


def test_driver_row_5_the_launcher_is_the_first_host_by_configuration(start: Start) -> None:
    """Not the one that is called algo-1."""
    job = start("import os; print(os.environ['RANK'], os.environ['SM_CURRENT_HOST'])", late=("algo-1", "algo-2"))
    for host in job.logs:
        path = job.folder / host / "input" / "config" / "resourceconfig.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "hosts": ["algo-2", "algo-1"]}))
        start_host(job, host)
    assert job.codes() == BOTH_OK, job.everything()
    log = job.read("algo-2")
    assert "[0,algo-2] 0 algo-2" in log
    assert "[1,algo-1] 1 algo-1" in log


def test_driver_row_4_a_worker_that_is_alone_gives_up(start: Start) -> None:
    job = start("", late=("algo-1",), environment={"HVDSM_RENDEZVOUS_TIMEOUT": "1"})
    assert job.programs["algo-2"].wait(timeout=SECONDS) == 75, job.everything()
