"""What pip is to install for a source, the name of the directory for it, and what is said when it fails."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from hvdsm.backends.local.install import _turn, failing_requirement, install
from hvdsm.backends.local.packages import Packages, Wanted, key_of, overlay_of, pip_environment, site_directories, wanted_of
from hvdsm.errors import ConfigError


def source(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_source_that_needs_nothing(tmp_path: Path) -> None:
    source(tmp_path, train_py="")
    assert wanted_of(str(tmp_path), "train.py") is None
    (tmp_path / "requirements.txt").write_text("x\n")
    assert wanted_of(str(tmp_path), "run.sh") is None


def test_requirements_with_what_they_include(tmp_path: Path) -> None:
    source(
        tmp_path,
        requirements_txt="a\n-r sub/more.txt  # and more\n-c https://example.com/c.txt\n",
        sub__more_txt="b\n--requirement=../last.txt\n-rmissing.txt\n",
        last_txt="c\n-r requirements.txt\n",
    )
    wanted = wanted_of(str(tmp_path), "train.py")
    assert wanted is not None and not wanted.package and not wanted.needs_copy
    assert [os.path.relpath(path, tmp_path) for path, _ in wanted.texts] == [
        "requirements.txt",
        "sub/more.txt",
        "last.txt",
    ]


@pytest.mark.parametrize(
    ("name", "text", "package"),
    [
        ("setup_py", "", True),
        ("pyproject_toml", "[build-system]\nrequires = []\n", True),
        ("pyproject_toml", "[project]\nname = 'x'\n", True),
        ("pyproject_toml", "[tool.ruff]\nline-length = 100\n", False),
    ],
)
def test_a_source_that_is_a_package(tmp_path: Path, name: str, text: str, package: bool) -> None:
    source(tmp_path, **{name: text})
    wanted = wanted_of(str(tmp_path), "train.py")
    assert (wanted is not None and wanted.package and wanted.needs_copy) == package


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("torch>=2", False), ("a @ https://example.com/a.whl", False), ("git+https://example.com/x#egg=x", False),
        ("-e .", True), ("--editable=./pkg", True), (".", True), (".[all]", True), ("./pkg", True), ("../x", True),
        ("/abs/x", True), ("pkg/sub", True), ("wheels/x-1-py3-none-any.whl", True), ("x @ file:///w/x.whl", True),
        ("# -e .", False), ("--find-links /w", False), ("x==1.0 ; python_version > '3'", False),
    ],
)  # fmt: skip
def test_requirements_of_the_sources_own_files(tmp_path: Path, line: str, local: bool) -> None:
    assert Wanted(str(tmp_path), ((str(tmp_path / "requirements.txt"), f"y\n{line}\n"),)).needs_copy == local


def key(tmp_path: Path, environ: Optional[Dict[str, str]] = None, search: Optional[List[str]] = None) -> str:
    wanted = wanted_of(str(tmp_path), "train.py")
    assert wanted is not None
    return key_of(wanted, environ or {}, search or [])


def test_the_name_changes_with_what_pip_would_do_and_with_nothing_else(tmp_path: Path) -> None:
    source(tmp_path / "s", requirements_txt="-r more.txt\n--find-links " + str(tmp_path / "w") + "\n", more_txt="b\n")
    site = tmp_path / "lib" / "site-packages"
    site.mkdir(parents=True)
    found = [first := key(tmp_path / "s", search=[str(site)])]
    (tmp_path / "s" / "train.py").write_text("other code")
    assert key(tmp_path / "s", {"HOME": "/x", "SECRET": "y"}, [str(site), "/elsewhere"]) == first
    (tmp_path / "s" / "more.txt").write_text("b==2\n")
    found.append(key(tmp_path / "s", search=[str(site)]))
    (site / "torch-2.0.dist-info").mkdir()
    found.append(key(tmp_path / "s", search=[str(site)]))
    found.append(key(tmp_path / "s", {"PIP_INDEX_URL": "https://a.example/simple"}, [str(site)]))
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "b.whl").write_text("x")
    found.append(key(tmp_path / "s", search=[str(site)]))
    (tmp_path / "s" / "setup.py").write_text("x")
    found.append(key(tmp_path / "s", search=[str(site)]))
    (tmp_path / "s" / "train.py").write_text("a package is what its files are")
    found.append(key(tmp_path / "s", search=[str(site)]))
    assert len(set(found)) == len(found)


def test_no_secret_goes_into_the_name(tmp_path: Path) -> None:
    source(tmp_path, requirements_txt="a\n")
    with_user = [key(tmp_path, {"PIP_INDEX_URL": f"https://u:{word}@a.example/simple"}) for word in ("one", "two")]
    assert with_user[0] == with_user[1] != key(tmp_path, {"PIP_INDEX_URL": "https://b.example/simple"})


def test_variables_of_pip() -> None:
    caller = {"PATH": "/bin", "PIP_TARGET": "/x", "PIP_INDEX_URL": "https://mine", "PIP_USER": "1"}
    request = {"PIP_INDEX_URL": "https://theirs", "LD_PRELOAD": "x", "https_proxy": "http://p"}
    made = pip_environment(caller, request)
    assert made["PIP_INDEX_URL"] == "https://theirs" and made["https_proxy"] == "http://p" and made["PIP_USER"] == "0"
    assert "PIP_TARGET" not in made and "LD_PRELOAD" not in made


def test_the_cache(tmp_path: Path) -> None:
    source(tmp_path, requirements_txt="a\n")
    wanted = wanted_of(str(tmp_path), "train.py")
    assert wanted is not None
    found = overlay_of(wanted, {"XDG_CACHE_HOME": "/cache"})
    assert found.root.startswith("/cache/hvdsm/packages/") and found.site.startswith(found.root + "/lib/python3")
    assert site_directories(["", str(tmp_path), "/no/site-packages"]) == []


@pytest.mark.parametrize(
    ("said", "requirement"),
    [
        (["ERROR: Could not find a version that satisfies the requirement a==9 (from versions: 1)"], "a==9"),
        (["x", "ERROR: No matching distribution found for a[b]>=9"], "a[b]>=9"),
        (["ERROR: Invalid requirement: 'a b' (from line 3 of requirements.txt)"], "a b"),
        (["ERROR: Failed building wheel for horovod"], "horovod"),
        (["ERROR: Cannot install a and b==1 because these package versions have conflicting dependencies."], "a and b==1"),
        (["ERROR: something else"], None),
    ],
)
def test_the_requirement_that_fails(said: List[str], requirement: Optional[str]) -> None:
    assert failing_requirement(said) == requirement


def test_turns_are_taken_and_leave_no_file(tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    said: List[str] = []
    together = threading.Semaphore(1)
    alone: List[bool] = []

    def work() -> None:
        for _ in range(20):
            with _turn(lock, said.append):
                alone.append(together.acquire(blocking=False))
                together.release()

    with _turn(lock, said.append):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert alone == []
    for thread in threads:
        thread.join()
    assert alone == [True] * 160 and not os.path.exists(lock) and all("waiting" in line for line in said)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    overlay = Packages(str(tmp_path / "file" / "packages" / "key"))
    with pytest.raises(ConfigError, match="XDG_CACHE_HOME"):
        install(Wanted(str(tmp_path)), overlay, {}, str(tmp_path), lambda _: None)
