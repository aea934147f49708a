"""Hangs, restarts, memory and stacks: the parts that need no hosts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hvdsm
from hvdsm.compose.fabric import efa_variables
from hvdsm.compose.torchrun import torchrun_command
from hvdsm.container import stacks
from hvdsm.container.checkpoints import fingerprint
from hvdsm.container.facts import probe_mpi
from hvdsm.container.hook import RUNNER, again
from hvdsm.container.hostenv import too_long
from hvdsm.container.memory import MemoryCounters, evidence, read_counters
from hvdsm.container.progress import forget_progress, read_progress
from hvdsm.container.restarts import Restarts
from hvdsm.container.same_mpi import compare, installation
from hvdsm.container.starting import too_many
from hvdsm.container.watchdog import RankActivity, Watchdog, hang_message
from hvdsm.container.zombies import reap_orphans
from hvdsm.errors import MpiError
from hvdsm.model import MpiImplementation


def activity(rank: int, idle: float, step: Optional[int] = None) -> Dict[str, object]:
    return {"rank": rank, "local_rank": 0, "idle": idle, "step": step}


def test_one_living_rank_is_enough() -> None:
    dog = Watchdog(10)
    dog.begin(0.0)
    dog.hear("a", [activity(0, 50)], 100.0)
    dog.hear("b", [activity(1, 9)], 100.0)
    assert not dog.hangs(100.0)
    assert dog.hangs(101.0)


def test_nothing_hangs_before_ranks_had_the_time() -> None:
    dog = Watchdog(10)
    dog.begin(95.0)
    assert not dog.hangs(200.0)
    dog.hear("a", [activity(0, 50)], 100.0)
    assert not dog.hangs(100.0)


def test_a_host_whose_ranks_have_ended_is_no_sign_of_life() -> None:
    dog = Watchdog(5)
    dog.begin(0.0)
    dog.hear("a", [], 100.0)
    dog.hear("b", [activity(1, 6)], 100.0)
    assert dog.hangs(100.0)


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=8))
def test_those_behind_are_below_the_greatest_step(steps: List[Optional[int]]) -> None:
    dog = Watchdog(1)
    dog.hear("a", [activity(rank, 0, step) for rank, step in enumerate(steps)], 0.0)
    told = [step for step in steps if step is not None]
    behind = dog.behind()
    assert [rank.rank for rank in behind] == sorted(
        [i for i, step in enumerate(steps) if told and (step is None or step < max(told))],
        key=lambda i: (-1 if steps[i] is None else steps[i], i),
    )


def test_the_message_of_a_hang() -> None:
    ranks = [RankActivity(0, 0, "a", 12.0, 7), RankActivity(1, 0, "b", 31.0, None)]
    assert hang_message(30, ranks, [], []).endswith("for 30 s; silent longest: rank 1 (b, local rank 0)")
    assert "behind step 7: rank 1 (b, local rank 0) at no step" in hang_message(30, ranks, ranks[1:], [])
    assert "stopped: rank 1 (b" in hang_message(30, ranks, [], ranks[1:])
    assert "any of 1 rank for" in hang_message(30, ranks[:1], [], [])


def ready(restarts: Restarts, checkpoints: str, step: Optional[int] = None) -> Optional[str]:
    restarts.hear("a", {"checkpoints": checkpoints, "step": step})
    return restarts.begin()


def test_three_runs_without_progress_are_given_up() -> None:
    restarts = Restarts(10)
    assert ready(restarts, "x") is None
    assert ready(restarts, "x") is None
    assert ready(restarts, "x") is None
    assert "3 runs in a row" in str(ready(restarts, "x"))


@pytest.mark.parametrize("found", [("y", None), ("x", 5)])
def test_a_new_file_or_a_greater_step_is_progress(found: tuple) -> None:
    restarts = Restarts(10)
    for run in (("x", None), ("x", 4), ("x", 4), ("x", 3), found, (found[0], None), (found[0], None)):
        assert ready(restarts, *run) is None, run
    assert ready(restarts, found[0]) is not None


def test_a_lost_host_forbids_restarts() -> None:
    restarts = Restarts(3)
    assert restarts.left
    restarts.done = 3
    assert not restarts.left
    restarts = Restarts(3)
    restarts.forbid()
    assert not restarts.left


def test_the_fingerprint_follows_files(tmp_path: Path) -> None:
    seen = {fingerprint(str(tmp_path / "none"))}
    for action in (
        lambda: (tmp_path / "a").write_text("1"),
        lambda: (tmp_path / "a").write_text("12"),
        lambda: os.utime(tmp_path / "a", ns=(1, 1)),
        lambda: (tmp_path / "sub").mkdir() or (tmp_path / "sub" / "b").write_text(""),
        lambda: (tmp_path / "a").unlink(),
    ):
        action()
        found = fingerprint(str(tmp_path))
        assert found not in seen
        assert found == fingerprint(str(tmp_path))
        seen.add(found)


def write(root: Path, files: Dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize("group", ["job", ""])
def test_memory_counters_of_version_2(tmp_path: Path, group: str) -> None:
    """In a container the group of /proc/self/cgroup is most often that of the machine, and the mount is the group itself."""
    base = os.path.join("sys/fs/cgroup", group)
    events = {f"{base}/memory.events": "low 0\nmax 7\noom 2\noom_kill 2\n", f"{base}/memory.max": "1073741824\n"}
    write(
        tmp_path,
        {**events, f"{base}/memory.peak": "1073000000\n", "proc/self/cgroup": "0::/job\n", "proc/vmstat": "oom_kill 5\n"},
    )
    found = read_counters(str(tmp_path))
    assert found == MemoryCounters(2, 5, 1 << 30, 1073000000)
    text = evidence(MemoryCounters(1, 4), found)
    assert text.startswith(
        "out of memory: the kernel ended 1 process of this container (memory cgroup: oom_kill 1), limit 1.0 GiB"
    )


def test_memory_counters_of_version_1(tmp_path: Path) -> None:
    base = "sys/fs/cgroup/memory/job"
    files = {
        f"{base}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        f"{base}/memory.limit_in_bytes": str(1 << 62),
    }
    write(tmp_path, {**files, "proc/self/cgroup": "5:cpu:/\n4:memory:/job\n0::/\n"})
    assert read_counters(str(tmp_path)) == MemoryCounters(3, None, None, None)


def test_the_machine_tells_where_the_container_cannot(tmp_path: Path) -> None:
    assert read_counters(str(tmp_path)) == MemoryCounters()
    assert evidence(MemoryCounters(), MemoryCounters()) == ""
    assert "2 processes of this machine" in evidence(MemoryCounters(machine_kills=1), MemoryCounters(machine_kills=3))


@pytest.mark.parametrize(
    ("kind", "rdma"),
    [
        ("ml.p4d.24xlarge", True),
        ("ml.p4de.24xlarge", True),
        ("ml.p5.48xlarge", True),
        ("ml.p5e.48xlarge", True),
        ("ml.p5en.48xlarge", True),
        ("ml.p6-b200.48xlarge", True),
        ("ml.p6e-gb200.36xlarge", True),
        ("ml.trn1.32xlarge", True),
        ("ml.trn2.48xlarge", True),
        ("ml.p3dn.24xlarge", False),
        ("ml.g4dn.12xlarge", False),
        ("ml.g5.48xlarge", False),
    ],
)
def test_instance_types_with_efa(kind: str, rdma: bool) -> None:
    names = dict(efa_variables(kind))
    assert (names["FI_PROVIDER"], names["NCCL_PROTO"]) == ("efa", "simple")
    assert ("FI_EFA_USE_DEVICE_RDMA" in names) == rdma


@pytest.mark.parametrize(
    "kind", ["local", "", "ml.c5.18xlarge", "ml.p3.16xlarge", "ml.p2.xlarge", "ml.g5.xlarge", "ml.trn1.2xlarge"]
)
def test_other_instance_types_have_none_without_a_device(kind: str) -> None:
    assert efa_variables(kind) == []
    assert ("FI_PROVIDER", "efa") in efa_variables(kind, device=True)


def test_torchrun() -> None:
    words = torchrun_command("py", ["run", "a b"], hosts=2, node_rank=1, processes=4, master_address="algo-1", master_port=7777)
    assert words[:3] == ["py", "-m", "torch.distributed.run"]
    assert words[-3:] == ["--no-python", "run", "a b"]
    assert {"--nnodes=2", "--node-rank=1", "--nproc-per-node=4", "--master-addr=algo-1", "--master-port=7777"} < set(words)


@pytest.mark.parametrize(
    ("words", "position"),
    [
        (["python", __file__, "-x"], 1),
        (["python", "-u", "-W", "ignore", "-O", __file__], 5),
        (["python", "-m", "package", "a"], 1),
        (["python", "-u", "-m", "package"], 2),
    ],
)
def test_programs_below_a_shell_are_run_again(words: List[str], position: int) -> None:
    assert again(words, "/s/" + RUNNER) == [*words[:position], "/s/" + RUNNER, *words[position:]]


@pytest.mark.parametrize(
    "words",
    [
        ["python"],
        ["python", "-c", "1"],
        ["python", "-"],
        ["python", "-i", __file__],
        ["python", "-V"],
        ["python", "/no/such/file.py"],
        ["python", "-m", "hvdsm.container.script", "x.py"],
        ["python", "-I", __file__],
    ],
)
def test_other_interpreters_go_on_as_they_are(words: List[str]) -> None:
    assert again(words, "/s/" + RUNNER) is None


def test_a_variable_that_no_program_could_be_started_with() -> None:
    assert too_long({"A": "x", "B": "y" * (128 * 1024), "C": "z" * (128 * 1024 - 3)}) == ["B"]
    subprocess.run(["true"], env={"C": "z" * (128 * 1024 - 3)}, check=True)
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["true"], env={"B": "y" * (128 * 1024 - 2)}, check=True)


PROGRESS = "import hvdsm\nfor step in (1, 2, 41): hvdsm.progress(step)"


def test_progress_is_read_by_another_process(tmp_path: Path) -> None:
    root = str(Path(hvdsm.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "HVDSM_SESSION": str(tmp_path), "HVDSM_RANK": "3"}
    before = time.monotonic()
    subprocess.run([sys.executable, "-c", PROGRESS], env=environment, check=True)
    told = read_progress(str(tmp_path), 3)
    assert told is not None
    assert told[0] == 41
    assert before <= told[1] <= time.monotonic()
    forget_progress(str(tmp_path), [3, 4])
    assert read_progress(str(tmp_path), 3) is None


def test_progress_outside_of_a_job_does_nothing() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HVDSM_")}
    root = str(Path(hvdsm.__file__).parent.parent)
    subprocess.run([sys.executable, "-c", PROGRESS], env={**environment, "PYTHONPATH": root}, check=True)


def test_a_process_that_does_not_answer_is_not_harmed(tmp_path: Path) -> None:
    (tmp_path / stacks.DIRECTORY).mkdir()
    with subprocess.Popen(["sleep", "60"]) as other:
        (tmp_path / stacks.DIRECTORY / f"2-{other.pid}").touch()
        while Path(f"/proc/{other.pid}/comm").read_text() != "sleep\n" or not stacks.state(other.pid).startswith("S"):
            time.sleep(0.01)
        asked = stacks.ask(str(tmp_path))
        assert set(asked) == {(2, other.pid)}
        assert other.poll() is None
        found = stacks.collect(str(tmp_path), asked, [(2, other.pid)])
        assert "(sleep): state S (sleeping)" in found[2]
        other.send_signal(signal.SIGSTOP)
        while not stacks.state(other.pid).startswith("T"):
            time.sleep(0.01)
        assert "state T (stopped)" in stacks.collect(str(tmp_path), asked, [(2, other.pid)])[2]
        other.kill()


ORPHANS = """
import subprocess, sys, time, os
from hvdsm.container.zombies import reap_orphans
own = subprocess.Popen(["sh", "-c", "exit 7"])
os.fork() or os._exit(3)
time.sleep(0.5)
print(reap_orphans({own.pid: own}), own.returncode)
"""


def test_orphans_are_collected_and_ours_keep_their_exit_codes() -> None:
    root = str(Path(hvdsm.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", ORPHANS], env={"PYTHONPATH": root}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "7"]
    assert reap_orphans({}) >= 0


@pytest.mark.parametrize(
    ("slots", "gpus", "world", "count"),
    [
        ([2, 2], [0, 0], None, 0),
        ([8, 8], [8, 8], None, 0),
        ([8, 8], [8, 4], None, 1),
        ([2, 2], [0, 0], 5, 1),
        ([2, 2], [1, 2], 9, 2),
    ],
)
def test_more_ranks_than_slots_are_said(slots: List[int], gpus: List[int], world: Optional[int], count: int) -> None:
    announced = {host: {"accelerators": has} for host, has in zip("ab", gpus)}
    assert len(too_many("ab", slots, announced, world)) == count


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("mpirun (Open MPI) 5.0.11", (5, 0, 11)),
        ("", (4, 1)),
        ("wrapper: starting", (4, 1)),
        ("HYDRA build details:", None),
        ("exit 3", None),
    ],
)
def test_an_mpirun_is_asked_for_its_version(tmp_path: Path, said: str, version: Optional[tuple]) -> None:
    program = tmp_path / "mpirun"
    program.write_text(f"#!/bin/sh\n{'exit 3' if said == 'exit 3' else 'echo ' + repr(said)}\n")
    program.chmod(0o755)
    if version is None:
        match = "does not tell its version: exit code 3" if said == "exit 3" else "is not Open MPI but MPICH"
        with pytest.raises(MpiError, match=match):
            probe_mpi(str(program), {"PATH": "/bin:/usr/bin"})
    else:
        assert probe_mpi(str(program), {"PATH": "/bin:/usr/bin"}).version == version


def open_mpi(root: Path, name: str, daemon: str = "orted") -> MpiImplementation:
    """An installation with a library of this name."""
    for folder in ("bin", "lib"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "bin" / daemon).write_text("#!/bin/sh\n")
    (root / "bin" / daemon).chmod(0o755)
    (root / "lib" / name).touch()
    (root / "lib" / "libmpi.so.40").symlink_to(name)
    return MpiImplementation(str(root / "bin" / "mpirun"), (5, 0) if daemon == "prted" else (4, 1))


@pytest.mark.parametrize(
    ("here", "warning", "error"),
    [
        ("libmpi.so.40.30.8", "", None),
        ("libmpi.so.40.30.4", "differs a little", None),
        ("libmpi.so.40.40.7", "", "Open MPI differs between the hosts: libmpi.so.40.30.8 on the launcher, libmpi.so.40.40.7 on"),
    ],
)
def test_open_mpi_of_another_series_is_refused(tmp_path: Path, here: str, warning: str, error: Optional[str]) -> None:
    told = installation(open_mpi(tmp_path / "launcher", "libmpi.so.40.30.8"))
    assert told["library"] == "libmpi.so.40.30.8"
    there = {**told, "daemon": installation(open_mpi(tmp_path / "worker", here))["daemon"]}
    if error is None:
        assert warning in compare(there)
        assert bool(compare(there)) == bool(warning)
    else:
        with pytest.raises(MpiError, match=error):
            compare(there)


def test_a_daemon_that_is_not_on_this_host_is_named(tmp_path: Path) -> None:
    told = installation(open_mpi(tmp_path, "libmpi.so.40.40.7", "prted"))
    assert compare(told) == ""
    (tmp_path / "bin" / "prted").unlink()
    with pytest.raises(MpiError, match="prted: is not on this host, and mpirun starts it here"):
        compare(told)
    assert installation(MpiImplementation(str(tmp_path / "wrapper" / "bin" / "mpirun"), (4, 1))) == {"daemon": "", "library": ""}
    assert compare({"daemon": "", "library": ""}) == ""
