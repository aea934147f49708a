"""Checks: in order, each with a limit, never a traceback; what they come to, as text, as JSON and as an exit code."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import List

import pytest

from hvdsm.container.diagnosis import (
    FAILED,
    OK,
    UNCHECKED,
    Check,
    Probe,
    as_json,
    examine,
    examine_all,
    exit_code,
    failed,
    good,
    lines,
    note,
    warning,
)
from hvdsm.container.inquiries import run
from hvdsm.errors import CloudUnavailable, MpiError


def test_checks_come_in_the_order_of_their_probes_whichever_ends_first() -> None:
    last_is_done = threading.Event()

    def slow() -> Check:
        assert last_is_done.wait(20)
        return good("slow", "done")

    def quick() -> List[Check]:
        last_is_done.set()
        return [good("quick", "one"), good("quicker", "two")]

    checks = examine([Probe("slow", slow), Probe("quick", quick)])
    assert [check.name for check in checks] == ["slow", "quick", "quicker"]


def test_groups_keep_their_own() -> None:
    groups = {"a": [Probe("x", lambda: good("x", "1"))], "b": [], "c": [Probe("x", lambda: [good("y", "2"), good("z", "3")])]}
    found = examine_all(groups)
    assert {name: [check.name for check in checks] for name, checks in found.items()} == {"a": ["x"], "b": [], "c": ["y", "z"]}


def test_a_probe_without_an_answer_is_told_of_and_fails_only_where_it_is_needed() -> None:
    never = threading.Event()

    def hangs() -> Check:
        never.wait(60)
        return good("hangs", "late")

    try:
        needed, other = examine([Probe("a", hangs, 0.05, needed=True, remedy="look"), Probe("b", hangs, 0.05)])
    finally:
        never.set()
    assert (needed.status, needed.code, needed.remedy) == (FAILED, 69, "look")
    assert "no answer within 0.05 s" in needed.what
    assert (other.status, other.code) == (UNCHECKED, 0)


def test_an_error_of_hvdsm_is_a_failure_with_its_code_and_remedy_any_other_says_nothing_of_the_goal() -> None:
    def wrong() -> Check:
        raise MpiError("is not Open MPI", where="/usr/bin/mpirun", remedy="install it")

    def broken() -> Check:
        raise ZeroDivisionError("of the check")

    known, unknown = examine([Probe("mpi", wrong), Probe("broken", broken)])
    assert (known.status, known.code, known.what, known.remedy) == (FAILED, 78, "/usr/bin/mpirun: is not Open MPI", "install it")
    assert unknown.status == UNCHECKED and "ZeroDivisionError: of the check" in unknown.what


def test_what_takes_its_time_is_named() -> None:
    said: List[str] = []
    go_on = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        go_on.set()

    def slow() -> Check:
        assert go_on.wait(20)
        return good("slow", "done")

    examine([Probe("quick", lambda: good("quick", "done")), Probe("slow", slow)], say, patience=0.1)
    assert said[0] in ("looking into slow …", "looking into quick, slow …")


def test_nothing_is_said_of_what_is_quick() -> None:
    said: List[str] = []
    examine([Probe("quick", lambda: good("quick", "done"))], said.append, patience=20)
    assert said == []


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ([], 0),
        ([good("a", ""), note("b", ""), warning("c", "", "")], 0),
        ([failed("a", "", "", 78)], 78),
        ([failed("a", "", "", 78), failed("b", "", "", CloudUnavailable.exit_code)], 69),
        ([failed("a", "", "", 2), failed("b", "", "", 78)], 2),
    ],
)
def test_exit_codes(checks: List[Check], code: int) -> None:
    assert exit_code(checks) == code


def test_lines_for_people() -> None:
    told = lines([good("a", "all well"), failed("longer", "it is not there", "do this:\n    RUN that")])
    assert told[0] == "ok           a       all well"
    assert told[1] == "FAILED       longer  it is not there"
    assert [line.strip() for line in told[2:]] == ["try: do this:", "RUN that"]
    assert len({len(line) - len(line.lstrip()) for line in told[2:]}) == 2


def test_json_for_programs() -> None:
    made = as_json("local", [good("a", "well", size=3), failed("b", "not", "help", 78)])
    assert (made["goal"], made["works"], made["exit_code"]) == ("local", False, 78)
    first, second = made["checks"]
    assert first == {"name": "a", "status": OK, "what": "well", "facts": {"size": 3}, "seconds": 0.0}
    assert (second["remedy"], second["exit_code"]) == ("help", 78)


def test_a_program_that_hangs_is_ended_with_what_it_has_started() -> None:
    began = time.monotonic()
    ran = run(["sh", "-c", "echo begun; sleep 60 & wait"], os.environ, 0.5)
    assert ran.code is None and "begun" in ran.text and "no answer within 0.5 s" in ran.last
    assert time.monotonic() - began < 30


def test_a_program_that_is_not_there_raises_nothing() -> None:
    ran = run(["/nowhere/at/all"], os.environ)
    assert ran.code is None and "nowhere" in ran.text


def test_a_program_that_a_late_probe_has_started_ends_with_the_examination() -> None:
    codes: List[object] = []
    ended = threading.Event()

    def late() -> Check:
        codes.append(run([sys.executable, "-c", "import time; time.sleep(100)"], os.environ, 100).code)
        ended.set()
        return good("late", "")

    (check,) = examine([Probe("late", late, 0.5)])
    assert check.status == UNCHECKED
    assert ended.wait(30) and codes == [-9]
