"""Packages that a source asks for: installed once into hvdsm's own directory, seen by the ranks, the environment left alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Dict, List

import pytest
from launching import Launched, command, environment, finished, launch

from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}"),
]
TWO = ("--instance-count", "2", "--processes-per-host", "1")
NAME = "hvdsm_example_dependency"
SCRIPT = f"""
import os, subprocess, {NAME} as it
print("has", it.VERSION, "of", os.path.dirname(it.__file__) == os.environ["HVDSM_PACKAGES"], flush=True)
print(subprocess.run(["hvdsm-example-command"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip(), flush=True)
"""


def wheel(folder: Path, version: str) -> None:
    """A wheel with one module and one command."""
    folder.mkdir(exist_ok=True)
    info = f"{NAME}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{NAME}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{NAME}.py", f"VERSION = {version!r}\ndef main():\n    print('command', VERSION)\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\nhvdsm-example-command = {NAME}:main\n")
        archive.writestr(f"{info}/RECORD", "")


def source(tmp_path: Path, requirements: str, script: str = SCRIPT) -> Path:
    folder = tmp_path / "src"
    folder.mkdir(exist_ok=True)
    (folder / "t.py").write_text(script)
    (folder / "requirements.txt").write_text(f"--no-index\n--find-links {tmp_path / 'wheels'}\n{requirements}")
    return folder


def of(tmp_path: Path) -> Dict[str, str]:
    """The variables of a launch with a cache of its own."""
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def ran(tmp_path: Path, folder: Path, *words: str) -> Launched:
    return launch(tmp_path / "out", *TWO, "--source-dir", str(folder), *words, "t.py", env=of(tmp_path))


def overlays(tmp_path: Path) -> List[str]:
    folder = tmp_path / "cache" / "hvdsm" / "packages"
    return sorted(os.listdir(folder)) if folder.exists() else []


def installed() -> str:
    """A digest of names, sizes and times of all that is installed in this environment, compiled files excepted."""
    digest = hashlib.sha256()
    for folder, names, files in os.walk(sysconfig.get_path("purelib")):
        names[:] = sorted(name for name in names if name != "__pycache__")
        for name in sorted(files):
            status = os.stat(os.path.join(folder, name))
            digest.update(f"{folder}/{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@pytest.mark.parametrize("hosts", ["namespaces", "single"])
def test_requirements_are_installed_once_and_not_into_the_environment(tmp_path: Path, hosts: str) -> None:
    wheel(tmp_path / "wheels", "1.0")
    # click is there already, in the environment that runs hvdsm: pip finds it although no index has it.
    folder = source(tmp_path, f"-r more.txt\n{NAME}\n")
    (folder / "more.txt").write_text("click>=8\n")
    before = installed()
    first = ran(tmp_path, folder, "--hosts", hosts)
    assert first.code == 0, first.output.decode()
    for rank in (0, 1):
        assert first.said_by(rank) == ["has 1.0 of True", "command 1.0"]
    assert any("installing" in line for line in first.lines) and any(
        "pip: Successfully installed" in line for line in first.lines
    )
    (made,) = overlays(tmp_path)
    again = ran(tmp_path, folder, "--hosts", hosts)
    assert again.code == 0 and again.said_by(1) == ["has 1.0 of True", "command 1.0"]
    assert any("by an earlier job" in line for line in again.lines) and not any("pip:" in line for line in again.lines)
    assert overlays(tmp_path) == [made] and installed() == before
    assert subprocess.run([sys.executable, "-c", f"import {NAME}"], stderr=subprocess.DEVNULL, check=False).returncode == 1


def test_hosts_cannot_change_it(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "1.0")
    script = (
        "import os\ntry:\n    open(os.environ['HVDSM_PACKAGES'] + '/x', 'w')\n"
        "except OSError as error:\n    print(error.strerror)\n"
    )
    done = ran(tmp_path, source(tmp_path, f"{NAME}\n", script))
    assert [done.said_by(rank) for rank in (0, 1)] == [["Read-only file system"]] * 2, done.output.decode()


def test_another_version_is_another_directory(tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        wheel(tmp_path / "wheels", version)
    for version in ("1.0", "2.0", "1.0"):
        done = ran(tmp_path, source(tmp_path, f"{NAME}=={version}\n"))
        assert done.said_by(1)[0] == f"has {version} of True", done.output.decode()
    assert len(overlays(tmp_path)) == 2


def test_two_launches_at_once_install_once(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "1.0")
    folder = source(tmp_path, f"{NAME}\n")
    words = [*TWO, "--source-dir", str(folder)]
    running = [
        subprocess.Popen(
            command([*words, "--job-name", name, "t.py"], tmp_path / "out"),
            env=environment(of(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]  # fmt: skip
    done = []
    for process in running:
        out, err = process.communicate(timeout=240)
        done.append(finished(process.returncode, out, err, tmp_path / "out"))
    for job in done:
        assert job.code == 0 and job.said_by(1) == ["has 1.0 of True", "command 1.0"], job.output.decode()
    assert sum(b"pip: Successfully installed" in job.output for job in done) == 1
    assert len(overlays(tmp_path)) == 1


def test_what_cannot_be_installed_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "1.0")
    folder = source(tmp_path, f"{NAME}\nhvdsm-no-such-package==9\n")
    words = ("--env", "PIP_EXTRA_INDEX_URL=http://me:sesame@127.0.0.1:9/simple", "--source-dir", str(folder), "t.py")
    done = launch(tmp_path / "out", *TWO, *words, env=of(tmp_path))
    assert done.code == 78
    said = done.outcome["error"]
    assert "hvdsm-no-such-package==9" in said and "pip: ERROR" in said and "\n  try: " in said
    assert b"sesame" not in done.output and "sesame" not in said
    assert overlays(tmp_path) == [] and os.listdir(tmp_path / "out") == []


def test_a_source_that_is_a_package(tmp_path: Path) -> None:
    """Built without pip's isolation, so that the test needs no index to have setuptools from."""
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='hvdsm-example-source', version='3.1', py_modules=['hvdsm_example_source'])\n"
    )
    (folder / "hvdsm_example_source.py").write_text("")
    (folder / "t.py").write_text("from importlib.metadata import version\nprint(version('hvdsm-example-source'))\n")
    done = ran(tmp_path, folder, "--env", "PIP_NO_BUILD_ISOLATION=0")
    assert done.code == 0 and done.said_by(1) == ["3.1"], done.output.decode()
    # Nothing was built in the source itself.
    assert sorted(os.listdir(folder)) == ["hvdsm_example_source.py", "setup.py", "t.py"]


def test_a_tarball_with_requirements(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "1.0")
    folder = source(tmp_path, f"{NAME}\n")
    key = tmp_path / "s3" / "bucket" / "source.tar.gz"
    key.parent.mkdir(parents=True)
    with tarfile.open(key, "w:gz") as archive:
        for name in os.listdir(folder):
            archive.add(folder / name, name)
    request = tmp_path / "request.json"
    values = {
        "sagemaker_program": "t.py",
        "sagemaker_submit_directory": "s3://bucket/source.tar.gz",
        "sagemaker_mpi_enabled": "true",
    }
    hosts = {"InstanceCount": 2, "InstanceType": "ml.m5.large"}
    request.write_text(json.dumps({"TrainingJobName": "tarball", "ResourceConfig": hosts, "HyperParameters": values}))
    done = launch(tmp_path / "out", "--request", str(request), "--s3-root", str(tmp_path / "s3"), env=of(tmp_path))
    assert done.code == 0 and done.said_by(0) == ["has 1.0 of True", "command 1.0"], done.output.decode()
