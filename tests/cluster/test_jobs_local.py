"""``hvdsm jobs`` with jobs that really run on emulated hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Iterator, Tuple

import pytest
from launching import as_activated, environment

pytestmark = pytest.mark.cluster

TRAIN = """
import sys, time
from mpi4py import MPI

world = MPI.COMM_WORLD
print("the same of all", flush=True)
print("only rank", world.rank, flush=True)
if "--wait" in sys.argv:
    world.Barrier()
    print("waiting", flush=True)
    while True:
        time.sleep(0.05)
if world.rank == 3 and "--fail" in sys.argv:
    raise ValueError("asked to fail")
"""
SIZE = ("--instance-count", "2", "--processes-per-host", "2")


def jobs(where: Path, *words: str) -> Tuple[int, str]:
    """Run ``hvdsm jobs WORDS…``: exit code, and what it printed."""
    done = as_activated(["-m", "hvdsm", "jobs", *words], where)
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one job that completed, and one that failed."""
    where = tmp_path_factory.mktemp("jobs")
    (where / "train.py").write_text(TRAIN)
    for name, words, code in (("good", [], 0), ("bad", ["--fail"], 1)):
        done = as_activated(["-m", "hvdsm", "launch", *SIZE, "--job-name", name, "train.py", *words], where)
        assert done.returncode == code, done.stdout
    return where


@pytest.fixture
def waiting(place: Path) -> Iterator[subprocess.Popen[str]]:
    """A job that runs until it is stopped, and has said so."""
    import shutil

    shutil.rmtree(place / "hvdsm-out" / "long", ignore_errors=True)
    words = [sys.executable, "-m", "hvdsm", "launch", *SIZE, "--job-name", "long", "train.py", "--wait"]
    with subprocess.Popen(words, cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as it:
        assert it.stdout is not None
        seen = 0
        for line in it.stdout:
            seen += "waiting" in line
            if seen == 4:
                break
        try:
            yield it
        finally:
            if it.poll() is None:
                it.terminate()
            it.communicate(timeout=60)


def test_list_and_status(place: Path) -> None:
    code, text = jobs(place, "list", "--json", "--status", "Failed", "--backend", "local")
    (job,) = json.loads(text)
    assert (code, job["name"], job["exit_code"], job["backend"]) == (0, "bad", 1, "local")
    code, text = jobs(place, "list")
    assert code == 0 and [line.split()[0] for line in text.splitlines()[:1]] == ["NAME"]
    assert {"good", "bad"} <= {line.split()[0] for line in text.splitlines()}
    code, text = jobs(place, "status", "bad")
    assert code == 0
    assert "rank 3 (algo-2, local rank 1): ValueError: asked to fail" in text and "ranks running after" in text
    assert jobs(place, "status", "bad", "--exit-code")[0] == 1
    code, text = jobs(place, "describe", "good")
    assert code == 0 and '"sagemaker_mpi_enabled"' in text
    code, text = jobs(place, "status", "god")
    assert code == 78 and "did you mean good?" in text


def test_logs_show_each_line_once(place: Path) -> None:
    code, text = jobs(place, "logs", "good")
    assert code == 0
    for rank in range(4):
        assert text.count(f"[{rank},algo-{rank // 2 + 1}] only rank {rank}\n") == 1, text
    lines = jobs(place, "logs", "good", "--rank", "3", "--rank", "0", "--grep", "only")[1].splitlines()[1:]
    assert sorted(lines) == ["[0,algo-1] only rank 0", "[3,algo-2] only rank 3"]
    lines = jobs(place, "logs", "good", "--host", "algo-2", "--grep", "rank")[1].splitlines()[1:]
    assert sorted(lines) == ["[2,algo-2] only rank 2", "[3,algo-2] only rank 3"]
    lines = jobs(place, "logs", "good", "--fold", "--grep", "same")[1].splitlines()[1:]
    assert lines == ["[0-3,algo-1..algo-2] the same of all"]
    code, said = jobs(place, "logs", "good", "--host", "algo-9")
    assert code == 2 and "no host algo-9" in said and "algo-1, algo-2" in said
    assert jobs(place, "logs", "good", "--tail", "1", "--host", "algo-1")[1].splitlines()[-1].startswith("hvdsm: job completed")


def test_wait_and_download(place: Path) -> None:
    code, text = jobs(place, "wait", "bad")
    assert code == 1 and "ValueError: asked to fail" in text
    code, text = jobs(place, "download", "good")
    assert code == 0 and f"model: {place}/hvdsm-out/good/model" in text
    code, text = jobs(place, "download", "good", "--to", "copied", "--logs")
    assert code == 0 and (place / "copied" / "logs" / "algo-2.log").is_file()
    code, text = jobs(place, "download", "good", "--to", "copied")
    assert code == 78 and "is there already" in text


def test_a_job_is_followed_and_stopped(place: Path, waiting: subprocess.Popen[str]) -> None:
    code, text = jobs(place, "status", "long", "--json")
    assert json.loads(text)["status"] == "InProgress" and code == 0
    follow = [sys.executable, "-m", "hvdsm", "jobs", "logs", "long", "--follow", "--rank", "2"]
    wait = [sys.executable, "-m", "hvdsm", "jobs", "wait", "long"]
    with subprocess.Popen(follow, cwd=place, env=environment(), stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert [follower.stdout.readline() for _ in range(3)][-1] == "[2,algo-2] waiting\n"
        with subprocess.Popen(wait, cwd=place, env=environment(), stdout=subprocess.PIPE, text=True) as waiter:
            code, text = jobs(place, "stop", "long", "--wait")
            assert code == 0 and "long is stopped" in text, text
            assert waiter.communicate(timeout=60)[0] and waiter.returncode == 143
        assert follower.wait(60) == 0
    assert waiting.wait(60) == 143
    assert jobs(place, "stop", "long") == (
        0,
        f"hvdsm: long: found in {place}/hvdsm-out/long\nhvdsm: long has ended already (Stopped)\n",
    )


def test_a_killed_launch_leaves_a_lost_job(place: Path, waiting: subprocess.Popen[str]) -> None:
    waiting.kill()
    waiting.wait(60)
    code, text = jobs(place, "status", "long")
    assert code == 0 and "Lost" in text and "is gone" in text
    assert jobs(place, "wait", "long")[0] == 1
