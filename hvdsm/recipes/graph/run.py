"""A graph job as a launch names it; pure.

Source of names and defaults: GraphStorm's SageMaker launchers and its document "Model Training and Inference on SageMaker".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from hvdsm.compose.compose_graph import ALGORITHMS, PARTITION, GraphJob
from hvdsm.errors import UsageError

TRAINING_TYPE, PROCESSING_TYPE = "ml.g4dn.12xlarge", "ml.m5.12xlarge"
LOG_LEVEL = "INFO"
CHUNK_SIZE = 100000
# GraphStorm's, and what DGL has besides.
PARTITION_ALGORITHMS = (*ALGORITHMS, "metis")
PARTITION_METADATA = "updated_row_counts_metadata.json"


@dataclass(frozen=True)
class GraphRun:
    """A job and what only a launch of it says.

    Attributes:
        job: what it has in common with its Compose form; ``job.extra`` are the words for GraphStorm.
        task_name: the job's name, or of partitioning its suffix.
        checkpoint: S3 address of a model that training begins with.
        raw_node_mappings: S3 address of the mappings of node IDs; None is ``raw_id_mappings`` below the graph.
        output_chunk_size: rows of each file of predictions and embeddings.
        model_sub_path: path of the model below ``job.model_artifact``.
        processes: ranks on each host; None is one for each GPU, else one.
        own_script: whether an entry point of the user's own runs instead of hvdsm's program.
        uploads: whether the job itself brings the model to S3, where there is no service that does.
    """

    job: GraphJob
    task_name: Optional[str] = None
    checkpoint: Optional[str] = None
    raw_node_mappings: Optional[str] = None
    output_chunk_size: int = CHUNK_SIZE
    model_sub_path: Optional[str] = None
    processes: Optional[int] = None
    own_script: bool = False
    uploads: bool = False


def run_of(action: str, given: Mapping[str, Any], extra: Sequence[str], *, uploads: bool) -> GraphRun:
    """The run that arguments mean, which are called as in GraphStorm's launchers.

    Args:
        action: ``train``, ``infer`` or ``partition``.
        given: the arguments; one that is missing is not given.
        extra: words for GraphStorm.
        uploads: whether the job itself brings the model to S3.

    Raises:
        UsageError: the number of hosts is none.
    """
    hosts = 1 if given.get("instance_count") is None else given["instance_count"]
    if not isinstance(hosts, int) or isinstance(hosts, bool) or hosts < 1:
        raise UsageError(f"must be a whole number from 1, not {hosts!r}", where="--instance-count", remedy="--instance-count 2")
    job = GraphJob(
        action,
        hosts,
        given.get("graph_name") or ("graph" if action == PARTITION else ""),
        str(given.get("graph_data_s3") or ""),
        image=given.get("image") or "",
        region=given.get("region"),
        task_type=given.get("task_type"),
        yaml=given.get("yaml_s3"),
        model_artifact=given.get("model_artifact_s3"),
        custom_script=given.get("custom_script"),
        output_emb=given.get("output_emb_s3"),
        output_prediction=given.get("output_prediction_s3"),
        num_parts=given.get("num_parts"),
        output_data=given.get("output_data_s3"),
        algorithm=given.get("partition_algorithm") or ALGORITHMS[0],
        metadata=given.get("metadata_filename") or PARTITION_METADATA,
        skip_partitioning=str(given.get("skip_partitioning") or "").lower() in ("true", "1"),
        log_level=given.get("log_level"),
        extra=tuple(extra),
    )
    return GraphRun(
        job,
        task_name=given.get("task_name"),
        checkpoint=given.get("model_checkpoint_to_load"),
        raw_node_mappings=given.get("raw_node_mappings_s3"),
        output_chunk_size=CHUNK_SIZE if given.get("output_chunk_size") is None else int(given["output_chunk_size"]),
        model_sub_path=given.get("model_sub_path"),
        processes=given.get("processes"),
        own_script=given.get("entry_point") is not None,
        uploads=uploads,
    )
