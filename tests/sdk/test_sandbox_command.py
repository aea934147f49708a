"""``hvdsm sandbox -- python fit.py`` with scripts that know nothing of it: both SDKs, signals, jobs that go on, what is left."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest
from sdk_fixtures import interpreter

HVDSM = [sys.executable, "-m", "hvdsm", "sandbox"]
ROOT = Path(__file__).parent.parent.parent
TRAIN = """
import os, sys, time
from pathlib import Path
rank, size = (os.environ.get(f"OMPI_COMM_WORLD_{name}", "-") for name in ("RANK", "SIZE"))
print("rank", rank, "of", size, sys.argv[1:], flush=True)
if "--naps" in sys.argv:
    print("asleep", flush=True)
    time.sleep(float(sys.argv[sys.argv.index("--naps") + 1]))
if "--fails" in sys.argv:
    raise ValueError("no such data")
Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text("trained")
"""
FIT2 = """
import sys, time, boto3, sagemaker
from sagemaker.pytorch import PyTorch

session = sagemaker.Session(boto3.Session(profile_name="prod", region_name="eu-west-1"))
print("ROLE", sagemaker.get_execution_role(session))
print("ACCOUNT", session.account_id(), session.default_bucket())
fit = PyTorch(
    "train.py", source_dir="src", role="SageMakerRole", instance_count=2, instance_type="ml.c5.xlarge", framework_version="2.1",
    py_version="py310", hyperparameters={"epochs": 3, **eval(sys.argv[1])}, sagemaker_session=session, base_job_name="fit",
    distribution={"mpi": {"enabled": True, "processes_per_host": 2}},
)
fit.fit({"train": session.upload_data("data", key_prefix="in")}, wait=sys.argv[2] == "wait")
if sys.argv[2] == "sleep":
    print("SLEEPS")
    time.sleep(600)
if sys.argv[2] == "wait":
    print("MODEL", fit.model_data)
    session.download_data(".", *fit.model_data[5:].split("/", 1))
    print("ARN", fit.latest_training_job.describe()["TrainingJobArn"])
    try:
        fit.deploy(initial_instance_count=1, instance_type="ml.c5.xlarge")
    except Exception as error:
        print("DEPLOY", error)
        sys.exit(5)
"""
FIT3 = """
import sys
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.training.configs import Compute, InputData, SourceCode
from sagemaker.train import ModelTrainer

