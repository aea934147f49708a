"""A graph job as its request has it: hyperparameters, channel, plan, tags; pure.

Source of names and defaults: GraphStorm's SageMaker launchers and its document "Model Training and Inference on SageMaker".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, Optional, Tuple

from hvdsm.compose.compose_graph import (
    EMBEDDINGS,
    INFER,
    LOG_LEVELS,
    NO_PREDICTIONS,
    PARTITION,
    TASKS,
    TRAIN,
    GraphJob,
    check_options,
)
from hvdsm.errors import UsageError
from hvdsm.graphjob.state import OWN
from hvdsm.model.plan import WAIT, JobPlan, Ranks, Ready, Role, Step
from hvdsm.recipes.graph.forwarded import Forwarded, forwarded, plain_hyperparameters
from hvdsm.recipes.graph.run import LOG_LEVEL, GraphRun

CHANNEL = "train"
SCRIPT = "graph.py"
# Seconds that a server may take to read its partition, and to end after its clients.
SERVER_READY, SERVER_END = 3600.0, 120.0
_STAGE = {TRAIN: "Training", INFER: "Inference", PARTITION: "Partition"}
# Options of GraphStorm's launcher that say what hvdsm's plan says.
_OF_THE_PLAN = (
    "part-config", "ip-config", "num-trainers", "num-servers", "ssh-port", "ssh-username", "extra-envs", "workspace", "inference",
    "cf", "yaml-config-file", "local-rank", "local_rank", "save-model-path", "restore-model-path", "with-shared-fs",
    "save-embed-path", "save-prediction-path", "output-chunk-size",
)  # fmt: skip
# What each action may leave to GraphStorm after all: of training, where embeddings go stays a choice of the job.
_ALLOWED = {TRAIN: ("save-embed-path", "save-prediction-path"), INFER: (), PARTITION: ()}


@dataclass(frozen=True)
class GraphParts:
    """What a request is made of, beside what every launch has."""

    job_name: str
    instances: int
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, str]
    tags: Mapping[str, str]
    plan: Optional[JobPlan]
    rest: Tuple[str, ...]
    forwarded: Forwarded
    warnings: Tuple[str, ...]
    model_output: Optional[str]


def parts_of(run: GraphRun, timestamp: str) -> GraphParts:
    """What the request of a run is made of.

    Args:
        run: the run.
        timestamp: ``2026-01-31-12-00-00-000``, ends a name that is made.

    Raises:
        UsageError: an option is missing, cannot be meant, or belongs to another kind of job.
    """
    run, warnings = checked(run)
    job = run.job
    own = hyperparameters_of(run)
    taken = [name for name in (*own, *_OF_THE_PLAN) if run.own_script is False or name in own]
    foreign = () if run.own_script else [name for name in OWN if name not in own]
    words = forwarded(job.extra, [name for name in taken if name not in _ALLOWED[job.action]], foreign)
    if job.action == TRAIN and job.instances > 1 and not run.own_script and job.custom_script is None:
        _check_disk(words)
    if job.action == TRAIN and run.own_script and run.uploads and job.model_artifact is not None:
        warnings.append("--model-artifact-s3 is left out: the model of a script of your own stays in model/ of the results here")
    more = plain_hyperparameters(words) if run.own_script else words.hyperparameters
    return GraphParts(
        job_name=job_name(run, timestamp),
        instances=job.instances,
        hyperparameters={**own, **more},
        channels={} if job.yaml is None else {CHANNEL: job.yaml},
        tags={"GraphStorm": "oss", "GraphStorm_Task": _STAGE[job.action]},
        plan=None if run.own_script else plan_of(run),
        rest=() if run.own_script else words.rest,
        forwarded=words,
        warnings=tuple(warnings),
        model_output=job.model_artifact if job.action == TRAIN else None,
    )


def _check_disk(words: Forwarded) -> None:
    """GraphStorm's training would end with an error on all hosts but the first, after all epochs."""
    if any(word.partition("=")[0] == "--save-embed-path" for word in words.words):
        raise UsageError(
            "after training GraphStorm reads the model from a disk that all hosts share, and these share none",
            where="--save-embed-path",
            remedy="leave it out, and make embeddings of the model by hvdsm graph infer --output-emb-s3",
        )


def checked(run: GraphRun) -> Tuple[GraphRun, List[str]]:
    """The run with what it must have, and warnings.

    Raises:
        UsageError: an option is missing, cannot be meant, or belongs to another kind of job.
    """
    job = run.job
    warnings: List[str] = []
    if job.action == PARTITION:
        if job.num_parts is None:
            raise UsageError("is missing", where="--num-parts", remedy="add --num-parts N: how many parts are made")
        if job.num_parts != job.instances:
            warnings.append(f"--instance-count {job.instances} becomes {job.num_parts}: one host makes one part")
            job = replace(job, instances=job.num_parts)
    warnings += check_options(job)
    if job.task_type is not None and job.task_type not in (*TASKS, EMBEDDINGS):
        raise UsageError(
            f"there is no task type {job.task_type!r}", where="--task-type", remedy=f"one of {', '.join((*TASKS, EMBEDDINGS))}"
        )
    if job.log_level is not None and job.log_level not in LOG_LEVELS:
        raise UsageError(f"there is no level {job.log_level!r}", where="--log-level", remedy=f"one of {', '.join(LOG_LEVELS)}")
    if not job.graph_name:
        raise UsageError("is missing", where="--graph-name", remedy="the name that the graph was made with")
    _check_yaml(job, warnings)
    for option, value in addresses(replace(run, job=job)).items():
        if value is not None and not re.match(r"s3://[^/]+", value):
            raise UsageError(f"must be an address of S3, not {value!r}", where=option, remedy="s3://BUCKET/PREFIX")
    if run.output_chunk_size < 1:
        raise UsageError(f"must be 1 or more, not {run.output_chunk_size}", where="--output-chunk-size", remedy="100000")
    return replace(run, job=job), warnings


