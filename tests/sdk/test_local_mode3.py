"""Local-container mode of the SDK 3 on emulated hosts: scripts as users write them, with no Docker on PATH."""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
from pathlib import Path
from typing import Dict, List

from sdk_support import Ran, client_environment, run_command

from hvdsm.backends.local.placing import COPIED
from hvdsm.sandbox import Sandbox
from hvdsm.sdk import local

TRAIN = """
import json, os, socket, sys

host = socket.gethostname()
channel = "/opt/ml/input/data/train"
data = sorted(os.listdir(channel)) if os.path.isdir(channel) else []
rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("RANK", "-1")))
said = {"rank": rank, "host": host, "args": sys.argv[1:], "data": data, "gpus": os.environ.get("SM_NUM_GPUS")}
print("SAID " + json.dumps({**said, "greeting": os.environ.get("GREETING")}), flush=True)
if "--fail" in sys.argv:
    sys.exit(3)
for directory in ("/opt/ml/model", "/opt/ml/output/data"):
    with open("%s/%s-%d" % (directory, host, rank), "w") as file:
        file.write("x")
"""
FIT = """
import logging, os, boto3
logging.basicConfig(level=logging.INFO)
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.distributed import MPI, Torchrun
from sagemaker.train.model_trainer import Mode

%(before)s
trainer = ModelTrainer(
    training_mode=Mode.LOCAL_CONTAINER,
    training_image="some-image",
    role="arn:aws:iam::123456789012:role/trainer",
    source_code=SourceCode(source_dir="src", entry_script="train.py"),
    compute=Compute(instance_type=%(instance_type)r, instance_count=%(count)d),
    hyperparameters=%(hyperparameters)r,
    environment={"GREETING": "it's me"},
    distributed=%(distributed)s,
    base_job_name="three",
    %(more)s
)
trainer.train(input_data_config=[InputData(channel_name="train", data_source=%(data)r)], wait=%(wait)r)
print("RETURNED", sorted(os.listdir(trainer.local_container_root)))
"""


def make_script(directory: Path, **values: object) -> Path:
    (directory / "src").mkdir()
    (directory / "src" / "train.py").write_text(TRAIN)
    for name, data in (("data", "a.txt"), ("root", "own.txt"), ("root/input", "mine.txt")):
        (directory / name).mkdir()
        (directory / name / data).write_text("1")
    given: Dict[str, object] = {
        "before": "",
        "instance_type": "local_cpu",
        "count": 1,
        "hyperparameters": {"lr": 0.1},
        "distributed": "None",
        "more": f'local_container_root="{directory}/root"',
        "data": f"{directory}/data",
        "wait": True,
        **values,
    }
    script = directory / "fit.py"
    script.write_text(FIT % given)
    return script


def fit(python: str, script: Path, sandbox: Sandbox, **variables: str) -> Ran:
    (script.parent / "tmp").mkdir(exist_ok=True)
    temporary = str(script.parent / "tmp")
    own = client_environment(sandbox, script.parent, PATH="/usr/bin:/bin", TMPDIR=temporary, **variables)
    return run_command([python, str(script)], local.environment(own), script.parent)


def said(ran: Ran) -> List[Dict[str, object]]:
    lines = [line for line in ran.output.splitlines() if "SAID {" in line]
    assert all(line.startswith("algo-") and "  | " in line for line in lines), lines
    return sorted((json.loads(line.partition("SAID ")[2]) for line in lines), key=lambda entry: str(entry["rank"]))


def names(archive: Path) -> List[str]:
    with tarfile.open(archive) as tar:
        return sorted(member.name for member in tar if member.isfile())


def check_left(directory: Path) -> None:
    """What the SDK leaves, and what the user had there before; nothing else."""
    assert sorted(os.listdir(directory / "root")) == ["artifacts", "compressed_artifacts", "input", "own.txt"]
    assert os.listdir(directory / "root" / "input") == ["mine.txt"]
    assert os.listdir(directory / "tmp") == []


def test_one_host_trains_and_the_artifacts_are_where_the_sdk_puts_them(
    sdk3: str, shared_sandbox: Sandbox, tmp_path: Path
) -> None:
    ran = fit(sdk3, make_script(tmp_path, hyperparameters={"lr": 0.1, "words": "two words", "list": [1, 2]}), shared_sandbox)
    assert ran.code == 0, ran.output
    (entry,) = said(ran)
    assert entry["args"] == ["--lr", "0.1", "--words", "two words", "--list", "[1, 2]"]
    assert (entry["host"], entry["data"], entry["gpus"], entry["greeting"]) == ("algo-1", ["a.txt"], "0", "it's me")
    archives = tmp_path / "root" / "compressed_artifacts"
    assert names(archives / "model.tar.gz") == ["algo-1--1"]
    assert "data/algo-1--1" in names(archives / "output.tar.gz")
    assert (tmp_path / "root" / "artifacts" / "model" / "algo-1--1").is_file()
    assert ran.has(f"output artifacts saved to file://{archives}/model.tar.gz"), ran.output
    check_left(tmp_path)


