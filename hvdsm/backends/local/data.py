"""Where the data of a request lies on this machine: ``file://``, ``s3://`` under a directory, or ``s3://`` to download."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, List, Mapping, Optional, Tuple

from hvdsm.compose.request import file_path
from hvdsm.errors import ConfigError

SHARDED = "ShardedByS3Key"
PIPE = "Pipe"
MANIFEST = "ManifestFile"


@dataclass(frozen=True)
class DataSet:
    """The data of one channel, or the source.

    Exactly one of ``directory`` (taken as it is), ``files`` (names in the channel and their paths) and ``download`` (an
    ``s3://`` prefix, or the address of a manifest) is set.

    Attributes:
        name: the channel.
        directory: see above.
        files: see above.
        download: see above.
        sharded: whether each host gets a part of the files.
        manifest: whether ``download`` is the address of a manifest, which names the files.
        groups: names of the instance groups whose hosts get the channel; all when empty.
        pipe: how it is streamed, None for files.
    """

    name: str
    directory: Optional[str] = None
    files: Tuple[Tuple[str, str], ...] = ()
    download: Optional[str] = None
    sharded: bool = False
    manifest: bool = False
    groups: Tuple[str, ...] = ()
    pipe: Optional[PipeFormat] = None


@dataclass(frozen=True)
class PipeFormat:
    """How files are streamed in Pipe mode.

    Attributes:
        gzip: whether they are uncompressed on the way.
        record_io: whether each is wrapped as one RecordIO record.
        seed: of the order, which changes from epoch to epoch; None keeps the order.
    """

    gzip: bool = False
    record_io: bool = False
    seed: Optional[int] = None


def split_s3(uri: str) -> Tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``.

    Raises:
        ConfigError: it is no such address.
    """
    bucket, _, key = uri[len("s3://") :].partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ConfigError("must be s3://BUCKET/KEY or file:///PATH", where=uri)
    return bucket, key


def under_root(uri: str, s3_root: str) -> str:
    """The path that stands for ``s3://bucket/key`` below a directory.

    Raises:
        ConfigError: it is no such address, or leads out of the directory.
    """
    bucket, key = split_s3(uri)
    if os.pardir in (bucket, *key.split("/")) or bucket == os.curdir:
        raise ConfigError("leads out of the directory that stands for S3", where=uri, remedy="name an object of a bucket")
    return os.path.join(s3_root, bucket, key)


def input_mode(channel: Mapping[str, Any], default: str = "File") -> str:
    """A channel's input mode; the job's TrainingInputMode where it names none."""
    return str(channel.get("InputMode") or default)


def channel_data(channel: Mapping[str, Any], s3_root: Optional[str], default_mode: str = "File") -> DataSet:
    """Where a channel's data is, and how it comes to the hosts.

    Args:
        channel: an entry of InputDataConfig.
        s3_root: directory that stands for S3: ``s3://bucket/key`` is ``s3_root/bucket/key``.
        default_mode: TrainingInputMode of the job.

    Raises:
        ConfigError: the data is missing, empty, or described in a way that a rehearsal does not support.
    """
    name = channel["ChannelName"]
    where = f"channel {name}"
    remedy = f"give the channel an s3:// address, or another place for the rehearsal: --channel {name}=PATH"
    sources = channel.get("DataSource") or {}
    source = sources.get("S3DataSource")
    if not source:
        kind = next(iter(sources), "DataSource")
        what = _file_system(sources.get("FileSystemDataSource") or {}) or f"{kind} cannot be read from here, only S3DataSource"
        raise ConfigError(what, where=where, remedy=remedy)
    kind = source.get("S3DataType", "S3Prefix")
    if kind not in ("S3Prefix", MANIFEST):
        raise ConfigError(f"S3DataType {kind} cannot be rehearsed, only S3Prefix and ManifestFile", where=where, remedy=remedy)
    sharded = source.get("S3DataDistributionType") == SHARDED
    uri = source.get("S3Uri", "")
    if kind == MANIFEST:
        found = _manifest(name, uri, s3_root, where)
    else:
        found = locate(name, uri, s3_root, where, sharded)
    groups = tuple(source.get("InstanceGroupNames") or ())
    pipe = _pipe(channel) if input_mode(channel, default_mode) == PIPE else None
    return replace(found, sharded=sharded, groups=groups, pipe=pipe)


def _file_system(source: Mapping[str, Any]) -> str:
    if not source:
        return ""
    place = f"{source.get('FileSystemId', '')}:{source.get('DirectoryPath', '')}"
    return f"the file system {source.get('FileSystemType', '')} {place} cannot be reached from here"


def _pipe(channel: Mapping[str, Any]) -> PipeFormat:
    return PipeFormat(
        gzip=channel.get("CompressionType") == "Gzip",
        record_io=channel.get("RecordWrapperType") == "RecordIO",
        seed=(channel.get("ShuffleConfig") or {}).get("Seed"),
    )


def _manifest(name: str, uri: str, s3_root: Optional[str], where: str) -> DataSet:
    """The files that a manifest names, where it and they are on this machine; else it is still to be downloaded."""
    if uri.startswith("file://"):
        path = file_path(uri)
    elif s3_root is None:
        split_s3(uri)
        return DataSet(name, download=uri, manifest=True)
    else:
        path = under_root(uri, s3_root)
    if not os.path.isfile(path):
        raise ConfigError(f"{path} does not exist", where=where, remedy="check the manifest's path")
    from hvdsm.backends.local.manifest import read_manifest

    entries = read_manifest(path, where)
    if s3_root is None and any(address.startswith("s3://") for _, address in entries):
        return DataSet(name, download=uri, manifest=True)
    files = []
    for entry, address in entries:
        place = file_path(address) if address.startswith("file://") else under_root(address, str(s3_root))
        if not os.path.isfile(place):
            what = f"{place} ({address}), which {path} names, does not exist"
            raise ConfigError(what, where=where, remedy="check the manifest")
        files.append((entry, place))
    return DataSet(name, files=tuple(files))


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
        path, is_prefix = under_root(uri, s3_root), True
    if os.path.isfile(path):
        return DataSet(name, files=((os.path.basename(path), path),), sharded=sharded)
    others = _siblings(path) if is_prefix and siblings else []
    if os.path.isdir(path) and not others:
        if not any(files for _, _, files in os.walk(path, followlinks=True)):
            raise ConfigError(f"{path} is empty", where=where, remedy="put the data there, or name another path")
        if sharded:
            return DataSet(name, files=tuple(files_below(path, path)), sharded=True)
        return DataSet(name, directory=path.rstrip("/"))
    found: List[Tuple[str, str]] = []
    for entry in ([path] if os.path.isdir(path) else []) + others:
        # As the service does it: what follows the prefix's last slash, or the prefix itself when it is a folder, is the name.
        base = path if entry == path else os.path.dirname(path)
        found += files_below(entry, base) if os.path.isdir(entry) else [(os.path.relpath(entry, base), entry)]
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


def files_below(directory: str, base: str) -> List[Tuple[str, str]]:
    """Names (relative to ``base``) and paths of all files of a directory, sorted by name."""
    found = []
    for parent, _, files in os.walk(directory, followlinks=True):
        found += [(os.path.relpath(os.path.join(parent, file), base), os.path.join(parent, file)) for file in files]
    return sorted(found)


def files_of(dataset: DataSet) -> Tuple[Tuple[str, str], ...]:
    """The files of a data set that is on this machine: names in the channel and paths."""
    return dataset.files if dataset.directory is None else tuple(files_below(dataset.directory, dataset.directory))


def shard(files: Tuple[Tuple[str, str], ...], index: int, count: int) -> Tuple[Tuple[str, str], ...]:
    """The files of host ``index`` of ``count`` under ShardedByS3Key: every count-th of the sorted names."""
    return tuple(sorted(files)[index::count])
