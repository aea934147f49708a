"""``hvdsm config``."""

from __future__ import annotations

import copy
import json
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

import click

from hvdsm.cli.defaults import META, configurable, options_of, sources, target_of
from hvdsm.errors import ConfigError, HvdsmError, UsageError
from hvdsm.settings.configured import Configured, Source
from hvdsm.settings.document import FILE, PROFILES, PYPROJECT, Document, chain, find, profiles, read
from hvdsm.settings.layers import LAUNCH, layer, raise_all
from hvdsm.settings.options import Option, Word, mask_option, shown_word

# Exit code of `path` and `check` where there is no file.
NO_FILE = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Defaults and profiles: hvdsm.toml, or [tool.hvdsm] of pyproject.toml, in this directory or one above it.

    A flag wins over a variable, a variable over the profile, a profile over the file, and all over what is built in.
    """


@command.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
@click.option("--profile", metavar="NAME", help="Profile of the file.  [default: $HVDSM_PROFILE]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND [FLAGS…]]")
@click.pass_context
def show(ctx: click.Context, profile: Optional[str], as_json: bool, words: Tuple[str, ...]) -> int:
    """Print each option of COMMAND (launch by default) with its value, and where that comes from; secrets are masked.

    FLAGS are flags of COMMAND, which is not run.

    \b
    Examples:
      hvdsm config show
      hvdsm config show --profile cloud launch --instance-count 4
      hvdsm config show data upload
    """  # noqa: D301
    try:
        path, found, group, flags = _command(ctx, words)
        context = _parsed(ctx, path, found, group, [*(["--profile", profile] if profile else []), *flags])
        rows = _rows(context)
    except HvdsmError as error:
        if as_json:
            click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}, indent=2))
        raise
    configured: Configured = context.meta[META]["configured"]
    document = configured.document
    if as_json:
        head = {"command": " ".join(path), "file": document and document.path, "profile": configured.profile}
        click.echo(json.dumps({**head, "options": _as_json(rows)}, indent=2))
        return 0
    said = f"{document.path}" if document else f"no {FILE}"
    click.echo(f"# {' '.join(path)}: {said}{f', profile {configured.profile}' if configured.profile else ''}")
    lines = [(key, _text(value), str(source)) for key, _, value, source in rows]
    first, second = (min(max(len(line[place]) for line in lines), limit) for place, limit in ((0, 36), (1, 48)))
    for key, text, source in lines:
        click.echo(f"{key:<{first}}  {text:<{second}}  {source}")
    return 0


@command.command()
def path() -> int:
    """Print the path of the file that holds here; exit code 1 when there is none."""
    cwd = os.getcwd()
    found, warnings = find(cwd, os.environ)
    _warn(warnings)
    if found is None:
        return _none(cwd)
    click.echo(found)
    return 0


@command.command()
@click.pass_context
def check(ctx: click.Context) -> int:
    """Check the whole file: the tables of all commands and all profiles; exit code 78 when something is wrong in it."""
    cwd = os.getcwd()
    found, warnings = find(cwd, os.environ)
    if found is None:
        _warn(warnings)
        return _none(cwd)
    document = read(found, cwd, warnings)
    names = profiles(document)
    result = Configured(warnings=list(warnings), document=document)
    problems: List[ConfigError] = []
    for name in names:
        try:
            chain(document, name, "--profile")
        except ConfigError as error:
            problems.append(error)
    known = _root(ctx).list_commands(ctx)
    for one in [LAUNCH, *(name for name in known if name != LAUNCH and _has_table(document, names, name))]:
        for path_of, found_command, group in _leaves(ctx, one):
            target = target_of(path_of, found_command, group, known)
            for profile in (None, *(name for name in names if isinstance(document.value((PROFILES, name)), dict))):
                problems += layer(result, target, profile)
    _warn(list(dict.fromkeys(result.warnings)))
    raise_all(list({str(problem): problem for problem in problems}.values()))
    told = f"{len(names)} profile{'' if len(names) == 1 else 's'} ({', '.join(names)})" if names else "no profiles"
    click.echo(f"{document.shown}: correct, {told}")
    return 0


def _none(cwd: str) -> int:
    click.echo(f"hvdsm: there is no {FILE}, and no {PYPROJECT} with [tool.hvdsm], in {cwd} or above it", err=True)
    return NO_FILE


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.echo(f"hvdsm: warning: {warning}", err=True)


def _root(ctx: click.Context) -> click.Group:
    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    return root


def _has_table(document: Document, names: Sequence[str], command_name: str) -> bool:
    return any(document.value(base + (command_name,)) is not None for base in ((), *((PROFILES, name) for name in names)))


def _leaves(ctx: click.Context, name: str) -> List[Tuple[Tuple[str, ...], click.Command, Optional[click.Group]]]:
    found = _root(ctx).get_command(ctx, name)
    assert found is not None
    if not isinstance(found, click.Group):
        return [((name,), found, None)]
    inner = [(one, found.get_command(ctx, one)) for one in found.list_commands(ctx)]
    return [((name, one), leaf, found) for one, leaf in inner if leaf is not None]


def _command(ctx: click.Context, words: Sequence[str]) -> Tuple[Tuple[str, ...], click.Command, Optional[click.Group], List[str]]:
    """The command that some words name, its group, and the words after it."""
    rest = list(words)
    name = rest.pop(0) if rest and not rest[0].startswith("-") else LAUNCH
    root = _root(ctx)
    found = root.get_command(ctx, name)
    if found is None:
        raise UsageError(f"there is no command {name}", remedy=f"one of {', '.join(root.list_commands(ctx))}")
    if not isinstance(found, click.Group):
        return (name,), found, None, rest
    inner = found.get_command(ctx, rest[0]) if rest else None
    if inner is None:
        known = ", ".join(f"{name} {one}" for one in found.list_commands(ctx))
        raise UsageError(f"{name} is a group of commands", remedy=f"hvdsm config show with one of {known}")
    return (name, rest[0]), inner, found, rest[1:]


def _parsed(
    ctx: click.Context, path_of: Tuple[str, ...], found: click.Command, group: Optional[click.Group], flags: List[str]
) -> click.Context:
    """The command's context with its flags read; what it wants besides flags is not asked for."""
    made = copy.copy(configurable(found, path_of, _root(ctx).list_commands(ctx), group))
    made.params = [parameter for parameter in made.params if isinstance(parameter, click.Option)]
    for parameter in made.params:
        if parameter.required:
            made.params[made.params.index(parameter)] = optional = copy.copy(parameter)
            optional.required = False
    return made.make_context(" ".join(path_of), flags, allow_extra_args=True)


