"""What the commands of ``hvdsm jobs`` have in common."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Optional, TypeVar

import click

from hvdsm.backends.making import DEFAULT_OUTPUT
from hvdsm.errors import HvdsmError

F = TypeVar("F", bound=Callable[..., Any])


def where_flags(backends: bool = True) -> Callable[[F], F]:
    """The options that say where jobs are looked for."""

    def decorate(function: F) -> F:
        options = [
            click.option("--output", default=DEFAULT_OUTPUT, show_default=True, metavar="DIR", help="Where local results are."),
            click.option("--region", metavar="REGION", help="AWS region."),
            click.option("--aws-profile", metavar="NAME", help="Profile of the AWS configuration."),
        ]
        if backends:
            text = "Where to look.  [default: here, then SageMaker where a region is configured]"
            kinds = click.Choice(("local", "sagemaker", "all"))
            options.append(click.option("--backend", type=kinds, help=text))
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def where_of(output: str, region: Optional[str], aws_profile: Optional[str], backend: Optional[str] = None) -> Any:
    """Where jobs are looked for."""
    from hvdsm.jobs import Where

    return Where(output, backend, region, aws_profile)


def found_job(name: str, where: Any, *, quiet: bool = False) -> Any:
    """The job of a name; where it was found is said."""
    from hvdsm.jobs import find_job

    job = find_job(name, where)
    if not quiet:
        say(f"{job.name}: found in {job.place}")
    return job


def say(text: str) -> None:
    """A line of hvdsm's own, apart from what a command prints."""
    click.echo(f"hvdsm: {text}", err=True)


def print_json(value: Any) -> None:
    """Indented JSON; times in ISO 8601."""
    click.echo(
        json.dumps(value, indent=2, default=lambda other: other.isoformat() if hasattr(other, "isoformat") else str(other))
    )


@contextmanager
def errors_as_json(as_json: bool) -> Iterator[None]:
    """With ``--json`` an error is JSON, too."""
    try:
        yield
    except HvdsmError as error:
        if as_json:
            print_json({"error": str(error), "exit_code": error.exit_code})
        raise


class Spoken:
    """Says at most every two seconds how something goes on."""

    def __init__(
        self, speak: Callable[[str], None] = say, clock: Callable[[], float] = time.monotonic, pause: float = 2.0
    ) -> None:
        self._say = speak
        self._clock = clock
        self._pause = pause
        self._due = clock() + pause

    def __call__(self, text: str) -> None:
        """Say it, unless something has just been said."""
        if self._clock() >= self._due:
            self._due = self._clock() + self._pause
            self._say(text)


def shown(lines: List[str]) -> None:
    """Print lines to standard output."""
    for line in lines:
        click.echo(line)


def output_display(launcher: str, *, as_json: bool = False) -> Any:
    """What shows lines of hosts."""
    from hvdsm.backends.display import Display

    return Display(sys.stderr if as_json else sys.stdout, launcher)
