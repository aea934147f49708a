"""What a host of a graph job knows of its job: from its environment, and from what the download has left."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .failures import JobError

TRAIN, INFER, PARTITION, CONSTRUCT = "train", "infer", "partition", "gconstruct"
# Of the request, whatever the action; all other hyperparameters are arguments of GraphStorm.
OWN = (
    "graph-data-s3", "graph-name", "log-level", "task-type", "train-yaml-s3", "infer-yaml-s3", "custom-script",
    "model-checkpoint-to-load", "model-artifact-s3", "output-chunk-size", "output-emb-s3", "output-prediction-s3",
    "raw-node-mappings-s3", "num-parts", "output-data-s3", "metadata-filename", "partition-algorithm", "skip-partitioning",
)  # fmt: skip
WORDS_FILE = "graph.json"
_PREFIX = "HVDSM_GRAPH_"


@dataclass(frozen=True)
class Places:
    """Directories and files of a host; the names below ``/tmp`` are those of GraphStorm's own SageMaker scripts."""

    base: str

    @property
    def graphs(self) -> str:
        """Where graphs are."""
        return os.path.join(self.base, "gsgnn_graph")

    @property
    def ip_list(self) -> str:
        """Addresses of the hosts."""
        return os.path.join(self.graphs, "ip_list.txt")

    @property
    def models(self) -> str:
        """Where training saves, and inference reads."""
        return os.path.join(self.base, "gsgnn_model")

    @property
    def saved(self) -> str:
        """Directories of epochs."""
        return os.path.join(self.models, "model_checkpoints")

    @property
    def checkpoint(self) -> str:
        """The model that training begins with."""
        return os.path.join(self.base, "gsgnn_model_checkpoint")

    @property
    def embeddings(self) -> str:
        """Where inference writes embeddings."""
        return os.path.join(self.base, "infer_output", "embs")

    @property
    def predictions(self) -> str:
        """Where inference writes predictions."""
        return os.path.join(self.base, "infer_output", "predict")

    @property
    def found(self) -> str:
        """What the download has found."""
        return os.path.join(self.graphs, "found.json")

    def graph(self, name: str) -> str:
        """Directory of a graph."""
        return os.path.join(self.graphs, name)


@dataclass(frozen=True)
class JobState:
    """A host's view of the job."""

    action: str
    options: Mapping[str, str]
    words: Tuple[str, ...]
    places: Places
    host: int = 0
    addresses: Tuple[str, ...] = ("127.0.0.1",)
    port: int = 30050
    world: int = 1
    processes: int = 1
    local_rank: int = 0
    yaml_directory: Optional[str] = None
    model_directory: str = "/opt/ml/model"
    model_target: Optional[str] = None
    job_name: str = "job"
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def hosts(self) -> int:
        """How many there are."""
        return len(self.addresses)

    def option(self, name: str) -> str:
        """A hyperparameter that the job must have.

        Raises:
            JobError: it has none.
        """
        if name not in self.options:
            raise JobError("is missing", f"hyperparameter {name}", "create the job by hvdsm graph")
        return self.options[name]

    @property
    def yaml(self) -> str:
        """GraphStorm's configuration.

        Raises:
            JobError: it has not come.
        """
        name = os.path.basename(self.option(f"{self.action}-yaml-s3"))
        path = os.path.join(self.yaml_directory or "", name)
        if self.yaml_directory is None or not os.path.isfile(path):
            raise JobError(f"has no {name}", "channel train", "check --yaml-s3")
        return path

    def check_script(self) -> None:
        """The user's own script is there, if the job has one.

        Raises:
            JobError: it is not.
        """
        own = self.options.get("custom-script")
        if own is not None and not os.path.isfile(own):
            raise JobError("is not in the image", f"--custom-script {own}", "name its path there")


def read_state(environ: Mapping[str, str], code: str) -> JobState:
    """The view of this host.

    Args:
        environ: its variables.
        code: directory of the source.

    Raises:
        JobError: the job is none of ``hvdsm graph``.
    """
    with open(os.path.join(code, WORDS_FILE), encoding="utf-8") as file:
        told: Any = json.load(file)
    values = {key: _text(value) for key, value in json.loads(environ.get("SM_HPS") or "{}").items()}
    words: List[str] = []
    for key, value in values.items():
        if key not in OWN and not key.startswith("sagemaker_"):
            words += [f"--{key}", *shlex.split(value)]
    base = environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml"
    return JobState(
        action=str(told["action"]),
        options={key: value for key, value in values.items() if key in OWN},
        words=(*words, *told["words"]),
        places=Places("/tmp" if base == "/opt/ml" else os.path.join(base, "graph")),
        host=int(environ.get(f"{_PREFIX}HOST_INDEX") or 0),
        addresses=tuple((environ.get(f"{_PREFIX}ADDRESSES") or "127.0.0.1").split(",")),
        port=int(environ.get(f"{_PREFIX}PORT") or 30050),
        world=int(environ.get(f"{_PREFIX}WORLD") or 1),
        processes=int(environ.get(f"{_PREFIX}PROCESSES") or 1),
        local_rank=int(environ.get("LOCAL_RANK") or 0),
        yaml_directory=environ.get("SM_CHANNEL_TRAIN"),
        model_directory=environ.get("SM_MODEL_DIR") or os.path.join(base, "model"),
        model_target=environ.get(f"{_PREFIX}MODEL") or None,
        job_name=environ.get("TRAINING_JOB_NAME") or "job",
        environ=dict(environ),
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def write_found(places: Places, found: Dict[str, str]) -> None:
    """Leave what the download has found to the processes after it."""
    with open(places.found, "w", encoding="utf-8") as file:
        json.dump(found, file)


def read_found(places: Places) -> Dict[str, str]:
    """What the download has found."""
    with open(places.found, encoding="utf-8") as file:
        found: Dict[str, str] = json.load(file)
    return found


def write_hosts(state: JobState) -> None:
    """Say where the graph servers are: an address and a port in each line, in the order of the hosts."""
    with open(state.places.ip_list, "w", encoding="utf-8") as file:
        file.writelines(f"{one} {state.port}\n" for one in state.addresses)
