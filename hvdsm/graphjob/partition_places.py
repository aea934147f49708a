"""Where a graph lies and where its partitions go: a folder of S3, or a directory that all hosts have."""

from __future__ import annotations

import os
import posixpath
import shutil
from typing import Any, Dict, List, Optional, Sequence, Union

from .partition_errors import PartitionError
from .transfers import Say, Store, split_s3


class Directory:
    """A directory; every host sees the same.

    Args:
        root: its path.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def at(self, name: str) -> str:
        """Where something is."""
        return os.path.join(self.root, name)

    def text(self, name: str) -> Optional[str]:
        """A file's content; None if there is none."""
        try:
            with open(self.at(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> List[str]:
        """Files below a folder, relative to it."""
        top = self.at(folder)
        return sorted(os.path.relpath(os.path.join(at, name), top) for at, _, names in os.walk(top) for name in names)

    def fetch(self, names: Sequence[str], directory: str) -> str:
        """Nothing has to be brought: returns where files lie, relative to which their names are."""
        del names, directory
        return self.root

    def put(self, directory: str, folder: str) -> None:
        """Bring all files below a local directory to a folder."""
        shutil.copytree(directory, self.at(folder), dirs_exist_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if os.path.exists(self.at(name)):
            os.remove(self.at(name))

    def copy(self, name: str, target: Any, to: str) -> None:
        """Copy a file to another directory."""
        os.makedirs(os.path.dirname(target.at(to)), exist_ok=True)
        shutil.copyfile(self.at(name), target.at(to))


class Bucket:
    """A folder of S3.

    Args:
        root: its address.
        store: S3.
    """

    def __init__(self, root: str, store: Store) -> None:
        self.root = root.rstrip("/")
        self.store = store
        self._sizes: Dict[str, Dict[str, int]] = {}

    def at(self, name: str) -> str:
        """Address of something."""
        return f"{self.root}/{name}"

    def text(self, name: str) -> Optional[str]:
        """An object's content; None if there is none."""
        folder, _, last = name.rpartition("/")
        if last not in self._listing(folder):
            return None
        with _Asked("cannot be read", self.at(name)):
            bucket, key = split_s3(self.at(name))
            text: bytes = self.store.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return text.decode()

    def names(self, folder: str) -> List[str]:
        """Objects below a folder, relative to it."""
        return sorted(self._listing(folder))

    def fetch(self, names: Sequence[str], directory: str) -> str:
        """Download objects, many at a time; returns the directory that their names are relative to."""
        sizes = self._listing("")
        wanted = [(posixpath.normpath(name), name) for name in dict.fromkeys(names)]
        for name, told in wanted:
            if name not in sizes:
                raise PartitionError(
                    "there is no such file", where=self.at(told), remedy="check the metadata file, whose paths are relative to it"
                )
        self.store.download(self.root, [(name, name) for name, _ in wanted], sizes, directory)
        return directory

    def put(self, directory: str, folder: str) -> None:
        """Upload all files below a local directory to a folder."""
        self.store.upload(directory, self.at(folder))

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with _Asked("cannot be removed", self.at(name)):
            bucket, key = split_s3(self.at(name))
            self.store.client.delete_object(Bucket=bucket, Key=key)

    def copy(self, name: str, target: Any, to: str) -> None:
        """Copy an object to another folder of S3; it does not pass through this host."""
        with _Asked("cannot be copied", self.at(name)):
            bucket, key = split_s3(self.at(name))
            self.store.client.copy({"Bucket": bucket, "Key": key}, *split_s3(target.at(to)))

    def _listing(self, folder: str) -> Dict[str, int]:
        if folder not in self._sizes:
            self._sizes[folder] = self.store.listing(self.at(folder) if folder else self.root)
        return self._sizes[folder]


Place = Union[Directory, Bucket]


class _Asked:
    """Names the object in what S3's client raises."""

    def __init__(self, what: str, where: str) -> None:
        self.what, self.where = what, where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, Exception):
            remedy = "check the address, the role's permissions and the network"
            raise PartitionError(f"{self.what}: {error}", where=self.where, remedy=remedy) from error


def places(source: str, target: str, say: Say, region: Optional[str] = None) -> List[Place]:
    """The places of two addresses.

    Args:
        source: ``s3://BUCKET/PREFIX``, or a directory.
        target: the same kind.
        say: is told of progress.
        region: AWS region; AWS_REGION by default, which boto3 itself does not look at.

    Raises:
        PartitionError: one is in S3, the other is not.
    """
    in_s3 = [address.lower().startswith("s3://") for address in (source, target)]
    if in_s3[0] != in_s3[1]:
        raise PartitionError(
            "one is in S3, the other is a directory", where=f"{source} and {target}", remedy="take two of a kind"
        )
    if not in_s3[0]:
        return [Directory(source), Directory(target)]
    named = region or os.environ.get("AWS_REGION")
    if named:
        os.environ.setdefault("AWS_DEFAULT_REGION", named)
    store = Store(say)
    return [Bucket(address, store) for address in (source, target)]
