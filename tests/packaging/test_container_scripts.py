"""The scripts of containers/, run with stand-ins for what they call: what they refuse, and what is different for a GPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict

import pytest
from packaging_support import REPOSITORY

CONTAINERS = REPOSITORY / "containers"
# Tells what it was called with, and does what a test asks for.
STAND_IN = """#!/bin/sh
printf '%s\\n' "{name} $*" >> "$CALLS"
{body}
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory for stand-ins, before all else on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def stand_in(programs: Path, name: str, body: str = "") -> None:
    """Make a program that writes its arguments down, and then runs some shell."""
    path = programs / name
    path.write_text(STAND_IN.format(name=name, body=body))
    path.chmod(0o755)


def run(script: str, *words: str, programs: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script of containers/."""
    scratch = programs.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("HOROVOD_", "MAKE", "CUDA", "LD"))},
        "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin",
        "CALLS": str(programs.parent / "calls"),
        "TMPDIR": str(scratch),
        **environ,
    }
    return subprocess.run([str(CONTAINERS / script), *words], env=env, capture_output=True, text=True, check=False)


def calls(programs: Path) -> str:
    """What the stand-ins were called with."""
    path = programs.parent / "calls"
    return path.read_text() if path.exists() else ""


def test_nothing_is_installed_for_efa_without_a_gpu(programs: Path) -> None:
    for name in ("apt-get", "curl", "gpg"):
        stand_in(programs, name)
    assert run("shared/efa.sh", "cpu", "1.0", programs=programs).returncode == 0
    assert calls(programs) == ""


@pytest.mark.skipif(not (shutil.which("gpg") and shutil.which("gpgv")), reason="signatures are made and compared by gpg")
@pytest.mark.skipif(os.path.exists("/opt/amazon/openmpi/bin/mpirun"), reason="this machine has EFA's Open MPI")
def test_an_installer_with_another_signature_is_not_run(programs: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    # Gpg's agent has a socket there, whose path must be short.
    keys = tempfile.mkdtemp(prefix="hvdsm-keys-")
    archive = site / "aws-efa-installer-1.0.tar.gz"
    archive.write_bytes(b"no installer at all")
    gpg = ["gpg", "--homedir", keys, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "somebody@example.com", "rsa2048", "sign", "1d"], check=True, capture_output=True)
    subprocess.run([*gpg, "--detach-sign", "--output", f"{archive}.sig", str(archive)], check=True, capture_output=True)
    subprocess.run(
        [*gpg, "--armor", "--export", "--output", str(site / "aws-efa-installer.key")], check=True, capture_output=True
    )
    stand_in(programs, "apt-get")
    stand_in(programs, "curl", f'for last; do :; done; cp "{site}/${{last##*/}}" .')
    done = run("shared/efa.sh", "gpu", "1.0", programs=programs)
    subprocess.run(["gpgconf", "--homedir", keys, "--kill", "all"], check=False, capture_output=True)
    shutil.rmtree(keys, ignore_errors=True)
    assert done.returncode == 1
    assert "is not signed with the key 4E9091BC" in done.stderr
    assert "https://efa-installer.amazonaws.com/aws-efa-installer-1.0.tar.gz.sig" in calls(programs)
    assert list((tmp_path / "scratch").iterdir()) == []


# In place of pip: writes the environment of the build down, and makes the file that is installed then.
PYTHON = """
case "$*" in
  *torch.version.cuda*) echo "$TORCH_CUDA" ;;
  "-m pip wheel"*)
    for word; do [ "$before" = --wheel-dir ] && mkdir -p "$word" && : > "$word/horovod-0-py3-none-any.whl"; before=$word; done
    "$REAL" -c 'import json, os; json.dump(dict(os.environ), open(os.environ["ENVIRONMENT"], "w"))' ;;
  "-m pip install"*) ;;
  *) cat > /dev/null ;;
