"""What the commands of ``hvdsm image`` have in common."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, TypeVar

import click

from hvdsm.cli.jobs_common import print_json, say
from hvdsm.compose.mask import mask_text
from hvdsm.errors import HvdsmError, UsageError
from hvdsm.images.commands import ENGINES
from hvdsm.images.names import DEFAULT_DEVICE, DEVICES

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: Mapping[str, Callable[[F], F]] = {
    "device": click.option(
        "--device", type=click.Choice(DEVICES), default=DEFAULT_DEVICE, show_default=True, help="What the image is for."
    ),
    "tag": click.option("--tag", metavar="TAG", help="Tag, used as it is.  [default: the name's, else sm-DEVICE]"),
    "engine": click.option(
        "--engine", type=click.Choice(ENGINES), help="What does the work.  [default: the first of them that answers]"
    ),
    "region": click.option(
        "--region", metavar="REGION", help="AWS region.  [default: the name's, AWS_REGION, AWS_DEFAULT_REGION, the profile's]"
    ),
    "account": click.option("--account", metavar="ID", help="Account of the registry.  [default: the name's, the credentials']"),
    "aws_profile": click.option(
        "--aws-profile", metavar="NAME", help="Profile of the AWS configuration.  [default: AWS_PROFILE]"
    ),
    "login": click.option("--login/--no-login", default=True, help="Log in to Amazon ECR.  [default: login]"),
    "dry_run": click.option("--dry-run", is_flag=True, help="Print the commands, and run none."),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON; all else goes to stderr."),
}


def image_flags(*names: str) -> Callable[[F], F]:
    """Options that several commands have."""

    def decorate(function: F) -> F:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return decorate


class EngineCommand(click.Command):
    """A command whose words after ``--`` are the engine's."""

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """The same; of an option that is not hvdsm's the message says how the engine gets it."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = f"Options of docker, podman and buildah stand at the end, after --:  -- {error.option_name}"
            raise click.UsageError(f"{error.format_message()}\n{hint}", ctx) from None


def apart(word: Optional[str], extra: Tuple[str, ...]) -> Tuple[Optional[str], Tuple[str, ...]]:
    """The argument and the engine's words, where the argument was left out and the first word stands in its place.

    Raises:
        UsageError: what should be the engine's begins with no option.
    """
    if word is not None and word.startswith("-"):
        return None, (word, *extra)
    if extra and not extra[0].startswith("-"):
        remedy = "give what it is: --device, --name, --tag; options of the engine stand after --"
        raise UsageError("is one word too many", where=repr(extra[0]), remedy=remedy)
    return word, extra


@contextmanager
def told(as_json: bool) -> Iterator[None]:
    """With ``--json`` an error is JSON, with the engine's last lines where it has some; signals leave nothing behind."""
    from hvdsm.images.running import EngineFailed, ended_in_order

    try:
        with ended_in_order():
            yield
    except (KeyboardInterrupt, SystemExit):
        say("interrupted: nothing was built or pushed by the step that was under way, and what was staged is removed")
        raise
    except HvdsmError as error:
        if as_json:
            more: Dict[str, Any] = {}
            if isinstance(error, EngineFailed):
                more = {"engine_exit_code": error.code, "output": list(error.output)}
            print_json({"error": str(error), "exit_code": error.exit_code, **more})
        raise


def shown_engine(wanted: Optional[str], dry_run: bool) -> str:
    """Name of the engine; why another one was passed over is said.  A dry run needs none."""
    from hvdsm.errors import BackendUnavailable
    from hvdsm.images.engines import find_engine, likely_engine

    if dry_run and wanted:
        return wanted
    try:
        found = find_engine(wanted, os.environ)
    except BackendUnavailable as error:
        if not dry_run:
            raise
        name = likely_engine(os.environ)
        say(f"warning: {error.what}: the commands are those of {name}")
        return name
    for reason in found.passed_over:
        say(f"{reason}: {found.name} does it")
    return found.name


def progress(as_json: bool) -> Tuple[Optional[Callable[[str], None]], bool]:
    """Where an engine's lines go, and whether it has the terminal for its own progress instead."""
    if sys.stderr.isatty() and not as_json:
        return None, True
    return (lambda line: click.echo(line, err=True)), False


def connecting(aws_profile: Optional[str]) -> Callable[[Optional[str]], Any]:
    """Gives the session of a region, or of the configured one; one session for each."""
    from hvdsm.aws.session import connect

    made: Dict[Optional[str], Any] = {}

    def session(region: Optional[str]) -> Any:
        if region not in made:
            made[region] = connect(region, aws_profile)
        return made[region]

    return session


def print_commands(lines: List[str], commands: List[Tuple[str, ...]], as_json: bool, **more: Any) -> None:
    """What a dry run shows."""
    if as_json:
        print_json({**more, "commands": [[mask_text(word) for word in argv] for argv in commands]})
        return
    for line in lines:
        click.echo(line)


__all__ = [
    "EngineCommand", "apart", "connecting", "image_flags", "print_commands", "print_json", "progress", "say", "shown_engine",
    "told",
]  # fmt: skip
