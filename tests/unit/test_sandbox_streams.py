"""What a SageMaker SDK shows of hvdsm's hosts: each line of a rank once, and a reason that says something."""

from __future__ import annotations

from typing import Dict, List

import pytest

from hvdsm.sandbox.companion import summary
from hvdsm.sandbox.streams import each_once, is_sdk

BEGIN = "Traceback (most recent call last)"
LOGS = {
    "algo-1": ["hvdsm: 4 of 4 ranks running", "[0,algo-1] a", "[3,algo-2] b", "[1,algo-1]~ begin", "[x] mine", ""],
    "algo-2": ["hvdsm: joined", "[3,algo-2] b", "[1, 2] a list"],
}


def streams(alone: bool) -> Dict[str, List[str]]:
    found: Dict[str, List[str]] = {}
    once = each_once(lambda host, lines: found.setdefault(host, []).extend(lines), "algo-1", alone)
    for host, lines in LOGS.items():
        once(host, lines)
    return found


def test_with_a_distribution_the_launcher_has_the_lines_of_all_ranks() -> None:
    assert streams(alone=False) == {"algo-1": LOGS["algo-1"], "algo-2": ["hvdsm: joined", "[1, 2] a list"]}


def test_without_one_each_host_has_its_own() -> None:
    first = [line for line in LOGS["algo-1"] if line != "[3,algo-2] b"]
    assert streams(alone=True) == {"algo-1": first, "algo-2": LOGS["algo-2"]}


def test_nothing_is_emitted_for_nothing() -> None:
    said: List[str] = []
    each_once(lambda host, lines: said.append(host), "algo-1", False)("algo-2", ["[3,algo-2] b"])
    assert said == []


@pytest.mark.parametrize(
    ("client", "sdk"),
    [
        ("Boto3/1.44.5 md/Botocore#1.44.5 AWS-SageMaker-Python-SDK/2.257.7 Python/3.11.7", True),
        ("Boto3/1.44.5 md/Botocore#1.44.5 lib/AWS-SageMakerCore#2.27.0", True),
        ("Boto3/1.44.5 hvdsm/0.1.0", False),
        ("", False),
    ],
)
def test_who_asks(client: str, sdk: bool) -> None:
    assert is_sdk(client) is sdk


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (f"AlgorithmError: {BEGIN}:\n  File 'x'\nValueError: bad, exit code: 1", "AlgorithmError: ValueError: bad, exit code: 1"),
        ("ClientError: no such key\nsee the log", "ClientError: no such key"),
        (
            f"AlgorithmError: {BEGIN}:\n  File 'x'\nValueError: bad\n, exit code: 1",
            "AlgorithmError: ValueError: bad, exit code: 1",
        ),
        ("AlgorithmError: , exit code: 3", "AlgorithmError: , exit code: 3"),
        (f"AlgorithmError: {BEGIN}", f"AlgorithmError: {BEGIN}"),
    ],
)
def test_the_reason_in_one_line(reason: str, said: str) -> None:
    job = {"name": "j", "status": "Failed", "seconds": 1.0, "reason": reason, "results": "", "model": ""}
    assert f"    reason: {said}" in summary([job], "out")
