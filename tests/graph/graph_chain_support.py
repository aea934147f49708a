"""A small graph with known structure, and an S3 on this machine for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import hvdsm

ROOT = str(Path(hvdsm.__file__).parent.parent)
BUCKET = "graphs"
PAPERS, AUTHORS, EDGES = 60, 40, 200
YAML = """\
version: 1.0
gsf:
  basic:
    backend: gloo
    verbose: false
  gnn:
    fanout: "4,4"
    num_layers: 2
    hidden_size: 8
    model_encoder_type: rgcn
  output:
    save_model_frequency: 1000
  hyperparam:
    dropout: 0.0
    lr: 0.05
    num_epochs: 2
    batch_size: 8
    eval_batch_size: 8
    eval_frequency: 1000
  rgcn:
    num_bases: -1
    use_self_loop: true
    sparse_optimizer_lr: 0.01
  node_classification:
    target_ntype: paper
    label_field: label
    multilabel: false
    num_classes: 2
    eval_metric: [accuracy]
"""
_FORMAT = {"name": "parquet"}
_FEATURES = [{"feature_col": "feat", "feature_name": "feat"}]
CONFIG: Dict[str, Any] = {
    "version": "gconstruct-v0.1",
    "nodes": [
        {
            "node_type": "paper",
            "format": _FORMAT,
            "files": ["paper.parquet"],
            "node_id_col": "nid",
            "features": _FEATURES,
            "labels": [{"label_col": "label", "task_type": "classification", "split_pct": [0.6, 0.2, 0.2]}],
        },
        {"node_type": "author", "format": _FORMAT, "files": ["author.parquet"], "node_id_col": "nid", "features": _FEATURES},
    ],
    "edges": [
        {
            "relation": ["author", "writes", "paper"],
            "format": _FORMAT,
            "files": ["writes.parquet"],
            "source_id_col": "s",
            "dest_id_col": "d",
        }
    ],
}


def write_raw(directory: Path) -> None:
    """The raw data: papers whose features tell their label, authors, and who wrote what."""
    import numpy
    import pandas

    random = numpy.random.default_rng(0)
    labels = random.integers(0, 2, PAPERS)
    known = (numpy.eye(2)[labels] + random.normal(0, 0.1, (PAPERS, 2))).astype("float32")
    noise = random.normal(0, 1, (AUTHORS, 2)).astype("float32")
    tables = {
        "paper": {"nid": [f"p{i}" for i in range(PAPERS)], "feat": list(known), "label": labels},
        "author": {"nid": [f"a{i}" for i in range(AUTHORS)], "feat": list(noise)},
        "writes": {
            "s": [f"a{i}" for i in random.integers(0, AUTHORS, EDGES)],
            "d": [f"p{i}" for i in random.integers(0, PAPERS, EDGES)],
        },
    }
    directory.mkdir()
    for name, columns in tables.items():
        pandas.DataFrame(columns).to_parquet(directory / f"{name}.parquet")
    (directory / "config.json").write_text(json.dumps(CONFIG))


@dataclass(frozen=True)
class Ended:
    """A ``hvdsm graph … --json`` that has ended."""

    code: int
    outcome: Dict[str, Any]
    output: str


class Place:
    """A working directory and its S3."""

    def __init__(self, directory: Path, endpoint: str) -> None:
        import boto3

        self.directory = directory
        self.environ = {
            **os.environ,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "key",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONPATH": os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        self.s3 = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="id", aws_secret_access_key="key", region_name="us-east-1"
        )
        self.s3.create_bucket(Bucket=BUCKET)

    def upload(self, directory: Path, prefix: str) -> None:
        """Bring all files of a directory."""
        for path in directory.rglob("*"):
            if path.is_file():
                self.s3.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(directory).as_posix()}")

    def names(self, prefix: str) -> List[str]:
        """Keys below a prefix, relative to it."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        return sorted(entry["Key"][len(prefix) + 1 :] for page in pages for entry in page.get("Contents", ()))

    def graph(self, *words: str) -> Ended:
        """Run ``hvdsm graph``."""
        # A host that waits for a core of a busy machine is not lost.
        command = [sys.executable, "-m", "hvdsm", "graph", *words, "--env", "HVDSM_HOST_LOSS_SECONDS=300", "--json"]
        done = subprocess.run(
            command, cwd=self.directory, env=self.environ, capture_output=True, text=True, timeout=900, check=False
        )
        outcome = json.loads(done.stdout) if done.stdout.strip() else {}
        return Ended(done.returncode, outcome, done.stderr)

    def job(self, what: str, name: str, *words: str) -> Ended:
        """Run training or inference of the small graph on two hosts."""
        return self.graph(what, *_common(name), *words)

    def broken(self, name: str, part: str, *words: str) -> Ended:
        """Run a training whose process ``part`` of the second host is killed when all ranks run."""

        def kill(_: int) -> None:
            os.kill(list(processes(name, part))[-1], signal.SIGKILL)

        return self.disturbed(name, "Epoch 0 take", kill, *words)

    def disturbed(self, name: str, text: str, act: Callable[[int], None], *words: str) -> Ended:
        """Run a training, and do something - with the PID of ``hvdsm`` - at the first line that has a text."""
        command = [sys.executable, "-m", "hvdsm", "graph", "train", *_common(name), *words]
        limit = ["--env", "HVDSM_HOST_LOSS_SECONDS=300"]
        said: List[str] = []
        with subprocess.Popen(
            [*command, *limit], cwd=self.directory, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if text in line and not any(text in other for other in said):
                    act(process.pid)
                said.append(line)
        with open(self.directory / "hvdsm-out" / name / "outcome.json", encoding="utf-8") as file:
            return Ended(process.returncode, json.load(file), "".join(said))


def _common(name: str) -> Tuple[str, ...]:
    return (
        "--instance-count", "2", "--graph-name", "tiny", "--graph-data-s3", f"s3://{BUCKET}/tiny_2p/",
        "--task-type", "node_classification", "--yaml-s3", f"s3://{BUCKET}/conf/nc.yaml", "--task-name", name,
    )  # fmt: skip


def processes(job: str, part: Optional[str] = None) -> Iterator[int]:
    """Processes of a job; those that run its program as ``server`` or ``rank``, or all."""
    for entry in os.listdir("/proc"):
        try:
            words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0") if entry.isdigit() else []
            runs = part is None or words[-3:-1] == [b"graph.py", part.encode()]
            if words and runs and f"TRAINING_JOB_NAME={job}".encode() in environ_of(entry):
                yield int(entry)
        except OSError:
            continue


def environ_of(pid: str) -> List[bytes]:
    """Variables of a process."""
    return Path("/proc", pid, "environ").read_bytes().split(b"\0")


@contextmanager
def place(directory: Path) -> Iterator[Place]:
    """A place with an S3 of its own, with the raw data and the configuration in it."""
    with empty_place(directory) as found:
        write_raw(directory / "raw")
        found.upload(directory / "raw", "raw")
        yield found


@contextmanager
def empty_place(directory: Path) -> Iterator[Place]:
    """A place with an S3 of its own that has the configuration alone."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        # All servers of a process have the same objects, also those of tests before.
        request = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")
        urllib.request.urlopen(request, timeout=60).close()
        found = Place(directory, endpoint)
        found.s3.put_object(Bucket=BUCKET, Key="conf/nc.yaml", Body=YAML.encode())
        yield found
    finally:
        server.stop()
