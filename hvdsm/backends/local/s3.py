"""Objects of S3, downloaded once into a cache; boto3 is imported when the first one is needed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

from hvdsm.backends.local.data import split_s3
from hvdsm.backends.local.manifest import read_manifest
from hvdsm.compose.request import file_path
from hvdsm.errors import ConfigError

Say = Callable[[str], None]


def cache_directory(environ: Mapping[str, str]) -> str:
    """``$XDG_CACHE_HOME/hvdsm/s3``, ``~/.cache`` by default."""
    return os.path.join(environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hvdsm", "s3")


def download(uri: str, cache: str, say: Say, where: str, *, exact: bool = False) -> Tuple[Tuple[str, str], ...]:
    """All objects of a prefix, as names below the prefix and paths in the cache.

    Args:
        uri: ``s3://bucket/prefix``; the endpoint is AWS_ENDPOINT_URL when that is set.
        cache: directory for the objects; one that is there already is not fetched again.
        say: told of progress.
        where: for messages.
        exact: only the object of exactly this key.

    Raises:
        ConfigError: boto3 is missing, S3 refuses, or there is nothing.
    """
    bucket, prefix = split_s3(uri)
    with _client(uri, where) as client:
        objects = _listed(client, bucket, prefix)
        if exact and prefix in objects:
            objects = {prefix: objects[prefix]}
        return tuple(_fetch_all(client, bucket, prefix, objects, cache, say, where))


def download_manifest(uri: str, cache: str, say: Say, where: str) -> Tuple[Tuple[str, str], ...]:
    """All objects that a manifest names, as names in the channel and paths.

    Args:
        uri: address of the manifest, ``s3://`` or ``file://``.
        cache: directory for the objects.
        say: told of progress.
        where: for messages.

    Raises:
        ConfigError: as of :func:`download`, or the manifest cannot be read.
    """
    if uri.startswith("file://"):
        path = file_path(uri)
    else:
        path = next(path for _, path in download(uri, cache, say, where, exact=True))
    entries = read_manifest(path, where)
    found = []
    with _client(uri, where) as client:
        os.makedirs(cache, mode=0o700, exist_ok=True)
        for index, (name, address) in enumerate(entries, 1):
            if address.startswith("file://"):
                found.append((name, file_path(address)))
                continue
            bucket, key = split_s3(address)
            head = client.head_object(Bucket=bucket, Key=key)
            progress = f"download {index} of {len(entries)}"
            found.append((name, _fetch(client, bucket, key, head["ETag"], head["ContentLength"], cache, say, progress)))
    return tuple(found)


@contextmanager
def _client(uri: str, where: str) -> Iterator[Any]:
    """An S3 client of this thread's own; what goes wrong with it becomes a ConfigError."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise ConfigError(
            "boto3 is needed to read s3://", where=where, remedy="pip install boto3, or use --s3-root DIR"
        ) from None
    try:
        # Not boto3.client: the session behind it is shared, and its making is not safe from several threads.
        yield boto3.session.Session().client("s3")
    except (BotoCoreError, ClientError) as error:
        raise ConfigError(
            f"{uri}: {error}", where=where, remedy="check AWS_ENDPOINT_URL, credentials and region, or use --s3-root DIR"
        ) from error


def _listed(client: Any, bucket: str, prefix: str) -> Dict[str, Tuple[str, int]]:
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            if not entry["Key"].endswith("/"):
                found[entry["Key"]] = (entry["ETag"], entry["Size"])
    return found


def _fetch_all(
    client: Any, bucket: str, prefix: str, objects: Dict[str, Tuple[str, int]], cache: str, say: Say, where: str
) -> List[Tuple[str, str]]:
    if not objects:
        raise ConfigError(f"s3://{bucket}/{prefix} has no objects", where=where, remedy="check the bucket and the prefix")
    os.makedirs(cache, mode=0o700, exist_ok=True)
    folder = prefix if prefix.endswith("/") else prefix + "/"
    result = []
    for index, (key, (etag, size)) in enumerate(sorted(objects.items()), 1):
        path = _fetch(client, bucket, key, etag, size, cache, say, f"download {index} of {len(objects)}")
        result.append((_relative(key, prefix, folder), path))
    return result


def _fetch(client: Any, bucket: str, key: str, etag: str, size: int, cache: str, say: Say, progress: str) -> str:
    """The path of an object in the cache, downloaded where it is not there yet."""
    identity = "\0".join((client.meta.endpoint_url, bucket, key, etag, str(size)))
    path = os.path.join(cache, hashlib.sha256(identity.encode()).hexdigest())
    if not os.path.exists(path):
        say(f"{progress}: s3://{bucket}/{key} ({size:,} bytes)")
        handle, partial = tempfile.mkstemp(dir=cache)
        try:
            with os.fdopen(handle, "wb") as file:
                client.download_fileobj(bucket, key, file)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
    return path


def _relative(key: str, prefix: str, folder: str) -> str:
    """The name below the prefix: what follows the folder of that name, else what follows the prefix's last slash.

    Raises:
        ConfigError: the key would leave the channel's directory.
    """
    name = key[len(folder) :] if prefix and key.startswith(folder) else key[len(prefix.rpartition("/")[0]) :].lstrip("/")
    if ".." in name.split("/"):
        raise ConfigError("the key would lie outside of the channel", where=key, remedy="rename the object")
    return name
