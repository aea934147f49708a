"""``custom_mpi_options`` of a distribution: what mpirun would refuse, and what would undo the rest of the distribution."""

from __future__ import annotations

import shlex
import warnings
from typing import Any, List, Sequence

from hvdsm.compose.options import MpiOption, parse_options
from hvdsm.compose.problems import shown
from hvdsm.errors import MpiError

# Keys of hvdsm.compose.options that say how many ranks there are.
_COUNTS = ("np", "per-node")


class RewrittenOptionWarning(UserWarning):
    """An option was written as only hvdsm understands it; the distribution has it as mpirun does."""


def check_options(text: Any, where: str, *, counted: bool, stacklevel: int = 2) -> str:
    """The options as every mpirun takes them.

    ``--NCCL_DEBUG=INFO`` stands in older guides; AWS's training toolkit reads it, mpirun does not know it.  It becomes
    ``-x NCCL_DEBUG=INFO``, which both understand.
    All other text stays as it is.

    Args:
        text: the options in one string.
        where: what to call them in messages.
        counted: whether the distribution says how many processes run on each host.
        stacklevel: of the warning about options that are written anew.

    Raises:
        MpiError: it is no text, cannot be read, would be taken for the program, or contradicts the distribution.
    """
    if not isinstance(text, str):
        remedy = f'"{shlex.join(map(str, text))}"' if isinstance(text, (list, tuple)) else '"-x NCCL_DEBUG=INFO"'
        raise MpiError(f"must be one text, not {shown(text)}", where=where, remedy=remedy)
    try:
        options = parse_options(text)
    except MpiError as error:
        raise MpiError(error.what, where=where, remedy=error.remedy) from None
    _check_places(options, where)
    for option in options:
        if option.key == "hosts":
            raise MpiError(
                f"{option.words[0]} names hosts, and the job's own hosts would be lost",
                where=where,
                remedy=f"leave {shlex.join(option.words)} out: instance_count and instance_groups say which hosts take part",
            )
        if counted and option.key in _COUNTS:
            raise MpiError(
                f"{shlex.join(option.words)} contradicts processes_per_host",
                where=where,
                remedy=f"leave {shlex.join(option.words)} out, or leave processes_per_host out",
            )
    return _rewritten(text, options, where, stacklevel + 1)


def _check_places(options: Sequence[MpiOption], where: str) -> None:
    """A word where mpirun expects an option is the program to it: what follows, the script included, becomes its arguments."""
    complete = True
    for option in options:
        word = option.words[0]
        if complete and not word.startswith("-"):
            remedy = (
                f"-x {word}" if "=" in word else f"leave {shlex.quote(word)} out, or quote it together with its option's value"
            )
            raise MpiError(f"mpirun would take {shown(word)} for the program", where=where, remedy=remedy)
        if word in ("-", "--"):
            raise MpiError(f"mpirun would take what follows {word} for the program", where=where, remedy=f"leave {word} out")
        # The values of an option that is not known here are words of their own.
        complete = option.key is not None


def _rewritten(text: str, options: Sequence[MpiOption], where: str, stacklevel: int) -> str:
    words = shlex.split(text)
    changed: List[str] = []
    new: List[str] = []
    rest = list(words)
    for option in options:
        exported = option.exported is not None and not rest[0].startswith(("-x", "--x"))
        used = _used(option, rest)
        if exported:
            changed.append(shlex.join(rest[:used]))
            new += option.words
        else:
            new += rest[:used]
        rest = rest[used:]
    if not changed:
        return text
    written = shlex.join(new)
    warnings.warn(
        RewrittenOptionWarning(f"{where}: mpirun does not know {', '.join(changed)}; it is sent as {written}"),
        stacklevel=stacklevel,
    )
    return written


def _used(option: MpiOption, rest: Sequence[str]) -> int:
    """How many of the words an option was read from."""
    if option.exported is None:
        joined = "=" in rest[0] and len(option.words) == 2
        return 1 if joined else len(option.words)
    if rest[0].lstrip("-") == "x":
        return 2
    return 1 if "=" in rest[0] else 2
