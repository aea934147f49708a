"""Which value of an option holds: that of the environment, of a profile, or of the file; flags come over it later."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.errors import ConfigError
from hvdsm.settings.configured import FILE, Configured, Source, Target, option_of
from hvdsm.settings.document import PROFILES, Entry, chain, closest, find, profiles, read
from hvdsm.settings.options import Option, WrongValue, from_file, secret_in
from hvdsm.settings.variables import environment

PROFILE_VARIABLE = "HVDSM_PROFILE"
LAUNCH = "launch"
# Names of commands that are names of launch's options, too: a table is the command's, anything else the option's value.
BOTH = ("image",)
# Keys of the top level that hold for other commands too, with the option's own default there; another default is another meaning.
SHARED: Dict[str, Any] = {"region": None, "aws_profile": None, "s3_prefix": None, "output": "hvdsm-out"}


def resolve(target: Target, environ: Mapping[str, str], cwd: str, profile: Optional[str] = None) -> Configured:
    """What holds for a command before its flags.

    Args:
        target: the command.
        environ: environment.
        cwd: the working directory, absolute.
        profile: of ``--profile``; HVDSM_PROFILE by default.

    Raises:
        ConfigError: the file, a value in it or a variable is wrong, or there is no such profile; all that is wrong is told.
    """
    path, warnings = find(cwd, environ)
    found = Configured(warnings=list(warnings), profile=profile or environ.get(PROFILE_VARIABLE) or None)
    chosen_by = "--profile" if profile else PROFILE_VARIABLE
    if path is None and found.profile is not None:
        where = f"--profile {found.profile}" if profile else f"{chosen_by}={found.profile}"
        raise ConfigError(
            f"there is no hvdsm.toml in {cwd} or above it", where=where, remedy="hvdsm config path says where it is looked for"
        )
    problems: List[ConfigError] = []
    if path is not None:
        found.document = read(path, cwd, warnings)
        names = () if found.profile is None else chain(found.document, found.profile, chosen_by)
        for name in (None, *names):
            problems += layer(found, target, name)
    problems += environment(found, target, environ)
    raise_all(problems)
    return found


def raise_all(problems: Sequence[ConfigError]) -> None:
    """Raise one error that tells all.

    Raises:
        ConfigError: there are problems.
    """
    if len(problems) == 1:
        raise problems[0]
    if problems:
        lines = "".join(f"\n  {line}" for problem in problems for line in str(problem).split("\n"))
        raise ConfigError(f"{len(problems)} things are wrong in the configuration:{lines}")


def layer(found: Configured, target: Target, profile: Optional[str]) -> List[ConfigError]:
    """Lay the file's tables for a command over what is there, or those of one profile; gives what is wrong in them."""
    document = found.document
    assert document is not None
    base: Tuple[str, ...] = () if profile is None else (PROFILES, profile)
    problems: List[ConfigError] = []
    if profile is None:
        profiles(document)
    for depth in range(len(target.path) + 1):
        table = base + target.path[:depth]
        value = document.value(table)
        if value is None:
            break
        if not isinstance(value, Mapping):
            if table == (*base, *target.path[:1]) and table[-1] in BOTH:
                break
            where = f"{document.at(document.line(table))}: {table[-1]}"
            problems.append(ConfigError("a table is expected, with the options of that command", where=where))
            break
        taken: Dict[str, str] = {}
        for entry in document.entries(table):
            try:
                _key(found, target, depth, table, entry, profile, taken)
            except ConfigError as error:
                problems.append(error)
    return problems


def _key(
    found: Configured,
    target: Target,
    depth: int,
    table: Tuple[str, ...],
    entry: Entry,
    profile: Optional[str],
    taken: Dict[str, str],
) -> None:
    document = found.document
    assert document is not None
    if _other(target, depth, entry, profile):
        return
    key = entry.key.replace("-", "_")
    path = (*table, entry.key)
    # A profile is named by its line; what is in it is named as it would be outside of it.
    where = f"{document.at(entry.line)}: {'.'.join((*(table[2:] if profile else table), entry.key))}"
    option = option_of(target.options, key, isinstance(entry.value, (Mapping, list)))
    if option is None or (depth == 0 and target.path[0] != LAUNCH and not _shared(option)):
        if depth == 0 and target.path[0] != LAUNCH:
            return
        if depth == 1 and key in target.siblings:
            return
        in_group = depth == 1 and len(target.path) > 1
        command = f"{target.path[0]} COMMAND" if in_group else " ".join(target.path)
        raise ConfigError(_unknown(target, depth, key), where=where, remedy=f"hvdsm {command} --help lists them")
    if option.name in taken:
        raise ConfigError(f"says the same as {taken[option.name]}", where=where, remedy="leave one of them out")
    taken[option.name] = entry.key
    try:
        names = document.names(path) if option.named else ()
        value = from_file(option, entry.value, names, document.directory)
    except WrongValue as error:
        raise ConfigError(str(error), where=where) from None
    lines = {line.key: line.line for line in names}
    for name in secret_in(option, value):
        at = f"{document.at(lines.get(name, entry.line))}: {option.key}"
        found.warnings.append(
            f"{at}{'.' + name if name != option.key else ''} looks like a secret: "
            'secrets = {NAME = "arn:…"} names one that is kept elsewhere, and a flag or variable keeps it out of the file'
        )
    if isinstance(entry.value, Mapping):
        found.put(option, [], Source(FILE, document.at(entry.line), profile))
        for word in value:
            found.put(option, [word], Source(FILE, document.at(lines[str(word.name)]), profile))
    else:
        found.put(option, value, Source(FILE, document.at(entry.line), profile))


def _other(target: Target, depth: int, entry: Entry, profile: Optional[str]) -> bool:
    """Whether a key is no option, but a table of a command, the profiles, or what a profile extends."""
    if depth == 0 and entry.key == (PROFILES if profile is None else "extends"):
        return True
    if depth == 0 and entry.key in target.commands:
        return entry.key not in BOTH or isinstance(entry.value, Mapping)
    return depth == 1 and entry.key in target.subcommands


def _shared(option: Option) -> bool:
    return option.name in SHARED and SHARED[option.name] == option.default


def _unknown(target: Target, depth: int, key: str) -> str:
    known = [name for option in target.options for name in option.keys]
    if depth == 0:
        known += [*target.commands, PROFILES]
    if depth == 1:
        known += [*target.subcommands, *target.siblings]
    close = closest(key, known)
    return f"there is no such option{f'; did you mean {close}?' if close else ''}"
