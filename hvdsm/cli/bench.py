"""``hvdsm bench``."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import click

from hvdsm.api import DEFAULT_OUTPUT, LOCAL, SAGEMAKER
from hvdsm.backends.local import HOST_MODES
from hvdsm.bench.program.rounds import ALL, KINDS
from hvdsm.cli.cloud_flags import Sectioned, cloud_flags, taken_apart
from hvdsm.cli.defaults import given_by_flag, settled
from hvdsm.cli.jobs_common import errors_as_json
from hvdsm.cli.shaping_flags import refuse_shaping, shaping_flags
from hvdsm.compose.request import LOCAL_INSTANCE_TYPE
from hvdsm.errors import UsageError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Measure the network between the hosts of a job, and show it."""


@command.command(cls=Sectioned)
@click.option("--instance-count", type=click.IntRange(1), default=2, show_default=True, metavar="N", help="Number of hosts.")
@click.option(
    "--processes-per-host",
    type=click.IntRange(1),
    metavar="P",
    help="Ranks on each host, for all-reduce; pairs have one.  [default: its GPUs, else 1]",
)
@click.option("--backend", type=click.Choice((LOCAL, SAGEMAKER)), default=LOCAL, show_default=True, help="Where the job runs.")
@click.option("--sizes", metavar="LIST", help="Bytes of messages: 8,1K,64K,1M.  [default: 8 to 4M; all-reduce 4K to 16M]")
@click.option("--max-size", metavar="SIZE", help="Leave out larger messages.")
@click.option("--seconds", type=click.FloatRange(0.001, 60), metavar="S", help="Time for each point.  [default: 0.1]")
@click.option("--quick", is_flag=True, help="Few sizes, little time, MPI alone: for a first look.")
@click.option("--engines", metavar="LIST", help="Of mpi,torch,horovod.  [default: all that are installed]")
@click.option(
    "--pairs",
    type=click.Choice(KINDS),
    default=ALL,
    show_default=True,
    help="Which pairs: all; each host and the next; the first host and each other.",
)
@click.option(
    "--together/--one-by-one",
    default=None,
    help="Measure pairs of different hosts at the same time.  [default: in SageMaker with more than 8 hosts]",
)
@click.option(
    "--custom-mpi-options", "--mpi-options", default="", metavar="STR", help="Options for mpirun, such as those for EFA."
)
@click.option("--env", "environment", multiple=True, metavar="K=V", help="Environment of the container.  Repeatable.")
@click.option("--label", metavar="TEXT", help="What the page and comparisons call it.  [default: the job's name]")
@click.option("--job-name", metavar="NAME", help="Name of the job.  [default: network and the time]")
@click.option("--max-run", type=int, default=3600, show_default=True, metavar="SECONDS", help="Time limit of the job.")
@click.option(
    "--output", default=DEFAULT_OUTPUT, show_default=True, metavar="DIR", help="DIR/JOB-NAME/network.json and network.html."
)
@click.option("--job", "earlier", metavar="NAME", help="Fetch what a job measured in SageMaker that was not waited for.")
@click.option("--compare", "compared", nargs=2, metavar="A.json B.json", help="Compare two results, and measure nothing.")
@click.option("--html", metavar="FILE", help="Where the page goes.  [default: network.html; of a comparison none]")
@click.option("--mpirun", metavar="PATH", help="mpirun to use.  [default: the first on PATH]")
@click.option("--hosts", type=click.Choice(HOST_MODES), default="auto", show_default=True, help="Emulated hosts are needed.")
@click.option("--instance-type", default=LOCAL_INSTANCE_TYPE, show_default=True, metavar="TYPE", help="Type of the hosts.")
@click.option("--region", metavar="REGION", help="AWS region.")
@shaping_flags
@cloud_flags
@click.option("--dry-run", is_flag=True, help="Show what would be run, and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON; all else goes to stderr.")
@click.pass_context
def network(
    ctx: click.Context,
    /,
    as_json: bool,
    compared: Optional[Tuple[str, str]],
    html: Optional[str],
    earlier: Optional[str],
    **given: Any,
) -> int:
    """Measure latency and bandwidth between all pairs of hosts, and all-reduce; name the slow ones, and draw them.

    A job of the same kind as of hvdsm launch measures: on hosts of this machine, or in SageMaker.  Latency is half of a round
    trip, bandwidth that of the slower direction.  Results: DIR/JOB-NAME/network.json, and network.html beside it.

    \b
    Examples:
      hvdsm bench network --instance-count 4
      hvdsm bench network --instance-count 4 --slow-host algo-3:delay-ms=20,mbit=100
      hvdsm bench network --backend sagemaker --instance-type ml.c5n.18xlarge --instance-count 8 --vpc-stack NAME --image URI
      hvdsm bench network --compare before.json after.json --html compared.html
    """  # noqa: D301
    with errors_as_json(as_json):
        if compared is not None:
            from hvdsm.cli.bench_compare import compare_files

            return compare_files(*compared, html=html, as_json=as_json)
        from hvdsm.cli.bench_results import Run, fetch
        from hvdsm.cli.bench_run import measure

        given = settled(ctx, given)
        cloud, told, given = taken_apart(given)
        if cloud.instance_groups and given_by_flag(ctx, "instance_count"):
            raise UsageError("instance groups say it for each group", where="--instance-count", remedy="leave it out")
        if given["backend"] == SAGEMAKER:
            refuse_shaping(ctx)
        run = Run(cloud=cloud, told=told, given=given, html=html, as_json=as_json)
        return measure(run) if earlier is None else fetch(run, earlier)
