"""The source from S3 over real HTTP: a signature that is checked as AWS checks it, credentials, refusals, another region."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import example, given, settings, strategies

from hvdsm.container import objects, signed
from hvdsm.container.fetch import BotoStore, download, safe_name, split_uri
from hvdsm.container.objects import object_url
from hvdsm.container.signed import Credentials, credentials_address, credentials_of, signed_headers
from hvdsm.errors import ConfigError

ROOT = str(Path(__file__).resolve().parents[2])
SECRET = "a/secret+key"
KEYS = ["source.tar.gz", "a b/c+d/é~x-1_2.tar.gz", "deep/er/(1)=&@!.tar.gz", "tree/", "tree/a&b/<1>.py", "tree/c", "tree/d +e"]
PAGE = 2


class Server(ThreadingHTTPServer):
    """A bucket that looks at signatures; ``seen`` are the requests.

    ``failing`` requests are answered by 503 first, then ``cut`` ones by half an object, and all by a way to ``elsewhere``;
    ``late`` requests for credentials are answered by 503.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: List[Dict[str, str]] = []
        self.failing = 0
        self.cut = 0
        self.late = 0
        self.objects = {key: key.encode() for key in KEYS}
        self.elsewhere = ""
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
        if path == "/credentials" and self.server.late:
            self.server.late -= 1
            return self.answer(503, b"")
        if path == "/credentials":
            found = {"AccessKeyId": "AKID", "SecretAccessKey": SECRET, "Token": "session"}
            return self.answer(200, json.dumps(found).encode())
        if self.server.failing:
            self.server.failing -= 1
            return self.answer(503, b"")
        if not self.signed():
            return self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        if self.server.elsewhere:
            return self.answer(307, b"", location=self.server.elsewhere + self.path)
        query = dict(parse_qsl(urlsplit(self.path).query))
        if "list-type" in query:
            return self.answer(200, listing(query).encode())
        key = path[len("/bucket/") :]
        body = self.server.objects.get(key)
        if self.server.cut and body is not None:
            self.server.cut -= 1
            return self.answer(200, body, length=len(body) + 5)
        return self.answer(200, body) if body is not None else self.answer(404, b"<Error><Code>404</Code></Error>")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """CodeArtifact's one call."""
        self.server.seen.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
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
        text = auth.string_to_sign(request, canonical(request, names, auth))
        return self.headers["Authorization"].endswith("Signature=" + auth.signature(text, request))

    def answer(
        self, code: int, body: bytes, kind: str = "application/xml", region: str = "", location: str = "", length: int = -1
    ) -> None:
        """Send one answer, unless there was one."""
        if getattr(self, "answered", False):
            return
        self.answered = True
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length < 0 else length))
        if location:
            self.send_header("Location", location)
        if region:
            self.send_header("x-amz-bucket-region", region)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Nothing."""


def listing(query: Dict[str, str]) -> str:
    """One page of ListObjectsV2."""
    keys = [key for key in KEYS if key.startswith(query["prefix"])]
    start = int(query.get("continuation-token", "0"))
    page = keys[start : start + PAGE]
    contents = "".join(f"<Contents><Key>{quote(key, safe='/')}</Key><Size>1</Size></Contents>" for key in page)
    more = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if start + PAGE < len(keys) else ""
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    truncated = f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated><EncodingType>url</EncodingType>"
    return f"<ListBucketResult {space}>{truncated}{more}{contents}</ListBucketResult>"


def canonical(request: AWSRequest, names: List[str], auth: S3SigV4Auth) -> str:
    """The canonical request as the specification writes it down."""
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names)
    query = auth.canonical_query_string(request)
    path = urlsplit(request.url).path
    return "\n".join([request.method, path, query, headers, ";".join(names), request.headers["x-amz-content-sha256"]])


@pytest.fixture
def server() -> Iterator[Server]:
    """A running one."""
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
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


@pytest.mark.parametrize("key", KEYS[:3])
@pytest.mark.parametrize("token", ["", "session/token=="])
def test_a_signed_request_is_accepted(server: Server, environ: Dict[str, str], tmp_path: Path, key: str, token: str) -> None:
    said: List[str] = []
    variables = {**environ, "HVDSM_S3_CLIENT": "request", **({"AWS_SESSION_TOKEN": token} if token else {})}
    assert download(f"s3://bucket/{key}", str(tmp_path / "x"), variables, said.append) == "a signed request"
    assert (tmp_path / "x").read_text() == key
    assert server.seen[-1].get("x-amz-security-token", "") == token
    assert said[0] == f"fetching s3://bucket/{key} by a signed request"
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


def test_a_platform_that_is_late_with_credentials_is_asked_again(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(signed, "CREDENTIAL_PAUSE", 0.01)
    variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url + "/credentials"}
    server.late = 2
    assert credentials_of(variables).access_key == "AKID"
    server.late = 9
    with pytest.raises(ConfigError, match=r"cannot be read: .*503"):
        credentials_of(variables)
    assert server.late == 6


def test_a_role_that_offers_nothing_is_said_without_what_it_offers(server: Server) -> None:
    with pytest.raises(ConfigError) as error:
        credentials_of(
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url + "/none", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "bearer"}
        )
    assert "execution role" in str(error.value)
    assert "bearer" not in str(error.value)


def test_boto3_without_credentials_or_server(environ: Dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {**environ, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "HVDSM_S3_CLIENT": "boto3"}
    with pytest.raises(ConfigError, match=r"cannot be had: Could not connect(?:.*\n)*.*network's way to S3"):
        BotoStore(closed, None, attempts=1).keys("bucket", "tree")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name, value in {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    variables = {"AWS_ENDPOINT_URL_S3": environ["AWS_ENDPOINT_URL"], "HVDSM_S3_CLIENT": "boto3"}
    with pytest.raises(ConfigError, match=r"there are no AWS credentials(?:.*\n)*.*execution role"):
        download("s3://bucket/source.tar.gz", str(tmp_path / "x"), variables, lambda _text: None)


def test_boto3_with_a_wrong_key_is_refused(environ: Dict[str, str], tmp_path: Path) -> None:
    variables = {**environ, "AWS_SECRET_ACCESS_KEY": "wrong-secret", "HVDSM_S3_CLIENT": "boto3"}
    with pytest.raises(
        ConfigError, match=r"s3://bucket/source\.tar\.gz: the role may not read it(?:.*\n)*.*s3:GetObject"
    ) as error:
        download("s3://bucket/source.tar.gz", str(tmp_path / "x"), variables, lambda _text: None)
    assert "wrong-secret" not in str(error.value)


@given(
    key=strategies.text(strategies.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=30)
)
@example("a b+c~d/é/%20%/(1)*'!$&=;:@,?#[]\\\n")
@example("/a//b/")
@settings(max_examples=150, deadline=None)
def test_any_key_is_signed_as_botocore_signs_it(key: str) -> None:
    url = object_url("bucket", key, "eu-west-1")
    when = datetime(2024, 2, 29, 23, 59, 59, tzinfo=timezone.utc)
    ours = signed_headers("GET", url, Credentials("AKID", SECRET, "token=="), "eu-west-1", "s3", when)
    request = AWSRequest("GET", url)
    request.context["timestamp"] = ours["x-amz-date"]
    request.headers["x-amz-content-sha256"] = ours["x-amz-content-sha256"]
    request.headers["x-amz-date"] = ours["x-amz-date"]
    request.headers["x-amz-security-token"] = "token=="
    auth = S3SigV4Auth(BotoCredentials("AKID", SECRET, "token=="), "s3", "eu-west-1")
    request.context["client_config"] = None
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert ours["authorization"].endswith("Signature=" + auth.signature(text, request))


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


@pytest.mark.parametrize("client", ["request", "boto3"])
@pytest.mark.parametrize("uri", ["s3://bucket/tree", "s3://bucket/tree/"])
def test_all_below_a_prefix(environ: Dict[str, str], tmp_path: Path, client: str, uri: str) -> None:
    assert download(uri, str(tmp_path / "x"), {**environ, "HVDSM_S3_CLIENT": client}, lambda _text: None)
    files = {str(path.relative_to(tmp_path / "x")): path.read_text() for path in (tmp_path / "x").rglob("*") if path.is_file()}
    assert files == {key[len("tree/") :]: key for key in KEYS if key.startswith("tree/") and key != "tree/"}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//x", "", "a/./x"])
def test_a_key_that_would_lie_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a file's path"):
        safe_name(name, "s3://bucket/key")


def test_half_an_object_is_asked_for_again(
    server: Server, environ: Dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "FIRST_PAUSE", 0.01)
    server.cut = 1
    said: List[str] = []
    download("s3://bucket/source.tar.gz", str(tmp_path / "x"), {**environ, "HVDSM_S3_CLIENT": "request"}, said.append)
    assert (tmp_path / "x").read_text() == "source.tar.gz"
    assert "13 of 18 bytes; trying again" in said[1]


def test_a_redirected_request_is_signed_anew(server: Server, environ: Dict[str, str], tmp_path: Path) -> None:
    with Server() as other:
        threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
        server.elsewhere = other.url
        download("s3://bucket/source.tar.gz", str(tmp_path / "x"), {**environ, "HVDSM_S3_CLIENT": "request"}, lambda _text: None)
        other.shutdown()
    assert (tmp_path / "x").read_text() == "source.tar.gz"
    assert other.seen[0]["authorization"] != server.seen[0]["authorization"]


def test_a_file_that_cannot_be_written_is_no_reason_to_ask_again(environ: Dict[str, str], server: Server) -> None:
    with pytest.raises(ConfigError, match="/dev/full: No space left"):
        download("s3://bucket/source.tar.gz", "/dev/full", {**environ, "HVDSM_S3_CLIENT": "request"}, lambda _text: None)
    assert len(server.seen) == 1


AWS = """#!/bin/sh
echo "$@ [$AWS_DEFAULT_REGION]" >> "$SEEN"
case "$1 $2 $3" in
  "s3 cp s3://bucket/here") echo content > "$4" ;;
  "s3 cp "*) echo "fatal error: An error occurred (404) when calling the HeadObject operation: Key does not exist" >&2; exit 1 ;;
  *) echo "An error occurred (AccessDenied) when calling the ListObjectsV2 operation" >&2; exit 254 ;;
