"""``hvdsm doctor sagemaker`` over HTTP: an account where all is well, then the same with one thing wrong; nothing is written."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import pytest
from aws_support import FakeAws, Reply, failure, fake_aws
from sandbox_support import client

from hvdsm.aws.session import connect
from hvdsm.cli import main
from hvdsm.container.diagnosis import examine
from hvdsm.doctor.cloud import Account, clock, cloud_probes
from hvdsm.doctor.quotas import quota
from hvdsm.sandbox import Fault, Sandbox

ROLE = "arn:aws:iam::123456789012:role/training"
READS = ("Get", "List", "Describe", "Head", "Simulate")
EC2_ONLY = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


class Told(NamedTuple):
    """An exit code, the checks by name, and the text."""

    code: int
    checks: Dict[str, Dict[str, Any]]
    out: str

    def status(self, name: str) -> str:
        """How a check ended."""
        return str(self.checks[name]["status"])

    def what(self, name: str) -> str:
        """What was found."""
        return str(self.checks[name]["what"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    """One sandbox for all tests here."""
    with Sandbox.start() as started:
        client(started, "s3").create_bucket(Bucket="results")
        yield started


@pytest.fixture
def here(shared: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """The sandbox, its variables in the environment; no configuration lies around."""
    for name, value in shared.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.delenv("SAGEMAKER_ROLE", raising=False)
    monkeypatch.chdir(tmp_path)
    yield shared
    shared.faults.clear()


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> Told:
    """Run it."""
    capsys.readouterr()
    code = main(["doctor", "sagemaker", "--json", *words])
    out = capsys.readouterr().out
    found = json.loads(out)
    assert code == found["exit_code"] and found["works"] == (code == 0)
    return Told(code, {check["name"]: check for check in found["checks"]}, out)


def test_where_all_is_well_nothing_but_the_quota_is_left_open(here: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(here.requests)
    told = doctor(capsys, "--role", ROLE, "--s3-prefix", "s3://results/mine", "--instance-type", "ml.c5.xlarge")
    assert told.code == 0
    fine = ("region", "credentials", "clock", "service", "role", "permissions", "bucket")
    assert [name for name in fine if told.status(name) != "ok"] == []
    assert told.status("quota") == "not checked"
    assert told.checks["credentials"]["facts"]["account"] == "123456789012"
    assert told.checks["bucket"]["facts"]["writable"] is True
    asked = {name for name, _ in here.requests[before:]}
    assert [name for name in asked if not name.startswith(READS)] == []
    assert {"GetRole", "HeadBucket", "HeadObject", "ListTrainingJobs"} <= asked


def test_text_for_people_has_a_verdict(here: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "sagemaker", "--role", ROLE]) == 0
    told = capsys.readouterr()
    assert "ok           credentials  account 123456789012" in told.out
    assert "note         bucket" in told.out and "a launch makes it" in told.out
    assert "hvdsm: jobs can be sent to SageMaker; not checked: quota" in told.err


def test_the_role_comes_from_where_a_launch_takes_it(
    here: Sandbox, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor(capsys).status("role") == "not checked"
    big = '[profile.big]\ninstance_type = "ml.p4d.24xlarge"\ninstance_count = 4\n'
    (tmp_path / "hvdsm.toml").write_text(f'role = "{ROLE}"\n{big}')
    told = doctor(capsys, "--profile", "big")
    assert told.status("role") == "ok" and "ml.p4d.24xlarge" in told.out
    monkeypatch.setenv("SAGEMAKER_ROLE", ROLE + "-of-the-environment")
    assert "of-the-environment" in doctor(capsys).what("role")


def test_a_role_that_does_not_trust_sagemaker(here: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": [EC2_ONLY]})
    made = client(here, "iam").create_role(RoleName="machines", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    told = doctor(capsys, "--role", made)
    assert (told.code, told.status("role")) == (78, "failed")
    assert "it trusts ec2.amazonaws.com alone" in told.what("role") and "sts:AssumeRole" in told.checks["role"]["remedy"]


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("training", "is no ARN"),
        ("arn:aws:iam::999999999999:role/training", "of account 999999999999"),
        ("arn:aws-cn:iam::123456789012:role/training", "is of aws-cn"),
    ],
)
def test_a_role_that_cannot_be_one(here: Sandbox, capsys: pytest.CaptureFixture[str], role: str, words: str) -> None:
    told = doctor(capsys, "--role", role)
    assert (told.code, told.status("role")) == (78, "failed") and words in told.what("role")


def test_a_role_that_is_not_there(here: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    here.faults.add(Fault("GetRole", error="NoSuchEntity", status=404, times=None))
    told = doctor(capsys, "--role", ROLE)
    assert (told.code, told.status("role")) == (78, "failed") and "does not exist" in told.what("role")


def test_a_role_by_the_wrong_path(here: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """IAM finds a role by its name alone; SageMaker takes the whole ARN."""
    trust = {"Version": "2012-10-17", "Statement": [{**EC2_ONLY, "Principal": {"Service": "sagemaker.amazonaws.com"}}]}
    made = client(here, "iam").create_role(RoleName="placed", Path="/jobs/", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    told = doctor(capsys, "--role", "arn:aws:iam::123456789012:role/service-role/placed")
    assert (told.code, told.status("role")) == (78, "failed") and told.checks["role"]["remedy"] == f"--role {made['Arn']}"
    assert doctor(capsys, "--role", made["Arn"]).status("role") == "ok"


def test_a_role_that_the_sandbox_makes_up_has_whatever_path_it_is_named_with(
    here: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    told = doctor(capsys, "--role", "arn:aws:iam::123456789012:role/service-role/somebody")
    assert (told.code, told.status("role")) == (0, "ok")


def test_the_table_of_launch_counts(here: Sandbox, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What a launch would take, the bucket among it."""
    (tmp_path / "hvdsm.toml").write_text('[launch]\ns3_prefix = "s3://no-such-bucket/x"\n')
    told = doctor(capsys)
    assert (told.code, told.status("bucket")) == (78, "failed") and "no-such-bucket" in told.what("bucket")


