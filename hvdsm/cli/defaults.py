"""Defaults of a command from ``hvdsm.toml``, profiles and the environment, by click's own means.

``configurable`` gives a command ``--profile``, an option that is handled before the others: it sets click's ``default_map``, so
that a flag wins over it and click says of each value whether it is a flag's or a default.  Entries of repeatable options are
merged when click has read the flags.
"""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

import click
from click.core import ParameterSource

from hvdsm.model import MPI, NONE

# What reads configurations is imported when a command is called: `--help` does without.
if TYPE_CHECKING:
    from hvdsm.settings.configured import Configured, Source, Target
    from hvdsm.settings.options import Option, Word

META = "hvdsm.cli.defaults"
# Options of launch that say how a request is carried out; all others say what is in it.
HOW = (
    "output", "hosts", "s3_root", "mpirun", "delay_ms", "mbit", "slow_hosts", "stop_grace", "interrupt_after", "backend",
    "region", "aws_profile", "s3_prefix", "container_program", "prices", "wait", "stop_on_interrupt", "dry_run", "as_json",
    "request_file", "vpc_check", "engine", "shm_size", "no_run",
)  # fmt: skip
# A default gives way to flags that mean something else: the argument, and the arguments of those flags.
_GIVES_WAY = {
    "instance_groups": ("instance_type", "instance_count"),
    "distribution_groups": ("instance_type", "instance_count"),
    "vpc_stack": ("subnets", "security_groups"),
    "subnets": ("vpc_stack",),
    "security_groups": ("vpc_stack",),
    "zone": ("vpc_stack", "subnets", "security_groups"),
    "request_file": ("script",),
    "custom_mpi_options": ("distribution",),
}


def configured(
    command_name: str,
    command: click.Command,
    environ: Mapping[str, str],
    cwd: str,
    profile: Optional[str] = None,
    *,
    group: Optional[click.Group] = None,
    commands: Sequence[str] = (),
) -> Configured:
    """What the configuration and the environment say to a command, before its flags.

    Args:
        command_name: ``launch``, or ``jobs list`` for a command of a group.
        command: the command, whose options are looked at.
        environ: environment.
        cwd: working directory; the search for the file begins there.
        profile: of ``--profile``; HVDSM_PROFILE by default.
        group: the group of the command.
        commands: names of all commands; those of hvdsm by default.

    Raises:
        ConfigError: the file, a value in it or a variable is wrong, or there is no such profile.
    """
    from hvdsm.settings.layers import resolve

    if not commands:
        from hvdsm.cli.app import app

        commands = app.list_commands(click.Context(app))
    return resolve(target_of(tuple(command_name.split()), command, group, commands), environ, os.path.abspath(cwd), profile)


def working_directory() -> str:
    """This process's working directory.

    Raises:
        ConfigError: it has been removed.
    """
    try:
        return os.getcwd()
    except OSError:
        from hvdsm.errors import ConfigError

        raise ConfigError("the working directory has been removed", remedy="cd to one that is there") from None


def target_of(
    path: Tuple[str, ...], command: click.Command, group: Optional[click.Group] = None, commands: Sequence[str] = ()
) -> Target:
    """What the configuration has to know of a command."""
    from hvdsm.settings.configured import Target

    siblings: List[str] = []
    subcommands: List[str] = []
    if group is not None:
        context = click.Context(group)
        subcommands = group.list_commands(context)
        for name in subcommands:
            other = group.get_command(context, name)
            siblings += [key for option in options_of(other) for key in option.keys] if other is not None else []
    return Target(path, options_of(command), tuple(siblings), tuple(commands), tuple(subcommands))


def options_of(command: click.Command) -> Tuple[Option, ...]:
    """The options of a command that a configuration can give: those with one value, also repeated."""
    taken = [
        parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.expose_value and parameter.nargs == 1 and not parameter.is_eager
    ]
    names = [parameter.name for parameter in taken]
    return tuple(_option(parameter, names) for parameter in taken)


