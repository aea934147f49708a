"""Every hvdsm command of docs/compose.md: the files are written, and a launch is shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import List

import pytest
from compose_support import checked

import hvdsm
from hvdsm.cli import main

PAGE = Path(hvdsm.__file__).parent.parent / "docs" / "compose.md"


def commands() -> List[List[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("hvdsm ")]


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words[:2]))
def test_a_command_of_the_page(
    words: List[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\necho 28.0.0\n")
    (tmp_path / "bin" / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "train.py").write_text("")
    shown = words[0] == "launch"
    assert main([words[0], "--dry-run", *words[1:]] if shown else words) == 0, capsys.readouterr().err
    files = [*tmp_path.glob("*.yaml"), *tmp_path.glob("hvdsm-out/*/*.yaml")]
    assert len(files) == (0 if shown else 1)
    for file in files:
        assert checked(file.read_text(encoding="utf-8"))["services"]


def test_there_are_commands() -> None:
    assert {words[0] for words in commands()} == {"launch", "compose"} and len(commands()) == 3
