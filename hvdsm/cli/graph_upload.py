"""``hvdsm graph upload``."""

from __future__ import annotations

import json
import sys
from typing import Any, Dict, Optional

import click

from hvdsm.cli.data import Progress
from hvdsm.errors import HvdsmError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("graph", metavar="DIR")
@click.argument("yaml", metavar="YAML")
@click.option("--graph-data-s3", required=True, metavar="URI", help="Where the graph goes.")
@click.option("--yaml-s3", required=True, metavar="URI", help="Where the configuration goes: a name, or a folder with a slash.")
@click.option("--region", metavar="REGION", help="AWS region.  [default: that of the AWS configuration]")
@click.option("--aws-profile", metavar="NAME", help="Profile of the AWS configuration.  [default: AWS_PROFILE]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
def upload(
    graph: str, yaml: str, graph_data_s3: str, yaml_s3: str, region: Optional[str], aws_profile: Optional[str], as_json: bool
) -> int:
    """Bring the partitioned graph in DIR and GraphStorm's configuration YAML to S3.

    DIR has the graph's metadata and all of its partitions.  The configuration does not lie below the graph.  What is there
    already with the same content is not copied again.
    """
    from hvdsm.recipes.graph.uploading import bring, planned

    progress = Progress(sys.stderr)
    try:
        asked = planned(graph, yaml, graph_data_s3, yaml_s3)
        found: Dict[str, Any] = bring(asked, region, aws_profile, say=progress.say, progress=progress.add, begin=progress.begin)
    except HvdsmError as error:
        if as_json:
            click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}, indent=2))
        raise
    finally:
        progress.end()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return 0
    click.echo(
        f"{found['files']:,} files, {found['bytes']:,} bytes ({found['present']:,} files there already): "
        f"{found['parts']} partitions to {found['graph_data_s3']}, the configuration to {found['yaml_s3']}"
    )
    return 0
