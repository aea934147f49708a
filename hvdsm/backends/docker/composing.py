"""Compose as a process: its lines as they come, and an end of all that it has started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from contextlib import suppress
from typing import Callable, List, Mapping, Optional, Sequence, Tuple

# Seconds that Compose has to end after SIGTERM.
_ENDING = 10.0


def run_compose(
    command: Sequence[str],
    environ: Mapping[str, str],
    folder: str,
    hide: Callable[[str], str],
    say: Optional[Callable[[str], object]] = None,
    limit: Optional[float] = None,
) -> Tuple[int, List[str]]:
    """Run Compose; its exit code and its lines.

    Args:
        command: the words.
        environ: its variables.
        folder: its working directory.
        hide: takes secrets out of a line.
        say: is told each line at once, since pulling an image takes long.
        limit: seconds that it may take.
    """
    lines: List[str] = []
    try:
        process = subprocess.Popen(
            command,
            env=environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return 127, [error.strerror or str(error)]
    assert process.stdout is not None
    timer = threading.Timer(limit or 0, _signal_all, (process, signal.SIGKILL))
    if limit is not None:
        timer.start()
    try:
        for raw in process.stdout:
            line = hide(raw.decode("utf-8", "replace").rstrip())
            if lines[-1:] == [line]:
                continue
            lines.append(line)
            # podman says of each thing that it made no more than its id.
            if line and say is not None and not re.fullmatch("[0-9a-f]{64}", line):
                say(line)
        code = process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        timer.cancel()
        process.stdout.close()
    return code, lines


def last_line(lines: Sequence[str]) -> str:
    """The last line that says something."""
    return next((line for line in reversed(lines) if line.strip()), "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End Compose and what it has started, so that nothing is made any more."""
    _signal_all(process, signal.SIGTERM)
    try:
        # Whoever still makes something holds the pipe.
        process.communicate(timeout=_ENDING)
    except subprocess.TimeoutExpired:
        _signal_all(process, signal.SIGKILL)
        process.wait()


def _signal_all(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a session of processes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
