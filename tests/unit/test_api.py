"""The Python interface: lazy names, the distribution for the SDK, and what a rank knows of its job."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import hvdsm
from hvdsm.api import stopping_signals
from hvdsm.errors import ConfigError, MpiError, UsageError
from hvdsm.training import training_env

ROOT = str(Path(hvdsm.__file__).parent.parent)


def test_import_is_light() -> None:
    program = (
        "import sys, hvdsm; hvdsm.is_rank_zero(); "
        "print([n for n in ('click', 'rich', 'boto3', 'hvdsm.api', 'hvdsm.emulator', 'hvdsm.compose') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"[]\n"


def test_public_names() -> None:
    for name in hvdsm.__all__:
        assert getattr(hvdsm, name) is not None
    assert set(hvdsm.__all__) <= set(dir(hvdsm))
    with pytest.raises(AttributeError, match="no_such_name"):
        hvdsm.no_such_name  # noqa: B018


def test_distribution() -> None:
    assert hvdsm.distribution() == {"mpi": {"enabled": True}}
    assert hvdsm.distribution(8, "-x A='b c'") == {
        "mpi": {"enabled": True, "processes_per_host": 8, "custom_mpi_options": "-x A='b c'"}
    }


@pytest.mark.parametrize("number", [0, -1, True, "8", 1.5])
def test_distribution_refuses_numbers(number: object) -> None:
    with pytest.raises(UsageError):
        hvdsm.distribution(number)  # type: ignore[arg-type]


def test_distribution_refuses_options_that_cannot_be_read() -> None:
    with pytest.raises(MpiError):
        hvdsm.distribution(1, "-x A='b")


def test_launch_refuses_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        hvdsm.launch()
    with pytest.raises(UsageError):
        hvdsm.launch("t.py", request={})
    with pytest.raises(UsageError, match="args"):
        hvdsm.launch("t.py", args=[1])  # type: ignore[list-item]
    script = tmp_path / "t.py"
    for wrong in ({"checkpoint": ""}, {"interrupt_after": 0}, {"stop_grace": -1}, {"hang_timeout": 0}, {"max_restarts": 1.5}):
        script.write_text("")
        with pytest.raises(UsageError):
            hvdsm.launch(str(script), hosts="single", output=str(tmp_path / "out"), **wrong)  # type: ignore[arg-type]
    script.unlink()
    with pytest.raises(ConfigError, match=r"no_such\.py"):
        hvdsm.launch(str(tmp_path / "no_such.py"))
    assert list(tmp_path.iterdir()) == []


def test_a_rank_knows_its_job() -> None:
    env = training_env(
        {
            "RANK": "3",
            "LOCAL_RANK": "1",
            "WORLD_SIZE": "4",
            "LOCAL_WORLD_SIZE": "2",
            "NODE_RANK": "1",
            "SM_HOSTS": '["algo-1","algo-2"]',
            "SM_CURRENT_HOST": "algo-2",
            "SM_CHANNELS": '["train","val-1"]',
            "SM_CHANNEL_TRAIN": "/opt/ml/input/data/train",
            "SM_CHANNEL_VAL-1": "/data/val",
            "SM_HPS": '{"lr":0.1}',
            "SM_MODEL_DIR": "/m",
            "SM_NUM_GPUS": "4",
        }
    )
    assert (env.rank, env.local_rank, env.world_size, env.local_world_size, env.node_rank) == (3, 1, 4, 2, 1)
    assert (env.hosts, env.current_host, env.model_dir, env.num_gpus) == (("algo-1", "algo-2"), "algo-2", "/m", 4)
    assert env.channels == {"train": "/opt/ml/input/data/train", "val-1": "/data/val"}
    assert env.hyperparameters == {"lr": 0.1} and not env.is_rank_zero


def test_outside_of_a_job() -> None:
    env = training_env({})
    assert (env.rank, env.world_size, env.hosts, env.is_rank_zero) == (0, 1, ("localhost",), True)
    assert training_env({"RANK": "x", "SM_HOSTS": "{", "SM_HPS": "[]"}).hyperparameters == {}
    assert training_env({"OMPI_COMM_WORLD_RANK": "2"}).rank == 2


@pytest.mark.parametrize(("rank", "result"), [("0", 5), ("1", None)])
def test_work_of_rank_zero(monkeypatch: pytest.MonkeyPatch, rank: str, result: object) -> None:
    monkeypatch.setenv("RANK", rank)

    @hvdsm.rank_zero_only
    def save(number: int) -> int:
        """Saves."""
        return number

    assert save(5) == result and save.__doc__ == "Saves."
    assert hvdsm.is_rank_zero() == (rank == "0")


def test_old_pythons_can_read_what_training_scripts_import() -> None:
    for path in ("hvdsm/__init__.py", "hvdsm/training.py", "hvdsm/version.py", "hvdsm/errors.py"):
        source = (Path(ROOT) / path).read_text()
        ast.parse(source, path, feature_version=(3, 8))
        assert "from __future__ import annotations" in source or "def " not in source


def test_signals_call_stop_and_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    received = []
    with stopping_signals(received.append):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert received == [signal.SIGINT, signal.SIGTERM]
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_signals(lambda number: pytest.fail(str(number))):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_threads_leave_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with stopping_signals(seen.append):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_outcome_of_json_is_the_same() -> None:
    outcome = hvdsm.JobOutcome("j", "Failed", 7, failure=hvdsm.RankFailure("exit", "", 7, rank=0), warnings=("w",))
    assert hvdsm.JobOutcome.from_dict(json.loads(outcome.to_json())) == outcome
