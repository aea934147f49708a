"""Saying what is done, running it with progress, and locking it against a second run.

Everything that takes longer than two seconds shows that it is alive: on a terminal one line that is rewritten, elsewhere (a CI
log) a plain line every ten seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from typing import Callable, Dict, Iterator, List, Optional, Sequence

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

TERMINAL_INTERVAL = 0.5
PLAIN_INTERVAL = 10.0
SHOWN_ON_FAILURE = 40


class StepFailed(Exception):
    """A step could not be done; the message says what and what to do next."""


def say(text: str = "") -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)


def stream_ends_on_sigterm() -> None:
    """Make SIGTERM raise SystemExit, so that children are ended and locks released as with Ctrl-C."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)


@contextlib.contextmanager
def step(title: str, about: str = "") -> Iterator[None]:
    """Announce a step and, at its end, how long it took.

    Args:
        title: what is done, and why when that is not plain.
        about: roughly how long it takes, as words: ``"about 10 s"``.
    """
    say(f"==> {title}" + (f" ({about})" if about else ""))
    start = time.monotonic()
    yield
    say(f"    done in {time.monotonic() - start:.1f} s")


def last_line(path: str, only: str = "") -> str:
    """Return the last line of a log that may still be growing, at most 90 characters of it.

    Args:
        path: the log; its last 256 KiB are looked at.
        only: a regular expression that the line must match from its beginning; else any line that is not empty.
    """
    with open(path, "rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - (1 << 18)))
        lines = [line.strip() for line in log.read().decode("utf-8", "replace").replace("\r", "\n").split("\n")]
    return next((line[:90] for line in reversed(lines) if line and re.match(only, line)), "")


def run_logged(argv: Sequence[str], log_path: str, *, env: Optional[Dict[str, str]] = None, progress: str = "") -> None:
    """Run a command with its output in a log file, showing elapsed time and the log's last line meanwhile.

    Args:
        argv: the command.
        log_path: the file that its output is appended to.
        env: its whole environment; this process's own when None.
        progress: a regular expression of the lines that tell how far it is; any line when empty.

    Raises:
        StepFailed: the command cannot be started or fails; the end of its log has been shown then.
    """
    os.makedirs(os.path.dirname(log_path), exist_ok=True)
    terminal = sys.stdout.isatty()
    start = time.monotonic()
    with open(log_path, "ab") as log:
        log.write(("$ " + " ".join(argv) + "\n").encode())
        log.flush()
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=REPOSITORY
            )
        except OSError as error:
            raise StepFailed(f"cannot run {argv[0]}: {error.strerror}") from error
        try:
            code = _wait(child, log_path, progress, start, terminal)
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if code != 0:
        with open(log_path, "rb") as written:
            for line in written.read().decode("utf-8", "replace").splitlines()[-SHOWN_ON_FAILURE:]:
                say(f"    | {line}")
        raise StepFailed(f"{' '.join(argv[:4])} … ended with exit code {code}; its whole output is in {log_path}")


def _wait(child: subprocess.Popen[bytes], log_path: str, progress: str, start: float, terminal: bool) -> int:
    """Wait for the child, saying every so often how far its log has come."""
    while True:
        try:
            code = child.wait(timeout=TERMINAL_INTERVAL if terminal else PLAIN_INTERVAL)
        except subprocess.TimeoutExpired:
            text = f"    {time.monotonic() - start:4.0f} s  {last_line(log_path, progress)}"
            if terminal:
                print(f"\r\033[K{text}", end="", flush=True)
            else:
                say(text)
        else:
            if terminal:
                print("\r\033[K", end="", flush=True)
            return code


def run_shown(argv: Sequence[str], *, env: Optional[Dict[str, str]] = None) -> int:
    """Run a command on this terminal and return its exit code (128+N when signal N ended it, 127 when it is not there)."""
    sys.stdout.flush()
    try:
        child = subprocess.Popen(argv, env=env, cwd=REPOSITORY)
    except OSError as error:
        say(f"    cannot run {argv[0]}: {error.strerror}; `make setup` installs what is missing")
        return 127
    try:
        code = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def locked(directory: str, what: str) -> Iterator[None]:
    """Hold the lock of an existing directory; wait, and say so, while another process holds it.

    The kernel drops the lock when its holder ends, however it ends, so there is no lock file to go stale.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"    another process works on {what}; waiting for it to finish")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def output_of(argv: Sequence[str], *, env: Optional[Dict[str, str]] = None) -> Optional[str]:
    """Return what a command prints, or None when it cannot be run or fails."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, check=False
        )
    except OSError:
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def main_guard(main: Callable[[List[str]], int], argv: List[str]) -> int:
    """Run a tool's main function and turn its failures into a message and an exit code."""
    stream_ends_on_sigterm()
    try:
        return main(argv)
    except StepFailed as failure:
        say(f"error: {failure}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where it stopped")
        return 130
