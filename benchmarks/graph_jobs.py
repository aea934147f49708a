"""One training of GraphStorm on two emulated hosts: by ``hvdsm graph train``, and by GraphStorm's own ssh launcher."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type

from jobs import MPIRUN, ROOT
from programs import Arrivals

from hvdsm.emulator import ClusterSpec, EmulatedCluster, Mount

HOSTS, BUCKET, NAME = 2, "bench", "papers"
LIMIT_SECONDS = 900
FIRST, LEFT = b"| Epoch 00000 | Batch 000 |", b"] in group["
# What GraphStorm's launcher takes by default where nothing is said; said to both.
THREADS = ("--num-omp-threads", "1", "--num-server-threads", "1")
YAML = """\
version: 1.0
gsf:
  basic: {backend: gloo, verbose: false}
  gnn: {fanout: "5,5", num_layers: 2, hidden_size: 32, model_encoder_type: rgcn}
  output: {save_model_frequency: 100000}
  hyperparam: {dropout: 0.0, lr: 0.01, batch_size: 32, eval_batch_size: 512, eval_frequency: 100000}
  rgcn: {num_bases: -1, use_self_loop: true, sparse_optimizer_lr: 0.01}
  node_classification: {target_ntype: paper, label_field: label, multilabel: false, num_classes: 2, eval_metric: [accuracy]}
"""


@dataclass(frozen=True)
class Trained:
    """A training that ended well, in seconds of its own clock.

    Attributes:
        seconds: from the command's start to its end.
        first: when its first batch was done.
        last: when its last epoch was.
        left: when its last trainer left the graph servers.
        phases: of hvdsm's outcome.
    """

    seconds: float
    first: float
    last: float
    left: float
    phases: Mapping[str, float] = field(default_factory=dict)

    @property
    def training(self) -> float:
        """From the first batch to the end of the last epoch."""
        return self.last - self.first

    @property
    def end(self) -> float:
        """From the last trainer's leave to the command's end."""
        return self.seconds - self.left


def trained(log: Arrivals, started: float, ended: float, epochs: int, phases: Optional[Mapping[str, float]] = None) -> Trained:
    """What a log tells of its training.

    Args:
        log: what the command has written, and when.
        started: when the command was started (Unix time).
        ended: when it had ended.
        epochs: how many it was to train.
        phases: of hvdsm's outcome.

    Raises:
        RuntimeError: the log does not tell of a whole training.
    """
    data = log.data
    places = (data.find(FIRST), data.rfind(b"Epoch %d take" % (epochs - 1)), data.rfind(LEFT))
    if min(places) < 0:
        raise RuntimeError(f"this is no log of {epochs} epochs:\n{log.text[-8000:]}")
    first, last, left = (log.arrival(place) - started for place in places)
    return Trained(ended - started, first, last, left, phases or {})


def make_graph(directory: Path, papers: int) -> Path:
    """A graph with known structure in two parts, made by GConstruct; the directory of its metadata.

    Raises:
        RuntimeError: GConstruct failed.
    """
    import numpy
    import pandas

    random = numpy.random.default_rng(0)
    authors, edges = papers // 2, papers * 5
    labels = random.integers(0, 2, papers)
    known = (numpy.eye(2)[labels] + random.normal(0, 0.5, (papers, 2))).astype("float32")
    tables: Dict[str, Dict[str, Any]] = {
        "paper": {"nid": numpy.arange(papers), "feat": list(known), "label": labels},
        "author": {"nid": numpy.arange(authors), "feat": list(random.normal(0, 1, (authors, 2)).astype("float32"))},
        "writes": {"s": random.integers(0, authors, edges), "d": random.integers(0, papers, edges)},
    }
    for name, columns in tables.items():
        pandas.DataFrame(columns).to_parquet(directory / f"{name}.parquet")
    kind: Dict[str, Any] = {"format": {"name": "parquet"}, "node_id_col": "nid", "features": [{"feature_col": "feat"}]}
    label = {"label_col": "label", "task_type": "classification", "split_pct": [0.8, 0.1, 0.1]}
    config = {
        "version": "gconstruct-v0.1",
        "nodes": [
            {"node_type": "paper", "files": [str(directory / "paper.parquet")], "labels": [label], **kind},
            {"node_type": "author", "files": [str(directory / "author.parquet")], **kind},
        ],
        "edges": [
            {
                "relation": ["author", "writes", "paper"],
                "format": kind["format"],
                "files": [str(directory / "writes.parquet")],
                "source_id_col": "s",
                "dest_id_col": "d",
            }
        ],
    }
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    made = directory / "graph"
    argv = [sys.executable, "-m", "graphstorm.gconstruct.construct_graph", "--conf-file", str(directory / "config.json")]
    argv += ["--output-dir", str(made), "--num-parts", str(HOSTS), "--graph-name", NAME, "--add-reverse-edges"]
    _run([*argv, "--num-processes", "1"], {"USE_TF": "0"})
    return made


class Service:
    """An S3 on this machine with the graph and the configuration in it; a context manager."""

    def __init__(self, graph: Path) -> None:
        import boto3
        from moto.server import ThreadedMotoServer

        # It would tell of every request.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.variables = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.get_host_and_port()[1]}",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "key",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        client = boto3.client(
            "s3",
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            aws_access_key_id="id",
            aws_secret_access_key="key",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        for path in graph.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), BUCKET, f"graph/{path.relative_to(graph).as_posix()}")
        client.put_object(Bucket=BUCKET, Key="nc.yaml", Body=YAML.encode())

    def __enter__(self) -> Service:
        """The service itself."""
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """End it."""
        self._server.stop()


def under_hvdsm(service: Service, trainers: int, epochs: int) -> Trained:
    """A whole ``hvdsm graph train``: hosts are started, and the graph comes from S3 and the model goes there.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="hvdsm-bench-") as folder:
        argv = [sys.executable, "-m", "hvdsm", "graph", "train", "--instance-count", str(HOSTS), "--graph-name", NAME]
        argv += ["--graph-data-s3", f"s3://{BUCKET}/graph", "--yaml-s3", f"s3://{BUCKET}/nc.yaml", "--mpirun", MPIRUN]
        argv += ["--task-type", "node_classification", "--model-artifact-s3", f"s3://{BUCKET}/model", "--task-name", "bench"]
        argv += ["--num-trainers", str(trainers), "--num-epochs", str(epochs), *THREADS, "--output", folder]
        # A host that waits for a core of a busy machine is not lost.
        argv += ["--env", "HVDSM_HOST_LOSS_SECONDS=300"]
        log = Arrivals()
        environment = {**os.environ, **service.variables, "PYTHONPATH": ROOT}
        started = time.time()
        with subprocess.Popen(argv, cwd=folder, env=environment, stdout=log.write, stderr=log.write) as process:
            log.close_write()
            code = process.wait(LIMIT_SECONDS)
        ended = time.time()
        log.finish()
        if code:
            raise RuntimeError(f"hvdsm graph train ended with {code}:\n{log.text[-8000:]}")
        outcome = json.loads(Path(folder, "bench", "outcome.json").read_text(encoding="utf-8"))
    return trained(log, started, ended, epochs, outcome["phases"])


