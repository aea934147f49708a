"""The source from S3 over real HTTP: a signature that is checked as AWS checks it, credentials, refusals, another region."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from hvdsm.container import objects, signed
from hvdsm.container.fetch import download, split_uri
from hvdsm.container.objects import object_url
from hvdsm.container.signed import Credentials, credentials_of, encoded_query
from hvdsm.errors import ConfigError

SECRET = "a/secret+key"
KEYS = ["source.tar.gz", "a b/c+d/é~x-1_2.tar.gz", "deep/er/(1)=&@!.tar.gz"]


class Server(ThreadingHTTPServer):
    """A bucket that looks at signatures; ``seen`` are the requests, ``failing`` how many are answered by 503 first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: List[Dict[str, str]] = []
        self.failing = 0
        self.region = "us-east-1"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Serves objects, credentials and tokens."""

    server: Server

    def do_GET(self) -> None:
        self.server.seen.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
        path = unquote(urlsplit(self.path).path)
        if path == "/credentials":
            found = {"AccessKeyId": "AKID", "SecretAccessKey": SECRET, "Token": "session"}
            return self.answer(200, json.dumps(found).encode())
        if self.server.failing:
            self.server.failing -= 1
            return self.answer(503, b"")
        if not self.signed():
            return self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        key = path[len("/bucket/") :]
        return self.answer(200, key.encode()) if key in KEYS else self.answer(404, b"<Error><Code>404</Code></Error>")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """CodeArtifact's one call."""
        self.server.seen.append({"path": self.path})
        self.answer(200, b'{"authorizationToken": "the-token", "expiration": 1}', "application/json")

    def signed(self) -> bool:
        """Whether botocore, given the same request, comes to the same signature."""
        region = self.headers["Authorization"].split("/")[2]
        if region != self.server.region:
            self.answer(400, b"<Error><Code>AuthorizationHeaderMalformed</Code></Error>", region=self.server.region)
            return True
        request = AWSRequest(self.command, f"http://{self.headers['Host']}{self.path}")
        for name in ("X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token"):
            if self.headers[name]:
                request.headers[name] = self.headers[name]
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        request.context["client_config"] = None
        auth = S3SigV4Auth(BotoCredentials("AKID", SECRET), "s3", region)
        names = self.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        for name in names:
            request.headers[name] = self.headers[name]
        text = auth.string_to_sign(request, canonical(request, names))
        return self.headers["Authorization"].endswith("Signature=" + auth.signature(text, request))

    def answer(self, code: int, body: bytes, kind: str = "application/xml", region: str = "") -> None:
        """Send one answer, unless there was one."""
        if getattr(self, "answered", False):
            return
        self.answered = True
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if region:
            self.send_header("x-amz-bucket-region", region)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Nothing."""


def canonical(request: AWSRequest, names: List[str]) -> str:
    """The canonical request as the specification writes it down."""
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names)
    path, query = urlsplit(request.url).path, encoded_query(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
    return "\n".join([request.method, path, query, headers, ";".join(names), request.headers["x-amz-content-sha256"]])


@pytest.fixture
def server() -> Iterator[Server]:
    """A running one."""
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def environ(server: Server, monkeypatch: pytest.MonkeyPatch) -> Dict[str, str]:
    """Variables of a container; those that boto3 reads are also this process's."""
    found = {
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.url,
    }
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("token", ["", "session/token=="])
def test_a_signed_request_is_accepted(server: Server, environ: Dict[str, str], tmp_path: Path, key: str, token: str) -> None:
    said: List[str] = []
    variables = {**environ, "HVDSM_S3_CLIENT": "request", **({"AWS_SESSION_TOKEN": token} if token else {})}
    assert download(f"s3://bucket/{key}", str(tmp_path / "x"), variables, said.append) == "a signed request"
    assert (tmp_path / "x").read_text() == key
    assert server.seen[-1].get("x-amz-security-token", "") == token
    assert "MB in" in said[-1]


