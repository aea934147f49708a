"""``hvdsm config``, and commands whose defaults come from the configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from settings_support import Hooked, hooked, write

import hvdsm
from hvdsm.cli import main
from hvdsm.cli.defaults import configurable, configured
from hvdsm.cli.launch import command as launch
from hvdsm.errors import ConfigError, UsageError

ROOT = str(Path(hvdsm.__file__).parent.parent)
TEXT = """
    instance_count = 2
    custom_mpi_options = "-x HF_TOKEN=sesame -x A=1"
    [hyperparameters]
    lr = 0.1
    api_key = "sesame"
    [profile.cloud]
    backend = "sagemaker"
    hyperparameters.lr = 0.2
    subnets = ["a", "b"]
    [data.upload]
    force = true
    """


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a configuration, a script and an mpirun that only says its version."""
    for name in [*os.environ]:
        if name.startswith(("HVDSM_", "AWS_")) or name in ("SAGEMAKER_ROLE", "S3_PATH"):
            monkeypatch.delenv(name)
    (tmp_path / ".git").mkdir()
    write(tmp_path / "hvdsm.toml", TEXT)
    write(tmp_path / "train.py", "print('hello')\n")
    write(tmp_path / "mpirun", "#!/bin/sh\necho 'mpirun (Open MPI) 4.1.8'\n").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert hooked("config", "show", "--json", *words) == 0
    return json.loads(capsys.readouterr().out)


def lines(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, tuple[str, str]]:
    assert hooked("config", "show", *words) == 0
    out = capsys.readouterr().out
    assert "sesame" not in out
    cells = [[cell for cell in line.split("  ") if cell] for line in out.splitlines()[1:]]
    return {name.strip(): (value.strip(), source.strip()) for name, value, source in cells}


