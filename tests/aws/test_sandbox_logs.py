"""CloudWatch Logs of the sandbox over HTTP: streams, pages, tokens."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from botocore.exceptions import ClientError
from sandbox_support import client, events_of, job_request, log_lines, stream_names

from hvdsm.sandbox import GROUP, Sandbox, Script


def put_lines(sandbox: Sandbox, stream: str, count: int, size: int = 0, begin: int = 0) -> List[str]:
    """Put numbered lines, a millisecond apart, into a stream of the group of the jobs."""
    lines = [f"{number:06d}" + "x" * size for number in range(begin, begin + count)]
    sandbox.logs.store.append(GROUP, stream, [(1_700_000_000_000 + begin + i, line) for i, line in enumerate(lines)])
    return lines


def test_two_hundred_hosts_have_all_their_lines_once(sandbox: Sandbox) -> None:
    lines = {f"algo-{host}": [f"{host}:{number}" for number in range(20)] for host in range(1, 201)}
    sandbox.script("wide", Script(lines=lines))
    client(sandbox, "sagemaker").create_training_job(**job_request("wide"))
    sandbox.wait("wide")
    logs = client(sandbox, "logs")
    pages = list(logs.get_paginator("describe_log_streams").paginate(logGroupName=GROUP, logStreamNamePrefix="wide/"))
    assert [len(page["logStreams"]) for page in pages] == [50] * 4
    assert log_lines(sandbox, "wide") == lines


def test_a_stream_is_read_forward_until_the_token_repeats(sandbox: Sandbox) -> None:
    lines = put_lines(sandbox, "job/algo-1-1", 25_000)
    logs = client(sandbox, "logs")
    asked: Dict[str, Any] = {"logGroupName": GROUP, "logStreamName": "job/algo-1-1", "startFromHead": True}
    sizes, found = [], []
    while True:
        page = logs.get_log_events(**asked)
        sizes.append(len(page["events"]))
        found += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == asked.get("nextToken"):
            break
        asked["nextToken"] = page["nextForwardToken"]
    assert sizes == [10_000, 10_000, 5_000, 0]
    assert found == lines
    more = put_lines(sandbox, "job/algo-1-1", 3, begin=25_000)
    assert [event["message"] for event in logs.get_log_events(**asked)["events"]] == more


def test_a_page_has_a_megabyte_at_most(sandbox: Sandbox) -> None:
    put_lines(sandbox, "job/algo-1-1", 30, size=99_968)
    page = client(sandbox, "logs").get_log_events(logGroupName=GROUP, logStreamName="job/algo-1-1", startFromHead=True)
    assert len(page["events"]) == 10


def test_without_start_from_head_the_latest_come_first_and_backward(sandbox: Sandbox) -> None:
    lines = put_lines(sandbox, "job/algo-1-1", 10)
    logs = client(sandbox, "logs")
    asked: Dict[str, Any] = {"logGroupName": GROUP, "logStreamName": "job/algo-1-1", "limit": 4}
    found: List[List[str]] = []
    while True:
        page = logs.get_log_events(**asked)
        if page["nextBackwardToken"] == asked.get("nextToken"):
            break
        found.append([event["message"] for event in page["events"]])
        asked["nextToken"] = page["nextBackwardToken"]
    assert found == [lines[6:], lines[2:6], lines[:2]]


def test_times_limit_what_is_read(sandbox: Sandbox) -> None:
    lines = put_lines(sandbox, "job/algo-1-1", 10)
    logs, begin = client(sandbox, "logs"), 1_700_000_000_000
    asked = {"logGroupName": GROUP, "startTime": begin + 3, "endTime": begin + 6}
    page = logs.get_log_events(logStreamName="job/algo-1-1", startFromHead=True, **asked)
    assert [event["message"] for event in page["events"]] == lines[3:6]
    page = logs.filter_log_events(**asked)
    assert [event["message"] for event in page["events"]] == lines[3:7]


def test_empty_pages_are_no_end(sandbox: Sandbox) -> None:
    lines = put_lines(sandbox, "job/algo-1-1", 50)
    sandbox.logs.empty_pages = True
    logs = client(sandbox, "logs")
    asked: Dict[str, Any] = {"logGroupName": GROUP, "logStreamName": "job/algo-1-1", "startFromHead": True}
    first = logs.get_log_events(**asked)
    assert first["events"] == []
    assert list(events_of(logs, "job/algo-1-1")) == lines
    pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, limit=20))
    assert [len(page["events"]) for page in pages] == [0, 20, 0, 20, 0, 10]


def test_filtering_merges_streams_in_the_order_of_time(sandbox: Sandbox) -> None:
    first, second = put_lines(sandbox, "job/algo-1-1", 6), put_lines(sandbox, "job/algo-2-1", 6)
    put_lines(sandbox, "other/algo-1-1", 1)
    logs = client(sandbox, "logs")
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, logStreamNamePrefix="job/", limit=5)
    found = [(event["logStreamName"], event["message"]) for page in pages for event in page["events"]]
    assert found == [(name, line) for pair in zip(first, second) for name, line in zip(("job/algo-1-1", "job/algo-2-1"), pair)]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("error", ["an error of rank 3", "error: timeout"]),
        ('"error of"', ["an error of rank 3"]),
        ("?timeout ?rank", ["an error of rank 3", "error: timeout"]),
        ("error -timeout", ["an error of rank 3"]),
        ("%rank [0-9]%", ["an error of rank 3"]),
    ],
)
def test_filter_patterns(sandbox: Sandbox, pattern: str, wanted: List[str]) -> None:
    texts = ["all is well", "an error of rank 3", "error: timeout"]
    sandbox.logs.store.append(GROUP, "s", [(None, text) for text in texts])
    page = client(sandbox, "logs").filter_log_events(logGroupName=GROUP, filterPattern=pattern)
    assert [event["message"] for event in page["events"]] == wanted


def test_streams_are_ordered_as_asked(sandbox: Sandbox) -> None:
    for number, name in enumerate(("b", "c", "a")):
        sandbox.logs.store.append(GROUP, name, [(1000 + number, "x")])
    logs = client(sandbox, "logs")

    def names(**order: Any) -> List[str]:
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=GROUP, PaginationConfig={"PageSize": 2}, **order)
        return [entry["logStreamName"] for page in pages for entry in page["logStreams"]]

    assert names() == ["a", "b", "c"]
    assert names(descending=True) == ["c", "b", "a"]
    assert names(orderBy="LastEventTime", descending=True) == ["a", "c", "b"]
    with pytest.raises(ClientError, match="InvalidParameterException"):
        logs.describe_log_streams(logGroupName=GROUP, orderBy="LastEventTime", logStreamNamePrefix="a")


def test_what_is_not_there_or_wrong_is_refused(sandbox: Sandbox) -> None:
    logs = client(sandbox, "logs")
    for call in (logs.describe_log_streams, logs.filter_log_events):
        with pytest.raises(logs.exceptions.ResourceNotFoundException, match="log group does not exist"):
            call(logGroupName=GROUP)
    put_lines(sandbox, "job/algo-1-1", 1)
    put_lines(sandbox, "job/algo-2-1", 1)
    with pytest.raises(logs.exceptions.ResourceNotFoundException, match="log stream does not exist"):
        logs.get_log_events(logGroupName=GROUP, logStreamName="none")
    token = logs.get_log_events(logGroupName=GROUP, logStreamName="job/algo-1-1")["nextForwardToken"]
    for wrong in (token, "f/12", "nonsense"):
        with pytest.raises(logs.exceptions.InvalidParameterException, match="nextToken is invalid"):
            logs.get_log_events(logGroupName=GROUP, logStreamName="job/algo-2-1", nextToken=wrong)


def test_a_group_of_ones_own(sandbox: Sandbox) -> None:
    logs = client(sandbox, "logs")
    logs.create_log_group(logGroupName="mine")
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName="mine")
    logs.create_log_stream(logGroupName="mine", logStreamName="s")
    logs.put_log_events(logGroupName="mine", logStreamName="s", logEvents=[{"timestamp": 5, "message": "one"}])
    assert [event["message"] for event in logs.get_log_events(logGroupName="mine", logStreamName="s")["events"]] == ["one"]
    assert [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]] == ["mine"]
    logs.delete_log_stream(logGroupName="mine", logStreamName="s")
    assert logs.describe_log_streams(logGroupName="mine")["logStreams"] == []
    logs.delete_log_group(logGroupName="mine")
    assert logs.describe_log_groups()["logGroups"] == []


def test_late_lines_and_late_streams_come_after_the_end(sandbox: Sandbox) -> None:
    sandbox.script("late", Script(lines={"algo-1": ["in time"]}, late_lines={"algo-1": ["late"], "algo-2": ["later"]}, late=0.05))
    client(sandbox, "sagemaker").create_training_job(**job_request("late"))
    job = sandbox.wait("late")
    assert job.thread is not None
    job.thread.join()
    assert log_lines(sandbox, "late") == {"algo-1": ["in time", "late"], "algo-2": ["later"]}


def test_a_line_that_is_too_long_for_an_event_is_divided(sandbox: Sandbox) -> None:
    sandbox.script("long", Script(lines={"algo-1": ["x" * 600_000]}))
    client(sandbox, "sagemaker").create_training_job(**job_request("long"))
    sandbox.wait("long")
    logs = client(sandbox, "logs")
    pieces = list(events_of(logs, stream_names(logs, "long")[0]))
    assert [len(piece) <= 262_144 for piece in pieces] == [True] * 3
    assert "".join(pieces) == "x" * 600_000