esac
"""


def with_aws(tmp_path: Path, text: str) -> Dict[str, str]:
    """An environment whose aws command is this one."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "aws").write_text(text)
    (tmp_path / "bin" / "aws").chmod(0o755)
    return {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "SEEN": str(tmp_path / "seen"), "HVDSM_S3_CLIENT": "aws"}


def test_the_aws_command_is_asked_where_there_is_no_boto3(tmp_path: Path) -> None:
    variables = {**with_aws(tmp_path, AWS), "AWS_ENDPOINT_URL_S3": "http://s3.test/"}
    title = download("s3://bucket/here", str(tmp_path / "x"), variables, lambda _text: None, "eu-west-1")
    assert (title, (tmp_path / "x").read_text()) == ("the aws command", "content\n")
    words = f"s3 cp s3://bucket/here {tmp_path / 'x'} --only-show-errors --endpoint-url http://s3.test [eu-west-1]\n"
    assert (tmp_path / "seen").read_text() == words
    with pytest.raises(ConfigError, match=r"there is no such object, .* cannot be listed: .*AccessDenied"):
        download("s3://bucket/gone", str(tmp_path / "y"), variables, lambda _text: None)


def test_an_aws_command_that_does_not_run_is_passed_over(environ: Dict[str, str], tmp_path: Path) -> None:
    """A version manager puts such commands onto PATH; an image without boto3 is seen by its import that fails."""
    aws = with_aws(tmp_path, "#!/bin/sh\necho 'aws: command not found' >&2\nexit 127\n")
    with pytest.raises(ConfigError, match=r"no way to S3: .*command not found"):
        download("s3://bucket/source.tar.gz", str(tmp_path / "x"), {**environ, **aws}, lambda _text: None)
    (tmp_path / "boto3.py").write_text("raise ImportError('a broken installation')")
    lines = [
        "import os, sys",
        "from hvdsm.container.fetch import download",
        f"print(download('s3://bucket/source.tar.gz', {str(tmp_path / 'x')!r}, dict(os.environ), print))",
    ]
    variables = {**environ, "PATH": aws["PATH"], "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["a signed request"], done.stderr
    assert (tmp_path / "x").read_text() == "source.tar.gz"


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, None),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}, "http://169.254.170.2/v2/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://any.test/x"}, "https://any.test/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x"}, "http://127.0.0.1:1/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[fd00:ec2::23]/x"}, "http://[fd00:ec2::23]/x"),
    ],
)
def test_where_credentials_are_asked_for(variables: Dict[str, str], address: Any) -> None:
    assert credentials_address(variables) == address


