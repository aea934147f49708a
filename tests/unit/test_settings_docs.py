"""docs/configuration.md: its example is a correct file, its commands run with it, and its tables are complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Iterator, List

import pytest
from settings_support import hooked, pair, values, write
from test_docs_tables import rows

import hvdsm
from hvdsm.cli.defaults import options_of
from hvdsm.cli.launch import command as launch
from hvdsm.settings.layers import SHARED
from hvdsm.settings.variables import FOREIGN

PAGE = Path(hvdsm.__file__).parent.parent / "docs" / "configuration.md"


def blocks(language: str) -> List[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> Iterator[str]:
    for block in blocks("sh"):
        yield from block.replace("\\\n", " ").splitlines()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the files of the page."""
    write(tmp_path / "hvdsm.toml", blocks("toml")[0])
    write(tmp_path / "hp.yaml", blocks("yaml")[0])
    write(tmp_path / "src" / "train.py", "print('hello')\n")
    write(tmp_path / "data" / "train" / "x", "1")
    write(tmp_path / "bin" / "mpirun", "#!/bin/sh\necho 'mpirun (Open MPI) 4.1.8'\n").chmod(0o755)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "SAGEMAKER_ROLE", "S3_PATH", "HVDSM_PROFILE", "HVDSM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("line", [line for line in commands() if not line.startswith("export ")])
def test_a_command_of_the_page(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], line: str
) -> None:
    for exported in commands():
        if exported.startswith("export "):
            monkeypatch.setenv(*pair(exported[len("export ") :]))
    words = shlex.split(line)
    while "=" in words[0]:
        monkeypatch.setenv(*pair(words.pop(0)))
    assert words.pop(0) == "hvdsm"
    assert hooked(*words) == 0
    out, err = capfd.readouterr()
    assert out and "warning: " not in err.replace("hvdsm: warning: hvdsm.toml", "")


def test_the_example_says_what_the_page_says(project: Path) -> None:
    found = values("--profile", "spot", "--hp", "layers=[1]")
    assert found["instance_count"] == 4 and found["max_wait"] == 7200 and found["backend"] == "sagemaker"
    assert found["hyperparameters"] == ("optimizer=Adam", "data.batch_size=32", "layers=[1]")
    assert found["channels"] == ("train=s3://sagemaker-us-east-1-123456789012/datasets/train",)
    assert values()["channels"] == (f"train={project}/data/train",)
    assert values()["source_dir"] == f"{project}/src"


def test_all_keys() -> None:
    said = {line[0]: line[1:] for line in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", table("## All keys"), re.MULTILINE)}
    assert list(said) == [option.key for option in options_of(launch)]
    for option in options_of(launch):
        names, value = said[option.key]
        assert re.findall(r"`(\w+)`", names) == list(option.keys[1:])
        if option.choices:
            assert tuple(re.findall(r"`(\w+)`", value)) == option.choices
        elif option.multiple:
            assert option.named == value.startswith("table") and "list" in value
        else:
            assert value in option.kind


def table(heading: str) -> str:
    return PAGE.read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1]


def test_variables_of_others() -> None:
    said = {
        name: tuple(re.findall(r"`([A-Z0-9_]+)`", cells[0])) for name, cells in rows(PAGE, "## Environment variables").items()
    }
    assert said == FOREIGN


def test_keys_that_hold_for_all_commands() -> None:
    text = table("## Tables of other commands").split("\n## ")[0]
    assert all(f"`{name}`" in text for name in SHARED)