esac
"""


def horovod(programs: Path, *words: str, cuda: str = "") -> subprocess.CompletedProcess[str]:
    """Run the build of Horovod, with a Python that compiles nothing."""
    stand_in(programs, "python3", PYTHON)
    stand_in(programs, "nproc", "echo 3")
    environ = {"REAL": sys.executable, "ENVIRONMENT": str(programs.parent / "environment"), "TORCH_CUDA": cuda}
    return run("horovod/build.sh", *words, programs=programs, **environ)


def environment_of(programs: Path) -> Dict[str, str]:
    """The environment that Horovod was built in."""
    found: Dict[str, str] = json.loads((programs.parent / "environment").read_text())
    return found


@pytest.mark.parametrize(("framework", "other"), [("pytorch", "TENSORFLOW"), ("tensorflow", "PYTORCH")])
def test_horovod_for_the_cpu(programs: Path, framework: str, other: str) -> None:
    done = horovod(programs, framework, "cpu", "0.28.1")
    assert done.returncode == 0, done.stderr
    environ = environment_of(programs)
    assert (environ["HOROVOD_WITH_MPI"], environ["HOROVOD_WITH_GLOO"]) == ("1", "1")
    assert environ[f"HOROVOD_WITH_{framework.upper()}"] == environ[f"HOROVOD_WITHOUT_{other}"] == "1"
    assert "HOROVOD_GPU_OPERATIONS" not in environ
    assert environ["MAKEFLAGS"] in ("-j1", "-j2", "-j3")
    assert "horovod==0.28.1" in calls(programs)


def test_horovod_for_a_gpu_has_nccl(programs: Path) -> None:
    assert horovod(programs, "pytorch", "gpu", "0.28.1", cuda="13.0").returncode == 0
    environ = environment_of(programs)
    assert (environ["HOROVOD_GPU_OPERATIONS"], environ["HOROVOD_NCCL_LINK"]) == ("NCCL", "SHARED")
    assert environ["HOROVOD_BUILD_CUDA_CC_LIST"]


def test_a_torch_with_cuda_is_refused_for_the_cpu(programs: Path) -> None:
    done = horovod(programs, "pytorch", "cpu", "0.28.1", cuda="13.0")
    assert done.returncode == 1
    assert "torch came with CUDA 13.0" in done.stderr
    assert "TORCH_INDEX" in done.stderr


def test_an_unknown_framework_is_refused(programs: Path) -> None:
    done = horovod(programs, "mxnet", "cpu", "0.28.1")
    assert done.returncode == 2
    assert "mxnet is neither pytorch nor tensorflow" in done.stderr


def test_another_train_and_a_missing_program_are_found(programs: Path) -> None:
    for name in ("sshd", "ssh", "ssh-keygen", "mpirun", "hvdsm-train"):
        stand_in(programs, name)
    stand_in(programs, "train", 'echo "sagemaker-training 5.1.1"')
    done = run("shared/check.sh", programs=programs)
    assert done.returncode == 1
    assert f"the first train on PATH, {programs}/train, is not hvdsm's" in done.stderr
    (programs / "mpirun").unlink()
    env_path = f"{programs}:/bin:/usr/bin"
    if shutil.which("mpirun", path=env_path) is None:
        done = run("shared/check.sh", programs=programs, PATH=env_path)
        assert "mpirun is not on PATH" in done.stderr


def test_what_the_doctor_refuses_is_no_image(programs: Path) -> None:
    for name in ("sshd", "ssh", "ssh-keygen", "mpirun"):
        stand_in(programs, name)
    stand_in(programs, "find")
    stand_in(programs, "train", 'echo "hvdsm, version 1"')
    stand_in(programs, "hvdsm-train", "exit 78")
    assert run("shared/check.sh", "json", programs=programs).returncode == 78
    stand_in(programs, "hvdsm-train")
    done = run("shared/check.sh", "json", programs=programs)
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["check.sh:", "json"])
    assert calls(programs).splitlines()[-1] == "hvdsm-train --doctor"


def test_slimming_takes_headers_and_tests_of_the_named_packages_alone(programs: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name in (
        "torch/include/a.h",
        "torch/lib/b.a",
        "torch/lib/c.so",
        "torch/x/tests/d.py",
        "torch/tests.py",
        "other/tests/e.py",
    ):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("")
    stand_in(programs, "python3", f'echo "{site}"')
    assert run("shared/slim.sh", "torch", "absent", programs=programs, KEEP_HEADERS="1").returncode == 0
    assert (site / "torch/include/a.h").exists()
    assert run("shared/slim.sh", "torch", "absent", programs=programs).returncode == 0
    left = sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file())
    assert left == ["other/tests/e.py", "torch/lib/c.so", "torch/tests.py"]
