"""The directory that stands for the S3 prefix of CheckpointConfig: checked before a job, shared by its hosts, kept after it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from hvdsm.backends.local.data import split_s3
from hvdsm.compose.request import CHECKPOINTS, file_path
from hvdsm.errors import ConfigError

_REMEDY = "name a directory that you can write in: --checkpoint DIR"
# What the platform or hvdsm itself puts there would be hidden, or would end up among the checkpoints.
_TAKEN = ("/opt/ml/input", "/opt/ml/code", "/opt/ml/model", "/opt/ml/output", "/opt/ml/.hvdsm", "/proc", "/sys", "/dev")
_SYSTEM = frozenset(
    ("bin", "boot", "etc", "home", "lib", "lib32", "lib64", "mnt", "opt", "root", "run", "sbin", "tmp", "usr", "var")
)


@dataclass(frozen=True)
class Checkpoint:
    """Where checkpoints are kept on this machine, and where hosts see them."""

    directory: str
    local_path: str = CHECKPOINTS

    @property
    def below_base(self) -> Optional[str]:
        """The path below ``/opt/ml``, None when it is elsewhere."""
        return self.local_path[len("/opt/ml/") :] if self.local_path.startswith("/opt/ml/") else None

    def count(self) -> int:
        """Number of files that are there."""
        return sum(len(files) for _, _, files in os.walk(self.directory))


def checkpoint_of(request: Mapping[str, Any], s3_root: Optional[str], job_dir: str) -> Optional[Checkpoint]:
    """The directory of a request's checkpoints; None without any, or when they are on S3 and nothing stands for it.

    Args:
        request: the request.
        s3_root: directory that stands for S3: ``s3://bucket/key`` is ``s3_root/bucket/key``.
        job_dir: where the job's results go.

    Raises:
        ConfigError: it cannot be a directory to write in, or the hosts cannot see it at that path.
    """
    config = request.get("CheckpointConfig") or {}
    uri = config.get("S3Uri")
    if not uri:
        return None
    local_path = _checked_path(config.get("LocalPath") or CHECKPOINTS)
    if uri.startswith("file://"):
        directory = file_path(uri)
    elif s3_root is None:
        split_s3(uri)
        return None
    else:
        bucket, key = split_s3(uri)
        if ".." in (bucket, *key.split("/")):
            raise ConfigError("leads out of the directory that stands for S3", where=f"CheckpointConfig.S3Uri {uri}")
        directory = os.path.join(s3_root, bucket, key)
    directory = os.path.normpath(directory)
    where = f"checkpoints {directory}"
    if os.path.lexists(directory) and not os.path.isdir(directory):
        raise ConfigError("is not a directory", where=where, remedy=_REMEDY)
    if directory == "/" or _inside(job_dir, directory) or _inside(directory, job_dir):
        raise ConfigError("would hold the job's results, or lie among them", where=where, remedy=_REMEDY)
    existing = directory
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise ConfigError(f"cannot be made: {existing} is not a directory", where=where, remedy=_REMEDY)
    if not os.access(existing, os.W_OK | os.X_OK | os.R_OK):
        what = "is not writable" if existing == directory else f"cannot be made: {existing} is not writable"
        raise ConfigError(what, where=where, remedy=_REMEDY)
    return Checkpoint(directory, local_path)


def make_directory(checkpoint: Checkpoint) -> None:
    """Make the directory where it is missing.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        os.makedirs(checkpoint.directory, exist_ok=True)
    except OSError as error:
        where = f"checkpoints {checkpoint.directory}"
        raise ConfigError(f"cannot be made: {error.strerror}", where=where, remedy=_REMEDY) from None


def _checked_path(path: str) -> str:
    normal = os.path.normpath(path)
    if normal.startswith("//"):
        normal = normal[1:]
    parts = normal.strip("/").split("/")
    taken = [place for place in _TAKEN if normal == place or _inside(normal, place)]
    if normal in ("/", "/opt", "/opt/ml") or taken or (len(parts) == 1 and parts[0] in _SYSTEM):
        raise ConfigError(
            f"{path} is used otherwise: {taken[0] if taken else normal} holds what the job needs",
            where="CheckpointConfig.LocalPath",
            remedy=f"leave it out (it is {CHECKPOINTS} then), or name a directory of its own",
        )
    return normal


def _inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
