"""``hvdsm doctor`` for real: ranks are started, hosts come up, and each tells what it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from launching import ROOT, environment

from hvdsm.emulator import probe

pytestmark = pytest.mark.cluster
# So that nothing of AWS is waited for.
NO_AWS = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def doctor(words: List[str], where: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command."""
    variables = {name: value for name, value in environment().items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "hvdsm", "doctor", *words],
        cwd=where,
        env={**variables, **NO_AWS, **more},
        capture_output=True,
        timeout=200,
    )


def checks(done: subprocess.CompletedProcess[bytes]) -> Dict[str, Dict[str, Any]]:
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


@pytest.fixture(autouse=True)
def hosts_can_be_had() -> None:
    availability = probe()
    if not availability.ok:
        pytest.skip(f"emulated hosts: {availability.reason}")


def test_this_machine_can_rehearse(tmp_path: Path) -> None:
    done = doctor(["local", "--json"], tmp_path)
    found = checks(done)
    assert done.returncode == 0, done.stdout.decode()
    needed = ("platform", "python", "open-mpi", "ranks", "ssh", "namespaces", "hosts")
    assert {name: found[name]["status"] for name in needed} == dict.fromkeys(needed, "ok")
    assert (found["mpi4py"]["status"], found["mpi4py"]["facts"]["world"]) == ("ok", 2)
    here = found["open-mpi"]["facts"]["version"]
    hosts = found["hosts"]["facts"]
    assert {name: (host["open_mpi"], host["interface"]) for name, host in hosts.items()} == {
        "algo-1": (here, "eth0"),
        "algo-2": (here, "eth0"),
    }
    assert list(tmp_path.iterdir()) == []


def test_without_open_mpi_there_is_no_rehearsal_but_hosts_there_are(tmp_path: Path) -> None:
    done = doctor(["local", "--mpirun", "/nowhere/mpirun", "--json"], tmp_path)
    found = checks(done)
    assert done.returncode == 78
    assert (found["open-mpi"]["status"], found["open-mpi"]["exit_code"]) == ("failed", 78)
    assert (found["ranks"]["status"], found["namespaces"]["status"]) == ("not checked", "ok")
    assert "Traceback" not in done.stderr.decode()


def test_another_mpi_that_starts_no_ranks(tmp_path: Path) -> None:
    wrong = tmp_path / "mpirun"
    version = "[ \"$1\" = --version ] && echo 'mpirun (Open MPI) 4.1.8' && exit"
    wrong.write_text(f"#!/bin/sh\n{version}\necho libhwloc is missing\nexit 127\n")
    wrong.chmod(0o755)
    found = checks(doctor(["local", "--mpirun", str(wrong), "--json"], tmp_path))
    assert (found["open-mpi"]["status"], found["ranks"]["status"]) == ("ok", "failed")
    assert "libhwloc is missing" in found["ranks"]["what"]


def test_an_mpi4py_that_ends_the_ranks_is_not_the_fault_of_mpirun(tmp_path: Path) -> None:
    package = tmp_path / "mpi4py"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '9.9'\n")
    (package / "MPI.py").write_text("import os\nos.write(2, b'no such singleton')\nos._exit(1)\n")
    done = doctor(["local", "--json"], tmp_path, PYTHONPATH=str(tmp_path))
    found = checks(done)
    assert (done.returncode, found["ranks"]["status"], found["mpi4py"]["status"]) == (0, "ok", "warning")
    assert "9.9 ends the ranks" in found["mpi4py"]["what"]


@pytest.mark.parametrize(
    ("program", "words"), [("ssh", "ssh does not run: broken"), ("ssh-keygen", "ssh-keygen does not run: broken")]
)
def test_a_broken_program_of_openssh_fails_once(tmp_path: Path, program: str, words: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / program).write_text("#!/bin/sh\necho broken; exit 1\n")
    (folder / program).chmod(0o755)
    done = doctor(["local", "--json"], tmp_path, PATH=f"{folder}:{os.environ['PATH']}")
    found = checks(done)
    assert (done.returncode, found["ssh"]["status"]) == (78, "failed") and words in found["ssh"]["what"]
    assert [found[name]["status"] for name in ("namespaces", "hosts", "ranks")] == ["ok", "not checked", "not checked"]


def test_results_that_cannot_be_written_fail_and_temporary_files_elsewhere_do_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = doctor(["local", "--json", "--output", "file"], tmp_path)
    assert (done.returncode, checks(done)["disk"]["status"]) == (78, "failed")
    done = doctor(["local", "--json"], tmp_path, TMPDIR=str(tmp_path / "absent"))
    assert (done.returncode, checks(done)["disk"]["status"]) == (0, "warning")


def test_what_hosts_have_for_themselves_is_looked_at_there(tmp_path: Path) -> None:
    """A machine without a loopback, or with a small /dev/shm, can rehearse all the same."""
    words = [sys.executable, "-m", "hvdsm", "doctor", "local", "--json"]
    alone = ["unshare", "--net", "--map-root-user"] if os.geteuid() else ["unshare", "--net"]
    variables = {name: value for name, value in environment().items() if not name.startswith("AWS_")}
    done = subprocess.run([*alone, *words], cwd=tmp_path, env={**variables, **NO_AWS}, capture_output=True, timeout=200)
    found = checks(done)
    assert (done.returncode, found["ranks"]["status"], found["interface"]["what"]) == (0, "ok", "eth0"), done.stdout.decode()
    assert found["ranks"]["facts"]["hosts"] == ["algo-1", "algo-2"]


def test_without_a_goal_a_table_tells_which_work(tmp_path: Path) -> None:
    done = doctor([], tmp_path)
    text = done.stdout.decode()
    assert done.returncode == 0 and "Traceback" not in done.stderr.decode()
    table = [line.split()[:2] for line in text.splitlines()[-4:]]
    assert [row[0] for row in table] == ["local", "docker", "sagemaker", "container"]
    assert table[0][1] == "yes" and table[2][1] == "no"
    found = json.loads(doctor(["--json"], tmp_path).stdout)["goals"]
    page = (Path(ROOT) / "docs" / "doctor.md").read_text()
    names = {check["name"] for goal in found.values() for check in goal["checks"]}
    assert [name for name in names if f"`{name}`" not in page] == []
    assert {goal: one["works"] for goal, one in found.items()} == {row[0]: row[1] == "yes" for row in table}
