"""``hvdsm graph``: GraphStorm's jobs; each command's module is imported when it is called."""

from __future__ import annotations

import click

from hvdsm.cli.lazy import group_of

# Name of the command, the module that has it, its name there, and its line in the list.
_COMMANDS = {
    "upload": ("hvdsm.cli.graph_upload", "upload", "Bring a partitioned graph and its configuration to S3."),
    "construct": ("hvdsm.cli.graph_construct", "construct", "Make a partitioned graph of raw data with GConstruct."),
    "partition": ("hvdsm.cli.graph_jobs", "partition", "Partition a graph in DGL's chunked format."),
    "train": ("hvdsm.cli.graph_jobs", "train", "Train a model on a partitioned graph."),
    "infer": ("hvdsm.cli.graph_jobs", "infer", "Make embeddings and predictions of a model."),
}


@click.group(cls=group_of("graph", _COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Construct, partition, train and infer graphs with GraphStorm, on hosts of this machine or in SageMaker.

    The options are those of GraphStorm's SageMaker launchers.  All others go to GraphStorm as they are.

    \b
    Examples:
      hvdsm graph upload mag_2p/ mag_lp.yaml --graph-data-s3 s3://B/mag_2p --yaml-s3 s3://B/mag_lp.yaml
      hvdsm graph construct --input-graph-s3 s3://B/raw --output-graph-s3 s3://B/mag_2p --graph-name mag \\
        --graph-config-file config.json --num-parts 2
      hvdsm graph train --instance-count 2 --graph-data-s3 s3://B/mag_2p --graph-name mag --task-type link_prediction \\
        --yaml-s3 s3://B/mag_lp.yaml --model-artifact-s3 s3://B/model --num-layers 1 --fanout 10
      hvdsm graph infer --instance-count 2 --graph-data-s3 s3://B/mag_2p --graph-name mag --task-type link_prediction \\
        --yaml-s3 s3://B/mag_lp.yaml --model-artifact-s3 s3://B/model/JOB/output/model/epoch-2 --output-emb-s3 s3://B/emb
      hvdsm graph partition --graph-data-s3 s3://B/chunked --num-parts 2 --output-data-s3 s3://B/mag_2p
    """  # noqa: D301
