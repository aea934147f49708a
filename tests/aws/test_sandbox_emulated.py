"""Jobs that are submitted to the sandbox train, on emulated hosts."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
from botocore.exceptions import ClientError
from sandbox_support import client, get, job_request, keys, log_lines, members, put, script_request

from hvdsm.model import JobOutcome, RankFailure
from hvdsm.sandbox import Sandbox, TrainingJob
from hvdsm.sandbox.emulated import EmulatedRunner
from hvdsm.sandbox.objects import Objects

pytestmark = pytest.mark.cluster

TRAIN = """
import os, sys
from mpi4py import MPI

world = MPI.COMM_WORLD
host = os.environ["SM_CURRENT_HOST"]
print("rank %d of %d on %s: %s" % (world.rank, world.size, host, sorted(os.listdir("/opt/ml/input/data/train"))), flush=True)
print("loss=%d.5" % world.allreduce(world.rank), flush=True)
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], host), "w") as file:
    file.write("data of " + host)
if world.rank == 0:
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "weights"), "w") as file:
        file.write("trained")
if "--fail" in sys.argv:
    raise ValueError("no such luck")
"""
WAITS = """
import os, signal, sys, time
from mpi4py import MPI

world = MPI.COMM_WORLD
place = "/opt/ml/checkpoints/state"
begun = os.path.exists(place)
world.Barrier()

