"""The CreateProcessingJob request of graph construction; pure.

Source: GraphStorm's launcher of GConstruct, and the SageMaker API reference, "CreateProcessingJob".
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from hvdsm.compose.compose_graph import GraphJob
from hvdsm.errors import UsageError
from hvdsm.recipes.graph.forwarded import forwarded
from hvdsm.recipes.graph.jobs import checked_name

INPUT, OUTPUT = "/opt/ml/processing/input", "/opt/ml/processing/output"
MODULE = "graphstorm.gconstruct.construct_graph"
CONSTRUCT = "gconstruct"
VOLUME, LIMIT = 30, 86400


@dataclass(frozen=True)
class Construction:
    """A graph to be made.

    Attributes:
        input_graph: S3 address of the raw data.
        output_graph: S3 address of the graph.
        graph_name: name of the graph.
        config_file: GConstruct's configuration, relative to the raw data.
        image: the image.
        role: the role that the job may use.
        instance_type: type of its only host.
        task_name: name of the job.
        extra: words for GConstruct.
    """

    input_graph: str
    output_graph: str
    graph_name: str
    config_file: str
    image: Optional[str] = None
    role: Optional[str] = None
    instance_type: str = "ml.m5.12xlarge"
    task_name: Optional[str] = None
    extra: Tuple[str, ...] = ()


def check_construction(asked: Construction) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: an address is none, or the configuration lies elsewhere.
    """
    for option, value in (("--input-graph-s3", asked.input_graph), ("--output-graph-s3", asked.output_graph)):
        if not re.match(r"s3://[^/]+", value):
            raise UsageError(f"must be an address of S3, not {value!r}", where=option, remedy="s3://BUCKET/PREFIX")
    path = posixpath.normpath(asked.config_file)
    if not asked.config_file or path.startswith(("/", "..")) or "://" in asked.config_file:
        raise UsageError(
            f"is relative to --input-graph-s3, not {asked.config_file!r}",
            where="--graph-config-file",
            remedy="upload it beside the data, and name it as it is called there",
        )
    construct_words(asked)


def construct_words(asked: Construction) -> Tuple[str, ...]:
    """The words for GConstruct, split where one holds several.

    Raises:
        UsageError: one belongs to no option, or says what hvdsm says.
    """
    return forwarded(asked.extra, ("conf-file", "output-dir", "graph-name")).words


def construction_name(asked: Construction, timestamp: str) -> str:
    """``gs-gconstruct-<graph>-<timestamp>``, or ``--task-name``.

    Raises:
        UsageError: the name is none that the service takes.
    """
    base = GraphJob(CONSTRUCT, 1, asked.graph_name, asked.input_graph).name
    return checked_name(asked.task_name or f"{base[: 62 - len(timestamp)]}-{timestamp}")


def construct_command(asked: Construction, directory: str = OUTPUT) -> Tuple[str, ...]:
    """GConstruct's command, run in the directory of the raw data."""
    words = ("--conf-file", asked.config_file, "--output-dir", directory, "--graph-name", asked.graph_name)
    return ("python3", "-m", MODULE, *words, *construct_words(asked))


def processing_request(asked: Construction, timestamp: str) -> Dict[str, Any]:
    """The request; it has one host.

    Raises:
        UsageError: something that the service needs is not given, or cannot be meant.
    """
    check_construction(asked)
    for option, value in (("--image-url", asked.image), ("--role", asked.role)):
        if not value:
            raise UsageError("a job in SageMaker needs one", where=option, remedy=f"add {option}")
    local = {"S3DataType": "S3Prefix", "S3InputMode": "File", "S3DataDistributionType": "FullyReplicated"}
    source = {**local, "S3Uri": asked.input_graph, "LocalPath": INPUT, "S3CompressionType": "None"}
    target = {"S3Uri": asked.output_graph, "LocalPath": OUTPUT, "S3UploadMode": "EndOfJob"}
    output = _output_name(asked.graph_name)
    return {
        "ProcessingJobName": construction_name(asked, timestamp),
        "RoleArn": asked.role,
        "AppSpecification": {
            "ImageUri": asked.image,
            # The configuration's paths are relative to the data.
            "ContainerEntrypoint": ["/bin/sh", "-c", f'cd {INPUT} && exec "$0" "$@"'],
            "ContainerArguments": list(construct_command(asked)),
        },
        "ProcessingInputs": [{"InputName": "input", "S3Input": source}],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": output, "S3Output": target}]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": asked.instance_type, "VolumeSizeInGB": VOLUME}
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": LIMIT},
        "Tags": [{"Key": "GraphStorm", "Value": "oss"}, {"Key": "GraphStorm_Task", "Value": "Processing"}],
    }


def _output_name(graph_name: str) -> str:
    """The graph's name as the service takes one of an output."""
    return re.sub(r"[^a-zA-Z0-9_.-]", "-", graph_name)[:64] or "graph"
