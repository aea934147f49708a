"""The parameter server: what it trains on two hosts is what one process computes, to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

import hvdsm
from hvdsm.compose.plan import parse_plan

pytestmark = pytest.mark.examples

EXAMPLE = Path(hvdsm.__file__).resolve().parent.parent / "examples" / "parameter_server"
TEXTS, BATCH, RATE, WORLD = 4000, 50, 60.0, 4
# The same arithmetic in one process: every worker's gradients of a step, in the order of ranks.
REFERENCE = f"""
import json
import serve, worker
store = serve.Store()
texts = worker.make_texts({TEXTS}, seed=2)
streams = [worker.batches(texts[rank::{WORLD}], {BATCH}, 1) for rank in range({WORLD})]
for step, batches in enumerate(zip(*streams)):
    found = []
    for batch in batches:
        keys = sorted({{word for words, _ in batch for word in words}})
        found.append(worker.gradient(batch, dict(zip(keys, store.pull(step, keys))))[0])
    for rank, gradients in enumerate(found):
        store.push(rank, {RATE}, {{str(key): value for key, value in gradients.items()}})
print(json.dumps([store.weights.get(word, 0.0) for word in range(worker.WORDS)]))
"""


def launch(output: Path, *words: str) -> Dict[str, Any]:
    command = [sys.executable, "-m", "hvdsm", "launch", "--json", "--output", str(output), "--instance-count", "2"]
    more = ["--processes-per-host", "2", "--source-dir", str(EXAMPLE), "--plan", str(EXAMPLE / "plan.json"), *words]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parent.parent)}
    done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=240)
    outcome: Dict[str, Any] = json.loads(done.stdout)
    return {**outcome, "log": done.stderr, "code": done.returncode}


def test_two_hosts_train_what_one_process_does(tmp_path: Path) -> None:
    run = launch(tmp_path, "worker.py", "--texts", str(TEXTS), "--batch-size", str(BATCH), "--epochs", "1")
    log = run["log"]
    assert run["code"] == 0 and not any("had not ended" in warning for warning in run["warnings"]), log
    for line in (
        "[scheduler,algo-1] 4 workers and 2 servers know each other",
        "[server,algo-1] 1500 weights after 20 steps",
        "[server,algo-2] 1500 weights after 20 steps",
        "[scheduler,algo-1] all have ended",
    ):
        assert line in log, log
    found: List[float] = json.loads((Path(run["model_dir"]) / "weights.json").read_text())
    variables = {"DMLC_NUM_WORKER": str(WORLD), "DMLC_NUM_SERVER": "2", "DMLC_PS_ROOT_URI": "", "DMLC_PS_ROOT_PORT": "1"}
    command = [sys.executable, "-c", REFERENCE]
    reference = subprocess.run(command, cwd=EXAMPLE, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    assert found == json.loads(reference.stdout)
    assert len([weight for weight in found if weight]) == 3000


def test_it_learns(tmp_path: Path) -> None:
    run = launch(tmp_path, "worker.py")
    assert run["code"] == 0, run["log"]
    (line,) = [line for line in run["log"].splitlines() if "test accuracy" in line]
    assert float(line.split()[-1]) > 0.9
    losses = [float(line.split()[-1]) for line in run["log"].splitlines() if " loss " in line]
    assert len(losses) == 3 and losses == sorted(losses, reverse=True)


def test_its_plan_is_one_and_its_readme_names_every_option() -> None:
    plan = parse_plan(json.loads((EXAMPLE / "plan.json").read_text()))
    assert [role.name for role in plan.roles] == ["scheduler", "server"]
    readme = (EXAMPLE / "README.md").read_text()
    done = subprocess.run([sys.executable, "-I", "-c", HELP], cwd=EXAMPLE, capture_output=True, text=True, check=True)
    options = {word for word in done.stdout.replace("[", " ").split() if word.startswith("--")} - {"--help"}
    assert options and [option for option in options if f"`{option} " not in readme] == []


HELP = "import sys; sys.path.insert(0, '.'); sys.argv = ['worker.py', '--help']; import worker; worker.main()"
