"""MetricDefinitions of a request, found in the output of jobs on emulated hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from launching import Launched, launch
from request_data import make_s3, request_file

from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}"),
]
SCRIPT = """
import os
for step in range(4):
    print(f"step {step} loss={4 - step}.5 of rank {os.environ['RANK']}", flush=True)
print("x" * 5000 + "!", flush=True)
print("rate: fast", flush=True)
"""


def ran(tmp_path: Path, name: str, definitions: List[Dict[str, str]], *words: str, **content: str) -> Launched:
    def with_metrics(request: Dict[str, Any]) -> None:
        request["AlgorithmSpecification"]["MetricDefinitions"] = definitions

    root = make_s3(tmp_path, **content)
    path = request_file(tmp_path, name, with_metrics)
    return launch(tmp_path / "out", "--request", str(path), "--s3-root", str(root), *words)


def metric(name: str, regex: str) -> Dict[str, str]:
    return {"Name": name, "Regex": regex}


@pytest.mark.parametrize("hosts", ["namespaces", "single"])
def test_values_of_all_ranks_once_each(tmp_path: Path, hosts: str) -> None:
    definitions = [
        metric("loss", r"loss=([0-9.]+)"),
        metric("last rank", r"loss=([0-9.]+) of rank 3"),
        metric("never", r"accuracy: (\d+)%"),
        metric("no number", r"rate: (\w+)"),
        metric("for ever", r"(x+x+)+y"),
    ]
    done = ran(tmp_path, "pytorch-mpi", definitions, "--hosts", hosts, train=SCRIPT)
    assert done.code == 0, done.output
    assert done.outcome["metrics"] == {
        "loss": {"count": 16, "last": done.outcome["metrics"]["loss"]["last"], "min": 1.5, "max": 4.5},
        "last rank": {"count": 4, "last": 1.5, "min": 1.5, "max": 4.5},
    }
    assert json.loads((done.results / "outcome.json").read_text())["metrics"] == done.outcome["metrics"]
    said = {name: [text for text in done.outcome["warnings"] if f"metric {name}: " in text] for name in ("never", "no number")}
    assert [len(texts) for texts in said.values()] == [1, 1]
    assert r"accuracy: (\d+)% never matched" in said["never"][0] and "'fast'" in said["no number"][0]
    assert any("metric for ever: " in text and "took too long" in text for text in done.outcome["warnings"])


def test_values_of_programs_of_ones_own_on_every_host(tmp_path: Path) -> None:
    own = "import json; print('value', json.load(open('/opt/ml/input/config/resourceconfig.json'))['current_host'][-1])"
    done = ran(tmp_path, "estimator-entrypoint", [metric("value", r"^value (\d)$")], own=own)
    assert (done.outcome["metrics"]["value"]["count"], done.outcome["metrics"]["value"]["max"]) == (2, 2.0), done.output


def test_a_failed_job_has_its_values_and_no_warning_of_others(tmp_path: Path) -> None:
    definitions = [metric("loss", r"loss=([0-9.]+)"), metric("never", "accuracy")]
    done = ran(tmp_path, "pytorch-plain", definitions, train="print('loss=3', flush=True)\nraise SystemExit(4)")
    assert (done.code, done.outcome["metrics"]["loss"]["last"]) == (4, 3.0)
    assert not any("metric" in text for text in done.outcome["warnings"])


def test_a_definition_that_is_no_expression_is_refused(tmp_path: Path) -> None:
    done = ran(tmp_path, "pytorch-plain", [metric("loss", "loss=([0-9.]+")])
    text = json.dumps(done.outcome) + done.output.decode()
    assert done.code == 78 and "loss=([0-9.]+ is not valid" in text and not (tmp_path / "out").exists()
