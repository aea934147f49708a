"""Finds a job's metrics in its logs while it runs, in a process of its own.

A regular expression can take for ever on a line that does not suit it, and Python cannot interrupt it from another thread.  Here
an alarm does: the definition is left out from then on, and the job never waits for it.  The process reads the logs themselves and
is only told that there is more to read, so that a slow one holds nothing back either.

Protocol: the first line of standard input is JSON (``definitions``, ``logs``); every byte after it says that there is more; its
end that there will be no more.  Then the process writes JSON (the fields of :class:`Found`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Mapping, Optional, Pattern, Sequence, Tuple

from hvdsm.compose.metrics import MAX_LINE, Metrics, Summary, compile_metrics, merged

# Seconds that one search may take; the simplest ones take a microsecond.
PATIENCE = 0.5
# Seconds that the process may still read after the end of the job.
FINISH = 20.0
_MODULE = "hvdsm.backends.local.meter"
_PIECE = 1 << 20
# A line of a rank, or of a process beside the ranks, as hvdsm's program tags it.
_TAGGED = re.compile(rb"\[[\w.-]+,([^\],\s]+)\]~? ")


@dataclass(frozen=True)
class Found:
    """What came of it: the values, and what is to be said of them (``unmatched`` by name, of completed jobs)."""

    summary: Summary = field(default_factory=dict)
    unmatched: Mapping[str, str] = field(default_factory=dict)
    warnings: Tuple[str, ...] = ()

    def then(self, later: Found) -> Found:
        """This and what was found in a later run of the same job."""
        unmatched = {name: text for name, text in later.unmatched.items() if name in self.unmatched}
        return Found(merged(self.summary, later.summary), unmatched, tuple(dict.fromkeys((*self.warnings, *later.warnings))))


class Meter:
    """The client's side.

    Args:
        definitions: MetricDefinitions of the request; checked before.
        logs: paths of the logs to read.
        environ: variables by which this hvdsm can be imported.
        own: of each ``HOST.log`` only what no rank of another host has said: that is in the other's.
    """

    def __init__(
        self, definitions: Sequence[Mapping[str, Any]], logs: Sequence[str], environ: Mapping[str, str], own: bool = False
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            env=dict(environ),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # An interrupt at the terminal is the job's affair.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        first = (
            json.dumps({"definitions": [dict(entry) for entry in definitions], "logs": list(logs), "own": own}).encode() + b"\n"
        )
        self._input = self._process.stdin.fileno()
        try:
            self._process.stdin.write(first)
            self._process.stdin.flush()
        except BrokenPipeError:
            return
        os.set_blocking(self._input, False)

    def more(self) -> None:
        """There is more to read; never blocks."""
        if self._input < 0:
            return
        try:
            os.write(self._input, b"\0")
        except (BlockingIOError, BrokenPipeError):
            # It has enough to do, or has ended: then finish() says so.
            return

    def finish(self) -> Found:
        """The logs are complete."""
        self._input = -1
        try:
            out, _ = self._process.communicate(timeout=FINISH)
            found = json.loads(out)
            return Found(found["summary"], found["unmatched"], tuple(found["warnings"]))
        except (subprocess.TimeoutExpired, ValueError, KeyError, OSError):
            self.close()
            return Found(warnings=("metrics: the output could not be searched to its end, so that there are no values",))

    def close(self) -> None:
        """End the process, whatever it does."""
        self._input = -1
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def main() -> int:
    """Read logs until the caller has no more."""
    source = sys.stdin.buffer.raw if hasattr(sys.stdin.buffer, "raw") else sys.stdin.buffer
    first = b""
    while not first.endswith(b"\n"):
        piece = source.read(1)
        if not piece:
            return 1
        first += piece
    told = json.loads(first)
    signal.signal(signal.SIGVTALRM, _Alarm.ring)
    metrics = compile_metrics(told["definitions"], _Alarm.search)
    logs = [Log(path, os.path.basename(path)[: -len(".log")] if told["own"] else "") for path in told["logs"]]
    last = False
    while not last:
        select.select([source], [], [])
        last = not os.read(source.fileno(), 1 << 16)
        for log in logs:
            log.read(metrics)
    for log in logs:
        log.end(metrics)
    sys.stdout.write(json.dumps(asdict(Found(metrics.summary(), metrics.unmatched(), metrics.warnings()))))
    return 0


class Log:
    """A log that grows; of that of a host only what is its own."""

    def __init__(self, path: str, host: str = "") -> None:
        self._path = path
        self._host = host.encode()
        self._file: Optional[BinaryIO] = None
        self._rest = b""

    def read(self, metrics: Metrics) -> None:
        """Feed the whole lines that are new."""
        if self._file is None:
            try:
                self._file = open(self._path, "rb")  # noqa: SIM115
            except OSError:
                return
        while True:
            data = self._file.read(_PIECE)
            if not data:
                return
            *lines, rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._feed(line, metrics)
            # Of a line without an end only what is searched is kept.
            self._rest = rest[: MAX_LINE + 1]

    def end(self, metrics: Metrics) -> None:
        """Feed a last line without an end."""
        if self._rest:
            self._feed(self._rest, metrics)
            self._rest = b""

    def _feed(self, line: bytes, metrics: Metrics) -> None:
        tagged = _TAGGED.match(line) if self._host else None
        if tagged is None or tagged[1] == self._host:
            metrics.feed(line)


class _Alarm:
    """Ends a search that goes on for too long: CPython's matcher looks for signals as it goes."""

    armed = False

    @classmethod
    def ring(cls, _number: int, _frame: object) -> None:
        """The signal's handler."""
        if cls.armed:
            raise TimeoutError

    @classmethod
    def search(cls, pattern: Pattern[str], text: str) -> Optional[re.Match[str]]:
        """``pattern.search(text)``, or TimeoutError."""
        cls.armed = True
        # Of this process's own time: on a busy machine it may wait long for a processor.
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
        try:
            return pattern.search(text)
        finally:
            cls.armed = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


if __name__ == "__main__":
    sys.exit(main())
