"""Makes an overlay with pip: once, whoever asks for it at the same time, and as a whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
import venv
from typing import Callable, Iterator, List, Mapping, Optional, Sequence

from hvdsm.backends.local.packages import Packages, Wanted, site_directories
from hvdsm.compose.mask import mask_text
from hvdsm.errors import ConfigError

Say = Callable[[str], None]
# Seconds of silence after which it is said that pip is still at work.
PATIENCE = 10.0
_TOLD = re.compile(r"^\s*(?:Collecting|Downloading|Building|Processing|Installing collected|Successfully installed|WARNING:)")
_LAST = 15
_BAD = (
    re.compile(r"No matching distribution found for (.+)"),
    re.compile(r"satisfies the requirement (.+?) \(from"),
    re.compile(r"Invalid requirement: '?([^'\n]+?)'?(?: \(from|:|$)"),
    re.compile(
        r"Failed (?:building|to build)(?: wheel for| installable wheels for some pyproject.toml based projects)? \(?([\w.\-]+)"
    ),
    re.compile(r"[Cc]annot install (.+?) because these package versions have conflicting"),
    re.compile(r"Could not open requirements file: .*'(.+)'"),
)
_NETWORK = re.compile(
    r"NewConnectionError|Temporary failure in name resolution|ConnectTimeout|ReadTimeout|Connection refused|SSLError|ProxyError"
)
_EDITABLE = re.compile(r"^(\s*)(?:-e|--editable)(?:\s*=\s*|\s+)", re.MULTILINE)


def install(wanted: Wanted, overlay: Packages, environ: Mapping[str, str], work: str, say: Say) -> None:
    """Make the overlay unless it is there.

    Several launches that want the same one take turns: the first makes it, the others find it.  A failed or interrupted one
    leaves nothing, and what a killed one has left is removed by the next.

    Args:
        wanted: what to install.
        overlay: where.
        environ: pip's variables.
        work: directory for copies that are only needed now.
        say: told of progress, secrets masked.

    Raises:
        ConfigError: there is no pip, it fails, or the cache cannot be written.
    """
    where = os.path.dirname(overlay.root)
    try:
        os.makedirs(where, mode=0o700, exist_ok=True)
        with _turn(overlay.root + ".lock", say):
            if overlay.complete:
                say(f"packages of {wanted.title}: installed by an earlier job in {overlay.root} (remove it to have them anew)")
                return
            _make(wanted, overlay, environ, work, say)
    except OSError as error:
        raise ConfigError(
            f"packages cannot be kept there: {error.strerror or error}",
            where=str(error.filename or where),
            remedy="make room, or name another directory by XDG_CACHE_HOME",
        ) from None


@contextlib.contextmanager
def _turn(path: str, say: Say) -> Iterator[None]:
    """Hold the lock file and remove it at the end; the kernel lets go of it when this process ends."""
    told = False
    while True:
        with open(path, "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    say("another launch is installing the same packages: waiting for it")
                told = True
                fcntl.flock(file, fcntl.LOCK_EX)
            # The one before has removed its file: what is locked must be the file that others find.
            try:
                if not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    continue
            except FileNotFoundError:
                continue
            try:
                yield
            finally:
                os.unlink(path)
            return


def _make(wanted: Wanted, overlay: Packages, environ: Mapping[str, str], work: str, say: Say) -> None:
    if importlib.util.find_spec("pip") is None:
        raise ConfigError(
            f"{wanted.title} cannot be installed: this Python has no pip",
            where=sys.executable,
            remedy=f"{sys.executable} -m ensurepip",
        )
    say(f"packages of {wanted.title}: installing what this environment lacks into {overlay.root}")
    started = time.monotonic()
    shutil.rmtree(overlay.root, ignore_errors=True)
    copies: List[str] = []
    try:
        # In its final place, since paths are written into what pip installs; the mark makes it complete.
        venv.EnvBuilder(with_pip=False, symlinks=True).create(overlay.root)
        with open(os.path.join(overlay.site, "_hvdsm_caller.pth"), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(f"import site; site.addsitedir({path!r})\n" for path in site_directories(sys.path)))
        own = set(os.listdir(os.path.join(overlay.root, "bin")))
        source = wanted.directory
        if wanted.needs_copy:
            source = os.path.join(work, "packages")
            copies.append(source)
            shutil.copytree(wanted.directory, source, symlinks=True)
            _without_editable(wanted, source)
        words = ["-r", wanted.requirements] if wanted.texts else []
        words += ["."] if wanted.package else []
        _run_pip(wanted, overlay, words, source, environ, say)
        os.mkdir(overlay.commands)
        for name in sorted(set(os.listdir(os.path.join(overlay.root, "bin"))) - own):
            os.rename(os.path.join(overlay.root, "bin", name), os.path.join(overlay.commands, name))
        os.close(os.open(overlay.mark, os.O_CREAT | os.O_WRONLY, 0o644))
    except BaseException:
        shutil.rmtree(overlay.root, ignore_errors=True)
        raise
    finally:
        for path in copies:
            shutil.rmtree(path, ignore_errors=True)
    say(f"packages of {wanted.title}: installed in {time.monotonic() - started:.1f} s")


def _without_editable(wanted: Wanted, copy: str) -> None:
    """Ranks find packages by PYTHONPATH, where the links of editable ones have no effect: install these plainly."""
    for path, text in wanted.texts:
        relative = os.path.relpath(path, wanted.directory)
        if _EDITABLE.search(text) and not relative.startswith(os.pardir):
            with open(os.path.join(copy, relative), "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(_EDITABLE.sub(r"\1", text))


def _run_pip(
    wanted: Wanted, overlay: Packages, words: Sequence[str], directory: str, environ: Mapping[str, str], say: Say
) -> None:
    python = os.path.join(overlay.root, "bin", "python")
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    process = subprocess.Popen(
        [python, "-m", "pip", "install", *options, *words],
        cwd=directory,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # An interrupt reaches it from here, with all that it has started.
        start_new_session=True,
    )
    said: List[str] = []
    try:
        for line in _lines(process, say):
            said.append(mask_text(line))
            if _TOLD.match(line):
                say(f"pip: {said[-1].strip()}")
        code = process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        assert process.stdout is not None
        process.stdout.close()
    if code:
        raise _failure(wanted, code, said)


def _lines(process: subprocess.Popen[bytes], say: Say) -> Iterator[str]:
    """Lines of pip as they come; its silence is told of."""
    assert process.stdout is not None
    started, rest = time.monotonic(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(PATIENCE):
                say(f"pip: at work for {time.monotonic() - started:.0f} s")
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace").rstrip()
            if not data:
                if rest:
                    yield rest.decode("utf-8", "replace")
                return


def _failure(wanted: Wanted, code: int, said: Sequence[str]) -> ConfigError:
    """What went wrong, from what pip has said."""
    text = "\n".join(said)
    requirement = failing_requirement(said)
    what = f"pip cannot install {requirement}" if requirement else f"pip ended with exit code {code}"
    last = [line for line in said if line.strip()][-_LAST:]
    if _NETWORK.search(text):
        remedy = "check the network and pip's index (pip config list, PIP_INDEX_URL), or install into this environment beforehand"
    else:
        remedy = f"correct it in {wanted.requirements}, or install it into this environment: the hosts see what is there"
    where = wanted.requirements if wanted.texts else wanted.title
    return ConfigError("\n  ".join([what, *(f"pip: {line}" for line in last)]), where=where, remedy=remedy)


def failing_requirement(said: Sequence[str]) -> Optional[str]:
    """The requirement that pip complains of, as it names it."""
    for pattern in _BAD:
        for line in said:
            found = pattern.search(line)
            if found:
                return found[1].strip()
    return None
