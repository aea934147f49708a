"""``hvdsm graph train``, ``infer`` and ``partition``: training jobs."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Callable, TypeVar

import click

from hvdsm.api import DOCKER, LOCAL, SAGEMAKER
from hvdsm.cli.cloud_flags import pairs
from hvdsm.cli.defaults import given_by_flag, settled
from hvdsm.cli.graph_common import (
    SETTINGS,
    Forwarding,
    backend_of,
    common_flags,
    forwarded_words,
    launch_arguments,
    log_level,
    said,
    timestamp,
    type_of,
    without_doubles,
)
from hvdsm.cli.launch import carry_out
from hvdsm.compose.cloud import TRAIN as TRAIN_PROGRAM
from hvdsm.compose.compose_graph import EMBEDDINGS, INFER, PARTITION, TASKS, TRAIN
from hvdsm.errors import HvdsmError
from hvdsm.recipes.graph.parameters import parse_parameters
from hvdsm.recipes.graph.run import CHUNK_SIZE, PARTITION_ALGORITHMS, PARTITION_METADATA, run_of

Command = TypeVar("Command", bound=Callable[..., Any])
_GRAPH = (
    click.option("--graph-data-s3", required=True, metavar="URI", help="The graph in S3."),
    click.option("--instance-count", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Number of hosts."),
    click.option("--entry-point", metavar="FILE", help="Script of your own; its directory is the source."),
)
_MODEL = (
    click.option("--graph-name", required=True, metavar="NAME", help="Name of the graph."),
    click.option("--yaml-s3", required=True, metavar="URI", help="GraphStorm's configuration, in S3."),
    click.option("--custom-script", metavar="PATH", help="Script in the image in place of GraphStorm's own."),
    click.option(
        "--processes-per-host", "--num-trainers", "processes", type=click.IntRange(1), metavar="P", help="Trainers on each host."
    ),
    click.option("--check-graph/--no-check-graph", default=True, show_default=True, help="Read the number of partitions before."),
)


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command(cls=Forwarding, context_settings=dict(SETTINGS))
@_all(*_GRAPH, *_MODEL)
@click.option("--task-type", required=True, type=click.Choice(TASKS), metavar="TASK", help=f"One of {', '.join(TASKS)}.")
@click.option("--model-artifact-s3", metavar="URI", help="Where the model goes.")
@click.option("--model-checkpoint-to-load", metavar="URI", help="Model that training begins with: s3://…/epoch-2.")
@log_level
@common_flags
@click.pass_context
def train(ctx: click.Context, /, **given: Any) -> int:
    """Train a model on a partitioned graph: one host for each partition.

    Options that are not listed here go to GraphStorm as they are, `--backend gloo` among them.
    """
    return _run(ctx, TRAIN, given)


@click.command(cls=Forwarding, context_settings=dict(SETTINGS))
@_all(*_GRAPH, *_MODEL)
@click.option(
    "--task-type",
    required=True,
    type=click.Choice((*TASKS, EMBEDDINGS)),
    metavar="TASK",
    help=f"One of {', '.join((*TASKS, EMBEDDINGS))}.",
)
@click.option("--model-artifact-s3", required=True, metavar="URI", help="The saved model: s3://…/epoch-0-iter-999.")
@click.option("--model-sub-path", metavar="PATH", help="Path of the model below that.")
@click.option("--raw-node-mappings-s3", metavar="URI", help="Mappings of node IDs.  [default: GRAPH-DATA-S3/raw_id_mappings]")
@click.option("--output-emb-s3", metavar="URI", help="Where embeddings go.")
@click.option("--output-prediction-s3", metavar="URI", help="Where predictions go.")
@click.option(
    "--output-chunk-size", type=click.IntRange(1), default=CHUNK_SIZE, show_default=True, metavar="N", help="Rows of each file."
)
@log_level
@common_flags
@click.pass_context
def infer(ctx: click.Context, /, **given: Any) -> int:
    """Make embeddings and predictions of a model: one host for each partition of the graph.

    Options that are not listed here go to GraphStorm as they are, `--backend gloo` among them.
    """
    return _run(ctx, INFER, given)


@click.command(cls=Forwarding, context_settings=dict(SETTINGS))
@_all(*_GRAPH)
@click.option("--num-parts", required=True, type=click.IntRange(1), metavar="N", help="Number of parts, and of hosts.")
@click.option("--output-data-s3", "--output-graph-s3", required=True, metavar="URI", help="Where the parts go.")
@click.option("--metadata-filename", default=PARTITION_METADATA, show_default=True, metavar="NAME", help="Metadata of the graph.")
@click.option(
    "--partition-algorithm",
    type=click.Choice(PARTITION_ALGORITHMS),
    default=PARTITION_ALGORITHMS[0],
    show_default=True,
    help="How.",
)
@click.option(
    "--skip-partitioning",
    is_flag=False,
    flag_value="true",
    default=False,
    type=bool,
    metavar="[true|false]",
    help="Assignments are in OUTPUT-DATA-S3/partition already.",
)
@log_level
@common_flags
@click.pass_context
def partition(ctx: click.Context, /, **given: Any) -> int:
    """Partition a graph in DGL's chunked format, on one host for each part."""
    return _run(ctx, PARTITION, given)


