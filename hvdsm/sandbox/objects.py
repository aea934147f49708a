"""S3 of the sandbox for the hosts of its own jobs: read and written in this process, past the network and its faults."""

from __future__ import annotations

import os
import tarfile
import tempfile
import threading
from io import BytesIO
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from hvdsm.backends.local.data import split_s3
from hvdsm.backends.local.manifest import read_manifest
from hvdsm.errors import ConfigError
from hvdsm.sandbox.wire import Answer, Request

Handle = Callable[[Request], Answer]
# Who the sandbox itself is in its own requests.
OWN_KEY = "HOSTS"


class Objects:
    """Reads and writes objects.

    Args:
        handle: answers requests of S3.
        region: the sandbox's region.
    """

    def __init__(self, handle: Handle, region: str) -> None:
        self._handle = handle
        self._region = region
        self._lock = threading.Lock()
        self._made: Any = None

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = own_client("s3", self._handle, self._region)
            return self._made

    def exists(self, uri: str) -> bool:
        """Whether there is any object of such a prefix."""
        return next(self._listed(uri), None) is not None

    def fetch(self, uri: str, root: str) -> int:
        """Copy all objects of a prefix to ``root/bucket/key``; their number.

        Raises:
            ConfigError: a key cannot be a path.
        """
        count = 0
        for key, size in self._listed(uri):
            if key.endswith("/") and not size:
                # What consoles make to show a folder.
                continue
            self._fetch(split_s3(uri)[0], key, root)
            count += 1
        return count

    def fetch_manifest(self, uri: str, root: str) -> int:
        """Copy a manifest, and what it names.

        Raises:
            ConfigError: it cannot be read, or what it names is not there.
        """
        bucket, key = split_s3(uri)
        if not self.exists(uri):
            return 0
        entries = read_manifest(self._fetch(bucket, key, root), uri)
        for _, address in entries:
            self._fetch(*split_s3(address), root)
        return 1 + len(entries)

    def fetch_one(self, bucket: str, key: str, root: str) -> int:
        """Copy one object to ``root/bucket/key``; 0 where it only shows a folder.

        Raises:
            ConfigError: its key cannot be a path.
        """
        if key.endswith("/"):
            return 0
        self._fetch(bucket, key, root)
        return 1

    def all(self) -> Iterator[Tuple[str, str, str]]:
        """Bucket, key and entity tag of every object."""
        for bucket in self._client.list_buckets()["Buckets"]:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
                for entry in page.get("Contents") or ():
                    yield bucket["Name"], entry["Key"], entry["ETag"]

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket that is not there."""
        if bucket not in [entry["Name"] for entry in self._client.list_buckets()["Buckets"]]:
            place = {} if self._region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
            self._client.create_bucket(Bucket=bucket, **place)

    def _fetch(self, bucket: str, key: str, root: str) -> str:
        if any(part in ("", os.curdir, os.pardir) for part in key.split("/")):
            raise ConfigError("a part of the key cannot be the name of a file", where=f"s3://{bucket}/{key}")
        path = os.path.join(root, bucket, key)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._client.download_file(bucket, key, path)
        except OSError as error:
            raise ConfigError(f"cannot be a file: {error.strerror}", where=f"s3://{bucket}/{key}") from None
        return path

    def _listed(self, uri: str) -> Iterator[Tuple[str, int]]:
        from botocore.exceptions import ClientError

        bucket, prefix = split_s3(uri)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        try:
            for page in pages:
                for entry in page.get("Contents") or ():
                    yield entry["Key"], entry["Size"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise

    def put_file(self, path: str, uri: str) -> None:
        """Write a file to an object."""
        self._client.upload_file(path, *split_s3(uri))

    def put_archive(self, trees: Mapping[str, Optional[str]], uri: str) -> None:
        """Write directories as one tar.gz.

        Args:
            trees: directories, whose contents are at the root of the archive.
            uri: ``s3://`` address of the archive.
        """
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar:
                for name, path in sorted(gathered(trees).items()):
                    tar.add(path, name, recursive=False)
            file.seek(0)
            bucket, key = split_s3(uri)
            self._client.upload_fileobj(file, bucket, key)


def gathered(trees: Mapping[str, Optional[str]]) -> Dict[str, str]:
    """Names and paths of everything below some directories; of two of the same name the first one's."""
    found: Dict[str, str] = {}
    for tree in trees:
        for parent, directories, files in os.walk(tree):
            for name in (*directories, *files):
                path = os.path.join(parent, name)
                found.setdefault(os.path.relpath(path, tree), path)
    return found


class Mirror:
    """Keeps a prefix as a directory is: what is new or has changed is written, when :meth:`up` is called."""

    def __init__(self, objects: Objects, directory: str, uri: str) -> None:
        self._objects = objects
        self._directory = directory
        self._uri = uri.rstrip("/")
        self._known: Dict[str, Tuple[int, int]] = {}
        self._lock = threading.Lock()

    def mark(self) -> None:
        """What is there now is in S3 already."""
        with self._lock:
            self._known = dict(self._files())

    def up(self) -> int:
        """Write what has changed; the number of files."""
        with self._lock:
            changed = [(name, state) for name, state in self._files() if self._known.get(name) != state]
            count = 0
            for name, state in changed:
                try:
                    self._objects.put_file(os.path.join(self._directory, name), f"{self._uri}/{name}")
                except FileNotFoundError:
                    # Renamed since: its new name comes with the next call.
                    continue
                self._known[name] = state
                count += 1
            return count

    def _files(self) -> List[Tuple[str, Tuple[int, int]]]:
        found = []
        for name, path in gathered({self._directory: None}).items():
            try:
                state = os.stat(path)
            except FileNotFoundError:
                continue
            if os.path.isfile(path):
                found.append((name, (state.st_mtime_ns, state.st_size)))
        return found


class _Raw(BytesIO):
    """The content of an answer, as urllib3 gives it."""

    def stream(self, size: int = 1 << 16, **_: Any) -> Iterator[bytes]:
        """The content in pieces."""
        while True:
            piece = self.read(size)
            if not piece:
                return
            yield piece


def own_client(service: str, handle: Handle, region: str) -> Any:
    """A client of boto3 whose requests do not leave this process.

    Args:
        service: such as ``s3``.
        handle: answers its requests.
        region: region that they are signed for.
    """
    import boto3
    import botocore.session
    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders
    from botocore.config import Config

    # Nothing is taken from the AWS configuration of whoever runs the sandbox.
    nothing = (None, None, os.devnull, None)
    own = {"profile": (None, None, None, None), "config_file": nothing, "credentials_file": nothing}
    session: Any = boto3.session.Session(botocore_session=botocore.session.Session(session_vars=own))
    client = session.client(
        service,
        region_name=region,
        endpoint_url="http://127.0.0.1",
        aws_access_key_id=OWN_KEY,
        aws_secret_access_key="unused",  # noqa: S106 - no signature is checked
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )

    def send(request: Any, **_: Any) -> Any:
        headers = [(name, _text(value)) for name, value in request.headers.items()]
        body = request.body or b""
        content = body.read() if hasattr(body, "read") else body.encode() if isinstance(body, str) else bytes(body)
        target = request.url.partition("://")[2].partition("/")
        asked = Request(
            request.method, f"/{target[2]}", {n.lower(): v for n, v in headers}, content, [*headers, ("Host", target[0])]
        )
        answer = handle(asked)
        return AWSResponse(request.url, answer.status, HTTPHeaders.from_pairs(answer.headers), _Raw(answer.body))

    client.meta.events.register(f"before-send.{client.meta.service_model.service_id.hyphenize()}", send)
    return client


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
