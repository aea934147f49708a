"""``hvdsm jobs`` with jobs of SageMaker that are only played."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from cloud_launching import Ended, ended, hvdsm_command, start
from sandbox_support import archive, client, job_request, put

from hvdsm.sandbox import Fault, Sandbox, Script

BUNDLE = {"ContainerEntrypoint": ["python3", "/opt/ml/input/data/hvdsm/hvdsm.pyz"]}
ALGORITHM = {"TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1", "TrainingInputMode": "File", **BUNDLE}
HOSTS = {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 10}
LINES = {
    "algo-1": ["hvdsm: 2 of 2 hosts joined", "[0,algo-1] same", "[1,algo-2] same", "[1,algo-2] only one"],
    "algo-2": ["hvdsm: joined algo-1", "[1,algo-2] same", "[1,algo-2] only one"],
}


def create(sandbox: Sandbox, name: str, script: Script, **fields: Any) -> None:
    """Create a job that is played."""
    sandbox.script(name, script)
    values = {"AlgorithmSpecification": ALGORITHM, "ResourceConfig": HOSTS, **fields}
    client(sandbox, "sagemaker").create_training_job(**job_request(name, **values))


def jobs(sandbox: Sandbox, where: Path, *words: str) -> Ended:
    """Run ``hvdsm jobs WORDS…``."""
    return hvdsm_command(sandbox, where, "jobs", *words)


def test_list_status_and_describe(sandbox: Sandbox, tmp_path: Path) -> None:
    create(sandbox, "good", Script())
    create(sandbox, "bad", Script.failing("AlgorithmError: it broke, exit code: 7"), Environment={"API_TOKEN": "hidden"})
    create(sandbox, "full", Script.capacity())
    for name in ("good", "bad", "full"):
        sandbox.wait(name)
    listed = json.loads(jobs(sandbox, tmp_path, "list", "--json").text)
    assert [(job["name"], job["backend"], job["place"]) for job in listed] == [
        (name, "sagemaker", "us-east-1") for name in ("full", "bad", "good")
    ]
    assert [job["name"] for job in json.loads(jobs(sandbox, tmp_path, "list", "--json", "--status", "Completed").text)] == [
        "good"
    ]
    done = jobs(sandbox, tmp_path, "status", "bad")
    assert done.code == 0 and "it broke" in done.text and "found in   SageMaker, us-east-1" in done.text
    assert jobs(sandbox, tmp_path, "status", "bad", "--exit-code").code == 7
    assert jobs(sandbox, tmp_path, "status", "full", "--exit-code").code == 69
    done = jobs(sandbox, tmp_path, "describe", "bad")
    assert done.code == 0 and '"TrainingJobArn"' in done.text and "hidden" not in done.text
    done = jobs(sandbox, tmp_path, "status", "ugly")
    assert done.code == 78 and "nor in SageMaker, us-east-1" in done.text
    assert jobs(sandbox, tmp_path, "wait", "bad").code == 7


def test_logs(sandbox: Sandbox, tmp_path: Path) -> None:
    create(sandbox, "talks", Script(lines=LINES))
    sandbox.wait("talks")
    lines = jobs(sandbox, tmp_path, "logs", "talks").lines[1:]
    assert sorted(lines) == sorted([*LINES["algo-1"], "algo-2: hvdsm: joined algo-1"])
    assert jobs(sandbox, tmp_path, "logs", "talks", "--rank", "1").lines[1:] == ["[1,algo-2] same", "[1,algo-2] only one"]
    assert jobs(sandbox, tmp_path, "logs", "talks", "--host", "algo-2", "--tail", "1").lines[1:] == ["[1,algo-2] only one"]
    assert "[0-1,algo-1..algo-2] same" in jobs(sandbox, tmp_path, "logs", "talks", "--fold").lines
    assert jobs(sandbox, tmp_path, "logs", "talks", "--since", "2099-01-01").lines[1:] == []


def test_a_job_is_followed_and_stopped(sandbox: Sandbox, tmp_path: Path) -> None:
    create(sandbox, "long", Script.held(lines=LINES))
    follower = start(sandbox, tmp_path, "jobs", "logs", "long", "--follow", "--rank", "1")
    assert follower.stdout is not None
    assert [follower.stdout.readline() for _ in range(3)][-1] == "[1,algo-2] only one\n"
    waiter = start(sandbox, tmp_path, "jobs", "wait", "long")
    done = jobs(sandbox, tmp_path, "stop", "long", "--now")
    assert done.code == 2 and "SIGTERM and 120" in done.text
    done = jobs(sandbox, tmp_path, "stop", "long", "--wait")
    assert done.code == 0 and "long is stopped, exit code 143" in done.text
    assert ended(waiter).code == 143
    assert ended(follower).code == 0
    assert jobs(sandbox, tmp_path, "stop", "long").text.endswith("has ended already (Stopped)\n")


def test_throttling_is_waited_for(sandbox: Sandbox, tmp_path: Path) -> None:
    create(sandbox, "slow", Script(lines=LINES))
    sandbox.wait("slow")
    for operation in ("DescribeTrainingJob", "DescribeLogStreams", "GetLogEvents"):
        sandbox.faults.add(Fault(operation=operation, times=2, error="ThrottlingException"))
    done = jobs(sandbox, tmp_path, "logs", "slow", "--rank", "1")
    assert done.code == 0 and done.lines[-2:] == ["[1,algo-2] same", "[1,algo-2] only one"]


def test_a_service_that_is_gone(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.expire_credentials()
    old = {"AWS_ACCESS_KEY_ID": "AKIASANDBOX000000001"}
    done = hvdsm_command(sandbox, tmp_path, "jobs", "list", env=old)
    assert done.code == 0 and "SageMaker was not looked in" in done.text
    assert hvdsm_command(sandbox, tmp_path, "jobs", "list", "--backend", "all", env=old).code == 69
    assert hvdsm_command(sandbox, tmp_path, "jobs", "status", "x", env=old).code == 69


def test_no_region_is_no_cloud(sandbox: Sandbox, tmp_path: Path) -> None:
    nothing = {"AWS_DEFAULT_REGION": "", "AWS_REGION": ""}
    done = hvdsm_command(sandbox, tmp_path, "jobs", "status", "x", env=nothing)
    assert done.code == 78 and "SageMaker was not looked in: no AWS region is named" in done.text
    assert hvdsm_command(sandbox, tmp_path, "jobs", "list", env=nothing).code == 0
    assert hvdsm_command(sandbox, tmp_path, "jobs", "list", "--backend", "sagemaker", env=nothing).code == 78


def test_results_come_back(sandbox: Sandbox, tmp_path: Path) -> None:
    create(sandbox, "kept", Script(lines=LINES))
    sandbox.wait("kept")
    put(sandbox, "output/kept/output/model.tar.gz", archive({"weights/a": "x", "b": "y"}))
    put(sandbox, "output/kept/output/output.tar.gz", archive({"data/table": "z"}))
    done = jobs(sandbox, tmp_path, "download", "kept", "--to", "here", "--logs", "--json")
    assert done.code == 0, done.text
    here = tmp_path / "here"
    assert (here / "model" / "weights" / "a").read_text() == "x"
    assert (here / "output" / "data" / "table").read_text() == "z"
    assert (here / "logs" / "algo-2.log").read_text().splitlines() == LINES["algo-2"]
    assert sorted(path.name for path in here.iterdir()) == ["logs", "model", "output"]
    done = jobs(sandbox, tmp_path, "download", "kept", "--to", "here")
    assert done.code == 78 and "is there already" in done.text


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped-from-an-archive"])
def test_an_archive_that_leads_out_is_refused(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    create(sandbox, "evil", Script())
    sandbox.wait("evil")
    put(sandbox, "output/evil/output/model.tar.gz", archive({name: "x"}))
    done = jobs(sandbox, tmp_path, "download", "evil", "--to", "here")
    assert done.code == 78 and "leads out" in done.text
    assert list((tmp_path / "here").iterdir()) == [] and not (tmp_path / "escaped").exists()


def test_plain_results(sandbox: Sandbox, tmp_path: Path) -> None:
    create(sandbox, "plain", Script(), OutputDataConfig={"S3OutputPath": "s3://bucket/output", "CompressionType": "NONE"})
    sandbox.wait("plain")
    put(sandbox, "output/plain/output/model/deep/weights", b"x")
    done = jobs(sandbox, tmp_path, "download", "plain")
    assert done.code == 0 and "output: there is none" in done.text, done.text
    assert (tmp_path / "hvdsm-out" / "plain" / "model" / "deep" / "weights").read_bytes() == b"x"


def test_an_interrupt_leaves_the_job(sandbox: Sandbox, tmp_path: Path) -> None:
    import signal

    create(sandbox, "stays", Script.held(lines=LINES))
    waiter: subprocess.Popen[str] = start(sandbox, tmp_path, "jobs", "wait", "stays")
    assert waiter.stdout is not None
    seen = threading.Event()
    for line in waiter.stdout:
        if "only one" in line:
            seen.set()
            break
    assert seen.is_set()
    waiter.send_signal(signal.SIGINT)
    done = ended(waiter)
    assert done.code == 130 and "hvdsm jobs stop stays" in done.text
    assert not sandbox.jobs["stays"].is_ended
