"""Where a request's data lies: paths, a directory that stands for S3, prefixes, shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from hvdsm.backends.local.data import channel_data, locate, shard, split_s3
from hvdsm.compose.request import channel_of, file_uri
from hvdsm.errors import ConfigError


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def names(root: Path, uri: str, **change: str) -> list:
    channel = channel_of("train", uri)
    channel["DataSource"]["S3DataSource"].update(change)
    return [name for name, _ in channel_data(channel, str(root)).files]


def test_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, "my data/a.csv")
    found = channel_data(channel_of("train", file_uri(str(tmp_path / "my data"))), None)
    assert (found.directory, found.files) == (str(tmp_path / "my data"), ())


def test_single_file(tmp_path: Path) -> None:
    write(tmp_path, "a b.csv")
    found = channel_data(channel_of("train", file_uri(str(tmp_path / "a b.csv"))), None)
    assert found.files == (("a b.csv", str(tmp_path / "a b.csv")),)


@pytest.mark.parametrize("made", [False, True])
def test_missing_and_empty_are_errors(tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / "x" / "empty").mkdir(parents=True)
    with pytest.raises(ConfigError, match="channel train"):
        channel_data(channel_of("train", file_uri(str(tmp_path / "x"))), None)


def test_s3_folder_under_a_root(tmp_path: Path) -> None:
    write(tmp_path, "bucket/data/train/a", "bucket/data/train/deep/b")
    for uri in ("s3://bucket/data/train", "s3://bucket/data/train/"):
        assert channel_data(channel_of("train", uri), str(tmp_path)).directory == str(tmp_path / uri[5:])


def test_s3_prefix_matches_siblings(tmp_path: Path) -> None:
    write(tmp_path, "b/d/train/a", "b/d/train-2/c", "b/d/train.csv", "b/d/test")
    assert names(tmp_path, "s3://b/d/train") == ["a", "train-2/c", "train.csv"]
    assert names(tmp_path, "s3://b/d/tra") == ["train-2/c", "train.csv", "train/a"]
    with pytest.raises(ConfigError, match=r"s3://b/d/none"):
        names(tmp_path, "s3://b/d/none")


def test_source_has_no_siblings(tmp_path: Path) -> None:
    write(tmp_path, "b/src/t.py", "b/src-old/t.py")
    assert locate("source", "s3://b/src", str(tmp_path), "source", siblings=False).directory == str(tmp_path / "b/src")


def test_shards_are_disjoint_and_complete(tmp_path: Path) -> None:
    write(tmp_path, *(f"b/d/{n}" for n in "edcba"))
    channel = channel_of("train", "s3://b/d")
    channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    found = channel_data(channel, str(tmp_path))
    assert found.sharded
    parts = [[name for name, _ in shard(found.files, index, 2)] for index in range(2)]
    assert parts == [["a", "c", "e"], ["b", "d"]]


def test_download_when_no_directory_stands_for_s3() -> None:
    assert channel_data(channel_of("train", "s3://b/d"), None).download == "s3://b/d"


@pytest.mark.parametrize(
    "channel",
    [
        {"ChannelName": "c", "DataSource": {"FileSystemDataSource": {}}},
        {"ChannelName": "c", "DataSource": {"DatasetSource": {"DatasetArn": "arn:aws:…"}}},
        {"ChannelName": "c", "DataSource": {"S3DataSource": {"S3DataType": "AugmentedManifestFile", "S3Uri": "s3://b/m"}}},
        channel_of("c", "https://b/d"),
        channel_of("c", "s3://"),
    ],
)
def test_what_cannot_be_rehearsed_is_said(channel: dict) -> None:
    with pytest.raises(ConfigError):
        channel_data(channel, None)


def test_bucket_and_key() -> None:
    assert split_s3("s3://b/k/l m") == ("b", "k/l m")
    assert split_s3("s3://b") == ("b", "")