Row = Tuple[str, Option, Any, Source]


def _rows(context: click.Context) -> List[Row]:
    """What is shown of each option: key, value without secrets, and source; a row for each entry of a repeatable one."""
    meta = context.meta[META]
    configured: Configured = meta["configured"]
    origin = sources(context)
    rows: List[Row] = []
    for option in options_of(meta["command"]):
        value = context.params[option.name]
        if option.name in configured.left and value is None:
            value = os.environ.get(str(configured.left[option.name].name))
        if option.named and value:
            for text in value:
                word = Word(text.partition("=")[0], text)
                source = origin.get(f"{option.name}.{word.name}", origin[option.name])
                rows.append((f"{option.key}.{word.name}", option, shown_word(option, word), source))
        else:
            rows.append((option.key, option, mask_option(option, value), origin[option.name]))
    return rows


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    return json.dumps(value) if not isinstance(value, str) or value != value.strip() or not value else value


def _as_json(rows: Sequence[Row]) -> Dict[str, Any]:
    result: Dict[str, Any] = {}
    for key, option, value, source in rows:
        told: Dict[str, Any] = {"value": value, "source": source.kind}
        if source.name is not None:
            told["where"] = source.name
        if source.profile is not None:
            told["profile"] = source.profile
        if option.named and key != option.key:
            result.setdefault(option.key, {})[key[len(option.key) + 1 :]] = told
        else:
            result[option.key] = told if value != () or not option.named else {}
    return result