def _run(ctx: click.Context, action: str, given: Any) -> int:
    try:
        given = settled(ctx, given)
        return _submitted(ctx, action, given)
    except HvdsmError as error:
        if given["as_json"]:
            click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}, indent=2))
        raise


def _submitted(ctx: click.Context, action: str, given: Any) -> int:
    from hvdsm.recipes.graph.local_s3 import of_containers, reach_of
    from hvdsm.recipes.graph.preflight import check_graph
    from hvdsm.recipes.graph.request import entry_point_of, graph_request, told

    backend = backend_of(ctx, given)
    given = without_doubles(ctx, given, parse_parameters(given["parameters"]))
    entry_point = entry_point_of(action, given["entry_point"])
    if entry_point != given["entry_point"]:
        said([f"warning: there is no {given['entry_point']} here: hvdsm's own program does what GraphStorm's of this name does"])
    given["entry_point"] = entry_point
    run = run_of(action, given, forwarded_words(ctx), uploads=backend != SAGEMAKER)
    env = pairs(given["environment"], "--env", str)
    if backend == DOCKER:
        env.update(of_containers(os.environ, env))
    with tempfile.TemporaryDirectory(prefix="hvdsm-graph-") as folder:
        request, parts = graph_request(
            run,
            folder,
            timestamp=timestamp(),
            in_cloud=backend == SAGEMAKER,
            entry_point=entry_point,
            parameters=given["parameters"],
            instance_type=type_of(given),
            region=given["region"],
            output=given["output"],
            max_run=given["max_run"],
            env=env,
        )
        said([*told(run, parts, given["parameters"]), *(f"warning: {text}" for text in parts.warnings)])
        arguments = launch_arguments(given)
        if backend == LOCAL and not given["dry_run"]:
            reach = reach_of(given["hosts"], os.environ, given["aws_profile"])
            arguments.update(gateway=reach.gateway, variables=reach.variables)
        # A dry run asks nothing of S3, unless it is told to.
        if action != PARTITION and given["check_graph"] and (not given["dry_run"] or given_by_flag(ctx, "check_graph")):
            check_graph(run, given["region"], given["aws_profile"])
        if action == PARTITION and not given_by_flag(ctx, "container_program"):
            # What partitions is in the image's hvdsm, and not in the program that is shipped.
            arguments["container_program"] = TRAIN_PROGRAM
        arguments.update(wait=not given["async_execution"], max_run=None)
        for name in ("backend", "as_json", "dry_run"):
            arguments.pop(name)
        if backend == DOCKER:
            arguments["image"] = given["image"]
        return carry_out(ctx, given["as_json"], dry_run=given["dry_run"], backend=backend, asked=request, **arguments)
