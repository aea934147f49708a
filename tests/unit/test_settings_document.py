"""hvdsm.toml: where it is found, what stands in which line, and which profiles make one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settings_support import write

from hvdsm.errors import ConfigError
from hvdsm.settings.document import Document, chain, find, profiles, read
from hvdsm.settings.toml_text import parse, statements

ONE = "instance_count = 2\n"
# Values as TOML writes them, some over several lines or with what looks like other statements.
VALUES = st.sampled_from(
    [
        ("1", 1),
        ('"a # [x] = 1"', "a # [x] = 1"),
        ('"""\n[no]\nx = 1\n"""', "[no]\nx = 1\n"),
        ("'''\n\"\"\"\na.b = [\n'''", '"""\na.b = [\n'),
        ('[ # comment ]\n  1,\n\n  2, # "\n]', [1, 2]),
        ('{ a = 1, "b.c" = 2 }', {"a": 1, "b.c": 2}),
        ("[[1], ['=']]", [[1], ["="]]),
        ("true", True),
        ("1.5e3", 1500.0),
    ]
)
NAMES = st.text(min_size=1, max_size=6)


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=4)), max_size=4, unique_by=lambda table: table[0]))
def test_the_line_of_every_key(tables: Any) -> None:
    def quoted(name: str) -> str:
        return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")

    text, wanted = "# first\n", {}
    for name, values in tables:
        text += f"[{quoted(name)}] # table\n\n"
        for key, (written, value) in values.items():
            wanted[(name, key)] = (text.count("\n") + 1, value)
            text += f"  {quoted(key)}={written} # end\n"
    found = {one.table + one.key: (one.line, one.value) for one in statements(text) if one.key}
    assert found == wanted
    for (name, key), (_, value) in wanted.items():
        assert parse(text)[name][key] == value


def document(tmp_path: Path, text: str, name: str = "hvdsm.toml") -> Document:
    return read(str(write(tmp_path / name, text)), str(tmp_path))


def test_lines_of_tables_and_of_what_is_in_them(tmp_path: Path) -> None:
    found = document(
        tmp_path,
        """
        hyperparameters = { lr = 0.1, "data.batch_size" = 64 }
        [profile.cloud]
        env.A = "x"

        [profile.cloud.tags]
        "a b" = "1"
        [[list]]
        x = 1
        """,
    )
    wanted: Dict[Tuple[str, ...], int] = {
        ("hyperparameters",): 1,
        ("hyperparameters", "lr"): 1,
        ("profile",): 2,
        ("profile", "cloud"): 2,
        ("profile", "cloud", "env"): 3,
        ("profile", "cloud", "env", "A"): 3,
        ("profile", "cloud", "tags"): 5,
        ("profile", "cloud", "tags", "a b"): 6,
        ("list",): 7,
    }
    assert {path: found.line(path) for path in wanted} == wanted
    assert found.at(3) == "hvdsm.toml:3"


def test_a_bare_key_with_dots_is_one_name_of_the_users(tmp_path: Path) -> None:
    found = document(
        tmp_path,
        """
        hyperparameters.optimizer.lr = 0.1
        hyperparameters.optimizer.name = "Adam"
        [profile.a.hyperparameters]
        data.batch_size = 64
        "trainer.devices" = 1
        [profile.a.hyperparameters.nested]
        x.y = 1
        """,
    )
    assert [(entry.key, entry.value, entry.line) for entry in found.names(("hyperparameters",))] == [
        ("optimizer.lr", 0.1, 1),
        ("optimizer.name", "Adam", 2),
    ]
    assert [(entry.key, entry.value, entry.line) for entry in found.names(("profile", "a", "hyperparameters"))] == [
        ("data.batch_size", 64, 4),
        ("trainer.devices", 1, 5),
        ("nested", {"x": {"y": 1}}, 6),
    ]


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("a = 1\nb = \n", "hvdsm.toml:2", "is no TOML"),
        ('a = "', "hvdsm.toml:1", "is no TOML"),
        ("a = 1\na = 2\n", "hvdsm.toml:2", "is no TOML"),
        ('[hyperparameters]\ndata = "X"\ndata.batch_size = 64\n', "hvdsm.toml:3", '"data.batch_size" = 64'),
        ("# one\nhyperparameters = {lr = 1, data.batch_size = 64}\n", "hvdsm.toml:2", '"data.batch_size" = …'),
    ],
)
def test_what_is_no_toml(tmp_path: Path, text: str, where: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        document(tmp_path, text)
    assert caught.value.where == where and said in str(caught.value)


def test_a_file_that_is_no_text_or_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "hvdsm.toml").write_bytes(b'a = "\xe9"')
    with pytest.raises(ConfigError, match="UTF-8"):
        read(str(tmp_path / "hvdsm.toml"), str(tmp_path))
    with pytest.raises(ConfigError, match="no-such"):
        read(str(tmp_path / "no-such"), str(tmp_path))


def home(tmp_path: Path) -> Dict[str, str]:
    return {"HOME": str(tmp_path)}


