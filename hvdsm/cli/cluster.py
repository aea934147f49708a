"""``hvdsm cluster``."""

from __future__ import annotations

import os
from typing import Tuple

import click

from hvdsm.cli.shaping_flags import shaping_flags
from hvdsm.emulator import ClusterSpec, Mount, run_command
from hvdsm.errors import UsageError
from hvdsm.model.slow import slow_hosts as parsed


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--instance-count", type=click.IntRange(1), default=2, show_default=True, metavar="N", help="Number of hosts.")
@shaping_flags
@click.option(
    "--mount",
    "mounts",
    multiple=True,
    metavar="PATH[:TARGET][:rw]",
    help="Show PATH to all hosts, read-only unless :rw.  Repeatable.",
)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
def command(
    instance_count: int, delay_ms: float, mbit: float, slow_hosts: Tuple[str, ...], mounts: Tuple[str, ...], argv: Tuple[str, ...]
) -> int:
    """Start hosts algo-1 to algo-N and run CMD on the first one, or a shell without CMD; `ssh algo-2` works there.

    The hosts see this machine's files; what they write there is their own and gone afterwards, except under --mount PATH:rw.

    \b
    Examples:
      hvdsm cluster --instance-count 4
      hvdsm cluster --instance-count 2 -- ssh algo-2 hostname
    """  # noqa: D301
    spec = ClusterSpec(
        instance_count=instance_count,
        mounts=tuple(parse_mount(text) for text in mounts),
        sshd=True,
        delay_ms=delay_ms,
        mbit=mbit,
        slow=parsed(slow_hosts),
    )
    return run_command(spec, list(argv))


def parse_mount(text: str) -> Mount:
    """``PATH``, ``PATH:TARGET``, either with ``:rw``.

    Raises:
        UsageError: PATH does not exist, or TARGET is not absolute.
    """
    rest, colon, mode = text.rpartition(":")
    writable = bool(colon) and mode == "rw"
    if colon and mode in ("rw", "ro"):
        text = rest
    source, _, target = text.partition(":")
    source = os.path.abspath(os.path.expanduser(source))
    if not os.path.exists(source):
        raise UsageError(f"{source} does not exist", where="--mount")
    if target and not os.path.isabs(target):
        raise UsageError(f"must be an absolute path, not {target}", where="--mount TARGET")
    return Mount(source, target or source, writable=writable)
