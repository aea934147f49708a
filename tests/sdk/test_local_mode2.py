"""Local mode of the SDK 2 on emulated hosts: scripts as users write them, with no Docker on PATH."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from sdk_support import Ran, client_environment, run_command

from hvdsm.sandbox import Sandbox
from hvdsm.sdk import local

TRAIN = """
import json, os, socket, sys, time
from mpi4py import MPI

comm = MPI.COMM_WORLD
total = comm.allreduce(comm.rank)
channel = os.environ.get("SM_CHANNEL_TRAIN")
data = sorted(os.listdir(channel)) if channel else []
said = {"rank": comm.rank, "host": socket.gethostname(), "args": sys.argv[1:], "data": data, "gpus": os.environ["SM_NUM_GPUS"]}
print("SAID", json.dumps({**said, "greeting": os.environ.get("GREETING")}), flush=True)
if "--fail" in sys.argv:
    if comm.rank == comm.size - 1:
        raise ValueError("a bad batch")
    comm.Barrier()
if "--linger" in sys.argv:
    comm.Barrier()
    print("LINGERS", flush=True)
    time.sleep(600)
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "rank-%d.txt" % comm.rank), "w") as file:
    file.write("x")
if comm.rank == 0:
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.json"), "w") as file:
        json.dump({"total": total, "size": comm.size}, file)
"""
FIT = """
import boto3
from sagemaker.local import LocalSession
from sagemaker.pytorch import PyTorch

session = LocalSession(boto3.Session())
session.config = {"local": {"local_code": True}}
estimator = PyTorch(
    "train.py",
    source_dir="src",
    role="arn:aws:iam::123456789012:role/trainer",
    image_uri="some-image",
    instance_type=%(instance_type)r,
    instance_count=%(count)d,
    sagemaker_session=session,
    distribution={"mpi": {"enabled": True, "processes_per_host": 2}},
    hyperparameters=%(hyperparameters)r,
    environment={"GREETING": "it's me"},
    output_path=%(output)r,
)
estimator.fit(%(inputs)s)
print("MODEL", estimator.model_data)
print("STATUS", estimator.latest_training_job.describe()["TrainingJobStatus"])
"""


def make_script(directory: Path, fit: str = FIT, train: str = TRAIN, **values: object) -> Path:
    (directory / "src").mkdir()
    (directory / "src" / "train.py").write_text(train)
    (directory / "data").mkdir()
    (directory / "data" / "a.txt").write_text("1")
    given: Dict[str, object] = {
        "instance_type": "local",
        "count": 2,
        "hyperparameters": {"lr": 0.1},
        "output": f"file://{directory}/out",
        "inputs": repr({"train": f"file://{directory}/data"}),
        **values,
    }
    script = directory / "fit.py"
    script.write_text(fit % given)
    return script


def environment(sandbox: Sandbox, directory: Path, **variables: str) -> Dict[str, str]:
    """A user's: the sandbox's services, the hook, no Docker on PATH, a directory for temporary files."""
    (directory / "tmp").mkdir(exist_ok=True)
    own = client_environment(sandbox, directory, PATH="/usr/bin:/bin", TMPDIR=str(directory / "tmp"), **variables)
    return local.environment(own)


def fit(python: str, script: Path, sandbox: Sandbox, **variables: str) -> Ran:
    return run_command([python, str(script)], environment(sandbox, script.parent, **variables), script.parent)


def said(ran: Ran) -> List[Dict[str, object]]:
    lines = [line for line in ran.output.splitlines() if "SAID" in line]
    assert all(line.startswith("algo-1  | [") for line in lines), lines
    return sorted((json.loads(line.partition("SAID ")[2]) for line in lines), key=lambda entry: str(entry["rank"]))


def names(archive: Path) -> List[str]:
    with tarfile.open(archive) as tar:
        return sorted(member.name for member in tar if member.isfile())


def test_two_hosts_train_from_files_into_files(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    words = {"lr": 0.1, "name": 'it\'s "x"', "nested": {"a": [1, 2]}}
    ran = fit(sdk2, make_script(tmp_path, hyperparameters=words), shared_sandbox)
    assert ran.code == 0 and ran.has("STATUS Completed") and ran.has("===== Job Complete ====="), ran.output
    assert ran.has(f"MODEL file://{tmp_path}/out/model.tar.gz"), ran.output
    ranks = said(ran)
    assert [entry["host"] for entry in ranks] == ["algo-1", "algo-1", "algo-2", "algo-2"]
    arguments = ["--lr", "0.1", "--name", 'it\'s "x"', "--nested", "a=[1, 2]"]
    for entry in ranks:
        assert (entry["args"], entry["data"], entry["gpus"], entry["greeting"]) == (arguments, ["a.txt"], "0", "it's me")
    assert names(tmp_path / "out" / "model.tar.gz") == ["model.json"]
    outputs = names(tmp_path / "out" / "output.tar.gz")
    assert [name for name in outputs if "rank" in name] == [f"data/rank-{rank}.txt" for rank in range(4)]
    with tarfile.open(tmp_path / "out" / "model.tar.gz") as tar:
        model = tar.extractfile("model.json")
        assert model is not None and json.load(model) == {"total": 6, "size": 4}
    assert os.listdir(tmp_path / "tmp") == []


def test_without_an_output_path_the_model_stays_where_the_sdk_says(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    ran = fit(sdk2, make_script(tmp_path, output=None, count=1), shared_sandbox)
    (line,) = [line for line in ran.output.splitlines() if line.startswith("MODEL ")]
    archive = Path(line.split("file://")[1])
    assert ran.code == 0 and names(archive) == ["model.json"], ran.output
    assert sorted(path.name for path in archive.parent.iterdir()) == ["model.tar.gz", "output.tar.gz"]
    assert list((tmp_path / "tmp").iterdir()) == [archive.parent.parent]
    assert list(archive.parent.parent.iterdir()) == [archive.parent]


def test_a_failing_rank_is_the_error_that_the_sdk_raises(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    script = make_script(tmp_path, hyperparameters={"fail": ""})
    text = script.read_text().replace("estimator.fit(", "try:\n    estimator.fit(").split("print(")[0]
    script.write_text(text + 'except RuntimeError as error:\n    print("RAISED", type(error).__name__, error)\n')
    ran = fit(sdk2, script, shared_sandbox)
    assert ran.code == 0 and ran.has("RAISED RuntimeError Failed to run: "), ran.output
    assert ran.has("Process exited with code: 1\nrank 3 (algo-2, local rank 1): ValueError: a bad batch"), ran.output
    assert not ran.has("===== Job Complete =====") and os.listdir(tmp_path / "tmp") == []


S3 = """
import boto3, sagemaker
from sagemaker.pytorch import PyTorch

