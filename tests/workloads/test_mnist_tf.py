"""The TensorFlow example on two emulated hosts with two ranks each: killed in the middle, started again, its model loaded."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import pytest

pytestmark = [pytest.mark.examples, pytest.mark.cluster, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mnist_tf_horovod"
# The accuracy that the README states for the digits of scikit-learn.
ACCURACY = 0.95
KILL_AT = 8
# Gives each rank places of its own, on one host as on several: what is not rank 0's shows who else has written.
OWN_PLACES = """
import os, runpy
rank = os.environ["OMPI_COMM_WORLD_RANK"]
for name, place in (("MODEL", "model"), ("OUTPUT", "output/data"), ("CHECKPOINT", "checkpoints")):
    os.environ["SM_" + name + "_DIR"] = f"/opt/ml/{place}/of-rank-{rank}"
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "train.py"), run_name="__main__")
"""
# A model server's part: no Horovod, no Keras object, the signature by its names.  JSON numbers arrive as float32 there.
SERVE = """
import json, sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
serve = model.signatures["serving_default"]
with np.load(sys.argv[2]) as arrays:
    data, labels = arrays["data"], arrays["labels"]
answer = serve(images=tf.constant(data[..., None].astype("float32")))
probabilities, digits = answer["probabilities"].numpy(), answer["digits"].numpy()
print(json.dumps({
    "inputs": {name: [str(spec.dtype.name), list(spec.shape)] for name, spec in serve.structured_input_signature[1].items()},
    "outputs": sorted(serve.structured_outputs),
    "loss": float(-np.log(probabilities[np.arange(len(labels)), labels]).mean()),
    "accuracy": float((digits == labels).mean()),
    "agree": bool((probabilities.argmax(axis=1) == digits).all()),
    "sums": float(np.abs(probabilities.sum(axis=1) - 1).max()),
    "horovod": "horovod" in sys.modules,
}))
"""


@dataclass(frozen=True)
class Run:
    """A finished ``hvdsm launch``: exit code, its lines, and the directory of its results."""

    code: int
    lines: List[str]
    results: Path

    @property
    def shown(self) -> str:
        return "\n".join(self.lines)

    @property
    def outcome(self) -> Dict[str, object]:
        return dict(json.loads((self.results / "outcome.json").read_text(encoding="utf-8")))

    def found(self, pattern: str) -> List[str]:
        return re.findall(pattern, self.shown, re.MULTILINE)


def environment() -> Dict[str, str]:
    """The variables of a command in an activated environment."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": paths, "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])}


def rank_process(mark: str, rank: int) -> int:
    """The process of a rank of the job with a mark in its environment: the one that has the script's own words."""
    wanted = {f"MARK={mark}".encode(), f"OMPI_COMM_WORLD_RANK={rank}".encode()}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            variables = set(Path(f"/proc/{name}/environ").read_bytes().split(b"\0"))
            loaded = Path(f"/proc/{name}/maps").read_text()
        except OSError:
            continue  # it has ended, or is another user's
        if wanted <= variables and "libtensorflow" in loaded:
            return int(name)
    raise LookupError(f"no process of rank {rank} of the job {mark}")


def launch(output: Path, words: Sequence[str], kill: Optional[Tuple[str, int]] = None) -> Run:
    """Run ``hvdsm launch`` on 2 x 2 ranks; with ``kill``, SIGKILL to a rank as soon as a text is shown."""
    mark = uuid.uuid4().hex
    command = [
        sys.executable, "-m", "hvdsm", "launch", "--hosts", "namespaces", "--instance-count", "2", "--processes-per-host", "2",
        "--env", f"MARK={mark}", "--output", str(output), "--job-name", "digits", *words,
    ]  # fmt: skip
    lines = []
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if kill and kill[0] in line:
                os.kill(rank_process(mark, kill[1]), signal.SIGKILL)
                kill = None
    return Run(process.wait(), lines, output / "digits")


