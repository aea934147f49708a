"""The examples through ``hvdsm launch``: two emulated hosts with two processes each."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import pytest
from doc_pages import REHEARSED

# A training waits for its slowest rank in each step: on a busy machine it takes many times its time.
pytestmark = [pytest.mark.examples, pytest.mark.cluster, pytest.mark.timeout(900)]

SHARDS = [(0, 1, 360), (1, 1, 359), (2, 2, 359), (3, 2, 359)]  # rank, host, samples


@dataclass(frozen=True)
class Rehearsal:
    """A finished ``hvdsm launch``: its exit code, what it showed, and its results."""

    code: int
    shown: str
    directory: Path

    @property
    def outcome(self) -> Dict[str, Any]:
        return dict(json.loads((self.directory / "outcome.json").read_text(encoding="utf-8")))

    def log(self, host: int) -> str:
        return (self.directory / "logs" / f"algo-{host}.log").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory, plain_environment: Dict[str, str]) -> Callable[..., Rehearsal]:
    def run(path: Path, *args: str) -> Rehearsal:
        output = tmp_path_factory.mktemp("rehearsal")
        default = f"hvdsm launch --instance-count 2 --processes-per-host 2 examples/{path.parent.name}/train.py"
        words = shlex.split(REHEARSED.get(path.parent.name, default))[2:]
        done = subprocess.run(
            [sys.executable, "-m", "hvdsm.cli", "launch", "--output", str(output), "--job-name", "rehearsal", *words, *args],
            cwd=path.parents[2],
            env=plain_environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        return Rehearsal(done.returncode, done.stdout, output / "rehearsal")

    return run


def test_allreduce(script: Callable[[str], Path], launch: Callable[..., Rehearsal]) -> None:
    run = launch(script("allreduce_mpi4py"))
    assert run.code == 0, run.shown
    assert "all-reduce right: 4 sizes, 4 ranks, 2 hosts" in run.shown
    for rank, host, _ in SHARDS:
        assert f"rank {rank} of 4 on algo-{host}: local rank {rank % 2} of 2" in run.shown
    assert run.outcome["status"] == "Completed"
    assert run.outcome["ranks_per_host"] == {"algo-1": 2, "algo-2": 2}


def test_a_failing_rank_is_named_with_its_exception(script: Callable[[str], Path], launch: Callable[..., Rehearsal]) -> None:
    run = launch(script("allreduce_mpi4py"), "--fail-rank", "3")
    assert run.code == 1, run.shown
    failure = run.outcome["failure"]
    assert (failure["rank"], failure["host"], failure["local_rank"]) == (3, "algo-2", 1)
    assert "RuntimeError" in failure["exception"]
    assert "RuntimeError: rank 3 was asked to fail by --fail-rank" in run.shown


@pytest.mark.parametrize(
    ("name", "model", "words"),
    [
        ("mnist_torch_horovod", "model.pt", ()),
        ("mnist_tf_horovod", "1/saved_model.pb", ("--epochs", "5")),
        ("ddp_torch", "model.pt", ()),
    ],
)
def test_training(
    script: Callable[[str], Path], launch: Callable[..., Rehearsal], name: str, model: str, words: Tuple[str, ...]
) -> None:
    """As the README has it; how well a whole training learns is shown by test_example_training.py."""
    run = launch(script(name), "--check-replicas", *words)
    assert run.code == 0, run.shown
    for rank, host, samples in SHARDS:
        assert f"rank {rank} of 4 on algo-{host}: {samples} samples" in run.shown
    assert len(set(re.findall(r"rank \d weights: ([0-9a-f]{16})", run.shown))) == 1
    found = re.findall(r"[Tt]est accuracy: (\d\.\d{4})", run.shown)
    assert len(found) == 1 and float(found[0]) >= 0.9
    assert run.shown.count("model saved: /opt/ml/model/") == 1
    assert (run.directory / "model" / model).is_file()
    assert run.outcome["world_size"] == 4
    assert (run.directory / "request.json").is_file() and run.log(1) and run.log(2)
