"""The catalogue of known failures: each by the words that it really leaves, and the page that lists them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hvdsm
from hvdsm.compose.catalogue import LOOKED_AT, Finding, catalogue, nccl_warning, recognise
from hvdsm.compose.failure import REASON_LENGTH, explanation, failure_text, toolkit_class
from hvdsm.container.install import install
from hvdsm.errors import ConfigError
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
        "ls: unrecognized option '--nonsense'",
        "the host algo-2 has joined",
        "memory: 12 GiB of 400 GiB",
        "[Errno 2] No such file or directory: 'notes.txt'",
        "Timed out waiting for the printer",
        "OSError: [Errno 5] Input/output error",
        "Killed 3 stale jobs",
        "line 12: 34 Killedeer were counted",
        "duplicate GPU kernels were merged",
        "DataLoader worker 3 has started",
        "Allocated 512 MiB of memory",
        "could not access the web page",
        "only 3 of the ranks report metrics",
        "given up: 3 runs in a row ended without a new checkpoint file and without a greater step",
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


@pytest.mark.parametrize(
    ("specific", "general"),
    [
        ("shared-memory", "disk-full"),
        ("locked-memory", "host-memory"),
        ("duplicate-gpu", "nccl-system"),
        ("working-directory", "started-no-rank"),
        ("open-files", "started-no-rank"),
        ("daemon-connection", "daemons-not-started"),
        ("killed", "launcher-gave-up"),
        ("killed", "child-failed"),
        ("host-memory", "killed"),
        ("shared-memory", "data-loader"),
        ("no-module", "mpi-abort"),
        ("publickey", "daemon-connection"),
        ("disk-full", "defect"),
        ("host-memory", "role-ended"),
    ],
)
def test_the_entry_that_says_more_goes_first(specific: str, general: str) -> None:
    """As real logs have them: both in one text, in either order."""
    both = [TEXTS[specific][0], TEXTS[general][0]]
    assert getattr(recognise("\n".join(both)), "id", None) == specific
    assert getattr(recognise("\n".join(reversed(both))), "id", None) == specific


@given(st.lists(st.text(max_size=300), max_size=3))
def test_any_text_can_be_looked_at(texts: List[str]) -> None:
    recognise(*texts)
    for text in texts:
        nccl_warning(text)


def test_only_the_end_of_a_text_is_looked_at() -> None:
    line = "RuntimeError: CUDA out of memory."
    assert recognise(line + "x" * LOOKED_AT) is None
    long = "ORTE was unable to reliably start one or more daemons.\n" * (10 << 14) + "x" * 100 + line
    assert recognise(long) == recognise(long[-LOOKED_AT:]) == recognise(line)


@pytest.mark.parametrize("finding", catalogue(), ids=lambda finding: finding.id)
def test_no_pattern_runs_away(finding: Finding) -> None:
    """Every repetition has a bound: the work stays linear in the text's length."""
    plain = re.sub(r"\\.|\[(?:\\.|[^\]])+\]", "x", finding.pattern)
    assert not re.search(r"[*+]|\{\d+,\}", plain), finding.pattern


@pytest.mark.parametrize("finding", catalogue(), ids=lambda finding: finding.id)
def test_a_title_is_a_message_of_its_own_entry(finding: Finding) -> None:
    assert recognise(finding.title.replace("…", "7")) == finding


@pytest.mark.parametrize("finding", catalogue(), ids=lambda finding: finding.id)
def test_an_entry_is_short_enough_for_what_the_service_shows(finding: Finding) -> None:
    assert 10 < len(finding.cause) <= 125
    assert 10 < len(finding.remedy) <= 125
    assert not re.search(r"[|\n]|\.$", finding.cause + finding.remedy)


def row(finding: Finding) -> str:
    """A line of the page's table."""
    return f"| `{finding.title}` | {finding.cause} | {finding.remedy} |"


def test_the_page_lists_every_entry() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [row(finding) for finding in catalogue() if row(finding) not in text]
    assert not missing, "docs/troubleshooting.md lacks:\n" + "\n".join(missing)
    assert text.count("\n| `") == len(catalogue())


def documented(heading: str) -> List[str]:
    """hvdsm's own messages below a heading of the page: headings, and those named by ``Also``."""
    part = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^### `(.+)`$", part, re.MULTILINE)
    for sentence in re.findall(r"Also ((?:`[^`]+`(?:, )?)+)", part):
        found += re.findall(r"`([^`]+)`", sentence)
    return found


