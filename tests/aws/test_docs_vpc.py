"""The commands of the page about the network, run in their order beside a sandbox."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest
from cloud_launching import IMAGE, ROLE, ROOT, created, variables
from sandbox_support import client

PAGE = Path(ROOT) / "docs" / "vpc.md"
SCRIPT = "from mpi4py import MPI\nprint('sum', MPI.COMM_WORLD.allreduce(1))\n"


def blocks(language: str) -> List[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with what the page names."""
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "vpc").symlink_to(Path(ROOT) / "vpc")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "hvdsm").write_text(f"#!/bin/sh\nexec '{sys.executable}' -m hvdsm \"$@\"\n")
    (bin_ / "hvdsm").chmod(0o755)
    return tmp_path


def run(sandbox: Any, place: Path, argv: List[str]) -> subprocess.CompletedProcess[str]:
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = variables(sandbox, {"PATH": path, "IMAGE": IMAGE, "SAGEMAKER_ROLE": ROLE})
    return subprocess.run(argv, cwd=place, env=env, capture_output=True, text=True, check=False, timeout=280)


def test_the_commands_of_the_page(sandbox: Any, place: Path) -> None:
    done = run(sandbox, place, ["bash", "-ec", "\n".join(blocks("sh"))])
    assert done.returncode == 0, done.stdout + done.stderr
    (request,) = created(sandbox)
    assert request["TrainingJobName"] == "in-vpc" and len(request["VpcConfig"]["Subnets"]) == 1
    stacks = client(sandbox, "cloudformation").describe_stacks()["Stacks"]
    assert {stack["StackName"]: stack["StackStatus"] for stack in stacks} == {"hvdsm-training": "CREATE_COMPLETE"}
    assert "no findings" in done.stdout or "a job can run" in done.stdout + done.stderr
    # The lists that the page takes from the stack, by its own program.
    (program,) = blocks("python")
    listed = run(sandbox, place, [sys.executable, "-c", f"{program}\nprint(subnets, security_group_ids)"])
    assert listed.returncode == 0, listed.stderr
    subnets, _, groups = listed.stdout.strip().partition("] ")
    assert ast.literal_eval(f"{subnets}]") == request["VpcConfig"]["Subnets"]
    assert ast.literal_eval(groups) == request["VpcConfig"]["SecurityGroupIds"]


def test_every_option_that_the_page_names_is_one_of_the_commands(place: Path) -> None:
    """Commands that need minutes or hosts are not run, and options in sentences are not, either."""
    help_ = ""
    for words in (["vpc", name] for name in ("plan", "deploy", "status", "outputs", "check", "delete")):
        help_ += subprocess.run(
            [sys.executable, "-m", "hvdsm", *words, "--help"], capture_output=True, text=True, check=True
        ).stdout
    for words in (["bench", "network"], ["launch"]):
        help_ += subprocess.run(
            [sys.executable, "-m", "hvdsm", *words, "--help"], capture_output=True, text=True, check=True
        ).stdout
    foreign = {"--stack-name", "--template-file", "--capabilities"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", PAGE.read_text())) - foreign
    assert len(named) > 25
    assert sorted(option for option in named if not re.search(rf"{option}\b(?!-)", help_)) == []
