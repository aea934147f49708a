"""``hvdsm.toml``, or ``[tool.hvdsm]`` of pyproject.toml: where it is found, and what stands in which line of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from hvdsm.errors import ConfigError
from hvdsm.settings.toml_text import Path, Statement, WrongToml, parse, statements

FILE = "hvdsm.toml"
PYPROJECT = "pyproject.toml"
# Names another file than the one that is found.
CONFIG_VARIABLE = "HVDSM_CONFIG"
PROFILES = "profile"
_TOOL = ("tool", "hvdsm")


class Entry(NamedTuple):
    """A key of a table with its value and line."""

    key: str
    value: Any
    line: int


@dataclass(frozen=True)
class Document:
    """A configuration.

    Attributes:
        path: absolute path of the file.
        shown: the path for messages.
        tree: its tables, without ``tool.hvdsm``.
        lines: its statements, likewise.
        warnings: what is to be told of how it was found.
    """

    path: str
    shown: str
    tree: Mapping[str, Any]
    lines: Tuple[Statement, ...]
    warnings: Tuple[str, ...] = ()
    directory: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", os.path.dirname(self.path))

    def at(self, line: int) -> str:
        """``hvdsm.toml:3``."""
        return f"{self.shown}:{line}"

    def value(self, path: Path) -> Any:
        """What stands at a path; None where there is nothing."""
        found: Any = self.tree
        for part in path:
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    def line(self, path: Path) -> int:
        """The line of a path: where its statement, its table's header or the first thing in it begins."""
        best: Optional[int] = None
        for statement in self.lines:
            whole = statement.table + statement.key
            if whole == path:
                return statement.line
            # Something below it; or an inline table above it, whose keys all stand in one place.
            below, above = whole[: len(path)] == path, bool(statement.key) and path[: len(whole)] == whole
            if best is None and (below or above):
                best = statement.line
        return best or 1

    def entries(self, path: Path) -> List[Entry]:
        """The keys of the table at a path, a table below it as the value of one key."""
        table = self.value(path)
        if not isinstance(table, Mapping):
            return []
        return [Entry(key, value, self.line((*path, key))) for key, value in table.items()]

    def names(self, path: Path) -> List[Entry]:
        """The keys of a table whose keys are names of the user's: ``data.batch_size = 64`` is one key, dots and all."""
        found: Dict[str, Entry] = {}
        for statement in self.lines:
            whole = statement.table + statement.key
            if whole[: len(path)] != path:
                continue
            rest = whole[len(path) :]
            if not rest:
                if isinstance(statement.value, Mapping):
                    found.update({key: Entry(key, value, statement.line) for key, value in statement.value.items()})
            elif len(statement.table) <= len(path):
                found[".".join(rest)] = Entry(".".join(rest), statement.value, statement.line)
            elif rest[0] not in found:
                found[rest[0]] = Entry(rest[0], self.value((*path, rest[0])), statement.line)
        return list(found.values())


def find(cwd: str, environ: Mapping[str, str]) -> Tuple[Optional[str], Tuple[str, ...]]:
    """The file that holds the configuration, and what is to be warned of.

    In each directory from ``cwd`` upwards ``hvdsm.toml`` is looked for, then a ``pyproject.toml`` with a table ``[tool.hvdsm]``;
    the first that is found is the only one.  The search ends with the directory that has ``.git``, with the home directory, and
    with the root.  A file above ``cwd`` that belongs to somebody else than the user, root and the owner of ``cwd`` is not used:
    it could name a program to run.

    Args:
        cwd: directory to begin with, absolute.
        environ: environment: HVDSM_CONFIG names the file instead, HOME the home directory.

    Raises:
        ConfigError: HVDSM_CONFIG names no file.
    """
    named = environ.get(CONFIG_VARIABLE)
    if named:
        path = os.path.join(cwd, os.path.expanduser(named))
        if not os.path.exists(path) or os.path.isdir(path):
            raise ConfigError("there is no such file", where=f"{CONFIG_VARIABLE}={named}", remedy=f"unset {CONFIG_VARIABLE}")
        return os.path.normpath(path), ()
    warnings: List[str] = []
    home = os.path.realpath(environ.get("HOME") or os.path.expanduser("~"))
    directory = cwd
    while True:
        path = os.path.join(directory, FILE)
        project = os.path.join(directory, PYPROJECT)
        own = [name for name in (path, project) if os.path.isfile(name) and (name == path or _has_table(name))]
        if own and directory != cwd and not _trusted(own[0], cwd):
            warnings.append(f"{own[0]} belongs to another user and is not used; {CONFIG_VARIABLE}={own[0]} uses it")
            own = []
        if len(own) > 1:
            warnings.append(f"{own[0]} is used, [tool.hvdsm] of {own[1]} is not")
        if own:
            return own[0], tuple(warnings)
        above = os.path.dirname(directory)
        if above == directory or os.path.realpath(directory) == home or os.path.exists(os.path.join(directory, ".git")):
            return None, tuple(warnings)
        directory = above


