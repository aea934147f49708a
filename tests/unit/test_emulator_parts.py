"""The emulator's pure parts: paths to place, mount tables, accounts, sshd's environment."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Tuple

import pytest

from hvdsm.emulator.identity import accounts, hosts_file
from hvdsm.emulator.mounts import direct_mounts, parse_mountinfo
from hvdsm.emulator.network import MAX_HOSTS, address_of, mac_of
from hvdsm.emulator.places import Trail, follow, hidden_places
from hvdsm.emulator.ready_ssh import set_env

MOUNTINFO = r"""20 1 8:1 / / rw,relatime - ext4 /dev/vda rw
21 20 0:5 / /proc rw,nosuid,nodev,noexec - proc proc rw
22 20 8:2 / /home ro,noatime shared:1 - ext4 /dev/vdb rw
23 22 0:9 / /home/a\040b/m rw shared:2 master:1 - tmpfs tmpfs rw
24 20 0:9 / /homely rw - tmpfs tmpfs rw
25 22 0:10 / /home/a\040b/m rw - nfs4 server:/x rw
"""


def test_mount_table() -> None:
    table = parse_mountinfo(MOUNTINFO)
    assert [point.path for point in table] == ["/", "/proc", "/home", "/home/a b/m", "/homely"]
    by_path = {point.path: point for point in table}
    assert by_path["/home"].readonly
    assert by_path["/home/a b/m"].kind == "nfs4"  # the later of two on one path
    assert [point.path for point in direct_mounts(table, "/home")] == ["/home/a b/m"]
    assert [point.path for point in direct_mounts(table, "/")] == ["/home", "/homely", "/proc"]


def test_following_links(tmp_path: Path) -> None:
    real = Path(os.path.realpath(tmp_path))
    (real / "target" / "inner").mkdir(parents=True)
    (real / "relative").symlink_to("target/../target")
    (real / "absolute").symlink_to(real / "relative")
    trail = follow(f"{real}/absolute/inner")
    assert trail.real == f"{real}/target/inner"
    assert trail.links == ((f"{real}/absolute", f"{real}/relative"), (f"{real}/relative", "target/../target"))
    (real / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="too many"):
        follow(f"{real}/loop")
    assert follow("/") == Trail((), "/")


def test_what_is_placed_from_private_directories(tmp_path: Path) -> None:
    base = Path(os.path.realpath(tmp_path))
    for name in ("venv/bin", "work/venv", "lib"):
        (base / name).mkdir(parents=True)
    places = hidden_places(
        own=["/usr/bin", str(base / "venv"), str(base / "venv/bin"), str(base / "work/venv"), "/tmp"],
        visible=[str(base / "lib")],
        private=[str(base / "work")],
    )
    if str(base).startswith("/tmp/"):
        assert places.private == (str(base / "work"),)
        assert sorted(places.readonly) == [str(base / "lib"), str(base / "venv"), str(base / "work/venv")]
    else:
        assert places == ((), (), ())


def test_an_environment_that_hosts_may_write_in_is_theirs_with_all_that_the_interpreter_needs(tmp_path: Path) -> None:
    venv, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    packages = venv / "lib" / "site-packages"
    for directory in (packages, elsewhere):
        directory.mkdir(parents=True)
    places = hidden_places(own=[str(venv), str(packages), str(elsewhere)], visible=[], private=[str(venv)])
    assert (places.private, places.readonly) == ((str(venv),), (str(elsewhere),))
    # So it is inside a directory that hosts only read: an environment in the repository that hvdsm is imported from.
    places = hidden_places(own=[str(tmp_path), str(venv), str(packages)], visible=[], private=[str(venv)])
    assert (places.private, places.readonly) == ((str(venv),), (str(tmp_path),))
    # A directory that merely holds the interpreter's packages leaves them protected.
    assert hidden_places(own=[str(packages)], visible=[], private=[str(venv)]).readonly == (str(packages),)


def test_a_private_directory_as_a_whole() -> None:
    assert hidden_places(own=["/tmp", "/run"], visible=[], private=[]) == ((), (), ())
    assert hidden_places(own=[], visible=["/tmp"], private=[]).private == (os.path.realpath("/tmp"),)
    assert hidden_places(own=[], visible=[], private=["/tmp"]).private == (os.path.realpath("/tmp"),)


def test_addresses_are_distinct() -> None:
    numbers = range(1, MAX_HOSTS + 1)
    assert len({address_of(number) for number in numbers}) == MAX_HOSTS
    assert len({mac_of(number) for number in numbers}) == MAX_HOSTS
    assert hosts_file(["algo-1", "algo-2"]).splitlines()[1:] == ["10.77.0.1 algo-1", "10.77.0.2 algo-2"]


PASSWD = (
    "root:x:0:0:root:/root:/usr/bin/fish\nsshd:x:102:65534::/run/sshd:/usr/sbin/nologin\nann:x:1000:1000::/home/ann:/bin/zsh\n"
)


@pytest.mark.parametrize(("single_user", "names"), [(True, ("root", "sshd", "nobody", "ann")), (False, ("root", "sshd", "ann"))])
def test_accounts(single_user: bool, names: Tuple[str, ...]) -> None:
    files = accounts(PASSWD, home="/home/ann", shell="/bin/bash", user="ann", single_user=single_user)
    lines = files["/etc/passwd"][1].splitlines()
    assert lines[0] == "root:x:0:0:root:/home/ann:/bin/bash"
    assert tuple(line.split(":")[0] for line in lines) == names
    shadow = [line.split(":") for line in files["/etc/shadow"][1].splitlines()]
    assert [fields[0] for fields in shadow] == list(names)
    assert {fields[1] for fields in shadow} == {"*"}
    assert ("/etc/group" in files) == single_user


def test_the_environment_line_of_sshd() -> None:
    assert set_env({"PATH": "/a b:/c", "X": ""}) == 'SetEnv "PATH=/a b:/c" "X="\n'
    assert set_env({"BAD": 'quo"te', "WORSE": "two\nlines"}) == ""


@pytest.mark.parametrize("how", ["directory", "zip"])
def test_the_helper_finds_its_package(tmp_path: Path, how: str) -> None:
    """However hvdsm is found; shown without namespaces, by the answer to a probe that has not the right to anything."""
    package = Path(__file__).resolve().parents[2] / "hvdsm"
    place = tmp_path / "a b" / "hvdsm.zip" if how == "zip" else package.parent
    if how == "zip":
        place.parent.mkdir()
        with zipfile.ZipFile(place, "w") as archive:
            for file in package.rglob("*.py"):
                archive.write(file, file.relative_to(package.parent))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from hvdsm.emulator import probe\n"
        "answer = probe(); print(answer); sys.exit('helper process did not start' in answer.reason)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script, str(place)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
