"""Options that slow the network between emulated hosts, the same for every command that starts some."""

from __future__ import annotations

from typing import Any, Callable, TypeVar

import click

from hvdsm.cli.defaults import given_by_flag
from hvdsm.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_FLAGS = {"delay_ms": "--delay-ms", "mbit": "--mbit", "slow_hosts": "--slow-host"}
_OPTIONS = (
    click.option("--delay-ms", type=click.FloatRange(0), default=0, metavar="MS", help="One-way network delay between hosts."),
    click.option("--mbit", type=click.FloatRange(0), default=0, metavar="RATE", help="Rate of each host's link, Mbit/s."),
    click.option(
        "--slow-host",
        "slow_hosts",
        multiple=True,
        metavar="HOST:HOW",
        help="A host slower in both directions: algo-3:delay-ms=20,mbit=100.  Repeatable.",
    ),
)


def shaping_flags(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def refuse_shaping(context: click.Context) -> None:
    """Refuse such a flag where nothing comes of it, in the cloud and in containers; a default of the configuration gives way.

    Raises:
        UsageError: one was given on the command line.
    """
    for name, flag in _FLAGS.items():
        if given_by_flag(context, name):
            raise UsageError("only a network of emulated hosts can be slowed", where=flag, remedy="--backend local")
