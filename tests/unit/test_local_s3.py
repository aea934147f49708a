"""Objects come from an S3 endpoint once, and keep their names below the prefix."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Dict, Iterator, List, Tuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from hvdsm.backends.local.s3 import cache_directory, download
from hvdsm.errors import ConfigError

OBJECTS: Dict[str, bytes] = {
    "data/train/a b.csv": b"1",
    "data/train/deep/é": b"22",
    "data/train/": b"",
    "data/train-2/c": b"333",
    "src.tar.gz": b"tar",
    "src.tar.gz.old": b"old",
}


class Bucket(BaseHTTPRequestHandler):
    """The two calls of S3 that a download makes, for one bucket."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[List[str]] = []

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        bucket, _, key = unquote(path.path).lstrip("/").partition("/")
        if bucket != "bucket":
            return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if not key:
            return self._answer(200, self._list(parse_qs(path.query).get("prefix", [""])[0]))
        Bucket.asked.append(key)
        return self._answer(200, OBJECTS[key])

    do_HEAD = do_GET

    def _list(self, prefix: str) -> bytes:
        entries = "".join(
            f'<Contents><Key>{escape(key)}</Key><ETag>"{hashlib.sha256(data).hexdigest()}"</ETag><Size>{len(data)}</Size></Contents>'
            for key, data in OBJECTS.items()
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    for name, value in (
        ("AWS_ENDPOINT_URL", address), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def contents(files: Tuple[Tuple[str, str], ...]) -> Dict[str, bytes]:
    return {name: Path(path).read_bytes() for name, path in files}


def test_prefix_is_fetched_once(endpoint: str, tmp_path: Path) -> None:
    said: List[str] = []
    Bucket.asked.clear()
    for _ in range(2):
        files = download("s3://bucket/data/train", str(tmp_path / "cache"), said.append, "channel train")
        assert contents(files) == {"a b.csv": b"1", "deep/é": b"22", "train-2/c": b"333"}
    assert sorted(set(Bucket.asked)) == ["data/train-2/c", "data/train/a b.csv", "data/train/deep/é"]
    assert len(said) == 3 and "1 of 3" in said[0]


def test_exactly_one_object(endpoint: str, tmp_path: Path) -> None:
    files = download("s3://bucket/src.tar.gz", str(tmp_path), lambda text: None, "the source", exact=True)
    assert contents(files) == {"src.tar.gz": b"tar"}


@pytest.mark.parametrize("uri", ["s3://bucket/none", "s3://other/x"])
def test_nothing_there(endpoint: str, tmp_path: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match="channel train"):
        download(uri, str(tmp_path), lambda text: None, "channel train")


def test_cache_lies_in_the_users_cache() -> None:
    assert cache_directory({"XDG_CACHE_HOME": "/c"}) == "/c/hvdsm/s3"
    assert cache_directory({}).endswith("/.cache/hvdsm/s3")