@pytest.mark.parametrize("message", documented("While ranks run"))
def test_a_documented_failure_of_a_running_job_is_recognised(message: str) -> None:
    """Before ranks run, messages bring a remedy of their own."""
    # The first says it in its own line; the second is a warning beside the failure of the last run.
    if message.startswith(("killed by", "given up:")):
        assert recognise(message) is None
    else:
        assert recognise(message.replace("…", "7")) is not None


PLACE: Dict[str, Any] = {"host": "algo-2", "rank": 3, "local_rank": 1}


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
    assert lines[2].startswith("cause: the host's memory, or the container's limit")
    assert lines[-1] == "ExecuteUserScriptError: ExitCode 137"


def test_long_evidence_is_verbatim_in_the_whole_report() -> None:
    proof = " ".join(f"counter {n}" for n in range(200))
    text = failure_text(RankFailure("signal", "", 137, signal=9, evidence=proof, **PLACE))
    assert proof in text
    assert "\nExecuteUserScriptError: ExitCode 137\n" in text[:REASON_LENGTH]


def explained(kind: str, message: str, output: str, exception: Optional[str] = None) -> str:
    found = RankFailure(kind, message, 1, exception=exception, output_tail=output, **PLACE)
    return next((line for line in explanation(found) if line.startswith("cause: ")), "")


def test_output_explains_what_the_failure_itself_does_not() -> None:
    earlier = "RuntimeError: CUDA out of memory; trying again with a smaller batch\n"
    assert "GPU's memory" in explained("exit", "", earlier)
    # The script's own exception speaks for itself; one that only tells of another program's end does not.
    assert explained("exception", "bad batch", earlier, "ValueError") == ""
    assert "GPU's memory" in explained("exception", "Command '['python']' failed", earlier, "CalledProcessError")
    assert "GPU's memory" in explained("exception", "unhandled cuda error, NCCL version 2.19", earlier, "RuntimeError")
    assert "no mpi4py" in explained("exception", "No module named 'mpi4py'", earlier, "ModuleNotFoundError")


def test_what_mpirun_said_explains_that_it_started_no_rank() -> None:
    said = "mpirun ended with exit code 1 and started no rank"
    daemons = "ORTE was unable to reliably start one or more daemons.\n"
    assert "refused its command" in explained("launch", said, "")
    assert "not at the same path" in explained("launch", f"{said}: {daemons}", f"{daemons}bash: orted: command not found\n")
    assert "Connection" not in explained("launch", f"{said}: {daemons}", "Connection reset by peer")


def test_the_warning_of_nccl_is_shown() -> None:
    output = "NCCL INFO x\nalgo-2:77:80 [0] socket.c:11 NCCL WARN Call to connect failed : Connection refused\nmore\n"
    message = "NCCL error in: ProcessGroupNCCL.cpp, unhandled system error, NCCL version 2.19.3"
    found = RankFailure("exception", message, 1, exception="DistBackendError", output_tail=output, **PLACE)
    assert "\nNCCL WARN Call to connect failed : Connection refused\n" in failure_text(found)


def test_a_message_with_its_own_remedy_gets_no_other() -> None:
    said = "sshd is not installed\n  try: apt-get install openssh-server"
    assert "cause:" not in failure_text(RankFailure("launch", said + " No space left on device", 78, host="algo-1"))


def test_a_remedy_of_its_own_is_within_what_the_service_shows() -> None:
    lines = "".join(f"\n  pip's line {n}, {'w' * 90}" for n in range(30))
    said = f"requirements.txt: pip ended with exit code 1{lines}\n  try: check the network's way to the index"
    for output in ("", "the launcher's last lines\n" * 100):
        text = failure_text(RankFailure("launch", said, 78, host="algo-1", output_tail=output))
        reason = text[:REASON_LENGTH]
        assert reason.startswith("algo-1: requirements.txt: pip ended with exit code 1\n")
        assert "\n  try: check the network's way to the index\n" in reason
        assert "\nInstallRequirementsError: ExitCode 78\n" in reason
        assert said in text


def test_all_that_is_known_leaves_room_for_the_end_of_the_traceback() -> None:
    output = "NCCL WARN " + "w" * 5000 + "\n"
    message = "unhandled system error, NCCL " + "m" * 5000
    trace = "".join(f"frame {n}\n" for n in range(1000)) + "RuntimeError: the end\n"
    found = RankFailure(
        "exception", message, 1, exception="RuntimeError", traceback=trace, output_tail=output, evidence="e" * 5000, **PLACE
    )
    reason = failure_text(found)[:REASON_LENGTH]
    for part in ("rank 3 (algo-2, local rank 1): RuntimeError: unhandled", "\neee", "\nNCCL WARN ww", "\ncause: ", "\ntry: "):
        assert part in reason
    assert "\nRuntimeError: the end\nExecuteUserScriptError: ExitCode 1\n" in reason


