"""Installs what a source needs, once on this host: ``requirements.txt``, and the source itself when it is a package."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import subprocess
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import unquote, urlsplit

from hvdsm.compose.mask import MASK, mask_text
from hvdsm.errors import ConfigError

REQUIREMENTS = "requirements.txt"
LAST_LINES = 12
KEPT_LINES = 400
# Seconds of silence after which it is said that pip is still at work.
PATIENCE = 10.0
# What is worth a line in the log; the rest is kept for the case of a failure.
_TOLD = re.compile(
    r"^(?:Collecting |Downloading |Building wheel|Processing |Installing collected|Successfully installed|ERROR|WARNING|error:)"
)
_BAD = (
    (re.compile(r"No matching distribution found for (.+)"), "it cannot find"),
    (re.compile(r"satisfies the requirement (.+?) \(from"), "it cannot find"),
    (re.compile(r"Invalid requirement: '?([^'\n]+?)'?(?: \(from|:|$)"), "it cannot read"),
    (re.compile(r"[Cc]annot install (.+?) because these package versions have conflicting"), "these exclude each other:"),
    (
        re.compile(r"Failed (?:building|to build)(?: wheel for| installable wheels for some .* projects)? \(?([\w.-]+)"),
        "it cannot build",
    ),
    (re.compile(r"Could not open requirements file: .*'(.+)'"), "it cannot open"),
)
_NETWORK = re.compile(
    r"NewConnectionError|name resolution|ConnectTimeout|ReadTimeout|Connection refused|Network is unreachable|SSLError|ProxyError"
)
# The user and password of an address, who may have an @ of their own.
_USER = re.compile(r"(?<=://)[^/\s\"'?#]+(?=@)")
# What leads pip out of the directory that it shall install into.
_MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON")
# Run by the Python that is installed into, which may be another than this one.
_PROBE = """
import json, os, sys, sysconfig
site, standard = sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")
there = site
while not os.path.exists(there):
    there = os.path.dirname(there)
