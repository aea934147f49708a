"""``hvdsm compose``: the document's command line, the file that it gives, and what is laid out beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Optional, Tuple

import pytest
import yaml
from compose_support import checked

from hvdsm.cli import main

KEYS = ("--aws-access-key", "sesame-1", "--aws-secret-access-key", "sesame-2", "--aws-session-token", "sesame-3")
COMMON = ("--num-instances", "3", "--image", "graphstorm:sm", "--graph-data-s3", "s3://b/mag 3p", "--graph-name", "ogbn-mag")
TASK = ("--yaml-s3", "s3://b/map_lp.yaml", "--model-artifact-s3", "s3://b/model", "--task-type", "link_prediction")
# The end of the document's example.
FORWARDED = ("--num-layers", "1", "--fanout", "10", "--hidden-size", "128", "--backend", "gloo", "--batch-size", "128")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> Tuple[int, str]:
    code = main(["compose", *words])
    out, err = capsys.readouterr()
    assert out == "" and not list(Path.cwd().iterdir())
    return code, err


def test_the_documents_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compose", *KEYS, *COMMON, *TASK, *FORWARDED]) == 0
    out, err = capsys.readouterr()
    file = here / "docker-compose-link_prediction-3-train.yaml"
    assert [line.strip() for line in out.splitlines()[1:]] == [
        "docker network create gsf-network",
        "docker compose -f docker-compose-link_prediction-3-train.yaml up",
        "docker compose -f docker-compose-link_prediction-3-train.yaml down",
    ]
    assert "not written" in err and "sesame" not in out + err
    for path in here.rglob("*"):
        assert path.is_dir() or "sesame" not in path.read_text(), path
    found = checked(file.read_text())["services"]
    assert list(found) == ["algo-1", "algo-2", "algo-3"]
    for name, service in found.items():
        assert tuple(service["command"][-len(FORWARDED) :]) == FORWARDED and "s3://b/mag 3p" in service["command"]
        base = here / "docker-compose-link_prediction-3-train" / name
        assert {bind["target"]: here / bind["source"] for bind in service["volumes"]}["/opt/ml/input"] == base / "input"
        config = json.loads((base / "input/config/resourceconfig.json").read_text())
        assert (config["current_host"], config["hosts"]) == (name, list(found))
        assert (base / "model").is_dir() and (base / "output/data").is_dir() and (base / "checkpoints").is_dir()
        values = json.loads((base / "input/config/hyperparameters.json").read_text())
        assert values["task-type"] == "link_prediction" and values["graph-data-s3"] == "s3://b/mag 3p"


@pytest.mark.parametrize("words", [("--inference",), ("infer",), ("inference",)])
def test_inference(here: Path, words: Tuple[str, ...]) -> None:
    arguments = (*COMMON, *TASK, *FORWARDED)
    whole = ["compose", *arguments, *words] if words[0].startswith("-") else ["compose", *words, *arguments]
    assert main([*whole, "--output-emb-s3", "s3://b/e", "--no-opt-ml"]) == 0
    (file,) = here.iterdir()
    assert file.name == "docker-compose-link_prediction-3-infer.yaml"
    (command,) = {tuple(service["command"]) for service in checked(file.read_text())["services"].values()}
    assert command[:3] == ("python3", "-u", "infer_entry.py") and command[-len(FORWARDED) :] == FORWARDED
    assert "--infer-yaml-s3" in command and "s3://b/e" in command


def test_partitioning_on_standard_output(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compose", "partition", *COMMON, "--output-data-s3", "s3://b/3p", "--own-network", "--output", "-"]) == 0
    document = checked(capsys.readouterr().out)
    assert document["networks"] == {"gsf": {"name": "gsf-network"}} and not list(here.iterdir())
    assert all("deploy" not in service for service in document["services"].values())


def test_awkward_words_survive(here: Path) -> None:
    words = ["--feat-name", "n0:a 'b'", '--eval={"a": $1}', "", "--x", "-1", 'naïve "$HOME"', "${A}"]
    assert main(["compose", *COMMON, *TASK, "--output", "my 'dir' $x.yaml", "--json", *words]) == 0
    found = checked((here / "my 'dir' $x.yaml").read_text())["services"]["algo-2"]
    assert found["command"][-len(words) :] == words
    assert found["volumes"][0]["source"] == "./my 'dir' $x/algo-2/input" and (here / "my 'dir' $x/algo-2/input").is_dir()
    assert "sesame" not in yaml.safe_dump(found)


@pytest.mark.parametrize("name", ["plain", ".hidden", "a.b/plain"])
def test_a_file_without_a_suffix(here: Path, name: str) -> None:
    (here / name).parent.mkdir(exist_ok=True)
    assert main(["compose", *COMMON, *TASK, "--output", name]) == 0
    service = checked((here / name).read_text())["services"]["algo-1"]
    assert (here / name).parent.joinpath(service["volumes"][0]["source"]).is_dir()


def test_variables_are_given_on_by_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    monkeypatch.setenv("MY_VALUE", "sesame")
    assert main(["compose", *COMMON, *TASK, "--pass-env", "MY_VALUE", "--gpus", "2", "--shm-size", "1gb"]) == 0
    assert not [path for path in here.rglob("*") if path.is_file() and "sesame" in path.read_text()]
    service = checked((here / "docker-compose-link_prediction-3-train.yaml").read_text())["services"]["algo-1"]
    assert service["environment"]["MY_VALUE"] is None and service["environment"]["SM_NUM_GPUS"] == "2"
    assert service["shm_size"] == "1gb" and service["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 2


def test_what_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = refused(capsys, *COMMON, *TASK, *KEYS[:2])
    assert code == 2 and "--aws-secret-access-key, --aws-session-token" in err and "sesame" not in err
    assert refused(capsys, "partition", *COMMON, "--output-data-s3", "s3://b/p", "--inference")[0] == 2
    assert "--yaml-s3" in refused(capsys, *COMMON, "--task-type", "link_prediction")[1]
    assert refused(capsys, *COMMON, *TASK, "--task-type", "nothing")[0] == 2
    code, err = refused(capsys, *COMMON, *TASK, "--hf-token", "sesame")
    assert code == 2 and "--pass-env" in err and "sesame" not in err
    assert refused(capsys, *COMMON, *TASK, "--aws-profile", "dev")[0] == 78
    assert refused(capsys, *COMMON, *TASK, "--shm-size", "junk")[0] == 78
    assert refused(capsys, *COMMON, *TASK, "--image", "--privileged")[0] == 78
    assert refused(capsys, *COMMON, *TASK, "--output", "none/x.yaml", "--no-opt-ml")[0] == 78
    assert main(["compose", *COMMON, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


@pytest.mark.parametrize("name", ["HF_TOKEN=sesame", "=sesame", "A B", "A\nB", "", "1A"])
def test_a_variable_is_given_on_by_its_name_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    # A value, as of docker's -e, would be in the file, in the place of a name.
    code, err = refused(capsys, *COMMON, *TASK, "--pass-env", name)
    assert code == 2 and "--pass-env" in err and "sesame" not in err


@pytest.mark.parametrize(
    ("words", "environ", "written", "warned"),
    [
        (("--region", "eu-west-1"), {"AWS_REGION": "us-east-1"}, "eu-west-1", False),
        ((), {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-west-2"}, "us-east-1", False),
        ((), {"AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2", False),
        ((), {}, None, True),
    ],
)
def test_where_the_region_comes_from(
    words: Tuple[str, ...],
    environ: Dict[str, str],
    written: Optional[str],
    warned: bool,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GraphStorm's scripts end with a KeyError where AWS_REGION is not set.
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["compose", *COMMON, *TASK, *words]) == 0
    assert ("--region" in capsys.readouterr().err) is warned
    found = yaml.safe_load((here / "docker-compose-link_prediction-3-train.yaml").read_text())
    assert found["services"]["algo-1"]["environment"]["AWS_REGION"] == written
