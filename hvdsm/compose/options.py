"""The user's ``custom_mpi_options``: one string, read as shell words and grouped into mpirun options.

Options that hvdsm sets by default are recognised by a key, so that the user's one takes the place of the default instead of
standing beside it (Open MPI refuses some duplicates).  Everything else is passed on as it is, in its order.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import FrozenSet, List, Optional, Sequence, Set, Tuple

from hvdsm.errors import MpiError

# An upper-case name with an underscore is a variable (--NCCL_DEBUG=INFO), never an option of mpirun (--N 8 is one).
_VARIABLE = re.compile(r"^--?([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=(.*))?$", re.DOTALL)

_MCA = {
    "mca": "mca",
    "gmca": "mca",
    "omca": "mca",
    "prtemca": "prtemca",
    "gprtemca": "prtemca",
    "pmixmca": "pmixmca",
    "gpmixmca": "pmixmca",
}
_VALUED = {
    "np": "np",
    "n": "np",
    "c": "np",
    "hostfile": "hosts",
    "machinefile": "hosts",
    "default-hostfile": "hosts",
    "host": "hosts",
    "H": "hosts",
    "bind-to": "bind-to",
    "map-by": "map-by",
    "N": "per-node",
    "npernode": "per-node",
    "npersocket": "per-node",
    "ppr": "per-node",
    "prefix": "prefix",
    "wdir": "wdir",
    "wd": "wdir",
    "rank-by": "rank-by",
}
_SWITCHES = {
    "allow-run-as-root": "allow-run-as-root",
    "bind-to-none": "bind-to",
    "bind-to-core": "bind-to",
    "bind-to-socket": "bind-to",
    "bynode": "map-by",
    "byslot": "map-by",
    "pernode": "per-node",
    "noprefix": "prefix",
}
# Settings that contradict each other: the user's one removes the default of the other name as well.
_RIVALS = {
    "mca:btl_tcp_if_include": ("mca:btl_tcp_if_exclude",),
    "mca:oob_tcp_if_include": ("mca:oob_tcp_if_exclude",),
    "prtemca:prte_if_include": ("prtemca:prte_if_exclude", "mca:oob_tcp_if_include", "mca:prte_if_include"),
    "mca:plm_rsh_agent": ("mca:orte_rsh_agent",),
    "prtemca:plm_ssh_agent": ("mca:plm_ssh_agent", "mca:plm_rsh_agent"),
    "bind-to": ("mca:hwloc_base_binding_policy", "mca:hwloc_default_binding_policy", "prtemca:hwloc_default_binding_policy"),
    "np": ("per-node",),
    "map-by": ("per-node", "mca:rmaps_base_mapping_policy", "mca:rmaps_default_mapping_policy"),
}
REMOVE = "hvdsm-unset"


@dataclass(frozen=True)
class MpiOption:
    """Some words of an mpirun command line; ``key`` names what they set, None for words that are only passed on."""

    words: Tuple[str, ...]
    key: Optional[str] = None

    @property
    def exported(self) -> Optional[str]:
        """Name of the variable that ``-x NAME[=VALUE]`` sends to the ranks, if this is one."""
        return self.key[2:] if self.key and self.key.startswith("x:") else None


def variable(name: str, value: Optional[str] = None) -> MpiOption:
    """``-x NAME`` (the launcher's value) or ``-x NAME=VALUE``."""
    return MpiOption(("-x", name if value is None else f"{name}={value}"), f"x:{name}")


def mca(name: str, value: str, kind: str = "mca") -> MpiOption:
    """``--mca NAME VALUE``; kind ``prtemca`` for a parameter of PRRTE."""
    return MpiOption((f"--{kind}", name, value), f"{kind}:{name}")


def valued(name: str, value: str) -> MpiOption:
    """``--NAME VALUE`` of the options that hvdsm knows."""
    return MpiOption(("-np" if name == "np" else f"--{name}", value), _VALUED[name])


def switch(name: str) -> MpiOption:
    """``--NAME``."""
    return MpiOption((f"--{name}",), _SWITCHES.get(name))


def parse_options(text: str) -> List[MpiOption]:
    """``custom_mpi_options`` as options.

    Besides mpirun's own options it understands ``--NAME=VALUE`` and ``--NAME VALUE`` for an upper-case variable NAME
    (``--NCCL_DEBUG=INFO``: sent as ``-x``), and ``--hvdsm-unset KEY``, which removes a default, KEY being an MCA parameter, a
    variable or an option's name.

    Raises:
        MpiError: the quotes are not balanced, or an option lacks its value.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise MpiError(
            f"{error} in {text!r}", where="custom_mpi_options", remedy="quote as in a shell, for example: -x A='b c'"
        ) from None
    found: List[MpiOption] = []
    rest = list(words)
    while rest:
        option, used = _next(rest)
        found.append(option)
        rest = rest[used:]
    return found


def _next(words: Sequence[str]) -> Tuple[MpiOption, int]:
    word = words[0]
    match = _VARIABLE.match(word)
    if match:
        if match.group(2) is not None:
            return variable(match.group(1), match.group(2)), 1
        return variable(match.group(1), _values(words, 1)[0]), 2
    if not word.startswith("-") or word in ("-", "--"):
        return MpiOption((word,)), 1
    name, equals, inline = word.lstrip("-").partition("=")
    if name == "x":
        assignment = inline if equals else _values(words, 1)[0]
        return MpiOption(("-x", assignment), "x:" + assignment.partition("=")[0]), 1 if equals else 2
    if name in _MCA and not equals:
        key, value = _values(words, 2)
        return MpiOption((f"--{name}", key, value), f"{_MCA[name]}:{key}"), 3
    if name in _VALUED or name == REMOVE:
        value = inline if equals else _values(words, 1)[0]
        key = f"remove:{value}" if name == REMOVE else _VALUED[name]
        dashes = "-" if len(name) == 1 or name == "np" else "--"
        return MpiOption((dashes + name, value), key), 1 if equals else 2
    if name in _SWITCHES and not equals:
        return MpiOption((f"--{name}",), _SWITCHES[name]), 1
    return MpiOption((word,)), 1


def _values(words: Sequence[str], count: int) -> Sequence[str]:
    if len(words) <= count:
        raise MpiError(
            f"{words[0]} needs {count} value{'s' if count > 1 else ''}",
            where="custom_mpi_options",
            remedy="see `man mpirun`, or leave the option out",
        )
    return words[1 : 1 + count]


def merge(defaults: Sequence[MpiOption], custom: Sequence[MpiOption]) -> List[MpiOption]:
    """The defaults that the user left in place, then the user's options.

    A default goes where the user sets the same key, a rival of it, or removes it by ``--hvdsm-unset``.  Of several user
    options of one single-valued key the last one stands.
    """
    taken = {option.key for option in custom if option.key}
    removed = {key[len("remove:") :] for key in taken if key.startswith("remove:")} - {""}
    kept = [option for option in defaults if not _replaced(option, taken, removed)]
    last = {option.key: index for index, option in enumerate(custom) if option.key}
    for index, option in enumerate(custom):
        if option.key and (option.key.startswith("remove:") or (option.key != "hosts" and last[option.key] != index)):
            continue
        kept.append(option)
    return kept


def _replaced(option: MpiOption, taken: Set[str], removed: Set[str]) -> bool:
    if option.key is None:
        return False
    names = {option.key, option.key.partition(":")[2], option.words[0].lstrip("-")}
    return option.key in taken or bool(taken.intersection(_RIVALS.get(option.key, ()))) or bool(names & removed)


def exported_names(options: Sequence[MpiOption]) -> FrozenSet[str]:
    """Names of the variables that ``-x`` sends to the ranks."""
    return frozenset(option.exported for option in options if option.exported)


def with_double_dashes(options: Sequence[MpiOption]) -> List[MpiOption]:
    """The options in the spelling that PRRTE takes: long options have two dashes (it refuses ``-bind-to``)."""
    return [MpiOption(tuple(_long(word) for word in option.words[:1]) + option.words[1:], option.key) for option in options]


def _long(word: str) -> str:
    if re.match(r"^-[A-Za-z][A-Za-z-]+(=|$)", word) and word not in ("-np", "-x"):
        return "-" + word
    return word
