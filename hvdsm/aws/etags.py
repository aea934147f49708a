"""Whether a file has an object's content, told from the object's ETag."""

from __future__ import annotations

import hashlib
import re
from typing import Callable, List, Optional

from hvdsm.aws.failures import translated
from hvdsm.aws.objects import Object
from hvdsm.aws.session import Aws
from hvdsm.errors import ConfigError

_SINGLE = re.compile(r"[0-9a-f]{32}")
_PARTS = re.compile(r"[0-9a-f]{32}-([0-9]+)")


def is_same(aws: Aws, path: str, bucket: str, entry: Object, tell: Optional[Callable[[int], None]] = None) -> bool:
    """Whether a file of the object's size has its content, too; False where the ETag does not tell.

    The ETag is the content's MD5 sum, or for an object of several parts the sum of their sums and their number; with KMS
    encryption it is neither, so that such an object never counts as the same.

    Args:
        aws: the session.
        path: the file.
        bucket: the object's bucket.
        entry: the object.
        tell: is told of bytes that have been read.

    Raises:
        ConfigError: the file cannot be read, or S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    if _SINGLE.fullmatch(entry.etag):
        return _sums(path, 0, tell).hex() == entry.etag
    parts = _PARTS.fullmatch(entry.etag)
    if parts is None:
        return False
    with translated("look at the object", f"s3://{bucket}/{entry.key}"):
        first = aws.client("s3").head_object(Bucket=bucket, Key=entry.key, PartNumber=1)
    size = int(first["ContentLength"])
    return size > 0 and f"{hashlib.md5(_sums(path, size, tell), usedforsecurity=False).hexdigest()}-{parts[1]}" == entry.etag


def _sums(path: str, part: int, tell: Optional[Callable[[int], None]]) -> bytes:
    """The MD5 sums of a file's parts, one after the other; of the whole file for parts of no size."""
    try:
        return _read_sums(path, part, tell or _nobody)
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=path, remedy="make it readable, or remove it") from error


def _nobody(_count: int) -> None:
    """Tell nobody."""


def _read_sums(path: str, part: int, tell: Callable[[int], None]) -> bytes:
    sums: List[bytes] = []
    with open(path, "rb") as file:
        while True:
            found = hashlib.md5(usedforsecurity=False)
            left, read = part, 0
            while not part or left:
                data = file.read(min(1 << 20, left) if part else 1 << 20)
                if not data:
                    break
                found.update(data)
                read += len(data)
                left -= len(data)
                tell(len(data))
            if read or not part:
                sums.append(found.digest())
            if not read or not part:
                return b"".join(sums)
