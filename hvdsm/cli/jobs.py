"""``hvdsm jobs``: jobs of this machine and of SageMaker, by their names."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

import click

from hvdsm.cli.jobs_common import errors_as_json, found_job, output_display, print_json, say, shown, where_flags, where_of
from hvdsm.cli.jobs_replay import replay

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List, follow, stop, download and replay jobs, of this machine and of SageMaker.

    A job is named as it was launched.  It is looked for in the results of this machine first, then in SageMaker.

    \b
    Examples:
      hvdsm jobs list --since 2d --status Failed
      hvdsm jobs logs first --follow --rank 3
      hvdsm jobs replay train-2026-01-31 --sample 200MB
    """  # noqa: D301


@command.command("list")
@where_flags()
@click.option("--status", metavar="STATUS", help="Completed, Failed, InProgress, Stopping, Stopped or Lost.")
@click.option("--name", "contains", metavar="TEXT", help="Only names that have this in them.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many.")
@click.option("--since", metavar="TIME", help="Created since then: 10m, 2h, 3d, or 2026-01-31[T12:00].")
@_JSON
def list_command(
    output: str, region: Optional[str], aws_profile: Optional[str], backend: Optional[str], as_json: bool, **given: Any
) -> int:
    """List jobs, the newest first."""
    with errors_as_json(as_json):
        from hvdsm.jobs import list_all
        from hvdsm.jobs.lookup import Filters
        from hvdsm.jobs.tables import drawn, plain
        from hvdsm.jobs.times import parse_since

        since = None if given["since"] is None else parse_since(given["since"], time.time())
        filters = Filters(given["status"], given["contains"], given["limit"], since)
        jobs, notes = list_all(where_of(output, region, aws_profile, backend), filters)
    for note in notes:
        say(note)
    if as_json:
        print_json([job.as_json() for job in jobs])
    elif not jobs:
        say(f"no jobs in {os.path.abspath(output)}" + ("" if backend == "local" else ", nor any found in SageMaker"))
    elif sys.stdout.isatty():
        click.echo(drawn(jobs, time.time()), nl=False)
    else:
        shown(plain(jobs, time.time()))
    return 0


@command.command()
@click.argument("name")
@where_flags()
@click.option("--exit-code", is_flag=True, help="Exit with the job's own code (0 while it runs).")
@_JSON
def status(
    name: str,
    output: str,
    region: Optional[str],
    aws_profile: Optional[str],
    backend: Optional[str],
    exit_code: bool,
    as_json: bool,
) -> int:
    """Show how a job is: status, hosts, phases, and how it ended."""
    with errors_as_json(as_json):
        job = found_job(name, where_of(output, region, aws_profile, backend), quiet=True)
        state = job.state()
    if as_json:
        print_json(state.as_json())
    else:
        from hvdsm.jobs.tables import state_lines

        shown(state_lines(state, job.place))
    if not exit_code:
        return 0
    return 1 if state.summary.status == "Lost" else int(state.exit_code or 0)


@command.command()
@click.argument("name")
@where_flags()
def describe(name: str, output: str, region: Optional[str], aws_profile: Optional[str], backend: Optional[str]) -> int:
    """Print all that is known of a job, as JSON: request and outcome, or DescribeTrainingJob's answer; secrets are masked."""
    with errors_as_json(True):
        described = found_job(name, where_of(output, region, aws_profile, backend)).describe()
    print_json(described)
    return 0


@command.command()
@click.argument("name")
@where_flags()
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends.")
@click.option("--rank", "ranks", type=click.IntRange(0), multiple=True, metavar="R", help="Only lines of this rank.  Repeatable.")
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="Only lines of this host.  Repeatable.")
@click.option("--since", metavar="TIME", help="Lines since then: 10m, or 2026-01-31T12:00; locally: logs written to since then.")
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Only the last N lines.")
@click.option("--fold", is_flag=True, help="Show identical lines of several ranks once, with their ranks.")
@click.option("--grep", metavar="REGEX", help="Only lines with this in them; [rank,host] does not count.")
def logs(
    name: str, output: str, region: Optional[str], aws_profile: Optional[str], backend: Optional[str], follow: bool, **given: Any
) -> int:
    """Show the lines of a job's ranks and hosts, each once."""
    from hvdsm.jobs.select import Selection, Wanted, check_hosts, hosts_to_read, last, pattern
    from hvdsm.jobs.times import parse_since

    wanted = Wanted(
        frozenset(given["ranks"]),
        frozenset(given["hosts"]),
        None if given["since"] is None else parse_since(given["since"], time.time()),
        given["tail"],
        pattern(given["grep"]),
        given["fold"],
    )
    job = found_job(name, where_of(output, region, aws_profile, backend))
    if wanted.hosts:
        check_hosts(wanted, job.state().hosts)
    hosts = hosts_to_read(wanted, job.launcher, job.repeats(), job.alone())
    selection = Selection(wanted, job.launcher, job.repeats(), timed=follow or job.backend != "local", alone=job.alone())
    batches = job.lines(hosts=hosts, since=wanted.since, follow=follow, say=say)
    display = output_display(job.launcher)

    def lines() -> Iterator[List[Tuple[str, bytes]]]:
        for batch in batches:
            yield selection.take(batch, time.monotonic() if follow else None)
        yield selection.finish()

    if wanted.tail is None:
        for batch in lines():
            _show(display, batch)
    elif not follow:
        _show(display, list(last((line for batch in lines() for line in batch), wanted.tail)))
    else:
        _show_tail(display, lines(), wanted.tail)
    return 0


