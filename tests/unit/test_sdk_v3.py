"""The parts of ``hvdsm.sdk.v3`` that need no SDK: the driver, and what it makes of the SDK's files."""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm import bundle
from hvdsm.compose.environment import Paths
from hvdsm.compose.model_trainer import arguments_of, quoted, reserved_of, settings_of, unquoted
from hvdsm.container.config import launcher_here, read_config
from hvdsm.container.model_trainer import handover_of
from hvdsm.container.reserved import distribution, supervision
from hvdsm.container.source import bring
from hvdsm.errors import ConfigError
from hvdsm.model import MPI, TORCH_DISTRIBUTED

DRIVER = Path(bundle.__file__).parent / "sdk" / "v3" / "driver.py"


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("0.1", "0.1"),
        ("1e-3", "0.001"),
        ("1.0", "1.0"),
        ("007", "007"),
        ("true", "true"),
        ("True", "True"),
        ("null", "null"),
        ("None", "None"),
        ("", ""),
        ("plain", "plain"),
        ('say "so"', 'say "so"'),
        ('"x"', "x"),
        ('"\\"x\\""', "x"),
        ("it's", "it's"),
        ('{"a": [1, {"b": null}]}', '{"a": [1, {"b": null}]}'),
        ('{"a":1}', '{"a": 1}'),
        ('["ü"]', '["\\u00fc"]'),
        ("ü", "ü"),
        ("NaN", "NaN"),
        (7, "7"),
        (False, "false"),
    ],
)
def test_a_hyperparameter_as_an_argument(value: Any, word: str) -> None:
    assert arguments_of({"name": value}) == ["--name", word]


def test_arguments_keep_their_order_and_own_settings_stay_out() -> None:
    values = {"z": "1", "a": "2", "sagemaker_hvdsm_timeout": "5", "sagemaker_program": "x.py", "long-name": "3"}
    assert arguments_of(values) == ["--z", "1", "--a", "2", "--sagemaker_program", "x.py", "--long-name", "3"]


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_quotes_come_through_the_environment_file(value: Any) -> None:
    wire = quoted({"value": value})["value"]
    assert unquoted(wire) == value
    if isinstance(value, str):
        assert "'" not in wire


def test_what_a_configuration_asks_for() -> None:
    config: Dict[str, Any] = {
        "process_count_per_node": 2,
        "process_count": 3,
        "mpi_additional_options": ["-x", "A=b 'c'", "--mca", "btl", "tcp"],
        "custom_mpi_options": None,
        "timeout": 90.0,
        "hang_timeout": 5.5,
        "max_restarts": 1,
        "instance_groups": ["one", "two"],
        "stop_grace": 7.0,
        "arguments": ["x"],
    }
    reserved = reserved_of(MPI, config, "./src/../train.py")
    assert reserved["sagemaker_program"] == "train.py"
    assert reserved["sagemaker_distribution_instance_groups"] == ["one", "two"]
    found = distribution({key: json.loads(value) if "options" in key else value for key, value in reserved.items()})
    assert (found.kind, found.processes_per_host, found.world_size) == (MPI, 2, 3)
    assert shlex.split(found.custom_mpi_options) == config["mpi_additional_options"]
    supervised = supervision(reserved)
    assert (supervised.timeout, supervised.hang_timeout, supervised.max_restarts) == (90.0, 5.5, 1)
    assert settings_of(config) == {"HVDSM_STOP_GRACE": "7"}


def test_torchrun_and_nothing_more() -> None:
    found = distribution(reserved_of(TORCH_DISTRIBUTED, {"process_count_per_node": 4}, "train.py"))
    assert (found.kind, found.processes_per_host) == (TORCH_DISTRIBUTED, 4)
    assert distribution(reserved_of(MPI, {}, "train.py")).processes_per_host is None
    assert settings_of({}) == {}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """``/opt/ml`` of a host of a ModelTrainer's job."""
    for directory in ("input/config", "input/data/code", "input/data/sm_drivers/distributed_drivers", "output"):
        (tmp_path / directory).mkdir(parents=True)
    write(tmp_path / "input/config/resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
    write(tmp_path / "input/config/hyperparameters.json", {"name": '"it\'s"', "sagemaker_mpi_enabled": "false"})
    write(tmp_path / "input/data/sm_drivers/sourcecode.json", {"source_dir": "x", "entry_script": "train.py"})
    write(tmp_path / "input/data/sm_drivers/distributed.json", {"process_count_per_node": 1, "arguments": ["%27%25"]})
    return tmp_path


def write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value))


