"""What an option of a command takes, and how a value of a configuration, or of a variable, becomes one of it; pure."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from hvdsm.compose.mask import MASK, looks_secret, mask_text
from hvdsm.compose.request import parse_hyperparameter
from hvdsm.settings.document import Entry
from hvdsm.settings.hyperparameters import WrongText, check_values

WHOLE = "a whole number"
NUMBER = "a number"
SWITCH = "true or false"
TEXT = "a text in quotes"
# Repeatable options whose values are JSON: every type of TOML but dates stands for itself.
_JSON = ("hyperparameters", "settings")
# What is written `secrets = {NAME = "arn:…"}` names a secret and is none.
_NAMES_SECRETS = ("secrets",)
# A path without a directory that is looked for on PATH.
_PROGRAMS = ("mpirun",)
_PATHS = ("FILE", "DIR", "PATH")


class WrongValue(ValueError):
    """A value that the option cannot have; the message names no secret."""


class Word(NamedTuple):
    """One ``NAME=VALUE`` of a repeatable option, or one plain word of it (``name`` is None then)."""

    name: Optional[str]
    text: str


@dataclass(frozen=True)
class Option:
    """An option of a command, as a configuration sees it.

    Attributes:
        name: the name of the command's argument.
        keys: what it is called in a file, underscores for dashes; the first is the one to show.
        flag: what it is called on the command line.
        kind: what its value is: one of WHOLE, NUMBER, SWITCH, TEXT.
        choices: the values it may have; empty when they are not counted.
        multiple: whether it can be given several times.
        metavar: what its help calls the value; tells paths, and names from values.
        convert: checks a value and gives it its type; raises ValueError.
        default: what it is when nobody says anything.
    """

    name: str
    keys: Tuple[str, ...]
    flag: str
    kind: str
    choices: Tuple[str, ...]
    multiple: bool
    metavar: str
    convert: Callable[[Any], Any]
    default: Any = None

    @property
    def key(self) -> str:
        """What it is called in a file."""
        return self.keys[0]

    @property
    def named(self) -> bool:
        """Whether its words are ``NAME=VALUE``."""
        return self.multiple and "=" in self.metavar

    @property
    def expected(self) -> str:
        """What a file has to give, in words."""
        one = f"one of {', '.join(self.choices)}" if self.choices else self.kind
        if self.named:
            return f"a table, or a list of {self.metavar} in quotes, is expected"
        return f"a list of texts in quotes ({self.metavar}) is expected" if self.multiple else f"{one} is expected"


def from_file(option: Option, value: Any, names: Sequence[Entry], directory: str) -> Any:
    """A value of a file as the command takes it: a list of words for a repeatable option.

    Args:
        option: the option.
        value: what the file says.
        names: the entries of the table, when it is one.
        directory: what relative paths are relative to.

    Raises:
        WrongValue: it has another type, or is out of range.
    """
    if not option.multiple:
        return _path(option, _scalar(option, value), directory)
    if isinstance(value, Mapping) and option.named:
        return [Word(entry.key, f"{entry.key}={_named(option, entry, directory)}") for entry in names]
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise WrongValue(f"{option.expected}, not {_kind_of(value)}")
    return [word_of(option, text, directory) for text in value]


def from_text(option: Option, text: str) -> Any:
    """A value of an environment variable as the command takes it.

    A repeatable option takes a JSON object or list, or one word in each line.

    Raises:
        WrongValue: it cannot be read.
    """
    if not option.multiple:
        return _converted(option, text)
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise WrongValue(f"is no JSON: {error}") from None
        if isinstance(value, Mapping):
            if not option.named:
                raise WrongValue("a JSON list, or one value in each line, is expected")
            return from_file(option, value, [Entry(key, inner, 0) for key, inner in value.items()], "")
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise WrongValue("a JSON list of texts is expected")
        return [word_of(option, word, "") for word in value]
    return [word_of(option, line, "") for line in text.splitlines() if line.strip()]


def word_of(option: Option, text: str, directory: str) -> Word:
    """A word of a repeatable option.

    Raises:
        WrongValue: it is not NAME=VALUE where it should be.
    """
    if not option.named:
        return Word(None, _path(option, _converted(option, text), directory))
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise WrongValue(f"{option.metavar} is expected in each entry")
    return Word(name, f"{name}={_path(option, value, directory)}")


def merged(option: Option, below: Sequence[Word], above: Sequence[Word]) -> List[Word]:
    """Words of an option over other words: a name replaces the same name; words without names replace them all."""
    if not option.named:
        return list(above)
    names = {word.name for word in above}
    return [*(word for word in below if word.name not in names), *above]


def secret_in(option: Option, value: Any) -> List[str]:
    """The names whose values look like secrets: those of entries, or the option's own key."""
    if option.name in _NAMES_SECRETS:
        return []
    if option.named:
        found = []
        for word in value:
            text = word.text.partition("=")[2]
            if text not in ("", MASK) and (looks_secret(str(word.name)) or mask_text(text) != text):
                found.append(str(word.name))
        return found
    texts = [word.text for word in value] if option.multiple else [value]
    hidden = any(isinstance(text, str) and (mask_text(text) != text or (text and looks_secret(option.key))) for text in texts)
    return [option.key] if hidden else []