boto3.client("s3").create_bucket(Bucket="own-bucket")
boto3.client("s3").upload_file("data/a.txt", "own-bucket", "in/b.txt")
estimator = PyTorch(
    "train.py", source_dir="src", role="arn:aws:iam::123456789012:role/trainer", image_uri="some-image", instance_type="local",
    instance_count=2, distribution={"mpi": {"enabled": True, "processes_per_host": 1}}, output_path="s3://own-bucket/out",
)
estimator.fit({"train": "s3://own-bucket/in/"}, wait=False)
print("MODEL", estimator.model_data)
boto3.client("s3").download_file("own-bucket", estimator.model_data.partition("own-bucket/")[2], "model.tar.gz")
"""


def test_s3_in_and_out_with_the_source_there_too(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    ran = fit(sdk2, make_script(tmp_path, S3), shared_sandbox)
    assert ran.code == 0, ran.output
    assert [entry["data"] for entry in said(ran)] == [["b.txt"], ["b.txt"]]
    assert ran.has("MODEL s3://own-bucket/out/") and names(tmp_path / "model.tar.gz") == ["model.json"]
    assert os.listdir(tmp_path / "tmp") == []


PROFILE = S3.replace('boto3.client("s3")', 'boto3.Session(profile_name="team", region_name="us-east-1").client("s3")').replace(
    "image_uri=", 'sagemaker_session=sagemaker.local.LocalSession(boto3.Session(profile_name="team")), image_uri='
)


def test_the_profile_of_the_session_counts(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    before = environment(shared_sandbox, tmp_path)
    keys = {name: before.pop(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
    lines = "".join(f"{name.lower()} = {value}\n" for name, value in keys.items())
    (tmp_path / "credentials").write_text(f"[team]\n{lines}")
    (tmp_path / "config").write_text("[profile team]\nregion = us-east-1\n")
    before.update(AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "credentials"), AWS_CONFIG_FILE=str(tmp_path / "config"))
    # What a rank sees are the credentials of the session, as in Docker; they are compared there, not shown.
    check = TRAIN.replace("total =", f"assert os.environ['AWS_ACCESS_KEY_ID'] == {keys['AWS_ACCESS_KEY_ID']!r}\ntotal =")
    script = make_script(tmp_path, PROFILE.replace("own-bucket", "team-bucket"), check)
    ran = run_command([sdk2, str(script)], before, tmp_path)
    assert ran.code == 0 and ran.has("MODEL s3://team-bucket/out/"), ran.output


COMMAND = """
import sagemaker
from sagemaker.estimator import Estimator

Estimator(
    image_uri="some-image", role="arn:aws:iam::123456789012:role/trainer", instance_type="local_gpu", instance_count=1,
    sagemaker_session=sagemaker.local.LocalSession(), output_path="file://%s/out", hyperparameters={"a": 1},
    container_entry_point=["/bin/sh", "-c", "cat /opt/ml/input/config/hyperparameters.json; hostname; echo ok > /opt/ml/model/m"],
).fit()
"""


def test_a_command_of_the_estimators_own_and_a_gpu_that_is_not_there(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    script = tmp_path / "fit.py"
    script.write_text(COMMAND % tmp_path)
    ran = fit(sdk2, script, shared_sandbox, CUDA_VISIBLE_DEVICES="")
    assert ran.code == 0 and ran.has('algo-1  |   "a": "1"\n'), ran.output
    assert ran.has("warning: local_gpu: this machine has no GPU that can be used; the job runs on the CPU")
    assert names(tmp_path / "out" / "model.tar.gz") == ["m"]


OTHERS = """
import sagemaker
from sagemaker.processing import ScriptProcessor
from sagemaker.pytorch import PyTorchModel

