"""Notebooks, executed by a kernel of the SDK's environment, in ``hvdsm sandbox`` and by ``%load_ext hvdsm.notebook``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

ROOT = Path(__file__).parent.parent.parent
TRAIN = """
import os
from pathlib import Path
print("rank", os.environ["OMPI_COMM_WORLD_RANK"], "trains", flush=True)
Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text("trained")
"""
FIT = [
    "import boto3, sagemaker\nfrom sagemaker.pytorch import PyTorch\nrole = sagemaker.get_execution_role()\nprint('ROLE', role)",
    """estimator = PyTorch("train.py", source_dir="src", role=role, instance_count=2, instance_type="ml.c5.xlarge",
    framework_version="2.1", py_version="py310", distribution={"mpi": {"enabled": True}})
estimator.fit()""",
    "print('MODEL', estimator.model_data)",
]
LOCAL = """from sagemaker.local import LocalSession
local = PyTorch("train.py", source_dir="src", role=role, instance_count=2, instance_type="local", image_uri="image",
    distribution={"mpi": {"enabled": True}}, sagemaker_session=LocalSession())
local.fit()"""


@pytest.fixture
def person(emulated_hosts: None, tmp_path: Path) -> Dict[str, str]:
    """The environment of somebody whose home directory has a script to train with."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(TRAIN)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_", "PYTHON", "HVDSM_"))}
    return {**own, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), "AWS_DEFAULT_REGION": "eu-west-1"}


def write(person: Dict[str, str], cells: List[str]) -> Path:
    """A notebook with these cells."""
    path = Path(person["HOME"], "train.ipynb")
    code = [
        {"cell_type": "code", "id": f"c{number}", "metadata": {}, "execution_count": None, "outputs": [], "source": cell}
        for number, cell in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": code, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return path


def execute(person: Dict[str, str], python: str, notebook: Path, *before: str) -> List[str]:
    """Run a notebook to its end; what each cell has printed."""
    jupyter = os.path.join(os.path.dirname(python), "jupyter-execute")
    done = subprocess.run(
        [*before, jupyter, "--inplace", notebook.name],
        env=person,
        cwd=person["HOME"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(text_of(output) for output in cell["outputs"]) for cell in cells] + [done.stderr]


def text_of(output: Dict[str, Any]) -> str:
    """The text of a cell's output."""
    return "".join(output.get("text", ""))


def plain(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_notebook_in_the_sandbox(person: Dict[str, str], sdk2: str) -> None:
    hvdsm = [sys.executable, "-m", "hvdsm", "sandbox", "--"]
    role, fit, model, err = execute(person, sdk2, write(person, FIT), *hvdsm)
    assert "ROLE arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole\n" in role
    assert {"rank 0 trains", "rank 1 trains"} <= {line.partition("] ")[2] for line in plain(fit).splitlines()}
    assert "MODEL s3://sagemaker-eu-west-1-123456789012/pytorch-training-" in model
    assert re.search(r"hvdsm: sandbox:   pytorch-training-\S+ Completed after ", err)


def test_a_notebook_that_loads_the_extension(person: Dict[str, str], sdk2: str) -> None:
    before = """import boto3, os
client = boto3.client("s3", aws_access_key_id="own", aws_secret_access_key="own")
boto3.setup_default_session(aws_access_key_id="own", aws_secret_access_key="own")
environ = dict(os.environ)"""
    after = """key = boto3.DEFAULT_SESSION.get_credentials().access_key
print("UNCHANGED", client.meta.endpoint_url, dict(os.environ) == environ, key)
print("AWS", boto3.client("s3").meta.endpoint_url)"""
    cells = [
        before,
        "%load_ext hvdsm.notebook",
        *FIT,
        LOCAL,
        "%unload_ext hvdsm.notebook",
        after,
        "%load_ext hvdsm.notebook",
        "%reload_ext hvdsm.notebook",
    ]
    # The kernel needs the SDK and hvdsm; moto and Open MPI are in the environment of these tests.
    said = execute({**person, "HVDSM_PYTHON": sys.executable}, sdk2, write(person, cells))
    assert re.search(
        r"hvdsm: sandbox: SageMaker is at http://127.0.0.1:\d+ for this kernel; results of jobs go to \S+/hvdsm-out\n", said[1]
    )
    assert "ROLE arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole\n" in said[2]
    assert {"rank 0 trains", "rank 1 trains"} <= {line.partition("] ")[2] for line in plain(said[3]).splitlines()}
    assert "MODEL s3://sagemaker-eu-west-1-123456789012/pytorch-training-" in said[4]
    assert "rank 1 trains" in plain(said[5])
    assert "1 training job, results in" in said[6]
    assert re.search(r"hvdsm: sandbox:   pytorch-training-\S+ Completed after ", said[6])
    assert "UNCHANGED https://s3.eu-west-1.amazonaws.com True own\nAWS https://s3.eu-west-1.amazonaws.com\n" in said[7]
    assert "SageMaker is at" in said[8] and "SageMaker is at" in said[9]
    left = [name for name in os.listdir(person["HOME"]) if name.startswith("hvdsm-") and name != "hvdsm-out"]
    assert left == []


def test_the_extension_in_a_sandbox_says_that_there_is_one(person: Dict[str, str], sdk2: str) -> None:
    notebook = write(person, ["%load_ext hvdsm.notebook"])
    hvdsm = [sys.executable, "-m", "hvdsm", "sandbox", "--"]
    (said, _) = execute(person, sdk2, notebook, *hvdsm)
    assert re.search(r"hvdsm: sandbox: this kernel is in the sandbox at http://127.0.0.1:\d+ already\n", said)


FIT3 = """from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode
from hvdsm.sdk.v3 import MPI
trainer = ModelTrainer(training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1",
    source_code=SourceCode(source_dir="src", entry_script="train.py"), distributed=MPI(process_count_per_node=1),
    compute=Compute(instance_type="ml.c5.xlarge", instance_count=2))
trainer.train()
print("STATUS", trainer._latest_training_job.training_job_status)"""


def test_a_notebook_of_sdk3_that_loads_the_extension(person: Dict[str, str], sdk3: str) -> None:
    notebook = write(person, ["%load_ext hvdsm.notebook", FIT3])
    said = execute({**person, "HVDSM_PYTHON": sys.executable, "AWS_DEFAULT_REGION": "us-east-1"}, sdk3, notebook)
    assert "STATUS Completed" in said[1]
    # The SDK shows lines by rich, as pieces of HTML and text.
    assert all(f"rank {rank} trains" in notebook.read_text() for rank in range(2))
