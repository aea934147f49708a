"""Objects of S3 to files and back: many at a time, with progress; what is not as S3 has it is fetched again, then refused."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from .failures import JobError
from .refusals import ROOM, NotWhole, in_words, may_pass

THREADS = 16
# Seconds between two lines of progress; tries of one object; seconds before the second try, four times as many before the third.
PAUSE, TRIES, DELAY = 5.0, 3, 1.0
Say = Callable[[str], None]
Move = Callable[["Item", Callable[[int], None]], None]
_DIGEST, _MD5 = "md5", re.compile(r"[0-9a-f]{32}")


def split_s3(uri: str) -> Tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``, the key without slashes at its end.

    >>> split_s3("s3://b/x/y/")
    ('b', 'x/y')
    """
    bucket, _, key = uri[len("s3://") :].partition("/")
    return bucket, key.rstrip("/")


@dataclass(frozen=True)
class Item:
    """An object and its file.  ``size`` is that of the object, or of the file that becomes one."""

    bucket: str
    key: str
    path: str
    size: int

    @property
    def uri(self) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{self.key}"


class Abandoned(Exception):
    """Another transfer has failed, so that this one does not go on."""


class Store:
    """S3.

    Args:
        client: of boto3; made when it is first needed by default.
        say: is told of progress.
        threads: how many objects at a time.
        delay: seconds before an object is tried again.
    """

    def __init__(self, say: Say, client: Any = None, threads: int = THREADS, delay: float = DELAY) -> None:
        self._say = say
        self._made = client
        self._threads = threads
        self._delay = delay
        self._lock = threading.Lock()
        self._tags: Dict[Tuple[str, str], str] = {}

    @property
    def client(self) -> Any:
        """The client, which threads may share."""
        with self._lock:
            if self._made is None:
                try:
                    import boto3
                    from botocore.config import Config
                except ImportError:
                    raise JobError("boto3 is missing", "the image", "pip install boto3 in its Dockerfile") from None
                config = Config(
                    connect_timeout=10,
                    read_timeout=60,
                    max_pool_connections=2 * self._threads,
                    retries={"max_attempts": 4, "mode": "standard"},
                )
                self._made = boto3.session.Session().client("s3", config=config)
            return self._made

    def listing(self, uri: str) -> Dict[str, int]:
        """Sizes of all objects below an address, by their names below it.

        Raises:
            JobError: S3 refuses.
        """
        bucket, key = split_s3(uri)
        prefix = f"{key}/" if key else ""
        found: Dict[str, int] = {}
        try:
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    if not entry["Key"].endswith("/"):
                        found[entry["Key"][len(prefix) :]] = int(entry["Size"])
                        self._tags[bucket, entry["Key"]] = str(entry.get("ETag", "")).strip('"')
        except Exception as error:
            raise _refused(uri, "cannot be listed", error) from error
        return found

    def download(self, uri: str, names: Iterable[Tuple[str, str]], sizes: Mapping[str, int], directory: str) -> None:
        """Fetch objects into a directory; each is there whole or not at all.

        Args:
            uri: the address above them.
            names: names below it, and below the directory.
            sizes: their sizes by names below the address.
            directory: where they go.

        Raises:
            JobError: one cannot be fetched whole, or there is no room for all.
        """
        bucket, key = split_s3(uri)
        prefix = f"{key}/" if key else ""
        items = []
        for name, target in names:
            path = os.path.join(directory, *target.split("/"))
            if os.pardir in target.split("/"):
                raise JobError("would lie outside of the graph's directory", f"{uri}/{name}", "rename the object")
            items.append(Item(bucket, prefix + name, path, sizes[name]))
        os.makedirs(directory, exist_ok=True)
        needed, free = sum(item.size for item in items), shutil.disk_usage(directory).free
        if needed > free:
            raise JobError(f"has {needed:,} bytes for this host, and {free:,} are free at {directory}", uri, ROOM)
        self._all(items, self._fetch, "downloaded", f"from {uri}")

    def upload(self, directory: str, uri: str) -> int:
        """Bring all files of a directory to an address; how many there were.

        If one cannot be brought, those that had been are removed, except where something was before.

        Raises:
            JobError: one cannot be brought.
        """
        bucket, key = split_s3(uri)
        items = []
        for folder, _, files in os.walk(directory):
            for name in files:
                path = os.path.join(folder, name)
                below = os.path.relpath(path, directory).replace(os.sep, "/")
                items.append(Item(bucket, f"{key}/{below}" if key else below, path, os.path.getsize(path)))
        brought: List[Item] = []

        def bring(item: Item, tell: Callable[[int], None]) -> None:
            # Before it is there: one that fails by its size is there all the same.
            brought.append(item)
            self._bring(item, tell)

        before = self._there(items, uri)
        try:
            self._all(items, bring, "uploaded", f"to {uri}")
        except BaseException:
            self._remove([item for item in brought if item.key not in before], uri)
            raise
        return len(items)

    def _there(self, items: Sequence[Item], uri: str) -> Set[str]:
        """Which of the objects are there already; all, so that none is removed, where that may not be asked."""
        _, key = split_s3(uri)
        try:
            return {f"{key}/{name}" if key else name for name in self.listing(uri)}
        except JobError:
            return {item.key for item in items}

    def _remove(self, items: Sequence[Item], uri: str) -> None:
        gone = 0
        for item in items:
            try:
                self.client.delete_object(Bucket=item.bucket, Key=item.key)
                gone += 1
            except Exception as error:
                self._say(f"warning: {item.uri} stays there: {error}")
        if gone:
            self._say(f"{gone} files that had been uploaded to {uri} are removed again")

    def _all(self, items: Sequence[Item], move: Move, done: str, where: str) -> None:
        total = sum(item.size for item in items)
        moved: Dict[Item, int] = {}
        begun = said = time.monotonic()
        ended = threading.Event()

        def one(item: Item) -> None:
            self._tried(item, move, done, moved, ended)

        with ThreadPoolExecutor(self._threads) as pool:
            # The largest first: none is left to the end alone.
            left: Set[Any] = {pool.submit(one, item) for item in sorted(items, key=lambda item: -item.size)}
            try:
                while left:
                    over, left = wait(left, timeout=PAUSE, return_when=FIRST_COMPLETED)
                    for future in over:
                        future.result()
                    if time.monotonic() - said >= PAUSE and left:
                        said = time.monotonic()
                        come = f"{sum(list(moved.values())):,} of {total:,} bytes"
                        self._say(f"{len(items) - len(left)} of {len(items)} files, {come} {done} {where}")
            except BaseException:
                ended.set()
                for future in left:
                    future.cancel()
                raise
        seconds = time.monotonic() - begun
        self._say(f"{len(items)} files, {total:,} bytes {done} {where} in {seconds:.1f} s")

    def _tried(self, item: Item, move: Move, done: str, moved: Dict[Item, int], ended: threading.Event) -> None:
        """Move an object, again after a while if what went wrong may pass."""
        lock = threading.Lock()

        def tell(count: int) -> None:
            if ended.is_set():
                raise Abandoned
            with lock:
                moved[item] = moved.get(item, 0) + count

        for number in range(1, TRIES + 1):
            moved[item] = 0
            try:
                move(item, tell)
                moved[item] = item.size
                return
            except JobError:
                raise
            except Exception as error:
                lasting = not may_pass(error)
                if lasting or number == TRIES or ended.is_set():
                    raise _refused(item.uri, f"cannot be {done}", error, "" if lasting else f", {number} times") from error
                pause = self._delay * 4 ** (number - 1)
                self._say(f"{item.uri} {in_words(error, f'cannot be {done}')[0]}; again in {pause:g} s")
            ended.wait(pause)

    def _fetch(self, item: Item, tell: Callable[[int], None]) -> None:
        os.makedirs(os.path.dirname(item.path), exist_ok=True)
        partial = f"{item.path}.part"
        try:
            self.client.download_file(item.bucket, item.key, partial, Callback=tell)
            self._check(item, partial)
            os.replace(partial, item.path)
        finally:
            if os.path.exists(partial):
                os.unlink(partial)

    def _check(self, item: Item, path: str) -> None:
        """Whether a file is the object that was listed.

        Raises:
            NotWhole: it is not.
        """
        size = os.path.getsize(path)
        if size != item.size:
            raise NotWhole(f"has {item.size:,} bytes, and {size:,} came")
        tag = self._tags.get((item.bucket, item.key), "")
        # Of an object that came in parts, or lies in a directory bucket, the ETag is no digest of it.
        if _MD5.fullmatch(tag) is None or item.bucket.endswith("--x-s3"):
            return
        found = _md5(path)
        if found is not None and found != tag:
            head = self.client.head_object(Bucket=item.bucket, Key=item.key)
            if not str(head.get("ServerSideEncryption", "")).startswith("aws:kms") and "SSECustomerAlgorithm" not in head:
                raise NotWhole(f"has the ETag {tag}, and what came has {found}")

    def _bring(self, item: Item, tell: Callable[[int], None]) -> None:
        self.client.upload_file(item.path, item.bucket, item.key, Callback=tell)
        size = int(self.client.head_object(Bucket=item.bucket, Key=item.key)["ContentLength"])
        if size != item.size:
            raise NotWhole(f"has {size:,} bytes, and {item.path} {item.size:,}")


def _md5(path: str) -> Optional[str]:
    """None where it is not allowed."""
    try:
        digest = hashlib.new(_DIGEST)
    except ValueError:
        return None
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def _refused(uri: str, doing: str, error: Exception, often: str = "") -> JobError:
    if isinstance(error, JobError):
        return error
    what, remedy = in_words(error, doing)
    return JobError(what + often, uri, remedy)
