"""The steps of the TensorFlow example's notebook, by the SDK 2 through ``hvdsm sandbox``, and the commands of its README."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import threading
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

pytestmark = [pytest.mark.examples, pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mnist_tf_horovod"
ROLE = "arn:aws:iam::123456789012:role/training"
STEPS = ["prepare", "local", "cloud", "options", "multi", "vpc"]
# What the notebook's cells are called by the command line's words.
CALLS = {"options": "with_options"}
# In an interpreter with both packages: what the script makes of a stack and of options, and the notebook in a kernel, its steps
# that take no minute of the SDK's waiting.
IN_A_KERNEL = """
import json, runpy, sys
import boto3, nbformat
from nbclient import NotebookClient

directory, data, calls = sys.argv[1], sys.argv[2], sys.argv[3:]
template = {
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "ranks", "VpcId": {"Ref": "Vpc"}}},
        **{
            f"Subnet{number}": {
                "Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": f"10.0.{number - 1}.0/24"},
            }
            for number in (1, 2)
        },
    },
    "Outputs": {
        "VpcId": {"Value": {"Ref": "Vpc"}},
        "Subnet1Id": {"Value": {"Ref": "Subnet1"}},
        "Subnet2Id": {"Value": {"Ref": "Subnet2"}},
        "SecurityGroupId": {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}},
    },
}
client = boto3.client("cloudformation")
client.create_stack(StackName="hvdvpcstack", TemplateBody=json.dumps(template))
stack = client.describe_stacks(StackName="hvdvpcstack")["Stacks"][0]
outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

script = runpy.run_path(directory + "/notebook.py", run_name="notebook")
found = script["vpc_of"](script["options"](["--vpc-stack", "hvdvpcstack"]))
assert found == ([outputs["Subnet1Id"], outputs["Subnet2Id"]], [outputs["SecurityGroupId"]]), (found, outputs)
print("distribution:", json.dumps(script["mpi"](custom_mpi_options="-verbose --NCCL_DEBUG=INFO", processes_per_host=2)))

notebook = nbformat.read(directory + "/mnist.ipynb", 4)
for cell in notebook.cells:
    cell.source = cell.source.replace("options([])", f"options({['--data', data, '--hp', 'epochs=1']})")
first, *steps = [cell for cell in notebook.cells if cell.cell_type == "code"]
notebook.cells = [first, *(cell for cell in steps if any(cell.source.endswith(f"{call}(given)") for call in calls))]
try:
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": directory}}).execute()
finally:
    for cell in notebook.cells:
        for output in cell.outputs:
            print(output.get("text", ""), end="")
"""


def commands() -> List[List[str]]:
    """The commands of the README, as words."""
    blocks = re.findall(r"```shell\n(.*?)```", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def run(words: List[str], place: Path, python: str = sys.executable, **variables: str) -> str:
    """Run a command of the README to its end; the interpreter after ``hvdsm sandbox --`` is another one."""
    if "--" in words:
        at = words.index("--")
        words = words[: at + 1] + [python if word == "python" else word for word in words[at + 1 :]]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS_", "SAGEMAKER_"))}
    env = {
        **own, "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]), "HOME": str(place),
        "SAGEMAKER_ROLE": ROLE, "PYTHONUNBUFFERED": "1", **variables,
    }  # fmt: skip
    if words[0] == "hvdsm":
        words = [sys.executable, "-m", "hvdsm", *words[1:]]
    done = subprocess.run(
        words, cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    shown = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, f"{words}\n{shown}"
    return shown


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as the README's commands want it."""
    place = tmp_path_factory.mktemp("notebook")
    (place / "examples").symlink_to(ROOT / "examples")
    return place


@pytest.fixture(scope="module")
def data(place: Path) -> Path:
    """The digits, by the README's own command."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: run make setup")
    wanted = [
        words for words in commands() if words[1:] == ["examples/mnist_tf_horovod/prepare.py", "--digits", "--local", "data"]
    ]
    run(wanted[0], place)
    return place / "data"


@pytest.fixture(scope="module")
def offline(place: Path, data: Path, sdk2: str, emulated_hosts: None) -> str:
    """What the README's command without an AWS account shows."""
    return run(next(words for words in commands() if words[:2] == ["hvdsm", "sandbox"]), place, sdk2)


def jobs(place: Path, name: str) -> List[Path]:
    """The results of a step's jobs, the oldest first."""
    return sorted(path for path in (place / "hvdsm-out").iterdir() if re.fullmatch(rf"{name}-[\d-]+", path.name))


def request(job: Path) -> Dict[str, Any]:
    return dict(json.loads((job / "request.json").read_text(encoding="utf-8")))


def outcome(job: Path) -> Dict[str, Any]:
    return dict(json.loads((job / "outcome.json").read_text(encoding="utf-8")))


