"""The mpi4py example under bare mpirun."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

pytestmark = pytest.mark.examples


@pytest.fixture(scope="module")
def path(script: Callable[[str], Path]) -> Path:
    return script("allreduce_mpi4py")


def test_sums_are_right(path: Path, mpi: Callable[..., Any]) -> None:
    run = mpi(path, "--sizes", "1,100,100000", ranks=3)
    assert run.code == 0, run.report
    for rank in range(3):
        assert f"rank {rank} of 3 on algo-{rank + 1}: local rank {rank} of 3\n" in run.stdout[rank]
    assert "   800000 bytes: " in run.stdout[0]
    assert run.stdout[0].endswith("all-reduce right: 3 sizes, 3 ranks, 3 hosts\n")


def test_numpy_is_not_needed(path: Path, mpi: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('this machine has no numpy')\n")
    run = mpi(path, "--sizes", "8", env={"PYTHONPATH": str(tmp_path)})
    assert run.code == 0, run.report


@pytest.mark.parametrize("culprit", [0, 1])
def test_a_wrong_sum_fails_on_every_rank(path: Path, mpi: Callable[..., Any], culprit: int) -> None:
    run = mpi(path, "--sizes", "1,100", "--corrupt-rank", str(culprit))
    assert run.code == 1, run.report
    assert "sum WRONG in 1 of 100 elements\n" in run.stdout[0]
    assert run.stdout[0].endswith("all-reduce wrong in 2 of 2 sizes, 2 ranks, 2 hosts\n")


def test_a_rank_that_does_not_exist_is_refused(path: Path, mpi: Callable[..., Any]) -> None:
    run = mpi(path, "--fail-rank", "2")
    assert run.code == 2, run.report
    assert "--fail-rank 2: the ranks are 0 to 1" in run.stdout[0] + run.stderr[0]
