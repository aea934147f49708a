"""The line that ends the launcher's log, and a stop that comes before anything else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.compose.outcome_line import LONGEST, decode_outcome, encode_outcome
from hvdsm.container.config import STOP_GRACE, Settings, outcome_line
from hvdsm.model import JobOutcome, RankFailure

ROOT = str(Path(__file__).resolve().parents[2])


@given(st.text(max_size=50), st.text(max_size=50), st.integers(0, 255))
def test_there_and_back(name: str, text: str, code: int) -> None:
    failure = RankFailure("exception", text, code, host="algo-1", rank=3, traceback=text * 2, output_tail=name)
    outcome = JobOutcome(
        name, "Failed", code, 4, {"algo-1": 4}, failure, {"ranks running": 1.5}, 3.25, (text,), metrics={"l": {"min": 1}}
    )
    line = encode_outcome(outcome)
    assert line.isascii()
    assert "\n" not in line
    assert decode_outcome(line.encode()) == outcome


@pytest.mark.parametrize(
    "line", [b"", b"hvdsm: job completed", b"hvdsm: outcome ", b"hvdsm: outcome []", b"hvdsm: outcome {}", b"hvdsm: outcome {"]
)
def test_another_line_is_none(line: bytes) -> None:
    assert decode_outcome(line) is None


@pytest.mark.parametrize("letter", ["x", "é", "\0", "\U0001f600"])
def test_a_long_record_fits(letter: str) -> None:
    text = letter * 300_000
    failure = RankFailure(
        "exception", "begin " + text, 1, traceback=text + " raised here", output_tail=text + " last", evidence=text
    )
    hosts = {f"algo-{number}": 8 for number in range(1, 1001)}
    line = encode_outcome(JobOutcome("job", "Failed", 1, 8000, hosts, failure, warnings=(text,) * 3))
    assert len(line) <= LONGEST
    outcome = decode_outcome(line.encode())
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.ranks_per_host == hosts
    assert outcome.failure.traceback.endswith("raised here")
    assert outcome.failure.output_tail.endswith("last")
    assert outcome.failure.message.startswith("begin ")


def test_the_traceback_goes_first() -> None:
    failure = RankFailure("exception", "m" * 5000, 1, traceback="t" * 190_000, output_tail="o" * 8000)
    outcome = decode_outcome(encode_outcome(JobOutcome("job", "Failed", 1, failure=failure)).encode())
    assert outcome is not None
    assert outcome.failure is not None
    assert len(outcome.failure.traceback) == 32768
    assert (outcome.failure.message, outcome.failure.output_tail) == (failure.message, failure.output_tail)


@pytest.mark.parametrize(
    ("environ", "printed"),
    [
        ({}, True),
        ({"HVDSM_REHEARSAL": "0"}, True),
        ({"HVDSM_REHEARSAL": "1"}, False),
        ({"HVDSM_REHEARSAL": "1", "HVDSM_OUTCOME_LINE": "1"}, True),
        ({"HVDSM_OUTCOME_LINE": "0"}, False),
    ],
)
def test_where_it_is_written(environ: Dict[str, str], printed: bool) -> None:
    assert outcome_line(environ) is printed


def test_ranks_are_killed_before_the_platform_kills_the_container() -> None:
    assert Settings().stop_grace == STOP_GRACE <= 110


def test_a_stop_that_comes_first_is_not_lost(tmp_path: Path) -> None:
    config = tmp_path / "ml" / "input" / "config"
    config.mkdir(parents=True)
    (tmp_path / "ml" / "code").mkdir()
    (tmp_path / "ml" / "code" / "train.py").write_text("import time; time.sleep(300)")
    (config / "hyperparameters.json").write_text('{"sagemaker_program": "train.py"}')
    # The program waits for its configuration: what comes now comes before everything else.
    os.mkfifo(config / "resourceconfig.json")
    with subprocess.Popen(
        [sys.executable, "-m", "hvdsm.container"],
        env={"SAGEMAKER_BASE_DIR": str(tmp_path / "ml"), "PYTHONPATH": ROOT, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
    ) as program:
        resource = json.dumps({"hosts": ["algo-1"], "current_host": "algo-1"})
        with open(config / "resourceconfig.json", "w") as file:
            program.send_signal(signal.SIGTERM)
            file.write(resource)
        assert program.stdout is not None
        # Whether the source is there may be said first.
        assert any(b"SIGTERM on algo-1" in program.stdout.readline() for _ in range(2))
        # It is read once more at the end, to know which host the launcher is.
        with open(config / "resourceconfig.json", "w") as file:
            file.write(resource)
        said = program.communicate(timeout=60)[0]
    assert program.returncode == 143, said
    outcome = decode_outcome(said.splitlines()[-1])
    assert outcome is not None
    assert (outcome.status, outcome.exit_code) == ("Stopped", 143)
