"""Which files are a source, and the archive that is made of them."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvdsm.backends.source import source_files, write_archive
from hvdsm.errors import ConfigError


def tree(root: Path, files: Dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def packed(directory: Path, names: List[str]) -> bytes:
    target = io.BytesIO()
    write_archive(str(directory), names, target)
    return target.getvalue()


def test_ignore_files_of_every_directory_count(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            ".gitignore": "*.log\n/data/\n!keep.log\n",
            "train.py": "",
            "a.log": "",
            "keep.log": "",
            "data/x": "",
            "pkg/data/y": "",
            "pkg/.gitignore": "*.tmp\n!../a.log\n",
            "pkg/b.tmp": "",
            "pkg/c.py": "",
            "other/b.tmp": "",
        },
    )
    assert source_files(str(tmp_path)) == [
        ".gitignore",
        "keep.log",
        "other/b.tmp",
        "pkg/.gitignore",
        "pkg/c.py",
        "pkg/data/y",
        "train.py",
    ]


def test_hvdsmignore_has_the_last_word(tmp_path: Path) -> None:
    tree(tmp_path, {".gitignore": "weights.bin\n", ".hvdsmignore": "!weights.bin\nnotes/\n", "weights.bin": "", "notes/n": ""})
    assert source_files(str(tmp_path)) == [".gitignore", ".hvdsmignore", "weights.bin"]


def test_the_entry_point_is_never_ignored(tmp_path: Path) -> None:
    tree(tmp_path, {".gitignore": "*.py\n", "train.py": "", "other.py": ""})
    assert source_files(str(tmp_path), keep=["train.py"]) == [".gitignore", "train.py"]


def test_what_is_no_source_is_left_out(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "train.py": "",
            ".git/config": "",
            "__pycache__/train.pyc": "",
            "env/pyvenv.cfg": "",
            "env/lib/x.py": "",
            "x.egg-info/PKG-INFO": "",
            "out/job/outcome.json": "",
        },
    )
    assert source_files(str(tmp_path), outside=[str(tmp_path / "out")]) == ["train.py"]


def test_links_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    tree(tmp_path / "src", {"train.py": "", "pkg/a.py": ""})
    tree(tmp_path / "shared", {"common.py": "x = 1\n"})
    os.symlink("../shared", tmp_path / "src" / "lib")
    os.symlink("..", tmp_path / "src" / "pkg" / "up")
    os.symlink("nowhere", tmp_path / "src" / "broken")
    files = source_files(str(tmp_path / "src"))
    assert files == ["lib/common.py", "pkg/a.py", "train.py"]
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path / "src", files))) as tar:
        member = tar.extractfile("lib/common.py")
        assert member is not None and member.read() == b"x = 1\n"


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "1", {"b/x.py": "1", "a.sh": "2"}), tree(tmp_path / "2", {"a.sh": "2", "b/x.py": "1"})
    os.utime(two / "a.sh", (1, 1))
    for root in (one, two):
        (root / "a.sh").chmod(0o700 if root == one else 0o755)
    assert packed(one, source_files(str(one))) == packed(two, source_files(str(two)))
    with tarfile.open(fileobj=io.BytesIO(packed(one, source_files(str(one))))) as tar:
        assert [(member.name, stat.S_IMODE(member.mode), member.mtime, member.uid, member.uname) for member in tar] == [
            ("a.sh", 0o755, 0, 0, ""),
            ("b/x.py", 0o644, 0, 0, ""),
        ]


def test_sizes_are_told(tmp_path: Path) -> None:
    tree(tmp_path, {"a": "x" * 10, "b": "y" * 1000})
    target = io.BytesIO()
    archive = write_archive(str(tmp_path), ["a", "b"], target)
    assert (archive.files, archive.content, archive.size) == (2, 1010, len(target.getvalue()))
    assert archive.largest == (("b", 1000), ("a", 10))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.py"):
        write_archive(str(tmp_path), ["gone.py"], io.BytesIO())


NAMES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: (
        name not in (".", "..", ".gitignore", ".hvdsmignore", ".git", ".venv", ".hg", ".svn")
        and not name.endswith((".pyc", ".egg-info"))
        and len(name.encode()) < 200
    )
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=6))
def test_any_names_survive(tmp_path_factory: pytest.TempPathFactory, files: Dict[str, bytes]) -> None:
    root = tmp_path_factory.mktemp("source")
    for name, content in files.items():
        (root / name).write_bytes(content)
    with tarfile.open(fileobj=io.BytesIO(packed(root, source_files(str(root))))) as tar:
        found = {}
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
    assert found == files
