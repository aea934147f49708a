"""Arguments that are not hvdsm's own: they reach GraphStorm without loss, as hyperparameters where those can say them; pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Sequence, Tuple

from hvdsm.compose.arguments import MAX_VALUE
from hvdsm.errors import UsageError

# The service's limits: the name of a hyperparameter.
_MAX_KEY = 256
# What argparse takes for a value after a blank, although it begins with a dash.
_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")
# Several options in one word that begins with a blank, as one over several lines of a script does.
_OPTIONS = re.compile(r"\s+--[A-Za-z]")


@dataclass(frozen=True)
class Forwarded:
    """What goes on to GraphStorm.

    Attributes:
        words: all of it, in order.
        hyperparameters: each option that is there once and has values: ``v1 v2``, quoted as in a shell; a flag has none.
        rest: the words that hyperparameters cannot say: options that are repeated, that have an empty value or one that looks
            like an option (``--x=--y``), or are too long.
    """

    words: Tuple[str, ...] = ()
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    rest: Tuple[str, ...] = ()


@dataclass(frozen=True)
class _Option:
    """An option; ``glued`` is that its value, which looks like an option, came after an equals sign, and has to stay there."""

    name: str
    values: List[str]
    glued: bool

    @property
    def words(self) -> List[str]:
        """It as words."""
        if self.glued:
            return [f"--{self.name}={self.values[0]}", *self.values[1:]]
        return [f"--{self.name}", *self.values]


def forwarded(words: Sequence[str], own: Sequence[str] = (), foreign: Sequence[str] = ()) -> Forwarded:
    """What some words say.

    One word that holds several (``'--feat-name ntype0:feat0 --num-epochs 2'``) is split as a shell splits it; ``--k=v`` is
    ``--k v``, unless ``v`` looks like an option.

    Args:
        words: of the command line that are no options of hvdsm.
        own: names of hyperparameters that hvdsm sets itself.
        foreign: names that mean something to other kinds of jobs alone.

    Raises:
        UsageError: a word belongs to no option, or an option has a name of ``own`` or ``foreign``.
    """
    groups: List[_Option] = []
    for word in _split(words):
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            if name in own or not name:
                raise UsageError("is set by hvdsm itself", where=f"--{name}", remedy="leave it out")
            if name in foreign:
                raise UsageError("means nothing to a job of this kind", where=f"--{name}", remedy="leave it out")
            glued = value.startswith("-") and not _NEGATIVE.fullmatch(value)
            groups.append(_Option(name, [value] if equals else [], glued))
        elif not groups:
            raise UsageError(
                f"{word!r} belongs to no option", where="arguments for GraphStorm", remedy="write --NAME before its values"
            )
        else:
            groups[-1].values.append(word)
    names = [option.name for option in groups]
    hyperparameters: Dict[str, str] = {}
    rest: List[str] = []
    for option in groups:
        text = shlex.join(option.values)
        plain = (option.name + text).isascii() and len(option.name) <= _MAX_KEY and len(text) <= MAX_VALUE - 2
        if plain and names.count(option.name) == 1 and "" not in option.values and not option.glued:
            hyperparameters[option.name] = text
        else:
            rest += option.words
    return Forwarded(tuple(word for option in groups for word in option.words), hyperparameters, tuple(rest))


def plain_hyperparameters(found: Forwarded) -> Dict[str, str]:
    """The same for a script of the user's own, as GraphStorm's launchers send them: values joined by blanks, nothing quoted.

    Raises:
        UsageError: an option is repeated, which a hyperparameter cannot say.
    """
    values: Dict[str, List[str]] = {}
    name = ""
    for word in found.words:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            if name in values:
                raise UsageError(
                    "is given twice, and a hyperparameter has one value",
                    where=f"--{name}",
                    remedy="give all values at once, or leave out --entry-point",
                )
            values[name] = [value] if equals else []
        else:
            values[name].append(word)
    return {name: " ".join(entry) for name, entry in values.items()}


def _split(words: Sequence[str]) -> List[str]:
    found: List[str] = []
    for word in words:
        if (word.startswith("--") or _OPTIONS.match(word)) and any(letter.isspace() for letter in word):
            pieces = _shell(word)
            if "=" not in pieces[0] or any(piece.startswith("--") for piece in pieces[1:]):
                found += pieces
                continue
        found.append(word)
    return found


def _shell(text: str) -> List[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"cannot be split as a shell splits it: {error}", where=f"argument {text!r}", remedy="close its quotes"
        ) from None
