"""The command line: what follows the script is the script's, errors have their exit codes, a dry run starts nothing."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Optional

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hvdsm
from hvdsm.cli import main
from hvdsm.cli.app import app
from hvdsm.cli.cluster import parse_mount
from hvdsm.compose.arguments import unpack_arguments
from hvdsm.emulator import Mount
from hvdsm.errors import UsageError

ROOT = str(Path(hvdsm.__file__).parent.parent)
MPIRUN = """#!/bin/sh
echo 'mpirun (Open MPI) 4.1.8'
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a script, and an mpirun that only says its version."""
    folder = tmp_path / "my project"
    folder.mkdir()
    (folder / "train it.py").write_text("print('hello')\n")
    (folder / "mpirun").write_text(MPIRUN)
    (folder / "mpirun").chmod(0o755)
    monkeypatch.chdir(folder)
    return folder


def dry(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code = main(["launch", "--dry-run", "--json", "--hosts", "single", "--mpirun", "./mpirun", *words])
    out, err = capsys.readouterr()
    assert code == 0, err + out
    return json.loads(out)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["launch", "--hosts", "single", *words])
    out, err = capsys.readouterr()
    assert out == ""
    return code, err


def test_words_after_the_script_are_the_scripts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--instance-count", "7", "--", "--help", "-x", "", "a b", "it's", "--dry-run"]
    shown = dry(capsys, "--instance-count", "1", "train it.py", *words)
    assert unpack_arguments(shown["request"]["HyperParameters"]) == tuple(words)
    assert shown["request"]["ResourceConfig"]["InstanceCount"] == 1


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_characters="\0=:@", exclude_categories=["Cs"]))))
def test_any_words_after_the_script(project: Path, capsys: pytest.CaptureFixture[str], words: List[str]) -> None:
    assert list(unpack_arguments(dry(capsys, "--", "train it.py", *words)["request"]["HyperParameters"])) == words


@pytest.mark.parametrize(
    "form", [["--custom-mpi-options", "-x A=b"], ["--custom-mpi-options=-x A=b"], ["--mpi-options", "-x A=b"]]
)
def test_values_may_begin_with_a_dash(project: Path, capsys: pytest.CaptureFixture[str], form: List[str]) -> None:
    shown = dry(capsys, *form, "train it.py")
    assert json.loads(shown["request"]["HyperParameters"]["sagemaker_mpi_custom_mpi_options"]) == "-x A=b"
    assert "A=b" in shown["mpirun"]


def test_all_options_reach_the_request(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "data").mkdir()
    (project / "data" / "x").write_text("1")
    shown = dry(
        capsys,
        *("--instance-count", "3", "--processes-per-host", "2", "--hp", "lr=0.1", "--hyperparameter", "eq=a=b", "--channel"),
        *("train=data", "--source-dir", ".", "--env", "A=b=c", "--job-name", "job-1", "--max-run", "60", "--output", "out dir"),
        *("--distribution", "mpi", "--instance-type", "ml.m5.large", "--region", "eu-west-1", "train it.py"),
    )
    request = shown["request"]
    assert request["TrainingJobName"] == "job-1"
    assert request["ResourceConfig"] == {"InstanceCount": 3, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
    assert (request["HyperParameters"]["lr"], request["HyperParameters"]["eq"]) == ("0.1", '"a=b"')
    assert request["Environment"] == {"A": "b=c"}
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 60}
    assert request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == f"file://{project}/data".replace(" ", "%20")
    assert shown["hosts"] == ["algo-1"] and shown["hostfile"] == "localhost slots=6\n"
    assert not (project / "out dir").exists()


def test_dry_run_for_people_is_pasteable_and_masked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--dry-run", "--hosts", "single", "--mpirun", "./mpirun", "--processes-per-host", "2"]
    words += ["--env", "HF_TOKEN=sesame1", "--hp", "api_key=sesame2", "--mpi-options", "-x DB_PASSWORD=sesame3", "train it.py"]
    assert main(["launch", *words, "--password", "sesame4", "x y"]) == 0
    out = capsys.readouterr().out
    assert "sesame" not in out
    for title in ("# hosts", "# hostfile", "# ssh_config", "# mpirun", "# environment", "# request"):
        assert title in out
    command = shlex.split(out.split("# mpirun\n")[1].split("\n\n")[0])
    assert command[0] == str(project / "mpirun") and command[-1] == "x y" and "-np" in command
    assert not (project / "hvdsm-out").exists()


def test_dry_run_shows_the_environment_of_ranks(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--instance-count", "2", "--checkpoint", "ck", "--stop-grace", "30", "--max-restarts", "3", "--hang-timeout", "60"]
    shown = dry(capsys, *words, "train it.py")
    environment = shown["environment"]
    assert (environment["MASTER_ADDR"], environment["MASTER_PORT"]) == ("127.0.0.1", "7777")
    assert (environment["CURRENT_HOST"], environment["SAGEMAKER_JOB_NAME"]) == ("algo-1", shown["job_name"])
    assert (environment["WORLD_SIZE"], environment["HVDSM_STOP_GRACE"]) == ("2", "30")
    assert "HVDSM_JOB_TOKEN" not in environment and "HVDSM_PACKAGES" not in environment
    assert shown["request"]["CheckpointConfig"] == {
        "S3Uri": f"file://{project}/ck".replace(" ", "%20"),
        "LocalPath": "/opt/ml/checkpoints",
    }
    values = shown["request"]["HyperParameters"]
    assert (values["sagemaker_hvdsm_max_restarts"], values["sagemaker_hvdsm_hang_timeout"]) == ("3", "60.0")
    assert not (project / "ck").exists()


def test_dry_run_says_what_would_be_installed(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    (project / "requirements.txt").write_text("--index-url https://me:sesame@pip.example/simple\nsome-package==1\n")
    shown = dry(capsys, "--source-dir", ".", "train it.py")
    (note,) = [note for note in shown["notes"] if "requirements.txt" in note]
    assert "some-package==1" in note and "would be installed" in note and "sesame" not in note
    packages = shown["environment"]["HVDSM_PACKAGES"]
    assert packages.startswith(str(project / "cache" / "hvdsm" / "packages"))
    assert shown["environment"]["PYTHONPATH"].split(":")[1] == packages
    assert not (project / "cache").exists()


def test_dry_run_needs_mpirun_only_for_mpi(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = refused(capsys, "--dry-run", "--mpirun", "/no/such", "train it.py")
    assert code == 78 and "/no/such" in err and "--mpirun" in err
    assert dry(capsys, "--distribution", "torch_distributed", "train it.py")["mpirun"] is None


def test_request_file_instead_of_a_script(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dry(capsys, "--job-name", "first", "--env", "HF_TOKEN=x", "train it.py", "--a")["request"]
    (project / "job.json").write_text(json.dumps(made))
    code, err = refused(capsys, "--dry-run", "--mpirun", "./mpirun", "--request", "job.json")
    assert code == 78 and "HF_TOKEN" in err
    again = dry(capsys, "--request", "job.json", "--job-name", "second", "--env", "HF_TOKEN=y", "--max-run", "5", "--hp", "k=1")
    assert again["job_name"] == "second"
    assert again["request"]["HyperParameters"]["k"] == "1"
    assert unpack_arguments(again["request"]["HyperParameters"]) == ("--a",)
    assert again["request"]["StoppingCondition"]["MaxRuntimeInSeconds"] == 5
    words = ["--env", "HF_TOKEN=y", "--checkpoint", "ck", "--max-restarts", "2", "--hang-timeout", "9"]
    changed = dry(capsys, "--request", "job.json", *words)["request"]
    assert changed["CheckpointConfig"]["S3Uri"].endswith("/ck")
    assert changed["HyperParameters"]["sagemaker_hvdsm_max_restarts"] == "2"
    assert changed["HyperParameters"]["sagemaker_hvdsm_hang_timeout"] == "9.0"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "SCRIPT"),
        (["--no-such-option", "train it.py"], 2, "--no-such-option"),
        (["--instance-count", "0", "train it.py"], 2, "instance-count"),
        (["--distribution", "x", "train it.py"], 2, "distribution"),
        (["--hp", "novalue", "train it.py"], 2, "--hyperparameter"),
        (["--hp", "a=1", "--hp", "a=2", "train it.py"], 2, "twice"),
        (["--distribution", "none", "--processes-per-host", "2", "train it.py"], 2, "none"),
        (["no such.py"], 78, "no such.py"),
        (["--mpi-options", "-x 'A", "train it.py"], 78, "custom_mpi_options"),
        (["--hp", "sagemaker_program=x", "train it.py"], 78, "reserved"),
        (["--job-name", "a_b", "train it.py"], 78, "TrainingJobName"),
        (["--channel", "train=nowhere", "train it.py"], 78, "channel train"),
        (["--env", "1A=x", "train it.py"], 78, "Environment"),
        (["--max-run", "0", "train it.py"], 78, "MaxRuntimeInSeconds"),
        (["--request", "no.json"], 78, "no.json"),
        (["--request", "bad.json"], 78, "no JSON"),
        (["--request", "list.json"], 78, "object"),
        (["--request", "list.json", "train it.py"], 2, "instead of SCRIPT"),
        (["--request", "list.json", "--instance-count", "2"], 2, "--instance-count"),
        (["--s3-root", "nowhere", "train it.py"], 78, "--s3-root"),
        (["--checkpoint", "", "train it.py"], 2, "checkpoint"),
        (["--checkpoint", "bad.json", "train it.py"], 78, "is not a directory"),
        (["--checkpoint", "hvdsm-out", "train it.py"], 78, "results"),
        (["--interrupt-after", "0", "train it.py"], 2, "interrupt after"),
        (["--interrupt-after", "soon", "train it.py"], 2, "--interrupt-after"),
        (["--stop-grace", "-1", "train it.py"], 2, "--stop-grace"),
        (["--hang-timeout", "0", "train it.py"], 2, "hang timeout"),
        (["--hang-timeout", "inf", "train it.py"], 2, "hang timeout"),
        (["--max-restarts", "-1", "train it.py"], 2, "--max-restarts"),
        (["--max-restarts", "1", "--hp", "sagemaker_hvdsm_max_restarts=2", "train it.py"], 78, "reserved"),
    ],
)
def test_errors(project: Path, capsys: pytest.CaptureFixture[str], words: List[str], code: int, said: str) -> None:
    (project / "bad.json").write_text("{")
    (project / "list.json").write_text("[]")
    result, err = refused(capsys, *words)
    assert result == code and said in err, err
    assert not (project / "hvdsm-out").exists()


def test_errors_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "--json", "no such.py"]) == 78
    out, err = capsys.readouterr()
    assert json.loads(out)["exit_code"] == 78 and "no such.py" in json.loads(out)["error"] and "no such.py" in err


def test_help_imports_no_command() -> None:
    program = (
        "import sys; from hvdsm.cli import main; main(['--help']); "
        "print([n for n in ('rich', 'boto3', 'hvdsm.api', 'hvdsm.emulator', 'json') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)
    assert b"launch" in done.stdout and b"cluster" in done.stdout
    assert done.stderr == b"[]\n"


@pytest.mark.parametrize("words", [["--help"], ["launch", "--help"], ["cluster", "--help"], ["--version"]])
@pytest.mark.parametrize("module", ["hvdsm", "hvdsm.cli"])
def test_modules_are_commands(words: List[str], module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *words], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0 and done.stdout


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lunch"]) == 2
    assert "lunch" in capsys.readouterr().err


def test_a_training_container_is_handed_over(project: Path) -> None:
    """Inside a container the configuration says what runs, and the container program reads it."""
    (project / "input" / "config").mkdir(parents=True)
    (project / "input" / "config" / "resourceconfig.json").write_text("{}")
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(project), "PYTHONPATH": ROOT}
    words = [sys.executable, "-m", "hvdsm", "launch", "whatever.py"]
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert done.returncode != 0
    assert b"handing over to hvdsm-train" in done.stderr
    assert b"whatever.py" not in done.stdout + done.stderr


def test_mounts(project: Path) -> None:
    here = str(project)
    assert parse_mount(".") == Mount(here, here)
    assert parse_mount(".:rw") == Mount(here, here, writable=True)
    assert parse_mount(f"{here}:/data") == Mount(here, "/data")
    assert parse_mount(f"{here}:/data:rw") == Mount(here, "/data", writable=True)
    assert parse_mount(".:ro") == Mount(here, here)
    for text in ("nowhere", ".:relative"):
        with pytest.raises(UsageError, match="--mount"):
            parse_mount(text)


@pytest.mark.parametrize("flag", [["--delay-ms", "1"], ["--mbit", "10"], ["--slow-host", "2:delay-ms=1"]])
def test_the_network_of_the_cloud_cannot_be_slowed(flag: List[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "train.py"
    script.write_text("")
    words = ["--backend", "sagemaker", "--region", "us-east-1", "--image", "x", "--role", "arn:aws:iam::123456789012:role/r"]
    assert main(["launch", *words, *flag, str(script)]) == 2
    assert f"{flag[0]}: only a network of emulated hosts can be slowed" in capsys.readouterr().err


def test_every_command_has_help() -> None:
    """Each is imported when it is asked for: one that cannot be shown would not be seen elsewhere."""

    def shown(command: click.Command, above: Optional[click.Context], name: str) -> int:
        context = click.Context(command, parent=above, info_name=name)
        assert command.get_help(context).startswith("Usage: ")
        if not isinstance(command, click.Group):
            return 1
        below = [(word, command.get_command(context, word)) for word in command.list_commands(context)]
        return 1 + sum(shown(found, context, word) for word, found in below if found is not None)

    assert shown(app, None, "hvdsm") > 30
