"""Secrets of a job: what names them, how the container gets them over real HTTP, and where their values must not show."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import example, given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from hvdsm.compose.mask import MASK
from hvdsm.compose.secrets import SecretRef, forms, parse_arn, parse_secrets, secret_value, without, without_pieces
from hvdsm.container.curtain import Curtain, given_secrets
from hvdsm.container.secrets import SignedReader, fetch_secrets, service_endpoint
from hvdsm.container.signed import credentials_of
from hvdsm.errors import ConfigError

KEY = "a/secret+key"
VALUE = 'sesame-7 "open" it\'s'
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:team/hf-AbCdEf"
SSM = "arn:aws:ssm:eu-west-1:123456789012:parameter/team/db"


class Service(ThreadingHTTPServer):
    """Both services; it looks at signatures.  ``first`` are the answers (status, type, message) that come before all others."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.first: List[Tuple[int, str, str]] = []
        self.seen: List[Dict[str, str]] = []
        self.body: bytes = b""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers as the services do."""

    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append({**{name.lower(): value for name, value in self.headers.items()}, "body": body.decode()})
        target = self.headers["X-Amz-Target"]
        if self.server.first:
            status, kind, message = self.server.first.pop(0)
            self.answer(status, json.dumps({"__type": f"com.amazonaws#{kind}", "message": message}).encode())
        elif not self.signed(body, "ssm" if target.startswith("AmazonSSM") else "secretsmanager"):
            self.answer(400, json.dumps({"__type": "InvalidSignatureException", "message": "no"}).encode())
        elif self.server.body:
            self.answer(200, self.server.body)
        elif target == "AmazonSSM.GetParameter":
            assert json.loads(body) == {"Name": SSM, "WithDecryption": True}
            self.answer(200, json.dumps({"Parameter": {"Value": VALUE}}).encode())
        else:
            assert json.loads(body) == {"SecretId": ARN}
            self.answer(200, json.dumps({"SecretString": VALUE}).encode())

    def do_PUT(self) -> None:
        """The instance's token."""
        self.answer(200, b"the-token")

    def do_GET(self) -> None:
        """The instance's role and its credentials."""
        assert self.headers["x-aws-ec2-metadata-token"] == "the-token"
        found = {"AccessKeyId": "AKID", "SecretAccessKey": KEY, "Token": "session=="}
        self.answer(200, json.dumps(found).encode() if self.path.endswith("/a-role") else b"a-role\n")

    def signed(self, body: bytes, service: str) -> bool:
        """Whether botocore would have signed this request the same way."""
        given_text = self.headers["Authorization"]
        names = given_text.split("SignedHeaders=")[1].split(",")[0].split(";")
        request = AWSRequest("POST", f"http://{self.headers['Host']}{self.path}", data=body)
        for name in names:
            request.headers[name] = self.headers[name]
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        auth = SigV4Auth(BotoCredentials("AKID", KEY), service, "eu-west-1")
        text = auth.string_to_sign(request, auth.canonical_request(request))
        assert hashlib.sha256(body).hexdigest() == self.headers["x-amz-content-sha256"]
        return {"x-amz-target", "host", "x-amz-date"} <= set(names) and given_text.endswith(auth.signature(text, request))

    def answer(self, status: int, body: bytes) -> None:
        """Send one."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Quietly."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def environ(service: Service) -> Dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": service.url,
        "AWS_ENDPOINT_URL_SSM": service.url + "/",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "HVDSM_SECRETS_CLIENT": "request",
        "PATH": os.environ["PATH"],
    }


def quiet(_text: str) -> None:
    """Say nothing."""


# ---------------------------------------------------------------------------------------------------- the hyperparameter


def test_what_names_secrets() -> None:
    named = {"HF_TOKEN": ARN, "DB_PASSWORD": SSM + "#password", "_x": "arn:aws-cn:ssm:cn-north-1:123456789012:parameter/a.b-c_d"}
    expected = {
        "HF_TOKEN": SecretRef("secretsmanager", ARN, "eu-west-1"),
        "DB_PASSWORD": SecretRef("ssm", SSM, "eu-west-1", "password"),
        "_x": SecretRef("ssm", named["_x"], "cn-north-1"),
    }
    for value in (named, json.dumps(named), json.dumps(json.dumps(named))):
        assert parse_secrets(value) == expected
    for nothing in (None, "", "{}", '""', {}):
        assert parse_secrets(nothing) == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hf_sesame", "no JSON object"),
        ('["a"]', "no JSON object of variables"),
        ('{"A": 1}', r"A: its value \(not shown\) is no ARN"),
        ('{"A": "hf_sesame"}', r"A: its value \(not shown\) is no ARN"),
        ('{"A": "arn:aws:s3:::bucket/sesame"}', "A: 'arn:aws:s3:::bucket/sesame' is no ARN"),
        (json.dumps({"A": ARN + "#"}), "no ARN"),
        (json.dumps({"A-B": ARN}), "'A-B' cannot be a variable's name"),
        (json.dumps({"SM_HPS": ARN}), "SM_HPS is a variable that the job sets itself"),
        (json.dumps({"RANK": ARN, "PATH": ARN}), "RANK is .*; PATH is "),
        (f'{{"A": "{ARN}", "A": "{SSM}"}}', "named twice"),
    ],
)
def test_what_does_not(value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_secrets(value)
    assert "sagemaker_hvdsm_secrets" in str(caught.value)
    assert "hf_sesame" not in str(caught.value)
    assert caught.value.remedy
    assert caught.value.exit_code == 78


def test_one_value_of_a_secret() -> None:
    keyed = SecretRef("ssm", SSM, "eu-west-1", "user")
    assert secret_value("A", SecretRef("ssm", SSM, "eu-west-1"), '{"user": 1}') == '{"user": 1}'
    assert secret_value("A", keyed, '{"user": "u", "x": "sesame"}') == "u"
    assert secret_value("A", keyed, '{"user": 5432}') == "5432"
    for text, message in (("sesame", "no JSON object"), ('["sesame"]', "no JSON object"), ('{"x": "sesame"}', "no key 'user'")):
        with pytest.raises(ConfigError, match=message) as caught:
            secret_value("A", keyed, text)
        assert "sesame" not in str(caught.value)
    with pytest.raises(ConfigError, match="zero byte"):
        secret_value("A", SecretRef("ssm", SSM, "eu-west-1"), "a\0b")


@given(st.text(st.characters(codec="utf-8"), max_size=60))
@example(ARN + "#a#b")
def test_any_text_is_an_arn_or_none(text: str) -> None:
    found = parse_arn(text)
    assert found is None or text == found.arn + ("#" + found.key if found.key else "")


# ---------------------------------------------------------------------------------------------------- fetching


def test_signed_requests(service: Service, environ: Dict[str, str]) -> None:
    said: List[str] = []
    found = fetch_secrets({"HF_TOKEN": ARN, "DB": SSM, "AGAIN": ARN}, environ, said.append)
    assert found == {"HF_TOKEN": VALUE, "DB": VALUE, "AGAIN": VALUE}
    assert len(service.seen) == 2
    assert all("/eu-west-1/" in request["authorization"] for request in service.seen)
    assert said[0] == "fetching 3 secrets by signed requests"
    assert said[1].startswith("3 secrets fetched by signed requests in ")
    assert said[1].endswith(": HF_TOKEN, DB, AGAIN")
    assert "sesame" not in "".join(said)


def test_instance_credentials(service: Service, environ: Dict[str, str]) -> None:
    del environ["AWS_ACCESS_KEY_ID"]
    environ |= {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url, "HOME": "/nowhere"}
    assert credentials_of(environ).token == "session=="
    with pytest.raises(ConfigError, match="no AWS credentials"):
        credentials_of({**environ, "AWS_EC2_METADATA_DISABLED": "true"})


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        (
            "AccessDeniedException",
            "User: arn:aws:sts::123456789012:assumed-role/TrainRole/SageMaker is not authorized to perform: that",
            "allow secretsmanager:GetSecretValue on " + ARN + " to the job's execution role TrainRole of account 123456789012",
        ),
        ("AccessDeniedException", "Access to KMS is not allowed", "allow kms:Decrypt on the secret's KMS key"),
        ("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", "check name, account and region"),
        ("ExpiredTokenException", "expired", "check the credentials"),
        ("InvalidRequestException", "You can't perform this operation: marked for deletion.", "restore-secret"),
        ("ValidationException", "odd", "check the ARN"),
    ],
)
@pytest.mark.parametrize("client", ["request", "boto3"])
def test_refusals_name_the_action_and_the_role(
    service: Service, environ: Dict[str, str], kind: str, message: str, expected: str, client: str
) -> None:
    service.first = [(400, kind, message)] * 2
    with pytest.raises(ConfigError) as caught:
        fetch_secrets({"HF_TOKEN": ARN}, {**environ, "HVDSM_SECRETS_CLIENT": client}, quiet)
    text = str(caught.value)
    assert text.startswith(f"secret HF_TOKEN ({ARN}): ")
    assert expected in text
    assert kind in text
    assert caught.value.exit_code == 78


def test_throttling_is_waited_for(service: Service, environ: Dict[str, str]) -> None:
    service.first = [(400, "ThrottlingException", "Rate exceeded"), (500, "InternalServiceError", ""), (429, "", "")]
    pauses: List[float] = []
    reader = SignedReader(environ, quiet, pauses.append)
    assert reader.read("A", parse_secrets({"A": SSM})["A"])["Parameter"] == {"Value": VALUE}
    assert len(pauses) == 3


def test_a_service_that_is_not_there(environ: Dict[str, str]) -> None:
    environ["AWS_ENDPOINT_URL_SSM"] = "http://127.0.0.1:9"
    pauses: List[float] = []
    reader = SignedReader(environ, quiet, pauses.append)
    with pytest.raises(ConfigError, match="cannot be had") as caught:
        reader.read("A", parse_secrets({"A": SSM})["A"])
    assert "127.0.0.1:9" in str(caught.value)
    assert "interface endpoint for ssm" in str(caught.value)
    assert len(pauses) == 7


@pytest.mark.parametrize("body", [b'"sesame"', b"sesame", b"{}", b'{"SecretString": 5}', b'{"SecretBinary": "c2VzYW1l"}'])
def test_an_odd_answer_is_not_repeated(service: Service, environ: Dict[str, str], body: bytes) -> None:
    service.body = body
    said: List[str] = []
    reader = SignedReader(environ, said.append, lambda _seconds: None)
    with pytest.raises(ConfigError) as caught:
        reader.read("A", parse_secrets({"A": ARN})["A"])
        fetch_secrets({"A": ARN}, environ, said.append)
    assert "sesame" not in str(caught.value) + "".join(said)


def test_endpoints() -> None:
    environ = {"AWS_ENDPOINT_URL": "http://all/", "AWS_ENDPOINT_URL_SSM": "http://ssm"}
    assert [service_endpoint(environ, name) for name in ("ssm", "secretsmanager")] == ["http://ssm", "http://all"]
    assert service_endpoint({**environ, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "ssm") is None
    assert service_endpoint({}, "ssm") is None


FAKE_AWS = """#!{python}
import json, sys
words = sys.argv[1:]
assert words[words.index("--region") + 1] == "eu-west-1" and "--endpoint-url" in words, words
if words[0] == "ssm":
    assert words[1:5] == ["get-parameter", "--name", {ssm!r}, "--with-decryption"], words
    print(json.dumps({{"Parameter": {{"Value": {value!r}}}}}))
