"""Records and errors: what is written is read back; each error has its exit code and its three parts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm import errors
from hvdsm.model import Cluster, JobOutcome, MpiImplementation, RankFailure


@given(st.text(), st.text(), st.one_of(st.none(), st.integers(0, 1000)), st.floats(0, 1e9), st.lists(st.text(), max_size=3))
def test_an_outcome_is_read_back(name: str, message: str, rank: object, seconds: float, warnings: list) -> None:
    failure = RankFailure("exception", message, 1, "a", rank, 0, "E", message, output_tail=message, time=seconds)  # type: ignore[arg-type]
    outcome = JobOutcome(name, "Failed", 1, 4, {"a": 2}, failure, {"ranks": 0.1}, seconds, tuple(warnings), "/o", None)
    assert JobOutcome.from_dict(json.loads(outcome.to_json())) == outcome


def test_fields_of_a_later_version_are_ignored() -> None:
    record = {"job_name": "j", "status": "Completed", "exit_code": 0, "later": 1, "failure": None}
    assert JobOutcome.from_dict(record) == JobOutcome("j", "Completed", 0)
    assert JobOutcome.from_dict(record).ok


def test_a_missing_field_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        JobOutcome.from_dict({"job_name": "j"})


def test_who_failed() -> None:
    assert RankFailure("exit", "", 1, "algo-2", 3, 1).who == "rank 3 (algo-2, local rank 1)"
    assert RankFailure("launch", "", 1, "algo-2").who == "algo-2"
    assert RankFailure("launch", "", 1).who == "the job"


def test_the_place_of_a_host() -> None:
    cluster = Cluster(("a", "b"), "b")
    assert (cluster.launcher, cluster.is_launcher, cluster.node_rank) == ("a", False, 1)


@pytest.mark.parametrize(("version", "daemon"), [((4, 1, 8), "orted"), ((5, 0, 11), "prted"), ((6,), "prted")])
def test_the_daemon(version: tuple, daemon: str) -> None:
    assert MpiImplementation("/m", version).daemon == daemon


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.HvdsmError, 1),
        (errors.HostLost, 1),
        (errors.UsageError, 2),
        (errors.BackendUnavailable, 69),
        (errors.NamespacesUnavailable, 69),
        (errors.JobTimeout, 75),
        (errors.ConfigError, 78),
        (errors.MpiError, 78),
        (errors.SshError, 78),
    ],
)
def test_exit_codes_and_text(error: type, code: int) -> None:
    assert error.exit_code == code
    assert str(error("what", where="where", remedy="next")) == "where: what\n  try: next"
    assert str(error("what")) == "what"