def _option(parameter: click.Option, names: Sequence[Optional[str]] = ()) -> Option:
    from hvdsm.settings.options import NUMBER, SWITCH, TEXT, WHOLE, Option

    name = str(parameter.name)
    long = [option[2:].replace("-", "_") for option in parameter.opts if option.startswith("--")]
    keys = [*long, name]
    # A list is called in the plural, where the argument is: hyperparameters, channels; and no two options by one name.
    if not long or (parameter.multiple and name[:-1] in long) or (name != long[0] and long[0] in names):
        keys = [name, *long]
    kind = TEXT
    choices: Tuple[str, ...] = ()
    if isinstance(parameter.type, click.Choice):
        choices = tuple(str(choice) for choice in parameter.type.choices)
    elif isinstance(parameter.type, click.types.IntParamType) or parameter.count:
        kind = WHOLE
    elif isinstance(parameter.type, click.types.FloatParamType):
        kind = NUMBER
    elif isinstance(parameter.type, click.types.BoolParamType):
        kind = SWITCH

    def convert(value: Any) -> Any:
        try:
            return parameter.type.convert(value, parameter, None)
        except click.BadParameter as error:
            raise ValueError(error.message.rstrip(".")) from None

    default = parameter.default if isinstance(parameter.default, (str, int, float)) else None
    flag = next((option for option in parameter.opts if option.startswith("--")), parameter.opts[0])
    return Option(
        name=name,
        keys=tuple(dict.fromkeys(keys)),
        flag=flag,
        kind=kind,
        choices=choices,
        multiple=parameter.multiple,
        metavar=parameter.metavar or "",
        convert=convert,
        default=default,
    )


class ProfileOption(click.Option):
    """``--profile``, by which a command is known to be configurable."""


def configurable(
    command: click.Command, path: Tuple[str, ...], commands: Sequence[str] = (), group: Optional[click.Group] = None
) -> click.Command:
    """A copy of a command with ``--profile``, whose defaults are those of the configuration; of a group: its commands.

    Args:
        command: the command; it stays as it is.
        path: its name, or those of its group and itself.
        commands: names of all commands.
        group: the group of the command.
    """
    if any(isinstance(parameter, ProfileOption) for parameter in command.params):
        return command
    made = copy.copy(command)
    if isinstance(made, click.Group) and isinstance(command, click.Group):
        made.commands = {name: configurable(inner, (*path, name), commands, command) for name, inner in command.commands.items()}
        return made
    made.params = [_merging(parameter) for parameter in command.params]
    taken = [option for parameter in command.params for option in parameter.opts]

    def load(context: click.Context, parameter: click.Parameter, value: Optional[str]) -> None:
        del parameter
        if context.resilient_parsing:
            return
        found = configured(" ".join(path), command, os.environ, working_directory(), value, group=group, commands=commands)
        for warning in found.warnings:
            click.echo(f"hvdsm: warning: {warning}", err=True)
        context.default_map = {**(context.default_map or {}), **found.default_map}
        context.meta[META] = {"configured": found, "flags": {}, "dropped": set(), "command": command}

    # A command that has an option of that name gets the profile from the environment alone.
    flags = ["--profile"] if "--profile" not in taken else ["--hvdsm-profile"]
    help_text = "Profile of hvdsm.toml.  [default: $HVDSM_PROFILE]"
    made.params.append(ProfileOption(flags, metavar="NAME", is_eager=True, expose_value=False, callback=load, help=help_text))
    return made


def _merging(parameter: click.Parameter) -> click.Parameter:
    """A copy of a repeatable option whose flags come over the configuration's entries."""
    if not isinstance(parameter, click.Option) or not parameter.multiple or parameter.nargs != 1:
        return parameter
    made = copy.copy(parameter)
    before = parameter.callback
    name = str(parameter.name)

    def over(context: click.Context, given: click.Parameter, value: Any) -> Any:
        meta = context.meta.get(META)
        if meta is not None and given_by_flag(context, name):
            from hvdsm.settings.options import merged

            option = _option(parameter)
            meta["flags"][name] = tuple(value)
            below = meta["configured"].words.get(name, ())
            value = tuple(word.text for word in merged(option, below, _words(option, value)))
        return value if before is None else before(context, given, value)

    made.callback = over
    return made


def _words(option: Option, texts: Sequence[str]) -> List[Word]:
    from hvdsm.settings.options import Word

    # What is no NAME=VALUE the command itself refuses.
    return [Word(text.partition("=")[0] if option.named else None, text) for text in texts]