def test_a_job_is_handed_over(base: Path) -> None:
    paths = Paths(str(base))
    handover = handover_of(str(base / "input/data/sm_drivers"), MPI, paths)
    assert handover.arguments == ("--name", "it's", "--sagemaker_mpi_enabled", "false", "'%")
    config = read_config(Paths(str(base), handover.source), {"SAGEMAKER_PROGRAM": "other.py"}, handover=handover)
    assert config.job.program == "train.py"
    assert config.job.distribution.kind == MPI
    assert config.paths.code == str(base / "input/data/code")
    assert config.variables == {"SM_USER_ARGS": json.dumps(handover.arguments, separators=(",", ":"))}
    assert launcher_here(config.paths, handover)


def test_the_source_is_run_as_it_is(base: Path) -> None:
    code = base / "input/data/code"
    (code / "setup.py").write_text("raise SystemExit(1)\n")
    (code / "requirements.txt").write_text("no-such-package-anywhere\n")
    (code / "go.sh").write_text("#!/bin/sh\n")
    for name in ("train.py", "go.sh"):
        (code / name).touch()
        write(base / "input/data/sm_drivers/sourcecode.json", {"entry_script": name})
        handover = handover_of(str(base / "input/data/sm_drivers"), MPI, Paths(str(base)))
        config = read_config(Paths(str(base), handover.source), {}, handover=handover)
        command = bring(config, {}, lambda *_: None, sys.executable).command
        assert command[-len(handover.arguments) :] == list(handover.arguments)
        assert "-m" not in command
    assert os.access(code / "go.sh", os.X_OK)


@pytest.mark.parametrize("name", ["distributed.json", "sourcecode.json"])
@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_file_that_cannot_be_read(base: Path, name: str, text: Any) -> None:
    path = base / "input/data/sm_drivers" / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        handover_of(str(path.parent), MPI, Paths(str(base)))
    assert caught.value.where == str(path)


def test_the_driver_needs_the_standard_library_only() -> None:
    tree = ast.parse(DRIVER.read_text())
    names: List[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(str(node.module))
    assert sorted(names) == ["hvdsm.container.model_trainer", "os", "runpy", "sys"]


def driver_in(base: Path, name: str = "hvdsm_mpi_driver.py") -> List[str]:
    """The command that runs the driver as ``sm_train.sh`` does, by a Python that has nothing but itself."""
    directory = base / "input/data/sm_drivers/distributed_drivers"
    shutil.copy(DRIVER, directory / name)
    # A module of the SDK's that must not be taken for one of the standard library.
    (directory / "json.py").write_text("raise ImportError('not this one')\n")
    bundle.write(str(directory / "hvdsm.pyz"))
    return [sys.executable, "-S", str(directory / name)]


def run(base: Path, argv: List[str]) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    environment = {"PATH": path, "SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": "job"}
    return subprocess.run(argv, env=environment, cwd=base / "input/data/code", capture_output=True, text=True, check=False)


def test_the_driver_says_what_is_wrong_where_it_is_looked_for(base: Path) -> None:
    done = run(base, driver_in(base))
    assert done.returncode == 78, done.stdout + done.stderr
    assert "the entry point 'train.py' is not in the source" in done.stdout
    assert "the entry point 'train.py' is not in the source" in (base / "output/failure").read_text()
    (base / "output/failure").unlink()
    (base / "input/data/sm_drivers/distributed.json").unlink()
    done = run(base, driver_in(base))
    assert done.returncode == 78
    assert "distributed.json" in (base / "output/failure").read_text()


def test_a_python_that_is_too_old_says_so(base: Path) -> None:
    python, *options, driver = driver_in(base)
    program = f"import runpy, sys; sys.version_info = (3, 7, 0); runpy.run_path({driver!r}, run_name='__main__')"
    done = run(base, [python, *options, "-c", program])
    assert done.returncode == 78, done.stdout + done.stderr
    assert "Python 3.8 or later" in (base / "output/failure").read_text()
