"""Gets an archive of MovieLens, checks its digest, and unpacks it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from typing import Optional

from gcmc.movielens import DataError, Layout

SITE = "https://files.grouplens.org/datasets/movielens/"
BLOCK = 1 << 20
SECONDS = 60.0  # of silence


def fetch(layout: Layout, directory: str, url: Optional[str], digest: Optional[str]) -> str:
    """Download the archive and unpack it into ``directory``, where it is not there already; returns the directory.

    Args:
        layout: of the data set.
        directory: gets the archive's own directory.
        url: of the archive (GroupLens').
        digest: MD5 of the archive (the published one); empty for none, which an archive of one's own has.
    """
    address = url or SITE + layout.archive
    wanted = layout.digest if digest is None else digest
    os.makedirs(directory, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=layout.archive, suffix=".part", dir=directory)
    os.close(handle)
    try:
        try:
            with urllib.request.urlopen(address, timeout=SECONDS) as source, open(part, "wb") as target:
                shutil.copyfileobj(source, target, BLOCK)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise DataError(
                f"{address}: {reason}: give the data set as a channel, or --data_dir DIR, or --data_url URL"
            ) from None
        unpack(part, directory, wanted, address)
    finally:
        os.unlink(part)
    return directory


def unpack(archive: str, directory: str, wanted: str, name: str) -> None:
    """Check an archive's digest, where one is wanted, and unpack its files."""
    found = md5(archive)
    if wanted and found != wanted:
        raise DataError(f"{name}: its MD5 is {found}, expected {wanted}: truncated, or another file; get it again")
    os.makedirs(directory, exist_ok=True)
    # Unpacked beside its place, then renamed: files that are found are whole, whatever ended this before.
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=directory) as fresh:
        try:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(fresh)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(f"{name}: {error}: it is no archive of MovieLens, or it is truncated; get it again") from None
        for entry in os.listdir(fresh):
            target = os.path.join(directory, entry)
            if os.path.isdir(target):
                shutil.rmtree(target)
            os.rename(os.path.join(fresh, entry), target)


def md5(path: str) -> str:
    """Digest of a file."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()
