"""Framework containers: the function that SAGEMAKER_TRAINING_MODULE names, really called by `train` on one host."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import pytest

import hvdsm
from hvdsm import framework
from hvdsm.compose.environment import HostFacts
from hvdsm.compose.inherited import clean_environment, is_stock_module
from hvdsm.container.config import base_paths, read_config
from hvdsm.container.framework import load
from hvdsm.container.framework_environment import framework_environment
from hvdsm.errors import ConfigError, UsageError

ROOT = str(Path(hvdsm.__file__).parent.parent)
ONE = {"current_host": "algo-1", "hosts": ["algo-1"]}
SCRIPT = "import os, sys\nprint('script', sys.argv[1:], os.environ.get('FROM'), os.environ['SM_USER_ARGS'])\n"


class Host:
    """One host's ``/opt/ml`` and a package directory of its image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "image").mkdir()
        (folder / "ml" / "code").mkdir(parents=True)
        self.ml = folder / "ml"
        (self.ml / "code" / "train.py").write_text(SCRIPT)
        self.configure({"sagemaker_program": "train.py", "lr": "0.1"})

    def configure(self, hyperparameters: Mapping[str, str], resource: Optional[Mapping[str, Any]] = None) -> None:
        config = self.ml / "input" / "config"
        config.mkdir(parents=True, exist_ok=True)
        (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        (config / "inputdataconfig.json").write_text('{"train": {}}')
        (config / "resourceconfig.json").write_text(json.dumps(resource or ONE))

    def environment(self, module: str = "mine:main", **variables: str) -> Dict[str, str]:
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONPATH": f"{self.folder / 'image'}:{ROOT}",
            "SAGEMAKER_BASE_DIR": str(self.ml),
            "SAGEMAKER_TRAINING_MODULE": module,
            "HVDSM_OUTCOME_FILE": str(self.ml / "outcome.json"),
            **variables,
        }

    def popen(self, function: str, **variables: str) -> subprocess.Popen[bytes]:
        (self.folder / "image" / "mine.py").write_text("from hvdsm import framework\n" + function)
        command = [sys.executable, "-m", "hvdsm.container"]
        return subprocess.Popen(
            command, env=self.environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder
        )

    def train(self, function: str, **variables: str) -> Tuple[int, str]:
        with self.popen(function, **variables) as program:
            out, _ = program.communicate(timeout=100)
        return program.returncode, out.decode()

    @property
    def failure(self) -> str:
        path = self.ml / "output" / "failure"
        return path.read_text() if path.exists() else ""

    @property
    def success(self) -> bool:
        return (self.ml / "output" / "success").exists()

    @property
    def outcome(self) -> Dict[str, Any]:
        record: Dict[str, Any] = json.loads((self.ml / "outcome.json").read_text())
        return record


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_function_runs_the_script_with_its_own_arguments_and_variables(host: Host) -> None:
    code, log = host.train(
        "def main(env):\n"
        "    words = env.to_cmd_args({'lr': 0.5, 'b': True})\n"
        "    framework.entry_point.run(env.module_dir, env.user_entry_point, words, {'FROM': 'the function'})\n"
        "    print('after success')\n"
    )
    assert code == 0 and host.success, log
    assert """[0,algo-1] script ['-b', 'True', '--lr', '0.5'] the function ["-b","True","--lr","0.5"]""" in log
    assert log.index("calling the framework function mine:main") < log.index("script") < log.index("after success")


def test_what_is_left_out_is_the_jobs_own(host: Host) -> None:
    code, log = host.train("def main():\n    framework.entry_point.run(framework.training_env().module_dir, 'train.py')\n")
    assert code == 0, log
    assert """script ['--lr', '0.1'] None ["--lr","0.1"]""" in log


def test_the_short_form_of_the_toolkits_guide(host: Host) -> None:
    code, log = host.train("def main():\n    framework.entry_point.run('train.py', ['x y'], {'FROM': 'short'})\n")
    assert code == 0, log
    assert "script ['x y'] short" in log


