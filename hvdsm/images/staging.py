"""The directory that an image is built from where the Dockerfile is not the source's own: made, and removed whatever happens."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, Iterator, Mapping, Sequence, Tuple

from hvdsm.backends.source import LEFT_OUT
from hvdsm.errors import ConfigError

PREFIX = "hvdsm-image-"
_ENDS = (".pyc", ".egg-info")
# Seconds after which a directory that nobody holds is one of a build that was killed.
_LOST = 60.0


@dataclass(frozen=True)
class Copy:
    """A file or directory to copy, and where to below the staging directory."""

    source: str
    target: str


@contextmanager
def staging(copies: Sequence[Copy], texts: Mapping[str, str], say: Callable[[str], None], parent: str = "") -> Iterator[str]:
    """The path of a new directory with these copies and texts in it; it is removed at the end, also of a copy that fails.

    What builds that were killed have left beside it is removed, too.
    Version control's directories and what Python leaves beside its sources are not copied; links stay links.

    Args:
        copies: what is copied.
        texts: files to write, by their names in it.
        say: is told what cannot be removed.
        parent: where to make it; TMPDIR by default.

    Raises:
        ConfigError: something cannot be copied, or there is no place for it.
    """
    place = parent or tempfile.gettempdir()
    _sweep(place, say)
    root, held = _made(place)
    try:
        for copy in copies:
            _copy(copy.source, os.path.join(root, copy.target), os.stat(root))
        for name, text in texts.items():
            _write(os.path.join(root, name), text)
        yield root
    finally:
        _remove(root, say)
        os.close(held)


def _made(place: str) -> Tuple[str, int]:
    """A new directory, and what holds it: the lock goes with this process, however it ends."""
    try:
        root = tempfile.mkdtemp(prefix=PREFIX, dir=place)
    except OSError as error:
        raise ConfigError(
            f"no staging directory can be made: {error.strerror}", where=place, remedy="free some space there, or set TMPDIR"
        ) from None
    held = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # A file system without locks.
        pass
    return root, held


def _sweep(place: str, say: Callable[[str], None]) -> None:
    """Remove what builds that were killed have left: directories of this user's that no process holds."""
    try:
        names = [name for name in os.listdir(place) if name.startswith(PREFIX)]
    except OSError:
        return
    for path in (os.path.join(place, name) for name in names):
        try:
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            about = os.fstat(held)
            if about.st_uid != os.geteuid() or time.time() - about.st_mtime < _LOST:
                continue
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path, say)
            say(f"removed {path}, which a build that was killed had left")
        except OSError:
            continue
        finally:
            os.close(held)


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}", where=path, remedy="check the permissions of TMPDIR, and the room in it"
        ) from None


def _copy(source: str, target: str, root: os.stat_result) -> None:
    """Copy a file or a directory; the staging directory itself, which may be in it, is left out."""
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.isdir(source):
            shutil.copy2(source, target)
            return
        os.makedirs(target, exist_ok=True)
        with os.scandir(source) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name in LEFT_OUT or entry.name.endswith(_ENDS):
                    continue
                inner = os.path.join(target, entry.name)
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), inner)
                elif entry.is_dir():
                    if not os.path.samestat(entry.stat(), root):
                        _copy(entry.path, inner, root)
                elif entry.is_file():
                    shutil.copy2(entry.path, inner)
    except OSError as error:
        raise ConfigError(
            f"cannot be copied: {error.strerror or error}",
            where=str(error.filename or source),
            remedy="check its permissions, and the room in TMPDIR",
        ) from None


def _remove(root: str, say: Callable[[str], None]) -> None:
    try:
        shutil.rmtree(root, ignore_errors=True)
    except (KeyboardInterrupt, SystemExit):
        # Somebody is impatient, or a signal came just now; it takes a moment, and nobody else would remove it.
        shutil.rmtree(root, ignore_errors=True)
        raise
    if os.path.exists(root):
        say(f"warning: the staged copy {root} cannot be removed whole: rm -rf it")
