"""The Lightning example on this machine alone, without SageMaker, with its events on a local directory or on S3."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import boto3
import pytest
from lightning_support import APP, EXAMPLE, SMALL, arguments, environment, train

from hvdsm.sandbox import Sandbox

pytest.importorskip("lightning")
pytest.importorskip("sklearn")
pytestmark = [pytest.mark.examples, pytest.mark.timeout(600)]

TINY = {**SMALL, "model.width": "4", "data.data_dir": ".cache", "logger.name": "tutorial"}
# TensorBoard reads S3 by boto3 itself, unless TensorFlow is installed; `notf` has it do without.
READ = """
import sys, types
sys.modules["tensorboard.compat.notf"] = types.ModuleType("tensorboard.compat.notf")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
for name in sorted(events.Tags()["scalars"]):
    print(name, *(event.step for event in events.Scalars(name)))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with the digits in .cache."""
    subprocess.run([sys.executable, str(EXAMPLE / "make_digits.py"), str(tmp_path / ".cache")], env=environment(), check=True)
    return tmp_path


@pytest.fixture(scope="module")
def s3() -> Iterator[Dict[str, str]]:
    """Variables by which boto3 finds an S3 with the bucket ``my-bucket``."""
    with Sandbox.start() as sandbox:
        env = {name: value for name, value in sandbox.client_environment(environment()).items() if name.startswith("AWS_")}
        client(env).create_bucket(Bucket="my-bucket")
        yield env


def client(env: Dict[str, str]) -> Any:
    """A client of S3."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=env.get("AWS_SESSION_TOKEN"),
    )


def keys(env: Dict[str, str], prefix: str) -> List[str]:
    """Keys below a prefix."""
    return [entry["Key"] for entry in client(env).list_objects_v2(Bucket="my-bucket", Prefix=prefix).get("Contents", ())]


def scalars(place: str, env: Dict[str, str]) -> Dict[str, List[int]]:
    """Steps of all curves of a run, as TensorBoard reads them."""
    done = subprocess.run([sys.executable, "-c", READ, place], env=environment(env), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: [int(step) for step in line.split()[1:]] for line in done.stdout.splitlines()}


def test_two_processes_then_one_that_goes_on(place: Path) -> None:
    first = train(place, {**TINY, "trainer.devices": "2", "trainer.max_epochs": "2"}, "--trainer.weights_save_path=kept")
    assert first.code == 0, first.output
    assert [(rank, world, local) for rank, world, _, local, _, _ in first.places] == [("0", "2", "0"), ("1", "2", "1")]
    assert len(first.digests) == 2 and len(set(first.digests.values())) == 1
    assert first.epochs == [1, 2]
    assert first.output.count("--trainer.weights_save_path is gone from Lightning 2; taken as --checkpoint.dirpath") == 1
    assert (place / "kept" / "last.ckpt").is_file()
    assert (place / "logs" / "model" / "model.pt").is_file()

    second = train(
        place,
        {**TINY, "trainer.devices": "-1", "trainer.max_epochs": "3", "checkpoint.dirpath": "kept", "logger.version": "again"},
    )
    assert second.code == 0, second.output
    assert "trainer.devices=-1 means all GPUs; on the CPU it is 1 process" in second.output
    assert f"resumed from {place}/kept/last.ckpt: epoch 2 is done, step 36\n" in second.output
    assert second.epochs == [3]
    curves = scalars(str(place / "logs" / "tensorboard" / "tutorial" / "again"), {})
    assert curves["val_acc"] == [71]  # 18 steps of two processes in each of two epochs, then 36 of one
    assert curves["lr-Adam"] and curves["test_acc"]

    anew = train(
        place, {**TINY, "trainer.max_epochs": "1", "trainer.devices": "1", "checkpoint.dirpath": "kept", "resume": "never"}
    )
    assert anew.code == 0, anew.output
    assert anew.epochs == [1]


