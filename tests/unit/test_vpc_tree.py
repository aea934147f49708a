"""The resources of a stack while an operation goes on."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone
from typing import List

from hvdsm.aws.cloudformation import StackEvent
from hvdsm.vpc.stacks.tree import CANCELLED, DONE, FAILED, GONE, UNDER_WAY, Row, Tree, chosen, shown

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/net/4711"


def event(at: float, name: str, status: str, reason: str = "") -> StackEvent:
    when = START + timedelta(seconds=at)
    if name == "net":
        return StackEvent(f"net-{status}-{at}", when, "net", STACK, "AWS::CloudFormation::Stack", status, reason)
    return StackEvent(f"{name}-{status}-{at}", when, name, f"id-{name}", "AWS::EC2::Subnet", status, reason)


EVENTS = [
    event(0, "net", "CREATE_IN_PROGRESS", "User Initiated"),
    event(1, "Subnet1", "CREATE_IN_PROGRESS"),
    event(2, "Subnet1", "CREATE_IN_PROGRESS", "Resource creation Initiated"),
    event(2, "Subnet2", "CREATE_IN_PROGRESS"),
    event(5, "Subnet1", "CREATE_COMPLETE"),
    event(6, "Subnet2", "CREATE_FAILED", 'Resource handler returned message: "No room" (RequestToken: 1)'),
    event(6, "Subnet3", "CREATE_FAILED", "Resource creation cancelled"),
    event(7, "net", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [Subnet2]. "),
]


def lines_of(events: List[StackEvent]) -> List[str]:
    stream = io.StringIO()
    with shown("net", stream) as view:
        view(events)
    return stream.getvalue().splitlines()


def test_plain_lines_one_for_each_change() -> None:
    lines = lines_of(EVENTS)
    assert len(lines) == 7  # "creation Initiated" is no change of state.
    assert lines[1].split() == ["hvdsm:", "1.0", "s", "CREATE_IN_PROGRESS", "Subnet1", "(AWS::EC2::Subnet)"]
    assert lines[3].split() == ["hvdsm:", "5.0", "s", "CREATE_COMPLETE", "Subnet1", "(AWS::EC2::Subnet)", "(4", "s)"]
    assert lines[4].endswith("Subnet2 (AWS::EC2::Subnet) (4 s): No room")
    assert "ROLLBACK_IN_PROGRESS" in lines[6] and "failed to create: [Subnet2]" in lines[6]
    assert not any("\x1b" in line for line in lines)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_tree_has_durations_states_and_reasons() -> None:
    clock = Clock()
    tree = Tree("net", lambda text: None, clock)
    tree(EVENTS[:4])
    clock.now += 10
    lines = [text for text, _ in tree.lines()]
    assert lines[0] == "stack net  CREATE_IN_PROGRESS  10 s  0 of 2 resources"
    # What began a second before the newest event has gone on for 11 s.
    assert lines[1].split() == ["…", "Subnet1", "CREATE_IN_PROGRESS", "11", "s", "EC2::Subnet"]
    assert lines[2].split()[-3:-1] == ["10", "s"]
    tree(EVENTS[4:])
    clock.now += 50
    found = tree.lines()
    assert found[0] == ("stack net  ROLLBACK_IN_PROGRESS  1m00s  3 of 3 resources", "cyan")
    assert [(text.split()[0], colour) for text, colour in found[1:]] == [
        ("✔", "green"), ("✘", "red"), ("No", "red"), ("-", "yellow"), ("Resource", "yellow"),
    ]  # fmt: skip
    assert found[1][0].split()[-3:-1] == ["4", "s"]


def test_what_failed_keeps_its_reason_in_the_roll_back() -> None:
    tree = Tree("net", lambda text: None, Clock())
    tree([*EVENTS, event(8, "Subnet2", "DELETE_IN_PROGRESS"), event(9, "Subnet2", "DELETE_COMPLETE")])
    row = tree.resources.rows["Subnet2"]
    assert (row.look, row.status, row.seconds) == (GONE, "DELETE_COMPLETE", 1.0)
    assert (row.reason, row.failure) == ("", "No room")
    assert "    No room" in [text for text, _ in tree.lines()]
    # What fails to be deleted, and then is, has not failed.
    tree([event(10, "Subnet1", "DELETE_FAILED", "in use"), event(11, "Subnet1", "DELETE_IN_PROGRESS")])
    assert tree.resources.rows["Subnet1"].failure == "in use"
    tree([event(12, "Subnet1", "DELETE_COMPLETE")])
    assert tree.resources.rows["Subnet1"].failure == ""


def test_a_roll_back_is_no_success() -> None:
    tree = Tree("net", lambda text: None, Clock())
    tree([*EVENTS, event(9, "net", "ROLLBACK_COMPLETE")])
    assert tree.lines()[0][1] == "red"
    tree([event(10, "net", "UPDATE_COMPLETE")])
    assert tree.lines()[0][1] == "green"


def row(name: str, at: float, look: str) -> Row:
    when = START + timedelta(seconds=at)
    return Row(name, "T", "S", when, when, look)


def test_a_small_terminal_shows_what_matters() -> None:
    rows = [row("a", 1, DONE), row("b", 2, UNDER_WAY), row("c", 3, DONE), row("d", 4, CANCELLED), row("e", 0, FAILED)]
    assert [kept.name for kept in chosen(rows, 3)] == ["b", "d", "e"]
    assert chosen(rows, 5) == rows
    tree = Tree("net", lambda text: None, Clock(), lambda: 6)
    tree([event(n, f"S{n}", "CREATE_IN_PROGRESS") for n in range(5)])
    texts = [text for text, _ in tree.lines()]
    assert len(texts) == 4 and texts[-1] == "  and 3 more"


def test_a_terminal_gets_a_tree_and_keeps_it() -> None:
    stream = io.StringIO()
    with shown("net", stream, terminal=True) as view:
        view.say("before")
        view(EVENTS[:1])
        view([*EVENTS[1:], event(9, "net", "ROLLBACK_COMPLETE")])
    text = stream.getvalue()
    assert "before" in text and "\x1b[" in text
    last = text[text.rindex("stack net") :]
    for word in ("ROLLBACK_COMPLETE", "├──", "Subnet1", "Subnet2", "No room"):
        assert word in last
