"""The page about the SDK 2: its pieces in one script, and each row of its table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import pytest
from sdk_support import run_command

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "sdk2.md"
TRAIN = """
import os
from mpi4py import MPI

world = MPI.COMM_WORLD
print("rank", world.rank, "of", world.size, "on", os.environ["SM_CURRENT_HOST"])
if world.rank == 0:
    open(os.path.join(os.environ["SM_MODEL_DIR"], "model"), "w").close()
"""
# Evaluates what a row gives to an estimator: what the SDK sends then, and all that hvdsm says of it.
ROWS = """
import copy, json, logging, os, sys, warnings

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
import sagemaker
from sagemaker import estimator, mxnet, pytorch, tensorflow
from sagemaker.instance_group import InstanceGroup
from hvdsm.errors import HvdsmError
import hvdsm.sdk.v2 as v2

GROUP = InstanceGroup("workers", "ml.c5.xlarge", 2)
OTHER = InstanceGroup("data", "ml.c5.xlarge", 1)
COMMON = {
    "role": "arn:aws:iam::123456789012:role/training",
    "image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1",
    "entry_point": "train.py",
    "sagemaker_session": sagemaker.Session(),
}


def row(kind, given):
    hosts = {"instance_count": 2, "instance_type": "ml.c5.xlarge"}
    if "instance_groups" in given.get("distribution", {}):
        hosts = {"instance_groups": [GROUP, OTHER]}
    framework = {} if kind is estimator.Estimator else {"framework_version": "2.12", "py_version": "py310"}
    made = kind(**{**COMMON, **hosts, **framework, **copy.copy(given)})
    asked = given.get("distribution", {})
    calls = [lambda: v2.distribution(asked), lambda: v2.check(made, asked), lambda: v2.Estimator(**COMMON, **hosts, **given)]
    said = []
    for call in calls:
        try:
            call()
        except HvdsmError as error:
            said.append(str(error))
    made.model_dir = False
    return {"sent": {key: str(value) for key, value in made.hyperparameters().items()}, "said": said}


KINDS = {
    "TensorFlow": tensorflow.TensorFlow,
    "PyTorch": pytorch.PyTorch,
    "MXNet": mxnet.MXNet,
    "Estimator": estimator.Estimator,
}
names = {name: (lambda kind: lambda **given: row(kind, given))(kind) for name, kind in KINDS.items()}
print("RESULT " + json.dumps([eval(text, {**names, "GROUP": GROUP}) for text in json.loads(sys.argv[1])]))
"""


def blocks(language: str) -> List[str]:
    """The page's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def table() -> List[Tuple[str, str, str]]:
    """The rows of the table."""
    found = re.findall(r"^\| `(.*)` \| (.*) \| `(.*)` \|$", PAGE.read_text(), re.MULTILINE)
    assert len(found) >= 20
    return found


def environment(directory: Path) -> Dict[str, str]:
    """Without what belongs to the person who runs the tests."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AWS_", "SAGEMAKER_"))}
    return {**own, "HOME": str(directory), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def wrong_with(row: Tuple[str, str, str], found: Mapping[str, Any]) -> List[str]:
    """What the row says and is not so."""
    _, effect, words = row
    sent = found["sent"]
    wrong = [] if any(words in text for text in found["said"]) else [f"says {found['said']}"]
    absent = re.findall(r"no `([^`=]+)`", effect)
    present = re.findall(r"`([^`=]+)=([^`]*)`", effect)
    wrong += [f"{name} is sent" for name in absent if name in sent]
    wrong += [f"{name}={value} is not sent" for name, value in present if sent.get(name) != value]
    return wrong if absent or present else [*wrong, "says nothing of what is sent"]


def test_each_row_of_the_table(sdk2: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    script = tmp_path / "rows.py"
    script.write_text(ROWS)
    rows = table()
    aws = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    ran = run_command([sdk2, str(script), json.dumps([row[0] for row in rows])], {**environment(tmp_path), **aws}, tmp_path)
    match = re.search(r"^RESULT (.*)$", ran.output, re.MULTILINE)
    assert match, ran.output
    wrong = {row[0]: wrong_with(row, found) for row, found in zip(rows, json.loads(match.group(1)))}
    assert not {text: problems for text, problems in wrong.items() if problems}


@pytest.mark.cluster
def test_the_pieces_of_the_page_in_one_script(sdk2: str, emulated_hosts: None, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "fit.py").write_text("\n".join(blocks("python")))
    (command,) = blocks("sh")
    programs = tmp_path / "bin"
    programs.mkdir()
    # A link to a virtual environment's interpreter would not be in that environment.
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sdk2}" "$@"\n')
    (programs / "hvdsm").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hvdsm "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    own = environment(tmp_path)
    path = os.pathsep.join([str(programs), os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=tmp_path,
        env={**own, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for name in ("checked", "own"):
        outcome = json.loads((tmp_path / "hvdsm-out" / name / "outcome.json").read_text())
        assert outcome["ranks_per_host"] == {"algo-1": 2, "algo-2": 2}
    assert re.search(r"^s3://\S+/own/output/model.tar.gz$", done.stdout, re.MULTILINE), said
    expected = next(text for text in blocks("text") if "does not send it" in text)
    assert expected in done.stdout
    assert "OldNameWarning: train_instance_count is now called instance_count" in said