def addresses(run: GraphRun) -> Dict[str, Optional[str]]:
    """The S3 addresses of a run by their options."""
    job = run.job
    return {
        "--graph-data-s3": job.graph_data,
        "--model-artifact-s3": job.model_artifact,
        "--model-checkpoint-to-load": run.checkpoint,
        "--raw-node-mappings-s3": run.raw_node_mappings,
        "--output-emb-s3": job.output_emb,
        "--output-prediction-s3": job.output_prediction,
        "--output-data-s3": job.output_data,
    }


def _check_yaml(job: GraphJob, warnings: List[str]) -> None:
    if job.yaml is None:
        return
    if not job.yaml.endswith((".yaml", ".yml")):
        raise UsageError(f"must end in .yaml or .yml, not {job.yaml!r}", where="--yaml-s3", remedy="name the file itself")
    if job.yaml.startswith(job.graph_data.rstrip("/") + "/"):
        warnings.append("--yaml-s3 lies below --graph-data-s3: whoever copies the graph copies it as well")


def job_name(run: GraphRun, timestamp: str) -> str:
    """``--task-name``, else ``gs-train-<graph>-<timestamp>``; of partitioning ``gs-partition-<task-name or timestamp>``.

    Raises:
        UsageError: the name is none that the service takes.
    """
    if run.job.action == PARTITION:
        name = f"gs-partition-{run.task_name or timestamp}"
    else:
        name = run.task_name or f"{run.job.name[: 62 - len(timestamp)]}-{timestamp}"
    return checked_name(name)


def checked_name(name: str) -> str:
    """A name that the service takes for a job.

    Raises:
        UsageError: it does not.
    """
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name):
        raise UsageError(
            f"makes {name!r}, which is no name of a job",
            where="--task-name",
            remedy="letters, digits and dashes, 63 at most; no dash at the beginning or end",
        )
    return name


def hyperparameters_of(run: GraphRun) -> Dict[str, str]:
    """What GraphStorm's launchers send; what is not given is left out."""
    job = run.job
    found: Dict[str, Optional[str]] = {"graph-data-s3": job.graph_data, "graph-name": job.graph_name}
    found["log-level"] = job.log_level or LOG_LEVEL
    if job.action == PARTITION:
        found["num-parts"] = str(job.num_parts)
        found["output-data-s3"] = job.output_data
        found["metadata-filename"] = job.metadata
        found["partition-algorithm"] = job.algorithm
        found["skip-partitioning"] = "true" if job.skip_partitioning else "false"
    else:
        found["task-type"] = job.task_type
        found[f"{job.action}-yaml-s3"] = job.yaml
        found["custom-script"] = job.custom_script
    if job.action == TRAIN:
        found["model-checkpoint-to-load"] = run.checkpoint
    if job.action == INFER:
        found["model-artifact-s3"] = _model(run)
        found["output-chunk-size"] = str(run.output_chunk_size)
        found["output-emb-s3"] = job.output_emb
        found["output-prediction-s3"] = None if job.task_type in NO_PREDICTIONS else job.output_prediction
        found["raw-node-mappings-s3"] = run.raw_node_mappings
    return {name: value for name, value in found.items() if value is not None}


def _model(run: GraphRun) -> Optional[str]:
    if run.model_sub_path is None or run.job.model_artifact is None:
        return run.job.model_artifact
    return f"{run.job.model_artifact.rstrip('/')}/{run.model_sub_path.strip('/')}"


def plan_of(run: GraphRun) -> JobPlan:
    """Downloads, a graph server on each host, ranks, and uploads, in this order."""

    def words(what: str) -> Tuple[str, ...]:
        return ("{python}", "-u", SCRIPT, what)

    if run.job.action == PARTITION:
        # Its ranks download, divide and upload by themselves, a piece at a time.
        return JobPlan(ranks=Ranks(arguments=("rank",)))
    environment = {
        "HVDSM_GRAPH_HOST_INDEX": "{host_index}",
        "HVDSM_GRAPH_ADDRESSES": "{addresses}",
        "HVDSM_GRAPH_PORT": "{port:dgl}",
        "HVDSM_GRAPH_WORLD": "{world_size}",
        "HVDSM_GRAPH_PROCESSES": "{processes}",
    }
    if run.uploads and run.job.model_artifact is not None and run.job.action == TRAIN:
        environment["HVDSM_GRAPH_MODEL"] = run.job.model_artifact
    server = Role(
        "server",
        words("server"),
        ready=Ready(port="{port:dgl}"),
        ready_timeout=SERVER_READY,
        end=WAIT,
        end_timeout=SERVER_END,
    )
    finish = (Step("remap", words("remap")),) if run.job.action == INFER else ()
    return JobPlan(
        environment=environment,
        prepare=(Step("download", words("prepare")),),
        roles=(server,),
        ranks=Ranks(arguments=("rank",)),
        finish=(*finish, Step("upload", words("finish"))),
    )
