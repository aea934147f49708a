"""Objects of S3, downloaded once into a cache; boto3 is imported when the first one is needed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import Any, Callable, Dict, Mapping, Tuple

from hvdsm.backends.local.data import split_s3
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
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise ConfigError(
            "boto3 is needed to read s3://", where=where, remedy="pip install boto3, or use --s3-root DIR"
        ) from None
    bucket, prefix = split_s3(uri)
    try:
        client = boto3.client("s3")
        objects = _listed(client, bucket, prefix)
        if exact and prefix in objects:
            objects = {prefix: objects[prefix]}
        return tuple(_fetch_all(client, bucket, prefix, objects, cache, say, where))
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
) -> list[tuple[str, str]]:
    if not objects:
        raise ConfigError(f"s3://{bucket}/{prefix} has no objects", where=where, remedy="check the bucket and the prefix")
    os.makedirs(cache, mode=0o700, exist_ok=True)
    folder = prefix if prefix.endswith("/") else prefix + "/"
    result = []
    for index, (key, (etag, size)) in enumerate(sorted(objects.items()), 1):
        identity = "\0".join((client.meta.endpoint_url, bucket, key, etag, str(size)))
        path = os.path.join(cache, hashlib.sha256(identity.encode()).hexdigest())
        if not os.path.exists(path):
            say(f"download {index} of {len(objects)}: s3://{bucket}/{key} ({size:,} bytes)")
            handle, partial = tempfile.mkstemp(dir=cache)
            try:
                with os.fdopen(handle, "wb") as file:
                    client.download_fileobj(bucket, key, file)
                os.replace(partial, path)
            except BaseException:
                os.unlink(partial)
                raise
        result.append((_relative(key, prefix, folder), path))
    return result


def _relative(key: str, prefix: str, folder: str) -> str:
    """The name below the prefix: what follows the folder of that name, else what follows the prefix's last slash.

    Raises:
        ConfigError: the key would leave the channel's directory.
    """
    name = key[len(folder) :] if prefix and key.startswith(folder) else key[len(prefix.rpartition("/")[0]) :].lstrip("/")
    if ".." in name.split("/"):
        raise ConfigError("the key would lie outside of the channel", where=key, remedy="rename the object")
    return name
