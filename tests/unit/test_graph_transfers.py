"""What graph jobs bring from S3 and to it: whole or not at all, again where that helps, and nothing of a failed upload."""

from __future__ import annotations

import errno
import hashlib
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Set, Tuple

import pytest

from hvdsm.graphjob import transfers
from hvdsm.graphjob.failures import JobError
from hvdsm.graphjob.refusals import cause_of, may_pass
from hvdsm.graphjob.transfers import Store

Body = Dict[str, bytes]


class Answer(Exception):
    """As botocore's ClientError: an answer of S3."""

    def __init__(self, status: int, text: str = "refused") -> None:
        super().__init__(text)
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class NoCredentialsError(Exception):
    """Of botocore, by its name."""


class S3:
    """Objects in a dictionary; ``trouble`` of a key is raised, one at a time, before it is moved."""

    def __init__(self, objects: Body, trouble: Dict[str, List[Any]] | None = None, head: Dict[str, str] | None = None) -> None:
        self.objects = objects
        self.trouble = trouble or {}
        self.head = head or {}
        self.tags: Dict[str, str] = {}
        self.moved: List[str] = []
        self.deleted: Set[str] = set()

    def get_paginator(self, _: str) -> S3:
        return self

    def paginate(self, Bucket: str, Prefix: str) -> List[Any]:
        del Bucket
        self._stumble("listing")
        known = {key: self.tags.get(key, hashlib.md5(body).hexdigest()) for key, body in self.objects.items()}
        found = [{"Key": key, "Size": len(self.objects[key]), "ETag": f'"{tag}"'} for key, tag in known.items()]
        return [{"Contents": [entry for entry in found if str(entry["Key"]).startswith(Prefix)]}]

    def download_file(self, bucket: str, key: str, path: str, Callback: Callable[[int], None]) -> None:
        del bucket
        body = self._stumble(key) or self.objects[key]
        Path(path).write_bytes(body)
        Callback(len(body))

    def upload_file(self, path: str, bucket: str, key: str, Callback: Callable[[int], None]) -> None:
        del bucket
        self._stumble(key)
        self.objects[key] = Path(path).read_bytes()
        Callback(len(self.objects[key]))

    def head_object(self, Bucket: str, Key: str) -> Dict[str, Any]:
        del Bucket
        return {"ContentLength": len(self.objects[Key]), **self.head}

    def delete_object(self, Bucket: str, Key: str) -> None:
        del Bucket
        del self.objects[Key]
        self.deleted.add(Key)

    def _stumble(self, key: str) -> Any:
        self.moved.append(key)
        left = self.trouble.get(key)
        if not left:
            return None
        what = left.pop(0)
        if isinstance(what, Exception):
            raise what
        return what


def download(s3: S3, directory: Path, sizes: Dict[str, int] | None = None) -> List[str]:
    said: List[str] = []
    store = Store(said.append, s3, delay=0)
    found = store.listing("s3://b/g")
    store.download("s3://b/g", [(name, name) for name in found], sizes or found, str(directory))
    return said


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    s3 = S3({"g/a": b"abc"}, {"g/a": [Answer(503), b"ab"]})
    said = download(s3, tmp_path)
    assert (tmp_path / "a").read_bytes() == b"abc"
    assert said[:2] == [
        "s3://b/g/a cannot be downloaded: refused; again in 0 s", "s3://b/g/a has 3 bytes, and 2 came; again in 0 s",
    ]  # fmt: skip


def test_pauses_become_longer(tmp_path: Path) -> None:
    s3 = S3({"g/a": b"abc"}, {"g/a": [Answer(500), Answer(500)]})
    said: List[str] = []
    store = Store(said.append, s3, delay=0.01)
    store.download("s3://b/g", [("a", "a")], store.listing("s3://b/g"), str(tmp_path))
    assert [line.rpartition("again in ")[2] for line in said[:2]] == ["0.01 s", "0.04 s"]


@pytest.mark.parametrize(
    ("trouble", "message", "tries"),
    [
        ([Answer(403)] * 9, r"s3://b/g/a: cannot be downloaded: refused\n  try: give the job's role s3:ListBucket", 1),
        ([Answer(404)] * 9, r"refused\n  try: check the address", 1),
        ([NoCredentialsError("none")] * 9, r"none\n", 1),
        (
            [OSError(errno.ENOSPC, "No space left on device", "/x")] * 9,
            r"no space is left on the disk \(/x\)\n  try: a larger",
            1,
        ),
        ([Answer(503)] * 9, r"refused, 3 times\n", 3),
        ([ConnectionResetError("reset")] * 9, r"reset, 3 times\n", 3),
        ([b"abcd"] * 9, r"has 3 bytes, and 4 came, 3 times\n  try: wait until it has been uploaded", 3),
        (
            [b"xyz"] * 9,
            r"has the ETag 900150983cd24fb0d6963f7d28e17f72, and what came has d16fb36f0911f878998c136191af705e, 3 ",
            3,
        ),
    ],
)
def test_an_object_that_cannot_be_had(tmp_path: Path, trouble: List[Any], message: str, tries: int) -> None:
    s3 = S3({"g/a": b"abc"}, {"g/a": list(trouble)})
    with pytest.raises(JobError, match=message):
        download(s3, tmp_path)
    assert s3.moved.count("g/a") == tries
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bucket", "tag", "head"),
    [
        ("b", "0" * 32, {"ServerSideEncryption": "aws:kms"}),
        ("b", "0" * 32, {"SSECustomerAlgorithm": "AES256"}),
        ("b", "0" * 32 + "-3", {}),
        ("b--use1-az4--x-s3", "0" * 32, {}),
    ],
)
def test_an_etag_that_is_no_digest_is_not_compared(tmp_path: Path, bucket: str, tag: str, head: Dict[str, str]) -> None:
    s3 = S3({"g/a": b"abc"}, head=head)
    s3.tags["g/a"] = tag
    store = Store(lambda _: None, s3)
    store.download(f"s3://{bucket}/g", [("a", "a")], store.listing(f"s3://{bucket}/g"), str(tmp_path))
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_a_disk_without_room_is_not_filled(tmp_path: Path) -> None:
    s3 = S3({"g/a": b"abc", "g/b": b"b"})
    with pytest.raises(JobError, match=r"s3://b/g: has 1,000,000,000,000,000,001 bytes for this host, and [0-9,]+ are free at "):
        download(s3, tmp_path, {"a": 10**18, "b": 1})
    assert s3.moved == ["listing"]