def given_by_flag(context: click.Context, name: str) -> bool:
    """Whether an argument of a command was given on the command line."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def divided(context: click.Context, name: str, value: Sequence[str]) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """The words of a repeatable option: those of configuration and environment, and those of flags."""
    meta = context.meta.get(META)
    if meta is None:
        return (), tuple(value)
    below: List[Word] = [] if name in meta["dropped"] else meta["configured"].words.get(name, [])
    return tuple(word.text for word in below), tuple(meta["flags"].get(name, ()))


def hyperparameters_of(context: click.Context, words: Sequence[str], file: Optional[str]) -> Dict[str, Any]:
    """The hyperparameters of a launch, entry by entry: ``--hyperparameter``, ``--hyperparameters FILE``, and the configuration's.

    Args:
        context: of the command.
        words: of the argument ``hyperparameters``, as :func:`settled` gives it.
        file: of the argument ``hyperparameters_file``.

    Raises:
        UsageError: a word is no NAME=VALUE, or a name is given twice.
        ConfigError: the file cannot be read, or has something that is no hyperparameter.
    """
    from hvdsm.cli.cloud_flags import pairs
    from hvdsm.compose.request import parse_hyperparameter
    from hvdsm.settings.hyperparameters import merge_hyperparameters, read_hyperparameters

    config, flags = (pairs(some, "--hyperparameter", parse_hyperparameter) for some in divided(context, "hyperparameters", words))
    read = {} if file is None else read_hyperparameters(file)
    return merge_hyperparameters(read, config, flags, file_from_flag=given_by_flag(context, "hyperparameters_file"))


def settled(context: click.Context, given: Mapping[str, Any], request: Optional[Mapping[str, Any]] = None) -> Dict[str, Any]:
    """The arguments of launch without defaults that the command line, or a request, contradicts.

    A request is a whole: only flags change it; a default gives the role that it lacks.  A default of the wait for spot capacity
    means nothing without spot capacity, and one of several instance types nothing beside ``--instance-type``.

    Args:
        context: of the command.
        given: the arguments that click found.
        request: the request of ``--request``.
    """
    meta = context.meta.get(META)
    if meta is None:
        return dict(given)
    result = dict(given)
    found: Configured = meta["configured"]
    dropped = [name for name, flags in _GIVES_WAY.items() if any(_said(context, given, flag) for flag in flags)]
    if given.get("distribution") == MPI:
        dropped = [name for name in dropped if name != "custom_mpi_options"]
    if given.get("distribution") == NONE and given_by_flag(context, "distribution"):
        dropped.append("processes_per_host")
    if not given.get("spot"):
        dropped.append("max_wait")
    if request is not None:
        kept = HOW if request.get("RoleArn") else (*HOW, "role")
        dropped += [name for name in given if name not in kept]
    builtin: Dict[str, Any] = {}
    for name in dropped:
        if name not in found.default_map:
            continue
        if not builtin:
            command: click.Command = meta["command"]
            builtin = command.make_context(context.info_name, [], resilient_parsing=True).params
        meta["dropped"].add(name)
        result[name] = tuple(meta["flags"].get(name, ())) or builtin[name]
        if not given_by_flag(context, name):
            context.set_parameter_source(name, ParameterSource.DEFAULT)
        elif name not in meta["flags"]:
            result[name] = given[name]
    return result


def _said(context: click.Context, given: Mapping[str, Any], name: str) -> bool:
    return given_by_flag(context, name) and given.get(name) is not None


def sources(context: click.Context) -> Dict[str, Source]:
    """Where the value of each option of a command comes from, and, as ``name.KEY``, that of each entry."""
    from hvdsm.settings.configured import DEFAULT, FLAG, Source

    meta = context.meta[META]
    found: Configured = meta["configured"]
    result: Dict[str, Source] = {}
    for option in options_of(meta["command"]):
        name = option.name
        source = found.left.get(name) or found.sources.get(name) or Source(DEFAULT)
        result[name] = Source(FLAG) if given_by_flag(context, name) else source
        entries = dict(found.entry_sources.get(name, {}))
        entries.update({str(word.name): Source(FLAG) for word in _words(option, meta["flags"].get(name, ()))})
        result.update({f"{name}.{key}": entry for key, entry in entries.items()})
    return result