session = Session()
print("ROLE", get_execution_role(session), session.account_id(), session.default_bucket())
trainer = ModelTrainer(
    training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1", role=None if sys.argv[1] == "none" else sys.argv[1],
    source_code=SourceCode(source_dir="src", entry_script="train.py"), base_job_name="train",
    compute=Compute(instance_type="ml.c5.xlarge", instance_count=1), hyperparameters={"epochs": 3},
)
trainer.train()
job = trainer._latest_training_job
print("ENDED", job.training_job_status, job.model_artifacts.s3_model_artifacts, job.role_arn)
"""


@pytest.fixture
def person(emulated_hosts: None, tmp_path: Path) -> Dict[str, str]:
    """The environment of somebody with an AWS profile, in whose home directory is a project."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile prod]\nregion = us-west-2\nsso_session = corp\n[sso-session corp]\n")
    for name, text in (("src/train.py", TRAIN), ("data/part", "1"), ("fit2.py", FIT2), ("fit3.py", FIT3)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_", "PYTHON", "HVDSM_"))}
    return {**own, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def command(person: Dict[str, str], *words: str) -> subprocess.Popen[str]:
    """Start the command; standard error goes into standard output."""
    return subprocess.Popen(
        [*HVDSM, *words], env=person, cwd=person["HOME"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(person: Dict[str, str], *words: str) -> Tuple[int, str]:
    """Run the command; its exit code, and all that was said."""
    with command(person, *words) as process:
        out, _ = process.communicate(timeout=240)
    return process.returncode, out


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Lines up to one that has a text."""
    assert process.stdout is not None
    lines: List[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text!r} was not said:\n{''.join(lines)}")


def processes(person: Dict[str, str]) -> List[str]:
    """Command lines of processes that have this test's home directory in their environment."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and f"HOME={person['HOME']}".encode() in (place / "environ").read_bytes().split(b"\0"):
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def assert_nothing_left(person: Dict[str, str]) -> None:
    """No process, and no file besides results."""
    assert processes(person) == []
    names = [name for name in os.listdir(person["HOME"]) if name.startswith(("hvdsm-", "tmp", "s3-")) and name != "hvdsm-out"]
    assert names == []
    out = Path(person["HOME"], "hvdsm-out")
    assert [name for name in (os.listdir(out) if out.is_dir() else ()) if name.startswith("s3-")] == []


def test_a_script_of_sdk2_with_a_profile_and_another_region(person: Dict[str, str], sdk2: str) -> None:
    code, out = run(person, "--", sdk2, "fit2.py", "{}", "wait")
    assert "ROLE arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole" in out
    assert "ACCOUNT 123456789012 sagemaker-eu-west-1-123456789012" in out
    assert {f"rank {rank} of 4 ['--epochs', '3']" for rank in range(4)} <= {line.partition("] ")[2] for line in out.splitlines()}
    assert "ARN arn:aws:sagemaker:eu-west-1:123456789012:training-job/fit-" in out
    with tarfile.open(Path(person["HOME"], "model.tar.gz")) as tar:
        assert tar.getnames() == ["model.txt"]
    name = re.search(r"hvdsm: sandbox:   (fit-\S+) Completed", out)
    assert name is not None, out
    results = Path(person["HOME"], "hvdsm-out", name[1])
    assert f"results: {results}\n" in out
    assert (results / "model" / "model.txt").read_text() == "trained"
    assert '"RoleArn": "arn:aws:iam::123456789012:role/SageMakerRole"' in (results / "request.json").read_text()
    # What the sandbox does not have is an error of the script.
    assert code == 5
    assert "CreateEndpoint: the sandbox of hvdsm runs training jobs only" in out
    assert_nothing_left(person)


def test_a_script_of_sdk2_whose_job_fails(person: Dict[str, str], sdk2: str) -> None:
    code, out = run(person, "--", sdk2, "fit2.py", "{'fails': 1}", "wait")
    assert code == 1
    assert re.search(
        r"UnexpectedStatusException: .*Failed\. Reason: AlgorithmError: .*ValueError: no such data", out, re.DOTALL
    ), out
    assert re.search(r"hvdsm: sandbox:   fit-\S+ Failed after .*\n.*reason: AlgorithmError", out)
    assert_nothing_left(person)


@pytest.mark.parametrize("role", ["none", "SageMakerRole", "arn:aws:iam::111122223333:role/service-role/Elsewhere"])
def test_a_script_of_sdk3_and_its_role_that_is_validated(person: Dict[str, str], sdk3: str, role: str) -> None:
    code, out = run({**person, "AWS_DEFAULT_REGION": "us-east-1"}, "--", sdk3, "fit3.py", role)
    assert code == 0, out
    own = "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole"
    assert f"ROLE {own} 123456789012 sagemaker-us-east-1-123456789012" in out
    arn = {"none": own, "SageMakerRole": "arn:aws:iam::123456789012:role/SageMakerRole"}.get(role, role)
    assert re.search(rf"ENDED Completed s3://sagemaker-us-east-1-123456789012/\S+/output/model.tar.gz {re.escape(arn)}\n", out), (
        out
    )
    assert "Could not verify permissions" not in out
    assert_nothing_left(person)


LOCAL = """
import boto3
from sagemaker.pytorch import PyTorch

boto3.client("s3").create_bucket(Bucket="own-bucket")
fit = PyTorch("own.py", source_dir="src", role="R", image_uri="image", instance_type="local", instance_count=2)
fit.fit()
print("OBJECTS", [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket="own-bucket")["Contents"]])
_, _, bucket, key = fit.model_data.split("/", 3)
print("MODEL", boto3.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0)
"""
OWN = """
import os, boto3
boto3.client("s3").put_object(Bucket="own-bucket", Key=os.environ["SM_CURRENT_HOST"], Body=b"x")
open(os.environ["SM_MODEL_DIR"] + "/" + os.environ["SM_CURRENT_HOST"], "w").write("trained")
"""


def test_a_script_in_local_mode_whose_hosts_write_to_s3(person: Dict[str, str], sdk2: str) -> None:
    Path(person["HOME"], "local.py").write_text(LOCAL)
    Path(person["HOME"], "src", "own.py").write_text(OWN)
    code, out = run({**person, "AWS_DEFAULT_REGION": "us-east-1"}, "--", sdk2, "local.py")
    assert code == 0, out
    assert "OBJECTS ['algo-1', 'algo-2']" in out and "MODEL True" in out
    assert_nothing_left(person)


def test_jobs_that_a_script_leaves_running_are_waited_for(person: Dict[str, str], sdk2: str) -> None:
    # Longer than a busy machine takes to end the script.
    code, out = run(person, "--", sdk2, "fit2.py", "{'naps': 20}", "go")
    assert code == 0, out
    assert re.search(
        r"hvdsm: sandbox: waiting for what the command has left running: fit-\S+ \(Ctrl-C ends it; --no-wait", out
    ), out
    assert re.search(r"hvdsm: sandbox:   fit-\S+ Completed after ", out)
    assert_nothing_left(person)


def test_they_are_ended_where_that_is_asked_for(person: Dict[str, str], sdk2: str) -> None:
    code, out = run(person, "--no-wait", "--", sdk2, "fit2.py", "{'naps': 600}", "go")
    assert code == 0, out
    assert re.search(r"hvdsm: sandbox: ending 1 job: fit-\S+\n", out), out
    assert re.search(r"hvdsm: sandbox:   fit-\S+ Stopped after ", out)
    assert_nothing_left(person)


def test_an_interrupt_ends_the_wait(person: Dict[str, str], sdk2: str) -> None:
    with command(person, "--", sdk2, "fit2.py", "{'naps': 600}", "go") as process:
        read_until(process, "waiting for what the command has left running")
        process.send_signal(signal.SIGINT)
        out = read_until(process, "Stopped after")
        assert process.wait(60) == 130
    assert "ending all jobs (Ctrl-C once more: at once)" in out
    assert_nothing_left(person)


def test_sigterm_ends_script_and_job(person: Dict[str, str], sdk2: str) -> None:
    with command(person, "--", sdk2, "fit2.py", "{'naps': 600}", "wait") as process:
        read_until(process, "asleep")
        process.send_signal(signal.SIGTERM)
        out = read_until(process, "Stopped after")
        assert process.wait(60) == 143
    assert re.search(r"ending 1 job: fit-", out)
    assert_nothing_left(person)


@pytest.mark.parametrize(
    ("mode", "said"), [("go", "waiting for what the command has left running"), ("sleep", "SLEEPS")], ids=["after", "during"]
)
def test_a_command_that_is_killed_leaves_nothing_running(person: Dict[str, str], sdk2: str, mode: str, said: str) -> None:
    with command(person, "--", sdk2, "fit2.py", "{'naps': 600}", mode) as process:
        read_until(process, said)
        process.kill()
        # The sandbox has the other end of this pipe until it ends.
        assert process.stdout is not None
        process.stdout.read()
    assert_nothing_left(person)


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, person: Dict[str, str], *words: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(person["HOME"])
            os.execve(sys.executable, [*HVDSM, *words], person)
        self.said = ""

    def until(self, text: str, again: str = "") -> None:
        """Read until a text has come; keys are pressed again where nothing comes for some seconds."""
        while text not in self.said:
            if again and not select.select([self.fd], [], [], 3.0)[0]:
                self.type(again)
            try:
                piece = os.read(self.fd, 4096)
            except OSError:
                piece = b""
            if not piece:
                raise AssertionError(f"{text!r} was not said:\n{self.said}")
            self.said += piece.decode(errors="replace")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.fd, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        while True:
            try:
                piece = os.read(self.fd, 4096)
            except OSError:
                break
            if not piece:
                break
            self.said += piece.decode(errors="replace")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(person: Dict[str, str]) -> Iterator[List[Terminal]]:
    """A list for terminals, which are closed at the end."""
    opened: List[Terminal] = []
    yield opened
    for each in opened:
        os.close(each.fd)


def test_ctrl_c_goes_to_the_script_first(person: Dict[str, str], sdk2: str, terminal: List[Terminal]) -> None:
    terminal.append(Terminal(person, "--", sdk2, "fit2.py", "{'naps': 600}", "sleep"))
    terminal[0].until("SLEEPS")
    terminal[0].type("\x03")
    code = terminal[0].end()
    said = terminal[0].said
    assert code == 130, said
    assert said.index("KeyboardInterrupt") < said.index("ending 1 job: fit-") < said.index("Stopped after")
    assert_nothing_left(person)


def test_a_debugger_works_and_lives_on_after_ctrl_c(person: Dict[str, str], sdk2: str, terminal: List[Terminal]) -> None:
    program = "import boto3\nname = boto3.client('s3').meta.endpoint_url\nprint('end')\n"
    Path(person["HOME"], "debugged.py").write_text(program)
    terminal.append(Terminal(person, "--", sdk2, "-m", "pdb", "debugged.py"))
    terminal[0].until("(Pdb) ")
    # Python's readline waits on for a key when the signal comes between its prompt and its wait.
    terminal[0].type("\x03")
    terminal[0].until("--KeyboardInterrupt--", again="\x03")
    terminal[0].type("next\nnext\np name\nq\n")
    code = terminal[0].end()
    assert code in (0, 1), terminal[0].said
    assert "'http://127.0.0.1:" in terminal[0].said
    assert_nothing_left(person)


def test_the_aws_command_line(person: Dict[str, str]) -> None:
    programs = os.path.dirname(interpreter("awscli"))
    script = (
        "aws s3 mb s3://mine && aws s3 cp data/part s3://mine/ && aws s3 ls mine && aws --profile prod sts get-caller-identity"
    )
    code, out = run({**person, "PATH": f"{programs}:{person['PATH']}"}, "--", "sh", "-c", script)
    assert code == 0, out
    assert "assumed-role/AmazonSageMaker-ExecutionRole/SageMaker" in out
