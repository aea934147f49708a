"""What S3, or the host's disk, has against a transfer: in words, with a remedy, and whether it may pass by itself; pure."""

from __future__ import annotations

import errno
from typing import Any, Optional, Tuple

_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_THE_DISK = (*_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENOENT)
# Errors of botocore that have no answer of S3 in them, and come again however often one tries.
_LASTING = (
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "NoRegionError", "ParamValidationError",
    "InvalidEndpointDiscoveryConfigurationError", "UnauthorizedSSOTokenError", "SSOTokenLoadError", "ProfileNotFound",
)  # fmt: skip
_BUSY = (408, 429)
ROOM = "a larger volume: volume_size=GIGABYTES in --sm-estimator-parameters, or free space on this machine"
_ACCESS = "give the job's role s3:ListBucket on the bucket, and s3:GetObject or s3:PutObject on what is below the address"
_OTHER = "check the address, the role's permissions and the network"


class NotWhole(Exception):
    """What has come is not what S3 has."""


def cause_of(error: BaseException) -> BaseException:
    """The error that the transfers of boto3 have wrapped in one that says less."""
    last = getattr(error, "last_exception", None)
    if isinstance(last, BaseException):
        return cause_of(last)
    inner = error.__cause__ or error.__context__
    if type(error).__name__.startswith("S3") and inner is not None:
        return cause_of(inner)
    return error


def may_pass(error: BaseException) -> bool:
    """Whether the same may go well in a moment: not where access is denied, nothing is there, or the disk is full."""
    error = cause_of(error)
    status = _status(error)
    if status is not None:
        return status >= 500 or status in _BUSY
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return False
    return type(error).__name__ not in _LASTING


def in_words(error: BaseException, doing: str) -> Tuple[str, str]:
    """What is wrong, and a remedy.

    Args:
        error: the error.
        doing: such as "cannot be downloaded".
    """
    error = cause_of(error)
    if isinstance(error, NotWhole):
        return str(error), "wait until it has been uploaded, or upload it again, and start the job again"
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"{doing}: no space is left on the disk ({error.filename or error.strerror})", ROOM
    remedy = {403: _ACCESS, 404: "check the address"}.get(_status(error) or 0, _OTHER)
    return f"{doing}: {error}", remedy


def _status(error: BaseException) -> Optional[int]:
    """Of the answer of S3; None where there was none."""
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict):
        return None
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None