def _show_tail(display: Any, batches: Iterator[List[Tuple[str, bytes]]], count: int) -> None:
    """The last lines of what there is, then all that come; what there is ends with the first batch that is empty."""
    from hvdsm.jobs.select import last

    before: List[Tuple[str, bytes]] = []
    for batch in batches:
        if not batch:
            break
        before = list(last(iter([*before, *batch]), count))
    _show(display, before)
    for batch in batches:
        _show(display, batch)


def _show(display: Any, lines: List[Tuple[str, bytes]]) -> None:
    from itertools import groupby

    from hvdsm.backends.base import OUTPUT, Event

    for host, group in groupby(lines, key=lambda line: line[0]):
        display.show(Event(OUTPUT, data=b"".join(data + b"\n" for _, data in group), host=host))


@command.command()
@click.argument("name")
@where_flags()
@click.option("--now", is_flag=True, help="Kill all hosts of a local job instead of asking its ranks to end.")
@click.option("--wait", is_flag=True, help="Return when it has ended.")
def stop(
    name: str, output: str, region: Optional[str], aws_profile: Optional[str], backend: Optional[str], now: bool, wait: bool
) -> int:
    """Stop a job: SIGTERM to its ranks, and what they have left is kept."""
    job = found_job(name, where_of(output, region, aws_profile, backend))
    say(job.stop(now=now))
    if wait:
        outcome = job.wait(say)
        say(f"{job.name} is {outcome.status.lower()}, exit code {outcome.exit_code}")
    return 0


@command.command()
@click.argument("name")
@where_flags()
@click.option("--stop-on-interrupt", is_flag=True, help="Ctrl-C stops the job.  [default: leaves it]")
@_JSON
def wait(
    name: str,
    output: str,
    region: Optional[str],
    aws_profile: Optional[str],
    backend: Optional[str],
    stop_on_interrupt: bool,
    as_json: bool,
) -> int:
    """Show a job until it ends; the exit code is the job's, as of hvdsm launch."""
    with errors_as_json(as_json):
        job = found_job(name, where_of(output, region, aws_profile, backend))
        display = output_display(job.launcher, as_json=as_json)
        if job.backend == "sagemaker":
            from hvdsm.backends.sagemaker import Detached, follow

            try:
                outcome = follow(job.aws, job.name, display, stop_on_interrupt=stop_on_interrupt)
            except Detached as detached:
                return detached.exit_code
        else:
            outcome = _wait_here(job, display, stop_on_interrupt)
    if as_json:
        click.echo(outcome.to_json(), nl=False)
    return int(outcome.exit_code)


def _wait_here(job: Any, display: Any, stop_on_interrupt: bool) -> Any:
    from hvdsm.jobs.select import Selection, Wanted

    selection = Selection(Wanted(), job.launcher, job.repeats(), timed=False, alone=job.alone())
    asked = False
    while True:
        try:
            for batch in job.lines(hosts=None, since=None, follow=True, say=say):
                _show(display, selection.take(batch))
            outcome = job.wait(say)
            break
        except KeyboardInterrupt:
            if not stop_on_interrupt or asked:
                display.say(f"{job.name} goes on without this command; to stop it: hvdsm jobs stop {job.name}")
                raise
            asked = True
            display.say(job.stop(now=False))
            outcome = job.wait(say)
            break
    display.summary(outcome, job.directory)
    return outcome


@command.command()
@click.argument("name")
@where_flags()
@click.option("--to", "target", metavar="DIR", help="Directory for model/, output/ and logs/.  [default: OUTPUT/NAME]")
@click.option("--logs", "with_logs", is_flag=True, help="The logs of all hosts, too.")
@_JSON
def download(
    name: str,
    output: str,
    region: Optional[str],
    aws_profile: Optional[str],
    backend: Optional[str],
    target: Optional[str],
    with_logs: bool,
    as_json: bool,
) -> int:
    """Bring model and output of a job of SageMaker here, unpacked; of a local run say where they are, or copy them."""
    from hvdsm.cli.data import Progress
    from hvdsm.jobs import results

    with errors_as_json(as_json):
        job = found_job(name, where_of(output, region, aws_profile, backend))
        if job.backend == "local":
            found: Dict[str, str] = results.copy_local(job, target, logs=with_logs)
        else:
            progress = Progress(sys.stderr)
            place = os.path.abspath(target or os.path.join(output, job.name))
            try:
                found = results.download_cloud(
                    job, place, logs=with_logs, begin=progress.begin, progress=progress.add, say=progress.say
                )
            finally:
                progress.end()
    if as_json:
        print_json(found)
    else:
        shown([f"{what}: {path}" for what, path in found.items()])
    return 0


command.add_command(replay)
