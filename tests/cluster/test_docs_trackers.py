"""The recipes of docs/trackers.md on two emulated hosts with two processes each: exactly one run, with every step's metrics.

A tracker that is not installed is skipped by name; its recipe must parse all the same.
"""

from __future__ import annotations

import importlib.util
import json
import re
import struct
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Set

import pytest
from launching import ROOT, Launched, launch

from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = pytest.mark.cluster
needs_hosts = pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}")
PAGE = (Path(ROOT) / "docs" / "trackers.md").read_text()
BLOCKS = re.findall(r"^```py\n# src/(\w+\.py)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SCRIPT = next(text for name, text in BLOCKS if name == "train.py")
# The package that a recipe needs, and the recipe.
RECIPES = {
    package: next(text for name, text in BLOCKS if name == "tracker.py" and package in text)
    for package in ("tensorboard", "mlflow", "wandb")
}
TRACKERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not in this environment: make test-trackers"
        ),
    )
    for name in RECIPES
]
needs_tensorboard = pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
STEPS = 8
# No server is reached from here: empty or offline, whatever the shell that runs the tests has.
ALONE = ("--env", "MLFLOW_TRACKING_URI=", "--env", "MLFLOW_EXPERIMENT_NAME=", "--env", "WANDB_MODE=offline")
LAST = "        hvdsm.progress(step)\n"
FAILING = '        if step == 4 and env.rank == 3 and env.restart_count == 0:\n            raise RuntimeError("once")\n'
# Rank 0 of the first run stops at a step, until the hosts are taken away.
BEGAN = """import os, time
began = os.path.join("/opt/ml/checkpoints", "began-" + os.environ["RANK"])
first_run = not os.path.exists(began)
open(began, "a").close()
"""
STOPPING = "        if step == 4 and first_run and env.is_rank_zero:\n            time.sleep(600)\n"


def expected() -> Dict[int, float]:
    """The loss of every step on four ranks."""
    found, weight = {}, 0.0
    for step in range(STEPS):
        errors = [((weight - 3.0) * x, x) for x in (1.0, 2.0, 3.0, 4.0)]
        found[step] = sum(error**2 for error, _ in errors) / 4
        weight -= 0.02 * sum(2 * error * x for error, x in errors) / 4
    return found


def ran(
    tmp_path: Path, tracker: str, *words: str, script: str = SCRIPT, env: Optional[Mapping[str, str]] = None, without: bool = True
) -> Launched:
    """Run the script with a recipe; ``without`` TensorFlow, as in most images with torch, tensorboard starts sooner."""
    source = tmp_path / "src"
    source.mkdir(exist_ok=True)
    if without:
        (source / "tensorflow.py").write_text('raise ImportError("no TensorFlow here")\n')
    (source / "train.py").write_text(script)
    (source / "tracker.py").write_text(RECIPES[tracker])
    size = ("--instance-count", "2", "--processes-per-host", "2")
    done = launch(tmp_path / "out", *size, *ALONE, *words, "--source-dir", str(source), "train.py", env=env)
    assert done.code == 0, done.output.decode()
    return done


def runs_of(tracker: str, place: Path) -> Dict[str, List[Dict[int, float]]]:
    """The losses by step that each run has: its name, and a mapping for each of its parts, in order."""
    readers = {"tensorboard": tensorboard_runs, "mlflow": mlflow_runs, "wandb": wandb_runs}
    return readers[tracker](place)


