"""A job on the terminal, in a notebook or in a file: phases, lines of hosts and ranks, and how it ended."""

from __future__ import annotations

import os
import re
import threading
from typing import List, Optional, TextIO

from hvdsm.backends.base import NOTE, OUTPUT, PHASE, WARNING, Event
from hvdsm.compose.failure import explanation, headline, tail
from hvdsm.model import JobOutcome, RankFailure
from hvdsm.model.outcome import STOPPED

_TAG = re.compile(rb"^\[(\d+),[^\]\n]+\]", re.MULTILINE)
_OWN = re.compile(rb"^(?:hvdsm|mpirun): .*", re.MULTILINE)
_RANK_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95)
_DETAIL = 2000


class Display:
    """Writes events to a text stream; safe to use from several threads.

    Args:
        stream: where to; its ``buffer`` is used when it has one, so that the bytes of ranks stay as they are.
        launcher: the host whose lines stand without its name.
        colour: whether to colour; by default when the stream is a terminal.
    """

    def __init__(self, stream: TextIO, launcher: str = "algo-1", colour: Optional[bool] = None) -> None:
        self.colour = stream.isatty() if colour is None else colour
        self._stream: Optional[TextIO] = stream
        self.launcher = launcher
        self._lock = threading.Lock()

    def show(self, event: Event) -> None:
        """Write one event."""
        if event.kind == OUTPUT:
            self._write(self._painted(self._named(event)))
        elif event.kind == PHASE:
            self.say(f"{event.text} after {event.seconds:.2f} s")
        elif event.kind in (NOTE, WARNING):
            self.say(f"warning: {event.text}" if event.kind == WARNING else event.text)

    def say(self, text: str) -> None:
        """Write a line of hvdsm's own."""
        self._write(self._painted(f"hvdsm: {text}\n".encode("utf-8", "replace")))

    def summary(self, outcome: JobOutcome, job_dir: Optional[str]) -> None:
        """Write how the job ended, and where its results are; ``job_dir`` is None for a job that left none on this machine."""
        ranks = ", ".join(f"{host}: {count}" for host, count in sorted(outcome.ranks_per_host.items()))
        size = f", {outcome.world_size} rank{'s' if outcome.world_size != 1 else ''} ({ranks})" if ranks else ""
        if outcome.interruptions:
            size += f", {outcome.interruptions} interruption{'s' if outcome.interruptions > 1 else ''}"
        if outcome.ok:
            self.say(f"{outcome.job_name} completed in {outcome.seconds:.1f} s{size}")
        else:
            self._write(self._box(outcome, job_dir).encode("utf-8", "replace"))
        if outcome.model_dir:
            self.say(f"model: {outcome.model_dir}")
        if outcome.metrics:
            self.say("metrics: " + ", ".join(f"{name} {values['last']:g}" for name, values in sorted(outcome.metrics.items())))
        if job_dir is not None:
            self.say(f"results: {job_dir}")

    def _box(self, outcome: JobOutcome, job_dir: Optional[str]) -> str:
        title = f"{outcome.job_name} {outcome.status.lower()} after {outcome.seconds:.1f} s, exit code {outcome.exit_code}"
        if outcome.failure is not None:
            lines = failure_lines(outcome.failure)
        elif outcome.status == STOPPED:
            lines = list(outcome.warnings[-1:])
        else:
            lines = [f"no host said why; see {job_dir}/logs" if job_dir else "no host said why"]
        if outcome.failure is not None and job_dir is not None:
            named = [f"logs/{outcome.failure.host}.log", "output/failure"]
            for what, path in zip(("whole log", "failure text"), (os.path.join(job_dir, name) for name in named)):
                if os.path.isfile(path):
                    lines.append(f"{what}: {path}")
        lines = [part for line in lines for part in line.split("\n")]
        if not self.colour:
            return "".join([f"hvdsm: {title}\n", *(f"hvdsm: | {line}\n" for line in lines)])
        from io import StringIO

        from rich.console import Console
        from rich.panel import Panel
        from rich.text import Text

        drawn = StringIO()
        console = Console(file=drawn, force_terminal=True)
        console.print(Panel(Text("\n".join(lines)), title=Text(title), border_style="red", title_align="left"))
        return drawn.getvalue()

    def _named(self, event: Event) -> bytes:
        data = event.data if event.data.endswith(b"\n") else event.data + b"\n"
        if event.host in (None, self.launcher):
            return data
        name = f"{event.host}: ".encode()
        return b"".join(name + line for line in data.splitlines(keepends=True))

    def _painted(self, data: bytes) -> bytes:
        if not self.colour:
            return data
        data = _TAG.sub(lambda tag: b"\x1b[%dm%s\x1b[0m" % (_RANK_COLOURS[int(tag[1]) % len(_RANK_COLOURS)], tag[0]), data)
        return _OWN.sub(lambda own: b"\x1b[1m%s\x1b[0m" % own[0], data)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._stream is None:
                return
            try:
                buffer = getattr(self._stream, "buffer", None)
                if buffer is not None:
                    self._stream.flush()
                    buffer.write(data)
                else:
                    self._stream.write(data.decode("utf-8", "replace"))
                self._stream.flush()
            except BrokenPipeError:
                # The reader has gone (`| head`): the job goes on, its logs are on disk.
                self._stream = None


def failure_lines(failure: RankFailure) -> List[str]:
    """The failing rank, what happened, what is known of it, and the end of its traceback or output."""
    detail = (failure.traceback or failure.output_tail).rstrip("\n")
    return [headline(failure), *explanation(failure), *(tail(detail, _DETAIL).split("\n") if detail else [])]