def _has_table(project: str) -> bool:
    try:
        with open(project, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return False
    # Parsing is left to projects that may have the table.
    if "hvdsm" not in text:
        return False
    try:
        return "hvdsm" in (parse(text).get("tool") or {})
    except WrongToml as error:
        raise ConfigError(str(error), where=_place(project, error.line), remedy=error.remedy) from None


def _trusted(path: str, cwd: str) -> bool:
    return os.stat(path).st_uid in (os.geteuid(), 0, os.stat(cwd).st_uid)


def read(path: str, cwd: str, warnings: Tuple[str, ...] = ()) -> Document:
    """The configuration in a file.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    inside = os.path.relpath(path, cwd)
    shown = path if inside.startswith(os.pardir) else inside
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        tree, lines = parse(text), statements(text)
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=shown, remedy="check the file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"is no text in UTF-8: {error}", where=shown) from None
    except WrongToml as error:
        raise ConfigError(str(error), where=_place(shown, error.line), remedy=error.remedy) from None
    if os.path.basename(path) == PYPROJECT:
        tree = (tree.get("tool") or {}).get("hvdsm") or {}
        lines = [_in_project(statement) for statement in lines if (statement.table + statement.key)[:2] == _TOOL]
    if not isinstance(tree, Mapping):
        raise ConfigError("[tool.hvdsm] is no table", where=shown)
    return Document(path, shown, tree, tuple(lines), warnings)


def _in_project(statement: Statement) -> Statement:
    table, whole = statement.table[2:], (statement.table + statement.key)[2:]
    return Statement(table, whole[len(table) :], statement.value, statement.line)


def _place(path: str, line: Optional[int]) -> str:
    return path if line is None else f"{path}:{line}"


def chain(document: Document, profile: str, chosen_by: str) -> Tuple[str, ...]:
    """The profiles that a profile is made of: what it extends first, itself last.

    Args:
        document: the configuration.
        profile: its name.
        chosen_by: ``--profile`` or ``HVDSM_PROFILE``, for messages.

    Raises:
        ConfigError: there is none of that name, or profiles extend each other in a circle.
    """
    names: List[str] = [profile]
    where = f"{chosen_by} {profile}" if chosen_by.startswith("-") else f"{chosen_by}={profile}"
    while True:
        table = document.value((PROFILES, names[-1]))
        if table is None:
            raise ConfigError(
                f"there is no profile {names[-1]}{_known_profiles(document, names[-1])}",
                where=where,
                remedy=f"write a table [profile.{names[-1]}] in {document.shown}",
            )
        if not isinstance(table, Mapping):
            raise ConfigError("a profile is a table", where=document.at(document.line((PROFILES, names[-1]))))
        above = table.get("extends")
        if above is None:
            return tuple(reversed(names))
        where = document.at(document.line((PROFILES, names[-1], "extends")))
        if not isinstance(above, str):
            raise ConfigError("extends names one profile: a text in quotes is expected", where=where)
        if above in names:
            circle = " -> ".join([*names[names.index(above) :], above])
            raise ConfigError(f"profiles extend each other in a circle: {circle}", where=where)
        names.append(above)


def _known_profiles(document: Document, name: str) -> str:
    known = profiles(document)
    close = closest(name, known)
    return f"; did you mean {close}?" if close else f"; there are {', '.join(known)}" if known else ""


def profiles(document: Document) -> List[str]:
    """The names of the profiles.

    Raises:
        ConfigError: ``profile`` is no table.
    """
    table = document.value((PROFILES,))
    if table is not None and not isinstance(table, Mapping):
        raise ConfigError(
            "must be a table of profiles",
            where=f"{document.at(document.line((PROFILES,)))}: {PROFILES}",
            remedy="[profile.NAME]; one is chosen by --profile NAME or HVDSM_PROFILE",
        )
    return list(table or {})


def closest(name: str, known: List[str]) -> Optional[str]:
    """The known name that somebody may have meant."""
    from difflib import get_close_matches

    found = get_close_matches(name, known, 1, 0.6)
    return found[0] if found else None