def test_what_an_earlier_run_left_is_not_in_the_next_model(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    script = make_script(tmp_path)
    for name in ("artifacts/model", "compressed_artifacts"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "root" / "artifacts" / "model" / "old").write_text("x")
    (tmp_path / "root" / "compressed_artifacts" / "model.tar.gz").write_text("no archive")
    ran = fit(sdk3, script, shared_sandbox)
    assert ran.code == 0, ran.output
    assert names(tmp_path / "root" / "compressed_artifacts" / "model.tar.gz") == ["algo-1--1"]


def test_the_own_mpi_of_the_sdk_runs_and_tells_of_its_limits(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    script = make_script(tmp_path, count=2, distributed="MPI(process_count_per_node=2)", instance_type="local_gpu")
    ran = fit(sdk3, script, shared_sandbox, CUDA_VISIBLE_DEVICES="")
    assert ran.code == 0, ran.output
    assert [entry["host"] for entry in said(ran)] == ["algo-1", "algo-1"]
    assert ran.has("every rank runs on the first host") and ran.has("warning: local_gpu: this machine has no GPU"), ran.output
    assert names(tmp_path / "root" / "compressed_artifacts" / "model.tar.gz") == ["algo-1-0", "algo-1-1"]
    check_left(tmp_path)


def test_torchrun_runs_on_two_hosts(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    ran = fit(sdk3, make_script(tmp_path, count=2, distributed="Torchrun(process_count_per_node=1)"), shared_sandbox)
    assert ran.code == 0, ran.output
    assert [(entry["rank"], entry["host"]) for entry in said(ran)] == [(0, "algo-1"), (1, "algo-2")]
    assert names(tmp_path / "root" / "compressed_artifacts" / "model.tar.gz") == ["algo-1-0", "algo-2-1"]


def test_a_failing_script_is_the_error_that_the_sdk_raises(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    ran = fit(sdk3, make_script(tmp_path, hyperparameters={"fail": 1}), shared_sandbox)
    assert ran.code == 1 and ran.has("RuntimeError: Failed to run: three-"), ran.output
    assert ran.has("Process exited with code: 3\nalgo-1: exit code 3"), ran.output
    assert not ran.has("Local training job completed")
    check_left(tmp_path)


def test_a_job_in_the_background_goes_on_until_it_ends(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    script = make_script(tmp_path, wait=False)
    # The rank waits for what the script does after train() has returned; a channel of that size is not copied but mounted.
    os.truncate(tmp_path / "data" / "a.txt", COPIED + 1)
    (tmp_path / "src" / "train.py").write_text(
        "import os, time\nwhile not os.path.exists('/opt/ml/input/data/train/go'):\n    time.sleep(0.05)\n" + TRAIN
    )
    script.write_text(script.read_text() + "open('data/go', 'w').close()\n")
    ran = fit(sdk3, script, shared_sandbox)
    assert ran.code == 0 and "SAID" in ran.output.partition("RETURNED")[2], ran.output
    assert "SAID" not in ran.output.partition("RETURNED")[0]
    assert ran.has("runs in the background") and ran.has("Local training job completed"), ran.output
    assert names(tmp_path / "root" / "compressed_artifacts" / "model.tar.gz") == ["algo-1--1"]
    check_left(tmp_path)


def test_a_background_job_that_cannot_start_is_told_at_once(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    script = make_script(tmp_path, wait=False)
    script.write_text(script.read_text().replace('entry_script="train.py"', 'command="/no/such/program"'))
    (tmp_path / "data" / "a.txt").unlink()
    ran = fit(sdk3, script, shared_sandbox)
    assert ran.code == 1 and ran.has("Process exited with code: 78") and ran.has("is empty"), ran.output
    assert not ran.has("RETURNED")


S3 = 'boto3.client("s3").create_bucket(Bucket="three"); boto3.client("s3").upload_file("data/a.txt", "three", "in/b.txt")'


def test_data_from_s3(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    ran = fit(sdk3, make_script(tmp_path, before=S3, data="s3://three/in/"), shared_sandbox)
    assert ran.code == 0, ran.output
    assert [entry["data"] for entry in said(ran)] == [["b.txt"]]
    check_left(tmp_path)


def test_one_import_and_our_own_mpi_on_two_hosts(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    imports = "import hvdsm.sdk.local\nfrom hvdsm.sdk.v3 import MPI"
    script = make_script(tmp_path, before=imports, count=2, distributed="MPI(process_count_per_node=2)")
    root = str(Path(local.__file__).resolve().parents[3])
    own = client_environment(shared_sandbox, tmp_path, PATH="/usr/bin:/bin", PYTHONPATH=root, HVDSM_PYTHON=sys.executable)
    ran = run_command([sdk3, str(script)], own, tmp_path)
    assert ran.code == 0, ran.output
    # The first host has the lines of all ranks; another one has its own in its log as well, as in the cloud.
    first = [json.loads(line.partition("SAID ")[2]) for line in ran.output.splitlines() if re.match(r"algo-1  \| .*SAID {", line)]
    assert sorted((entry["rank"], entry["host"]) for entry in first) == [(rank, f"algo-{rank // 2 + 1}") for rank in range(4)]
