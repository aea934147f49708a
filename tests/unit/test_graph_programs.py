"""How a host of a graph job runs GraphStorm's programs, which modules of these tests stand for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Sequence

import pytest

from hvdsm.graphjob.constructing import construct
from hvdsm.graphjob.state import JobState, Places
from hvdsm.graphjob.transfers import Store

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = """
import argparse
def get_argument_parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-samplers", type=int)
    parser.add_argument("--graph-format", default="csc")
    parser.add_argument("--verbose", action="store_true")
    return parser
"""
PARSED = """
import json, sys
from hvdsm.graphjob.running import _parsed
from hvdsm.graphjob.state import JobState, Places
launch, words = _parsed(JobState("train", {}, tuple(json.loads(sys.argv[1])), Places("/none")))
print(json.dumps([launch.num_samplers, launch.graph_format, words]))
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of modules that programs find."""
    for package in ("run", "gconstruct"):
        folder = tmp_path / "graphstorm" / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    (tmp_path / "graphstorm" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    return tmp_path / "graphstorm"


@pytest.mark.parametrize(
    "words",
    [
        ["--graph", "5", "--verb=x", "--num", "-1"],
        ["--num-sam=2", "a b", "", "--lr=-1e-3"],
    ],
)
def test_an_option_that_begins_like_one_of_the_launchers_is_none(packages: Path, words: Sequence[str]) -> None:
    (packages / "run" / "launch.py").write_text(LAUNCH)
    command = [sys.executable, "-c", PARSED, json.dumps([*words, "--num-samplers", "3"])]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
    assert json.loads(said) == [3, "csc", list(words)]


@pytest.mark.parametrize(("end", "code"), [("sys.exit(5)", 5), (f"os.kill(os.getpid(), {int(signal.SIGKILL)})", 137)])
def test_a_construction_ends_with_the_code_of_gconstruct(packages: Path, tmp_path: Path, end: str, code: int) -> None:
    (packages / "gconstruct" / "construct_graph.py").write_text(f"import os, sys\n{end}\n")
    places = Places(str(tmp_path / "base"))
    (tmp_path / "base" / "processing" / "input").mkdir(parents=True)
    host = JobState("gconstruct", {}, ("--num-parts", "2"), places)
    assert construct("rank", host, Store(lambda _: None), lambda _: None) == code
