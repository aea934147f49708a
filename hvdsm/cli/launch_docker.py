"""``hvdsm launch --backend docker``."""

from __future__ import annotations

import json
from typing import Any, Mapping

import click

from hvdsm.backends.display import Display
from hvdsm.backends.docker import DockerOptions
from hvdsm.backends.executing import container_options, execute
from hvdsm.backends.local import LocalOptions
from hvdsm.cli.defaults import given_by_flag
from hvdsm.cli.shaping_flags import refuse_shaping
from hvdsm.errors import UsageError

# What only emulated hosts can do.
_EMULATED = ("hosts", "mpirun")
_TOLD = ("engine", "shm_size", "container_program", "aws_profile")


def run(
    ctx: click.Context,
    request: Mapping[str, Any],
    told: Mapping[str, Any],
    local: LocalOptions,
    display: Display,
    *,
    as_json: bool,
    dry_run: bool,
) -> int:
    """Run a request in containers, or show what would be done; the exit code is the job's.

    Args:
        ctx: of the command.
        request: the request.
        told: options that are said to a back end.
        local: those that the local back end has as well.
        display: where the job is shown.
        as_json: whether standard output is for a machine.
        dry_run: whether nothing is started.

    Raises:
        UsageError: an option is for emulated hosts.
    """
    refuse_shaping(ctx)
    for name in _EMULATED:
        if given_by_flag(ctx, name):
            raise UsageError("is for emulated hosts", where=f"--{name}", remedy="leave it out, or --backend local")
    options = container_options(
        {name: told[name] for name in _TOLD},
        output=local.output,
        s3_root=local.s3_root,
        stop_grace=local.stop_grace,
        interrupt_after=local.interrupt_after,
    )
    if dry_run:
        from hvdsm.backends.docker.dryrun import dry_run as described

        shown = described(request, options)
        click.echo(json.dumps(shown.as_json(), indent=2) if as_json else shown.as_text(), nl=as_json)
        return 0
    if told["no_run"]:
        return _write(request, options, display, as_json=as_json)
    outcome = execute(request, options, display)
    if as_json:
        click.echo(outcome.to_json(), nl=False)
    return outcome.exit_code


def _write(request: Mapping[str, Any], options: DockerOptions, display: Display, *, as_json: bool) -> int:
    from hvdsm.backends.docker import DockerBackend

    backend = DockerBackend(options)
    plan = backend.plan(request)
    written = backend.write(plan, display.say)
    if as_json:
        answer = {
            "job_name": plan.job_name,
            "file": written.compose_file,
            "hosts": list(plan.hosts),
            "commands": list(written.commands),
            "variables": list(written.variables),
        }
        click.echo(json.dumps(answer, indent=2))
        return 0
    click.echo(f"{written.compose_file}: {len(plan.hosts)} host{'s' if len(plan.hosts) > 1 else ''}; to run it:")
    for line in written.commands:
        click.echo(f"  {line}")
    if written.variables:
        click.echo(f"set before, since the file does not hold their values: {', '.join(written.variables)}")
    return 0
