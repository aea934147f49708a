"""Values that MetricDefinitions find in lines."""

from __future__ import annotations

import re
from typing import Any, Optional, Pattern

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.compose.metrics import MAX_LINE, compile_metrics, merged
from hvdsm.errors import ConfigError


def definition(regex: str, name: str = "m") -> dict:
    return {"Name": name, "Regex": regex}


def fed(regex: str, *lines: bytes) -> Any:
    metrics = compile_metrics([definition(regex)])
    for line in lines:
        metrics.feed(line)
    return metrics


@pytest.mark.parametrize(
    ("regex", "line", "value"),
    [
        (r"loss=([0-9.]+)", b"[0,algo-1] loss=0.25\n", 0.25),
        (r"loss=(?<value>[0-9.]+)", b"loss=1", 1.0),
        (r"(?<=loss=)[0-9.]+", b"loss=2", 2.0),
        (r"[0-9]+", b"epoch 12 of 20", 12.0),
        (r"loss=(\S+)", b"loss=-1e-3", -0.001),
        (r"^loss (\d+)$", b"loss 3\r\n", 3.0),
        ("größe=([0-9]+)", "größe=4".encode(), 4.0),
    ],
)
def test_the_first_group_or_the_whole_match(regex: str, line: bytes, value: float) -> None:
    assert fed(regex, line).summary() == {"m": {"count": 1, "last": value, "min": value, "max": value}}


def test_one_value_a_line() -> None:
    assert fed("x=([0-9]+)", b"x=1 x=2", b"x=9", b"y", b"x=3").summary()["m"] == {"count": 3, "last": 3.0, "min": 1.0, "max": 9.0}


@pytest.mark.parametrize("line", [b"loss=nan", b"loss=inf", b"loss=fast", b"loss="])
def test_what_is_no_number_is_a_warning(line: bytes) -> None:
    metrics = fed(r"loss=(\S*)", line)
    assert metrics.summary() == {} and metrics.unmatched() == {}
    (warning,) = metrics.warnings()
    assert "captured no number" in warning and r"loss=(\S*)" in warning


def test_a_group_that_took_no_part() -> None:
    assert "captured no number" in fed(r"a(\d)?", b"ab").warnings()[0]


def test_a_definition_that_never_matched_is_quoted() -> None:
    metrics = fed(r"acc: (\d+)%", b"loss=1")
    assert "acc: (\\d+)% never matched" in metrics.unmatched()["m"] and metrics.warnings() == ()


def test_a_long_line_is_searched_at_its_beginning() -> None:
    assert fed("x=(1)", b"x=1" + b"." * 10**7).summary()["m"]["count"] == 1
    assert fed("x=(1)", b"." * MAX_LINE + b"x=1").summary() == {}


def test_a_search_that_gives_up_ends_the_definition() -> None:
    asked = []

    def search(pattern: Pattern[str], text: str) -> Optional[re.Match[str]]:
        asked.append(text)
        raise TimeoutError

    metrics = compile_metrics([definition("a", "slow")], search)
    metrics.feed(b"one")
    metrics.feed(b"two")
    assert asked == ["one"] and metrics.unmatched() == {}
    assert "metric slow: its regular expression a took too long" in metrics.warnings()[0]


@pytest.mark.parametrize(
    "definitions",
    [
        [definition("(")],
        [definition("a{99999999999}")],
        [{"Name": "m"}],
        [{"Regex": "a"}],
        [definition("")],
        [{"Name": "m", "Regex": 3}],
        ["loss"],
        [definition("a"), definition("b")],
    ],
)
def test_wrong_definitions(definitions: Any) -> None:
    with pytest.raises(ConfigError, match=r"MetricDefinitions\[\d\]"):
        compile_metrics(definitions).summary()


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_any_bytes_can_be_fed(lines: list) -> None:
    metrics = fed(r"(.*)", *lines)
    assert metrics.summary().get("m", {"count": 0})["count"] <= len(lines)


def test_two_runs_of_one_job() -> None:
    first = {"a": {"count": 2, "last": 1.0, "min": 1.0, "max": 5.0}, "b": {"count": 1, "last": 0.0, "min": 0.0, "max": 0.0}}
    then = {"a": {"count": 1, "last": 7.0, "min": 7.0, "max": 7.0}, "c": {"count": 1, "last": 2.0, "min": 2.0, "max": 2.0}}
    both = merged(first, then)
    assert both["a"] == {"count": 3, "last": 7.0, "min": 1.0, "max": 7.0} and set(both) == {"a", "b", "c"}
