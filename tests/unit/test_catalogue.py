"""The catalogue of known failures: each by the words that it really leaves, and the page that lists them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hvdsm
from hvdsm.compose.catalogue import LOOKED_AT, Finding, catalogue, nccl_warning, recognise
from hvdsm.compose.failure import REASON_LENGTH, failure_text, toolkit_class
from hvdsm.model import RankFailure

PAGE = Path(hvdsm.__file__).parent.parent / "docs" / "troubleshooting.md"
TEXTS = json.loads((Path(__file__).parent / "known_failures.json").read_text(encoding="utf-8"))


def test_there_are_many_and_none_twice() -> None:
    names = [finding.id for finding in catalogue()]
    assert len(names) >= 60
    assert len(set(names)) == len(names)
    assert set(TEXTS) == set(names)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_a_real_message_is_recognised(name: str, text: str) -> None:
    found = recognise(f"step 1\n{text}\nstep 2")
    assert found is not None
    assert found.id == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "epoch 3: loss 0.25, accuracy 0.91",
        "ValueError: expected 3 channels, got 1",
        "KeyError: 'train'",
        "saved the model to /opt/ml/model",
        "NCCL INFO Bootstrap : Using eth0:10.0.0.1<0>",
        "connecting to the database",
        "libraries are loaded",
    ],
)
def test_ordinary_words_are_not(text: str) -> None:
    assert recognise(text) is None


def test_what_names_a_cause_goes_before_what_follows_from_it() -> None:
    daemons = "ORTE was unable to reliably start one or more daemons."
    assert getattr(recognise(f"bash: orted: command not found\n{daemons}"), "id", None) == "daemon-not-found"
    assert (
        getattr(recognise("Horovod has been shut down.", "ModuleNotFoundError: No module named 'mpi4py'"), "id", "")
        == "no-mpi4py"
    )


@given(st.lists(st.text(max_size=300), max_size=3))
def test_any_text_can_be_looked_at(texts: List[str]) -> None:
    recognise(*texts)
    for text in texts:
        nccl_warning(text)


def test_only_the_end_of_a_text_is_looked_at() -> None:
    line = "RuntimeError: CUDA out of memory."
    assert recognise(line + "x" * LOOKED_AT) is None
    assert getattr(recognise("x" * (10 << 20) + line), "id", None) == "cuda-memory"


@pytest.mark.parametrize("finding", catalogue(), ids=lambda finding: finding.id)
def test_no_pattern_runs_away(finding: Finding) -> None:
    """Every repetition has a bound, or cannot cross what begins the pattern again: the work stays linear."""
    assert not re.search(r"(?<!\\)\.[*+]|\[\^\\n\][*+]", finding.pattern), finding.pattern


def row(finding: Finding) -> str:
    """A line of the page's table."""
    return f"| `{finding.title}` | {finding.cause} | {finding.remedy} |"


def test_the_page_lists_every_entry() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [row(finding) for finding in catalogue() if row(finding) not in text]
    assert not missing, "docs/troubleshooting.md lacks:\n" + "\n".join(missing)
    assert text.count("\n| `") == len(catalogue())


PLACE = {"host": "algo-2", "rank": 3, "local_rank": 1}


def test_cause_and_remedy_are_in_what_the_service_shows() -> None:
    frames = "".join(f'  File "/opt/ml/code/a.py", line {n}, in f\n    g()\n' for n in range(100))
    message = "No module named 'mpi4py'"
    trace = f"Traceback (most recent call last):\n{frames}ModuleNotFoundError: {message}\n"
    found = RankFailure("exception", message, 1, exception="ModuleNotFoundError", traceback=trace, **PLACE)
    reason = failure_text(found)[:REASON_LENGTH]
    assert "\ncause: the Python that runs the script has no mpi4py" in reason
    assert "\ntry: install mpi4py" in reason
    assert f"ModuleNotFoundError: {message}\nExecuteUserScriptError: ExitCode 1" in reason


def test_evidence_stands_after_the_headline() -> None:
    proof = "out of memory: the kernel ended 1 process of this container (memory cgroup: oom_kill 1), limit 400 MiB, peak 400 MiB"
    lines = failure_text(RankFailure("signal", "", 137, signal=9, evidence=proof, **PLACE)).splitlines()
    assert lines[:2] == ["rank 3 (algo-2, local rank 1): killed by SIGKILL", proof]


def test_the_warning_of_nccl_is_shown() -> None:
    output = "NCCL INFO x\nalgo-2:77:80 [0] socket.c:11 NCCL WARN Call to connect failed : Connection refused\nmore\n"
    message = "NCCL error in: ProcessGroupNCCL.cpp, unhandled system error, NCCL version 2.19.3"
    found = RankFailure("exception", message, 1, exception="DistBackendError", output_tail=output, **PLACE)
    assert "\nNCCL WARN Call to connect failed : Connection refused\n" in failure_text(found)


def test_a_message_with_its_own_remedy_gets_no_other() -> None:
    said = "sshd is not installed\n  try: apt-get install openssh-server"
    assert "cause:" not in failure_text(RankFailure("launch", said + " No space left on device", 78, host="algo-1"))


@given(st.text(max_size=2000), st.text(st.characters(), max_size=3000))
def test_the_written_text_keeps_its_end_within_the_limit(message: str, traceback: str) -> None:
    """Characters that cannot be written are escaped before the text is cut, not after."""
    found = RankFailure("exception", message, 1, exception="E", traceback=f"{traceback}\nthe end", **PLACE)
    text = failure_text(found)
    written = text.encode("utf-8", "backslashreplace").decode("utf-8")
    assert written == text
    assert "the end\nExecuteUserScriptError: ExitCode 1" in written[:REASON_LENGTH]


CLASSES: Dict[str, RankFailure] = {
    "ExecuteUserScriptError": RankFailure("exit", "", 7, **PLACE),
    "ClientError": RankFailure("launch", "the entry point 'x.py' is not in the source", 78, host="algo-1"),
    "InstallRequirementsError": RankFailure("launch", "requirements.txt: pip ended with exit code 1", 78, host="algo-1"),
    "InstallModuleError": RankFailure("launch", "setup.py: pip ended with exit code 1", 78, host="algo-1"),
    "": RankFailure("host-lost", "the host was lost: silent for 15 s", 1, host="algo-1"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_names_of_the_toolkit(name: str) -> None:
    assert toolkit_class(CLASSES[name]) == name
    text = failure_text(CLASSES[name])
    assert text.rstrip().endswith(f"{name}: ExitCode {CLASSES[name].exit_code}" if name else "reach each other") or not name
