"""The training examples under bare mpirun: two ranks, each with directories of its own, as on two hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

# A training waits for its slowest rank in each step: on a busy machine it takes many times its time.
pytestmark = [pytest.mark.examples, pytest.mark.timeout(900)]

RESUMING = ["mnist_torch_horovod", "mnist_tf_horovod"]
NAMES = [*RESUMING, "ddp_torch"]
MODEL_FILES = {"mnist_torch_horovod": "model.pt", "mnist_tf_horovod": "1/saved_model.pb", "ddp_torch": "model.pt"}

# Loads the saved model in a new process, without Horovod, and prints its accuracy on the examples' own test set.
PREDICT_TORCH = """
import runpy, sys, torch
names = runpy.run_path(sys.argv[1], run_name="example")
_, _, x, y = names["load_data"](None, None)
with torch.no_grad():
    print((names["model_fn"](sys.argv[2])(torch.from_numpy(x[:, None])).argmax(1).numpy() == y).mean())
"""
PREDICT_TF = """
import runpy, sys
import tensorflow as tf
_, _, x, y = runpy.run_path(sys.argv[1], run_name="example")["load_data"](None, None)
serve = tf.saved_model.load(sys.argv[2] + "/1").signatures["serving_default"]
answer = serve(images=tf.constant(x[..., None]))
assert answer["probabilities"].shape == (360, 10)
print((answer["digits"].numpy() == y).mean())
"""


def accuracy(output: str) -> float:
    """The accuracy in the line ``test accuracy: 0.9712``."""
    found = re.findall(r"^[Tt]est accuracy: (\d\.\d{4})$", output, re.MULTILINE)
    assert len(found) == 1, output
    return float(found[0])


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def path(script: Callable[[str], Path], name: str) -> Path:
    return script(name)


@pytest.fixture(scope="module")
def trained(path: Path, mpi: Callable[..., Any]) -> Any:
    """One whole training with the default options."""
    run = mpi(path, "--check-replicas")
    assert run.code == 0, run.report
    return run


def test_it_learns(trained: Any) -> None:
    assert accuracy(trained.stdout[0]) >= 0.95


def test_each_rank_has_its_own_part(trained: Any) -> None:
    assert "rank 0 of 2 on algo-1: 719 samples, 23 steps per epoch, cpu\n" in trained.stdout[0]
    assert "rank 1 of 2 on algo-2: 718 samples, 23 steps per epoch, cpu\n" in trained.stdout[1]


def test_replicas_are_equal(trained: Any) -> None:
    digests = [re.search(rf"^rank {rank} weights: ([0-9a-f]{{16}})$", trained.stdout[rank], re.MULTILINE) for rank in (0, 1)]
    assert digests[0] and digests[1], trained.report
    assert digests[0][1] == digests[1][1]


def test_only_rank_0_writes_and_reports(trained: Any, name: str) -> None:
    model = trained.rank_dirs / "0" / "model"
    assert (model / MODEL_FILES[name]).is_file()
    saved = model / MODEL_FILES[name].split("/")[0]
    assert trained.stdout[0].endswith(f"model saved: {saved}\n")
    assert not (trained.rank_dirs / "1").exists()
    assert [entry.name for entry in model.iterdir()] == [saved.name]
    assert re.sub(r"^rank 1 .*\n", "", trained.stdout[1], flags=re.MULTILINE) == ""


def test_saved_model_predicts_as_trained(trained: Any, path: Path, name: str, plain_environment: Dict[str, str]) -> None:
    code = PREDICT_TF if name == "mnist_tf_horovod" else PREDICT_TORCH
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(trained.rank_dirs / "0" / "model")],
        capture_output=True, text=True, env=plain_environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(accuracy(trained.stdout[0]), abs=1e-4)


@pytest.mark.parametrize("name", RESUMING, indirect=True, scope="module")
def test_it_resumes_after_a_kill(path: Path, mpi: Callable[..., Any]) -> None:
    killed = mpi(path, "--epochs", "100000", kill_at="checkpoint: epoch 3")
    assert killed.code != 0
    written = int(re.findall(r"^checkpoint: epoch (\d+)$", killed.stdout[0], re.MULTILINE)[-1])
    again = mpi(path, "--epochs", str(written + 3), "--check-replicas", rank_dirs=killed.rank_dirs)
    assert again.code == 0, again.report
    resumed = re.search(r"^resumed from epoch (\d+): ", again.stdout[0], re.MULTILINE)
    assert resumed, again.report
    epoch = int(resumed[1])
    assert epoch in (written, written + 1)  # the last one may have been written, but not yet told, when the kill came
    first_loss = r"epoch {} of \d+: loss (\d+\.\d+)"
    assert [int(number) for number in re.findall(r"^epoch (\d+) of", again.stdout[0], re.MULTILINE)] == list(
        range(epoch + 1, written + 4)
    )
    before, after = (re.search(first_loss.format(number), run.stdout[0]) for number, run in ((1, killed), (epoch + 1, again)))
    assert before and after and float(after[1]) < float(before[1]) / 2, again.report
    assert not (again.rank_dirs / "1").exists()


@pytest.mark.parametrize("name", RESUMING, indirect=True, scope="module")
def test_finished_checkpoint_needs_no_training(path: Path, mpi: Callable[..., Any], trained: Any) -> None:
    again = mpi(path, rank_dirs=trained.rank_dirs, ranks=1)
    assert again.code == 0, again.report
    assert "resumed from epoch 15: " in again.stdout[0]
    assert accuracy(again.stdout[0]) == accuracy(trained.stdout[0])


def test_mnist_sized_channels_and_s3_model_dir(path: Path, name: str, mpi: Callable[..., Any], tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    large = np.pad(np.kron(digits.images, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2))).astype(np.uint8) * 15
    for channel, chosen in (("train", slice(0, 401)), ("test", slice(401, 504))):
        (tmp_path / channel).mkdir()
        np.savez(tmp_path / channel / f"{channel}.npz", data=large[chosen], labels=digits.target[chosen])
    channels = {f"SM_CHANNEL_{channel.upper()}": str(tmp_path / channel) for channel in ("train", "test")}
    run = mpi(path, "--epochs", "2", "--model_dir", "s3://bucket/job/model", env=channels)
    assert run.code == 0, run.report
    assert f"data: 401 training and 103 test images, 28x28, 10 classes, from {tmp_path / 'train'}\n" in run.stdout[0]
    assert ": 201 samples, 7 steps" in run.stdout[0] and ": 200 samples, 7 steps" in run.stdout[1]
    model = run.rank_dirs / "0" / "model"
    assert f"--model-dir s3://bucket/job/model is not a local directory: saving to {model}\n" in run.stdout[0]
    assert (model / MODEL_FILES[name]).is_file()


def test_ddp_runs_as_a_single_process(script: Callable[[str], Path], plain_environment: Dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script("ddp_torch"))], cwd=tmp_path, capture_output=True, text=True,
        env={**plain_environment, "SM_CURRENT_HOST": "algo-1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rank 0 of 1 on algo-1: 1437 samples, 45 steps per epoch, cpu\n" in done.stdout
    assert accuracy(done.stdout) >= 0.95
    assert (tmp_path / "model" / "model.pt").is_file()


def test_more_ranks_than_samples_is_refused(path: Path, mpi: Callable[..., Any], tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    np.savez(tmp_path / "train.npz", data=np.ones((2, 8, 8)), labels=np.arange(2))
    run = mpi(path, "--train", str(tmp_path))
    assert run.code == 1, run.report
    assert "1 training samples are too few for 2 ranks" in run.report