def test_all_steps_run_in_their_order(offline: str, place: Path) -> None:
    assert re.findall(r"^==> \[\d/6\] (\w+)$", offline, re.MULTILINE) == STEPS
    assert len(re.findall(r"Test accuracy: \d\.\d{4}$", offline, re.MULTILINE)) >= 5
    models = re.findall(r"^([\w-]+): model at s3://\S+/model\.tar\.gz$", offline, re.MULTILINE)
    assert models == ["hvd-mnist-local", "hvd-mnist", "hvd-mnist", "hvd-mnist-multi-cpu", "hvd-mnist-vpc"]
    for channel in ("train", "test"):
        assert re.search(rf"data at s3://\S+/mnist/{channel}\.npz$", offline, re.MULTILINE)


def test_the_jobs_are_those_of_the_document(offline: str, place: Path) -> None:
    cloud, with_options = jobs(place, "hvd-mnist")
    (multi,), (vpc,) = jobs(place, "hvd-mnist-multi-cpu"), jobs(place, "hvd-mnist-vpc")
    for job, world in ((cloud, 2), (with_options, 2), (multi, 4), (vpc, 4)):
        assert (outcome(job)["status"], outcome(job)["world_size"]) == ("Completed", world)
        resources = request(job)["ResourceConfig"]
        assert (resources["InstanceType"], resources["InstanceCount"]) == ("ml.c4.xlarge", 2)
        assert [channel["ChannelName"] for channel in request(job)["InputDataConfig"]] == ["train", "test"]
        assert request(job)["HyperParameters"]["sagemaker_mpi_enabled"] == "true"
        assert (job / "model" / "1" / "saved_model.pb").is_file()
    assert request(vpc)["VpcConfig"] == {
        "Subnets": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"],
    }  # fmt: skip


def test_a_variable_among_the_options_reaches_mpirun_as_such(offline: str, place: Path) -> None:
    job = jobs(place, "hvd-mnist")[1]
    hyperparameters = request(job)["HyperParameters"]
    assert json.loads(hyperparameters["sagemaker_mpi_custom_mpi_options"]) == "-verbose --NCCL_DEBUG=INFO"
    channels = [word for name in ("train", "test") for word in ("--channel", f"{name}={place / 'data' / name}")]
    shown = run(["hvdsm", "launch", "--dry-run", "--output", "again", "--request", str(job / "request.json"), *channels], place)
    command = shown.partition("\n# mpirun\n")[2].partition("\n# ")[0]
    assert "-x NCCL_DEBUG=INFO" in command and "-verbose" in command and "--NCCL_DEBUG" not in command, shown


