"""``hvdsm data``: files and directories to S3 and back, against a moto server."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_support import Clock, Reply, environ, fake_aws, moto_aws, moto_server, xml_failure

from hvdsm.aws import storage
from hvdsm.aws.session import Aws
from hvdsm.cli import main
from hvdsm.cli.data import Progress

BUCKET = "hvdsm-test"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> Aws:
    use(moto, monkeypatch)
    made = moto_aws(moto)
    made.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": made.region})
    return made


def use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ(url).items():
        monkeypatch.setenv(name, value)


def keys(aws: Aws) -> list[str]:
    return [entry.key for entry in storage.list_objects(aws, f"s3://{BUCKET}/")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_text("aa")
    (root / "sub" / "b").write_text("bbb")
    return root


def test_a_directory_there_and_back(aws: Aws, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"s3://{BUCKET}/set/"
    assert main(["data", "upload", str(data), uri]) == 0
    assert capsys.readouterr().out == f"2 files, 5 bytes from {data} to {uri}\n"
    assert keys(aws) == ["set/a", "set/sub/b"]
    assert main(["data", "download", uri, str(tmp_path / "back")]) == 0
    assert capsys.readouterr().out == f"2 files, 5 bytes from {uri} to {tmp_path / 'back'}\n"
    assert (tmp_path / "back" / "sub" / "b").read_text() == "bbb"
    assert main(["data", "download", uri.rstrip("/"), str(tmp_path / "again")]) == 0
    assert sorted(os.listdir(tmp_path / "again")) == ["a", "sub"]


def test_a_second_time_goes_on(aws: Aws, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"s3://{BUCKET}/set"
    main(["data", "upload", str(data / "a"), f"{uri}/a"])
    capsys.readouterr()
    assert main(["data", "upload", str(data), uri]) == 0
    assert "1 file, 3 bytes (and 1 file, 2 bytes, there already)" in capsys.readouterr().out
    assert main(["data", "upload", "--force", str(data), uri]) == 0
    assert capsys.readouterr().out.startswith("2 files, 5 bytes from")
    assert main(["data", "download", uri, str(data)]) == 0
    assert "0 files, 0 bytes (and 2 files, 5 bytes, there already)" in capsys.readouterr().out


@pytest.mark.parametrize(("uri", "key"), [("", "a"), ("/", "a"), ("/folder/", "folder/a"), ("/name", "name")])
def test_where_a_file_goes(aws: Aws, data: Path, uri: str, key: str) -> None:
    assert main(["data", "upload", str(data / "a"), f"s3://{BUCKET}{uri}"]) == 0
    assert keys(aws) == [key]


@pytest.mark.parametrize(("target", "path"), [(".", "key"), ("new", "new"), ("new/", "new/key"), ("there", "there/key")])
def test_where_an_object_goes(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], target: str, path: str
) -> None:
    storage.put_bytes(aws, b"x", f"s3://{BUCKET}/some/key")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["data", "download", f"s3://{BUCKET}/some/key", target]) == 0
    assert (tmp_path / path).read_bytes() == b"x"
    assert "1 file, 1 bytes" in capsys.readouterr().out


def test_json(aws: Aws, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"s3://{BUCKET}/set"
    assert main(["data", "upload", "--json", str(data), uri]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("seconds") >= 0
    assert found == {"path": str(data), "uri": uri, "files": 2, "bytes": 5, "present": 0, "present_bytes": 0}
    aws.client("s3").put_object(Bucket=BUCKET, Key="set/empty/")
    assert main(["data", "download", "--json", uri, str(tmp_path / "back")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["files"], found["folders"], found["path"]) == (2, 1, str(tmp_path / "back"))
    assert (tmp_path / "back" / "empty").is_dir()
    assert main(["data", "download", "--json", f"s3://{BUCKET}/none", str(tmp_path)]) == 78
    said = capsys.readouterr()
    assert json.loads(said.out)["exit_code"] == 78
    assert "there is no object of this name" in said.err


def test_a_key_of_ones_own(aws: Aws, data: Path) -> None:
    assert main(["data", "upload", "--kms-key", "alias/mine", str(data), f"s3://{BUCKET}/"]) == 0
    assert aws.client("s3").head_object(Bucket=BUCKET, Key="a")["SSEKMSKeyId"] == "alias/mine"


def test_keys_that_lead_out(aws: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage.put_bytes(aws, b"good", f"s3://{BUCKET}/set/a")
    # Sent as it is: a client would make the path shorter.
    aws.client("s3").put_object(Bucket=BUCKET, Key="set/x/../../../evil", Body=b"bad")
    assert "set/x/../../../evil" in keys(aws)
    assert main(["data", "download", f"s3://{BUCKET}/set", str(tmp_path / "one" / "two")]) == 78
    said = capsys.readouterr().err
    assert "set/x/../../../evil (it would lead to another directory)" in said
    assert "nothing was written" in said
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["upload", "/no/such/path", "s3://abc/"], 78, "there is no such file or directory"),
        (["upload", "/etc/hostname", "/tmp/x"], 78, "is no address of S3"),
        (["download", "/tmp/x", "/tmp/y"], 78, "is no address of S3"),
        (["download", "s3://no-such-bucket/x", "/tmp/y"], 78, "there is no such bucket"),
        (["download", "--region", "nowhere", "s3://abc/x"], 78, "is no name of an AWS region"),
        (["upload", "--aws-profile", "nobody", "/etc/hostname", "s3://abc/"], 78, "no profile nobody"),
        (["upload"], 2, "Missing argument"),
    ],
)
def test_what_is_wrong(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    if "--aws-profile" in words:
        monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert main(["data", *words]) == code
    assert said in capsys.readouterr().err


def test_a_folder_onto_a_file(aws: Aws, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "upload", str(data), f"s3://{BUCKET}/set"])
    assert main(["data", "download", f"s3://{BUCKET}/set", str(data / "a")]) == 2
    assert "is a folder of 2 objects" in capsys.readouterr().err


def test_credentials_that_may_write_but_not_list(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_aws() as fake:
        use(fake.url, monkeypatch)
        fake.on("GET", xml_failure("AccessDenied", "no", 403))
        fake.on("PUT", Reply(200, b"", {"ETag": '"x"'}))
        assert main(["data", "upload", str(data), "s3://bucket/set"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("2 files, 5 bytes")
    assert "cannot be seen without s3:ListBucket: everything is copied" in said.err


def test_expired_credentials_end_with_69(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with fake_aws() as fake:
        use(fake.url, monkeypatch)
        fake.on("GET", xml_failure("ExpiredToken", "The provided token has expired.", 400))
        assert main(["data", "upload", str(data), "s3://bucket/set"]) == 69
    assert "the AWS credentials have expired" in capsys.readouterr().err


def test_an_interrupt_removes_parts_and_says_what_stays(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (9 << 20))
    program = """
