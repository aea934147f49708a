"""The commands of the page about images, run in their order with an engine that writes down what it is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List, Set

import pytest
from image_support import Engines

from hvdsm.sandbox import Sandbox

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "images.md"
COMMANDS = ("build", "push", "uri", "list")
# Not in the region of the configuration.
MXNET = "763104351884.dkr.ecr.us-west-2.amazonaws.com"
# Recipes that are where hvdsm looks for them, whatever else is in the repository.
PROGRAM = (
    "import sys; from hvdsm.images import recipes; recipes.root = lambda: {place!r}; from hvdsm.cli import main; sys.exit(main())"
)


@pytest.fixture
def engines(tmp_path: Path) -> Engines:
    """A docker, and what the page names."""
    made = Engines(tmp_path / "bin", "docker")
    # No list of images; an id for the rest.
    made.does(image={"out": ""})
    for name in ("graph", "pytorch"):
        (tmp_path / "containers" / name).mkdir(parents=True)
        (tmp_path / "containers" / name / "Dockerfile").write_text(
            "FROM scratch\nARG DEVICE\n" + "ARG SOURCE\n" * (name == "graph")
        )
    index = {name: {"file": f"containers/{name}/Dockerfile", "cpu": {}, "gpu": {}} for name in ("graph", "pytorch")}
    (tmp_path / "containers" / "images.json").write_text(json.dumps(index))
    (tmp_path / "home" / "graphstorm" / "python" / "graphstorm").mkdir(parents=True)
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "GCMC.Dockerfile").write_text(f"FROM {MXNET}/mxnet-training:1.6.0-gpu-py3\n")
    (tmp_path / "bin" / "program.py").write_text(PROGRAM.format(place=str(tmp_path)))
    (tmp_path / "bin" / "hvdsm").write_text(f"#!/bin/sh\nexec '{sys.executable}' '{tmp_path}/bin/program.py' \"$@\"\n")
    (tmp_path / "bin" / "hvdsm").chmod(0o755)
    return made


def commands() -> List[str]:
    found = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [line for block in found for line in block.splitlines()]


def test_the_commands_of_the_page(sandbox: Sandbox, engines: Engines, tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = f"{engines.path}{os.pathsep}/usr/bin{os.pathsep}/bin"
    env = {**own, **sandbox.environ(), "PATH": path, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-ec", "\n".join(commands())], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    built = ["build", "push", "build", "build", *("build", "build", "push", "build", "push"), "push"]
    assert [call["argv"][1] for call in engines.calls("build", "push")] == built
    gcmc = next(call["argv"] for call in engines.calls("build") if "sagemaker-dgl-gcmc:latest" in call["argv"])
    assert gcmc[-1] == str(tmp_path) and gcmc[gcmc.index("--file") + 1] == str(tmp_path / "GCMC.Dockerfile")
    assert MXNET in [call["argv"][-1] for call in engines.calls("login")]
    tutorial = next(call["argv"] for call in engines.calls("build") if "sagemaker-tutorial:latest" in call["argv"])
    assert tutorial[-2:] == ["--no-cache", str(tmp_path)]
    assert "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-tutorial:latest" in done.stdout.splitlines()
    assert "123456789012.dkr.ecr.us-east-1.amazonaws.com/tutorial:latest" in done.stdout.splitlines()
    assert len(commands()) == 17


def test_options_of_the_page() -> None:
    real: Set[str] = set()
    for name in COMMANDS:
        shown = subprocess.run(
            [sys.executable, "-m", "hvdsm", "image", name, "--help"], capture_output=True, text=True, check=True
        )
        real |= set(re.findall(r"--[a-z][a-z0-9-]+", shown.stdout))
    text = re.sub(r" -- --no-cache|--backend sagemaker --image", "", PAGE.read_text())
    assert set(re.findall(r"--[a-z][a-z0-9-]+", text)) - real == set()
    in_table = set(re.findall(r"--[a-z][a-z0-9-]+", "".join(re.findall(r"^\| `--.*$", text, re.MULTILINE))))
    help_ = subprocess.run(
        [sys.executable, "-m", "hvdsm", "image", "build", "--help"], capture_output=True, text=True, check=True
    )
    options = set(re.findall(r"^  (--[a-z][a-z0-9-]+)", help_.stdout, re.MULTILINE))
    known = {"--aws-profile", "--dry-run", "--json", "--profile", "--login"}
    assert options - known <= in_table
