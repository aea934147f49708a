"""Whatever breaks, on either side, under either Open MPI: every host ends soon, by the right code and reason, nothing is left."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import pytest
from conftest import AddRow
from container_jobs import OPEN_MPI, RunningJob, start_host, start_job
from rows import HOSTS, ROWS, SCRIPT, Row, environment_of, nothing

pytestmark = pytest.mark.cluster

CELLS = [
    pytest.param(version, host, row, id=f"{version}-{side}-{row.name.replace(' ', '-')}")
    for version in sorted(OPEN_MPI)
    for host, side in zip(HOSTS, ("launcher", "worker"))
    for row in ROWS
]
OURS = re.compile(r"hvdsm|train\.py|orted|prted|mpirun|prterun|sshd")


@pytest.fixture
def jobs() -> Iterator[List[RunningJob]]:
    """Jobs whose hosts are gone after the test."""
    started: List[RunningJob] = []
    yield started
    for job in started:
        job.cluster.close()


@pytest.mark.parametrize(("version", "host", "row"), CELLS)
def test_fault(version: str, host: str, row: Row, tmp_path: Path, jobs: List[RunningJob], fault_row: AddRow) -> None:
    python = OPEN_MPI[version]
    if not os.path.exists(python):
        pytest.skip(f"Open MPI {version} is not in {python}: make setup installs it")
    environment = environment_of(row, host)
    other = HOSTS[1 - HOSTS.index(host)]
    job = start_job(tmp_path, SCRIPT, python=python, environment=environment, late=HOSTS, **row.hyperparameters)
    jobs.append(job)
    row.before(job, host)
    for name in HOSTS:
        if name == other or not row.absent:
            start_host(job, name, environment=environment)
    if not row.absent:
        job.wait_for("all here", count=2)
    fault = time.monotonic()
    row.inject(job, host)
    ends = ends_of(job, fault, row)
    codes = {name: job.programs[name].poll() if name in job.programs else None for name in HOSTS}
    reasons = {name: job.failure(name) for name in HOSTS}
    verdict, problem = "as it must be", None
    try:
        check(job, row, host, other, codes, reasons, ends)
    except AssertionError as error:
        verdict, problem = "WRONG", error
    first = next((text.splitlines()[0][:90] for text in (reasons[other], reasons[host]) if text), "")
    shown = [" ".join(f"{name} {what[name]}" for name in HOSTS if what.get(name) is not None) for what in (codes, ends)]
    fault_row(version, "launcher" if host == HOSTS[0] else "worker", row.name, *shown, verdict, first)
    if problem is not None:
        raise problem


def ends_of(job: RunningJob, fault: float, row: Row) -> Dict[str, Optional[float]]:
    """Seconds from the fault to the end of each host's program; None for one that has not ended within the bound."""
    ends: Dict[str, Optional[float]] = dict.fromkeys(job.programs)
    while None in ends.values() and time.monotonic() - fault < row.bound:
        for name, program in job.programs.items():
            if ends[name] is None and program.poll() is not None:
                ends[name] = round(time.monotonic() - fault, 1)
        time.sleep(0.05)
    return ends


def check(
    job: RunningJob,
    row: Row,
    host: str,
    other: str,
    codes: Dict[str, Optional[int]],
    reasons: Dict[str, Optional[str]],
    ends: Dict[str, Optional[float]],
) -> None:
    """All that must be true after the fault."""
    for name, expected, pattern in zip((host, other), row.codes, row.failure):
        if expected is None:
            assert not reasons[name], f"a host that is gone cannot write: {reasons[name]}"
            continue
        assert ends[name] is not None, f"{name} has not ended within {row.bound} s\n{job.everything()}"
        # -1 stands for any failure, the same on both hosts: Open MPI chooses the code of a run without its daemon.
        assert codes[name] == expected or (expected == -1 and codes[name] not in (0, None)), (
            f"{name}: {codes}\n{job.everything()}"
        )
        words = {"rank": HOSTS.index(host), "host": host, "other": other}
        if pattern == "log":
            assert "rank " in job.read(name), job.everything()
            assert "cannot write /opt/ml/output/failure" in job.read(name), job.everything()
            assert re.search("ValueError: bad batch", job.read(name).split("cannot write")[1]), job.everything()
        elif pattern is None:
            assert reasons[name] is None, f"{name}: {reasons[name]}"
        else:
            text = reasons[name] or ""
            assert re.search(pattern.format(**words), text), (
                f"{name}: {text!r} is not {pattern.format(**words)}\n{job.everything()}"
            )
        left = [line for line in job.left_over(name) if OURS.search(line)]
        assert not left, f"{name}: {left}"
    if -1 in row.codes:
        assert len(set(codes.values())) == 1, codes
    if row.done:
        assert job.read("algo-1").count("all done") == 2, job.everything()
        for name in HOSTS:
            assert (job.folder / name / "output" / "success").exists(), job.everything()
    if row.inject is not nothing and row.name == "SIGTERM to train":
        assert job.read("algo-1").count("saving") == 2, job.everything()
        assert job.outcome()["status"] == "Stopped"