def test_a_failing_script_ends_the_function_and_names_the_rank(host: Host) -> None:
    (host.ml / "code" / "train.py").write_text("raise SystemExit(7)\n")
    code, log = host.train("def main(env):\n    framework.entry_point.run(env.module_dir, 'train.py')\n    print('never said')\n")
    assert (code, host.success) == (7, False), log
    assert host.failure.startswith("rank 0 (algo-1, local rank 0): exit code 7"), log
    assert "never said" not in log and "Traceback" not in log


def test_a_failed_job_stays_failed_when_the_function_goes_on(host: Host) -> None:
    (host.ml / "code" / "train.py").write_text("raise ValueError('bad batch')\n")
    code, log = host.train(
        "def main(env):\n"
        "    try:\n"
        "        framework.entry_point.run(env.module_dir, 'train.py')\n"
        "    except framework.JobFailed as error:\n"
        "        print('caught', error.outcome.failure.exception, error.exit_code, error)\n"
    )
    assert code == 1 and "caught ValueError 1 the job failed: rank 0 (algo-1, local rank 0): ValueError: bad batch" in log, log
    assert host.failure.startswith("rank 0 (algo-1, local rank 0): ValueError: bad batch")


def test_two_scripts_one_after_the_other(host: Host) -> None:
    (host.ml / "code" / "second.py").write_text("print('second script')\n")
    code, log = host.train(
        "def main(env):\n    for name in ('train.py', 'second.py'):\n        framework.entry_point.run(env.module_dir, name)\n"
    )
    assert code == 0 and log.index("[0,algo-1] script") < log.index("[0,algo-1] second script"), log


def test_a_function_that_trains_by_itself_needs_no_program(host: Host) -> None:
    host.configure({"epochs": "3"})
    code, log = host.train(
        "import os\ndef main(env):\n"
        "    print(repr(env.user_entry_point), env.hyperparameters, 'HVDSM_JOB_TOKEN' in os.environ)\n",
        HVDSM_JOB_TOKEN="a secret",
    )
    assert code == 0 and host.success and "'' {'epochs': 3} False" in log, log
    assert host.outcome["status"] == "Completed"


def test_the_ordinary_way_still_needs_a_program(host: Host) -> None:
    host.configure({})
    with pytest.raises(ConfigError, match="no entry point is named"):
        read_config(base_paths({"SAGEMAKER_BASE_DIR": str(host.ml)}), {})


@pytest.mark.parametrize(
    ("function", "code", "reason"),
    [
        ("def main():\n    raise KeyError('gpu')\n", 1, "algo-1: KeyError: 'gpu'\nTraceback"),
        ("import sys\ndef main():\n    sys.exit(9)\n", 9, "algo-1: exit code 9"),
        ("def main():\n    raise SystemExit('out of data')\n", 1, "algo-1: exit code 1 (out of data)"),
        ("def other():\n    pass\n", 78, "algo-1: SAGEMAKER_TRAINING_MODULE=mine:main: the module has no function main"),
        ("def main(a, b):\n    pass\n", 78, "algo-1: the framework function needs arguments: a, b"),
        ("import no_such_library\n", 1, "algo-1: ModuleNotFoundError: No module named 'no_such_library'\ncause: "),
        ("def main():\n    framework.start_role('server', ['true'])\n", 2, "algo-1: mine:main: server never started"),
        ("def main():\n    framework.entry_point.run('', '')\n", 2, "algo-1: hvdsm.framework.entry_point.run: no entry point"),
        ("def main():\n    framework.start_role('a b', ['true'])\n", 2, "algo-1: hvdsm.framework.start_role: 'a b' is taken, or"),
        (
            "def main():\n    framework.start_role('a', 'true')\n",
            2,
            "algo-1: hvdsm.framework.start_role, a: 'true' is not a list",
        ),
    ],
)
def test_a_function_that_fails_fails_the_host(host: Host, function: str, code: int, reason: str) -> None:
    ended, log = host.train(function)
    assert ended == code, log
    assert host.failure.startswith(reason) and not host.success
    assert "container/framework.py" not in host.failure