class LauncherHosts:
    """Started hosts with a ready sshd that have the graph already, for GraphStorm's launcher; a context manager."""

    def __init__(self, graph: Path) -> None:
        self._graph = graph
        (graph / "nc.yaml").write_text(YAML, encoding="utf-8")
        self._folder = tempfile.TemporaryDirectory(prefix="hvdsm-bench-")
        mounts = (Mount(str(graph), str(graph)), Mount(self._folder.name, self._folder.name, writable=True))
        visible = (ROOT, os.path.dirname(os.path.dirname(MPIRUN)))
        self._cluster = EmulatedCluster.start(ClusterSpec(HOSTS, mounts=mounts, visible=visible, sshd=True))
        self._port = 30050

    def __enter__(self) -> LauncherHosts:
        """The hosts themselves."""
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """End the hosts."""
        self._cluster.close()
        self._folder.cleanup()

    def run(self, trainers: int, epochs: int) -> Trained:
        """One training by ``python -m graphstorm.run.gs_node_classification``, started on the first host.

        Raises:
            RuntimeError: it failed.
        """
        # Another port every time: the last run's may still be waiting for its end.
        self._port += 10
        addresses = Path(self._folder.name, "ip_list.txt")
        addresses.write_text("".join(f"{host.address} {self._port}\n" for host in self._cluster.hosts), encoding="utf-8")
        argv = launcher_words(str(self._graph), str(addresses), trainers, epochs)
        log = Arrivals()
        started = time.time()
        process = self._cluster.popen(
            "algo-1", argv, stdout=log.write, stderr=log.write, cwd="/tmp", env={"USE_TF": "0", "PYTHONUNBUFFERED": "1"}
        )
        log.close_write()
        code = process.wait(LIMIT_SECONDS)
        ended = time.time()
        log.finish()
        if code:
            raise RuntimeError(f"GraphStorm's launcher ended with {code}:\n{log.text[-8000:]}")
        return trained(log, started, ended, epochs)


def launcher_words(graph: str, addresses: str, trainers: int, epochs: int) -> List[str]:
    """The command of GraphStorm's launcher; ``--do-nid-remap False``, as hvdsm has nothing to map in a training either."""
    argv = [sys.executable, "-u", "-m", "graphstorm.run.gs_node_classification", "--workspace", "/tmp", "--ssh-port", "22"]
    argv += ["--num-trainers", str(trainers), "--num-servers", "1", "--num-samplers", "0", *THREADS, "--do-nid-remap", "False"]
    argv += ["--part-config", f"{graph}/{NAME}.json", "--ip-config", addresses, "--extra-envs", "USE_TF=0"]
    return [*argv, "--cf", f"{graph}/nc.yaml", "--num-epochs", str(epochs), "--save-model-path", "/tmp/model"]


def _run(argv: Sequence[str], variables: Mapping[str, str]) -> None:
    done = subprocess.run(
        argv, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{argv[2]} ended with {done.returncode}:\n{done.stdout[-8000:]}")


def phases_of(runs: Sequence[Trained], begin: str, end: str) -> Tuple[float, ...]:
    """Seconds between two phases of hvdsm's outcome; an empty ``begin`` is the command's start, an empty ``end`` its end."""
    ends = [run.phases[end] if end else run.seconds for run in runs]
    return tuple(last - (run.phases[begin] if begin else 0.0) for run, last in zip(runs, ends))