@pytest.mark.parametrize("uri", ["http://any.test/x", "file:///etc/passwd", "http://127.evil.test/x"])
def test_credentials_are_not_asked_for_in_the_open(uri: str) -> None:
    with pytest.raises(ConfigError, match="asked for by https"):
        credentials_address({"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri})


def test_credentials_of_the_shared_file(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("[default]\naws_access_key_id=A\naws_secret_access_key=S%1\n[other]\naws_access_key_id=B\n")
    variables = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "c")}
    assert credentials_of(variables) == Credentials("A", "S%1")
    with pytest.raises(ConfigError, match="no AWS credentials"):
        credentials_of({**variables, "AWS_PROFILE": "other"})


def test_credentials_are_not_shown() -> None:
    assert "hidden" not in repr(Credentials("A", "hidden", "hidden"))


@pytest.mark.parametrize("client", ["request", "boto3"])
def test_a_stand_in_of_s3_that_others_wrote(tmp_path: Path, client: str) -> None:
    moto = pytest.importorskip("moto.server", reason="moto[s3,server] is not installed")
    boto3 = pytest.importorskip("boto3")
    running = moto.ThreadedMotoServer("127.0.0.1", port=0)
    running.start()
    try:
        url = "http://{}:{}".format(*running.get_host_and_port())
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        s3 = boto3.client("s3", endpoint_url=url, **keys)
        s3.create_bucket(Bucket="bucket")
        for key in KEYS:
            s3.put_object(Bucket="bucket", Key=key, Body=key.encode())
        variables = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": url, "HVDSM_S3_CLIENT": client}
        for key in KEYS[:3]:
            download(f"s3://bucket/{key}", str(tmp_path / "x"), variables, lambda _text: None)
            assert (tmp_path / "x").read_text() == key
        download("s3://bucket/tree", str(tmp_path / "tree"), variables, lambda _text: None)
        assert (tmp_path / "tree" / "a&b" / "<1>.py").read_text() == "tree/a&b/<1>.py"
    finally:
        running.stop()


def test_addresses_of_aws() -> None:
    assert object_url("b", "k x", "eu-west-1") == "https://b.s3.eu-west-1.amazonaws.com/k%20x"
    assert object_url("a.b", "k", "cn-north-1") == "https://s3.cn-north-1.amazonaws.com.cn/a.b/k"
    assert object_url("b", "k", "r", "http://x:1", [("p", "a/b")]) == "http://x:1/b/k?p=a%2Fb"
