"""Reads objects of S3 with the standard library; what boto3 or the aws command does where there is one."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
from datetime import datetime, timezone
from html import unescape
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple, TypeVar
from urllib.parse import quote, unquote_plus, urlsplit

from hvdsm.container.signed import (
    credentials_of,
    domain_suffix,
    encoded_query,
    open_url,
    region_of,
    signed_headers,
)
from hvdsm.errors import ConfigError

ATTEMPTS = 6
FIRST_PAUSE = 0.25
# S3's names of what passes by itself.
_PASSING = ("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted")
_T = TypeVar("_T")
Progress = Callable[[int, Optional[int]], None]


class Missing(Exception):
    """There is no object of this key."""


def endpoint_of(environ: Mapping[str, str]) -> Optional[str]:
    """The address that stands for S3, when one is named; buckets are the first part of its paths."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"):
        if environ.get(name):
            return environ[name].rstrip("/")
    return None


def object_url(bucket: str, key: str, region: str, endpoint: Optional[str] = None, query: Sequence[Tuple[str, str]] = ()) -> str:
    """The address of an object, or of a bucket where ``key`` is empty.

    The bucket is a part of the host's name, as S3 wants it, unless its own name has dots, which no certificate covers.
    """
    path = "/" + quote(key, safe="/-_.~")
    if endpoint is not None:
        base, path = endpoint, f"/{bucket}{path}"
    elif "." in bucket:
        base, path = f"https://s3.{region}.{domain_suffix(region)}", f"/{bucket}{path}"
    else:
        base = f"https://{bucket}.s3.{region}.{domain_suffix(region)}"
    return base + path + ("?" + encoded_query(query) if query else "")


class SignedStore:
    """S3 by signed requests."""

    title = "a signed request"

    def __init__(
        self,
        environ: Mapping[str, str],
        region: Optional[str],
        say: Callable[[str], None],
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environ = environ
        self._endpoint = endpoint_of(environ)
        self._region = region_of(environ, region) or "us-east-1"
        self._say = say
        self._wait = wait
        self._credentials = credentials_of(environ)

    def get(self, bucket: str, key: str, path: str, progress: Progress) -> None:
        """Write an object to a file.

        Raises:
            Missing: there is none of this key.
            ConfigError: S3 refuses, cannot be reached, or the file cannot be written.
        """

        def read(response: Any) -> None:
            length = response.headers.get("Content-Length")
            total, done = int(length) if length else None, 0
            with _Writing(path) as file:
                while True:
                    data = response.read(1 << 20)
                    if not data:
                        break
                    file.write(data)
                    done += len(data)
                    progress(done, total)
            if total is not None and done != total:
                raise ConnectionError(f"the connection ended after {done} of {total} bytes")

        self._ask(bucket, key, (), read)

    def keys(self, bucket: str, prefix: str) -> List[str]:
        """All keys that begin so.

        Raises:
            ConfigError: S3 refuses, or cannot be reached.
        """
        found: List[str] = []
        token = ""
        while True:
            query = [("list-type", "2"), ("prefix", prefix), ("encoding-type", "url")] + (
                [("continuation-token", token)] if token else []
            )
            text = self._ask(bucket, "", query, lambda response: str(response.read(), "utf-8"))
            found += [unquote_plus(unescape(key)) for key in re.findall(r"<Contents>.*?<Key>(.*?)</Key>", text, re.DOTALL)]
            more = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", text)
            if more is None:
                return found
            token = unescape(more[1])

    def _ask(self, bucket: str, key: str, query: Sequence[Tuple[str, str]], read: Callable[[Any], _T]) -> _T:
        where = f"s3://{bucket}/{key}"
        redirected: Optional[str] = None
        reason = ""
        for attempt in range(ATTEMPTS):
            url = redirected or object_url(bucket, key, self._region, self._endpoint, query)
            headers = signed_headers("GET", url, self._credentials, self._region, "s3", datetime.now(timezone.utc))
            try:
                with open_url(self._environ, url, headers) as answer:
                    return read(answer)
            except urllib.error.HTTPError as error:
                code, message, region = _said(error)
                reason = f"HTTP {error.code} {code}".rstrip() + (f": {message}" if message else "")
                if region and region != self._region and error.code in (301, 307, 400):
                    self._region = region
                    continue
                if error.code in (302, 307) and error.headers.get("Location"):
                    redirected = error.headers["Location"]
                    continue
                if error.code == 404 and code != "NoSuchBucket":
                    raise Missing(where) from None
                if error.code < 500 and error.code != 429 and code not in _PASSING:
                    raise refused(where, code if error.code == 404 else str(error.code), reason) from None
            except (OSError, http.client.HTTPException) as error:
                reason = str(getattr(error, "reason", "") or error or type(error).__name__)
            if attempt + 1 < ATTEMPTS:
                pause = FIRST_PAUSE * 2**attempt
                self._say(f"{where}: {reason}; trying again in {pause:g} s")
                self._wait(pause)
        raise unreachable(where, reason, urlsplit(url).netloc)


class _Writing:
    """A file whose own errors are no reason to ask S3 again."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> _Writing:
        try:
            self._file = open(self._path, "wb")
        except OSError as error:
            raise ConfigError(error.strerror or str(error), where=self._path) from None
        return self

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise ConfigError(error.strerror or str(error), where=self._path, remedy="make room on the disk") from None

    def __exit__(self, *_error: object) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise ConfigError(error.strerror or str(error), where=self._path, remedy="make room on the disk") from None


def _said(error: urllib.error.HTTPError) -> Tuple[str, str, Optional[str]]:
    """S3's code and message, and the bucket's region when the request went to another one."""
    try:
        text = error.read(1 << 16).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    code, message, region = (re.search(f"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message", "Region"))
    named = error.headers.get("x-amz-bucket-region") or (region[1] if region else None)
    return code[1] if code else "", message[1] if message else "", named


def unreachable(where: str, reason: str, server: str = "S3") -> ConfigError:
    """The error for a server that gives no answer, or none that can be used."""
    return ConfigError(
        f"cannot be had: {reason}",
        where=where,
        remedy=f"check the network's way to {server} (in a VPC without internet: an S3 gateway endpoint)",
    )


def refused(where: str, code: str, reason: str) -> ConfigError:
    """The error for what S3 refuses.

    Args:
        where: address of the object.
        code: HTTP status, or S3's own name of the reason.
        reason: what S3 said.
    """
    if code in ("401", "403", "AccessDenied", "Forbidden"):
        remedy = "give the job's execution role s3:GetObject on it; without s3:ListBucket a missing object reads like this too"
        if re.search("Signature|InvalidAccessKeyId|ExpiredToken|TimeTooSkewed", reason):
            remedy = f"check the credentials and this host's clock, or {remedy}"
        return ConfigError(f"the role may not read it: {reason}", where=where, remedy=remedy)
    return ConfigError(
        f"S3 refuses: {reason}", where=where, remedy="check the bucket's name, the region, and sagemaker_submit_directory"
    )
