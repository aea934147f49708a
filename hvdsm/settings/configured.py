"""What a configuration says to a command, and where each value comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from hvdsm.settings.document import Document
from hvdsm.settings.options import Option, Word, merged

ENVIRONMENT = "environment"
FILE = "file"
DEFAULT = "default"
FLAG = "flag"


class Source(NamedTuple):
    """Where a value comes from.

    Attributes:
        kind: FLAG, ENVIRONMENT, FILE or DEFAULT.
        name: the variable, or ``FILE:LINE``.
        profile: the profile, of a file's value that a profile gives.
    """

    kind: str
    name: Optional[str] = None
    profile: Optional[str] = None

    def __str__(self) -> str:
        """``hvdsm.toml:7, profile cloud``."""
        if self.kind == ENVIRONMENT:
            return f"environment variable {self.name}"
        if self.kind == FILE:
            return f"{self.name}, profile {self.profile}" if self.profile else str(self.name)
        return self.kind


@dataclass
class Configured:
    """What the configuration and the environment say to a command.

    Attributes:
        default_map: values by the name of the command's argument, for click.
        sources: where each value of ``default_map`` comes from; of a repeatable option the last that added to it.
        entry_sources: of options with ``NAME=VALUE``: where each name's value comes from.
        words: of repeatable options: the words.
        left: arguments whose variable is read by another library.
        warnings: what the user is to be told, one line each.
        document: the file, when there is one.
        profile: the profile that was chosen.
    """

    default_map: Dict[str, Any] = field(default_factory=dict)
    sources: Dict[str, Source] = field(default_factory=dict)
    entry_sources: Dict[str, Dict[str, Source]] = field(default_factory=dict)
    words: Dict[str, List[Word]] = field(default_factory=dict)
    left: Dict[str, Source] = field(default_factory=dict)
    warnings: List[str] = field(default_factory=list)
    document: Optional[Document] = None
    profile: Optional[str] = None

    def put(self, option: Option, value: Any, source: Source) -> None:
        """Lay a value over what is there."""
        self.left.pop(option.name, None)
        self.sources[option.name] = source
        if not option.multiple:
            self.default_map[option.name] = value
            return
        words = merged(option, self.words.get(option.name, ()), value)
        origins = self.entry_sources.setdefault(option.name, {})
        origins.update({str(word.name): source for word in value if word.name is not None})
        self.words[option.name] = words
        self.default_map[option.name] = [word.text for word in words]


@dataclass(frozen=True)
class Target:
    """The command that is configured.

    Attributes:
        path: its name, or those of its group and itself.
        options: its options.
        siblings: keys that other commands of its group know.
        commands: names of all commands, whose tables may stand beside the options of launch.
        subcommands: names of the commands of its group.
    """

    path: Tuple[str, ...]
    options: Tuple[Option, ...]
    siblings: Tuple[str, ...] = ()
    commands: Tuple[str, ...] = ()
    subcommands: Tuple[str, ...] = ()


def option_of(options: Sequence[Option], key: str, is_many: bool) -> Optional[Option]:
    """The option that a key means: a table or list is for one that is repeatable, where two have the same name."""
    fitting = [option for option in options if key in option.keys]
    fitting.sort(key=lambda option: option.multiple != is_many)
    return fitting[0] if fitting else None