else:
    sys.stderr.write("An error occurred (AccessDeniedException) when calling the GetSecretValue operation: not you\\n")
    sys.exit(254)
"""


def test_the_aws_command(tmp_path: Path, environ: Dict[str, str]) -> None:
    program = tmp_path / "aws"
    program.write_text(FAKE_AWS.format(python=sys.executable, ssm=SSM, value=VALUE))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environ |= {"PATH": str(tmp_path), "HVDSM_SECRETS_CLIENT": "aws"}
    assert fetch_secrets({"DB": SSM}, environ, quiet) == {"DB": VALUE}
    with pytest.raises(ConfigError, match="the role may not read it: AccessDeniedException: not you"):
        fetch_secrets({"DB": ARN}, environ, quiet)
    with pytest.raises(ConfigError, match="there is no way to fetch secrets: there is no aws command"):
        fetch_secrets({"DB": ARN}, {**environ, "PATH": "/nowhere"}, quiet)


@pytest.mark.parametrize("client", ["boto3", "request"])
def test_against_moto(client: str) -> None:
    import boto3

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environ = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "AKID",
            "AWS_SECRET_ACCESS_KEY": KEY,
            "HVDSM_SECRETS_CLIENT": client,
        }
        options: Dict[str, str] = {
            "endpoint_url": environ["AWS_ENDPOINT_URL"],
            "region_name": "eu-west-1",
            "aws_access_key_id": "AKID",
            "aws_secret_access_key": KEY,
        }
        whole = json.dumps({"user": "u", "password": VALUE})
        secret = boto3.client("secretsmanager", **options).create_secret(Name=f"{client}/hf", SecretString=whole)["ARN"]
        parameters = boto3.client("ssm", **options)
        parameters.put_parameter(Name=f"/{client}/db", Value=VALUE, Type="SecureString")
        parameter = parameters.get_parameter(Name=f"/{client}/db")["Parameter"]["ARN"]
        named = {"ALL": secret, "PASSWORD": secret + "#password", "DB": parameter}
        assert fetch_secrets(json.dumps(named), environ, quiet) == {"ALL": whole, "PASSWORD": VALUE, "DB": VALUE}
        with pytest.raises(ConfigError, match="there is none of this name"):
            fetch_secrets({"X": ARN}, environ, quiet)
    finally:
        server.stop()


# ---------------------------------------------------------------------------------------------------- what must not show


def test_failures_tell_no_value() -> None:
    key = "-----BEGIN KEY-----\nMIIsesame+/=1\nMIIsesame+/=2\n-----END KEY-----\n"
    curtain = Curtain()
    event = {"say": "failure", "rank": 1, "message": VALUE}
    assert curtain.event(event) is event
    curtain.hide([VALUE, key, "abc", ""])
    texts = [
        VALUE,
        repr(VALUE),
        json.dumps({"a": VALUE}),
        repr(key),
        "MIIsesame+/=2",
        f"  {key}",
        "https://u:sesame-7%20%22open%22%20it%27s@h",
    ]
    for text in texts:
        for name in ("message", "traceback", "output_tail", "tail"):
            told = curtain.event({"say": "failure", "rank": 1, name: f"before {text} after abc"})
            assert "sesame" not in told[name]
            assert told[name].startswith("before ")
            assert told[name].endswith(" after abc")
            assert told["rank"] == 1


@given(st.text(min_size=4, max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_value_is_left(value: str, before: str, after: str) -> None:
    told = without(before + value + after, forms([value]))
    assert value not in told or value in MASK or value in before.replace(value, "") + MASK + after


def test_the_end_of_a_value_at_the_beginning_of_a_tail() -> None:
    value = "sesame-open-sesame"
    for cut in range(len(value) - 4):
        text = (value[cut:] + " " + "x" * 100)[:100]
        assert without_pieces(text, forms([value]), 100).startswith(MASK + " x")
    assert without_pieces("same " + "x" * 20, forms([value]), 100) == "same " + "x" * 20


def test_what_a_rehearsal_brings() -> None:
    environ = {"HVDSM_SECRET_NAMES": "A, B,C", "A": "1", "C": "3", "D": "4"}
    assert given_secrets(environ) == {"A": "1", "C": "3"}
    assert given_secrets({"A": "1"}) == {}
