"""Takes the lines of growing files as they are written."""

from __future__ import annotations

import os
import threading
from typing import Callable, Dict, List

# Seconds between two looks.
INTERVAL = 0.1
_READ = 1 << 20


class Tail:
    """Follows ``HOST.log`` of a directory, in a thread of its own, until it is left as a context manager.

    Args:
        directory: where the files are, or will be.
        emit: gets a host's name and its new lines without their newlines.
        also: is called now and then, about every ``also_seconds``.
    """

    def __init__(
        self, directory: str, emit: Callable[[str, List[str]], None], also: Callable[[], object], also_seconds: float
    ) -> None:
        self._directory = directory
        self._emit = emit
        self._also = also
        self._turns = max(1, int(also_seconds / INTERVAL))
        self._places: Dict[str, int] = {}
        self._rests: Dict[str, bytes] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="hvdsm-sandbox-logs")

    def __enter__(self) -> Tail:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        for host, rest in self._rests.items():
            if rest:
                self._emit(host, [rest.decode("utf-8", "replace")])

    def _follow(self) -> None:
        turn = 0
        while not self._ended.wait(INTERVAL):
            self._look()
            turn += 1
            if turn % self._turns == 0:
                self._also()

    def _look(self) -> None:
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return
        for name in names:
            if name.endswith(".log"):
                self._read(name[: -len(".log")], os.path.join(self._directory, name))

    def _read(self, host: str, path: str) -> None:
        place = self._places.get(host, 0)
        if os.path.getsize(path) == place:
            return
        with open(path, "rb") as file:
            file.seek(place)
            while True:
                data = file.read(_READ)
                if not data:
                    break
                place += len(data)
                *lines, rest = (self._rests.get(host, b"") + data).split(b"\n")
                self._rests[host] = rest
                if lines:
                    self._emit(host, [line.decode("utf-8", "replace") for line in lines])
        self._places[host] = place
