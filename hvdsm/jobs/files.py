"""The logs of a job in files of this machine, read as they grow."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from hvdsm.jobs.base import Line

FOLDER = "logs"
# What an interruption left: the logs of the first hosts.
BEFORE = "logs-interrupted"
_READ = 1 << 20
# A line without an end is given in pieces of this size.
_LONGEST = 16 << 20


class LogFiles:
    """Reads the logs of a job; the launcher's first, then those of the other hosts in the order of their numbers.

    Args:
        directory: results of the job.
        launcher: the host whose log comes first.
        hosts: names of the hosts that are wanted; all by default.
        since: seconds since the epoch; logs that were last written to before are left out.
    """

    def __init__(
        self, directory: str, launcher: str, hosts: Optional[Sequence[str]] = None, since: Optional[float] = None
    ) -> None:
        self._directory = directory
        self._launcher = launcher
        self._hosts = None if hosts is None else frozenset(hosts)
        self._since = since
        self._places: Dict[Tuple[int, int], Tuple[int, bytes]] = {}
        self._read_before = False

    def left_out(self) -> List[str]:
        """Names of the hosts whose logs are too old."""
        found = [
            (folder, host)
            for folder in (BEFORE, FOLDER)
            for host, path in self._paths(folder)
            if self._since is not None and not self._is_new(path)
        ]
        return [host if folder == FOLDER else f"{host} (before the interruption)" for folder, host in found]

    def batches(self, *, last: bool) -> Iterator[List[Line]]:
        """The lines that are new.

        Args:
            last: whether no more will come, so that a line without an end is one, too.
        """
        for folder in (BEFORE, FOLDER):
            for host, path in self._paths(folder):
                if self._is_new(path):
                    yield from self._read(host, path, last or folder == BEFORE)

    def _is_new(self, path: str) -> bool:
        if self._since is None:
            return True
        try:
            return os.stat(path).st_mtime >= self._since
        except OSError:
            return False

    def _paths(self, folder: str) -> List[Tuple[str, str]]:
        place = os.path.join(self._directory, folder)
        names: List[str] = []
        with contextlib.suppress(OSError):
            names = [name[:-4] for name in os.listdir(place) if name.endswith(".log")]
        wanted = [name for name in names if self._hosts is None or name in self._hosts]
        return [(name, os.path.join(place, name + ".log")) for name in sorted(wanted, key=self._order)]

    def _order(self, host: str) -> Tuple[bool, int, str]:
        number = re.search(r"(\d+)$", host)
        return host != self._launcher, int(number[1]) if number else 0, host

    def _read(self, host: str, path: str, last: bool) -> Iterator[List[Line]]:
        try:
            file = open(path, "rb")  # noqa: SIM115
        except OSError:
            return
        with file:
            status = os.fstat(file.fileno())
            # By its inode: an interruption renames the folder of a log that is being read.
            identity = (status.st_dev, status.st_ino)
            place, rest = self._places.get(identity, (0, b""))
            file.seek(place)
            while data := file.read(_READ):
                place += len(data)
                *whole, rest = (rest + data).split(b"\n")
                if len(rest) > _LONGEST:
                    whole, rest = [*whole, rest], b""
                if whole:
                    yield [Line(host, line) for line in whole]
                self._places[identity] = (place, rest)
            if last and rest:
                self._places[identity] = (place, b"")
                yield [Line(host, rest)]
