"""Hyperparameters from JSON and YAML files, and how they go together with others."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.errors import ConfigError
from hvdsm.settings import merge_hyperparameters, read_hyperparameters

SEED = {
    "data": "CIFAR10DataModule", "data.batch_size": 32, "optimizer": "Adam", "optimizer.lr": 0.001,
    "trainer.accelerator": "gpu", "trainer.devices": -1, "trainer.max_epochs": 5, "logger.name": "tutorial",
}  # fmt: skip


def trees(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """What JSON can express, with these texts."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
    )


# PyYAML writes 1e0 without quotes, a text by YAML 1.1: no text here looks like a number.
WORDS = st.text(st.characters(exclude_characters="-+.0123456789", exclude_categories=["Cs"]))


def read(text: str) -> Any:
    return read_hyperparameters("-", io.StringIO(text))


@given(st.dictionaries(st.text(min_size=1), trees(st.text())))
def test_json_is_read_as_it_is(values: Any) -> None:
    assert read(json.dumps(values)) == values


@given(st.dictionaries(WORDS.filter(bool), trees(WORDS), min_size=1))
def test_yaml_of_pyyaml_is_read_as_it_is(values: Any) -> None:
    # Block style begins with no brace.
    assert read(yaml.safe_dump(values, default_flow_style=False)) == values


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml", ".txt", ""])
def test_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"hp{suffix}"
    path.write_text(json.dumps(SEED))
    assert read_hyperparameters(str(path)) == SEED
    if suffix != ".json":
        path.write_text(yaml.safe_dump(SEED, sort_keys=False))
        assert list(read_hyperparameters(str(path)).items()) == list(SEED.items())


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "hp.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_hyperparameters(str(tmp_path / "hp.json")) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1.", 1.0), (".5", 0.5), ("+1", 1), ("-1", -1), ("1E5", 1e5), ("true", True), ("null", None),
        ("", None), ("on", "on"), ("no", "no"), ("2026-01-31", "2026-01-31"), ("12:30:00", "12:30:00"), ("012", "012"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"), ("'1'", "1"), ("a=b=c", "a=b=c"), ("[1, {a.b: 2}]", [1, {"a.b": 2}]), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_of_yaml_are_those_of_json(text: str, value: Any) -> None:
    found = read(f"x: {text}\n")["x"]
    assert (found, type(found)) == (value, type(value))


def test_merge_keys_of_yaml() -> None:
    assert read("a: &a {b: 1, c: 2}\nd:\n  <<: *a\n  b: 3\ne:\n  <<: *a\n")["d"] == {"b": 3, "c": 2}


def test_an_alias_may_be_used_twice() -> None:
    assert read("a: &a [1]\nb: *a\nc: [*a, *a]\n") == {"a": [1], "b": [1], "c": [[1], [1]]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"lr": 1, "lr": 2}', ["lr is given twice"]),
        ('{"a": {"b": 1, "b": 1}}', ["b is given twice"]),
        ("lr: 1\nepochs: 2\nlr: 2\n", [":3", "lr is given twice"]),
        ("a:\n  b: 1\n  b: 1\n", [":3", "b is given twice"]),
        ("1: 2\n", ["the name 1 is no text", "quotes"]),
        ("true: 2\n", ["the name true is no text"]),
        ("a: {1: 2}\n", ["the name 1 is no text"]),
        ("? [a, b]\n: 1\n", ["is no text"]),
        ("'': 2\n", ["empty"]),
        ("a: .nan\n", ["a: JSON cannot express nan"]),
        ("a: [1, -.inf]\n", ["JSON cannot express -inf"]),
        ('{"a": NaN}', ["NaN is no JSON"]),
        ('{"a": 1e999}', ["JSON cannot express inf"]),
        ('{"a": }', [":1", "is no JSON"]),
        ('{\n"a": 1\n"b": 2}', [":3", "is no JSON"]),
        ("a: [1\nb: 2\n", [":2", "is no YAML"]),
        ("a: 1\n---\nb: 1\n", ["is no YAML"]),
        ("a: !!python/object/apply:os.getcwd []\n", ["is no YAML"]),
        ("a: !!binary aGk=\n", ["JSON cannot express"]),
        ("a: &a [*a]\n", ["holds itself"]),
        ("- 1\n", ["must hold names and values"]),
        ("[1]", ["must hold names and values"]),
        ("", ["must hold names and values"]),
        ('{"a":' * 100_000, ["nested too deeply"]),
    ],
)
def test_what_is_refused(text: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert "standard input" in str(caught.value)
    for word in said:
        assert word in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, content in ((tmp_path / "none.json", None), (tmp_path / "latin.json", b'{"a": "\xe9"}')):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=str(path)):
            read_hyperparameters(str(path))


def test_flags_win_over_the_file_over_the_configuration_entry_by_entry() -> None:
    flags = {"trainer.accelerator": "cpu", "trainer.devices": 1, "note": "a=b"}
    assert merge_hyperparameters(SEED, {"optimizer.lr": 1, "seed": 7}, flags) == {**SEED, "seed": 7, **flags}


def test_a_file_that_the_configuration_names_yields_to_its_entries() -> None:
    assert merge_hyperparameters({"lr": 1, "a": 1}, {"lr": 2}, {"b": 3}, file_from_flag=False) == {"lr": 2, "a": 1, "b": 3}
    assert merge_hyperparameters({"lr": 1, "a": 1}, {"lr": 2}, {"b": 3}, file_from_flag=True) == {"lr": 1, "a": 1, "b": 3}


def test_a_name_with_dots_is_no_path() -> None:
    assert merge_hyperparameters({"data": {"batch_size": 1}}, {}, {"data.batch_size": 64}) == {
        "data": {"batch_size": 1},
        "data.batch_size": 64,
    }
