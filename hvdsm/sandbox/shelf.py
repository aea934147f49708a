"""Keeps the objects of the sandbox's S3 in a directory, from one sandbox to the next: ``DIRECTORY/BUCKET/KEY``."""

from __future__ import annotations

import os
from typing import Callable, Dict, Optional, Tuple

from hvdsm.errors import ConfigError
from hvdsm.sandbox.objects import Objects

_State = Tuple[int, int]


class Shelf:
    """Loads objects when it is entered as a context manager, and writes what is there when it is left.

    Objects that clients have deleted stay in the directory: it is never emptied.

    Args:
        directory: None for no directory at all.
        objects: S3.
        say: is told what is done.
    """

    def __init__(self, directory: Optional[str], objects: Objects, say: Callable[[str], None]) -> None:
        self.directory = None if directory is None else os.path.abspath(os.path.expanduser(directory))
        self._objects = objects
        self._say = say
        self._loaded: Dict[str, str] = {}

    def __enter__(self) -> Shelf:
        if self.directory is not None:
            try:
                os.makedirs(self.directory, exist_ok=True)
                self._load(self.directory)
            except OSError as error:
                raise ConfigError(f"{error.strerror}: {error.filename}", where="--s3", remedy="name another directory") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self.directory is None:
            return
        count = 0
        for bucket, key, tag in self._objects.all():
            address = f"s3://{bucket}/{key}"
            if self._loaded.get(address) == tag:
                continue
            try:
                count += self._objects.fetch_one(bucket, key, self.directory)
            except (ConfigError, OSError) as error:
                self._say(f"warning: not kept: {error}")
        self._say(f"{count} new or changed object{'s' if count != 1 else ''} of S3 kept in {self.directory}")

    def _load(self, directory: str) -> None:
        for bucket in sorted(os.listdir(directory)):
            place = os.path.join(directory, bucket)
            if not os.path.isdir(place):
                continue
            self._objects.make_bucket(bucket)
            for parent, _, files in os.walk(place):
                for name in files:
                    path = os.path.join(parent, name)
                    self._objects.put_file(path, f"s3://{bucket}/{os.path.relpath(path, place).replace(os.sep, '/')}")
        self._loaded = {f"s3://{bucket}/{key}": tag for bucket, key, tag in self._objects.all()}
