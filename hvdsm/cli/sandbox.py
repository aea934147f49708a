"""``hvdsm sandbox``."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterator, Optional, Tuple

import click

from hvdsm.backends.local.options import HOST_MODES
from hvdsm.cli.shaping_flags import shaping_flags
from hvdsm.errors import HvdsmError

if TYPE_CHECKING:
    from hvdsm.sandbox.companion import Companion


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="TCP port on loopback.  [default: any]")
@click.option("--output", default="hvdsm-out", show_default=True, metavar="DIR", help="Results of jobs go to DIR/JOB-NAME/.")
@click.option("--s3", "shelf", metavar="DIR", help="Keep the objects of S3 as DIR/BUCKET/KEY, for this sandbox and the next.")
@click.option("--region", metavar="REGION", help="AWS region.  [default: yours, else us-east-1]")
@click.option(
    "--runner",
    type=click.Choice(("emulated", "instant")),
    default="emulated",
    show_default=True,
    help="Train on emulated hosts, or only play that jobs complete.",
)
@click.option(
    "--hosts",
    type=click.Choice(HOST_MODES),
    default="auto",
    show_default=True,
    help="Emulated hosts from namespaces, or this machine as the single host.",
)
@click.option("--mpirun", metavar="PATH", help="mpirun to use.  [default: the first on PATH]")
@shaping_flags
@click.option("--stop-grace", type=click.FloatRange(0), metavar="SECONDS", help="From SIGTERM to SIGKILL.  [default: 120]")
@click.option("--no-wait", is_flag=True, help="End jobs that still run when COMMAND has ended, instead of waiting for them.")
@click.option("--verbose", is_flag=True, help="Say what happens to each job.")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARGS...]]")
def command(argv: Tuple[str, ...], no_wait: bool, shelf: Optional[str], verbose: bool, **given: Any) -> int:
    """Run COMMAND where SageMaker, S3 and the services around them are on this machine, and training jobs run on emulated hosts.

    COMMAND is any program that uses the SageMaker SDK 2 or 3, boto3 or the AWS CLI, a notebook server too; it stays as it is, and
    nothing of it reaches AWS.  Without COMMAND, prints the variables to export, and serves until it is interrupted.

    \b
    Examples:
      hvdsm sandbox -- python fit.py
      hvdsm sandbox --s3 ./s3 -- jupyter lab
      hvdsm sandbox > sandbox.env
    """  # noqa: D301
    from hvdsm.model.slow import slow_hosts
    from hvdsm.sandbox.serving import Serving, serve

    # What is written wrongly is said now, not by the first job.
    slow_hosts(given["slow_hosts"])
    local = {name: given.pop(name) for name in ("hosts", "mpirun", "delay_ms", "mbit", "slow_hosts", "stop_grace")}
    local = {name: value for name, value in local.items() if value is not None and value != ()}
    serving = Serving(shelf=shelf, local=local, verbose=verbose, **given)
    if not argv:
        return serve(serving)
    return _run(serving, argv, wait=not no_wait)


def _run(serving: Any, argv: Tuple[str, ...], *, wait: bool) -> int:
    from hvdsm.sandbox.companion import Companion, summary
    from hvdsm.sandbox.foreground import find_program, run
    from hvdsm.sandbox.serving import say

    find_program(argv[0], os.environ)
    companion = Companion(serving, os.environ)
    try:
        ended = run(argv, companion.environ)
    except HvdsmError:
        companion.end()
        raise
    code = ended.code
    with _interruptible():
        try:
            if not companion.is_there:
                say("warning: the sandbox has ended before the command, and its jobs with it")
            # Who has interrupted the command wants its jobs to end, too; the SDK 3 may swallow the interrupt, and exit with 0.
            _see_to_jobs(companion, wait and not (ended.signals and (code != 0 or ended.promptly)))
        except _Interrupted as told:
            say("ending all jobs (Ctrl-C once more: at once)")
            code = 128 + told.number
        try:
            jobs = companion.end()
        except _Interrupted as told:
            companion.kill()
            return 128 + told.number
    for line in summary(jobs, companion.output, shelf=serving.shelf):
        say(line)
    return code


def _see_to_jobs(companion: Companion, wait: bool) -> None:
    """Wait for jobs that still run, or say that they will be ended."""
    from hvdsm.sandbox.companion import running
    from hvdsm.sandbox.serving import say

    left = running(companion.jobs())
    names = ", ".join(job["name"] for job in left)
    if left and wait:
        say(f"waiting for what the command has left running: {names} (Ctrl-C ends it; --no-wait does not wait)")
        companion.wait()
    elif left:
        say(f"ending {len(left)} job{'s' if len(left) > 1 else ''}: {names}")


class _Interrupted(Exception):
    """A signal that says that all is to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have signals raise :class:`_Interrupted`; those that were ignored stay so."""

    def interrupt(number: int, _: object) -> None:
        raise _Interrupted(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