def test_an_address_is_shown_without_its_password(
    here: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", here.environ()["AWS_ENDPOINT_URL"].replace("://", "://me:hunter2@"))
    told = doctor(capsys)
    assert told.status("region") == "ok" and "<masked>" in told.what("region") and "hunter2" not in told.out
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hunter2@127.0.0.1:9")
    capsys.readouterr()
    assert main(["doctor", "sagemaker"]) == 69
    said = capsys.readouterr()
    assert "cannot be reached" in said.out and "hunter2" not in said.out + said.err


def test_an_aws_configuration_that_cannot_be_read_is_the_credentials_matter(
    here: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[default\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    told = doctor(capsys)
    assert (told.code, told.status("region"), told.status("credentials")) == (78, "ok", "failed")
    config.write_text("[default]\ncredential_process = echo junk\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    told = doctor(capsys)
    assert (told.code, told.status("credentials")) == (78, "failed")
    assert "credentials cannot be read" in told.what("credentials") and "ENDPOINT" not in told.what("credentials")


def test_what_may_not_be_looked_at_is_not_checked(here: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    for operation in ("GetRole", "SimulatePrincipalPolicy", "ListServiceQuotas"):
        here.faults.add(Fault(operation, error="AccessDenied", status=403, times=None))
    told = doctor(capsys, "--role", ROLE, "--s3-prefix", "s3://results", "--instance-type", "ml.c5.xlarge")
    assert told.code == 0
    assert [told.status(name) for name in ("role", "permissions", "quota")] == ["not checked"] * 3
    assert "iam:GetRole" in told.what("role")
    assert told.status("bucket") == "ok" and told.checks["bucket"]["facts"]["writable"] is None


@pytest.mark.parametrize(
    ("operation", "fault", "code", "status"),
    [
        ("ListTrainingJobs", {"error": "AccessDeniedException"}, 0, "warning"),
        ("ListTrainingJobs", {"status": 503}, 69, "failed"),
        ("ListTrainingJobs", {"drop_connection": True}, 69, "failed"),
    ],
)
def test_the_service(
    here: Sandbox, capsys: pytest.CaptureFixture[str], operation: str, fault: Dict[str, Any], code: int, status: str
) -> None:
    here.faults.add(Fault(operation, times=None, **fault))
    told = doctor(capsys, "--role", ROLE)
    assert (told.code, told.status("service")) == (code, status)


def test_a_bucket_that_is_not_there_in_another_region_or_of_others(here: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    told = doctor(capsys, "--s3-prefix", "s3://no-such-bucket/x")
    assert (told.code, told.status("bucket")) == (78, "failed") and "there is no bucket" in told.what("bucket")
    other = {"LocationConstraint": "eu-west-1"}
    client(here, "s3", region="eu-west-1").create_bucket(Bucket="far-away", CreateBucketConfiguration=other)
    told = doctor(capsys, "--s3-prefix", "s3://far-away/x")
    assert (told.code, told.status("bucket")) == (78, "failed") and "is in eu-west-1" in told.what("bucket")
    assert doctor(capsys, "--s3-prefix", "results").what("bucket").startswith("'results' is no address")
    here.faults.add(Fault("HeadBucket", status=403, error="AccessDenied", times=None))
    told = doctor(capsys, "--s3-prefix", "s3://results/x")
    assert (told.code, told.status("bucket")) == (78, "failed") and "another account" in told.what("bucket")


def test_objects_that_may_not_be_looked_at(here: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    here.faults.add(Fault("HeadObject", status=403, error="AccessDenied", times=None))
    told = doctor(capsys, "--s3-prefix", "s3://results/x")
    assert (told.code, told.status("bucket")) == (0, "warning")


def test_expired_credentials_are_told_of_once(
    here: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expired = here.environ()
    here.faults.expire(expired["AWS_ACCESS_KEY_ID"])
    try:
        told = doctor(capsys, "--role", ROLE)
    finally:
        here.faults.renew(expired["AWS_ACCESS_KEY_ID"])
    assert (told.code, told.status("credentials")) == (69, "failed") and "expired" in told.what("credentials")
    assert [name for name in told.checks if told.status(name) == "failed"] == ["credentials"]
    assert told.status("clock") == "ok"


def test_without_credentials(here: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    told = doctor(capsys, "--role", ROLE)
    assert (told.code, told.status("credentials")) == (69, "failed") and "no AWS credentials" in told.what("credentials")
    assert told.status("role") == "not checked" and "aws configure" in told.checks["credentials"]["remedy"]


def test_nobody_answers(here: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        told = doctor(capsys, "--role", ROLE)
    assert (told.code, told.status("credentials")) == (69, "failed") and "cannot be reached" in told.what("credentials")


def test_no_region_and_no_such_profile(
    here: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = doctor(capsys, "--aws-profile", "nobody")
    assert told.code == 0 or "nobody" in told.out
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    told = doctor(capsys)
    assert (told.code, list(told.checks)) == (78, ["region"])
    told = doctor(capsys, "--aws-profile", "nobody")
    assert (told.code, list(told.checks)) == (78, ["credentials"]) and "no profile nobody" in told.what("credentials")


def test_a_clock_that_is_wrong(here: Sandbox) -> None:
    def ahead(seconds: float) -> str:
        return clock(Account(connect(environ=here.environ()), lambda: time.time() + seconds)).status

    assert [ahead(0), ahead(120), ahead(-120), ahead(900)] == ["ok", "warning", "warning", "failed"]


def test_a_region_that_botocore_does_not_know() -> None:
    from hvdsm.doctor.cloud import region, regions

    check = region(connect("eu-nowhere-7", environ={"AWS_CONFIG_FILE": "/dev/null"}))
    assert check.status == "warning" and "eu-central-1" in check.remedy
    assert region(connect("eu-central-1", environ={"AWS_CONFIG_FILE": "/dev/null"})).status == "ok"
    assert "cn-north-1" in regions("aws-cn")


CALLER = Reply(
    200,
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/me</Arn><Account>111122223333"
    b"</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
    {"Content-Type": "text/xml"},
)


def page(*quotas: Any, more: bool = False) -> Dict[str, Any]:
    found: List[Dict[str, Any]] = [{"QuotaName": name, "Value": value} for name, value in quotas]
    return {"Quotas": found, **({"NextToken": "next"} if more else {})}


@pytest.fixture
def fake() -> Iterator[FakeAws]:
    """A server whose answers a test decides."""
    with fake_aws() as started:
        started.on("GetCallerIdentity", CALLER)
        yield started


@pytest.mark.parametrize(("count", "status", "code"), [(2, "ok", 0), (3, "failed", 78)])
def test_a_quota_is_found_on_whichever_page_it_is(fake: FakeAws, count: int, status: str, code: int) -> None:
    pages = [page(("ml.c5.xlarge for endpoint usage", 9.0), more=True), page(("ml.p4d.24xlarge for training job usage", 2.0))]
    fake.on("ListServiceQuotas", pages)
    check = quota(Account(fake.aws()), "ml.p4d.24xlarge", count)
    assert (check.status, check.code, check.facts["value"]) == (status, code, 2.0)
    assert [body.get("NextToken") for name, body in fake.requests if name == "ListServiceQuotas"] == [None, "next"]


def test_a_quota_that_is_not_there_or_not_told(fake: FakeAws) -> None:
    fake.on("ListServiceQuotas", page(("ml.c5.xlarge for training job usage", 9.0)))
    assert quota(Account(fake.aws()), "ml.c5.xlarg", 1).status == "not checked"
    assert quota(Account(fake.aws()), None, 1).status == "not checked"
    fake.on("ListServiceQuotas", failure("AccessDeniedException", "not authorized to perform: servicequotas:ListServiceQuotas"))
    check = quota(Account(fake.aws()), "ml.c5.xlarge", 1)
    assert check.status == "not checked" and "servicequotas:ListServiceQuotas" in check.what


def test_an_answer_of_something_else_raises_nothing(fake: FakeAws) -> None:
    """Behind a proxy that answers with a page of its own."""
    html = Reply(200, b"<!doctype html><title>Sign in</title>", {"Content-Type": "text/html"})
    for operation in ("GetCallerIdentity", "ListTrainingJobs", "HEAD", "GetRole", "SimulatePrincipalPolicy", "ListServiceQuotas"):
        fake.on(operation, html)
    from aws_support import environ

    from hvdsm.doctor.cloud import Wanted

    checks = examine(cloud_probes(environ(fake.url), Wanted(role=ROLE, instance_type="ml.c5.xlarge")))
    found = {check.name: check for check in checks}
    assert found["credentials"].status == "failed" and found["credentials"].code == 69
    assert not [check for check in checks if "check itself failed" in check.what]
