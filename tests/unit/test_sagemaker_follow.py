"""Following a job: statuses, lines and its end, with a service that is a list of answers."""

from __future__ import annotations

import datetime
import io
import threading
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Dict, List, Optional, Sequence

from hvdsm.backends.base import NOTE, OUTPUT, PHASE, WARNING
from hvdsm.backends.sagemaker.follow import Follower, Lines
from hvdsm.compose.outcome_line import encode_outcome
from hvdsm.errors import CloudUnavailable
from hvdsm.model import JobOutcome

BEGIN = datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc)


@dataclass(frozen=True)
class Line:
    host: str
    data: bytes
    seconds: float = 0.0


@dataclass
class Service:
    """Answers in their order; the last description stays."""

    descriptions: List[Dict[str, Any]]
    polls: List[Any] = field(default_factory=list)
    flushes: List[Any] = field(default_factory=list)
    all_read: threading.Event = field(default_factory=threading.Event)

    def describe(self) -> Dict[str, Any]:
        if len(self.descriptions) == 1:
            # The end comes when all that there is to poll has been polled.
            assert self.all_read.wait(10)
        return self.descriptions.pop(0) if len(self.descriptions) > 1 else self.descriptions[0]

    def poll(self) -> Sequence[Any]:
        if not self.polls:
            self.all_read.set()
            return []
        return self._answer(self.polls)

    def flush(self) -> Sequence[Any]:
        return self._answer(self.flushes) if self.flushes else []

    def collected(self) -> Sequence[Any]:
        return []

    @staticmethod
    def _answer(answers: List[Any]) -> Sequence[Any]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, list)
        return answer


def state(status: str, *transitions: str) -> Dict[str, Any]:
    changes = [
        {"Status": name, "StartTime": BEGIN + datetime.timedelta(seconds=10 * index), "StatusMessage": f"{name} it"}
        for index, name in enumerate(transitions)
    ]
    return {"TrainingJobStatus": status, "CreationTime": BEGIN, "SecondaryStatusTransitions": changes}


def followed(service: Service, lines: Optional[Lines] = None, *, awaits_report: bool = False, clock: Any = None) -> Any:
    follower = Follower(
        service.describe,
        service,
        lines or Lines("algo-1"),
        interval=0.001,
        awaits_report=awaits_report,
        wait=lambda _seconds: False,
        clock=clock or (lambda: 0.0),
    )
    return follower, list(follower.events())


def output(events: Sequence[Any]) -> bytes:
    return b"".join(event.data for event in events if event.kind == OUTPUT)


def test_each_status_is_told_once_with_its_time() -> None:
    service = Service(
        [
            state("InProgress", "Starting"),
            state("InProgress", "Starting"),
            state("InProgress", "Starting", "Downloading", "Training"),
            state("Completed", "Starting", "Downloading", "Training", "Uploading", "Completed"),
        ]
    )
    _, events = followed(service)
    assert [(event.text, event.seconds) for event in events if event.kind == PHASE] == [
        ("Starting (Starting it)", 0.0),
        ("Downloading (Downloading it)", 10.0),
        ("Training (Training it)", 20.0),
        ("Uploading (Uploading it)", 30.0),
        ("Completed (Completed it)", 40.0),
    ]


def test_a_message_that_changes_is_told_and_earlier_ones_are_not_repeated() -> None:
    first, second = state("InProgress", "Starting"), state("InProgress", "Starting")
    second["SecondaryStatusTransitions"][0]["StatusMessage"] = "Launching requested ML instances"
    second["LastModifiedTime"] = BEGIN + datetime.timedelta(seconds=4)
    last = state("Completed", "Starting", "Training")
    last["SecondaryStatusTransitions"][0]["StatusMessage"] = "Launching requested ML instances"
    _, events = followed(Service([first, second, second, last]))
    assert [(event.text, event.seconds) for event in events] == [
        ("Starting (Starting it)", 0.0),
        ("Starting (Launching requested ML instances)", 4.0),
        ("Training (Training it)", 10.0),
    ]


def test_all_lines_are_shown_in_order_and_late_ones_too() -> None:
    lines = [Line("algo-1", b"%d" % index) for index in range(10)]
    service = Service([state("InProgress", "Training"), state("Completed", "Training")], [lines[:3], [], lines[3:7]], [lines[7:]])
    _, events = followed(service)
    assert output(events) == b"".join(b"%d\n" % index for index in range(10))


def test_a_rank_line_that_the_launcher_has_is_not_shown_again() -> None:
    lines = [
        Line("algo-2", b"hvdsm: joined"),
        Line("algo-1", b"[1,algo-2] hello"),
        Line("algo-2", b"[1,algo-2] hello"),
        Line("algo-2", b"kernel message"),
    ]
    _, events = followed(Service([state("Completed", "Training")], [lines]))
    assert output(events) == b"hvdsm: joined\n[1,algo-2] hello\nkernel message\n"


