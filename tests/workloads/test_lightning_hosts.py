"""The Lightning example on two emulated hosts with two processes each: by mpirun, by torchrun, and without a launcher."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Tuple

import pytest
from lightning_support import APP, EXAMPLE, SMALL, Ran, environment, launch

pytest.importorskip("lightning")
pytest.importorskip("sklearn")
pytestmark = [pytest.mark.cluster, pytest.mark.examples, pytest.mark.timeout(600)]

EPOCHS = {
    **SMALL,
    "trainer.max_epochs": "8",
    "trainer.devices": "-1",
    "lr_scheduler": "CosineAnnealingLR",
    "lr_scheduler.T_max": "8",
}
PLACES = [("0", "4", "algo-1", "0", "0", "2"), ("1", "4", "algo-1", "1", "0", "2")]
PLACES += [("2", "4", "algo-2", "0", "1", "2"), ("3", "4", "algo-2", "1", "1", "2")]
LEAST = 0.97  # of the 360 digits that were held out

# Loads model.pt without Lightning, in a new process, and counts what it gets right.
PREDICT = """
import sys
sys.path.insert(0, sys.argv[1])
import checkpoints, cifar_files, torch
data = cifar_files.load(sys.argv[2]).test
with torch.no_grad():
    answers = checkpoints.model_fn(sys.argv[3])(torch.from_numpy(data.images)).argmax(1).numpy()
print((answers == data.labels).mean())
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("digits")
    subprocess.run([sys.executable, str(EXAMPLE / "make_digits.py"), str(place)], env=environment(), check=True)
    return place


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, digits: Path, emulated_hosts: None) -> Tuple[Ran, Path]:
    """A job by mpirun of which rank 3 is killed in its fourth epoch, and its checkpoints."""
    place = tmp_path_factory.mktemp("killed")
    words = ["--distribution", "mpi", "--checkpoint", str(place / "checkpoints"), "--job-name", "killed"]
    return launch(place, digits, EPOCHS, *words, kill=("epoch 3 of 8", 3)), place


@pytest.fixture(scope="module")
def resumed(killed: Tuple[Ran, Path], digits: Path) -> Ran:
    """The job that goes on from there, on new hosts."""
    place = killed[1]
    words = ["--distribution", "mpi", "--checkpoint", str(place / "checkpoints"), "--job-name", "resumed"]
    return launch(place, digits, EPOCHS, *words)


@pytest.fixture(scope="module")
def torchrun(tmp_path_factory: pytest.TempPathFactory, digits: Path, emulated_hosts: None) -> Tuple[Ran, Path]:
    """A whole job by torchrun."""
    place = tmp_path_factory.mktemp("torchrun")
    return launch(place, digits, EPOCHS, "--distribution", "torch_distributed", "--job-name", "whole"), place / "whole"


def test_a_killed_rank_ends_the_job_and_leaves_checkpoints(killed: Tuple[Ran, Path]) -> None:
    run, place = killed
    assert run.code == 137, run.output
    assert run.places == PLACES
    names = {path.name.split("-")[0] for path in (place / "checkpoints").iterdir() if not path.name.startswith(".")}
    assert "last.ckpt" in names and any(name.startswith("epoch=") for name in names), names
    assert not list((place / "killed" / "model").glob("*"))


def test_the_next_job_goes_on_with_the_next_epoch(killed: Tuple[Ran, Path], resumed: Ran) -> None:
    assert resumed.code == 0, resumed.output
    ((told, step),) = resumed.found(r"resumed from /opt/ml/checkpoints/last.ckpt: epoch (\d+) is done, step (\d+)$")
    done = int(told)
    # The kill came when the epoch was told; its checkpoint may have been whole by then.
    assert done in (max(killed[0].epochs) - 1, max(killed[0].epochs)), resumed.output
    assert int(step) == done * 9  # 1150 images, 4 ranks, 32 a step
    assert resumed.epochs == list(range(done + 1, 9))