role = "arn:aws:iam::123456789012:role/trainer"
session = sagemaker.local.LocalSession()
try:
    ScriptProcessor(
        role=role, image_uri="i", command=["python3"], instance_type="local", instance_count=1, sagemaker_session=session
    ).run("src/train.py")
except NotImplementedError as error:
    print("PROCESSING", error)
try:
    sagemaker.Model("i", model_data="file://data/a.txt", role=role, sagemaker_session=session).deploy(1, "local")
except NotImplementedError as error:
    print("DEPLOY", error)
"""


def test_what_needs_docker_says_so_and_what_does_not(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    ran = fit(sdk2, make_script(tmp_path, OTHERS), shared_sandbox)
    assert ran.code == 0, ran.output
    for name in ("PROCESSING Processing", "DEPLOY Serving a model"):
        (line,) = [line for line in ran.output.splitlines() if line.startswith(name)]
        assert "estimator.fit()" in line and "ModelTrainer.train()" in line


def test_one_import_is_enough(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    script = make_script(tmp_path, FIT.replace("session = Local", "import hvdsm.sdk.local\nsession = Local"), count=1)
    (tmp_path / "tmp").mkdir()
    root = str(Path(local.__file__).resolve().parents[3])
    own = client_environment(shared_sandbox, tmp_path, PATH="/usr/bin:/bin", PYTHONPATH=root, HVDSM_PYTHON=sys.executable)
    ran = run_command([sdk2, str(script)], own, tmp_path)
    assert ran.code == 0 and len(said(ran)) == 2 and names(tmp_path / "out" / "model.tar.gz") == ["model.json"], ran.output


def test_a_python_that_is_not_there_is_named(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    script = make_script(tmp_path)
    ran = run_command([sdk2, str(script)], {**environment(shared_sandbox, tmp_path), "HVDSM_PYTHON": "/no/python"}, tmp_path)
    assert ran.code == 1 and ran.has("Failed to run: /no/python: No such file or directory"), ran.output
    assert ran.has("HVDSM_PYTHON") and os.listdir(tmp_path / "tmp") == []


TRAINER = """
import os
from sagemaker.modules import Session
from sagemaker.modules.configs import Compute, InputData, SourceCode
from sagemaker.modules.train import ModelTrainer
from sagemaker.modules.train.model_trainer import Mode

ModelTrainer(
    training_mode=Mode.LOCAL_CONTAINER, sagemaker_session=Session(), training_image="some-image",
    role="arn:aws:iam::123456789012:role/trainer",
    source_code=SourceCode(source_dir="src", command="hostname; ls /opt/ml/input/data/train > /opt/ml/model/listing"),
    compute=Compute(instance_type="local_cpu", instance_count=1), local_container_root=os.getcwd() + "/root",
).train(input_data_config=[InputData(channel_name="train", data_source=os.getcwd() + "/data")])
"""


def test_the_model_trainer_that_sdk_2_has_too(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    script = make_script(tmp_path, TRAINER)
    (tmp_path / "root").mkdir()
    ran = fit(sdk2, script, shared_sandbox)
    assert ran.code == 0 and ran.has("algo-1  | algo-1\n"), ran.output
    assert names(tmp_path / "root" / "compressed_artifacts" / "model.tar.gz") == ["listing"]


def processes_with(word: str) -> List[int]:
    """Processes of this machine that have a word in their command line."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and word.encode() in Path("/proc", entry, "cmdline").read_bytes():
                found.append(int(entry))
    return found


@contextlib.contextmanager
def lingering(python: str, script: Path, sandbox: Sandbox, word: str) -> Iterator[subprocess.Popen[bytes]]:
    """A script whose ranks run and wait."""
    process = subprocess.Popen(
        [python, str(script)],
        env=environment(sandbox, script.parent),
        cwd=script.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        heard = b""
        while heard.count(b"LINGERS") < 4:
            line = process.stdout.readline()
            assert line, heard.decode()
            heard += line
        assert processes_with(word)
        yield process
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_script_that_is_ended_takes_its_hosts_along(
    sdk2: str, shared_sandbox: Sandbox, tmp_path: Path, number: signal.Signals
) -> None:
    word = f"lingers-{os.getpid()}-{number.value}"
    script = make_script(tmp_path, hyperparameters={"linger": "", "mark": word})
    with lingering(sdk2, script, shared_sandbox, word) as process:
        process.send_signal(number)
        assert process.stdout is not None
        rest = process.stdout.read().decode()
        code = process.wait(60)
        assert code == -number or (number == signal.SIGINT and "KeyboardInterrupt" in rest), rest
    deadline = time.monotonic() + 60
    while (processes_with(word) or os.listdir(tmp_path / "tmp")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (processes_with(word), os.listdir(tmp_path / "tmp")) == ([], [])
