"""``hvdsm graph construct``: a processing job."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any, Dict

import click

from hvdsm.api import DOCKER, SAGEMAKER
from hvdsm.backends.display import Display
from hvdsm.cli.cloud_flags import pairs
from hvdsm.cli.defaults import settled
from hvdsm.cli.graph_common import (
    SETTINGS,
    Forwarding,
    backend_of,
    common_flags,
    forwarded_words,
    launch_arguments,
    said,
    timestamp,
    type_of,
    without_doubles,
)
from hvdsm.cli.launch import carry_out
from hvdsm.errors import HvdsmError, UsageError
from hvdsm.recipes.graph.parameters import PROCESSOR, parse_parameters, with_parameters
from hvdsm.recipes.graph.processing import Construction, construct_command, construct_words, processing_request
from hvdsm.recipes.graph.request import told_words
from hvdsm.recipes.graph.run import PROCESSING_TYPE


@click.command("construct", cls=Forwarding, context_settings=dict(SETTINGS))
@click.option("--input-graph-s3", "--graph-data-s3", "input_graph", required=True, metavar="URI", help="The raw data in S3.")
@click.option("--output-graph-s3", "output_graph", required=True, metavar="URI", help="Where the graph goes.")
@click.option("--graph-name", required=True, metavar="NAME", help="Name of the graph.")
@click.option(
    "--graph-config-file", "config_file", required=True, metavar="PATH", help="GConstruct's configuration, below the raw data."
)
@click.option("--instance-count", type=click.IntRange(1), default=1, metavar="N", help="Always 1.")
@common_flags
@click.pass_context
def construct(ctx: click.Context, /, **given: Any) -> int:
    """Make a partitioned graph of raw data with GraphStorm's GConstruct, on one host.

    Options that are not listed here go to GConstruct as they are: `--num-parts 2`.
    """
    try:
        given = settled(ctx, given)
        return _submitted(ctx, given)
    except HvdsmError as error:
        if given["as_json"]:
            click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}, indent=2))
        raise


def _submitted(ctx: click.Context, given: Dict[str, Any]) -> int:
    backend = backend_of(ctx, given)
    values = parse_parameters(given["parameters"], PROCESSOR)
    given = without_doubles(ctx, given, values)
    asked = Construction(
        given["input_graph"],
        given["output_graph"],
        given["graph_name"],
        given["config_file"],
        image=given["image"],
        role=given["role"],
        instance_type=type_of(given) or PROCESSING_TYPE,
        task_name=given["task_name"],
        extra=forwarded_words(ctx),
    )
    said(
        [
            f"Launch parameters: {asked.input_graph} -> {asked.output_graph}, graph {asked.graph_name}",
            *told_words(construct_words(asked), values),
        ]
    )
    if given["instance_count"] != 1:
        said([f"warning: --instance-count {given['instance_count']} becomes 1: GConstruct runs on one host"])
    if backend == DOCKER:
        raise UsageError("is not for the construction of graphs", where="--backend docker", remedy="local or sagemaker")
    if backend == SAGEMAKER:
        return _in_the_cloud(asked, values, given)
    return _here(ctx, asked, values, given)


def _in_the_cloud(asked: Construction, values: Dict[str, Any], given: Dict[str, Any]) -> int:
    from hvdsm.recipes.graph.processing_run import attend, check_processing, checked_request, follower_of, masked, submit

    env, tags = pairs(given["environment"], "--env", str), pairs(given["tags"], "--tag", str)
    request = checked_request(processing_request(asked, timestamp()), given, env, tags)
    request = with_parameters(request, values, PROCESSOR)
    check_processing(request)
    if given["dry_run"]:
        shown = masked(request)
        click.echo(json.dumps({"request": shown} if given["as_json"] else shown, indent=2))
        return 0
    display = Display(sys.stderr if given["as_json"] else sys.stdout)
    job = submit(request, given["region"], given["aws_profile"], display.say)
    answer: Dict[str, Any] = {"job_name": job.name, "arn": job.arn, "region": job.region}
    code = 0
    if not given["async_execution"]:
        status, reason = attend(
            job,
            display.say,
            stop_on_interrupt=given["stop_on_interrupt"],
            logs=follower_of(job),
            show=lambda text: click.echo(text, err=given["as_json"]),
        )
        answer.update(status=status, reason=reason)
        code = 0 if status == "Completed" else 1
    if given["as_json"]:
        click.echo(json.dumps(answer, indent=2))
    return code


def _here(ctx: click.Context, asked: Construction, values: Dict[str, Any], given: Dict[str, Any]) -> int:
    from hvdsm.recipes.graph.local_s3 import reach_of
    from hvdsm.recipes.graph.request import construction_request

    with tempfile.TemporaryDirectory(prefix="hvdsm-graph-") as folder:
        request = construction_request(
            asked,
            folder,
            construct_command(asked),
            timestamp=timestamp(),
            output=given["output"],
            region=given["region"],
            max_run=given["max_run"],
            env=pairs(given["environment"], "--env", str),
            values=values,
        )
        arguments = launch_arguments(given)
        if not given["dry_run"]:
            reach = reach_of(given["hosts"], os.environ, given["aws_profile"])
            arguments.update(gateway=reach.gateway, variables=reach.variables)
        arguments.update(max_run=None)
        for name in ("backend", "as_json", "dry_run"):
            arguments.pop(name)
        return carry_out(ctx, given["as_json"], dry_run=given["dry_run"], backend="local", asked=request, **arguments)