def test_events_on_s3(place: Path, s3: Dict[str, str]) -> None:
    options = {**TINY, "trainer.max_epochs": "2", "trainer.devices": "2", "trainer.log_every_n_steps": "6"}
    options.update({"logger.save_dir": "s3://my-bucket/tensorboard/", "logger.flush_secs": "1"})
    for version in (0, 1):
        run = train(place, {**options, "resume": "never"}, env=s3)
        assert run.code == 0, run.output
        found = keys(s3, f"tensorboard/tutorial/version_{version}/")
        assert sorted(key.rpartition("/")[2].split(".")[0] for key in found) == ["config", "events", "hparams"], found
        curves = scalars(f"s3://my-bucket/tensorboard/tutorial/version_{version}", s3)
        assert curves["train_loss"] == [5, 11, 17, 23, 29, 35]
        assert curves["val_loss"] == [17, 35] and curves["test_acc"] == [36]
    assert not (place / "logs" / "tensorboard").exists()


def test_events_of_a_killed_training_are_on_s3(place: Path, s3: Dict[str, str]) -> None:
    options = {**TINY, "trainer.max_epochs": "100000", "trainer.devices": "1", "trainer.log_every_n_steps": "1"}
    options.update({"logger.save_dir": "s3://my-bucket/killed", "logger.flush_secs": "0.2"})
    command = [sys.executable, str(APP / "train.py"), *arguments(options)]
    with subprocess.Popen(
        command,
        cwd=place,
        env=environment(s3),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if line.startswith("epoch ") and keys(s3, "killed/"):
                    break
        finally:
            process.send_signal(signal.SIGKILL)
    assert keys(s3, "killed/"), "".join(lines)
    assert scalars("s3://my-bucket/killed/tutorial/version_0", s3)["train_loss"]


def test_sigterm_ends_it_at_once_and_events_are_complete(place: Path, s3: Dict[str, str]) -> None:
    options = {**TINY, "trainer.max_epochs": "100000", "trainer.devices": "2"}
    options.update({"logger.save_dir": "s3://my-bucket/stopped", "logger.flush_secs": "3600"})
    command = [sys.executable, str(APP / "train.py"), *arguments(options)]
    with subprocess.Popen(
        command,
        cwd=place,
        env=environment(s3),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:  # ends when both processes have
            lines.append(line)
            if line.startswith("epoch 3 of"):
                os.kill(process.pid, signal.SIGTERM)
        code = process.wait()
    assert code == 128 + signal.SIGTERM, "".join(lines)
    assert len(scalars("s3://my-bucket/stopped/tutorial/version_0", s3)["val_loss"]) >= 3


def test_a_bucket_that_is_not_there_is_told_before_training(place: Path, s3: Dict[str, str]) -> None:
    run = train(place, {**TINY, "trainer.devices": "1", "logger.save_dir": "s3://no-such-bucket/tensorboard"}, env=s3)
    assert run.code == 1
    assert "train.py: logger.save_dir=s3://no-such-bucket/tensorboard is not reached: " in run.output
    assert "NoSuchBucket" in run.output and "epoch" not in run.output


def test_upload_script(place: Path, s3: Dict[str, str]) -> None:
    script = str(EXAMPLE / "upload-cifar-10.sh")
    archive = (place / ".cache" / "cifar-10-python.tar.gz").read_bytes()

    def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", script, *words],
            cwd=place,
            env=environment({**s3, "PYTHON": sys.executable, **env}),
            capture_output=True,
            text=True,
        )

    other = run("s3://my-bucket/datasets/cifar-10")
    assert other.returncode == 1 and "expected c58f30108f718f92721af3b95e74349a" in other.stderr
    assert keys(s3, "datasets/") == []
    (place / "kept.tar.gz").write_bytes(archive)
    (place / ".cache" / "cifar-10-python.tar.gz").unlink()
    done = run("s3://my-bucket/datasets/cifar-10/", CIFAR10_URL=(place / "kept.tar.gz").as_uri(), CIFAR10_MD5="")
    assert done.returncode == 0, done.stderr
    assert keys(s3, "datasets/") == ["datasets/cifar-10/cifar-10-python.tar.gz"]
    got = client(s3).get_object(Bucket="my-bucket", Key="datasets/cifar-10/cifar-10-python.tar.gz")["Body"].read()
    assert got == archive == (place / ".cache" / "cifar-10-python.tar.gz").read_bytes()
    assert run().returncode == 2