def test_a_wrong_key_is_refused_without_telling_it(environ: Dict[str, str], tmp_path: Path) -> None:
    variables = {**environ, "AWS_SECRET_ACCESS_KEY": "wrong-secret", "HVDSM_S3_CLIENT": "request"}
    with pytest.raises(ConfigError) as error:
        download("s3://bucket/source.tar.gz", str(tmp_path / "x"), variables, lambda _text: None)
    assert "the role may not read it" in str(error.value)
    assert "s3:GetObject" in str(error.value)
    assert "wrong-secret" not in str(error.value)


@pytest.mark.parametrize("client", ["request", "boto3"])
def test_a_missing_object_is_named(environ: Dict[str, str], tmp_path: Path, client: str) -> None:
    with pytest.raises(ConfigError, match=r"s3://bucket/no\.tar\.gz: there is no such object"):
        download("s3://bucket/no.tar.gz", str(tmp_path / "x"), {**environ, "HVDSM_S3_CLIENT": client}, lambda _text: None)


def test_credentials_of_the_platform(server: Server, environ: Dict[str, str], tmp_path: Path) -> None:
    variables = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url + "/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "bearer",
        "AWS_ENDPOINT_URL_S3": server.url,
        "HVDSM_S3_CLIENT": "request",
    }
    download("s3://bucket/source.tar.gz", str(tmp_path / "x"), variables, lambda _text: None)
    assert server.seen[0]["authorization"] == "bearer"
    assert server.seen[1]["x-amz-security-token"] == "session"
    with pytest.raises(ConfigError, match="no AWS credentials"):
        credentials_of({})


def test_the_credentials_of_this_host_are_asked_for(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(signed, "CONTAINER_ADDRESS", server.url)
    found = credentials_of({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/credentials"})
    assert found == Credentials("AKID", SECRET, "session")
    with pytest.raises(ConfigError, match="cannot be read"):
        credentials_of({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/nothing-here"})


def test_another_region_is_followed(server: Server, environ: Dict[str, str], tmp_path: Path) -> None:
    server.region = "eu-west-1"
    variables = {**environ, "HVDSM_S3_CLIENT": "request"}
    download("s3://bucket/source.tar.gz", str(tmp_path / "x"), variables, lambda _text: None)
    assert "/eu-west-1/" in server.seen[-1]["authorization"]


def test_a_busy_service_is_asked_again(
    server: Server, environ: Dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "FIRST_PAUSE", 0.01)
    server.failing = 2
    said: List[str] = []
    download("s3://bucket/source.tar.gz", str(tmp_path / "x"), {**environ, "HVDSM_S3_CLIENT": "request"}, said.append)
    assert (tmp_path / "x").read_text() == "source.tar.gz"
    assert sum("HTTP 503; trying again" in line for line in said) == 2
    server.failing = 9
    with pytest.raises(ConfigError, match="cannot be had: HTTP 503"):
        download("s3://bucket/source.tar.gz", str(tmp_path / "x"), {**environ, "HVDSM_S3_CLIENT": "request"}, said.append)


def test_boto3_is_used_where_the_image_has_it(server: Server, environ: Dict[str, str], tmp_path: Path) -> None:
    # Without a session token boto3 signs as this server checks.
    assert download("s3://bucket/source.tar.gz", str(tmp_path / "x"), environ, lambda _text: None) == "boto3"
    assert (tmp_path / "x").read_text() == "source.tar.gz"


@pytest.mark.parametrize("uri", ["s3://", "s3://bucket", "s3://bucket/"])
def test_half_an_address_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="needs a bucket and a key"):
        split_uri(uri)


def test_addresses_of_aws() -> None:
    assert object_url("b", "k x", "eu-west-1") == "https://b.s3.eu-west-1.amazonaws.com/k%20x"
    assert object_url("a.b", "k", "cn-north-1") == "https://s3.cn-north-1.amazonaws.com.cn/a.b/k"
    assert object_url("b", "k", "r", "http://x:1", [("p", "a/b")]) == "http://x:1/b/k?p=a%2Fb"
