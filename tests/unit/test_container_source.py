"""Source directories, files and tarballs: what is taken, and what is refused."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Callable, Dict

import pytest

from hvdsm.compose.environment import Paths
from hvdsm.compose.request import file_uri
from hvdsm.container import source
from hvdsm.errors import ConfigError


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(str(tmp_path / "ml"))
    os.makedirs(found.code)
    return found


def tarball(path: Path, fill: Callable[[tarfile.TarFile], None]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        fill(tar)
    return path


def add(tar: tarfile.TarFile, name: str, text: str = "x", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(member, key, value)
    data = text.encode() if member.isreg() else b""
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


HOSTILE: Dict[str, Callable[[tarfile.TarFile], None]] = {
    "parent": lambda tar: add(tar, "../out"),
    "parent inside": lambda tar: add(tar, "a/../../out"),
    "absolute": lambda tar: add(tar, "/tmp/hvdsm-out"),
    "absolute symlink": lambda tar: add(tar, "link", type=tarfile.SYMTYPE, linkname="/etc"),
    "relative symlink": lambda tar: add(tar, "a/link", type=tarfile.SYMTYPE, linkname="../../out"),
    "hard link": lambda tar: add(tar, "link", type=tarfile.LNKTYPE, linkname="../secret"),
    "absolute hard link": lambda tar: add(tar, "link", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "character device": lambda tar: add(tar, "dev", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": lambda tar: add(tar, "dev", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
    "fifo": lambda tar: add(tar, "pipe", type=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_member_that_leads_out_or_is_no_file_is_refused(tmp_path: Path, paths: Paths, kind: str) -> None:
    archive = tarball(tmp_path / "s.tar.gz", HOSTILE[kind])
    (tmp_path / "ml" / "secret").write_text("s")
    with pytest.raises(ConfigError, match="leads out of the archive or is no file") as caught:
        source.fetch(paths, str(archive))
    assert str(archive) in str(caught.value)
    assert os.listdir(paths.code) == []
    assert not (tmp_path / "ml" / "out").exists()


def test_links_inside_keep_working_and_modes_are_sane(tmp_path: Path, paths: Paths) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        add(tar, "run.sh", "#!/bin/sh\n", mode=0o6777, uid=4242, gid=4242)
        add(tar, "alias", type=tarfile.SYMTYPE, linkname="run.sh")
        add(tar, "hard", type=tarfile.LNKTYPE, linkname="run.sh", mode=0o6777)

    source.fetch(paths, str(tarball(tmp_path / "s.tar.gz", fill)))
    run = os.stat(paths.code + "/run.sh")
    assert (run.st_mode & 0o7777, run.st_uid) == (0o755, os.getuid())
    assert os.readlink(paths.code + "/alias") == "run.sh"
    assert os.path.samefile(paths.code + "/hard", paths.code + "/run.sh")


@pytest.mark.parametrize("form", ["directory", "file", "tarball", "uri"])
def test_names_with_spaces_quotes_and_percent_signs(tmp_path: Path, paths: Paths, form: str) -> None:
    folder = tmp_path / "my 'source' 100% é#1"
    folder.mkdir()
    (folder / "train it.py").write_text("1")
    submitted = {
        "directory": str(folder),
        "file": str(folder / "train it.py"),
        "tarball": str(tarball(folder / "s p.tgz", lambda tar: add(tar, "train it.py"))),
        "uri": file_uri(str(folder)),
    }[form]
    source.fetch(paths, submitted)
    assert "train it.py" in os.listdir(paths.code)


def test_a_uri_of_a_path_that_is_no_utf8(tmp_path: Path, paths: Paths) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"na\xffme")
    os.mkdir(folder)
    with open(os.path.join(folder, b"t.py"), "w"):
        pass
    source.fetch(paths, file_uri(os.fsdecode(folder)))
    assert os.listdir(paths.code) == ["t.py"]


def test_what_tools_leave_is_not_copied_and_links_stay_links(tmp_path: Path, paths: Paths) -> None:
    folder = tmp_path / "s"
    for name in (".git", "__pycache__", ".venv", "pkg"):
        (folder / name).mkdir(parents=True)
    (folder / "link").symlink_to("pkg")
    source.fetch(paths, str(folder))
    assert sorted(os.listdir(paths.code)) == ["link", "pkg"]
    assert os.path.islink(paths.code + "/link")


def test_code_in_place_is_left_alone(paths: Paths) -> None:
    Path(paths.code, "train.py").write_text("1")
    for submitted in (None, paths.code, paths.code + "/", "file://" + paths.code):
        assert "already in" in source.fetch(paths, submitted)
        assert os.listdir(paths.code) == ["train.py"]


@pytest.mark.parametrize("form", ["directory", "tarball"])
def test_a_source_inside_of_the_code_directory_is_not_lost(paths: Paths, form: str) -> None:
    inner = Path(paths.code, "src")
    inner.mkdir()
    (inner / "train.py").write_text("1")
    archive = tarball(Path(paths.code, "s.tar.gz"), lambda tar: add(tar, "train.py"))
    try:
        source.fetch(paths, str(inner if form == "directory" else archive))
    except ConfigError:
        assert (inner / "train.py").exists()
        assert archive.exists()
    else:
        assert Path(paths.code, "train.py").exists()


@pytest.mark.parametrize(("submitted", "message"), [("s3://b/s.tar.gz", "cannot fetch"), ("/does/not/exist", "does not exist")])
def test_a_source_that_cannot_be_had(paths: Paths, submitted: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        source.fetch(paths, submitted)
    assert "sagemaker_submit_directory" in str(caught.value)


def test_a_damaged_tarball_is_named(tmp_path: Path, paths: Paths) -> None:
    whole = tarball(tmp_path / "s.tar.gz", lambda tar: add(tar, "train.py", os.urandom(60_000).hex())).read_bytes()
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError) as caught:
        source.fetch(paths, str(broken))
    assert str(broken) in str(caught.value)


def test_a_missing_entry_point_lists_what_there_is(paths: Paths) -> None:
    Path(paths.code, "other.py").write_text("1")
    with pytest.raises(ConfigError, match=r"'train\.py' is not in the source") as caught:
        source.entry_command(paths, "train.py", [])
    assert "other.py" in str(caught.value)


def test_a_program_that_is_no_python_script_is_made_executable(paths: Paths) -> None:
    for name, command in (("r.sh", ["/bin/sh", "./r.sh", "a b"]), ("tool", ["./tool", "a b"])):
        Path(paths.code, name).write_text("")
        assert source.entry_command(paths, name, ["a b"]) == command
        assert os.access(os.path.join(paths.code, name), os.X_OK)
