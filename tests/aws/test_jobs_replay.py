"""``hvdsm jobs replay``: jobs that ran behind the service run again beside it, and the commands of docs/jobs.md."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path
from typing import Any, Dict, List

import pytest
from cloud_launching import ROOT, Ended, hvdsm_command
from sandbox_support import client, put, script_request

from hvdsm.sandbox import Sandbox, Script

pytestmark = pytest.mark.cluster

TRAIN = """
import os, sys
from mpi4py import MPI

world = MPI.COMM_WORLD
names = sorted(os.listdir("/opt/ml/input/data/train")) if os.path.isdir("/opt/ml/input/data/train") else []
print("rank %d of %d has %d: %s" % (world.rank, world.size, len(names), names), flush=True)
world.Barrier()
if world.rank == 1 and "--fail" in sys.argv:
    raise RuntimeError("it breaks with %d ranks" % world.size)
if os.environ.get("API_KEY_LENGTH"):
    print("key", len(os.environ["THE_KEY"]), flush=True)
"""
MPI: Dict[str, str] = {"sagemaker_mpi_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": "2"}
HOSTS = {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 10}


def channel(uri: str, **source: str) -> Dict[str, Any]:
    data = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated", **source}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": data}}


def run(sandbox: Sandbox, name: str, text: str = TRAIN, **fields: Any) -> None:
    """Submit a job, and wait for its end."""
    fields.setdefault("ResourceConfig", HOSTS)
    values = {**MPI, **fields.pop("HyperParameters", {})}
    request = script_request(sandbox, name, {"train.py": text}, HyperParameters=values, **fields)
    client(sandbox, "sagemaker").create_training_job(**request)
    sandbox.wait(name, 120)


def replay(sandbox: Sandbox, where: Path, *words: str) -> Ended:
    return hvdsm_command(sandbox, where, "jobs", "replay", *words, env={"XDG_CACHE_HOME": str(where / "cache")})


def test_a_failure_is_reproduced_with_a_sample(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    for number in range(20):
        put(emulated_sandbox, f"data/{number:02}.csv", b"1,2,3\n")
    put(emulated_sandbox, "data/labels.txt", b"x")
    sharded = channel("s3://bucket/data/", S3DataDistributionType="ShardedByS3Key")
    run(emulated_sandbox, "broken", HyperParameters={"fail": '""'}, InputDataConfig=[sharded])
    done = replay(emulated_sandbox, tmp_path, "broken", "--sample", "6", "--dry-run")
    assert done.code == 0 and "channel train: 6 objects, 31 bytes of 21, 121 bytes from s3://bucket/data/" in done.text, done.text
    assert not (tmp_path / "hvdsm-out").exists()
    done = replay(emulated_sandbox, tmp_path, "broken", "--sample", "6")
    assert done.code == 1, done.text
    assert "reproduced: it ended as broken did" in done.text and "the same exception: RuntimeError" in done.text
    found = re.findall(r"\[(\d),algo-\d\] rank \d of 4 has 3: (.*)", done.text)
    assert len(found) == 4 and len({names for _, names in found}) == 2 and any("labels.txt" in names for _, names in found)
    request = json.loads((tmp_path / "hvdsm-out" / "broken-replay" / "request.json").read_text())
    assert request["TrainingJobName"] == "broken-replay" and "TrainingJobArn" not in request
    # What was fetched is in the cache, and nothing of it lies among the results.
    assert sorted(path.name for path in (tmp_path / "hvdsm-out").iterdir()) == ["broken-replay"]
    before = sum(operation.startswith("s3:Get") or operation == "GetObject" for operation, _ in emulated_sandbox.requests)
    done = replay(emulated_sandbox, tmp_path, "broken", "--sample", "6", "--json")
    after = sum(operation.startswith("s3:Get") or operation == "GetObject" for operation, _ in emulated_sandbox.requests)
    assert (done.code, after) == (1, before) and "broken-replay-2" in done.text and '"verdict": "same"' in done.text


def test_what_succeeds_here_is_told(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    text = TRAIN.replace('"--fail" in sys.argv', "world.size == 4")
    run(emulated_sandbox, "sized", text)
    done = replay(emulated_sandbox, tmp_path, "sized", "--instance-count", "1")
    assert done.code == 0, done.text
    assert "not reproduced" in done.text and "1 of 2 hosts" in done.text
    done = replay(emulated_sandbox, tmp_path, "sized", "--processes-per-host", "1")
    assert done.code == 0 and "1 ranks on each host, in the cloud there were 2" in done.text, done.text


def test_secrets_and_checkpoints(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    arn = client(emulated_sandbox, "secretsmanager").create_secret(Name="key", SecretString="s3cr7")["ARN"]
    put(emulated_sandbox, "saved/state", b"x")
    values = {"sagemaker_hvdsm_secrets": json.dumps({"THE_KEY": arn})}
    checkpoint = {"S3Uri": "s3://bucket/saved", "LocalPath": "/opt/ml/checkpoints"}
    fields: Dict[str, Any] = {"HyperParameters": values, "Environment": {"API_KEY_LENGTH": "yes"}}
    run(emulated_sandbox, "secret", CheckpointConfig=checkpoint, **fields)
    done = replay(emulated_sandbox, tmp_path, "secret")
    assert done.code == 0, done.text
    assert "key 5" in done.text and "begins without checkpoints" in done.text and "your own credentials" in done.text
    assert "s3cr7" not in (tmp_path / "hvdsm-out" / "secret-replay" / "request.json").read_text()


def test_a_source_that_is_gone(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    run(emulated_sandbox, "gone")
    client(emulated_sandbox, "s3").delete_object(Bucket="bucket", Key="gone/source.tar.gz")
    done = replay(emulated_sandbox, tmp_path, "gone")
    assert done.code == 78 and "is not there any more" in done.text


def test_a_manifest_is_sampled(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    for number in range(10):
        put(emulated_sandbox, f"many/{number}.csv", b"12345")
    names = [f"{number}.csv" for number in range(10)]
    put(emulated_sandbox, "lists/all.manifest", json.dumps([{"prefix": "s3://bucket/many/"}, *names]).encode())
    run(emulated_sandbox, "listed", InputDataConfig=[channel("s3://bucket/lists/all.manifest", S3DataType="ManifestFile")])
    done = replay(emulated_sandbox, tmp_path, "listed", "--sample", "3")
    assert done.code == 0 and len(re.findall(r"rank \d of 4 has 3: ", done.text)) == 4, done.text


def test_data_of_ones_own(sandbox: Sandbox, tmp_path: Path) -> None:
    from hvdsm.emulator import probe

    if not probe().ok:
        pytest.skip(f"emulated hosts: {probe().reason}")
    sandbox.script("*", Script.failing("AlgorithmError: RuntimeError: x, exit code: 1"))
    system = {
        "FileSystemId": "fs-0123456789abcdef0",
        "FileSystemType": "EFS",
        "FileSystemAccessMode": "ro",
        "DirectoryPath": "/data",
    }
    vpc = {"Subnets": ["subnet-0a1b2c3d"], "SecurityGroupIds": ["sg-0a1b2c3d"]}
    shared = {"ChannelName": "train", "DataSource": {"FileSystemDataSource": system}}
    run(sandbox, "shared", InputDataConfig=[shared], VpcConfig=vpc, HyperParameters={"fail": '""'})
    done = replay(sandbox, tmp_path, "shared")
    assert done.code == 78 and "--channel train=PATH" in done.text, done.text
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("x")
    done = replay(sandbox, tmp_path, "shared", "--channel", "train=mine")
    assert done.code == 1 and "['a']" in done.text and "the same exception: RuntimeError" in done.text, done.text


def test_a_job_of_the_sdk_3(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    folder = Path(ROOT) / "tests" / "cluster"
    spec = importlib.util.spec_from_file_location("request_data", folder / "request_data.py")
    assert spec is not None and spec.loader is not None
    data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    bucket = data.make_s3(tmp_path) / data.BUCKET
    for path in bucket.rglob("*"):
        if path.is_file():
            put(emulated_sandbox, str(path.relative_to(bucket)), path.read_bytes(), bucket=data.BUCKET)
    request = json.loads((data.REQUESTS / "trainer-inputs.json").read_text())
    client(emulated_sandbox, "sagemaker").create_training_job(**request)
    emulated_sandbox.wait("trainer-inputs", 120)
    # The code and its drivers come whole, and every host gets its part of what is divided.
    done = replay(emulated_sandbox, tmp_path, "trainer-inputs", "--sample", "1")
    assert done.code == 0, done.text
    assert "channel code: all 4 objects" in done.text and "channel sm_drivers: all 3 objects" in done.text
    # Both are below one prefix, and what the one has the other has.
    assert "channel train: 2 objects" in done.text and "channel shard: 2 objects" in done.text
    assert "1 of its objects are there because another channel has them, too" in done.text
    hosts = [json.loads(line.partition("FOUND ")[2])["channels"] for line in done.lines if "FOUND " in line]
    assert [len(host["train"]) for host in hosts] == [2, 2] and [len(host["shard"]) for host in hosts] == [1, 1]
    assert [len(host["m"]) for host in hosts] == [1, 1] and "reproduced: " in done.text


def commands() -> List[List[str]]:
    """The commands of docs/jobs.md, in their order."""
    text = (Path(ROOT) / "docs" / "jobs.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("hvdsm ")]


def test_the_commands_of_the_documentation(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    put(emulated_sandbox, "data/a.csv", b"1,2,3\n")
    run(emulated_sandbox, "digits", InputDataConfig=[channel("s3://bucket/data/")])
    (tmp_path / "train.py").write_text(TRAIN)
    shown = commands()
    assert len(shown) > 15
    for words in shown:
        done = hvdsm_command(emulated_sandbox, tmp_path, *words[1:], env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
        assert done.code == 0, (words, done.text)
