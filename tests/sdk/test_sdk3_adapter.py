"""``hvdsm.sdk.v3`` in a real ModelTrainer of the SDK 3: its jobs run to their end on emulated hosts."""

from __future__ import annotations

import json
import os
import tarfile
import textwrap
from io import BytesIO
from pathlib import Path
from typing import Any, Dict, Sequence

import pytest
from sdk3_adapter_support import lines_of, run_with_hvdsm
from sdk_support import Ran

from hvdsm.sandbox import Sandbox
from hvdsm.sandbox.jobs import TrainingJob

RANKS = """
import json, os, sys
from mpi4py import MPI

world = MPI.COMM_WORLD
hosts = world.gather(os.environ["SM_CURRENT_HOST"])
print(f"rank {world.rank} of {world.size} on {os.environ['SM_CURRENT_HOST']}", flush=True)
if os.environ.get("BROKEN") == str(world.rank):
    raise ValueError(f"rank {world.rank} is broken")
if world.rank == 0:
    found = {"hosts": hosts, "words": sys.argv[1:], "directory": os.getcwd(), "given": os.environ.get("GIVEN")}
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "found.json"), "w") as file:
        json.dump(found, file)
"""
TRAINER = """
import os, sys
import sagemaker.train.distributed as theirs
from hvdsm.sdk.v3 import MPI, Torchrun
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode

sources = os.environ["SOURCES"]

def train(name, *, distributed, hosts=2, hyperparameters=None, environment=None, **source):
    trainer = ModelTrainer(
        training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1",
        role="arn:aws:iam::123456789012:role/sagemaker",
        base_job_name=name,
        compute=Compute(instance_type="ml.c5.xlarge", instance_count=hosts),
        source_code=SourceCode(**{"source_dir": sources, "entry_script": "train.py", **source}),
        distributed=distributed,
        hyperparameters=hyperparameters or {},
        environment=environment or {},
    )
    trainer.train()
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "train.py").write_text(RANKS)
    return directory


@pytest.fixture
def train(sdk3: str, sandbox: Sandbox, sources: Path, tmp_path: Path) -> Any:
    """Runs a script that ends with the given lines."""

    def run(lines: str) -> Ran:
        script = tmp_path / "fit.py"
        script.write_text(TRAINER + textwrap.dedent(lines))
        return run_with_hvdsm(sdk3, script, sandbox, tmp_path, SOURCES=str(sources))

    return run


def only_job(sandbox: Sandbox) -> TrainingJob:
    (job,) = sandbox.jobs.values()
    return job


def model_of(sandbox: Sandbox, job: TrainingJob, directory: Path) -> Dict[str, Any]:
    """``found.json`` of the model in S3."""
    assert job.model_artifacts.startswith("s3://")
    assert sandbox.objects().fetch(job.model_artifacts, str(directory)) == 1
    archive = directory / job.model_artifacts[len("s3://") :]
    with tarfile.open(fileobj=BytesIO(archive.read_bytes())) as tar:
        file = tar.extractfile("found.json")
        assert file is not None
        found: Dict[str, Any] = json.load(file)
        return found


def test_four_ranks_on_two_hosts_and_their_arguments(train: Any, sandbox: Sandbox, sources: Path, tmp_path: Path) -> None:
    (sources / "inner").mkdir()
    (sources / "train.py").rename(sources / "inner" / "train.py")
    (sources / "setup.py").write_text("raise SystemExit('this source is not installed')\n")
    ran = train(
        """
        train(
            "ranks",
            distributed=MPI(
                process_count_per_node=2,
                mpi_additional_options=["-x", "GIVEN=it's 5% of \\"all\\""],
                arguments=["it's", "%27"],
            ),
            entry_script="inner/train.py",
            hyperparameters={
                "lr": 0.1, "on": True, "off": False, "none": None, "text": 'say "so", $HOME', "empty": "",
                "layers": [64, {"a": None}], "number": "7", "twice": '"x"',
            },
        )
        """
    )
    assert ran.code == 0, ran.output
    job = only_job(sandbox)
    assert job.status == "Completed"
    assert model_of(sandbox, job, tmp_path) == {
        "hosts": ["algo-1", "algo-1", "algo-2", "algo-2"],
        "words": [
            *("--lr", "0.1", "--on", "true", "--off", "false", "--none", "null", "--text", 'say "so", $HOME', "--empty", ""),
            *("--layers", '[64, {"a": null}]', "--number", "7", "--twice", "x", "it's", "%27"),
        ],
        "directory": "/opt/ml/input/data/code",
        "given": 'it\'s 5% of "all"',
    }  # fmt: skip
    said = lines_of(job, "algo-1")
    assert "Running MPI Driver" in said
    assert any(line.endswith("rank 3 of 4 on algo-2") for line in said)
    assert not any("hvdsm: warning" in line for line in said)


def test_a_failing_rank(train: Any, sandbox: Sandbox) -> None:
    ran = train('train("fails", distributed=MPI(process_count_per_node=2), environment={"BROKEN": "3"})')
    assert ran.code != 0
    assert "FailedStatusError" in ran.output
    job = only_job(sandbox)
    assert job.status == "Failed"
    reason = str(job.failure_reason)
    assert "rank 3 (algo-2, local rank 1)" in reason
    assert "ValueError: rank 3 is broken" in reason
    assert reason.endswith("exit code: 1")
    assert "An error occurred with exit code 1" in lines_of(job, "algo-2")


def test_the_exit_code_of_a_rank_is_that_of_the_job(train: Any, sandbox: Sandbox, sources: Path) -> None:
    (sources / "train.py").write_text("import os\nos._exit(37 if os.environ['OMPI_COMM_WORLD_RANK'] == '1' else 0)\n")
    ran = train('train("code", distributed=MPI())')
    assert ran.code != 0
    assert str(only_job(sandbox).failure_reason).endswith("exit code: 37")


def test_one_host_whose_script_is_a_shells(train: Any, sandbox: Sandbox, sources: Path, tmp_path: Path) -> None:
    (sources / "go.sh").write_text('#!/bin/sh\nexec python train.py "$@"\n')
    ran = train(
        """
        train("shell", hosts=1, distributed=MPI(process_count_per_node=2), entry_script="go.sh", hyperparameters={"a": "b c"})
        """
    )
    assert ran.code == 0, ran.output
    found = model_of(sandbox, only_job(sandbox), tmp_path)
    assert (found["hosts"], found["words"]) == (["algo-1", "algo-1"], ["--a", "b c"])


def test_requirements_are_installed_before(train: Any, sandbox: Sandbox, sources: Path, tmp_path: Path) -> None:
    package = sources / "wanted"
    (package / "wanted_by_the_script").mkdir(parents=True)
    (package / "wanted_by_the_script" / "__init__.py").write_text("VALUE = 5\n")
    (package / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='wanted-by-the-script', version='1', packages=['wanted_by_the_script'])\n"
    )
    (sources / "requirements.txt").write_text("./wanted\n")
    (sources / "train.py").write_text("import wanted_by_the_script\nassert wanted_by_the_script.VALUE == 5\n" + RANKS)
    ran = train('train("needs", distributed=MPI(process_count_per_node=2), requirements="requirements.txt")')
    assert ran.code == 0, ran.output + "\n".join(lines_of(only_job(sandbox), "algo-1"))
    assert len(model_of(sandbox, only_job(sandbox), tmp_path)["hosts"]) == 4


def test_torchrun_on_two_hosts(train: Any, sandbox: Sandbox, sources: Path) -> None:
    (sources / "train.py").write_text(
        "import os\n"
        "import torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "hosts = [None] * dist.get_world_size()\n"
        "dist.all_gather_object(hosts, os.environ['SM_CURRENT_HOST'])\n"
        "assert hosts == ['algo-1', 'algo-1', 'algo-2', 'algo-2'], hosts\n"
        "dist.destroy_process_group()\n"
    )
    ran = train('train("torch", distributed=Torchrun(process_count_per_node=2))')
    job = only_job(sandbox)
    assert ran.code == 0, ran.output + str(job.failure_reason)
    assert "Running Torchrun Driver" in lines_of(job, "algo-1")


def test_ranks_start_again_and_hang(train: Any, sandbox: Sandbox, sources: Path) -> None:
    (sources / "train.py").write_text(
        "import os, signal, sys\n"
        "if os.environ['HVDSM_RESTART_COUNT'] == '0':\n"
        "    sys.exit(1)\n"
        "if os.environ['OMPI_COMM_WORLD_RANK'] == '1':\n"
        "    while True:\n"
        "        signal.pause()\n"
    )
    ran = train('train("again", distributed=MPI(max_restarts=1, hang_timeout=2, stop_grace=1))')
    assert ran.code != 0
    job = only_job(sandbox)
    said = "\n".join(lines_of(job, "algo-1"))
    assert "restart" in said
    assert "rank 1 (algo-2, local rank 0)" in str(job.failure_reason)


def test_a_script_that_is_not_there_says_so_on_every_host(train: Any, sandbox: Sandbox, sources: Path) -> None:
    ran = train(
        """
        import tarfile
        with tarfile.open("source.tar.gz", "w:gz") as tar:
            tar.add(sources + "/train.py", "other.py")
        train("absent", distributed=MPI(), source_dir=os.path.abspath("source.tar.gz"))
        """
    )
    assert ran.code != 0
    assert "the entry point 'train.py' is not in the source" in str(only_job(sandbox).failure_reason)


def refused(ran: Ran, words: Sequence[str]) -> None:
    assert ran.code == 0, ran.output
    for word in words:
        assert word in ran.output


def test_what_is_wrong_is_said_at_once(train: Any, sandbox: Sandbox) -> None:
    ran = train(
        """
        for given in (
            {"proces_count_per_node": 2}, {"process_count_per_node": 0}, {"mpi_additional_options": ["-x A=1"]},
            {"custom_mpi_options": "-x"}, {"custom_mpi_options": "-x A", "mpi_additional_options": ["-x", "B"]},
            {"hang_timeout": 0}, {"max_restarts": -1},
        ):
            try:
                MPI(**given)
            except ValueError as error:
                print(list(given)[0], "refused:", error)
            else:
                raise SystemExit(f"{given} is taken")
        try:
            train("nothing", distributed=MPI(), source_dir=None)
        except ValueError as error:
            print("source_dir refused:", error)
        """
    )
    refused(ran, ["Extra inputs are not permitted", "holds several words", "-x needs 1 value", "say the same in two ways"])
    refused(ran, ["source_dir refused", "'source_dir' must also be provided"])
    assert sandbox.jobs == {}


def test_the_directory_of_the_driver_lasts_as_long_as_the_process(sdk3: str, sandbox: Sandbox, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(
        "import multiprocessing, os, shutil\n"
        "from hvdsm.sdk.v3 import MPI\n"
        "first = MPI().driver_dir\n"
        "assert MPI(process_count=4).driver_dir == first\n"
        "assert os.path.isfile(os.path.join(first, MPI().driver_script))\n"
        "if os.fork() == 0:\n"
        "    raise SystemExit(0 if MPI().driver_dir == first else 1)\n"
        "assert os.wait()[1] == 0\n"
        "assert os.path.isdir(first)\n"
        "shutil.rmtree(first)\n"
        "assert os.path.isfile(os.path.join(MPI().driver_dir, 'hvdsm.pyz'))\n"
    )
    ran = run_with_hvdsm(sdk3, script, sandbox, tmp_path, TMPDIR=str(tmp_path))
    assert ran.code == 0, ran.output
    assert [name for name in os.listdir(tmp_path) if name.startswith("hvdsm-driver")] == []