def shown_word(option: Option, word: Word) -> str:
    """The value of a word without secrets."""
    text = word.text if word.name is None else word.text.partition("=")[2]
    if word.name is not None and text and option.name not in _NAMES_SECRETS and looks_secret(word.name):
        return MASK
    return mask_text(text)


def _scalar(option: Option, value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = {
        WHOLE: whole,
        NUMBER: whole or isinstance(value, float),
        SWITCH: isinstance(value, bool),
        TEXT: isinstance(value, str),
    }[option.kind]
    if not fits:
        raise WrongValue(f"{option.expected}, not {_kind_of(value)}")
    return _converted(option, value)


def _converted(option: Option, value: Any) -> Any:
    number = {WHOLE: int, NUMBER: float}.get(option.kind)
    try:
        known = value if number is None or not isinstance(value, str) else number(value)
    except ValueError:
        raise _unexpected(option, value) from None
    try:
        return option.convert(known)
    except ValueError as error:
        if option.choices or option.kind == SWITCH:
            raise _unexpected(option, value) from None
        raise WrongValue(str(error)) from None


def _unexpected(option: Option, value: Any) -> WrongValue:
    # What stands in the wrong place may be a secret.
    text = f", not {json.dumps(value)}" if mask_text(str(value)) == value else ""
    return WrongValue(f"{option.expected}{text}")


def _named(option: Option, entry: Entry, directory: str) -> str:
    name, value = entry.key, entry.value
    if not name or "=" in name:
        raise WrongValue(f"the name {json.dumps(name)} is empty or has an equals sign")
    if option.name in _JSON:
        try:
            check_values({name: value})
        except WrongText as error:
            raise WrongValue(str(error)) from None
        if isinstance(value, str) and option.name == "hyperparameters" and parse_hyperparameter(value) == value:
            return value
        return json.dumps(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise WrongValue(f"{name}: a text in quotes is expected, not {_kind_of(value)}")
    return str(_path(option, value, directory))


def _path(option: Option, value: Any, directory: str) -> Any:
    """A path of a file is relative to that file; addresses, ``~``, ``-`` and programs of PATH stay."""
    last = option.metavar.rpartition("=")[2].partition("[")[0]
    if last not in _PATHS or not directory or not isinstance(value, str):
        return value
    if not value or value == "-" or value.startswith("~") or "://" in value:
        return value
    if option.name in _PROGRAMS and "/" not in value:
        return value
    return value if os.path.isabs(value) else os.path.normpath(os.path.join(directory, value))


def _kind_of(value: Any) -> str:
    kinds: Dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    kind = kinds.get(type(value), "a date or time")
    return kind if not isinstance(value, (bool, int, float)) else json.dumps(value)


def mask_option(option: Option, value: Any) -> Any:
    """The value of an option, as an argument of its command, without secrets."""
    if isinstance(value, (list, tuple)):
        return tuple(mask_text(str(text)) for text in value)
    if isinstance(value, str) and value:
        return MASK if looks_secret(option.key) else mask_text(value)
    return value