def test_the_model_on_s3_is_a_versioned_saved_model(offline: str, place: Path) -> None:
    address = re.search(r"^hvd-mnist-multi-cpu: model at s3://(\S+)$", offline, re.MULTILINE)
    block = re.search(r"```python\n(.*?)```", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert address and block
    with tarfile.open(place / "s3" / address[1]) as archive:
        archive.extractall(place / "model", filter="data")
    assert [path.name for path in (place / "model").iterdir()] == ["1"]
    shown = run([sys.executable, "-c", block[1]], place)
    assert re.search(r"^\[(?:\d ?){5}\]$", shown, re.MULTILINE), shown


def test_the_notebook_has_the_steps_of_the_script() -> None:
    notebook = json.loads((EXAMPLE / "mnist.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    called = re.findall(r"(\w+)\(given\)", "\n".join(code))
    assert called == [CALLS.get(step, step) for step in STEPS]
    assert "%run -n notebook.py" in code[0]
    assert all(not cell.get("outputs") for cell in notebook["cells"])


def test_the_notebook_runs_in_a_kernel(place: Path, data: Path, sdk2: str, emulated_hosts: None, tmp_path: Path) -> None:
    needs = subprocess.run([sdk2, "-c", "import nbclient, nbformat, ipykernel"], capture_output=True, text=True)
    if needs.returncode:
        pytest.skip(f"{sdk2} has no nbclient, nbformat or ipykernel: {needs.stderr.splitlines()[-1]}")
    (tmp_path / "in_a_kernel.py").write_text(IN_A_KERNEL)
    command = ["python", str(tmp_path / "in_a_kernel.py"), str(EXAMPLE), str(data), "prepare", "local"]
    shown = run(["hvdsm", "sandbox", "--", *command], tmp_path, sdk2, PYTHONPATH=str(ROOT))
    checked = {"mpi": {"enabled": True, "processes_per_host": 2, "custom_mpi_options": "-verbose -x NCCL_DEBUG=INFO"}}
    assert json.loads(re.findall(r"^distribution: (.*)$", shown, re.MULTILINE)[0]) == checked
    assert re.search(r"^training data at s3://\S+/mnist/train\.npz$", shown, re.MULTILINE)
    assert re.search(r"Test accuracy: \d\.\d{4}$", shown, re.MULTILINE)
    assert re.search(r"^hvd-mnist-local: model at s3://\S+/model\.tar\.gz$", shown, re.MULTILINE)


LAUNCHES = [words for words in commands() if words[:2] == ["hvdsm", "launch"]]


@pytest.mark.parametrize("words", [words for words in LAUNCHES if "sagemaker" not in words], ids=len)
def test_a_rehearsal_of_the_readme(words: List[str], place: Path, data: Path, emulated_hosts: None) -> None:
    shown = run(words, place)
    assert float(re.findall(r"Test accuracy: (\d\.\d{4})$", shown, re.MULTILINE)[0]) > (0.6 if "--epochs" in words else 0.95)


@pytest.mark.parametrize("words", [words for words in LAUNCHES if "sagemaker" in words], ids=len)
def test_a_launch_in_sagemaker_of_the_readme(words: List[str], place: Path) -> None:
    shown = run(["hvdsm", "sandbox", "--", sys.executable, "-m", "hvdsm", words[1], "--dry-run", *words[2:]], place)
    assert "ml.c4.xlarge" in shown and "s3://my-bucket/mnist/train.npz" in shown
    if "--subnet" in words:
        assert "subnet-0123456789abcdef0" in shown and "sg-0123456789abcdef0" in shown


@pytest.fixture
def mnist(tmp_path: Path) -> Iterator[str]:
    """A web server with a small file in the form of Keras' mnist.npz; its address."""
    np = pytest.importorskip("numpy")
    parts = {"x_train": np.zeros((6, 28, 28), "uint8"), "y_train": np.arange(6), "x_test": np.ones((2, 28, 28), "uint8")}
    (tmp_path / "www").mkdir()
    np.savez(tmp_path / "www" / "mnist.npz", y_test=np.arange(2), **parts)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/mnist.npz"
    server.shutdown()
    thread.join()
    server.server_close()


def prepare(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, EXAMPLE / "prepare.py", *words], capture_output=True, text=True)


def test_a_download_is_compared_with_its_digest(mnist: str, tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    digest = hashlib.sha256((tmp_path / "www" / "mnist.npz").read_bytes()).hexdigest()
    refused = prepare("--url", mnist, "--local", str(tmp_path / "none"))
    assert refused.returncode == 1 and f"SHA-256 is {digest}, not 731c5ac602752760" in refused.stderr
    assert not (tmp_path / "none").exists()
    # The next address is tried when one does not answer.
    done = prepare("--url", f"{mnist}.gone", "--url", mnist, "--sha256", digest, "--local", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    for channel, count in (("train", 6), ("test", 2)):
        with np.load(tmp_path / "kept" / channel / f"{channel}.npz") as arrays:
            assert (sorted(arrays), arrays["data"].shape, len(arrays["labels"])) == (["data", "labels"], (count, 28, 28), count)
    assert sorted(path.name for path in (tmp_path / "kept").rglob("*")) == ["test", "test.npz", "train", "train.npz"]


def test_an_upload_leaves_nothing_here(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: run make setup")
    script = (
        "import boto3, sys, subprocess; boto3.client('s3').create_bucket(Bucket='mine'); sys.exit(subprocess.call(sys.argv[1:]))"
    )
    upload = [sys.executable, str(EXAMPLE / "prepare.py"), "--digits", "--bucket", "mine"]
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    keep = ["hvdsm", "sandbox", "--s3", str(tmp_path / "s3"), "--", "env", f"TMPDIR={tmp_path / 'tmp'}"]
    shown = run([*keep, sys.executable, "-c", script, *upload], tmp_path / "here")
    assert "training data at s3://mine/mnist/train.npz" in shown and "testing data at s3://mine/mnist/test.npz" in shown
    assert sorted(path.name for path in (tmp_path / "s3" / "mine" / "mnist").iterdir()) == ["test.npz", "train.npz"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_wrong_words_are_refused_before_anything_runs(tmp_path: Path) -> None:
    def notebook(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, EXAMPLE / "notebook.py", *words], capture_output=True, text=True)

    unknown = notebook("prepare", "clout")
    assert unknown.returncode == 2 and "no such step: clout; the steps are prepare, local, cloud" in unknown.stderr
    assert "which steps? prepare, local" in notebook().stderr
    assert "the step vpc needs --subnets" in notebook("all", "--role", ROLE).stderr
    assert "NAME=VALUE is expected" in notebook("cloud", "--hp", "epochs").stderr
    missing = prepare("--from", str(tmp_path), "--bucket", "mine")
    assert missing.returncode == 1 and f"make it with prepare.py --local {tmp_path}" in missing.stderr