def tensorboard_runs(place: Path) -> Dict[str, List[Dict[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Dict[str, List[Dict[int, float]]] = {}
    for directory in sorted({path.parent for path in (place / "tensorboard").rglob("*tfevents*")}):
        scalars = EventAccumulator(str(directory)).Reload().Scalars("loss")
        assert len({event.step for event in scalars}) == len(scalars), "a step is drawn twice"
        found[str(directory.relative_to(place / "tensorboard"))] = [{event.step: event.value for event in scalars}]
    return found


def mlflow_runs(place: Path) -> Dict[str, List[Dict[int, float]]]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: Dict[str, List[Dict[int, float]]] = {}
    for run in client.search_runs(experiments):
        assert (run.info.status, run.data.params["steps"]) == ("FINISHED", str(STEPS))
        history = sorted(client.get_metric_history(run.info.run_id, "loss"), key=lambda point: point.timestamp)
        found.setdefault(run.info.run_name, []).append({point.step: point.value for point in history})
    assert all(len(parts) == 1 for parts in found.values()), f"two runs of one name: {found}"
    return found


def wandb_runs(place: Path) -> Dict[str, List[Dict[int, float]]]:
    found: Dict[str, List[Dict[int, float]]] = {}
    ids: Set[str] = set()
    for path in sorted((place / "wandb").glob("offline-run-*/*.wandb")):
        name, losses = "", {}
        for record in wandb_records(path.read_bytes()):
            if record.WhichOneof("record_type") == "run":
                name = record.run.display_name
                ids.add(record.run.run_id)
            elif record.WhichOneof("record_type") == "history":
                items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                losses[int(items["step"])] = float(items["loss"])
        found.setdefault(name, []).append(losses)
    assert ids == set(found), f"the ids are not the names: {ids}, {set(found)}"
    return found


def wandb_records(data: bytes) -> Iterator[Any]:
    """The records of an offline file: a header of 7 bytes, then LevelDB's log format in blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    position, text = 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        part = data[position + 7 : position + 7 + length]
        position += 7 + length
        text = part if kind in (1, 2) else text + part
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(text)
            yield record


def assert_one_run(tracker: str, place: Path, job_name: str) -> List[Dict[int, float]]:
    """One run of the job's name with the loss of each step; returns its parts."""
    runs = runs_of(tracker, place)
    assert list(runs) == [job_name]
    together = {step: loss for part in runs[job_name] for step, loss in part.items()}
    assert together == pytest.approx(expected(), rel=1e-5)
    return runs[job_name]


@needs_hosts
@pytest.mark.parametrize("tracker", TRACKERS)
def test_four_ranks_make_one_run(tmp_path: Path, tracker: str) -> None:
    ran(tmp_path, tracker, "--job-name", "lines-1", "--hp", f"steps={STEPS}", "--checkpoint", str(tmp_path / "ck"))
    assert len(assert_one_run(tracker, tmp_path / "ck", "lines-1")) == 1


@needs_hosts
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_restart_continues_the_run(tmp_path: Path, tracker: str) -> None:
    words = ("--job-name", "lines-2", "--hp", f"steps={STEPS}", "--checkpoint", str(tmp_path / "ck"), "--max-restarts", "3")
    done = ran(tmp_path, tracker, *words, script=SCRIPT.replace(LAST, FAILING + LAST))
    assert done.outcome["restarts"] == 1
    assert_one_run(tracker, tmp_path / "ck", "lines-2")


@needs_hosts
@pytest.mark.parametrize("tracker", TRACKERS)
def test_an_interruption_continues_the_run(tmp_path: Path, tracker: str) -> None:
    words = ("--job-name", "lines-3", "--hp", f"steps={STEPS}", "--checkpoint", str(tmp_path / "ck"), "--interrupt-after", "10")
    done = ran(tmp_path, tracker, *words, script=BEGAN + SCRIPT.replace(LAST, STOPPING + LAST))
    assert done.outcome["interruptions"] == 1
    assert_one_run(tracker, tmp_path / "ck", "lines-3")


@needs_hosts
@needs_tensorboard
def test_tensorboard_in_the_output_and_metrics_without_a_tracker(tmp_path: Path) -> None:
    options = re.findall(r"--metric '([^']+)'", PAGE)
    words = [word for option in options for word in ("--metric", option)]
    words += ["--env", "TENSORBOARD_DIR=/opt/ml/output/data/tensorboard"]
    done = ran(tmp_path, "tensorboard", "--job-name", "lines-4", *words, without=False)
    assert_one_run("tensorboard", done.results / "output" / "data", "lines-4")
    shown = json.loads(re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0])
    assert done.outcome["metrics"]["loss"] == shown["metrics"]["loss"]
    assert done.outcome["metrics"]["step"]["last"] == STEPS - 1


@needs_tensorboard
def test_tensorboard_straight_to_s3(tmp_path: Path) -> None:
    import boto3
    from moto.server import ThreadedMotoServer
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="logs")
        env = {name.upper(): value for name, value in keys.items()}
        env.update(AWS_ENDPOINT_URL=url, AWS_DEFAULT_REGION="us-east-1")
        # Emulated hosts have no way out: this machine is the only host.
        words = ("--hosts", "single", "--job-name", "lines-5", "--env", "TENSORBOARD_DIR=s3://logs/tb")
        # TensorFlow has no file system for s3:// of its own.
        ran(tmp_path, "tensorboard", *words, env=env, without=True)
        keys_found = [entry["Key"] for entry in client.list_objects_v2(Bucket="logs")["Contents"] if entry["Size"]]
        assert len(keys_found) == 1 and keys_found[0].startswith("tb/lines-5/"), keys_found
        client.download_file("logs", keys_found[0], str(tmp_path / "events"))
    finally:
        server.stop()
    events = EventFileLoader(str(tmp_path / "events")).Load()
    steps = [event.step for event in events for value in event.summary.value if value.tag == "loss"]
    assert steps == list(range(STEPS))


@pytest.mark.parametrize("name", ["train.py", *RECIPES])
def test_a_block_parses_whatever_is_installed(name: str) -> None:
    compile(SCRIPT if name == "train.py" else RECIPES[name], name, "exec")


def test_the_page_promises_nothing_else() -> None:
    assert sorted(name for name, _ in BLOCKS) == ["tracker.py"] * len(RECIPES) + ["train.py"]
    assert len(re.findall(r"^```py", PAGE, re.MULTILINE)) == len(BLOCKS)
    assert SCRIPT.count(LAST) == 1