def test_it_goes_on_as_it_would_have(resumed: Ran, torchrun: Tuple[Ran, Path]) -> None:
    """Optimizer, schedule, order and augmentation are those of a job that nobody killed; sums differ in their last digits."""
    first = resumed.epochs[0]
    pattern = rf"epoch {first} of 8: train_loss (\d+\.\d+)"
    ((after,),), ((whole,),) = resumed.found(pattern), torchrun[0].found(pattern)
    assert float(after) == pytest.approx(float(whole), rel=0.1)


@pytest.mark.parametrize("way", ["mpirun", "torchrun"])
def test_ranks_replicas_and_accuracy(way: str, resumed: Ran, torchrun: Tuple[Ran, Path]) -> None:
    run = resumed if way == "mpirun" else torchrun[0]
    assert run.code == 0, run.output
    assert run.places == PLACES
    assert sorted(run.digests) == [0, 1, 2, 3]
    assert len(set(run.digests.values())) == 1
    assert run.accuracy >= LEAST, run.output
    assert run.found(
        r"^\[0,algo-1\] data: 1150 / 287 / 360 images to train / validate / test, from (/opt/ml/input/data/training/\S+)$"
    )


@pytest.mark.parametrize("way", ["mpirun", "torchrun"])
def test_only_rank_0_writes(way: str, killed: Tuple[Ran, Path], resumed: Ran, torchrun: Tuple[Ran, Path]) -> None:
    """Each host has an /opt/ml of its own: what other hosts wrote would be beside."""
    place = killed[1] / "resumed" if way == "mpirun" else torchrun[1]
    assert [path.name for path in (place / "model").iterdir()] == ["model.pt"]
    outputs = sorted(path.relative_to(place / "output") for path in (place / "output").rglob("*") if path.is_file())
    assert {str(path.parent) for path in outputs} == {".", "data/tensorboard/lightning_cifar/version_0"}
    assert [path.name for path in outputs if "tfevents" in path.name and "algo-1" not in path.name] == []
    (run,) = [resumed] if way == "mpirun" else [torchrun[0]]
    assert len(run.found(r"^(\[\d,algo-\d\] model saved: /opt/ml/model/model.pt) ")) == 1
    assert run.found(r"^(\[0,algo-1\]) model saved: ")


@pytest.mark.parametrize("way", ["mpirun", "torchrun"])
def test_the_model_is_loaded_again(
    way: str, killed: Tuple[Ran, Path], resumed: Ran, torchrun: Tuple[Ran, Path], digits: Path
) -> None:
    run, place = (resumed, killed[1] / "resumed") if way == "mpirun" else torchrun
    command = [sys.executable, "-c", PREDICT, str(APP), str(digits), str(place / "model")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(run.accuracy, abs=1e-4)


def test_hosts_without_a_launcher_find_each_other(tmp_path: Path, digits: Path, emulated_hosts: None) -> None:
    """One plain process on each host; Lightning starts the second one of each."""
    options = {**SMALL, "model.width": "4", "trainer.max_epochs": "1", "trainer.devices": "2"}
    run = launch(tmp_path, digits, options, "--distribution", "none", "--job-name", "plain", processes=1)
    assert run.code == 0, run.output
    assert run.places == PLACES
    assert len(set(run.digests.values())) == 1 and len(run.digests) == 4
    assert [path.name for path in (tmp_path / "plain" / "model").iterdir()] == ["model.pt"]


def test_the_commands_of_the_readme(tmp_path: Path, digits: Path, emulated_hosts: None) -> None:
    text = (EXAMPLE / "README.md").read_text().replace("\\\n", " ")
    commands = [line for line in re.findall(r"^hvdsm launch .*$", text, re.MULTILINE) if "--backend sagemaker" not in line]
    assert commands
    (tmp_path / ".cache").symlink_to(digits)
    (tmp_path / "examples").symlink_to(EXAMPLE.parent)
    for command in commands:
        words = [sys.executable, "-m", "hvdsm", *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ran = Ran(done.returncode, done.stdout)
        assert ran.code == 0, ran.output
        assert ran.accuracy >= LEAST
