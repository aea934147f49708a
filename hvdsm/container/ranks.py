"""The local ranks of one host: gives each its environment and output pipe, hears how it ends, passes signals to it.

Rank wrappers (``hvdsm.container.rank``) connect to a unix socket in the job's session directory, whoever started them:
mpirun's daemon, or this program itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import time
from functools import partial
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from hvdsm.container.loop import Loop
from hvdsm.container.memory import evidence, read_counters
from hvdsm.container.processes import kill
from hvdsm.container.progress import forget_progress, read_progress
from hvdsm.container.relay import LineTagger
from hvdsm.container.unix import Event, JsonLines, send_with_descriptor, try_send

PIPE_BYTES = 1 << 20
READ_BYTES = 1 << 20


class LocalRank:
    """One rank on this host, from the connection of its wrapper to the end of its output."""

    def __init__(self, hello: Event, connection: socket.socket, pipe: int, label: str) -> None:
        self.rank = int(hello["rank"])
        self.local_rank = int(hello["local_rank"])
        self.connection = connection
        self.pipe = pipe
        self.tagger = LineTagger(label)
        self.child: Optional[int] = None
        self.ended = False
        self.heard = time.monotonic()
        self.memory = read_counters()
        self.exception: Event = {}

    @property
    def tail(self) -> str:
        """The end of what the rank wrote."""
        return self.tagger.tail.decode(errors="replace")


class RankServer:
    """Serves the ranks of this host.

    ``on_event`` gets ``{"say": "started" | "failure" | "exited", …}``; ``on_lines`` gets tagged lines.  ``plain`` says that
    this host runs the script outside of the distribution: its lines carry the host's name alone.
    """

    def __init__(
        self,
        loop: Loop,
        session: str,
        host: str,
        environment: Mapping[str, str],
        directory: str,
        *,
        on_event: Callable[[Event], None],
        on_lines: Callable[[bytes], None],
        plain: bool = False,
    ) -> None:
        self._loop = loop
        self._session = session
        self._host = host
        self._plain = plain
        self._environment = dict(environment)
        self._directory = directory
        self._on_event = on_event
        self._on_lines = on_lines
        self.ranks: Dict[int, LocalRank] = {}
        self._readers: List[JsonLines] = []
        self._waiting: Dict[int, socket.socket] = {}
        self._paused = False
        self.exported: List[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(os.path.join(session, "ranks.sock"))
        self._socket.listen(1024)
        self._socket.setblocking(False)
        loop.watch(self._socket, selectors.EVENT_READ, self._accept)
        loop.every(0.25, self._flush_partial)

    @property
    def running(self) -> bool:
        """Whether a rank has started and not ended."""
        return any(not rank.ended for rank in self.ranks.values())

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        connection.setblocking(False)
        reader = JsonLines(self._loop, connection)
        self._readers.append(reader)
        reader.on_line = lambda message: self._first(reader, message)
        reader.on_end = lambda: None

    def _accept_all(self) -> None:
        count = -1
        while count < len(self._readers):
            count = len(self._readers)
            self._accept(selectors.EVENT_READ)

    def _first(self, reader: JsonLines, message: Event) -> None:
        if "hello" in message:
            self._started(reader, message["hello"])
        elif "failure" in message:
            # A rank that reports from inside of the script waits for the answer: its end must not be seen before its report.
            self._report(message["failure"], reader.connection)
        elif "exception" in message:
            # Python behind a shell entry point: it is a failure only if the shell then ends with another code than 0.
            rank = self.ranks.get(int(message["exception"]["rank"]))
            if rank is not None:
                rank.exception = {key: message["exception"].get(key, "") for key in ("exception", "message", "traceback")}
            try_send(reader.connection, b'{"ack": true}\n')

    def _started(self, reader: JsonLines, hello: Event) -> None:
        read, write = os.pipe()
        try:
            fcntl.fcntl(write, getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_BYTES)
        except OSError:
            pass
        os.set_blocking(read, False)
        label = self._host if self._plain else f"{int(hello['rank'])},{self._host}"
        rank = LocalRank(hello, reader.connection, read, label)
        self.ranks[rank.rank] = rank
        answer = {"environment": self._environment, "directory": self._directory, "exported": self.exported}
        reader.on_line = lambda message: self._heard(rank, message)
        reader.on_end = lambda: self._vanished(rank)
        try:
            reader.connection.setblocking(True)
            send_with_descriptor(reader.connection, json.dumps(answer).encode() + b"\n", write)
            reader.connection.setblocking(False)
        except OSError:
            # The wrapper was killed meanwhile; the end of its connection is heard next.
            reader.connection.setblocking(False)
        os.close(write)
        if not self._paused:
            self._loop.watch(read, selectors.EVENT_READ, partial(self._read_ready, rank))
        self._on_event({"say": "started", **hello})

    def _heard(self, rank: LocalRank, message: Event) -> None:
        if "child" in message:
            rank.child = int(message["child"])
        if "exited" in message:
            rank.ended = True
            self._drain(rank)
            event = dict(message["exited"])
            if event.get("exit_code"):
                event.update(rank.exception)
                event["output_tail"] = rank.tail
                if event.get("signal") == signal.SIGKILL:
                    event["evidence"] = evidence(rank.memory, read_counters())
                self._waiting[rank.rank] = rank.connection
            self._on_event({"say": "exited", **event})

    def _vanished(self, rank: LocalRank) -> None:
        """The wrapper ended without a word: killed, by mpirun's daemon most often."""
        if not rank.ended:
            rank.ended = True
            self._drain(rank)
            if rank.child:
                kill(rank.child, signal.SIGKILL)
            self._on_event(
                {
                    "say": "exited",
                    "rank": rank.rank,
                    "local_rank": rank.local_rank,
                    "exit_code": 137,
                    "signal": 9,
                    "vanished": True,
                }
            )

    def _report(self, failure: Event, connection: socket.socket) -> None:
        rank = self.ranks.get(int(failure["rank"]))
        if rank is not None:
            self._read(rank)
            failure["output_tail"] = rank.tail
        self._waiting[int(failure["rank"])] = connection
        self._on_event({"say": "failure", **failure})

    def acknowledge(self, rank: int) -> None:
        """The launcher knows of the failure: the rank may end."""
        connection = self._waiting.pop(rank, None)
        if connection is not None:
            try_send(connection, b'{"ack": true}\n')

    def signal(self, number: int) -> None:
        """Send a signal to every local rank, and to its process group when it is SIGKILL."""
        for rank in self.ranks.values():
            if not rank.ended:
                sent = try_send(rank.connection, json.dumps({"signal": number}).encode() + b"\n")
                if not sent and rank.child:
                    kill(rank.child, number)

    def pause(self, paused: bool) -> None:
        """Stop or resume reading the ranks' output: the ranks wait while their lines cannot go on."""
        if paused == self._paused:
            return
        self._paused = paused
        for rank in self.ranks.values():
            if rank.pipe < 0:
                continue
            if paused:
                self._loop.unwatch(rank.pipe)
            else:
                self._loop.watch(rank.pipe, selectors.EVENT_READ, partial(self._read_ready, rank))

    def _read_ready(self, rank: LocalRank, _events: int) -> None:
        self._read(rank)

    def _read(self, rank: LocalRank) -> bool:
        """One read; False when nothing more is there now."""
        if rank.pipe < 0:
            return False
        try:
            data = os.read(rank.pipe, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._loop.unwatch(rank.pipe)
            os.close(rank.pipe)
            rank.pipe = -1
            self._on_lines(rank.tagger.finish())
            return False
        rank.heard = time.monotonic()
        self._on_lines(rank.tagger.feed(data, rank.heard))
        return True

    def _drain(self, rank: LocalRank) -> None:
        """What the rank has written by now; a grandchild that holds the pipe is not waited for."""
        while self._read(rank):
            pass
        self._on_lines(rank.tagger.finish())

    def activity(self) -> List[Event]:
        """Each running rank: rank, local_rank, idle (seconds since its last output or progress), step (None if never told)."""
        now, found = time.monotonic(), []
        for rank in self.ranks.values():
            if not rank.ended:
                told = read_progress(self._session, rank.rank)
                last = max(rank.heard, told[1]) if told else rank.heard
                idle = 0.0 if self._paused else now - last
                step = told[0] if told else None
                found.append({"rank": rank.rank, "local_rank": rank.local_rank, "idle": round(idle, 3), "step": step})
        return found

    def best_step(self) -> Optional[int]:
        """The greatest step that a rank of this host has reported in this run."""
        told = [read_progress(self._session, rank) for rank in self.ranks]
        return max((step for step, _ in filter(None, told)), default=None)

    def children(self) -> List[Tuple[int, int]]:
        """(rank, process id of its program) of the ranks that run."""
        return [(rank.rank, rank.child) for rank in self.ranks.values() if rank.child and not rank.ended]

    def label(self, rank: int) -> str:
        """The tag of a rank's lines, without the brackets."""
        return self._host if self._plain else f"{rank},{self._host}"

    def reset(self, environment: Mapping[str, str]) -> None:
        """Forget the ranks of the run that is over, whose processes have been ended; the next ones get this environment."""
        # One that was just beginning would be taken for a rank of the next run, and its end for a failure there.
        self._accept_all()
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        for rank in self.ranks.values():
            self._drain(rank)
            if rank.pipe >= 0:
                self._loop.unwatch(rank.pipe)
                os.close(rank.pipe)
                rank.pipe = -1
        forget_progress(self._session, list(self.ranks))
        self.ranks.clear()
        self._waiting.clear()
        self._environment = dict(environment)

    def _flush_partial(self) -> None:
        now = time.monotonic()
        for rank in self.ranks.values():
            self._on_lines(rank.tagger.overdue(now))

    def close(self) -> None:
        """End serving; everything still in the pipes is taken first."""
        self._loop.unwatch(self._socket)
        self._socket.close()
        for rank in self.ranks.values():
            self._drain(rank)
