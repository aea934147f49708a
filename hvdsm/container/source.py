"""Brings the source to ``/opt/ml/code`` and says how its entry point is run."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tarfile
import zlib
from typing import List, Optional, Sequence
from urllib.parse import unquote_to_bytes, urlparse

from hvdsm.compose.arguments import program_command
from hvdsm.compose.environment import Paths
from hvdsm.container.config import split_command
from hvdsm.errors import ConfigError

# Not source: what tools leave beside it, and environments that can be huge.
IGNORED = shutil.ignore_patterns(".git", "__pycache__", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", "*.egg-info")


def fetch(paths: Paths, submit_directory: Optional[str]) -> str:
    """Put the source into the code directory; a local directory, tarball or single file.

    Without ``submit_directory`` the code is already in place.

    Returns:
        What was done, one line.

    Raises:
        ConfigError: the source does not exist or cannot be unpacked.
    """
    os.makedirs(paths.code, exist_ok=True)
    if not submit_directory:
        return f"source already in {paths.code}"
    parsed = urlparse(submit_directory)
    if parsed.scheme not in ("", "file"):
        raise ConfigError(
            f"cannot fetch {submit_directory}",
            where="sagemaker_submit_directory",
            remedy="give a directory, a tar.gz or a file that is on this host",
        )
    path = os.fsdecode(unquote_to_bytes(parsed.path)) if parsed.scheme == "file" else submit_directory
    if not os.path.exists(path):
        raise ConfigError("does not exist", where=f"sagemaker_submit_directory {path}")
    if os.path.samefile(path, paths.code):
        return f"source already in {paths.code}"
    if _inside(os.path.realpath(path), os.path.realpath(paths.code)):
        raise ConfigError(
            f"lies inside of {paths.code}, which is emptied for the source",
            where=f"sagemaker_submit_directory {path}",
            remedy=f"leave sagemaker_submit_directory out when the code is already in {paths.code}, or put the source elsewhere",
        )
    try:
        _clear(paths.code)
        if os.path.isdir(path):
            shutil.copytree(path, paths.code, dirs_exist_ok=True, ignore=IGNORED, symlinks=True)
        elif tarfile.is_tarfile(path):
            unpack(path, paths.code)
        else:
            shutil.copy2(path, os.path.join(paths.code, os.path.basename(path)))
    except (OSError, EOFError, zlib.error, tarfile.TarError, shutil.Error) as error:
        raise ConfigError(str(error), where=f"sagemaker_submit_directory {path}") from None
    return f"source {path} copied to {paths.code}"


def _clear(directory: str) -> None:
    """A stale file must never shadow the given source."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def unpack(archive: str, directory: str) -> None:
    """Unpack a tarball; nothing in it may lead out of the directory or be a device.

    Raises:
        ConfigError: a member is unsafe.
    """
    root = os.path.realpath(directory)
    with tarfile.open(archive) as tar:
        for member in tar:
            target = os.path.realpath(os.path.join(root, member.name))
            links_out = (member.issym() or member.islnk()) and not _inside(
                os.path.realpath(os.path.join(os.path.dirname(target) if member.issym() else root, member.linkname)), root
            )
            if (
                not _inside(target, root)
                or links_out
                or not (member.isfile() or member.isdir() or member.issym() or member.islnk())
            ):
                raise ConfigError(f"member {member.name!r} leads out of the archive or is no file", where=archive)
            member.mode = (member.mode or 0o644) & 0o777 & ~(stat.S_IWGRP | stat.S_IWOTH)
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
            if hasattr(tarfile, "fully_trusted_filter"):
                tar.extract(member, root, filter="fully_trusted")
            else:
                tar.extract(member, root)


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root + os.sep)


def entry_command(paths: Paths, program: str, arguments: Sequence[str]) -> List[str]:
    """The command that runs the entry point in the code directory.

    A ``.sh`` is run by ``/bin/sh``, a ``.py`` by the Python that runs hvdsm, any other name as an executable file of the
    source.

    Raises:
        ConfigError: the entry point is not in the source, or its name leads out of it.
    """
    name, is_python = split_command(program)
    path = os.path.join(paths.code, name)
    if not os.path.isfile(path):
        found = sorted(os.listdir(paths.code))[:20]
        raise ConfigError(
            f"the entry point {name!r} is not in the source",
            where=paths.code,
            remedy=f"name a file of the source; it holds: {', '.join(found) or 'nothing'}",
        )
    if not is_python:
        os.chmod(path, os.stat(path).st_mode | 0o111)
    return program_command(sys.executable, name, arguments)
