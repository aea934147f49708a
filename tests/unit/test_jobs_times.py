"""Times, sizes and samples as users write them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.aws.objects import Object
from hvdsm.errors import UsageError
from hvdsm.jobs.sample import Taken, choose, ordered
from hvdsm.jobs.times import Sample, parse_sample, parse_since, shown_seconds, shown_size

ENTRIES = st.lists(
    st.builds(Object, st.text("ab/.c", min_size=1, max_size=6), st.integers(0, 50), st.just("")),
    max_size=40,
    unique_by=lambda entry: entry.key,
)


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600), ("1h30m", 5400), ("2d", 172800), ("0.5s", 0.5), ("1w", 604800)])
def test_ages(text: str, seconds: float) -> None:
    assert parse_since(text, 1e9) == 1e9 - seconds


def test_times() -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=timezone.utc).timestamp()
    assert parse_since("2026-01-31T12:00:00Z", 0) == moment
    assert parse_since("2026-01-31T13:00+01:00", 0) == moment
    assert parse_since("2026-01-31", 0) == datetime(2026, 1, 31).timestamp()


@pytest.mark.parametrize("text", ["", "10", "m", "10 parsecs", "2026", "2026-13-01", "-10m", "20260131"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="neither an age nor a time"):
        parse_since(text, 0)


def test_samples() -> None:
    assert parse_sample(["1000"]) == Sample(1000, None)
    assert parse_sample(["200MB", "10"]) == Sample(10, 200_000_000)
    assert parse_sample(["1.5GiB"]) == Sample(None, 3 << 29)
    assert parse_sample(["all"]) == Sample()
    for text in ("", "0", "0MB", "MB", "-1", "10 MX", "1.5"):
        with pytest.raises(UsageError, match="number of objects nor a size"):
            parse_sample([text])


@given(ENTRIES, st.integers(1, 50), st.integers(1, 500), st.integers(1, 4))
def test_a_sample_is_bounded_and_always_the_same(entries: list[Object], count: int, size: int, least: int) -> None:
    taken, note = choose(entries, Sample(count, size), least=least)
    assert choose(list(reversed(entries)), Sample(count, size), least=least) == (taken, note)
    assert set(taken) <= set(entries) and len(set(taken)) == len(taken)
    assert min(least, len(entries)) <= len(taken) <= max(count, least)
    assert sum(entry.size for entry in taken) <= size or note
    assert taken == sorted(taken, key=lambda entry: entry.key)


@given(ENTRIES, st.integers(1, 20))
def test_a_larger_sample_has_the_smaller_one(entries: list[Object], count: int) -> None:
    smaller, _ = choose(entries, Sample(count))
    larger, _ = choose(entries, Sample(count + 5))
    assert set(smaller) <= set(larger)
    assert choose(entries, Sample())[0] == sorted(entries, key=lambda entry: entry.key)


def test_one_of_every_kind_goes_first() -> None:
    images = [Object(f"train/{kind}/{n:04}.jpg", 10, "") for kind in ("cat", "dog", "emu") for n in range(500)]
    entries = [*images, Object("train/labels.csv", 5, "")]
    taken, _ = choose(entries, Sample(8))
    assert len(taken) == 8
    assert {"/".join(entry.key.split("/")[:2]) for entry in taken} == {"train/cat", "train/dog", "train/emu", "train/labels.csv"}
    assert sorted(entry.key for entry in ordered(entries)) == sorted(entry.key for entry in entries)


def test_what_must_be_there_is_there() -> None:
    taken, note = choose([Object("a", 100, ""), Object("b", 90, "")], Sample(None, 10))
    assert [entry.key for entry in taken] == ["b"] and "more than --sample allows" in note
    taken, note = choose([Object(name, 1, "") for name in "abcdef"], Sample(2), least=4)
    assert len(taken) == 4 and not note


def test_words() -> None:
    assert str(Taken(2, 10, 5, 2000)) == "2 objects, 10 bytes of 5, 2.0 kB"
    assert str(Taken(5, 2000, 5, 2000)) == "all 5 objects, 2.0 kB"
    assert "more than 200,000" in str(Taken(1, 1, 200_000, 5, True))
    assert [shown_size(size) for size in (0, 1, 999, 1e6, 2.5e12, 9e15)] == [
        "0 bytes", "1 byte", "999 bytes", "1.0 MB", "2.5 TB", "9000.0 TB",
    ]  # fmt: skip
    assert shown_seconds(3600) == "1 h 0 min"