import _thread, sys
from hvdsm.cli import main
sys.exit(main(["data", "upload", sys.argv[1], "s3://bucket/large"]))
"""
    begun, go_on, aborted = threading.Event(), threading.Event(), threading.Event()
    with fake_aws() as fake:
        listing = Reply(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        upload = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"

        def part(_body: object) -> Reply:
            begun.set()
            go_on.wait(60)
            return Reply(200, b"", {"ETag": '"x"'})

        def gone(_body: object) -> Reply:
            aborted.set()
            return Reply(204, b"")

        fake.on("GET", listing)
        fake.on("POST", Reply(200, upload))
        fake.on("PUT", part)
        fake.on("DELETE", gone)
        variables = {**os.environ, **environ(fake.url)}
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "large")], env=variables, stderr=subprocess.PIPE, text=True
        )
        assert begun.wait(60)
        process.send_signal(2)
        go_on.set()
        _, said = process.communicate(timeout=60)
        assert aborted.is_set()
    assert process.returncode == 130
    assert "what has been copied until now stays" in said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_one_line() -> None:
    clock, stream = Clock(), Terminal()
    progress = Progress(stream, clock)
    progress.begin(3, 4_000_000)
    progress.add(10)
    assert stream.getvalue() == "", "not more often than the eye sees"
    clock.wait(1)
    progress.add(999_990)
    assert stream.getvalue() == "\r\x1b[Khvdsm: 25 % of 3 files, 1,000,000 of 4,000,000 bytes, 1.0 MB/s"
    progress.say("waiting")
    progress.end()
    assert stream.getvalue().endswith("MB/s\r\x1b[Khvdsm: waiting\n")


def test_progress_elsewhere_is_a_line_now_and_then() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock)
    progress.begin(1, 100)
    for _ in range(100):
        clock.wait(0.1)
        progress.add(1)
    progress.end()
    lines = stream.getvalue().splitlines()
    assert len(lines) in (1, 2)
    assert lines[0].startswith("hvdsm: 5")
    assert "\r" not in stream.getvalue()


def test_a_long_listing_says_how_far_it_is() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock)
    for _ in progress.seen(range(12)):
        clock.wait(1.0)
    assert stream.getvalue().splitlines()[0] == "hvdsm: looking at what is there: 6 objects"