@pytest.fixture(scope="module")
def place(emulated_hosts: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the source, and the digits as prepare.py makes them."""
    for package in ("tensorflow", "horovod", "sklearn"):
        pytest.importorskip(package, reason=f"{package} is not installed: run make setup")
    place = tmp_path_factory.mktemp("mnist-tf")
    (place / "source").mkdir()
    shutil.copy(EXAMPLE / "train.py", place / "source")
    (place / "source" / "own_places.py").write_text(OWN_PLACES)
    subprocess.run([sys.executable, EXAMPLE / "prepare.py", "--digits", "--local", place / "data"], check=True)
    return place


def words(place: Path, epochs: int, *more: str) -> List[str]:
    data = place / "data"
    return [
        "--checkpoint", str(place / "checkpoints"), "--channel", f"train={data / 'train'}", "--channel", f"test={data / 'test'}",
        "--hp", f"epochs={epochs}", "--hp", "check-replicas=true", *more, "--source-dir", str(place / "source"), "own_places.py",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def runs(place: Path) -> Iterator[Tuple[Run, Run]]:
    """A run that loses rank 2 in the middle of training, and the run after it, with the same checkpoints."""
    # More epochs than anyone waits for: it is killed while it trains.
    killed = launch(place / "killed", words(place, 100_000), (f"checkpoint: epoch {KILL_AT}", 2))
    written = max(int(name) for name in killed.found(r"checkpoint: epoch (\d+)$"))
    sdk = ("--hp", "model_dir=s3://bucket/job/model", "--hp", "some_setting=7")
    yield killed, launch(place / "again", words(place, max(written + 3, 15), *sdk))


def test_the_killed_rank_ends_the_job(runs: Tuple[Run, Run]) -> None:
    killed, _ = runs
    assert killed.code == 137, killed.shown
    failure = killed.outcome["failure"]
    assert isinstance(failure, dict) and (failure["rank"], failure["host"], failure["signal"]) == (2, "algo-2", 9), failure
    assert not killed.found("model saved") and not (killed.results / "model").exists()


def test_the_epochs_go_on_where_they_were(runs: Tuple[Run, Run], place: Path) -> None:
    killed, again = runs
    assert again.code == 0, again.shown
    written = [int(number) for number in killed.found(r"checkpoint: epoch (\d+)$")]
    assert written[:KILL_AT] == list(range(1, KILL_AT + 1))
    resumed = [int(number) for number in again.found(r"resumed from epoch (\d+): ")]
    # The last checkpoint may have been complete, but not yet told, when the kill came.
    assert len(resumed) == 1 and resumed[0] in (written[-1], written[-1] + 1)
    last = max(written[-1] + 3, 15)
    assert [int(number) for number in again.found(r"epoch (\d+) of \d+: loss")] == list(range(resumed[0] + 1, last + 1))
    first = float(killed.found(r"epoch 1 of \d+: loss (\d+\.\d+)")[0])
    assert float(again.found(r"epoch \d+ of \d+: loss (\d+\.\d+)")[0]) < first / 2
    history = json.loads((again.results / "output" / "data" / "of-rank-0" / "data" / "history.json").read_text())
    assert [entry["epoch"] for entry in history["epochs"]] == list(range(resumed[0] + 1, last + 1))


def test_replicas_are_equal(runs: Tuple[Run, Run]) -> None:
    digests = dict(re.findall(r"rank (\d) weights: ([0-9a-f]{16})$", runs[1].shown, re.MULTILINE))
    assert sorted(digests) == ["0", "1", "2", "3"] and len(set(digests.values())) == 1
    for rank, host, samples in ((0, 1, 360), (1, 1, 359), (2, 2, 359), (3, 2, 359)):
        assert f"rank {rank} of 4 on algo-{host}: {samples} samples, 12 steps per epoch" in runs[1].shown


def test_rank_0_alone_writes(runs: Tuple[Run, Run], place: Path) -> None:
    _, again = runs
    assert os.listdir(again.results / "model") == ["of-rank-0"]
    assert os.listdir(again.results / "output" / "data") == ["of-rank-0"]
    assert os.listdir(place / "checkpoints") == ["of-rank-0"]
    assert sorted(os.listdir(again.results / "model" / "of-rank-0" / "1")) == [
        "assets", "fingerprint.pb", "saved_model.pb", "variables",
    ]  # fmt: skip
    for what in ("model saved", "resumed from", "checkpoint: epoch", "Test accuracy", "ignored"):
        assert again.found(rf"^\[\d,algo-\d\] .*{what}") and not again.found(rf"^\[[1-9],algo-\d\] .*{what}")


def test_arguments_of_others_are_ignored_and_an_s3_model_dir_means_the_default(runs: Tuple[Run, Run]) -> None:
    shown = runs[1].shown
    assert "arguments that mean nothing here are ignored: --some_setting 7" in shown
    own = "/opt/ml/model/of-rank-0"
    assert f"--model-dir s3://bucket/job/model is not a local directory: saving to {own}" in shown
    assert f"model saved: {own}/1" in shown


def test_the_model_predicts_by_its_signature_as_it_was_tested(runs: Tuple[Run, Run], place: Path) -> None:
    _, again = runs
    done = subprocess.run(
        [
            sys.executable, "-c", SERVE, str(again.results / "model" / "of-rank-0" / "1"),
            str(place / "data" / "test" / "test.npz"),
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    served = json.loads(done.stdout.splitlines()[-1])
    assert served["inputs"] == {"images": ["float32", [None, 8, 8, 1]]}
    assert served["outputs"] == ["digits", "probabilities"]
    assert served["agree"] and served["sums"] < 1e-5 and not served["horovod"]
    assert served["accuracy"] == pytest.approx(float(again.found(r"Test accuracy: (\d\.\d{4})$")[0]), abs=6e-5)
    assert served["loss"] == pytest.approx(float(again.found(r"Test loss: (\d+\.\d{4})$")[0]), abs=1e-3)
    assert served["accuracy"] >= ACCURACY


def test_the_readme_states_that_accuracy() -> None:
    assert f"at least {ACCURACY:.2f}" in (EXAMPLE / "README.md").read_text(encoding="utf-8")