def test_success_comes_last(host: Host) -> None:
    code, log = host.train(
        "def main(env):\n    framework.entry_point.run(env.module_dir, 'train.py')\n    raise OSError('export')\n"
    )
    assert code == 1 and host.failure.startswith("algo-1: OSError: export"), log
    assert not host.success


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("not_in_the_image.training:main", "the module not_in_the_image is not in this image"),
        ("mine", "is not MODULE:FUNCTION"),
        (":main", "is not MODULE:FUNCTION"),
        ("json:no_such_function", "the module has no function no_such_function"),
    ],
)
def test_a_function_that_cannot_be_found(module: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load(module)


def test_sigterm_ends_the_function_outside_of_the_job(host: Host) -> None:
    with host.popen(
        "import time\n"
        "def main():\n"
        "    try:\n        print('waiting')\n        time.sleep(1000)\n"
        "    except Exception:\n        print('never said')\n"
        "    finally:\n        print('tidied')\n"
    ) as program:
        assert program.stdout is not None
        log = b""
        while b"waiting\n" not in log:
            log += program.stdout.readline()
        program.send_signal(signal.SIGTERM)
        log += program.stdout.read()
    assert program.returncode == 143, log
    assert b"tidied" in log and b"never said" not in log
    assert host.outcome["status"] == "Stopped" and not host.failure and not host.success


def test_sigterm_in_the_job_stops_the_job(host: Host) -> None:
    (host.ml / "code" / "train.py").write_text(
        "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit('stopped early'))\n"
        "print('training', flush=True)\ntime.sleep(1000)\n"
    )
    with host.popen(
        "def main(env):\n    framework.entry_point.run(env.module_dir, 'train.py')\n    print('never said')\n"
    ) as program:
        assert program.stdout is not None
        log = b""
        while b"training\n" not in log:
            log += program.stdout.readline()
        program.send_signal(signal.SIGTERM)
        log += program.stdout.read()
    assert program.returncode == 143, log
    assert b"never said" not in log
    assert host.outcome["status"] == "Stopped"


def test_hosts_learn_of_a_function_that_failed_before_the_job(host: Host, tmp_path: Path) -> None:
    """Both sides on this machine: a worker whose function raises tells the launcher, which waits for it in the job."""
    (tmp_path / "second").mkdir()
    worker = Host(tmp_path / "second")
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = str(probe.getsockname()[1])
    hosts = ["localhost", "algo-2"]
    host.configure({"sagemaker_program": "train.py"}, {"current_host": "localhost", "hosts": hosts})
    worker.configure({"sagemaker_program": "train.py"}, {"current_host": "algo-2", "hosts": hosts})
    settings = {"HVDSM_RENDEZVOUS_PORT": port, "HVDSM_JOB_TOKEN": "of the test"}
    with host.popen("def main(env):\n    framework.entry_point.run(env.module_dir, 'train.py')\n", **settings) as launcher:
        code, log = worker.train("def main():\n    raise RuntimeError('no licence')\n", **settings)
        launched, _ = launcher.communicate(timeout=100)
    assert code == 1 and worker.failure.startswith("algo-2: RuntimeError: no licence"), log
    assert launcher.returncode == 1 and host.failure.startswith("algo-2: RuntimeError: no licence"), launched


def test_the_environment_is_typed_frozen_and_that_of_the_ranks(host: Host) -> None:
    host.configure(
        {
            "sagemaker_program": "train.py",
            "sagemaker_mpi_enabled": "true",
            "sagemaker_job_name": "a-job",
            "lr": "0.1",
            "x": "[1]",
        },
        {
            "current_host": "algo-2",
            "hosts": ["algo-1", "algo-2"],
            "current_group_name": "all",
            "instance_groups": [{"instance_group_name": "all", "instance_type": "ml.x", "hosts": ["algo-2", "algo-1"]}],
        },
    )
    config = read_config(base_paths({"SAGEMAKER_BASE_DIR": str(host.ml)}), {})
    env = framework_environment(config, HostFacts(num_cpus=4, num_gpus=2))
    assert (env.hosts, env.current_host, env.is_master, env.master_hostname) == (("algo-1", "algo-2"), "algo-2", False, "algo-1")
    assert (env.user_entry_point, env.module_name, env.module_dir) == ("train.py", "train", str(host.ml / "code"))
    assert (env.hyperparameters, env.additional_framework_parameters) == ({"lr": 0.1, "x": [1]}, {"sagemaker_mpi_enabled": True})
    assert (env.num_cpus, env.num_gpus, env.log_level, env.job_name) == (4, 2, 20, "a-job")
    assert env.channel_input_dirs == {"train": str(host.ml / "input" / "data" / "train")}
    assert env.current_instance_group == "all" and env.distribution_hosts == ("algo-1", "algo-2")
    assert env.to_cmd_args() == ["--lr", "0.1", "-x", "[1]"]
    assert env.to_cmd_args({"a": None, "long": "b c"}) == ["-a", "", "--long", "b c"]
    assert env.to_env_vars()["SM_CURRENT_HOST"] == "algo-2"
    env.to_env_vars().clear()
    assert env.to_env_vars()["SM_HP_LR"] == "0.1"
    with pytest.raises(AttributeError):
        env.num_gpus = 3  # type: ignore[misc]


def test_outside_of_a_framework_function() -> None:
    with pytest.raises(UsageError, match="only inside of the function"):
        framework.start_role("server", ["true"])
    with pytest.raises(UsageError, match="only inside of the function"):
        framework.entry_point.run("/opt/ml/code", "train.py")


@pytest.mark.parametrize(
    ("preload", "left"),
    [
        (None, None),
        ("", ""),
        ("/lib/a.so:/lib/b.so", "/lib/a.so:/lib/b.so"),
        ("/libchangehostname.so", None),
        ("/lib/a.so:/x/libchangehostname.so:/lib/b.so", "/lib/a.so:/lib/b.so"),
        ("libchangehostname.so /lib/a.so", "/lib/a.so"),
        ("/x/libchangehostname.so.bak", "/x/libchangehostname.so.bak"),
    ],
)
def test_only_the_hostname_shim_leaves_ld_preload(preload: Optional[str], left: Optional[str]) -> None:
    environ = {"A": "b"} if preload is None else {"A": "b", "LD_PRELOAD": preload}
    cleaned, notes = clean_environment(environ)
    assert cleaned == ({"A": "b"} if left is None else {"A": "b", "LD_PRELOAD": left})
    assert bool(notes) == (preload != left)


def test_stock_modules_are_told_from_ones_of_ones_own() -> None:
    stock: List[str] = [f"sagemaker_{name}_container.training:main" for name in ("pytorch", "tensorflow", "mxnet", "xgboost")]
    assert all(is_stock_module(name) for name in stock)
    assert not any(is_stock_module(name) for name in ("", "my_container.training:main", "sagemaker_containers.mine:main"))


def test_a_stock_image_takes_the_ordinary_way(host: Host) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "hvdsm.container"],
        env=host.environment("sagemaker_pytorch_container.training:main", LD_PRELOAD="/nowhere/libchangehostname.so"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as program:
        out = program.communicate(timeout=100)[0].decode()
    assert program.returncode == 0, out
    assert "SAGEMAKER_TRAINING_MODULE=sagemaker_pytorch_container.training:main is AWS's own and is left out" in out
    assert "LD_PRELOAD: /nowhere/libchangehostname.so is left out" in out
    assert out.count("cannot be preloaded") <= 1, "the shim must not reach the rank"


def test_a_job_without_a_framework_function_imports_none_of_it(host: Host) -> None:
    code = "import sys\nfrom hvdsm.container import train\ntrain.main()\nprint([m for m in sys.modules if 'framework' in m])\n"
    done = subprocess.run(
        [sys.executable, "-c", code], env=host.environment(""), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    assert done.stdout.decode().endswith("[]\n"), done.stdout