print(json.dumps({
    "writable": os.access(there, os.W_OK | os.X_OK),
    "managed": sys.prefix == sys.base_prefix and os.path.exists(os.path.join(standard, "EXTERNALLY-MANAGED")),
    "sites": [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")],
    "library": "lib/python%d.%d/site-packages" % sys.version_info[:2],
}))
"""
Say = Callable[..., None]


@dataclass(frozen=True)
class _Target:
    """What is installed into: this Python, and the directory that ranks must search besides."""

    python: str
    search: Tuple[str, ...] = ()


def install(directory: str, package: bool, environ: Mapping[str, str], say: Say, python: str) -> Tuple[str, ...]:
    """Install what a source needs for the Python that runs it.

    It goes into that Python, as a container's image is the job's own.  Where this must not be, or cannot, it goes into a
    directory beside it, in which that Python's packages show through and are never changed: in a rehearsal, for an ordinary user
    who may not write there, and where a distribution of Linux forbids pip to (PEP 668).

    Args:
        directory: the source.
        package: whether the source is a package.
        environ: pip's settings; ``CA_REPOSITORY_ARN`` names a CodeArtifact repository to install from.
        say: gets lines for the log, and a prefix.
        python: the interpreter that runs the ranks.

    Returns:
        Directories that the ranks must search for packages; empty when they went into that Python.

    Raises:
        ConfigError: pip is not there, or it failed.
    """
    words: List[str] = []
    parts: List[str] = []
    if package:
        words.append(".")
        parts.append("setup.py" if os.path.isfile(os.path.join(directory, "setup.py")) else "pyproject.toml")
    if os.path.isfile(os.path.join(directory, REQUIREMENTS)):
        words += ["-r", REQUIREMENTS]
        parts.append(REQUIREMENTS)
    settings = pip_environment(environ, say)
    target = _target(python, environ, say)
    if target.search:
        settings = {name: value for name, value in settings.items() if name not in _MISLEADING}
        settings["PIP_USER"] = "0"
    try:
        run_pip(target.python, words, directory, settings, say, " and ".join(parts))
    except BaseException:
        for made in made_for(target.search):
            shutil.rmtree(made, ignore_errors=True)
        raise
    return target.search


def made_for(search: Sequence[str]) -> Tuple[str, ...]:
    """The directories that :func:`install` made for what it returned; whoever called it removes them after the job."""
    # It is a virtual environment: lib/pythonX.Y/site-packages is below it.
    return tuple(os.path.normpath(os.path.join(directory, "..", "..", "..")) for directory in search)


def _target(python: str, environ: Mapping[str, str], say: Say) -> _Target:
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], stdin=subprocess.DEVNULL, capture_output=True, env=dict(environ), check=True, timeout=60
        )
        facts = json.loads(done.stdout)
        sites, library = [str(path) for path in facts["sites"]], str(facts["library"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        # pip itself says best what is wrong with it.
        return _Target(python)
    rehearsal = environ.get("HVDSM_REHEARSAL", "") not in ("", "0")
    if facts["writable"] and not facts["managed"] and not rehearsal:
        return _Target(python)
    root = tempfile.mkdtemp(prefix="hvdsm-packages-", dir=environ.get("TMPDIR"))
    try:
        subprocess.run(
            [python, "-m", "venv", "--without-pip", "--symlinks", root],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environ),
            check=True,
        )
        search = os.path.join(root, library)
        with open(os.path.join(search, "_hvdsm_image.pth"), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(f"import site; site.addsitedir({path!r})\n" for path in sites))
    except (OSError, subprocess.CalledProcessError) as error:
        text = error.stderr.decode("utf-8", "replace").strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise ConfigError(
            f"no directory for packages can be made: {text}",
            where=root,
            remedy="let the image's Python have the module venv, or its packages be writable",
        ) from None
    if rehearsal:
        why = "a rehearsal changes no Python of this machine"
    elif facts["managed"]:
        why = "the packages of this Python are the distribution's (PEP 668)"
    else:
        why = "this user may not write to this Python's"
    say(f"packages go into {root}: {why}")
    return _Target(os.path.join(root, "bin", "python"), (search,))


def run_pip(python: str, words: Sequence[str], directory: str, environ: Mapping[str, str], say: Say, title: str) -> None:
    """Run ``pip install`` and relay what is worth it.

    Raises:
        ConfigError: it failed; the message has the requirement, pip's last lines and a remedy, without secrets.
    """
    started = time.monotonic()
    say(f"installing {title}")
    secrets = secrets_of(environ)
    kept: Deque[str] = deque(maxlen=KEPT_LINES)
    try:
        process = subprocess.Popen(
            [python, "-m", "pip", "install", *words],
            cwd=directory,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise ConfigError(f"{python}: {error.strerror}", where=title) from None
    try:
        for line in _lines(process, say):
            kept.append(without(secrets, line))
            if _TOLD.match(kept[-1].strip()):
                say(kept[-1].strip(), "pip: ")
        code = process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        raise
    finally:
        assert process.stdout is not None
        process.stdout.close()
    if code:
        raise _failure(title, code, list(kept), python)
    say(f"{title} installed ({time.monotonic() - started:.1f} s)")


def _lines(process: subprocess.Popen[bytes], say: Say) -> Iterator[str]:
    """Lines of pip as they come; its silence is told of."""
    assert process.stdout is not None
    started, rest = time.monotonic(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(PATIENCE):
                say(f"at work for {time.monotonic() - started:.0f} s", "pip: ")
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace").rstrip()
            if not data:
                if rest:
                    yield rest.decode("utf-8", "replace").rstrip()
                return


def _failure(title: str, code: int, said: Sequence[str], python: str) -> ConfigError:
    text = "\n".join(said)
    what = f"pip ended with exit code {code}"
    found = _failing(said)
    if "No module named pip" in text:
        what = f"there is no pip in this Python, {python}"
        remedy = "install pip in the image (python -m ensurepip), or the requirements themselves"
    elif _NETWORK.search(text):
        what += f": {found[0]} {found[1]}" if found else ""
        remedy = "check the network's way to the index; a private network needs PIP_INDEX_URL or CA_REPOSITORY_ARN"
    elif found:
        what += f": {found[0]} {found[1]}"
        remedy = "check its name, version and this Python; a private network needs PIP_INDEX_URL or CA_REPOSITORY_ARN"
    else:
        remedy = "correct what pip names, or install it in the image"
    last = [line for line in said if line.strip()][-LAST_LINES:]
    return ConfigError("\n  ".join([what, *last]), where=title, remedy=remedy)


def _failing(said: Sequence[str]) -> Optional[Tuple[str, str]]:
    for pattern, what in _BAD:
        for line in said:
            found = pattern.search(line)
            if found:
                return what, found[1].strip()
    return None


def failing_requirement(said: Sequence[str]) -> Optional[str]:
    """The requirement that pip complains of, as its lines name it."""
    found = _failing(said)
    return found[1] if found else None


def secrets_of(environ: Mapping[str, str]) -> Tuple[str, ...]:
    """Passwords in the addresses of pip's settings, as they are written and as they are meant."""
    found = []
    for name, value in environ.items():
        if name.startswith("PIP_") or name.lower().endswith("_proxy"):
            for word in value.split():
                with contextlib.suppress(ValueError):
                    password = urlsplit(word).password
                    found += [password, unquote(password)] if password else []
    return tuple(sorted(set(found), key=len, reverse=True))


def without(secrets: Sequence[str], line: str) -> str:
    """A line without these secrets, and without what looks like one."""
    for secret in secrets:
        line = line.replace(secret, MASK)
    return mask_text(_USER.sub(MASK, line))


def pip_environment(environ: Mapping[str, str], say: Say) -> Dict[str, str]:
    """The environment of pip: the container's, with the index of CodeArtifact where ``CA_REPOSITORY_ARN`` names one.

    The token goes into a variable: a command line can be read by every user of the host.

    Raises:
        ConfigError: the name is wrong, or no token can be had.
    """
    # Variables, unlike options, do no harm to a pip that is too old to know them.
    own = {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PYTHONIOENCODING": "utf-8",
    }
    settings = {**own, **environ}
    if environ.get("CA_REPOSITORY_ARN"):
        from hvdsm.container.codeartifact import index_url

        settings["PIP_INDEX_URL"] = index_url(environ["CA_REPOSITORY_ARN"], environ, say)
    return settings