def end(number, frame):
    open(os.environ["SM_MODEL_DIR"] + "/saved", "w").close()
    print("ending", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
print("resumed" if begun else "fresh", flush=True)
if world.rank == 0 and not begun:
    with open(place, "w") as file:
        file.write("half way")
if begun:
    sys.exit(0)
while True:
    time.sleep(0.05)
"""
HOSTS = {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 10}
MPI = {"sagemaker_mpi_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": "1"}


def channel(uri: str, **source: str) -> Dict[str, Any]:
    """A channel named train."""
    data = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated", **source}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": data}}


def submit(sandbox: Sandbox, name: str, text: str = TRAIN, hp: Any = None, **fields: Any) -> TrainingJob:
    """Create a job of two hosts with a rank on each."""
    values = {**MPI, **(hp or {})}
    fields.setdefault("ResourceConfig", HOSTS)
    request = script_request(sandbox, name, {"train.py": text}, HyperParameters=values, **fields)
    client(sandbox, "sagemaker").create_training_job(**request)
    return sandbox.jobs[name]


def describe(sandbox: Sandbox, name: str) -> Dict[str, Any]:
    """DescribeTrainingJob."""
    told: Dict[str, Any] = client(sandbox, "sagemaker").describe_training_job(TrainingJobName=name)
    return told


def has_line(sandbox: Sandbox, name: str, text: str) -> bool:
    """Wait until a job has logged a line with this in it."""
    seen = threading.Event()
    job = sandbox.jobs[name]

    def look(_host: str, line: str) -> None:
        if text in line:
            seen.set()

    job.on_line = look
    if any(text in line for lines in lines_now(sandbox, name).values() for line in lines):
        seen.set()
    return seen.wait(60)


def lines_now(sandbox: Sandbox, name: str) -> Dict[str, Any]:
    """Lines so far; none before the first one is there."""
    try:
        return log_lines(sandbox, name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return {}


def test_a_submitted_job_trains_on_two_hosts(emulated_sandbox: Sandbox) -> None:
    sandbox = emulated_sandbox
    for name in ("data/a.csv", "data/b.csv"):
        put(sandbox, name, b"1,2")
    algorithm = {
        "TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
    }
    sharded = channel("s3://bucket/data/", S3DataDistributionType="ShardedByS3Key")
    submit(sandbox, "train", InputDataConfig=[sharded], AlgorithmSpecification=algorithm)
    sandbox.wait("train", 120)
    told = describe(sandbox, "train")
    assert (told["TrainingJobStatus"], told.get("FailureReason")) == ("Completed", None)
    statuses = [change["Status"] for change in told["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert [(metric["MetricName"], metric["Value"]) for metric in told["FinalMetricDataList"]] == [("loss", 1.5)]
    lines = log_lines(sandbox, "train")
    assert set(lines) == {"algo-1", "algo-2"}
    for rank, name in enumerate(("a.csv", "b.csv")):
        said = f"rank {rank} of 2 on algo-{rank + 1}: ['{name}']"
        assert any(line.endswith(said) for line in lines["algo-1"])
    assert told["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/output/train/output/model.tar.gz"
    assert members(get(sandbox, told["ModelArtifacts"]["S3ModelArtifacts"])) == {"weights": b"trained"}
    data = members(get(sandbox, "s3://bucket/output/train/output/output.tar.gz"))
    assert data == {"algo-1": b"data of algo-1", "algo-2": b"data of algo-2"}
    kept = sandbox.jobs["train"].results
    assert kept is not None
    with open(os.path.join(kept, "outcome.json"), encoding="utf-8") as file:
        assert json.load(file)["status"] == "Completed"


def test_jobs_run_side_by_side_and_a_failure_is_told(emulated_sandbox: Sandbox) -> None:
    sandbox = emulated_sandbox
    put(sandbox, "data/a.csv", b"1,2")
    plain = {"S3OutputPath": "s3://bucket/output", "CompressionType": "NONE"}
    one = [channel("s3://bucket/data/a.csv")]
    submit(sandbox, "good", InputDataConfig=one, OutputDataConfig=plain)
    submit(sandbox, "bad", hp={"fail": ""}, InputDataConfig=one)
    for name in ("good", "bad"):
        sandbox.wait(name, 120)
    assert describe(sandbox, "good")["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/output/good/output/model/"
    assert "output/good/output/model/weights" in keys(sandbox, "output/good/")
    told = describe(sandbox, "bad")
    assert told["TrainingJobStatus"] == "Failed"
    assert told["FailureReason"].startswith("AlgorithmError: ")
    assert "ValueError: no such luck" in told["FailureReason"]
    assert told["FailureReason"].endswith(", exit code: 1")
    assert told["ModelArtifacts"]["S3ModelArtifacts"] == ""
    assert keys(sandbox, "output/bad/") == ["output/bad/output/output.tar.gz"]


def test_stopping_lets_the_ranks_save_and_stops_the_hosts(emulated_sandbox: Sandbox) -> None:
    sandbox = emulated_sandbox
    submit(sandbox, "long", WAITS)
    assert has_line(sandbox, "long", "fresh")
    client(sandbox, "sagemaker").stop_training_job(TrainingJobName="long")
    sandbox.wait("long", 60)
    told = describe(sandbox, "long")
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "Stopped")
    statuses = [change["Status"] for change in told["SecondaryStatusTransitions"]]
    assert statuses[-3:] == ["Stopping", "Uploading", "Stopped"]
    assert members(get(sandbox, told["ModelArtifacts"]["S3ModelArtifacts"])) == {"saved": b""}
    assert any(line.endswith("ending") for line in log_lines(sandbox, "long")["algo-1"])


def test_the_time_limit_ends_a_job_that_keeps_its_model(emulated_sandbox: Sandbox) -> None:
    sandbox = emulated_sandbox
    submit(sandbox, "limited", WAITS, StoppingCondition={"MaxRuntimeInSeconds": 3})
    sandbox.wait("limited", 60)
    told = describe(sandbox, "limited")
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert told["ModelArtifacts"]["S3ModelArtifacts"].endswith("/limited/output/model.tar.gz")


def test_a_spot_job_goes_on_from_its_checkpoints(emulated_sandbox: Sandbox) -> None:
    sandbox = emulated_sandbox
    put(sandbox, "checkpoints/old", b"from before")
    submit(
        sandbox,
        "spot",
        WAITS,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200},
        CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"},
    )
    assert has_line(sandbox, "spot", "fresh")
    sandbox.interrupt("spot")
    sandbox.wait("spot", 120)
    told = describe(sandbox, "spot")
    assert told["TrainingJobStatus"] == "Completed"
    statuses = [change["Status"] for change in told["SecondaryStatusTransitions"]]
    assert statuses[:5] == ["Starting", "Downloading", "Training", "Interrupted", "Starting"]
    assert get(sandbox, "s3://bucket/checkpoints/state") == b"half way"
    assert any(line.endswith("resumed") for line in log_lines(sandbox, "spot")["algo-1"])


def test_data_that_is_not_there_is_refused_before_the_job_exists(emulated_sandbox: Sandbox) -> None:
    sandbox = emulated_sandbox
    with pytest.raises(ClientError, match="No S3 objects found under S3 URL"):
        submit(sandbox, "nodata", InputDataConfig=[channel("s3://bucket/none/")])
    assert not sandbox.jobs


def test_a_source_that_is_not_there_fails_the_job_before_it_trains(emulated_sandbox: Sandbox) -> None:
    sandbox = emulated_sandbox
    submit(sandbox, "nosource", hp={"sagemaker_submit_directory": "s3://bucket/none.tar.gz"})
    sandbox.wait("nosource", 60)
    told = describe(sandbox, "nosource")
    assert told["TrainingJobStatus"] == "Failed"
    assert "s3://bucket/none.tar.gz" in told["FailureReason"]
    assert "TrainingStartTime" not in told


def test_a_lost_host_is_retried_as_often_as_the_request_says(tmp_path: Path) -> None:
    lost = JobOutcome("job", "Failed", 1, failure=RankFailure("host-lost", "the host was lost", 1, host="algo-2"))
    with Sandbox.start() as sandbox:
        for retries, wanted in ((1, "Completed"), (0, "Failed")):
            outcomes = [lost, JobOutcome("job", "Completed", 0)]

            class Runner(EmulatedRunner):
                """Its attempts end as said."""

                def _attempt(self, job: TrainingJob) -> Tuple[JobOutcome, str]:
                    job.begin_attempt()
                    return outcomes.pop(0), str(tmp_path / "results")  # noqa: B023

            objects = Objects(sandbox._others.handle, "us-east-1")
            fields = {"RetryStrategy": {"MaximumRetryAttempts": retries}} if retries else {}
            store = sandbox.logs.store
            job = TrainingJob(f"job-{retries}", "arn", job_request("job", **fields), 1.0, store)
            Runner(str(tmp_path), {}, objects, {}).run(job)
            assert job.status == wanted
            assert ("Restarting" in [change.status for change in job.transitions]) == bool(retries)
        assert str(job.failure_reason).startswith("InternalServerError: ")


def test_a_stopped_sandbox_leaves_no_host(emulated_sandbox: Sandbox) -> None:
    sandbox = emulated_sandbox
    submit(sandbox, "left", WAITS.replace("while True", "marker = 'left-behind-here'\nwhile True"))
    assert has_line(sandbox, "left", "fresh")
    results = sandbox.jobs["left"].results
    sandbox.stop()
    assert sandbox.jobs["left"].status == "Stopped"
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(results) not in listed
    assert not [entry for entry in os.listdir(str(sandbox.directory)) if entry.startswith("s3-")]
