"""``hvdsm jobs replay``."""

from __future__ import annotations

import os
import sys
from typing import Any, Mapping, Optional, Tuple

import click

from hvdsm.cli.jobs_common import errors_as_json, found_job, print_json, say, shown, where_flags, where_of


@click.command()
@click.argument("name")
@where_flags(backends=False)
@click.option(
    "--sample",
    "samples",
    multiple=True,
    default=("1000", "1GB"),
    show_default=True,
    metavar="N|SIZE",
    help="Objects, or bytes, of each channel: 1000, 200MB, both, or all.",
)
@click.option("--whole", multiple=True, metavar="CHANNEL", help="Fetch this channel whole.  Repeatable.")
@click.option(
    "--channel", "channels", multiple=True, metavar="NAME=PATH", help="Use this instead of what the job had.  Repeatable."
)
@click.option("--instance-count", type=click.IntRange(1), metavar="N", help="Number of hosts.  [default: the job's]")
@click.option("--processes-per-host", type=click.IntRange(1), metavar="P", help="Ranks on each host.  [default: the job's]")
@click.option("--job-name", metavar="NAME", help="Name of the replay.  [default: NAME-replay]")
@click.option("--max-run", type=click.IntRange(1), metavar="SECONDS", help="Time limit.  [default: the job's]")
@click.option("--checkpoint", metavar="DIR", help="Checkpoints to go on from.  [default: none]")
@click.option("--hosts", type=click.Choice(("auto", "namespaces", "single")), default="auto", help="As of hvdsm launch.")
@click.option("--mpirun", metavar="PATH", help="mpirun to use.  [default: the first on PATH]")
@click.option("--dry-run", is_flag=True, help="Show what would be fetched and run; fetch and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; the job's output goes to stderr.")
def replay(name: str, output: str, region: Optional[str], aws_profile: Optional[str], as_json: bool, **given: Any) -> int:
    """Run a past job of SageMaker again, on hosts of this machine, with its source and a sample of its data.

    The request is made anew from DescribeTrainingJob.  At the end it is said whether the run ended as the job did; the exit code
    is that of the run here.
    """
    if aws_profile is not None:
        # Secrets are fetched by the local back end, which knows the environment only.
        os.environ["AWS_PROFILE"] = aws_profile
    with errors_as_json(as_json):
        return _replay(name, where_of(output, region, aws_profile, "sagemaker"), output, as_json, **given)


def _replay(name: str, where: Any, output: str, as_json: bool, *, dry_run: bool, **given: Any) -> int:
    from hvdsm.api import execute
    from hvdsm.backends.display import Display
    from hvdsm.backends.local import LocalBackend
    from hvdsm.cli.cloud_flags import pairs
    from hvdsm.cli.data import Progress
    from hvdsm.jobs.replay import ReplayOptions, plan_replay, run_replay, verdict_lines
    from hvdsm.jobs.times import parse_sample

    options = ReplayOptions(
        sample=parse_sample(given.pop("samples")),
        channels=pairs(given.pop("channels"), "--channel", str),
        output=output,
        whole=tuple(given.pop("whole")),
        **given,
    )
    environ: Mapping[str, str] = dict(os.environ)
    progress = Progress(sys.stderr)
    job = found_job(name, where)
    try:
        plan = plan_replay(job, options, environ, seen=progress.seen, say=say)
    finally:
        progress.end()
    if dry_run:
        if as_json:
            print_json(plan.as_json())
        else:
            shown([*plan.lines, "its request:"])
            print_json(plan.as_json()["request"])
        return 0
    display = Display(sys.stderr if as_json else sys.stdout)
    for line in plan.lines:
        display.say(line)

    def run(request: Mapping[str, Any], local: Any) -> Any:
        progress.end()
        return execute(request, local, display)

    outcome, comparison = run_replay(
        job,
        plan,
        options,
        environ,
        run,
        begin=progress.begin,
        progress=progress.add,
        say=progress.say,
        check=lambda request, local: LocalBackend(local).plan(request),
    )
    lines: Tuple[str, ...] = tuple(verdict_lines(job.name, comparison))
    for line in lines:
        display.say(line)
    if as_json:
        import json

        told = {"outcome": json.loads(outcome.to_json()), "verdict": comparison.verdict, "comparison": list(comparison.lines)}
        print_json({**plan.as_json(), **told})
    return int(outcome.exit_code)
