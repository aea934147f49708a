"""Follower: every line once, whatever CloudWatch does in between."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from aws_support import DROP, Clock, FakeAws, FakeLogs, failure, fake_aws

from hvdsm.aws.brake import Brake
from hvdsm.aws.logs import Follower, LogLine
from hvdsm.errors import CloudRefused, CloudUnavailable


@pytest.fixture
def fake() -> Iterator[FakeAws]:
    with fake_aws() as made:
        yield made


@pytest.fixture
def logs(fake: FakeAws) -> FakeLogs:
    return FakeLogs(fake)


def follower(fake: FakeAws, clock: Clock | None = None, **options: object) -> Follower:
    clock = clock or Clock()
    options.setdefault("rate", 1000.0)
    return Follower(fake.aws(), "job", clock=clock, wait=clock.wait, **options)  # type: ignore[arg-type]


def texts(lines: list[LogLine]) -> list[str]:
    return [f"{line.host} {line.data.decode()}" for line in lines]


def test_no_group_and_no_streams_are_no_error(fake: FakeAws, logs: FakeLogs) -> None:
    assert follower(fake).poll() == []
    assert follower(fake).flush() == []
    logs.job = "another"
    logs.add("algo-1", "not ours")
    assert follower(fake).flush() == []


def test_lines_have_host_time_and_attempt(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", "hello\n", at=12.345)
    assert follower(fake).poll() == [LogLine("algo-1", 12.345, b"hello", 1700000000)]


def test_200_hosts_on_five_pages_each_line_once(fake: FakeAws, logs: FakeLogs) -> None:
    for host in range(1, 201):
        logs.add(f"algo-{host}", *(f"line {number}" for number in range(5)), at=host)
    made = follower(fake, rate=10.0)
    found = made.poll()
    assert 0 < len(found) < 1000, "one look is bounded"
    found += made.poll()
    for host in range(1, 201):
        logs.add(f"algo-{host}", "late", at=host)
    found += made.flush()
    assert Counter(texts(found)) == Counter(
        f"algo-{host} {text}" for host in range(1, 201) for text in (*(f"line {n}" for n in range(5)), "late")
    )


def test_a_stream_of_many_pages(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", *(str(number) for number in range(2500))).page = 1000
    assert texts(follower(fake).flush()) == [f"algo-1 {number}" for number in range(2500)]


def test_an_empty_page_is_no_end(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", "behind them").empty_pages = 3
    logs.empty_searches = 1
    assert texts(follower(fake).poll()) == ["algo-1 behind them"]
    logs.streams["job/algo-1-1700000000"].empty_pages = 2
    logs.empty_searches = 1
    assert texts(follower(fake).flush()) == ["algo-1 behind them"]


def test_lines_and_streams_that_come_after_the_end(fake: FakeAws, logs: FakeLogs) -> None:
    clock = Clock()
    logs.add("algo-1", "first")
    made = follower(fake, clock, settle=1.0)
    found = made.poll()
    clock.after(0.5, lambda: logs.add("algo-1", "late") and None)
    clock.after(0.8, lambda: logs.add("algo-2", "a late stream") and None)
    # Not settled before a second has passed since the late line was seen.
    clock.after(1.9, lambda: logs.add("algo-1", "later") and None)
    found += made.flush()
    assert Counter(texts(found)) == Counter(["algo-1 first", "algo-1 late", "algo-2 a late stream", "algo-1 later"])
    assert made.flush() == []


def test_a_job_whose_only_stream_appears_after_its_end(fake: FakeAws, logs: FakeLogs) -> None:
    clock = Clock()
    clock.after(0.2, lambda: logs.add("algo-1", "the only one") and None)
    assert texts(follower(fake, clock).flush()) == ["algo-1 the only one"]


def test_flushing_a_quiet_job_of_two_hosts_takes_the_settling_time(fake: FakeAws, logs: FakeLogs) -> None:
    clock = Clock()
    for host in ("algo-1", "algo-2"):
        logs.add(host, "done")
    made = follower(fake, clock, rate=20.0)
    made.poll()
    before, asked = clock.now, len(fake.requests)
    made.flush()
    assert clock.now - before == pytest.approx(0.3, abs=0.01)
    assert len(fake.requests) - asked == 6


def test_a_retried_job_has_a_second_stream_of_the_same_host(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", "first try", attempt=1, at=1)
    made = follower(fake)
    found = made.poll()
    logs.add("algo-1", "second try", attempt=2, at=2)
    found += made.flush()
    assert [(line.host, line.attempt, line.data) for line in found] == [
        ("algo-1", 1, b"first try"),
        ("algo-1", 2, b"second try"),
    ]


def test_order_by_time_but_never_against_the_stream(fake: FakeAws, logs: FakeLogs) -> None:
    stream = logs.add("algo-1", "a1", at=10)
    stream.events += [(5000, "a2 with an early clock"), (20000, "a3")]
    logs.add("algo-2", "b1", at=7)
    logs.add("algo-10", "c1", at=10)
    assert texts(follower(fake).poll()) == ["algo-2 b1", "algo-1 a1", "algo-1 a2 with an early clock", "algo-10 c1", "algo-1 a3"]


def test_newlines_within_an_event_are_lines(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", "a\nb\n", "", "ü\r")
    assert [line.data for line in follower(fake).poll()] == [b"a", b"b", b"", "ü\r".encode()]


def test_only_some_hosts_and_only_since(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", "one", at=5)
    logs.add("algo-2", "old", at=5)
    logs.add("algo-2", "new", at=50)
    assert texts(follower(fake, hosts=["algo-2"], since=20).flush()) == ["algo-2 new"]
    assert {body["logStreamName"] for name, body in fake.requests if name == "GetLogEvents"} == {"job/algo-2-1700000000"}


def test_throttling_in_between_loses_and_repeats_nothing(fake: FakeAws, logs: FakeLogs) -> None:
    logs.every = 3
    made = follower(fake, rate=100.0)
    found: list[LogLine] = []
    for step in range(5):
        for host in range(1, 61):
            logs.add(f"algo-{host}", f"line {step}")
        found += made.poll()
    found += made.flush()
    assert Counter(texts(found)) == Counter(f"algo-{host} line {step}" for host in range(1, 61) for step in range(5))


def test_throttling_makes_slower_and_is_raised_after_a_minute(fake: FakeAws, logs: FakeLogs) -> None:
    clock = Clock()
    logs.add("algo-1", "never seen")
    logs.every = 1
    made = follower(fake, clock, rate=20.0)
    assert made.poll() == []
    with pytest.raises(CloudUnavailable, match="AWS asks for fewer requests"):
        for _ in range(200):
            made.poll()
            clock.wait(1.0)
    assert clock.now > 1060
    logs.every = 0
    assert texts(made.poll()) == ["algo-1 never seen"]


def test_a_lost_connection_is_raised_and_nothing_is_lost(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", "one")
    made = follower(fake)
    assert texts(made.poll()) == ["algo-1 one"]
    logs.add("algo-1", "two")
    logs.faults = [DROP] * 10
    with pytest.raises(CloudUnavailable, match="cannot read the logs: AWS cannot be reached") as caught:
        for _ in range(5):
            made._clock.wait(1.0)  # type: ignore[attr-defined]
            assert made.poll() == []
    assert caught.value.exit_code == 69
    logs.faults = []
    assert texts(made.flush()) == ["algo-1 two"]


def test_flush_outlasts_a_short_outage(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", "one")
    logs.faults = [DROP] * 7
    assert texts(follower(fake).flush()) == ["algo-1 one"]


def test_what_was_read_before_a_failure_is_not_gone(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", "one")
    made = follower(fake)
    denied = failure("AccessDeniedException", "User: arn:aws:iam::1:user/me is not authorized to perform: logs:GetLogEvents")

    def first_only(body: dict[str, str]) -> object:
        return denied if "algo-2" in body["logStreamName"] else logs._get(body)

    fake.on("GetLogEvents", first_only)
    logs.add("algo-2", "two")
    with pytest.raises(CloudRefused, match="arn:aws:iam::1:user/me lacks the permission logs:GetLogEvents"):
        made.poll()
    assert texts(made.collected()) == ["algo-1 one"]


def test_a_token_that_has_expired(fake: FakeAws, logs: FakeLogs) -> None:
    logs.add("algo-1", "one", "two", "three").page = 2
    made = follower(fake)
    assert len(made.flush()) == 3
    made._found["job/algo-1-1700000000"].token = "of yesterday"
    logs.add("algo-1", "four")
    assert texts(made.flush()) == ["algo-1 four"]


def test_two_threads_share_the_lines(fake: FakeAws, logs: FakeLogs) -> None:
    for host in range(1, 31):
        logs.add(f"algo-{host}", *(str(number) for number in range(20))).page = 3
    made = follower(fake)
    found: list[LogLine] = []

    def work() -> None:
        found.extend(made.poll() + made.flush())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(texts(found)) == Counter(f"algo-{host} {number}" for host in range(1, 31) for number in range(20))


def test_quiet_streams_are_asked_less_often(fake: FakeAws, logs: FakeLogs) -> None:
    clock = Clock()
    logs.add("algo-1", "busy")
    logs.add("algo-2", "once")
    made = follower(fake, clock)
    for number in range(60):
        logs.add("algo-1", str(number))
        made.poll()
        clock.wait(1.0)
    asked = Counter(
        body["logStreamName"].split("/")[1].rsplit("-", 1)[0] for name, body in fake.requests if name == "GetLogEvents"
    )
    assert asked["algo-1"] >= 55
    assert asked["algo-2"] <= 20
    assert fake.count("DescribeLogStreams") <= 15


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_order_of_lines_looks_and_faults(fake: FakeAws, logs: FakeLogs, seed: int) -> None:
    chance = random.Random(seed)
    clock = Clock()
    made = follower(fake, clock, rate=50.0)
    written: list[str] = []
    found: list[LogLine] = []
    kinds = [DROP, failure("ThrottlingException", "Rate exceeded"), failure("InternalFailure", "", 500)]
    for step in range(60):
        for _ in range(chance.randrange(8)):
            host, attempt = f"algo-{chance.randint(1, 70)}", chance.choice([1, 1, 1, 2])
            stream = logs.add(host, text := f"{attempt} line {step} {len(written)}", attempt=attempt)
            stream.page, stream.empty_pages = chance.choice([1, 3, 10_000]), chance.choice([0, 0, 0, 2])
            written.append(f"{host} {text}")
        logs.faults = [chance.choice(kinds) for _ in range(chance.choice([0, 0, 1, 3, 6]))]
        clock.wait(chance.choice([0.1, 1.0, 5.0]))
        try:
            found += made.poll()
        except CloudUnavailable:
            pass
    logs.faults = [DROP] * 3
    found += made.flush()
    assert Counter(texts(found)) == Counter(written)
    for stream in {(line.host, line.attempt) for line in found}:
        own = [int(line.data.rsplit(b" ", 1)[1]) for line in found if (line.host, line.attempt) == stream]
        assert own == sorted(own), "a stream keeps its order"


def test_the_brake_lets_a_burst_pass_and_then_its_rate() -> None:
    clock = Clock()
    brake = Brake(10.0, clock, clock.wait)
    for _ in range(10):
        brake.take()
    assert clock.waits == []
    for _ in range(20):
        brake.take()
    assert clock.now - 1000 == pytest.approx(2.0, abs=0.01)


def test_the_brake_gives_way_and_recovers() -> None:
    clock = Clock()
    brake = Brake(16.0, clock, clock.wait)
    for _ in range(8):
        brake.slower()
    assert brake.rate == 8.0, "requests that were on their way together count once"
    for _ in range(20):
        clock.wait(1.0)
        brake.slower()
    assert brake.rate == 1.0
    clock.wait(20.0)
    brake.take()
    assert brake.rate == 16.0