def test_the_nearest_file_above_is_found(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find(str(below), home(tmp_path)) == (None, ())
    write(tmp_path / "hvdsm.toml", ONE)
    assert find(str(below), home(tmp_path)) == (str(tmp_path / "hvdsm.toml"), ())
    write(tmp_path / "a" / "pyproject.toml", "[tool.ruff]\n# hvdsm\n")
    assert find(str(below), home(tmp_path))[0] == str(tmp_path / "hvdsm.toml")
    write(tmp_path / "a" / "pyproject.toml", "[tool.hvdsm]\n")
    assert find(str(below), home(tmp_path))[0] == str(tmp_path / "a" / "pyproject.toml")
    write(tmp_path / "a" / "hvdsm.toml", ONE)
    found, warnings = find(str(below), home(tmp_path))
    assert found == str(tmp_path / "a" / "hvdsm.toml") and "[tool.hvdsm]" in warnings[0]


@pytest.mark.parametrize("end", ["git", "git file", "home"])
def test_the_search_ends_at_a_repository_and_at_home(tmp_path: Path, end: str) -> None:
    write(tmp_path / "hvdsm.toml", ONE)
    root = tmp_path / "root"
    (root / "below").mkdir(parents=True)
    if end == "git":
        (root / ".git").mkdir()
    elif end == "git file":
        write(root / ".git", "gitdir: elsewhere\n")
    environ = home(root) if end == "home" else home(tmp_path)
    assert find(str(root / "below"), environ)[0] is None
    write(root / "hvdsm.toml", ONE)
    assert find(str(root / "below"), environ)[0] == str(root / "hvdsm.toml")


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    write(tmp_path / "hvdsm.toml", ONE)
    other = write(tmp_path / "ci" / "other.toml", ONE)
    assert find(str(tmp_path), {"HVDSM_CONFIG": "ci/other.toml"})[0] == str(other)
    assert find(str(tmp_path), {"HVDSM_CONFIG": os.devnull})[0] == os.devnull
    assert read(os.devnull, str(tmp_path)).tree == {}
    for wrong in ("none.toml", "ci"):
        with pytest.raises(ConfigError, match="HVDSM_CONFIG"):
            find(str(tmp_path), {"HVDSM_CONFIG": wrong})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_somebody_else_above_is_not_used(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    path = write(tmp_path / "hvdsm.toml", ONE)
    os.chown(path, 12345, -1)
    found, (warning,) = find(str(below), home(tmp_path))
    assert found is None and str(path) in warning and "HVDSM_CONFIG" in warning
    assert find(str(tmp_path), home(tmp_path))[0] == str(path)
    os.chown(below, 12345, -1)
    assert find(str(below), home(tmp_path))[0] == str(path)


def test_a_broken_pyproject_is_told_only_when_it_is_ours(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool\n")
    assert find(str(tmp_path), home(tmp_path))[0] is None
    write(tmp_path / "pyproject.toml", "[tool.hvdsm]\nx =\n")
    with pytest.raises(ConfigError, match=r"pyproject.toml:2"):
        find(str(tmp_path), home(tmp_path))


def test_pyproject(tmp_path: Path) -> None:
    found = document(
        tmp_path,
        """
        [project]
        name = "x"
        [tool]
        hvdsm.instance_count = 2
        [tool.hvdsm.hyperparameters]
        data.batch_size = 64
        [tool.hvdsm.profile.a]
        extends = "b"
        [tool.hvdsm.profile.b]
        """,
        "pyproject.toml",
    )
    assert [(entry.key, entry.line) for entry in found.entries(())] == [
        ("instance_count", 4),
        ("hyperparameters", 5),
        ("profile", 7),
    ]
    assert [(entry.key, entry.line) for entry in found.names(("hyperparameters",))] == [("data.batch_size", 6)]
    assert chain(found, "a", "--profile") == ("b", "a")
    assert found.line(("profile", "a", "extends")) == 8


def test_tool_hvdsm_must_be_a_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="table"):
        document(tmp_path, "tool.hvdsm = 1\n", "pyproject.toml")


def test_profiles_extend_each_other(tmp_path: Path) -> None:
    found = document(tmp_path, '[profile.a]\nextends = "b"\n[profile.b]\nextends = "c"\n[profile.c]\n')
    assert chain(found, "a", "--profile") == ("c", "b", "a")
    assert profiles(found) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[profile.a]\nextends = "a"\n', ["hvdsm.toml:2", "a -> a"]),
        ('[profile.a]\nextends = "b"\n[profile.b]\nextends = "c"\n[profile.c]\nextends = "b"\n', ["hvdsm.toml:6", "b -> c -> b"]),
        ('[profile.a]\nextends = "clod"\n[profile.cloud]\n', ["hvdsm.toml:2", "did you mean cloud?"]),
        ("[profile.a]\nextends = 1\n", ["hvdsm.toml:2", "extends"]),
        ("[profile.b]\n[profile.cde]\n", ["--profile a", "there are b, cde", "[profile.a]"]),
        ("[profile]\na = 1\n", ["hvdsm.toml:2", "table"]),
        ("profile = 1\n", ["hvdsm.toml:1: profile"]),
        ("", ["no profile a"]),
    ],
)
def test_profiles_that_cannot_be_meant(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        chain(document(tmp_path, text), "a", "--profile")
    for word in said:
        assert word in str(caught.value)