def test_half_characters_are_escaped_before_anything_is_measured() -> None:
    found = RankFailure("exception", "\ud800" * 600, 1, exception="E", traceback="\udfff" * 600 + "\nthe end", **PLACE)
    text = failure_text(found)
    assert text.encode("utf-8").decode("utf-8") == text
    assert "\\ud800" in text
    assert "\nthe end\nExecuteUserScriptError: ExitCode 1\n" in text[:REASON_LENGTH]


@given(st.text(max_size=2000), st.text(st.characters(), max_size=3000))
def test_the_written_text_keeps_its_end_within_the_limit(message: str, traceback: str) -> None:
    """Characters that cannot be written are escaped before the text is cut, not after."""
    found = RankFailure("exception", message, 1, exception="E", traceback=f"{traceback}\nthe end", **PLACE)
    text = failure_text(found)
    written = text.encode("utf-8", "backslashreplace").decode("utf-8")
    assert written == text
    assert "the end\nExecuteUserScriptError: ExitCode 1" in written[:REASON_LENGTH]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ExecuteUserScriptError", RankFailure("signal", "", 137, signal=9, **PLACE)),
        ("ExecuteUserScriptError", RankFailure("hang", "hang: no output", 75)),
        ("ExecuteUserScriptError", RankFailure("launch", "mpirun ended with exit code 1 and started no rank", 78)),
        ("ExecuteUserScriptError", RankFailure("launch", "torchrun ended with exit code 3 before all ranks had ended", 3)),
        ("ExecuteUserScriptError", RankFailure("launch", "no rank ran on algo-2; all 2 ran on the other hosts", 78)),
        (
            "ImportModuleError",
            RankFailure("launch", "SAGEMAKER_TRAINING_MODULE=mine:main: the module mine is not in this image", 78),
        ),
        (
            "ExecuteUserScriptError",
            RankFailure("role", "the process server ended with exit code 3 before the ranks had ended", 3),
        ),
        # A package with requirements is one installation, and the toolkit's `modules.install` names it after the package.
        ("InstallModuleError", RankFailure("launch", "setup.py and requirements.txt: pip ended with exit code 1", 78)),
        ("InstallModuleError", RankFailure("launch", "pyproject.toml: pip ended with exit code 1\n  -r requirements.txt", 78)),
        ("InstallRequirementsError", RankFailure("launch", "requirements.txt: there is no pip in this Python, python3", 78)),
        ("ClientError", RankFailure("launch", "CA_REPOSITORY_ARN: no token can be had\n  try: pip, requirements.txt", 78)),
        ("", RankFailure("launch", "a defect of hvdsm: KeyError: 'rank'", 1)),
        ("ClientError", RankFailure("launch", "SAGEMAKER_TRAINING_MODULE=mine: is not MODULE:FUNCTION", 78)),
        ("ClientError", RankFailure("launch", "a pipeline's setup.py is not in the source", 78)),
        ("", RankFailure("launch", "stopped before the launcher was joined", 143)),
        ("", RankFailure("timeout", "algo-2 did not join within 600 s", 75)),
    ],
)
def test_more_names_of_the_toolkit(name: str, found: RankFailure) -> None:
    assert toolkit_class(found) == name


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["requirements.txt"], "InstallRequirementsError"),
        (["setup.py"], "InstallModuleError"),
        (["pyproject.toml"], "InstallModuleError"),
        (["setup.py", "requirements.txt"], "InstallModuleError"),
    ],
)
def test_what_the_installation_says_has_the_name_of_the_toolkit(files: List[str], name: str, tmp_path: Path) -> None:
    """The words are those of the container program, with a Python whose pip says much and fails."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8 9 10 11 12; do printf '%0200d\\n' $n; done\nexit 1\n")
    python.chmod(0o755)
    for file in files:
        (tmp_path / file).write_text("")
    with pytest.raises(ConfigError) as raised:
        install(str(tmp_path), files != ["requirements.txt"], {}, lambda *_words: None, str(python))
    reason = failure_text(RankFailure("launch", str(raised.value), raised.value.exit_code, host="algo-1"))[:REASON_LENGTH]
    assert f"\n{name}: ExitCode 78\n" in reason
    assert "\n  try: correct what pip names" in reason


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