def test_hosts_that_begin_alone_show_their_own_lines_whatever_the_launcher_has() -> None:
    lines = [
        Line("algo-2", b"hvdsm: begins"),
        Line("algo-2", b"[1,algo-2] early"),
        Line("algo-1", b"hvdsm: begins"),
        Line("algo-1", b"[0,algo-1] here"),
        Line("algo-2", b"[1,algo-2] late"),
        Line("algo-1", b"[1,algo-2] late"),
    ]
    _, events = followed(Service([state("Completed", "Training")], [lines]), Lines("algo-1", alone=True))
    assert output(events).splitlines() == [
        b"hvdsm: begins",
        b"[1,algo-2] early",
        b"hvdsm: begins",
        b"[0,algo-1] here",
        b"[1,algo-2] late",
    ]


def test_lines_of_another_program_that_look_alike_are_shown() -> None:
    _, events = followed(Service([state("Completed", "Training")], [[Line("algo-2", b"[1,x] hello")]]))
    assert output(events) == b"[1,x] hello\n"


def test_the_launchers_report_is_taken_and_hidden() -> None:
    outcome = JobOutcome("job", "Failed", 7, world_size=4)
    report = Line("algo-1", encode_outcome(outcome).encode())
    service = Service([state("Failed", "Training")], [[Line("algo-1", b"before"), report]])
    follower, events = followed(service, awaits_report=True)
    assert follower.lines.reported == outcome
    assert output(events) == b"before\n"


def test_a_report_that_comes_late_is_waited_for() -> None:
    report = [Line("algo-1", encode_outcome(JobOutcome("job", "Completed", 0)).encode())]
    service = Service(
        [state("Completed", "Training")], [], [[], [Line("algo-1", b"hvdsm: 1 of 1")], [Line("algo-1", b"last")], report]
    )
    follower, events = followed(service, awaits_report=True)
    assert follower.lines.reported is not None
    assert output(events) == b"hvdsm: 1 of 1\nlast\n"


def test_a_report_that_never_comes_is_given_up() -> None:
    times = iter(range(0, 1000, 3))
    service = Service([state("Failed", "Training")], [], [[Line("algo-1", b"hvdsm: %d" % index)] for index in range(50)])
    follower, _ = followed(service, awaits_report=True, clock=lambda: float(next(times)))
    assert follower.lines.reported is None
    assert 40 < len(service.flushes) < 49


def test_a_program_that_is_not_ours_reports_nothing_and_is_not_waited_for() -> None:
    service = Service([state("Completed", "Training")], [], [[Line("algo-1", b"%d" % index)] for index in range(50)])
    followed(service, awaits_report=True)
    assert len(service.flushes) == 49


def test_a_job_that_never_ran_has_no_report_to_wait_for() -> None:
    service = Service([state("Failed", "Starting")], [], [[]])
    follower, events = followed(service, awaits_report=True, clock=iter([0.0, 0.0]).__next__)
    assert follower.lines.reported is None
    assert [event.kind for event in events] == [PHASE]


def test_logs_that_cannot_be_read_for_a_while_lose_nothing() -> None:
    gone = CloudUnavailable("no network")
    service = Service(
        [state("InProgress", "Training"), state("Completed", "Training")],
        [[Line("algo-1", b"1")], gone, gone, [Line("algo-1", b"2")]],
        [[Line("algo-1", b"3")]],
    )
    _, events = followed(service)
    assert output(events) == b"1\n2\n3\n"
    notes = [event.text for event in events if event.kind == NOTE]
    assert notes in (["the logs cannot be read now: no network", "the logs can be read again"], notes[:1])
    assert notes[0].startswith("the logs cannot be read now")


def test_the_end_of_logs_that_cannot_be_read_is_a_warning() -> None:
    service = Service([state("Completed", "Training")], [], [CloudUnavailable("no network")])
    _, events = followed(service)
    assert any(event.kind == WARNING and "no network" in event.text for event in events)


class Kept(io.BytesIO):
    """Bytes that can be read after the file is closed."""

    content = b""

    def close(self) -> None:
        self.content = self.getvalue()
        super().close()


def test_every_line_of_a_host_is_kept_also_what_is_not_shown() -> None:
    files: Dict[str, Kept] = {}

    def opened(host: str) -> BinaryIO:
        files[host] = Kept()
        return files[host]

    report = encode_outcome(JobOutcome("job", "Completed", 0)).encode()
    lines = [Line("algo-2", b"hvdsm: x"), Line("algo-2", b"[1,algo-2] y"), Line("algo-1", b"z"), Line("algo-1", report)]
    followed(Service([state("Completed", "Training")], [lines]), Lines("algo-1", opened))
    assert files["algo-2"].content == b"hvdsm: x\n[1,algo-2] y\n"
    assert files["algo-1"].content == b"z\n" + report + b"\n"