def test_show_says_each_value_and_its_source(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_PROFILE", "team")
    found = lines(capsys, "--profile", "cloud", "launch", "--hp", "new=a=b", "--hosts", "single", "--spot")
    assert found["instance_count"] == ("2", "hvdsm.toml:1")
    assert found["custom_mpi_options"] == ("-x HF_TOKEN=<masked> -x A=1", "hvdsm.toml:2")
    assert found["hyperparameters.lr"] == ("0.2", "hvdsm.toml:8, profile cloud")
    assert found["hyperparameters.api_key"] == ("<masked>", "hvdsm.toml:5")
    assert found["hyperparameters.new"] == ("a=b", "flag")
    assert found["subnets"] == ("a, b", "hvdsm.toml:9, profile cloud")
    assert found["region"] == ("us-east-1", "environment variable AWS_DEFAULT_REGION")
    assert found["aws_profile"] == ("team", "environment variable AWS_PROFILE")
    assert (found["hosts"], found["spot"]) == (("single", "flag"), ("true", "flag"))
    assert (found["max_run"], found["output"]) == (("-", "default"), ("hvdsm-out", "default"))


def test_show_as_json(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HVDSM_PROFILE", "cloud")
    found = shown(capsys)
    assert (found["command"], found["file"], found["profile"]) == ("launch", str(project / "hvdsm.toml"), "cloud")
    options = found["options"]
    assert options["instance_count"] == {"value": 2, "source": "file", "where": "hvdsm.toml:1"}
    assert options["backend"] == {"value": "sagemaker", "source": "file", "where": "hvdsm.toml:7", "profile": "cloud"}
    assert options["hyperparameters"]["lr"]["value"] == "0.2"
    assert options["subnets"]["value"] == ["a", "b"]
    assert options["max_run"] == {"value": None, "source": "default"}
    assert options["env"] == {}
    assert "sesame" not in json.dumps(found)


def test_show_of_other_commands(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, "data", "upload")["force"] == ("true", "hvdsm.toml:11")
    assert lines(capsys, "data", "upload", "--kms-key", "k")["kms_key"] == ("k", "flag")
    assert lines(capsys, "data", "download")["force"] == ("false", "default")
    assert lines(capsys, "cluster")["instance_count"] == ("2", "default")
    with pytest.raises(UsageError, match="data download, data upload"):
        hooked("config", "show", "data")
    with pytest.raises(UsageError, match="there is no command lunch"):
        hooked("config", "show", "lunch")
    with pytest.raises(click.NoSuchOption, match="instance-cuont"):
        hooked("config", "show", "launch", "--instance-cuont", "2")


def test_show_without_a_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "hvdsm.toml").unlink()
    assert {source for _, source in lines(capsys).values()} == {"default"}
    assert shown(capsys)["file"] is None


def test_show_tells_an_error_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project / "hvdsm.toml", "x = 1\n")
    with pytest.raises(ConfigError):
        hooked("config", "show", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 78 and "hvdsm.toml:1: x" in told["error"]


def test_path(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(project / "a" / "b")
    assert hooked("config", "path") == 0
    assert capsys.readouterr().out == f"{project}/hvdsm.toml\n"
    (project / "hvdsm.toml").unlink()
    for name in ("path", "check"):
        assert hooked("config", name) == 1
        out, err = capsys.readouterr()
        assert out == "" and "there is no hvdsm.toml" in err


def test_check_tells_all_that_is_wrong(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hooked("config", "check") == 0
    out, err = capsys.readouterr()
    assert out == "hvdsm.toml: correct, 1 profile (cloud)\n"
    assert err.count("looks like a secret") == 2 and "sesame" not in err
    write(
        project / "hvdsm.toml",
        """
        instance_cuont = 2
        [profile.a]
        extends = "b"
        spot = 1
        [profile.b]
        extends = "a"
        [profile.c.cluster]
        mount = "x"
        [data]
        fource = true
        [data.uplaod]
        """,
    )
    with pytest.raises(ConfigError) as caught:
        hooked("config", "check")
    told = str(caught.value)
    wanted = {1: "instance_count", 4: "true or false", 6: "a -> b -> a", 8: "a list", 10: "force", 11: "upload"}
    for number, word in wanted.items():
        assert any(f"hvdsm.toml:{number}" in line and word in line for line in told.splitlines()), (number, word, told)
    assert told.count("fource") == 1


def test_hvdsm_itself(project: Path) -> None:
    """The program, in a process of its own."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": ROOT}
        command = [sys.executable, "-m", "hvdsm", *words]
        return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, check=False)

    done = run("config", "path")
    assert (done.returncode, done.stdout) == (0, f"{project}/hvdsm.toml\n")
    write(project / "hvdsm.toml", "instance_cuont = 2\n")
    done = run("config", "check")
    assert done.returncode == 78 and done.stdout == ""
    assert done.stderr.splitlines()[0] == (
        "hvdsm: error: hvdsm.toml:1: instance_cuont: there is no such option; did you mean instance_count?"
    )


def dry(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert hooked("launch", "--dry-run", "--json", "--hosts", "single", "--mpirun", "./mpirun", *words) == 0
    return json.loads(capsys.readouterr().out)["request"]


def test_launch_obeys_the_file_the_profile_and_the_flags(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        project / "hvdsm.toml",
        """
        instance_count = 2
        instance_type = "ml.m5.large"
        [hyperparameters]
        data = "CIFAR10DataModule"
        "data.batch_size" = 32
        devices = "1"
        [env]
        A = "file"
        B = "file"
        [profile.more]
        instance_count = 3
        hyperparameters.seed = 7
        """,
    )
    request = dry(capsys, "--profile", "more", "--hp", "data.batch_size=64", "--env", "B=flag", "train.py")
    assert request["ResourceConfig"]["InstanceCount"] == 3 and request["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    values = {name: json.loads(value) for name, value in request["HyperParameters"].items() if not name.startswith("sagemaker_")}
    assert values == {"data": "CIFAR10DataModule", "data.batch_size": 64, "devices": "1", "seed": 7}
    assert request["Environment"] == {"A": "file", "B": "flag"}
    assert dry(capsys, "--instance-count", "1", "train.py")["ResourceConfig"]["InstanceCount"] == 1


def test_what_follows_the_script_stays_the_scripts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hvdsm.compose.arguments import unpack_arguments

    request = dry(capsys, "train.py", "--profile", "cloud", "--instance-count", "9")
    assert unpack_arguments(request["HyperParameters"]) == ("--profile", "cloud", "--instance-count", "9")
    assert request["ResourceConfig"]["InstanceCount"] == 2


def test_warnings_go_to_standard_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hooked("launch", "--dry-run", "--hosts", "single", "--mpirun", "./mpirun", "train.py") == 0
    out, err = capsys.readouterr()
    assert "hvdsm: warning: hvdsm.toml:2: custom_mpi_options looks like a secret" in err
    assert "sesame" not in out + err


def test_help_needs_no_configuration(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project / "hvdsm.toml", "this is no TOML")
    assert hooked("launch", "--help") == 0
    assert "--profile NAME" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"hvdsm.toml:1"):
        hooked("launch", "--dry-run", "train.py")


def test_a_command_stays_as_it_is() -> None:
    names = [parameter.name for parameter in launch.params]
    made = configurable(launch, ("launch",), ["launch"])
    assert [parameter.name for parameter in launch.params] == names
    assert [parameter.name for parameter in made.params] == [*names, "profile"]
    assert configurable(made, ("launch",), ["launch"]) is made
    context = Hooked("hvdsm").make_context("hvdsm", ["config", "path"])
    group = Hooked("hvdsm").get_command(context, "data")
    assert isinstance(group, click.Group)
    assert all(any(one.name == "profile" for one in leaf.params) for leaf in group.commands.values())


def test_an_option_called_profile_keeps_its_name(project: Path) -> None:
    @click.command()
    @click.option("--profile")
    @click.option("--size", type=int, default=1)
    def command(**given: Any) -> Any:
        """Give what is given."""
        return given

    write(project / "hvdsm.toml", "[profile.p.thing]\nsize = 3\n")
    made = configurable(command, ("thing",), ["launch", "thing"])
    assert made.main(["--profile", "own", "--hvdsm-profile", "p"], standalone_mode=False) == {"profile": "own", "size": 3}


def test_the_names_of_commands_are_known(project: Path) -> None:
    write(project / "hvdsm.toml", "[jobs]\n[data]\n[cluster]\n[config]\n")
    assert configured("launch", launch, {}, str(project)).default_map == {}


def test_the_program_is_not_slower_without_a_file(project: Path) -> None:
    """Neither the parser of TOML nor that of YAML is loaded where there is nothing to parse."""
    (project / "hvdsm.toml").unlink()
    code = (
        "import sys; from settings_support import parsed; parsed('--instance-count', '2'); "
        "print([name for name in ('tomllib', 'tomli', 'yaml', 'botocore') if name in sys.modules])"
    )
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT}/tests/unit"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True, cwd=project)
    assert done.stdout == "[]\n"


def test_hvdsm_config_is_a_command_of_hvdsm(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "launch"]) == 0
    assert "hvdsm.toml:1" in capsys.readouterr().out
