"""A group of commands below another one; each command's module is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import List, Mapping, Optional, Tuple, Type

import click


class _Group(click.Group):
    """Commands by name."""

    of = ""
    table: Mapping[str, Tuple[str, str, str]] = {}
    aliases: Mapping[str, str] = {}

    def list_commands(self, ctx: click.Context) -> List[str]:
        """Their names."""
        del ctx
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """The command of that name, with the defaults of the configuration."""
        from hvdsm.cli.app import app
        from hvdsm.cli.defaults import configurable

        del ctx
        name = self.aliases.get(cmd_name, cmd_name)
        if name not in self.table:
            return None
        module, function, _ = self.table[name]
        found = getattr(import_module(module), function)
        assert isinstance(found, click.Command)
        return configurable(found, (self.of, name), app.list_commands(click.Context(app)), self)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the help."""
        del ctx
        with formatter.section("Commands"):
            lines = {name: line for name, (_, _, line) in self.table.items()}
            lines.update({alias: f"The same as {name}." for alias, name in self.aliases.items()})
            formatter.write_dl(list(lines.items()))


def group_of(
    name: str, commands: Mapping[str, Tuple[str, str, str]], other_names: Optional[Mapping[str, str]] = None
) -> Type[click.Group]:
    """The class of a group.

    Args:
        name: of the group, whose table in the configuration has the same.
        commands: by name the module that has it, its name there, and its line in the list.
        other_names: other name → command, whose defaults are its own.
    """
    return type(f"{name.capitalize()}Group", (_Group,), {"of": name, "table": commands, "aliases": other_names or {}})
