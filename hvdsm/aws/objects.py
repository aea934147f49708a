"""Single objects of S3, and the account's own bucket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional, Tuple

from hvdsm.aws.failures import AwsRefused, code_of, status_of, translated
from hvdsm.aws.session import Aws, identity
from hvdsm.errors import ConfigError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# Bytes of a key at most.
_LONGEST_KEY = 1024


@dataclass(frozen=True)
class Object:
    """An object of a bucket; ``size`` in bytes, ``etag`` without quotes."""

    key: str
    size: int
    etag: str


def split_uri(uri: str) -> Tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``; the key may be empty.

    Raises:
        ConfigError: it is no such address.

    >>> split_uri("s3://bucket/a/b.txt")
    ('bucket', 'a/b.txt')
    """
    scheme, separator, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme.lower() != "s3" or not separator or not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"{uri!r} is no address of S3", remedy="write it as s3://BUCKET/KEY")
    return bucket, key


def check_key(key: str, path: str) -> None:
    """Check the key that a file is to be written to, or to come from.

    Raises:
        ConfigError: it is empty, a folder's, or too long.
    """
    if not key or key.endswith("/"):
        raise ConfigError("names no object", where=f"address for {path}", remedy="s3://BUCKET/KEY")
    if len(key.encode("utf-8", "surrogatepass")) > _LONGEST_KEY:
        raise ConfigError(f"its key is longer than {_LONGEST_KEY} bytes", where=path, remedy="shorten the path or the prefix")


def encryption(kms: Optional[str]) -> Dict[str, str]:
    """The arguments of a write that encrypt by a KMS key; none leave it to the bucket."""
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms} if kms else {}


def put_bytes(aws: Aws, data: bytes, uri: str, kms: Optional[str] = None) -> None:
    """Write bytes to an object.

    Raises:
        ConfigError: S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    bucket, key = split_uri(uri)
    check_key(key, uri)
    with translated(f"upload {len(data)} bytes", uri):
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=data, **encryption(kms))


def read_bytes(aws: Aws, uri: str, limit: int) -> bytes:
    """An object's content.

    Raises:
        ConfigError: it is larger than ``limit`` bytes, not there, or S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    bucket, key = split_uri(uri)
    with translated("read the object", uri):
        answer = aws.client("s3").get_object(Bucket=bucket, Key=key)
        with answer["Body"] as body:
            size = int(answer["ContentLength"])
            if size > limit:
                raise ConfigError(f"has {size} bytes, more than {limit}", where=uri, remedy=f"hvdsm data download {uri} FILE")
            return bytes(body.read())


def list_objects(aws: Aws, uri: str, limit: Optional[int] = None, *, page_size: int = 1000) -> Iterator[Object]:
    """Objects whose keys begin so, in the order of their keys.

    Args:
        aws: the session.
        uri: ``s3://bucket/prefix``.
        limit: at most so many.
        page_size: objects to ask for at a time; S3 gives 1000 at most.

    Raises:
        ConfigError: S3 refuses, or there is no such bucket.
        CloudUnavailable: S3 cannot be reached.
    """
    bucket, prefix = split_uri(uri)
    asked: Dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    found = 0
    while limit is None or found < limit:
        asked["MaxKeys"] = page_size if limit is None else min(page_size, limit - found)
        with translated("list the objects", uri):
            page = aws.client("s3").list_objects_v2(**asked)
        for entry in page.get("Contents") or ():
            yield Object(str(entry["Key"]), int(entry["Size"]), str(entry.get("ETag", "")).strip('"'))
            found += 1
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def find_object(aws: Aws, uri: str) -> Optional[Object]:
    """The object of exactly this address, or None.

    Raises:
        ConfigError: S3 refuses.
        CloudUnavailable: S3 cannot be reached.
    """
    bucket, key = split_uri(uri)
    if not key or key.endswith("/"):
        return None
    with translated("look for the object", uri):
        try:
            answer = aws.client("s3").head_object(Bucket=bucket, Key=key)
        except Exception as error:
            if status_of(error) == 404:
                return None
            raise
    return Object(key, int(answer["ContentLength"]), str(answer.get("ETag", "")).strip('"'))


def default_bucket(aws: Aws, create: bool = False) -> str:
    """The account's bucket for SageMaker in this region, ``sagemaker-REGION-ACCOUNT``.

    Args:
        aws: the session.
        create: whether to make it, private and encrypted, if it is missing; otherwise only its name is told.

    Raises:
        CloudRefused: the bucket belongs to another account, or may not be made.
        CloudUnavailable: AWS cannot be used.
    """
    account = identity(aws).account
    name = f"sagemaker-{aws.region}-{account}"
    if not create:
        return name
    client = aws.client("s3")
    with translated("look for the account's bucket", f"s3://{name}"):
        try:
            client.head_bucket(Bucket=name, ExpectedBucketOwner=account)
            return name
        except Exception as error:
            if status_of(error) == 403:
                raise AwsRefused(
                    "the bucket belongs to another account, or these credentials may not use it (s3:ListBucket)",
                    where=f"s3://{name}",
                    remedy="name a bucket of your own: --s3-prefix s3://BUCKET/PREFIX",
                ) from error
            if status_of(error) != 404:
                raise
    _create_bucket(client, name, account, aws.region)
    return name


def _create_bucket(client: Any, name: str, account: str, region: str) -> None:
    # In us-east-1 the location must not be named.
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with translated("create the account's bucket", f"s3://{name}"):
        try:
            client.create_bucket(Bucket=name, **place)
        except Exception as error:
            # Somebody of the same account was quicker.
            if code_of(error) != "BucketAlreadyOwnedByYou":
                raise
    with translated("protect the bucket, which has been created,", f"s3://{name}"):
        client.put_public_access_block(
            Bucket=name,
            ExpectedBucketOwner=account,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        client.put_bucket_encryption(
            Bucket=name,
            ExpectedBucketOwner=account,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
        )
