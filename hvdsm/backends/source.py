"""Which files of a directory are its source, and the archive that is made of them: the same for a rehearsal and for the cloud.

Left out are what `.gitignore` and `.hvdsmignore` name (in any directory, for what is below it; the latter after the former, so
that `!name` in it takes a file back in), version control's own directories and what Python leaves beside its sources.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any, FrozenSet, Iterator, List, Sequence, Tuple

from hvdsm.errors import ConfigError

IGNORE_FILES = (".gitignore", ".hvdsmignore")
# Never part of a source, and often large.
LEFT_OUT = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
_LEFT_OUT_ENDS = (".egg-info", ".pyc")
# What git takes for the time of nothing: archives of the same files are the same bytes.
_EPOCH = 0


@dataclass(frozen=True)
class Archive:
    """An archive that was written: the number of files in it, their bytes, and the archive's own."""

    files: int
    content: int
    size: int
    largest: Tuple[Tuple[str, int], ...] = ()


def source_files(directory: str, keep: Sequence[str] = (), outside: Sequence[str] = ()) -> List[str]:
    """The files of a source, relative to it and sorted; links are followed, into a directory that is above them they are not.

    Args:
        directory: the source.
        keep: names (relative to it) that belong to it whatever is ignored: its entry point.
        outside: directories that are no part of it: results of jobs, checkpoints.

    Raises:
        ConfigError: a directory cannot be read.
    """
    away = frozenset(os.path.realpath(path) for path in outside)
    found = set(_below(directory, "", (), away, frozenset()))
    return sorted(found | {name for name in keep if os.path.isfile(os.path.join(directory, name))})


def _below(
    root: str, folder: str, specs: Tuple[Tuple[str, Any], ...], away: FrozenSet[str], above: FrozenSet[str]
) -> Iterator[str]:
    here = os.path.join(root, folder) if folder else root
    specs = (*specs, *((folder, spec) for spec in _specs(here)))
    above = above | {os.path.realpath(here)}
    try:
        entries = sorted(os.scandir(here), key=lambda entry: entry.name)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=here, remedy="check its permissions") from None
    for entry in entries:
        name = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name in LEFT_OUT or entry.name.endswith(_LEFT_OUT_ENDS) or _ignored(name, entry.is_dir(), specs):
            continue
        if entry.is_file():
            yield name
        elif entry.is_dir() and not _apart(entry.path, away | above):
            yield from _below(root, name, specs, away, above)


def _apart(directory: str, others: FrozenSet[str]) -> bool:
    """Whether a directory is no part of the source: named so, above itself by a link, or a virtual environment."""
    return os.path.realpath(directory) in others or os.path.exists(os.path.join(directory, "pyvenv.cfg"))


def _specs(directory: str) -> List[Any]:
    found = []
    for name in IGNORE_FILES:
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            from pathspec import GitIgnoreSpec

            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                found.append(GitIgnoreSpec.from_lines(file.read().splitlines()))
    return found


def _ignored(name: str, is_directory: bool, specs: Tuple[Tuple[str, Any], ...]) -> bool:
    """The last pattern that matches decides, that of the nearest directory after those above it."""
    ignored = False
    for folder, spec in specs:
        relative = name[len(folder) + 1 :] if folder else name
        verdict = spec.check_file(relative + ("/" if is_directory else "")).include
        if verdict is not None:
            ignored = bool(verdict)
    return ignored


def write_archive(directory: str, names: Sequence[str], target: IO[bytes]) -> Archive:
    """Write files of a directory as tar.gz; the same files give the same bytes.

    Owners and times are dropped, of modes all but whether a file can be executed; a link becomes what it leads to.

    Args:
        directory: the source.
        names: its files, relative to it; see :func:`source_files`.
        target: file to write.

    Raises:
        ConfigError: a file cannot be read.
    """
    sizes = []
    begin = target.tell()
    with ExitStack() as closing:
        packed = closing.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=_EPOCH))
        tar = closing.enter_context(tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT))
        for name in sorted(names):
            sizes.append((name, _add(tar, os.path.join(directory, name), name)))
    largest = tuple(sorted(sizes, key=lambda entry: -entry[1])[:5])
    return Archive(len(sizes), sum(size for _, size in sizes), target.tell() - begin, largest)


def _add(tar: tarfile.TarFile, path: str, name: str) -> int:
    member = tarfile.TarInfo(name)
    member.mtime = _EPOCH
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            member.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
            member.size = status.st_size
            tar.addfile(member, file)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", where=path, remedy="check its permissions") from None
    return member.size
