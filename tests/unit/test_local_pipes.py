"""Channels in Pipe mode: what a reader of the named pipes gets."""

from __future__ import annotations

import gzip
import os
import struct
import threading
from pathlib import Path
from typing import Iterator, List

import pytest

from hvdsm.backends.local.data import PipeFormat
from hvdsm.backends.local.pipes import Feeder, check_files, record
from hvdsm.errors import ConfigError


@pytest.fixture
def files(tmp_path: Path) -> List[str]:
    found = []
    for name, content in (("a", b"first\n"), ("b", b"second\n" * 50000), ("c", b"")):
        (tmp_path / name).write_bytes(content)
        found.append(str(tmp_path / name))
    return found


@pytest.fixture
def directory(tmp_path: Path) -> str:
    place = tmp_path / "data"
    place.mkdir()
    return str(place)


def feeding(directory: str, files: List[str], form: PipeFormat) -> Iterator[Feeder]:
    feeder = Feeder(directory, "train", files, form)
    feeder.start()
    try:
        yield feeder
    finally:
        feeder.close()


def read(directory: str, epoch: int) -> bytes:
    with open(os.path.join(directory, f"train_{epoch}"), "rb") as file:
        return file.read()


def content(files: List[str]) -> bytes:
    return b"".join(Path(path).read_bytes() for path in files)


def test_every_epoch_is_the_whole_channel(directory: str, files: List[str]) -> None:
    for feeder in feeding(directory, files, PipeFormat()):
        assert [read(directory, epoch) for epoch in range(3)] == [content(files)] * 3
        assert feeder.error is None


def test_a_reader_that_goes_early_has_the_next_epoch_whole(directory: str, files: List[str]) -> None:
    for _ in feeding(directory, files, PipeFormat()):
        with open(os.path.join(directory, "train_0"), "rb") as file:
            assert file.read(5) == b"first"
        assert read(directory, 1) == content(files)


def test_nobody_reads(directory: str, files: List[str]) -> None:
    for _ in feeding(directory, files, PipeFormat()):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "hvdsm-train"]


def test_never_started(directory: str, files: List[str]) -> None:
    feeder = Feeder(directory, "train", files, PipeFormat())
    feeder.close()
    feeder.close()


def test_gzip_is_uncompressed(directory: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"plain\n" * 1000))
    for _ in feeding(directory, [str(path)], PipeFormat(gzip=True)):
        assert read(directory, 0) == b"plain\n" * 1000


def test_each_file_is_a_record(directory: str, files: List[str]) -> None:
    for _ in feeding(directory, files, PipeFormat(record_io=True)):
        stream = read(directory, 0)
    found = []
    while stream:
        magic, length = struct.unpack("<II", stream[:8])
        assert magic == 0xCED7230A
        found.append(stream[8 : 8 + length])
        stream = stream[8 + length + (-length % 4) :]
    assert found == [Path(path).read_bytes() for path in files]


def test_shuffled_from_epoch_to_epoch_and_the_same_again(directory: str, tmp_path: Path) -> None:
    paths = []
    for number in range(20):
        (tmp_path / str(number)).write_text(f"{number} ")
        paths.append(str(tmp_path / str(number)))
    for _ in feeding(directory, paths, PipeFormat(seed=7)):
        first, second = read(directory, 0), read(directory, 1)
    assert sorted(first.split()) == sorted(second.split()) and first != second != content(paths)
    other = tmp_path / "other"
    other.mkdir()
    for _ in feeding(str(other), paths, PipeFormat(seed=7)):
        assert read(str(other), 0) == first


def test_a_host_cannot_lead_the_stream_elsewhere(directory: str, files: List[str], tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for _ in feeding(directory, files, PipeFormat()):
        assert read(directory, 0) == content(files)
        pipe = os.path.join(directory, "train_1")
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        os.unlink(pipe)
        os.symlink(victim, pipe)
        os.close(reader)
    assert victim.read_text() == "mine"


def test_files_are_checked_before(tmp_path: Path, files: List[str]) -> None:
    with pytest.raises(ConfigError, match="is not compressed by gzip") as caught:
        check_files("train", files, PipeFormat(gzip=True))
    assert caught.value.where == "channel train"
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(1 << 29)
    with pytest.raises(ConfigError, match="too long for one RecordIO record"):
        check_files("train", [str(large)], PipeFormat(record_io=True))
    check_files("train", [str(large)], PipeFormat())


def test_padding() -> None:
    assert b"".join(record("x", b"12345"))[8:] == b"12345\0\0\0" and b"".join(record("x", b"1234"))[8:] == b"1234"
