"""``hvdsm sandbox``: what its command meets, how it ends, and what is left; jobs are played here."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

from hvdsm.sandbox import Sandbox
from hvdsm.sandbox.companion import Companion, NotStarted
from hvdsm.sandbox.serving import Serving

HVDSM = [sys.executable, "-m", "hvdsm", "sandbox", "--runner", "instant"]
JOB = {
    "TrainingJobName": "job",
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/output"},
    "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
}


@pytest.fixture
def person(tmp_path: Path) -> Dict[str, str]:
    """The environment of somebody who uses AWS."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nregion = eu-central-1\n[profile prod]\nregion = eu-west-1\nrole_arn = arn:aws:iam::1:role/r\n"
        "source_profile = default\n[profile two words]\n[sso-session s]\nsso_region = us-west-2\n[services local]\n"
    )
    (tmp_path / ".aws" / "credentials").write_text("[keys]\naws_access_key_id = AKIAOWN\naws_secret_access_key = own-secret\n")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_", "PYTHON", "HVDSM_"))}
    root = str(Path(__file__).parent.parent.parent)
    return {**own, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"}


def run(person: Dict[str, str], program: str, *options: str) -> Tuple[int, str, str]:
    """Run a Python program in a sandbox; exit code, standard output and standard error."""
    done = subprocess.run(
        [*HVDSM, *options, "--", sys.executable, "-c", program], env=person, cwd=person["HOME"], capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def left(directory: str) -> List[str]:
    """Temporaries of sandboxes."""
    return [name for name in os.listdir(directory) if name.startswith("hvdsm-sandbox-")]


def alive(pid: int) -> bool:
    """Whether there is a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def await_end(pid: int) -> None:
    """Wait for the end of a process that is not ours."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], 60)[0], f"{pid} lives"
    finally:
        os.close(process)


def test_a_script_sees_its_profiles_and_regions_but_the_sandbox_behind_them(person: Dict[str, str]) -> None:
    program = """
import boto3, json
for session in (boto3.Session(), boto3.Session(profile_name="prod"), boto3.Session(profile_name="two words"),
                boto3.Session(profile_name="keys"), boto3.Session(profile_name="of a colleague", region_name="ap-south-1")):
    s3, sts = session.client("s3"), session.client("sts", endpoint_url=f"https://sts.{session.region_name}.amazonaws.com")
    who = sts.get_caller_identity()
    print(session.region_name, s3.meta.endpoint_url.startswith("http://127.0.0.1:"), who["Account"], who["Arn"].split(":", 5)[5])
"""
    for proxies in ({}, {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "AWS_PROFILE": "absent"}):
        code, out, err = run(
            {**person, **proxies, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_USE_FIPS_ENDPOINT": "true"}, program
        )
        assert code == 0, err
        first = "us-east-1" if proxies else "eu-central-1"
        who = "True 123456789012 assumed-role/AmazonSageMaker-ExecutionRole/SageMaker"
        assert out.splitlines() == [f"{name} {who}" for name in (first, "eu-west-1", first, first, "ap-south-1")]
        assert "no AWS profile of a colleague is configured here" in err
        assert left(person["HOME"]) == []


def test_regions_of_the_environment_go_before_those_of_profiles(person: Dict[str, str]) -> None:
    program = "import boto3, os; print(boto3.Session(profile_name='prod').region_name, os.environ['AWS_REGION'])"
    assert run({**person, "AWS_DEFAULT_REGION": "sa-east-1"}, program)[1] == "sa-east-1 sa-east-1\n"


def test_roles_and_permissions_that_the_sdks_ask_for(person: Dict[str, str]) -> None:
    program = """
import boto3, json
iam = boto3.client("iam")
for name in ("SageMakerRole", "AmazonSageMaker-ExecutionRole-2020"):
    role = iam.get_role(RoleName=name)["Role"]
    print(role["Arn"], role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"][0])
pages = iam.get_paginator("simulate_principal_policy").paginate(PolicySourceArn=role["Arn"], ActionNames=["s3:ListBucket", "a:b"])
print([(it["EvalActionName"], it["EvalDecision"]) for page in pages for it in page["EvaluationResults"]])
iam.create_role(RoleName="mine", AssumeRolePolicyDocument="{}")
iam.attach_role_policy(RoleName="mine", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
print(boto3.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="session")["AssumedRoleUser"]["Arn"])
"""
    code, out, err = run(person, program)
    assert code == 0, err
    assert out.splitlines() == [
        "arn:aws:iam::123456789012:role/SageMakerRole sagemaker.amazonaws.com",
        "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole-2020 sagemaker.amazonaws.com",
        "[('s3:ListBucket', 'allowed'), ('a:b', 'allowed')]",
        "arn:aws:sts::123456789012:assumed-role/AmazonSageMaker-ExecutionRole-2020/session",
    ]


def test_what_would_only_seem_to_run_is_refused_at_once(person: Dict[str, str]) -> None:
    program = """
import boto3
from botocore.exceptions import ClientError
sm = boto3.client("sagemaker")
sm.create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/r", PrimaryContainer={"Image": "i"})
sm.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[
    {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 1}])
def processing():
    resources = {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.c5.xlarge", "VolumeSizeInGB": 1}}
    asked = {"ProcessingResources": resources, "AppSpecification": {"ImageUri": "i"}, "RoleArn": "r" * 30}
    sm.create_processing_job(ProcessingJobName="p", **asked)
def endpoint():
    sm.create_endpoint(EndpointName="e", EndpointConfigName="c")
def pipeline():
    sm.start_pipeline_execution(PipelineName="p")
def auto():
    sm.describe_auto_ml_job(AutoMLJobName="a")
def invoke():
    boto3.client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"1")
def elsewhere():
    boto3.client("translate").list_languages()
for call in (processing, endpoint, pipeline, auto, invoke, elsewhere):
    try:
        print(call.__name__, call())
    except ClientError as error:
        print(call.__name__, error.response["Error"]["Code"], error.response["Error"]["Message"])
"""
    code, out, err = run(person, program)
    assert code == 0, err
    told = dict(line.split(" ", 1) for line in out.splitlines())
    for name, asked in (
        ("processing", "CreateProcessingJob"),
        ("endpoint", "CreateEndpoint"),
        ("pipeline", "StartPipelineExecution"),
    ):
        assert told[name].startswith(f"UnknownOperationException {asked}: the sandbox of hvdsm runs training jobs only"), told
    assert "POST /endpoints/e/invocations: the sandbox of hvdsm" in told["invoke"]
    assert "The sandbox has no sagemaker:DescribeAutoMLJob" in told["auto"]
    assert told["elsewhere"].startswith("UnknownOperationException The sandbox has no")


def test_the_exit_code_is_the_commands(person: Dict[str, str]) -> None:
    assert run(person, "raise SystemExit(7)") == (7, "", "")
    assert run(person, "import os; os.kill(os.getpid(), 9)")[0] == 137
    assert left(person["HOME"]) == []


def test_streams_are_the_commands(person: Dict[str, str]) -> None:
    program = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data); sys.stderr.buffer.write(data[::-1])"
    data = bytes(range(256))
    done = subprocess.run(
        [*HVDSM, sys.executable, "-c", program], env=person, cwd=person["HOME"], input=data, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, data, data[::-1])


def test_a_file_that_the_system_does_not_run(person: Dict[str, str]) -> None:
    path = Path(person["HOME"], "fit.py")
    path.write_text("print(1)\n")
    path.chmod(0o755)
    done = subprocess.run([*HVDSM, "--", str(path)], env=person, cwd=person["HOME"], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{path}: Exec format error\n  try: hvdsm sandbox -- python {path}" in done.stderr
    assert left(person["HOME"]) == []


def test_the_summary_names_jobs_of_all_regions(person: Dict[str, str]) -> None:
    program = f"""
import boto3
for region in ("us-east-1", "eu-west-1"):
    boto3.client("sagemaker", region_name=region).create_training_job(**{JOB!r})
"""
    code, _, err = run(person, program)
    assert code == 0, err
    assert f"2 training jobs, results in {person['HOME']}/hvdsm-out" in err
    assert err.count("job Completed after 0.") == 2


def test_objects_are_kept_where_it_is_asked_for(person: Dict[str, str]) -> None:
    put = """
import boto3
s3 = boto3.client("s3", region_name="eu-west-1")
s3.create_bucket(Bucket="mine", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_object(Bucket="mine", Key="a/b.txt", Body=b"one")
s3.put_object(Bucket="mine", Key="a/../c", Body=b"not a path")
"""
    code, _, err = run(person, put, "--s3", "kept")
    assert code == 0, err
    assert Path(person["HOME"], "kept", "mine", "a", "b.txt").read_bytes() == b"one"
    assert "not kept: s3://mine/a/../c" in err
    assert "1 new or changed object of S3 kept in" in err
    again = "import boto3; print(boto3.client('s3').get_object(Bucket='mine', Key='a/b.txt')['Body'].read())"
    code, out, err = run(person, again, "--s3", "kept")
    assert (code, out) == (0, "b'one'\n"), err
    assert "0 new or changed objects" in err


def test_a_directory_for_objects_that_cannot_be_one(person: Dict[str, str]) -> None:
    Path(person["HOME"], "file").write_text("")
    code, _, err = run(person, "", "--s3", "file")
    assert code == 78
    assert "--s3: File exists" in err


def test_a_port_that_is_taken_is_named(person: Dict[str, str]) -> None:
    with Sandbox.start() as other:
        port = other.url.rpartition(":")[2]
        code, _, err = run(person, "", "--port", port)
    assert code == 69
    assert f"--port {port}: Address already in use" in err


@pytest.fixture
def waiting(person: Dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The command with a program that tells its process, the sandbox's directory, and its signals; it ends at the second one."""
    program = """
import os, signal, sys
def told(number, frame):
    os.write(1, (signal.Signals(number).name + chr(10)).encode())
    sys.exit(3) if number == signal.SIGTERM else None
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, told)
print(os.getpid(), os.getpgid(0) == os.getpgid(os.getppid()), flush=True)
while True:
    signal.pause()
"""
    argv = [*HVDSM, "--", sys.executable, "-c", program]
    with subprocess.Popen(argv, env=person, cwd=person["HOME"], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_signals_go_on_to_the_command_which_decides(waiting: subprocess.Popen[str], person: Dict[str, str]) -> None:
    assert waiting.stdout is not None
    pid, same_group = waiting.stdout.readline().split()
    assert same_group == "True"
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        waiting.send_signal(number)
        assert waiting.stdout.readline() == f"{number.name}\n"
    assert waiting.wait(30) == 3
    assert not alive(int(pid))
    assert left(person["HOME"]) == []


def test_sigquit_ends_a_command_that_does_not_want_to(waiting: subprocess.Popen[str], person: Dict[str, str]) -> None:
    assert waiting.stdout is not None
    pid = int(waiting.stdout.readline().split()[0])
    waiting.send_signal(signal.SIGQUIT)
    assert waiting.wait(30) in (128 + signal.SIGQUIT, 128 + signal.SIGKILL)
    assert not alive(pid)
    assert left(person["HOME"]) == []


def test_the_sandbox_ends_when_its_leader_is_killed(person: Dict[str, str]) -> None:
    program = """
import os, sys
from hvdsm.sandbox.companion import Companion
from hvdsm.sandbox.serving import Serving
print(Companion(Serving(runner="instant"), os.environ).pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], env=person, cwd=person["HOME"], capture_output=True, text=True)
    pid = int(done.stdout)
    assert (done.returncode, done.stderr) == (-9, "")
    await_end(pid)
    assert left(person["HOME"]) == []


def test_a_sandbox_of_another_process(person: Dict[str, str]) -> None:
    companion = Companion(Serving(runner="instant", output=str(Path(person["HOME"], "out"))), person)
    assert companion.jobs() == companion.wait() == []
    assert companion.environ["HVDSM_SANDBOX_URL"] == companion.url
    assert companion.environ["PYTHONPATH"].endswith(person["PYTHONPATH"])
    assert companion.end() == []
    assert not alive(companion.pid)
    with pytest.raises(NotStarted, match="Not a directory"):
        Companion(Serving(output="/dev/null/out"), person)


def test_serving_alone_says_what_to_export(person: Dict[str, str]) -> None:
    with subprocess.Popen(
        HVDSM, env={**person, "AWS_PROFILE": "prod"}, cwd=person["HOME"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        while not lines or not lines[-1].startswith("export AWS_ENDPOINT_URL"):
            lines.append(process.stdout.readline())
        program = "import boto3; print(boto3.Session().region_name, boto3.client('s3').list_buckets()['Buckets'])"
        script = "".join([*lines, f"exec {sys.executable} -c {shlex.quote(program)}"])
        done = subprocess.run(["sh", "-c", script], env={**person, "AWS_PROFILE": "prod"}, capture_output=True, text=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert done.stdout == "eu-west-1 []\n", done.stderr
    assert lines[0] == "unset AWS_PROFILE\n"
    assert left(person["HOME"]) == []


def test_another_sitecustomize_runs_too(person: Dict[str, str], tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import builtins\nbuiltins.own_site = 'mine'\n")
    path = f"{own}{os.pathsep}{person['PYTHONPATH']}"
    code, out, err = run({**person, "PYTHONPATH": path}, "import os, sys; print(own_site, 'hvdsm_redirect' in sys.modules)")
    assert (code, out) == (0, "mine True\n"), err
