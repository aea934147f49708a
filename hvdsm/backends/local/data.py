"""Where the data of a request lies on this machine: ``file://``, ``s3://`` under a directory, or ``s3://`` to download."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Tuple

from hvdsm.compose.request import file_path
from hvdsm.errors import ConfigError

SHARDED = "ShardedByS3Key"


@dataclass(frozen=True)
class DataSet:
    """The data of one channel, or the source.

    Exactly one of ``directory`` (taken as it is), ``files`` (names in the channel and their paths) and ``download`` (an
    ``s3://`` prefix) is set.
    """

    name: str
    directory: Optional[str] = None
    files: Tuple[Tuple[str, str], ...] = ()
    download: Optional[str] = None
    sharded: bool = False


def split_s3(uri: str) -> Tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``.

    Raises:
        ConfigError: it is no such address.
    """
    bucket, _, key = uri[len("s3://") :].partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ConfigError("must be s3://BUCKET/KEY or file:///PATH", where=uri)
    return bucket, key


def channel_data(channel: Mapping[str, Any], s3_root: Optional[str]) -> DataSet:
    """Where a channel's data is.

    Args:
        channel: an entry of InputDataConfig.
        s3_root: directory that stands for S3: ``s3://bucket/key`` is ``s3_root/bucket/key``.

    Raises:
        ConfigError: the data is missing, empty, or described in a way that a rehearsal does not support.
    """
    name = channel["ChannelName"]
    where = f"channel {name}"
    remedy = f"override it for the rehearsal: --channel {name}=PATH"
    source = (channel.get("DataSource") or {}).get("S3DataSource")
    if not source:
        raise ConfigError("only S3DataSource can be rehearsed, not a file system", where=where, remedy=remedy)
    if source.get("S3DataType", "S3Prefix") != "S3Prefix":
        raise ConfigError(f"S3DataType {source['S3DataType']} cannot be rehearsed, only S3Prefix", where=where, remedy=remedy)
    if channel.get("InputMode") == "Pipe":
        raise ConfigError("InputMode Pipe cannot be rehearsed, only File and FastFile", where=where, remedy=remedy)
    if channel.get("CompressionType", "None") != "None":
        raise ConfigError(
            f"CompressionType {channel['CompressionType']} cannot be rehearsed: the files would stay compressed",
            where=where,
            remedy=remedy,
        )
    return locate(name, source.get("S3Uri", ""), s3_root, where, source.get("S3DataDistributionType") == SHARDED)


def locate(name: str, uri: str, s3_root: Optional[str], where: str, sharded: bool = False, siblings: bool = True) -> DataSet:
    """The data of a URI.

    ``siblings``: whether other keys that begin with the same characters belong to it, as in an S3 prefix.

    Raises:
        ConfigError: nothing is there.
    """
    if uri.startswith("file://"):
        path, is_prefix = file_path(uri), False
    elif s3_root is None:
        split_s3(uri)
        return DataSet(name, download=uri, sharded=sharded)
    else:
        path, is_prefix = os.path.join(s3_root, *split_s3(uri)), True
    if os.path.isfile(path):
        return DataSet(name, files=((os.path.basename(path), path),), sharded=sharded)
    others = _siblings(path) if is_prefix and siblings else []
    if os.path.isdir(path) and not others:
        if not any(files for _, _, files in os.walk(path, followlinks=True)):
            raise ConfigError(f"{path} is empty", where=where, remedy="put the data there, or name another path")
        if sharded:
            return DataSet(name, files=tuple(_files_below(path, path)), sharded=True)
        return DataSet(name, directory=path.rstrip("/"))
    found: List[Tuple[str, str]] = []
    for entry in ([path] if os.path.isdir(path) else []) + others:
        # As the service does it: what follows the prefix's last slash, or the prefix itself when it is a folder, is the name.
        base = path if entry == path else os.path.dirname(path)
        found += _files_below(entry, base) if os.path.isdir(entry) else [(os.path.relpath(entry, base), entry)]
    if not found:
        there = f" ({uri})" if is_prefix else ""
        raise ConfigError(f"{path}{there} does not exist", where=where, remedy="check the path")
    return DataSet(name, files=tuple(sorted(found)), sharded=sharded)


def _siblings(path: str) -> List[str]:
    """What else begins with the prefix: ``train-2`` for ``train``, as S3's prefixes match."""
    parent, stem = os.path.split(path)
    if not stem or not os.path.isdir(parent):
        return []
    return [os.path.join(parent, entry) for entry in sorted(os.listdir(parent)) if entry.startswith(stem) and entry != stem]


def _files_below(directory: str, base: str) -> List[Tuple[str, str]]:
    found = []
    for parent, _, files in os.walk(directory, followlinks=True):
        found += [(os.path.relpath(os.path.join(parent, file), base), os.path.join(parent, file)) for file in files]
    return sorted(found)


def shard(files: Tuple[Tuple[str, str], ...], index: int, count: int) -> Tuple[Tuple[str, str], ...]:
    """The files of host ``index`` of ``count`` under ShardedByS3Key: every count-th of the sorted names."""
    return tuple(sorted(files)[index::count])
