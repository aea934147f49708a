"""Which files a directory has for S3, and which files keys of S3 may become."""

from __future__ import annotations

import os
import stat
from typing import Dict, Iterable, List, Sequence, Tuple

from hvdsm.aws.objects import Object
from hvdsm.errors import ConfigError

# Bytes of a file's name at most, on the file systems in use.
_LONGEST_NAME = 255


def tree_files(directory: str) -> List[Tuple[str, int]]:
    """Files below a directory, by name, with their sizes; links are followed.

    Raises:
        ConfigError: it is no directory, has no files, or has something that cannot be uploaded: a link to nothing or to a
            directory above it, a socket, pipe or device, or a file that may not be read.
    """
    if not os.path.isdir(directory):
        raise ConfigError("there is no such directory", where=directory, remedy="check the path")
    found: List[Tuple[str, int]] = []
    problems: List[str] = []
    _walk(os.path.abspath(directory), "", (), found, problems)
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ConfigError(
            f"has what cannot be uploaded: {'; '.join(problems[:5])}{more}",
            where=directory,
            remedy="remove it, or upload the files that matter one by one",
        )
    if not found:
        raise ConfigError("has no files", where=directory, remedy="check the path: S3 has no empty folders")
    return found


def _walk(root: str, below: str, above: Tuple[Tuple[int, int], ...], found: List[Tuple[str, int]], problems: List[str]) -> None:
    try:
        status = os.stat(os.path.join(root, below))
        entries = sorted(os.scandir(os.path.join(root, below)), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{below or root} ({error.strerror})")
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        problems.append(f"{below} (a link to a directory above it)")
        return
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        try:
            name.encode()
            status = entry.stat()
        except UnicodeEncodeError:
            problems.append(f"{name!r} (its name is not UTF-8)")
        except OSError as error:
            problems.append(f"{name} ({'a link to nothing' if entry.is_symlink() else error.strerror})")
        else:
            if stat.S_ISDIR(status.st_mode):
                _walk(root, name, (*above, here), found, problems)
            elif not stat.S_ISREG(status.st_mode):
                problems.append(f"{name} (no regular file)")
            elif not os.access(entry.path, os.R_OK):
                problems.append(f"{name} (may not be read)")
            else:
                found.append((name, status.st_size))


def keyed(directory: str, names: Iterable[str], uri: str) -> List[Tuple[str, str]]:
    """Path and ``s3://`` address of each file, given its name relative to the directory and the address of the folder."""
    folder = uri.rstrip("/")
    return [(os.path.join(directory, name), f"{folder}/{name}") for name in names]


def targets(objects: Sequence[Object], prefix: str, directory: str) -> Tuple[List[Tuple[Object, str]], List[str]]:
    """The file that each object becomes, and the folders that are marked by an object of their own.

    Args:
        objects: the objects.
        prefix: the beginning of their keys, which their files do not have; empty, or with a slash at its end.
        directory: where to.

    Raises:
        ConfigError: a key that would leave the directory, that no file can be named like, or that needs a file to be a directory;
            nothing is written then.
    """
    files: Dict[str, Object] = {}
    folders: List[str] = []
    problems: List[str] = []
    for entry in objects:
        name = entry.key[len(prefix) :]
        problem = _problem(name, entry)
        if problem:
            problems.append(f"{entry.key} ({problem})")
        elif name.endswith("/") or not name:
            folders.append(name.rstrip("/"))
        else:
            files[name] = entry
    above = {"/".join(parts[:n]) for parts in (name.split("/") for name in (*files, *folders)) for n in range(1, len(parts))}
    above.update(folders)
    problems += [f"{entry.key} (is both a file and a directory)" for name, entry in files.items() if name in above]
    root = os.path.realpath(directory)
    for name in sorted({os.path.dirname(name) for name in files} | set(folders)):
        place = os.path.realpath(os.path.join(root, name))
        if place != root and not place.startswith(root.rstrip("/") + "/"):
            problems.append(f"{prefix}{name}/ (a link there leads out of {directory})")
    for name, entry in files.items():
        if name not in above and os.path.isdir(os.path.join(root, name)):
            problems.append(f"{entry.key} (there is a directory of this name)")
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ConfigError(
            f"keys that cannot become files below {directory}: {'; '.join(problems[:5])}{more}",
            where="download",
            remedy="nothing was written; download the others by a longer prefix, or these one by one to names of your own",
        )
    return [(entry, os.path.join(root, name)) for name, entry in files.items()], [
        os.path.join(root, name) if name else root for name in folders
    ]


def _problem(name: str, entry: Object) -> str:
    """What keeps a key from being a file's name; empty when nothing does."""
    parts = name.rstrip("/").split("/") if name else []
    if ".." in parts or "." in parts:
        return "it would lead to another directory"
    if "" in parts or name.endswith("//"):
        return "it has an empty part"
    if "\0" in name or (os.name == "nt" and any(sign in name for sign in '\\:*?"<>|')):
        return "it has characters that no file's name has"
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        return f"a part of it is longer than {_LONGEST_NAME} bytes"
    if (name.endswith("/") or not name) and entry.size:
        return "it is named like a folder, but has content"
    return ""
