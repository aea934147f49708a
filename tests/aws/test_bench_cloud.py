"""``hvdsm bench network --backend sagemaker``: a job measures, and its results come back; on emulated hosts behind a sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Tuple

import pytest
from cloud_launching import BASE, hvdsm_command

from hvdsm.bench.record import from_json, read
from hvdsm.sandbox import Fault, Sandbox

pytestmark = pytest.mark.cluster
WORDS = ("bench", "network", *BASE, "--sizes", "8,4K", "--seconds", "0.01", "--engines", "mpi")


def test_a_job_in_sagemaker_measures(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    done = hvdsm_command(emulated_sandbox, tmp_path, *WORDS, "--job-name", "net", "--label", "before", "--subnet", "subnet-1a",
                         "--security-group", "sg-1a")  # fmt: skip
    assert done.code == 0, done.text
    run = read(str(tmp_path / "hvdsm-out" / "net" / "network.json"))
    assert run.backend == "sagemaker" and run.label == "before" and run.instance_type == "ml.c5.xlarge"
    assert run.region == emulated_sandbox.region and run.placement == {"subnets": ["subnet-1a"]}
    assert [(pair.a, pair.b) for pair in run.pairs] == [("algo-1", "algo-2")]
    assert (tmp_path / "hvdsm-out" / "net" / "network.html").exists()
    # The parts of the results in the log are for hvdsm, not for people.
    assert "hvdsm-bench-result" not in done.text and "latency, one way: " in done.text


def test_results_of_a_job_that_was_left_are_fetched_later(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    done = hvdsm_command(emulated_sandbox, tmp_path, *WORDS, "--job-name", "later", "--no-wait", "--label", "a b")
    assert done.code == 0
    assert "hvdsm bench network --backend sagemaker --region us-east-1 --job later --label 'a b'" in done.text
    # The back end need not be named again.
    fetching = ("bench", "network", "--job", "later", "--json")
    assert hvdsm_command(emulated_sandbox, tmp_path, "jobs", "wait", "later").code == 0
    fetched = hvdsm_command(emulated_sandbox, tmp_path, *fetching)
    assert fetched.code == 0, fetched.text
    first = from_json(json.loads(fetched.text[fetched.text.index("{") : fetched.text.rindex("}") + 1]))
    assert (first.backend, first.region) == ("sagemaker", "us-east-1")
    # Where the output in S3 may not be read, the log has the same.
    emulated_sandbox.faults.add(Fault("HeadObject", times=None, service="s3", error="AccessDenied", status=403))
    emulated_sandbox.faults.add(Fault("GetObject", times=None, service="s3", error="AccessDenied", status=403))
    again = hvdsm_command(emulated_sandbox, tmp_path, *fetching)
    assert again.code == 0, again.text
    assert "its log is read instead" in again.text
    assert from_json(json.loads(again.text[again.text.index("{\n") : again.text.rindex("}") + 1])).pairs == first.pairs


def test_a_job_that_has_measured_nothing_is_no_result(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    done = hvdsm_command(emulated_sandbox, tmp_path, *WORDS, "--job-name", "none", "--custom-mpi-options", "--no-such-option")
    assert done.code != 0
    assert done.text.count("none failed after") == 1
    again = hvdsm_command(emulated_sandbox, tmp_path, "bench", "network", "--job", "none", "--json", "--output", "other")
    assert '"error": "job none: there are no results: ' in again.text and 'no results: "' not in again.text
    assert not (tmp_path / "hvdsm-out" / "none" / "network.json").exists()


@pytest.mark.parametrize("words", [("--delay-ms", "5"), ("--mbit", "100"), ("--slow-host", "algo-1:mbit=5")])
def test_only_emulated_hosts_can_be_slowed(emulated_sandbox: Sandbox, tmp_path: Path, words: Tuple[str, str]) -> None:
    done = hvdsm_command(emulated_sandbox, tmp_path, *WORDS, *words, "--dry-run")
    assert done.code == 2 and f"{words[0]}: only a network of emulated hosts can be slowed" in done.text


def test_a_job_that_is_nowhere_is_said_to_be_nowhere(emulated_sandbox: Sandbox, tmp_path: Path) -> None:
    done = hvdsm_command(emulated_sandbox, tmp_path, "bench", "network", "--job", "nowhere")
    assert done.code == 78 and "job nowhere: there is no such job in SageMaker, us-east-1" in done.text
