"""The commands of the page about jobs in SageMaker, run in their order beside a sandbox; and that of README."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest
from cloud_launching import IMAGE, ROLE, ROOT, created, variables
from sandbox_support import client

pytestmark = pytest.mark.cluster

SCRIPT = """
import os, sys
from mpi4py import MPI
print("sum", MPI.COMM_WORLD.allreduce(1), sys.argv[1:])
"""


def blocks(page: str, language: str) -> List[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (Path(ROOT) / page).read_text(), re.DOTALL | re.MULTILINE)


def run(sandbox: Any, place: Path, script: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which ``hvdsm`` is the one that is tested."""
    text = f"set -eu\nhvdsm() {{ '{sys.executable}' -m hvdsm \"$@\"; }}\n{script}"
    return subprocess.run(
        ["bash", "-c", text], cwd=place, env=variables(sandbox, more), capture_output=True, text=True, check=False, timeout=280
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with what the pages name."""
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / "data" / f"{name}.csv").write_text(name)
    (tmp_path / "examples").symlink_to(Path(ROOT) / "examples")
    return tmp_path


def test_the_page_about_sagemaker(emulated_sandbox: Any, place: Path) -> None:
    done = run(emulated_sandbox, place, "\n".join(blocks("docs/cloud.md", "sh")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [request["TrainingJobName"] for request in created(emulated_sandbox)] == ["first", "second", "with-data"]
    outcome = json.loads((place / "hvdsm-out" / "first" / "outcome.json").read_text())
    assert outcome["ranks_per_host"] == {"algo-1": 2, "algo-2": 2}
    found = client(emulated_sandbox, "sagemaker").describe_training_job(TrainingJobName="with-data")
    assert found["EnableManagedSpotTraining"] is True and found["StoppingCondition"]["MaxWaitTimeInSeconds"] == 7200


def test_the_command_of_the_readme(emulated_sandbox: Any, place: Path) -> None:
    (command,) = [text for text in blocks("README.md", "text") if "--backend sagemaker" in text]
    script = command.replace("--image IMAGE", f"--image {IMAGE}").replace("--role ROLE_ARN", f"--role {ROLE}")
    done = run(emulated_sandbox, place, script)
    assert done.returncode == 0 and "test accuracy" in done.stdout, done.stdout + done.stderr
