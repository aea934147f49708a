"""What a dry run says of the ranks' environment is what ranks have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import List

import pytest
from launching import command, environment, launch

from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}"),
]


@pytest.mark.parametrize("words", [["--distribution", "mpi"], ["--distribution", "none"], ["--hosts", "single"]])
def test_environment_of_the_first_rank(tmp_path: Path, words: List[str]) -> None:
    script = tmp_path / "t.py"
    script.write_text("import json, os\nprint('environment', json.dumps(dict(os.environ)))\n")
    options = ["--instance-count", "2", "--hp", "lr=0.1", "--env", "MINE=x y", "--job-name", "shown", *words]
    dry = subprocess.run(
        command([*options, "--dry-run", str(script)], tmp_path / "out"),
        env=environment(),
        cwd="/",
        stdout=subprocess.PIPE,
        check=True,
    )
    said = json.loads(dry.stdout)["environment"]
    done = launch(tmp_path / "out", *options, str(script))
    (line,) = [line for line in done.said_by(0) if line.startswith("environment ")]
    has = json.loads(line.partition(" ")[2])
    # A job has a session directory of its own, and takes another port where the usual one is taken.
    changing = {"HVDSM_SESSION", "MASTER_PORT"}
    assert {name: has.get(name) for name in said if name not in changing} == {
        name: value for name, value in said.items() if name not in changing
    }
    assert ("MASTER_ADDR" in said) == (words[1] != "none") and "HVDSM_JOB_TOKEN" not in {*said, *has}


def test_steps_and_roles_are_shown_wherever_the_plan_is(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "t.py").write_text("")
    for folder in (tmp_path, tmp_path / "src"):
        (folder / "plan.json").write_text('{"roles": [{"name": "server", "command": ["{python}", "serve.py"]}]}')
        words = ["--dry-run", "--source-dir", str(tmp_path / "src"), "--plan", str(folder / "plan.json"), "t.py"]
        done = subprocess.run(command(words, tmp_path / "out"), env=environment(), cwd="/", stdout=subprocess.PIPE, check=True)
        shown = json.loads(done.stdout)
        assert "beside the ranks on each host: a process server: {python} serve.py" in shown["notes"]
        named = json.loads(shown["request"]["HyperParameters"]["sagemaker_hvdsm_plan"])
        assert named == (
            "plan.json" if folder.name == "src" else {"roles": [{"command": ["{python}", "serve.py"], "name": "server"}]}
        )
