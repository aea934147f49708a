"""What docs/sandbox.md shows is run as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import click
import pytest

from hvdsm.cli.sandbox import command

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "sandbox.md"
TRAIN = """
import os
from pathlib import Path
print("rank", os.environ["OMPI_COMM_WORLD_RANK"], "has", os.listdir(os.environ["SM_CHANNEL_TRAIN"]), flush=True)
Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text("trained")
"""


def blocks(language: str) -> List[str]:
    """Code blocks of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def place(emulated_hosts: None, tmp_path: Path) -> Path:
    """A directory with what the page names."""
    (script,) = blocks(r"python fit\.py")
    (extension,) = blocks("ipython")
    cells = [extension, "import boto3", "print(boto3.client('s3').list_buckets()['Buckets'])"]
    code = [
        {"cell_type": "code", "id": f"c{number}", "metadata": {}, "execution_count": None, "outputs": [], "source": cell.strip()}
        for number, cell in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = json.dumps({"cells": code, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
    files = {"fit.py": script, "src/train.py": TRAIN, "data/part": "1", "train.ipynb": notebook}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(place: Path, sdk: str, script: str) -> Tuple[int, str]:
    """Run a shell script in which ``hvdsm`` is the one that is tested and ``python`` has an SDK."""
    own: Dict[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_", "PYTHON"))
    }
    path = f"{os.path.dirname(sdk)}{os.pathsep}{own['PATH']}"
    text = f"set -eu\nhvdsm() {{ '{sys.executable}' -m hvdsm \"$@\"; }}\n{script}"
    environ = {**own, "HOME": str(place), "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", text], cwd=place, env=environ, capture_output=True, text=True, timeout=280)
    return done.returncode, done.stdout + done.stderr


def test_its_commands(place: Path, sdk2: str) -> None:
    first, kept, notebook = blocks("sh")
    code, out = run(place, sdk2, first)
    assert code == 0, out
    ranks = set(re.findall(r"rank (\d) has \['part'\]", out))
    assert ranks == {"0", "1", "2", "3"}, out
    assert re.search(r"hvdsm: sandbox:   pytorch-training-\S+ Completed after ", out)
    code, out = run(place, sdk2, kept)
    assert code == 0, out
    models = list((place / "s3-here").glob("sagemaker-eu-west-1-*/pytorch-training-*/output/model.tar.gz"))
    assert len(models) == 1, out
    code, out = run(place, sdk2, notebook)
    assert code == 0, out
    said = (place / "train.ipynb").read_text()
    assert "this kernel is in the sandbox at" in said and "[]\\n" in said
    shutil.rmtree(place / "s3-here")


def test_its_options() -> None:
    (table,) = re.findall(r"^\| option \|.*\n((?:^\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    said = set(re.findall(r"--[a-z][a-z0-9-]+", " ".join(line.split("|")[1] for line in table.splitlines())))
    names = {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}
    assert said == names
