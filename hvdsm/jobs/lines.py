"""Whose a line of a log is, and whether another log has it too; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Optional

from hvdsm.compose.outcome_line import PREFIX
from hvdsm.jobs.base import Line

# ``[3,algo-2] ``, ``[server,algo-2] `` for a role; ``~`` marks a piece of a line that the next record continues.
_OWN = re.compile(rb"\[(?:(?P<rank>\d+)|(?P<role>[^\],\s]+)),(?P<host>[^\],\s]+)\](?P<piece>~?) ")
# A role, or mpirun, of one host alone.
_HOST = re.compile(rb"\[(?P<host>algo-\d+)\](?P<piece>~?) ")
# What mpirun puts in front by itself, with the names of the SageMaker Training Toolkit and without: [1,mpirank:3,algo-2]<stdout>:
_OPEN_MPI = re.compile(rb"\[\d+,(?:mpirank:)?(?P<rank>\d+)(?:,(?P<host>[^\],\s]+))?\]<std(?:out|err)>: ?")
_PROGRAM = b"hvdsm: "


@dataclass(frozen=True)
class Origin:
    """Where a line comes from.

    Attributes:
        rank: None for what no rank said.
        host: the host that said it.
        text: the line without the tag.
        piece: whether the next line of the same origin continues it.
        role: name of a process that is no rank; empty for others.
    """

    rank: Optional[int]
    host: str
    text: bytes
    piece: bool = False
    role: str = ""
    tagged: bool = False


def origin_of(line: Line) -> Origin:
    """Read a line's tag; a line without one is its host's own."""
    data = line.data
    if not data.startswith(b"["):
        return Origin(None, line.host, data)
    found = _OWN.match(data)
    if found:
        rank = None if found["rank"] is None else int(found["rank"])
        role = (found["role"] or b"").decode("utf-8", "replace")
        return Origin(rank, found["host"].decode("utf-8", "replace"), data[found.end() :], bool(found["piece"]), role, True)
    found = _HOST.match(data)
    if found:
        return Origin(None, found["host"].decode(), data[found.end() :], bool(found["piece"]), "-", True)
    found = _OPEN_MPI.match(data)
    if found:
        host = found["host"].decode("utf-8", "replace") if found["host"] else line.host
        return Origin(int(found["rank"]), host, data[found.end() :], False, "", True)
    return Origin(None, line.host, data)


@dataclass
class Once:
    """Lets every line through once: the launcher's log has the lines of all ranks, and every host has those of its own.

    Args:
        launcher: the host whose log has all.
        sure: whether hvdsm's program is known to run the job; otherwise the logs tell.
        alone: whether the hosts do not wait for each other: a host may print before the launcher hears of it, and each shows
            its own lines.
    """

    launcher: str
    sure: bool = False
    with_launcher: bool = True
    alone: bool = False
    _own: Dict[str, bool] = field(default_factory=dict)

    def is_new(self, line: Line, origin: Origin) -> bool:
        """Whether this line is to be shown: it is no repetition, and no message from program to program."""
        if self.alone:
            foreign = origin.tagged and origin.host != line.host
            return not foreign and not (line.host == self.launcher and line.data.startswith(PREFIX))
        if line.host == self.launcher:
            self._own[line.host] = self._own.get(line.host, False) or line.data.startswith(_PROGRAM)
            return not line.data.startswith(PREFIX)
        if not self._own.get(line.host) and line.data.startswith(_PROGRAM):
            self._own[line.host] = True
        if not self.with_launcher or not origin.tagged:
            return True
        own = self.sure or self._own.get(line.host, False) or self._own.get(self.launcher, False)
        return not (own and origin.host == line.host)
