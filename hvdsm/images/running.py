"""Runs the engines' commands."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Callable, Deque, Iterator, List, Mapping, Optional, Tuple

from hvdsm.compose.mask import MASK, looks_secret, mask_text
from hvdsm.container.processes import descendants, kill
from hvdsm.errors import BackendUnavailable, ConfigError, HvdsmError
from hvdsm.images.commands import Command
from hvdsm.images.reasons import remedy_of

# Last lines of a command that a failure tells.
TAIL = 20
# Seconds that a command gets to end by itself once it is told to.
GRACE = 10.0
# What is shorter says nothing, and would be masked in every other word.
_SHORTEST_SECRET = 4
Show = Callable[[str], None]


class EngineFailed(HvdsmError):
    """A command of docker, podman or buildah failed.

    Attributes:
        code: its exit code.
        output: its last lines; empty where they went to a terminal.
    """

    code: int = 1
    output: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code, its last lines, those of its errors where they were kept apart, whether too late."""

    code: int
    lines: Tuple[str, ...]
    errors: Tuple[str, ...] = ()
    late: bool = False

    @property
    def text(self) -> str:
        """All that was kept."""
        return "\n".join(self.lines)


def run(
    command: Command,
    environ: Mapping[str, str],
    *,
    show: Optional[Show] = None,
    terminal: bool = False,
    password: Optional[str] = None,
    apart: bool = False,
    limit: Optional[float] = None,
) -> Done:
    """Run a command to its end; whatever ends this program early ends the command first.

    Passwords, and the values of secret build arguments, are masked in its lines.

    Args:
        command: what to run.
        environ: environment, to which the command's own variables are added.
        show: gets each line of its output and errors.
        terminal: let it have standard error, a terminal, for its own progress; there are no lines then.
        password: what it reads from standard input.
        apart: keep all lines of its output, and its errors apart from them: it is to be read by a program.
        limit: seconds after which it is killed.

    Raises:
        BackendUnavailable: there is no such program.
        ConfigError: no temporary file can be made.
    """
    lines: Deque[str] = deque(maxlen=None if apart else TAIL)
    secrets = _secrets(command, environ, password)
    with _temporary() as errors, _Watch(limit) as watch:
        process = _start(command, environ, password is not None, sys.stderr if terminal else errors if apart else None)
        watch.begin(process)
        _read(process, lines, show, password, secrets)
        errors.seek(0)
        said = _masked(errors.read().decode(errors="replace"), secrets).splitlines()[-TAIL:]
        return Done(process.returncode, tuple(lines), tuple(said), watch.late)


def _temporary() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise ConfigError(
            f"no temporary file can be made: {error.strerror}", where="TMPDIR", remedy="free some space there, or set TMPDIR"
        ) from None


class _Watch:
    """Kills a command, and all that it started, when its time is up."""

    def __init__(self, limit: Optional[float]) -> None:
        self.late = False
        self._limit = limit
        self._timer: Optional[threading.Timer] = None

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        """Its time begins now."""
        if self._limit is not None:
            self._timer = threading.Timer(self._limit, self._kill, (process,))
            self._timer.daemon = True
            self._timer.start()

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        self.late = True
        below = descendants(process.pid)
        process.kill()
        for pid in below:
            kill(pid, signal.SIGKILL)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _secrets(command: Command, environ: Mapping[str, str], password: Optional[str]) -> List[str]:
    """What must not be in a command's lines: the password, and secret build arguments, which are in the environment."""
    bare = [word for before, word in zip(command.argv, command.argv[1:]) if before == "--build-arg"]
    values = [(name, command.environ.get(name, environ.get(name, ""))) for name in (*command.environ, *bare)]
    found = [value for name, value in values if looks_secret(name) or mask_text(value) != value]
    return [value for value in (password or "", *found) if len(value) >= _SHORTEST_SECRET]


def _masked(text: str, secrets: List[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _start(command: Command, environ: Mapping[str, str], reads: bool, errors: Optional[IO[Any]]) -> subprocess.Popen[bytes]:
    """Start a command; without a place for its errors they go with its output, to a terminal its output goes with them."""
    terminal = errors is sys.stderr
    try:
        return subprocess.Popen(
            command.argv,
            env={**environ, **command.environ},
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=errors if terminal else subprocess.PIPE,
            stderr=subprocess.STDOUT if errors is None else errors,
        )
    except OSError as error:
        raise BackendUnavailable(
            f"cannot be started: {error.strerror}", where=command.argv[0], remedy="install docker, podman or buildah"
        ) from None


def _read(
    process: subprocess.Popen[bytes], lines: Deque[str], show: Optional[Show], password: Optional[str], secrets: List[str]
) -> None:
    """Follow a command to its end, or end it."""
    try:
        if password is not None and process.stdin is not None:
            _feed(process, password)
        for raw in process.stdout or ():
            line = _masked(raw.decode(errors="replace").rstrip("\r\n"), secrets)
            lines.append(line)
            if show is not None:
                show(line)
        process.wait()
    finally:
        _end(process)


def _feed(process: subprocess.Popen[bytes], password: str) -> None:
    """Give it the password; a program that has ended already reads nothing."""
    assert process.stdin is not None
    try:
        process.stdin.write(password.encode())
    except BrokenPipeError:
        pass
    finally:
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that runs, and what it leaves of a build's step, which has no terminal to end it."""
    if process.poll() is None:
        below = descendants(process.pid)
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Also where somebody is impatient, and breaks off the wait.
            process.kill()
            process.wait()
            for pid in below:
                kill(pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()


def check(done: Done, command: Command, doing: str, otherwise: str) -> Done:
    """What a command gave, if it succeeded.

    Args:
        done: how it ended.
        command: what was run.
        doing: what it was to do, as it stands after "cannot".
        otherwise: the remedy where its words are not known.

    Raises:
        EngineFailed: it did not.
    """
    if done.code == 0:
        return done
    how = f"ended with exit code {done.code}" if done.code > 0 else f"was ended by {_signal(-done.code)}"
    last: List[str] = [line for line in (*done.lines, *done.errors) if line.strip()][-TAIL:]
    said = "".join(f"\n    {line}" for line in last)
    made = EngineFailed(
        f"cannot {doing}: {command.argv[0]} {how}{':' + said if said else ''}",
        where=" ".join(command.argv[:2]),
        remedy=remedy_of(last, otherwise),
    )
    made.code, made.output = done.code, tuple(last)
    raise made


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextmanager
def ended_in_order() -> Iterator[None]:
    """While it lasts SIGTERM and SIGHUP end this program as Ctrl-C does: commands are ended, and what was staged is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        del frame
        # A second one must not break off what the first has begun.
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    # What is ignored, as under nohup, stays so.
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
