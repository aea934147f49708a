"""``hvdsm graph train --backend sagemaker`` in the sandbox: the service takes the request, and two emulated hosts train."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import pytest
from graph_chain_support import BUCKET, ROOT, YAML, place
from partition_support import Sample

from hvdsm import graph
from hvdsm.graphjob.tasks import TASKS

# Not imported here: that takes long.
if find_spec("graphstorm") is None:
    pytest.skip("GraphStorm is not installed: make test-graph", allow_module_level=True)
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.xdist_group("graph-chain")]
PAPERS, AUTHORS, EDGES = 24, 12, 60
CLOUD = (
    "--backend", "sagemaker", "--region", "us-east-1", "--role", "arn:aws:iam::123456789012:role/graphs",
    "--image-url", "123456789012.dkr.ecr.us-east-1.amazonaws.com/graphstorm:sm-cpu", "--env", "HVDSM_HOST_LOSS_SECONDS=300",
)  # fmt: skip


def test_the_scripts_are_those_of_graphstorms_modules() -> None:
    (place,) = getattr(find_spec("graphstorm"), "submodule_search_locations", ())
    for task in TASKS.values():
        module = Path(place, "run", f"{task.module}.py").read_text()
        scripts = {name for name in (task.train, task.infer, task.lm_train, task.lm_infer) if name is not None}
        assert scripts == set(re.findall(r'"(gsgnn_\w+/\w+\.py)"', module)), task.module
        assert all(Path(place, "run", name).is_file() for name in scripts)


def partitioned(shelf: Path) -> None:
    """A graph in two parts and GraphStorm's configuration, as objects of the sandbox's S3."""
    import dgl

    random = np.random.default_rng(0)
    labels = random.integers(0, 2, PAPERS)
    masks = {f"{name}_mask": (np.arange(PAPERS) % 3 == at).astype(np.int8) for at, name in enumerate(("train", "val", "test"))}
    ends = random.integers(0, AUTHORS, EDGES), random.integers(0, PAPERS, EDGES)
    features = {"paper": {"feat": np.eye(2, dtype=np.float32)[labels], "label": labels, **masks}}
    made = Sample({"paper": PAPERS, "author": AUTHORS}, {("author", "writes", "paper"): ends}, features)
    target = shelf / BUCKET / "tiny_2p"
    dgl.distributed.partition_graph(made.dgl_graph(), "tiny", 2, str(target), part_method="random", num_hops=1)
    (shelf / BUCKET / "conf").mkdir()
    (shelf / BUCKET / "conf" / "nc.yaml").write_text(YAML)


def in_sandbox(directory: Path, *words: str) -> Tuple[int, Dict[str, Any], str]:
    """Run ``hvdsm graph … --json`` in a sandbox whose S3 is kept; the exit code, the answer and the lines."""
    python = (sys.executable, "-m", "hvdsm")
    command = (*python, "sandbox", "--s3", str(directory / "s3"), "--", *python, "graph", *words, *CLOUD, "--json")
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, timeout=500, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_training_job_of_the_service(tmp_path: Path) -> None:
    partitioned(tmp_path / "s3")
    code, answer, said = in_sandbox(
        tmp_path, "train", "--instance-count", "2", "--graph-name", "tiny", "--graph-data-s3", f"s3://{BUCKET}/tiny_2p/",
        "--task-type", "node_classification", "--yaml-s3", f"s3://{BUCKET}/conf/nc.yaml", "--task-name", "cloud",
        "--model-artifact-s3", f"s3://{BUCKET}/model/", "--backend", "gloo", "--num-epochs", "1", "--max-restarts", "1",
        "--tag", "team=graphs", "--sm-estimator-parameters", "max_run=3600 volume_size=100",
    )  # fmt: skip
    assert code == 0, said
    assert (answer["job_name"], answer["status"]) == ("cloud", "Completed")
    # Hosts of the service do not bring the model themselves: it is the service's output.
    model = tmp_path / "s3" / BUCKET / "model" / "cloud" / "output" / "model"
    assert (model / "model.bin").is_file()
    assert list(model.glob("*.yaml"))
    request = json.loads((tmp_path / "hvdsm-out" / "cloud" / "request.json").read_text())
    assert request["OutputDataConfig"] == {"S3OutputPath": f"s3://{BUCKET}/model/", "CompressionType": "NONE"}
    assert {"Key": "GraphStorm_Task", "Value": "Training"} in request["Tags"]


def test_a_script_of_ones_own_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulated_hosts: None) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "mine.py").write_text(
        "import json, os, sys\n"
        "mark = os.path.join(os.environ['SM_MODEL_DIR'], 'mark')\n"
        "first = os.environ['SM_CURRENT_HOST'] == 'algo-1' and not os.path.exists(mark)\n"
        "open(mark, 'w').close()\n"
        "if first:\n"
        "    sys.exit(3)\n"
        "print('MINE', json.dumps([sys.argv[1:], os.environ['A'], os.listdir(os.environ['SM_CHANNEL_TRAIN'])]))\n"
    )
    with place(tmp_path / "place") as made:
        made.s3.put_object(Bucket=BUCKET, Key="g/tiny.json", Body=b'{"num_parts": 2}')
        for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, made.environ[name])
        lines = io.StringIO()
        outcome = graph.train(
            graph_name="tiny", graph_data_s3=f"s3://{BUCKET}/g", task_type="link_prediction", instance_count=2,
            yaml_s3=f"s3://{BUCKET}/conf/nc.yaml", task_name="own", entry_point=str(tmp_path / "mine.py"), env={"A": "b c"},
            arguments=["--fanout=10", "--note", "x y"], max_restarts=1, tags={"team": "a"}, output=str(tmp_path / "out"),
            stream=lines,
        )  # fmt: skip
    assert outcome.ok, lines.getvalue()
    said = [json.loads(line.partition("MINE ")[2]) for line in lines.getvalue().splitlines() if "MINE " in line]
    assert len(said) >= 2
    for words, variable, files in said:
        assert (words[words.index("--fanout") + 1], words[words.index("--note") + 1], variable) == ("10", "x y", "b c")
        assert files == ["nc.yaml"]
    request = json.loads((tmp_path / "out" / "own" / "request.json").read_text())
    assert {"Key": "team", "Value": "a"} in request["Tags"]
