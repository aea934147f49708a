"""What the commands of ``hvdsm vpc`` that are about a stack have in common."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, TypeVar

import click

from hvdsm.cli.jobs_common import print_json, say
from hvdsm.errors import HvdsmError

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_STACK = "hvdsm-training"
_COLOURS = {"Add": "green", "Remove": "red", "Modify": "yellow"}


def stack_flags(function: F) -> F:
    """The argument NAME, and the options that say where the stack is."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON; progress goes to stderr."),
        click.option("--aws-profile", metavar="NAME", help="Profile of the AWS configuration.  [default: AWS_PROFILE]"),
        click.option("--region", metavar="REGION", help="AWS region.  [default: AWS_REGION, AWS_DEFAULT_REGION, the profile's]"),
        click.argument("name", default=DEFAULT_STACK, metavar="[NAME]", callback=_checked),
    ):
        function = option(function)
    return function


def _checked(context: click.Context, parameter: click.Parameter, value: str) -> str:
    import re

    from hvdsm.aws.cloudformation import NAME_PATTERN

    del context, parameter
    if not (re.fullmatch(NAME_PATTERN, value) or value.startswith("arn:")):
        raise click.BadParameter(f"{value!r} is no stack's name: letters, digits and hyphens, a letter first, 128 at most")
    return value


def a_number(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse nan as a number of seconds, which no time is ever greater than."""
    del context, parameter
    if value != value:
        raise click.BadParameter("nan is no number of seconds")
    return value


@contextmanager
def told_as_json(as_json: bool, more: Optional[Callable[[HvdsmError], Dict[str, Any]]] = None) -> Iterator[None]:
    """With ``--json`` an error is JSON, with what else is known of it."""
    try:
        yield
    except HvdsmError as error:
        if as_json:
            print_json({"error": str(error), "exit_code": error.exit_code, **({} if more is None else more(error))})
        raise


def failure_json(error: HvdsmError) -> Dict[str, Any]:
    """What is known of a stack's failure."""
    from hvdsm.vpc.stacks.causes import cause_json
    from hvdsm.vpc.stacks.settling import StackFailed
    from hvdsm.vpc.stacks.stack_report import stack_json

    if not isinstance(error, StackFailed) or error.stack is None:
        return {}
    return {"stack": stack_json(error.stack), "outputs": error.stack.outputs, "cause": cause_json(error.cause)}


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], colour: Optional[int] = None) -> None:
    """A table on standard output: drawn for a terminal, aligned lines elsewhere.

    Args:
        heads: of the columns.
        rows: the cells.
        colour: the column whose word decides on a row's colour.
    """
    if not sys.stdout.isatty():
        lines = [list(heads), *(list(row) for row in rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
        for line in lines:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        style = "" if colour is None else style_of(row[colour])
        # Every type begins so, and lines are short.
        table.add_row(*(Text(cell[5:] if cell.startswith("AWS::") else cell, style=style) for cell in row))
    Console(file=sys.stdout).print(table)


def style_of(word: str) -> str:
    """The colour of an action or a status."""
    if word in _COLOURS:
        return _COLOURS[word]
    if "FAILED" in word or "ROLLBACK" in word:
        return "red"
    return "cyan" if word.endswith("_IN_PROGRESS") else ""


def print_lines(lines: List[str]) -> None:
    """Lines to standard output."""
    for line in lines:
        click.echo(line)


__all__ = ["DEFAULT_STACK", "failure_json", "print_json", "print_lines", "print_table", "say", "stack_flags", "told_as_json"]
