"""What AWS's errors become: class and exit code, what, where and the next command; over real HTTP."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from aws_support import DROP, Clock, FakeAws, Reply, environ, failure, fake_aws, query_failure

from hvdsm.aws.failures import code_of, is_passing, patiently, translated
from hvdsm.aws.session import connect, identity
from hvdsm.aws.storage import find_object, list_objects
from hvdsm.aws.training import describe_job, stop_job
from hvdsm.errors import CloudRefused, CloudUnavailable, ConfigError, HvdsmError

DENIED = (
    "User: arn:aws:sts::111122223333:assumed-role/dev/me is not authorized to perform: {} on resource: "
    "arn:aws:iam::111122223333:role/train because no identity-based policy allows it"
)
QUOTA = (
    "The account-level service limit 'ml.p4d.24xlarge for training job usage' is 0 Instances, with current utilization of 0 "
    "Instances and a request delta of 2 Instances. Please use AWS Service Quotas to request an increase for this quota."
)


@pytest.fixture
def fake() -> Iterator[FakeAws]:
    with fake_aws() as made:
        yield made


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("reply", "kind", "passing", "words"),
    [
        (failure("ExpiredTokenException", "The security token included in the request is expired"), CloudUnavailable, False,
         ["credentials have expired", "aws sso login"]),
        (failure("UnrecognizedClientException", "The security token included in the request is invalid."), CloudUnavailable,
         False, ["does not accept the credentials", "aws sts get-caller-identity"]),
        (failure("InvalidSignatureException", "Signature expired: 20250101T0 is now earlier than 20250102T0"), CloudUnavailable,
         False, ["this machine's clock is wrong"]),
        (failure("AccessDeniedException", DENIED.format("sagemaker:DescribeTrainingJob")), CloudRefused, False,
         ["arn:aws:sts::111122223333:assumed-role/dev/me lacks the permission sagemaker:DescribeTrainingJob",
          "allow sagemaker:DescribeTrainingJob on arn:aws:iam::111122223333:role/train"]),
        (failure("AccessDeniedException", DENIED.format("iam:PassRole")), CloudRefused, False,
         ["iam:PassRole", "name a --role that it may pass"]),
        (failure("AccessDeniedException", DENIED.format("sagemaker:X") + " with an explicit deny in a service control policy"),
         CloudRefused, False, ["a policy denies sagemaker:X"]),
        (failure("ResourceLimitExceeded", QUOTA), CloudRefused, False,
         ["the quota 'ml.p4d.24xlarge for training job usage' is 0 Instances: 0 in use, 2 more asked for", "Service Quotas"]),
        (failure("ResourceLimitExceeded", "You have too many jobs."), CloudRefused, False, ["quota", "You have too many jobs."]),
        (failure("ValidationException", "1 validation error detected: Value 'x' at 'roleArn'"), CloudRefused, False,
         ["AWS refuses a value: 1 validation error detected: Value 'x' at 'roleArn'"]),
        (failure("ThrottlingException", "Rate exceeded"), CloudUnavailable, True, ["fewer requests", "in a minute"]),
        (failure("InternalFailure", "", 500), CloudUnavailable, True, ["a fault of its own", "HTTP 500"]),
        (Reply(503, b"<html><body><h1>Service Unavailable</h1></body></html>", {"Content-Type": "text/html"}), CloudUnavailable,
         True, ["HTTP 503"]),
        (DROP, CloudUnavailable, True, ["AWS cannot be reached", "check the network"]),
        (failure("OptInRequired", "The AWS Access Key Id needs a subscription"), CloudRefused, False, ["not enabled"]),
        (failure("CapacityError", "Unable to provision"), CloudUnavailable, False, ["no capacity"]),
        (failure("SomethingNew", "that nobody knows"), CloudRefused, False, ["AWS refuses it: SomethingNew: that nobody knows"]),
    ],
)  # fmt: skip
def test_answers(fake: FakeAws, reply: Reply, kind: type[HvdsmError], passing: bool, words: list[str]) -> None:
    fake.on("DescribeTrainingJob", reply)
    with pytest.raises(HvdsmError) as caught:
        describe_job(fake.aws(), "mnist")
    error = caught.value
    assert isinstance(error, kind)
    assert error.exit_code == (69 if kind is CloudUnavailable else 78)
    assert is_passing(error) is passing
    assert str(error).startswith("job mnist in eu-central-1: cannot describe the training job: ")
    for word in words:
        assert word in str(error)
    assert error.remedy


def test_a_page_in_the_place_of_an_answer(fake: FakeAws) -> None:
    fake.on(
        "GetCallerIdentity", Reply(503, b"<!doctype html><title>Out of order</title><p>Come again", {"Content-Type": "text/html"})
    )
    with pytest.raises(CloudUnavailable, match="is no answer of AWS") as caught:
        identity(fake.aws())
    assert is_passing(caught.value) and "HTTPS_PROXY" in str(caught.value)


def test_the_code_stays_known(fake: FakeAws) -> None:
    fake.on("DescribeTrainingJob", failure("ExpiredToken", "old"))
    with pytest.raises(CloudUnavailable) as caught:
        describe_job(fake.aws(), "mnist")
    assert code_of(caught.value) == "ExpiredToken"


def test_a_job_that_is_not_there(fake: FakeAws) -> None:
    missing = failure("ValidationException", "Requested resource not found.")
    fake.on("DescribeTrainingJob", missing)
    fake.on("StopTrainingJob", missing)
    for ask in (describe_job, stop_job):
        with pytest.raises(ConfigError, match="there is no training job of this name in eu-central-1") as caught:
            ask(fake.aws(), "mnist")
        assert "hvdsm jobs list" in str(caught.value)
        assert "--region" in str(caught.value)


def test_s3_tells_little_on_head(fake: FakeAws) -> None:
    fake.on("HEAD", Reply(403))
    with pytest.raises(CloudRefused, match="lacks the permission s3:GetObject") as caught:
        find_object(fake.aws(), "s3://bucket/key")
    assert caught.value.where == "s3://bucket/key"
    fake.on("GET", Reply(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"))
    with pytest.raises(CloudRefused, match="lacks the permission s3:ListBucket"):
        list(list_objects(fake.aws(), "s3://bucket/key"))


def test_sts_in_query_protocol(fake: FakeAws) -> None:
    fake.on("GetCallerIdentity", query_failure("InvalidClientTokenId", "The security token is invalid", 403))
    with pytest.raises(CloudUnavailable, match="does not accept the credentials"):
        identity(fake.aws())


def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(CloudUnavailable, match="AWS cannot be reached") as caught:
        identity(connect(environ=environ(url)))
    assert is_passing(caught.value)
    assert url in str(caught.value)
    assert "object at 0x" not in str(caught.value)


def test_a_proxy_that_is_not_there() -> None:
    variables = environ("http://sts.example.test", http_proxy=f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(CloudUnavailable, match="the proxy cannot be reached") as caught:
        identity(connect(environ=variables))
    assert "NO_PROXY" in str(caught.value)


def test_no_proxy_is_honoured(fake: FakeAws) -> None:
    fake.on("GetCallerIdentity", query_failure("ExpiredToken", "old", 403))
    variables = environ(fake.url, http_proxy=f"http://127.0.0.1:{closed_port()}", no_proxy="127.0.0.1")
    with pytest.raises(CloudUnavailable, match="have expired"):
        identity(connect(environ=variables))


def certificate(directory: Path) -> str:
    """A certificate that nobody vouches for, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begin = datetime.datetime(2020, 1, 1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return str(path)


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        with pytest.raises(CloudUnavailable, match="certificate is not trusted") as caught:
            identity(connect(environ=environ(f"https://127.0.0.1:{server.server_port}")))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "AWS_CA_BUNDLE" in str(caught.value)
    assert not is_passing(caught.value)


def test_no_tls_at_all(fake: FakeAws) -> None:
    with pytest.raises(CloudUnavailable, match="no TLS connection can be made"):
        identity(connect(environ=environ(fake.url.replace("http:", "https:"))))


def in_a_process(text: str, **variables: str) -> str:
    """What a program prints that has no other AWS configuration than these variables."""
    program = f"""
from hvdsm.aws.session import connect, identity
from hvdsm.errors import HvdsmError
try:
    {text}
except HvdsmError as error:
    kind = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "hvdsm.errors")
    print(kind, error.exit_code, error)
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nothing = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**clean, **nothing, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_no_credentials() -> None:
    said = in_a_process("identity(connect('us-east-1'))", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert said.startswith("CloudUnavailable 69 cannot learn whose credentials these are: no AWS credentials are found")
    assert "aws configure" in said
    assert "aws sso login" in said


def test_half_of_the_credentials() -> None:
    said = in_a_process("identity(connect('us-east-1'))", AWS_ACCESS_KEY_ID="a", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert "the AWS credentials are not complete" in said


def test_a_credential_process_that_fails(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\ncredential_process = /bin/false\n")
    said = in_a_process("identity(connect('us-east-1'))", AWS_CONFIG_FILE=str(config))
    assert said.startswith("CloudUnavailable 69")
    assert "cannot be fetched" in said


def test_a_sign_in_that_has_ended(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.test\n"
    )
    said = in_a_process("identity(connect('us-east-1'))", AWS_CONFIG_FILE=str(config), HOME=str(tmp_path))
    assert said.startswith("CloudUnavailable 69")
    assert "aws sso login" in said


def test_no_region_names_every_way() -> None:
    said = in_a_process("connect()")
    assert said.startswith("ConfigError 78")
    for way in ("--region", "AWS_REGION", "AWS_DEFAULT_REGION", "aws configure set region"):
        assert way in said


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[profile work]\nregion = eu-west-1\n")
    said = in_a_process("print(connect(profile='work').region); connect(profile='wrok')", AWS_CONFIG_FILE=str(config))
    assert "eu-west-1" in said
    assert "no profile wrok" in said
    assert "one of these: work" in said


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(KeyError), translated("do it"):
        raise KeyError("ours")
    with pytest.raises(ConfigError, match="ours"), translated("do it"):
        raise ConfigError("ours")


class Outage:
    """A call that fails until a moment."""

    def __init__(self, clock: Clock, fake: FakeAws, seconds: float) -> None:
        self.clock, self.aws, self.end = clock, fake.aws(), clock.now + seconds
        self.calls = 0
        fake.on("DescribeTrainingJob", lambda _body: DROP if clock.now < self.end else {"TrainingJobName": "mnist"})

    def __call__(self) -> object:
        self.calls += 1
        return describe_job(self.aws, "mnist")["TrainingJobName"]


def test_patience_outlasts_30_seconds_without_a_network(fake: FakeAws) -> None:
    clock, said = Clock(), []
    outage = Outage(clock, fake, 30)
    assert patiently(outage, say=said.append, clock=clock, wait=clock.wait, jitter=lambda: 1.0) == "mnist"
    assert len(said) == 2
    assert "AWS cannot be reached" in said[0]
    assert "waiting up to 600 s" in said[0]
    assert said[1] == "it goes on after 36 s"
    assert clock.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_patience_has_an_end(fake: FakeAws) -> None:
    clock, said = Clock(), []
    outage = Outage(clock, fake, 1e9)
    with pytest.raises(CloudUnavailable):
        patiently(outage, say=said.append, limit=60, clock=clock, wait=clock.wait, jitter=lambda: 0.5)
    assert clock.now == pytest.approx(1060, abs=0.01)
    assert len(said) == 1


def test_patience_ends_when_the_wait_is_called_off(fake: FakeAws) -> None:
    clock = Clock()
    outage = Outage(clock, fake, 1e9)
    called_off = threading.Event()
    called_off.set()
    with pytest.raises(CloudUnavailable):
        patiently(outage, say=lambda _text: None, clock=clock, wait=called_off.wait)
    assert outage.calls == 1


def test_what_does_not_pass_is_raised_at_once(fake: FakeAws) -> None:
    fake.on("DescribeTrainingJob", failure("ExpiredToken", "old"))
    said: list[str] = []
    with pytest.raises(CloudUnavailable):
        patiently(lambda: describe_job(fake.aws(), "x"), say=said.append)
    assert said == []
    assert fake.count("DescribeTrainingJob") == 1


def test_full_jitter_is_between_nothing_and_the_whole_pause(fake: FakeAws) -> None:
    clock = Clock()
    patiently(Outage(clock, fake, 3), say=lambda _text: None, clock=clock, wait=clock.wait, jitter=lambda: 0.25)
    assert clock.waits == [0.125, 0.25, 0.5, 1.0, 2.0]
    clock = Clock()
    patiently(Outage(clock, fake, 20), say=lambda _text: None, clock=clock, wait=clock.wait)
    limits = [0.5, 1.0, 2.0, 4.0, 8.0] + [10.0] * 1000
    assert all(0 <= pause < limit for pause, limit in zip(clock.waits, limits, strict=False))


def test_a_page_is_not_quoted(fake: FakeAws) -> None:
    page = b"<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>"
    fake.on("GetCallerIdentity", Reply(500, page, {"Content-Type": "text/html"}))
    with pytest.raises(CloudUnavailable, match="no answer of AWS: 500 Internal Server Error") as caught:
        identity(fake.aws())
    assert "<" not in str(caught.value) and "b'" not in str(caught.value)
