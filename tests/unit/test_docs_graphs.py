"""The commands of docs/graphs.md are understood, and its tables have what the commands have."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import List

import pytest

import hvdsm
from hvdsm.cli import main
from hvdsm.cli.graph import _COMMANDS
from hvdsm.cli.graph_jobs import infer, train
from hvdsm.cli.graph_upload import upload
from hvdsm.compose.compose_graph import TASKS
from hvdsm.recipes.graph.local_s3 import reach_of
from hvdsm.recipes.graph.parameters import _FIELDS, ESTIMATOR, PROCESSOR
from hvdsm.recipes.graph.uploading import planned

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/graphstorm:sm-gpu"
PAGE = (Path(hvdsm.__file__).parent.parent / "docs" / "graphs.md").read_text(encoding="utf-8")


def commands() -> List[List[str]]:
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [shlex.split(block.replace("\\\n", " ")) for block in blocks]


def test_there_are_commands() -> None:
    assert sorted({words[2] for words in commands()}) == ["construct", "infer", "partition", "train", "upload"]


@pytest.mark.parametrize("words", [words for words in commands() if words[2] != "upload"], ids=lambda words: "-".join(words[1:5]))
def test_each_command_can_be_meant(
    words: List[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    # A dry run here looks for what channels name: of S3 this machine has none.
    more = [] if "sagemaker" in words else ["--backend", "sagemaker", "--region", "us-east-1", "--image-url", IMAGE]
    more += [] if "sagemaker" in words else ["--role", "arn:aws:iam::123456789012:role/graphs"]
    assert words[:2] == ["hvdsm", "graph"]
    assert main([*words[1:], *more, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["request"]


def test_the_variables_lead_hosts_to_that_s3() -> None:
    (block,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    command, *words = shlex.split(block)
    reach = reach_of("auto", dict(word.split("=", 1) for word in words))
    assert (command, reach.gateway and reach.gateway.port) == ("export", 5000)


def test_the_upload_can_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (given,) = [words for words in commands() if words[2] == "upload"]
    monkeypatch.chdir(tmp_path)
    found = upload.make_context("upload", given[3:]).params
    Path(found["yaml"]).write_text("x")
    graph = tmp_path / "graph"
    (graph / "part0").mkdir(parents=True)
    (graph / "mag.json").write_text('{"num_parts": 1}')
    asked = planned(str(graph), found["yaml"], found["graph_data_s3"], found["yaml_s3"])
    # It is there that the page's training looks for them.
    train_words = next(words for words in commands() if words[2] == "train")
    assert asked.graph_data == train_words[train_words.index("--graph-data-s3") + 1]
    assert asked.yaml_data == train_words[train_words.index("--yaml-s3") + 1]


def test_every_command_has_a_row() -> None:
    listed = re.findall(r"^\| `hvdsm graph ([a-z]+)` \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(_COMMANDS)


def test_the_options_are_those_of_the_commands() -> None:
    said = set(re.findall(r"^\| `(--[a-z0-9-]+)`", PAGE, re.MULTILINE))
    real = {option for command in (train, infer) for parameter in command.params for option in parameter.opts}
    assert said <= real
    assert all(f"`{task}`" in PAGE for task in TASKS)


def test_the_parameters_are_those_that_are_fields() -> None:
    for kind in (ESTIMATOR, PROCESSOR):
        assert all(f"`{name}`" in PAGE for name in _FIELDS[kind])
