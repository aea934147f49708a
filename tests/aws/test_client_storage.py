"""Objects, files and folders of S3, on a moto server and against faults."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_support import DROP, Clock, Reply, fake_aws, moto_aws, moto_server, xml_failure

from hvdsm.aws import storage
from hvdsm.aws.etags import is_same
from hvdsm.aws.session import Aws
from hvdsm.errors import CloudRefused, CloudUnavailable, ConfigError

BUCKET = "hvdsm-test"
MB = 1 << 20


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def aws(moto: str) -> Aws:
    made = moto_aws(moto)
    made.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": made.region})
    return made


def keys(aws: Aws, prefix: str = "") -> list[str]:
    return [entry.key for entry in storage.list_objects(aws, f"s3://{BUCKET}/{prefix}")]


@pytest.mark.parametrize(
    ("uri", "parts"), [("s3://abc/k/e y", ("abc", "k/e y")), ("s3://abc", ("abc", "")), ("S3://abc/", ("abc", ""))]
)
def test_split(uri: str, parts: tuple[str, str]) -> None:
    assert storage.split_uri(uri) == parts


@pytest.mark.parametrize("uri", ["abc/k", "s3:/abc/k", "s3://", "s3://A_b/k", "https://abc/k", "s3:///k"])
def test_what_is_no_address(uri: str) -> None:
    with pytest.raises(ConfigError, match="is no address of S3"):
        storage.split_uri(uri)


def test_bytes_there_and_back(aws: Aws) -> None:
    uri = f"s3://{BUCKET}/some/odd key ü+%"
    storage.put_bytes(aws, b"hello", uri)
    assert storage.read_bytes(aws, uri, 5) == b"hello"
    found = storage.find_object(aws, uri)
    assert found is not None
    assert (found.key, found.size, found.etag) == ("some/odd key ü+%", 5, "5d41402abc4b2a76b9719d911017c592")
    with pytest.raises(ConfigError, match="has 5 bytes, more than 4"):
        storage.read_bytes(aws, uri, 4)


def test_what_is_not_there(aws: Aws) -> None:
    assert storage.find_object(aws, f"s3://{BUCKET}/nothing") is None
    assert storage.find_object(aws, f"s3://{BUCKET}/") is None
    with pytest.raises(CloudRefused, match="there is no such object"):
        storage.read_bytes(aws, f"s3://{BUCKET}/nothing", 1)
    with pytest.raises(CloudRefused, match="there is no such bucket"):
        list(storage.list_objects(aws, "s3://no-such-bucket/"))
    with pytest.raises(CloudRefused, match="cannot upload it: there is no such bucket"):
        storage.upload_file(aws, __file__, "s3://no-such-bucket/k")


def test_a_file_in_parts_and_its_progress(aws: Aws, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(17 * MB))
    told: list[int] = []
    storage.upload_file(aws, str(path), f"s3://{BUCKET}/large", progress=told.append)
    assert sum(told) == 17 * MB
    found = storage.find_object(aws, f"s3://{BUCKET}/large")
    assert found is not None
    assert found.etag.endswith("-3")
    assert is_same(aws, str(path), BUCKET, found)
    told.clear()
    target = tmp_path / "new" / "directory" / "large"
    assert storage.download(aws, f"s3://{BUCKET}/large", str(target), progress=told.append) == 17 * MB
    assert target.read_bytes() == path.read_bytes()
    assert sum(told) == 17 * MB
    assert os.listdir(target.parent) == ["large"], "no temporary file is left"
    path.write_bytes(b"x" * (17 * MB))
    assert not is_same(aws, str(path), BUCKET, found)


def test_an_empty_file(aws: Aws, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    storage.upload_file(aws, str(tmp_path / "empty"), f"s3://{BUCKET}/empty")
    assert storage.download(aws, f"s3://{BUCKET}/empty", str(tmp_path / "back")) == 0
    assert (tmp_path / "back").read_bytes() == b""


def test_encryption_by_a_key(aws: Aws, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    storage.upload_tree(aws, str(tmp_path), f"s3://{BUCKET}/t", kms="alias/mine")
    storage.put_bytes(aws, b"b", f"s3://{BUCKET}/t/b", kms="alias/mine")
    for key in ("t/a", "t/b"):
        answer = aws.client("s3").head_object(Bucket=BUCKET, Key=key)
        assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"]) == ("aws:kms", "alias/mine")


def tree(root: Path) -> Path:
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "sub" / "b c.txt").write_text("bb")
    (root / "sub" / "deeper" / "ü").write_text("ccc")
    (root / "link").symlink_to("a.txt")
    (root / "directory link").symlink_to("sub/deeper")
    (root / "empty").mkdir()
    return root


def test_a_directory_with_links(aws: Aws, tmp_path: Path) -> None:
    root = tree(tmp_path / "data")
    wanted = ["a.txt", "directory link/ü", "link", "sub/b c.txt", "sub/deeper/ü"]
    for folder in ("t", "u/"):
        assert storage.upload_tree(aws, str(root), f"s3://{BUCKET}/{folder}") == (5, 10)
        assert keys(aws, folder[0] + "/") == [f"{folder[0]}/{name}" for name in wanted]
    assert storage.upload_tree(aws, str(root / "sub"), f"s3://{BUCKET}") == (2, 5)
    assert "deeper/ü" in keys(aws)


def test_what_cannot_be_uploaded_is_named_and_nothing_is_sent(aws: Aws, tmp_path: Path) -> None:
    root = tree(tmp_path / "data")
    (root / "lost").symlink_to("nowhere")
    (root / "sub" / "up").symlink_to("..")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        with pytest.raises(ConfigError) as caught:
            storage.upload_tree(aws, str(root), f"s3://{BUCKET}/t")
    for part in (
        "lost (a link to nothing)",
        "sub/up (a link to a directory above it)",
        "pipe (no regular file)",
        "socket (no regular",
    ):
        assert part in str(caught.value)
    assert keys(aws) == []


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(tmp_path), b"\xff"), "wb"):
        pass
    with pytest.raises(ConfigError, match="its name is not UTF-8"):
        storage.tree_files(str(tmp_path))


def test_nothing_to_upload(aws: Aws, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no files"):
        storage.upload_tree(aws, str(tmp_path), f"s3://{BUCKET}/t")
    with pytest.raises(ConfigError, match="there is no such directory"):
        storage.upload_tree(aws, str(tmp_path / "none"), f"s3://{BUCKET}/t")
    with pytest.raises(ConfigError, match="there is no such file"):
        storage.upload_file(aws, str(tmp_path), f"s3://{BUCKET}/t")
    with pytest.raises(ConfigError, match="names no object"):
        storage.upload_file(aws, __file__, f"s3://{BUCKET}/t/")
    with pytest.raises(ConfigError, match="longer than 1024 bytes"):
        storage.upload_file(aws, __file__, f"s3://{BUCKET}/{'k' * 1025}")


def test_more_objects_than_a_page_and_a_window(aws: Aws, tmp_path: Path) -> None:
    for number in range(205):
        (tmp_path / f"{number:04}").write_text(str(number))
    assert storage.upload_tree(aws, str(tmp_path), f"s3://{BUCKET}/many")[0] == 205
    found = list(storage.list_objects(aws, f"s3://{BUCKET}/many/", page_size=50))
    assert [entry.key for entry in found] == [f"many/{number:04}" for number in range(205)]
    assert len(list(storage.list_objects(aws, f"s3://{BUCKET}/many/", 7))) == 7
    assert len(list(storage.list_objects(aws, f"s3://{BUCKET}/many/", 53, page_size=50))) == 53
    wanted, _ = storage.targets(found, "many/", str(tmp_path / "back"))
    assert storage.download_files(aws, BUCKET, wanted).files == 205
    assert (tmp_path / "back" / "0204").read_text() == "204"


def test_only_what_is_missing_goes_again(aws: Aws, tmp_path: Path) -> None:
    root = tree(tmp_path / "data")
    names = [name for name, _ in storage.tree_files(str(root))]
    files = storage.keyed(str(root), names, f"s3://{BUCKET}/t")
    assert storage.upload_files(aws, files[:3]).files == 3
    known = {entry.key: entry for entry in storage.list_objects(aws, f"s3://{BUCKET}/t")}
    told: list[int] = []
    done = storage.upload_files(aws, files, known=known, progress=told.append)
    assert (done.files, done.size, done.present, done.present_size) == (2, 5, 3, 5)
    assert sum(told) == 10
    told.clear()
    (root / "a.txt").write_text("z")
    assert storage.upload_files(aws, files[:1], known=known, progress=told.append).files == 1
    assert sum(told) == 1, "what was read in vain is taken back"
    (root / "a.txt").write_text("y")
    known = {entry.key: entry for entry in storage.list_objects(aws, f"s3://{BUCKET}/t")}
    assert storage.upload_files(aws, files, known=known).files == 2, "a.txt, and the link to it"
    # What another key encrypts cannot be compared.
    assert storage.upload_files(aws, files, known=known, kms="alias/mine").files == 5


def test_a_download_goes_on_where_it_was(aws: Aws, tmp_path: Path) -> None:
    for name in ("a", "b"):
        storage.put_bytes(aws, name.encode() * 5, f"s3://{BUCKET}/t/{name}")
    found = list(storage.list_objects(aws, f"s3://{BUCKET}/t/"))
    wanted, _ = storage.targets(found, "t/", str(tmp_path))
    (tmp_path / "a").write_bytes(b"aaaaa")
    (tmp_path / "b").write_bytes(b"other")
    done = storage.download_files(aws, BUCKET, wanted)
    assert (done.files, done.present) == (1, 1)
    assert (tmp_path / "b").read_bytes() == b"bbbbb"
    assert storage.download_files(aws, BUCKET, wanted, compare=False).files == 2


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["t/../../etc/passwd"], "lead to another directory"),
        (["t/.."], "lead to another directory"),
        (["t/./a"], "lead to another directory"),
        (["t//etc/passwd"], "empty part"),
        (["t/a//b"], "empty part"),
        (["t/a", "t/a/b"], "both a file and a directory"),
        (["t/a", "t/a/"], "both a file and a directory"),
        (["t/" + "n" * 256], "longer than 255 bytes"),
        (["t/a\0b"], "characters that no file's name has"),
        (["t/out/secret"], "a link there leads out of"),
        (["t/there"], "there is a directory of this name"),
    ],
)
def test_keys_that_must_not_become_files(tmp_path: Path, names: list[str], word: str) -> None:
    root = tmp_path / "target"
    (root / "there").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    objects = [storage.Object("t/good", 1, ""), *(storage.Object(name, 0, "") for name in names)]
    with pytest.raises(ConfigError, match="nothing was written") as caught:
        storage.targets(objects, "t/", str(root))
    assert word in str(caught.value)
    assert repr(names[-1])[1:4] in str(caught.value)


def test_markers_of_folders(tmp_path: Path) -> None:
    objects = [storage.Object("t/", 0, ""), storage.Object("t/a/", 0, ""), storage.Object("t/a/b", 1, "")]
    files, folders = storage.targets(objects, "t/", str(tmp_path))
    assert [path for _, path in files] == [str(tmp_path / "a" / "b")]
    assert folders == [str(tmp_path), str(tmp_path / "a")]
    with pytest.raises(ConfigError, match="named like a folder, but has content"):
        storage.targets([storage.Object("t/a/", 3, "")], "t/", str(tmp_path))


def test_a_link_is_replaced_and_not_followed(aws: Aws, tmp_path: Path) -> None:
    storage.put_bytes(aws, b"new", f"s3://{BUCKET}/t/a")
    (tmp_path / "outside").write_text("old")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "a").symlink_to(tmp_path / "outside")
    wanted, _ = storage.targets(list(storage.list_objects(aws, f"s3://{BUCKET}/t/")), "t/", str(tmp_path / "target"))
    storage.download_files(aws, BUCKET, wanted)
    assert (tmp_path / "outside").read_text() == "old"
    assert (tmp_path / "target" / "a").read_text() == "new"


def test_a_target_that_cannot_be_written(aws: Aws, tmp_path: Path) -> None:
    storage.put_bytes(aws, b"new", f"s3://{BUCKET}/a")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        storage.download(aws, f"s3://{BUCKET}/a", str(tmp_path / "file" / "a"))
    assert caught.value.where == str(tmp_path / "file")
    with pytest.raises(ConfigError):
        storage.download(aws, f"s3://{BUCKET}/a", str(tmp_path))


def test_the_default_bucket(aws: Aws) -> None:
    name = "sagemaker-eu-central-1-123456789012"
    assert storage.default_bucket(aws) == name
    with pytest.raises(CloudRefused):
        list(storage.list_objects(aws, f"s3://{name}/"))
    for _ in range(2):
        assert storage.default_bucket(aws, create=True) == name
    client = aws.client("s3")
    assert client.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"
    blocked = client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert len(blocked) == 4
    assert all(blocked.values())
    rules = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def identity_xml() -> Reply:
    return Reply(
        200,
        b"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::1:user/me</Arn><Account>111122223333</Account>"
        b"</GetCallerIdentityResult></GetCallerIdentityResponse>",
        {"Content-Type": "text/xml"},
    )


def test_the_default_bucket_of_somebody_else() -> None:
    with fake_aws() as fake:
        fake.on("GetCallerIdentity", identity_xml())
        fake.on("HEAD", Reply(403))
        with pytest.raises(CloudRefused, match="belongs to another account") as caught:
            storage.default_bucket(fake.aws(), create=True)
        asked = [headers for (name, _), headers in zip(fake.requests, fake.headers, strict=True) if name == "HEAD"]
    assert asked[0]["x-amz-expected-bucket-owner"] == "111122223333"
    assert "--s3-prefix" in str(caught.value)


def test_a_bucket_that_was_made_but_not_protected() -> None:
    with fake_aws() as fake:
        fake.on("GetCallerIdentity", identity_xml())
        fake.on("HEAD", Reply(404))
        fake.on("PUT", [Reply(200, b""), xml_failure("AccessDenied", "no", 403)])
        with pytest.raises(CloudRefused, match="cannot protect the bucket, which has been created") as caught:
            storage.default_bucket(fake.aws(), create=True)
    assert "s3:PutBucketPublicAccessBlock" in str(caught.value)


def test_an_upload_waits_for_the_network_where_somebody_is_told(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name * 3)
    clock, said, told = Clock(), [], list[int]()
    with fake_aws() as fake:
        fake.on("PUT", [DROP, DROP, xml_failure("SlowDown", "reduce", 503), DROP, Reply(200, b"", {"ETag": '"x"'})])
        files = storage.keyed(str(tmp_path), "abc", "s3://bucket/t")
        done = storage.upload_files(fake.aws(), files, say=said.append, progress=told.append, clock=clock, wait=clock.wait)
    assert (done.files, done.size) == (3, 9)
    assert sum(told) == 9
    assert len(said) == 2
    assert clock.waits


def test_an_upload_that_nobody_is_told_of_fails_at_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with fake_aws() as fake:
        fake.on("PUT", DROP)
        with pytest.raises(CloudUnavailable, match="cannot upload it: AWS cannot be reached"):
            storage.upload_file(fake.aws(), str(tmp_path / "a"), "s3://bucket/a")
        assert fake.count("PUT") == 1


def test_a_bucket_of_another_region_and_an_archived_object() -> None:
    with fake_aws() as fake:
        fake.on("GET", xml_failure("PermanentRedirect", "The bucket you are attempting to access must be addressed", 301))
        with pytest.raises(CloudRefused, match="the bucket is in another region"):
            list(storage.list_objects(fake.aws(), "s3://bucket/a"))
        fake.on("GET", xml_failure("InvalidObjectState", "The operation is not valid for the object's storage class", 403))
        with pytest.raises(CloudRefused, match="the object is archived"):
            storage.read_bytes(fake.aws(), "s3://bucket/a", 10)
