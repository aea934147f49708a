"""Manifests of S3DataType ManifestFile: ``[{"prefix": "s3://bucket/path/"}, "a.csv", "b/c.csv"]``.

Each text after the prefix is appended to it and names an object.  Source: the SageMaker API reference, "S3DataSource".
"""

from __future__ import annotations

import json
import os
from typing import List, Tuple

from hvdsm.errors import ConfigError

_FORM = '[{"prefix": "s3://BUCKET/PATH/"}, "FILE", …]'


def read_manifest(path: str, where: str) -> List[Tuple[str, str]]:
    """The entries of a manifest on this machine; see :func:`manifest_entries`."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", where=where) from None
    return manifest_entries(text, where)


def manifest_entries(text: str, where: str) -> List[Tuple[str, str]]:
    """Names in the channel and addresses of what a manifest names.

    Raises:
        ConfigError: it has another form, is empty, or a name would lie outside of the channel.
    """
    try:
        entries = json.loads(text)
        prefix, names = entries[0]["prefix"], entries[1:]
    except (ValueError, LookupError, TypeError):
        raise ConfigError(f"the manifest is not of the form {_FORM}", where=where) from None
    if not isinstance(prefix, str) or not prefix.startswith(("s3://", "file://")) or not names:
        raise ConfigError(f"the manifest names no prefix and files: {_FORM}", where=where)
    found = []
    for name in names:
        if not isinstance(name, str) or not name.strip("/"):
            raise ConfigError(f"the manifest has {name!r} in place of a file's name: {_FORM}", where=where)
        below = name.lstrip("/")
        if os.pardir in below.split("/"):
            raise ConfigError(f"the manifest's {name} would lie outside of the channel", where=where, remedy="rename the object")
        found.append((below, prefix + name))
    return found
