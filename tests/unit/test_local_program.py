"""What the hosts run for a request, and what can be known of it before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from hvdsm.backends.local.machine import as_in_an_image
from hvdsm.backends.local.prelude import COMMANDS_TARGET, Prelude, with_prelude
from hvdsm.backends.local.program import (
    check_command,
    command_of,
    commands_for,
    is_shipped,
    make_commands,
    missing_commands,
    mpi_driver_warnings,
    read_driver,
)
from hvdsm.compose.cloud import BUNDLE_ENTRYPOINT
from hvdsm.errors import ConfigError


def request(entry: List[str], arguments: List[str] = []) -> Dict[str, Any]:  # noqa: B006
    return {"AlgorithmSpecification": {"ContainerEntrypoint": entry, "ContainerArguments": arguments}}


@pytest.mark.parametrize(
    "entry",
    [
        [],
        list(BUNDLE_ENTRYPOINT),
        ["python3", "/opt/ml/input/data/program/hvdsm.pyz"],
        ["train"],
        ["/usr/local/bin/hvdsm-train"],
        ["python3", "-m", "hvdsm.container"],
    ],
)
def test_hvdsms_own_program(entry: List[str]) -> None:
    assert command_of(request(entry)) is None


def test_a_command_is_taken_word_by_word() -> None:
    assert command_of(request(["/bin/bash"], ["-c", "a && b"])) == ("/bin/bash", "-c", "a && b")
    assert command_of(request([], ["--x"])) is None
    assert command_of({}) is None


def test_the_channel_of_the_program_is_not_needed() -> None:
    assert is_shipped(request(list(BUNDLE_ENTRYPOINT)), "hvdsm")
    assert not is_shipped(request(list(BUNDLE_ENTRYPOINT)), "train")
    assert not is_shipped(request(["bash"]), "hvdsm")


def nothing_hidden(_path: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/opt/program/train", "is not on this machine"),
        ("no-such-program", "is not on PATH"),
        ("/opt/ml/code/train.sh", "is not on this machine"),
    ],
)
def test_a_program_that_only_the_image_has(program: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check_command([program], "/usr/bin:/bin", nothing_hidden)
    assert caught.value.where == "AlgorithmSpecification.ContainerEntrypoint"


def test_a_program_of_the_machine_that_hosts_do_not_see() -> None:
    with pytest.raises(ConfigError, match="is not on this machine"):
        check_command([sys.executable], "", lambda path: path == sys.executable)


def test_paths_among_the_arguments() -> None:
    command = ["python3", "/opt/program/t.py", "/opt/ml/input/data/code/t.py", "/", "-c", "cat /no/such", "s3://a/b", "/bin"]
    (warning,) = check_command(command, "/usr/bin", nothing_hidden)
    assert "/opt/program/t.py" in warning


def test_a_remote_function_is_refused() -> None:
    command = ["/bin/bash", "/opt/ml/input/data/sagemaker_remote_function_bootstrap/job_driver.sh"]
    with pytest.raises(ConfigError, match="@remote"):
        check_command(command, "/bin", nothing_hidden)


@pytest.mark.parametrize(
    ("text", "name", "requirements", "is_mpi"),
    [
        ("$P /x/distributed_drivers/mpi_driver.py", "mpi_driver.py", None, True),
        ("a\n$P /x/install_requirements.py needs/r.txt\n$P /x/distributed_drivers/b.py\n", "b.py", "needs/r.txt", False),
        ("$P /x/install_requirements.py ../../etc/passwd", "", None, False),
        ("eval $CMD", "", None, False),
    ],
)
def test_driver_of_the_sdk(tmp_path: Path, text: str, name: str, requirements: str, is_mpi: bool) -> None:
    (tmp_path / "sm_train.sh").write_text(text)
    driver = read_driver([("sm_train.sh", str(tmp_path / "sm_train.sh"))])
    assert (driver.name, driver.requirements, driver.is_mpi) == (name, requirements, is_mpi)


def test_no_driver() -> None:
    assert read_driver([("x", "/no/such")]).name == ""


def test_the_sdks_mpi_driver() -> None:
    with pytest.raises(ConfigError, match="paramiko") as caught:
        mpi_driver_warnings(2, has_requirements=False, has_paramiko=False)
    assert "pip install paramiko" in (caught.value.remedy or "")
    (warning,) = mpi_driver_warnings(2, has_requirements=True, has_paramiko=False)
    assert "first host" in warning and "hvdsm launch" in warning
    assert mpi_driver_warnings(1, has_requirements=False, has_paramiko=True) == []


def test_commands_stand_in_for_a_python_of_another_name(tmp_path: Path) -> None:
    folder = tmp_path / "my bin"
    folder.mkdir()
    python = folder / "python3.99"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    assert missing_commands(str(python)) == ("python", "python3", "pip", "pip3")
    make_commands(str(tmp_path / "commands"), commands_for(str(python), None))
    for name in ("python", "python3"):
        code = "import sys; print(sys.prefix, sys.argv[1:])"
        command = [tmp_path / "commands" / name, "-c", code, "a b", ""]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        assert done.stdout == f"{sys.prefix} ['a b', '']\n"


def test_mpirun_is_called_by_its_whole_path() -> None:
    assert commands_for(sys.executable, "/opt/hvdsm/mpi/bin/mpirun")["mpirun"] == ("/opt/hvdsm/mpi/bin/mpirun",)


def test_variables_are_those_of_an_image() -> None:
    kept = as_in_an_image({"PATH": "/a", "GITHUB_PAT": "x", "OMPI_MCA_btl": "tcp", "AWS_SECRET_ACCESS_KEY": "y", "LANG": "C"})
    assert kept == {"PATH": "/a", "OMPI_MCA_btl": "tcp", "LANG": "C"}


def test_this_pythons_programs_come_first() -> None:
    variables = with_prelude({"PATH": "/usr/bin"}, Prelude(commands="/x"))
    first, second, *_ = variables["PATH"].split(":")
    assert (first, second) == (COMMANDS_TARGET, str(Path(sys.executable).parent))
