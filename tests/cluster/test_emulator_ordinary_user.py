"""All of the emulator's tests once more as an ordinary user, when they run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import uuid
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0, reason="the emulator's tests already run as an ordinary user"),
    pytest.mark.skipif(shutil.which("useradd") is None, reason="no useradd to make an ordinary user: apt-get install passwd"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv to become another user: apt-get install util-linux"),
]


@pytest.fixture
def user() -> Iterator[str]:
    """A new user with a home directory."""
    name = f"hvdsm{uuid.uuid4().hex[:8]}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["userdel", "--remove", name], check=True, capture_output=True)


@pytest.fixture
def copy() -> Iterator[Path]:
    """The emulator and its tests where every user can read them."""
    with tempfile.TemporaryDirectory(prefix="copy with blanks ") as directory:
        base = Path(directory)
        base.chmod(0o755)
        shutil.copytree(ROOT / "hvdsm", base / "hvdsm", ignore=shutil.ignore_patterns("__pycache__"))
        (base / "tests" / "cluster").mkdir(parents=True)
        shutil.copy(ROOT / "tests" / "conftest.py", base / "tests")
        for file in Path(__file__).parent.glob("*emulator*.py"):
            shutil.copy(file, base / "tests" / "cluster")
        shutil.copy(ROOT / "setup.cfg", base)
        yield base


def as_user(name: str, argv: List[str], environment: Dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    words = ["setpriv", f"--reuid={name}", f"--regid={name}", "--clear-groups", "--", *argv]
    return subprocess.run(words, env=environment, cwd=cwd, capture_output=True, text=True, timeout=280)


def python_for(name: str, environment: Dict[str, str], cwd: Path) -> Optional[str]:
    """A Python that this user may execute and that finds pytest: this one, or the system's of the same version."""
    for python in (sys.executable, "/usr/bin/python3"):
        if os.path.exists(python):
            script = (
                "import os, pytest, sys\n"
                f"sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])} or not os.access(sys.executable, os.X_OK))"
            )
            try:
                if as_user(name, [python, "-c", script], environment, cwd).returncode == 0:
                    return python
            except OSError:
                continue
    return None


@pytest.mark.parametrize("which", ["not alone", pytest.param("alone", marks=pytest.mark.alone)])
def test_everything_as_an_ordinary_user(user: str, copy: Path, which: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.path.expanduser(f"~{user}"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join([str(copy), sysconfig.get_path("purelib")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HVDSM_TEST_MPIRUN": str(Path(sys.prefix, "bin", "mpirun")),
    }
    python = python_for(user, environment, copy)
    if python is None:
        pytest.skip(f"no Python {sys.version_info[0]}.{sys.version_info[1]} with pytest that other users may execute")
    files = sorted(
        str(file) for file in (copy / "tests" / "cluster").glob("test_emulator_*.py") if file.name != Path(__file__).name
    )
    options = ["-q", "-rs", "-c", str(copy / "setup.cfg"), "--rootdir", str(copy), "-p", "no:cacheprovider", "--timeout=120"]
    done = as_user(user, [python, "-m", "pytest", *options, "-m", which, *files], environment, copy)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout.splitlines()[-1]