def test_after_one_failure_the_others_are_given_up(tmp_path: Path) -> None:
    begun = threading.Event()

    class Slow(S3):
        def download_file(self, bucket: str, key: str, path: str, Callback: Callable[[int], None]) -> None:
            if key == "g/a":
                begun.wait(20)
                raise Answer(403)
            begun.set()
            # It ends by what it is told, or else not before the test's time limit.
            for _ in iter(lambda: threading.Event().wait(0.01), None):
                Callback(1)

    s3 = Slow({"g/a": b"abc", "g/b": b"b"})
    with pytest.raises(JobError, match="s3://b/g/a: cannot be downloaded"):
        download(s3, tmp_path)


def test_progress_counts_bytes_of_files_that_are_on_their_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "PAUSE", 0.01)
    told = threading.Event()
    said: List[str] = []

    class Slow(S3):
        def download_file(self, bucket: str, key: str, path: str, Callback: Callable[[int], None]) -> None:
            Callback(2)
            assert told.wait(20)
            super().download_file(bucket, key, path, lambda _: None)

    def say(text: str) -> None:
        said.append(text)
        if "2 of 3 bytes" in text:
            told.set()

    store = Store(say, Slow({"g/a": b"abc"}))
    store.download("s3://b/g", [("a", "a")], store.listing("s3://b/g"), str(tmp_path))
    assert "0 of 1 files, 2 of 3 bytes downloaded from s3://b/g" in said


def upload(s3: S3, directory: Path, names: Tuple[str, ...] = ("a", "b", "c")) -> List[str]:
    said: List[str] = []
    for name in names:
        # The third is the smallest, so that it is the last.
        (directory / name).write_text("" if name == "c" else name)
    Store(said.append, s3, threads=1, delay=0).upload(str(directory), "s3://b/g")
    return said


def test_an_upload_is_tried_again(tmp_path: Path) -> None:
    s3 = S3({}, {"g/b": [Answer(500)]})
    assert upload(s3, tmp_path)[-1].startswith("3 files, 2 bytes uploaded to s3://b/g")
    assert s3.objects == {"g/a": b"a", "g/b": b"b", "g/c": b""}


def test_what_a_failed_upload_has_brought_is_removed(tmp_path: Path) -> None:
    s3 = S3({"g/b": b"before", "h/x": b"x"}, {"g/c": [Answer(403)]})
    names = ("a", "b", "d", "c")
    with pytest.raises(JobError, match="s3://b/g/c: cannot be uploaded"):
        upload(s3, tmp_path, names)
    # What has been there before stays, as it is now.
    assert s3.objects == {"g/b": b"b", "h/x": b"x"}
    assert s3.deleted == {"g/a", "g/d"}


def test_what_was_there_is_not_known_so_nothing_is_removed(tmp_path: Path) -> None:
    s3 = S3({}, {"listing": [Answer(403)], "g/c": [Answer(403)]})
    with pytest.raises(JobError, match="s3://b/g/c: cannot be uploaded"):
        upload(s3, tmp_path)
    assert s3.deleted == set()


def test_errors_that_wrap_others() -> None:
    class S3UploadFailedError(Exception):
        """Of boto3, by its name."""

    class RetriesExceededError(Exception):
        """Of boto3."""

        def __init__(self, last: Exception) -> None:
            super().__init__("Max Retries Exceeded")
            self.last_exception = last

    inner = Answer(403)
    with pytest.raises(S3UploadFailedError) as caught:
        try:
            raise inner
        except Answer as error:
            raise S3UploadFailedError("failed to upload") from error
    assert cause_of(RetriesExceededError(caught.value)) is inner
    assert [may_pass(caught.value), may_pass(RetriesExceededError(TimeoutError()))] == [False, True]


def test_an_upload_that_is_stopped_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "PAUSE", 0.01)

    class Slow(S3):
        def upload_file(self, path: str, bucket: str, key: str, Callback: Callable[[int], None]) -> None:
            super().upload_file(path, bucket, key, Callback)
            for _ in iter(lambda: key == "g/b" or threading.Event().wait(0.01), True):
                Callback(0)

    def say(text: str) -> None:
        if text.startswith("1 of 2 files"):
            # As the handler of SIGTERM does.
            raise SystemExit(143)

    s3 = Slow({})
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(SystemExit):
        Store(say, s3).upload(str(tmp_path), "s3://b/g")
    assert s3.objects == {}
