"""Source directories, files and tarballs: what is taken, and what is refused."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
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


def second_name(tar: tarfile.TarFile) -> None:
    """A hard link puts a link's text where it leads out."""
    add(tar, "a/b/link", type=tarfile.SYMTYPE, linkname="../../x")
    add(tar, "link", type=tarfile.LNKTYPE, linkname="a/b/link")


def far_link(tar: tarfile.TarFile) -> None:
    """Short names of long directories, until a path is longer than the kernel resolves."""
    place = ""
    for letter in "abcdefghijklmnop":
        add(tar, place + "d" * 247, type=tarfile.DIRTYPE)
        add(tar, place + letter, type=tarfile.SYMTYPE, linkname="d" * 247)
        place += letter + "/"
    add(tar, place + "l" * 254, type=tarfile.SYMTYPE, linkname="../" * 16)


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
    "a second name of a symbolic link": lambda tar: second_name(tar),
    "a link from where no path reaches": lambda tar: far_link(tar),
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_member_that_leads_out_or_is_no_file_is_refused(tmp_path: Path, paths: Paths, kind: str) -> None:
    archive = tarball(tmp_path / "s.tar.gz", HOSTILE[kind])
    (tmp_path / "ml" / "secret").write_text("s")
    with pytest.raises(ConfigError, match="leads out of the archive or is no file") as caught:
        source.fetch(paths, str(archive))
    assert str(archive) in str(caught.value)
    assert kind.startswith("a ") or os.listdir(paths.code) == []
    assert not os.path.lexists(paths.code + "/link")
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


@pytest.mark.parametrize(("submitted", "message"), [("http://b/s.tar.gz", "cannot fetch"), ("/does/not/exist", "does not exist")])
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


@pytest.mark.parametrize("content", [b"", b"<html>no such page</html>", b"\x1f\x8b\x08"])
def test_what_is_named_an_archive_but_is_none_is_said(tmp_path: Path, paths: Paths, content: bytes) -> None:
    (tmp_path / "s.tar.gz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"s3://b/s\.tar\.gz: ") as caught:
        source.fetch(paths, str(tmp_path / "s.tar.gz"), named="s3://b/s.tar.gz")
    assert os.listdir(paths.code) == []
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_program_that_another_user_owns_says_what_to_do() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.makedirs(place + "/ml/code")
        Path(place, "ml", "code", "tool").write_text("")
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        done = subprocess.run(
            [sys.executable, "-c", FOREIGN, place + "/ml"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={"PYTHONPATH": ROOT},
        )
        assert "ml/code/tool: cannot be made executable: Operation not permitted\n  try: chmod +x tool" in done.stdout


def test_read_only_directories_can_be_filled_and_replaced_by_an_ordinary_user() -> None:
    def fill(tar: tarfile.TarFile) -> None:
        add(tar, "pkg", type=tarfile.DIRTYPE, mode=0o555)
        add(tar, "pkg/a.py", mode=0o000)
        add(tar, "pkg/sub", type=tarfile.DIRTYPE, mode=0o000)
        add(tar, "pkg/sub/b.py", mode=0o444)

    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        archive = tarball(base / "s.tar.gz", fill)
        os.mkdir(base / "ml")
        if os.getuid() == 0:
            for path in (base, archive, base / "ml"):
                os.chown(path, 65534, 65534)
        command = [sys.executable, "-c", TWICE, str(base / "ml"), str(archive)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env={"PYTHONPATH": ROOT})
        assert done.returncode == 0, done.stderr
        subprocess.run(["chmod", "-R", "u+rwx", place], check=True)


ROOT = str(Path(__file__).resolve().parents[2])
FOREIGN = """
import os, sys
from hvdsm.compose.environment import Paths
from hvdsm.container import source
from hvdsm.errors import ConfigError
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    source.entry_command(Paths(sys.argv[1]), "tool", [])
except ConfigError as error:
    print(error)
"""
TWICE = """
import gzip, os, sys, zlib
from hvdsm.compose.environment import Paths
from hvdsm.container import source
# Root may write everywhere, so root becomes another user, who perhaps cannot read this Python's library.
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
paths = Paths(sys.argv[1])
source.fetch(paths, sys.argv[2])
assert open(paths.code + "/pkg/sub/b.py").read() == "x"
os.chmod(paths.code + "/pkg/sub", 0o555)
os.chmod(paths.code + "/pkg", 0o555)
source.fetch(paths, sys.argv[2])
assert open(paths.code + "/pkg/a.py").read() == "x"
"""


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_written(tmp_path: Path, paths: Paths) -> None:
    archive = tmp_path / "s.tar"
    member = tarfile.TarInfo("huge")
    member.size = 1 << 60
    archive.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + b"x" * 10240)
    with pytest.raises(ConfigError, match="MB that are free") as caught:
        source.fetch(paths, str(archive))
    assert "input channel" in str(caught.value)
    assert os.listdir(paths.code) == []


def test_holes_take_no_room(tmp_path: Path, paths: Paths) -> None:
    with open(tmp_path / "holes", "wb") as file:
        file.truncate(1 << 30)
        file.write(b"x")
    subprocess.run(["tar", "-Sczf", "s.tar.gz", "holes"], cwd=tmp_path, check=True)
    with tarfile.open(tmp_path / "s.tar.gz") as tar:
        assert [source._stored(member) < 1 << 20 for member in tar] == [True]
    source.fetch(paths, str(tmp_path / "s.tar.gz"))
    assert os.stat(paths.code + "/holes").st_blocks * 512 < 1 << 20


def test_stale_code_never_shadows_a_given_source(tmp_path: Path, paths: Paths) -> None:
    Path(paths.code, "train.py").write_text("stale")
    Path(paths.code, "helper").mkdir()
    Path(paths.code, "link").symlink_to("/etc")
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "train.py").write_text("new")
    assert "copied to" in source.fetch(paths, str(folder))
    assert os.listdir(paths.code) == ["train.py"]
    assert Path(paths.code, "train.py").read_text() == "new"


def test_a_program_that_is_a_link_out_of_the_source_is_refused(paths: Paths) -> None:
    Path(paths.code, "tool").symlink_to("/bin/true")
    with pytest.raises(ConfigError, match="leads out of the source"):
        source.entry_command(paths, "tool", [])


def test_a_missing_entry_point_lists_what_there_is(paths: Paths) -> None:
    Path(paths.code, "other.py").write_text("1")
    with pytest.raises(ConfigError, match=r"'train\.py' is not in the source") as caught:
        source.entry_command(paths, "train.py", [])
    assert "other.py" in str(caught.value)


def test_a_program_that_is_no_python_script_is_made_executable(paths: Paths) -> None:
    for name in ("r.sh", "tool"):
        Path(paths.code, name).write_text("")
        assert source.entry_command(paths, name, ["a b"]) == ["/bin/sh", "-c", 'exec "$0" "$@"', f"./{name}", "a b"]
        assert os.access(os.path.join(paths.code, name), os.X_OK)
