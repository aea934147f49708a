"""hvdsm's own commands in a group that configures them, as ``hvdsm.cli.app`` does, and a directory with a configuration."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click

from hvdsm.cli.app import app
from hvdsm.cli.defaults import META, configurable
from hvdsm.cli.launch import command as launch

COMMANDS = app.list_commands(click.Context(app))


class Hooked(click.Group):
    """The commands of hvdsm, each with its defaults."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        found = app.get_command(ctx, cmd_name)
        return found if found is None or cmd_name == "config" else configurable(found, (cmd_name,), COMMANDS)


def hooked(*words: str) -> Any:
    """Run a command line; gives what the command returns."""
    return Hooked("hvdsm").main(list(words), prog_name="hvdsm", standalone_mode=False)


def parsed(*flags: str) -> click.Context:
    """The context of ``hvdsm launch FLAGS`` after parsing, which runs nothing."""
    return configurable(launch, ("launch",), COMMANDS).make_context("launch", list(flags))


def values(*flags: str) -> Dict[str, Any]:
    """The arguments of ``hvdsm launch FLAGS``."""
    return parsed(*flags).params


def origins(context: click.Context) -> Dict[str, str]:
    """Where each configured value comes from, as text."""
    return {name: str(source) for name, source in context.meta[META]["configured"].sources.items()}


def write(path: Path, text: str) -> Path:
    """A file with a text, its indentation taken away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return path


def pair(text: str) -> Tuple[str, str]:
    """``a=b`` as a tuple."""
    name, _, value = text.partition("=")
    return name, value
