"""Jobs of two hosts by the Compose file that hvdsm makes, in the images of containers/: podman-compose, or docker's Compose."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Tuple

import pytest
from images_support import EXAMPLES, IMAGES, OWN_HOROVOD, REPOSITORY, SECONDS, Engine, tag

# What is the same for every image is tried in one, the smallest.
ONE = tag("own" if "own" in IMAGES else IMAGES[0])
WITH_HOROVOD = sorted(set(EXAMPLES) & set(IMAGES)) + (["own"] if "own" in IMAGES else [])
SECRET = "open-sesame"
PLAIN = """
import os, sys
print("rank", os.environ["RANK"], os.environ["SM_CURRENT_HOST"], os.uname().nodename, sys.argv[1:], flush=True)
assert os.environ["HF_TOKEN"] == "open-sesame"
with open(os.path.join(os.environ["SM_MODEL_DIR"], "rank-" + os.environ["RANK"]), "w") as file:
    file.write("x")
"""
FAILING = """
import os, sys, time
if os.environ["RANK"] == "1":
    sys.exit(7)
time.sleep(60)
"""


def horovod_image(name: str) -> str:
    """An image with Horovod: one's own has it when it is built on one that has."""
    return OWN_HOROVOD if name == "own" else tag(name)


def horovod_words(name: str, digits: Path) -> List[str]:
    """The training example for an image with Horovod."""
    script = REPOSITORY / "examples" / EXAMPLES.get(name, EXAMPLES["pytorch"]) / "train.py"
    return ["--channel", f"train={digits}", str(script), "--epochs", "4", "--check-replicas"]


def hvdsm(engine: Engine, *words: str) -> subprocess.CompletedProcess[str]:
    """Run hvdsm, as far as its engine goes in the surroundings of the tests."""
    command = [*engine.prefix, sys.executable, "-m", "hvdsm", *words]
    env = {**engine.environ, "PATH": beside(engine)}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)


def beside(engine: Engine) -> str:
    """PATH with the programs of this Python's environment, podman-compose among them."""
    return os.pathsep.join([os.path.dirname(sys.executable), engine.environ["PATH"]])


def run(engine: Engine, folder: Path, image: str, *words: str) -> Tuple[int, Any, str]:
    """Run a job of two hosts by `hvdsm launch`; its exit code, its outcome and what it says."""
    options = ["--backend", "docker", "--engine", engine.program, "--image", image, "--output", str(folder / "out"), "--json"]
    options += ["--job-name", f"job-{os.getpid()}", "--env", f"HF_TOKEN={SECRET}"]
    done = hvdsm(engine, "launch", *options, "--instance-count", "2", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def launch(engine: Engine, folder: Path, script: str, *words: str) -> Tuple[int, Any, str]:
    """Run a script whose path and arguments have spaces and quotes."""
    source = folder / "my $project's" / "train it.py"
    source.parent.mkdir()
    source.write_text(script)
    return run(engine, folder, ONE, *words, str(source), "a b", "$HOME")


def accuracy(said: str) -> float:
    """The accuracy that an example has come to."""
    found = re.search(r"[Tt]est accuracy: ([\d.]+)", said)
    assert found is not None, said
    return float(found.group(1))


@pytest.mark.parametrize("name", IMAGES)
def test_mpi_in_every_image(engine: Engine, name: str, tmp_path: Path) -> None:
    script = str(REPOSITORY / "examples" / "allreduce_mpi4py" / "train.py")
    code, outcome, said = run(engine, tmp_path, tag(name), "--processes-per-host", "2", script)
    assert (code, outcome.get("world_size"), outcome.get("ranks_per_host")) == (0, 4, {"algo-1": 2, "algo-2": 2}), said
    assert "all-reduce right: 4 sizes, 4 ranks, 2 hosts" in said


@pytest.mark.parametrize("name", WITH_HOROVOD)
def test_the_horovod_example_in_every_image(engine: Engine, name: str, digits: Path, tmp_path: Path) -> None:
    words = ["--processes-per-host", "2", *horovod_words(name, digits)]
    code, outcome, said = run(engine, tmp_path, horovod_image(name), *words)
    assert (code, outcome.get("world_size"), outcome.get("ranks_per_host")) == (0, 4, {"algo-1": 2, "algo-2": 2}), said
    assert "rank 3 of 4 on algo-2" in said
    assert accuracy(said) > 0.7, said
    assert list(Path(outcome["model_dir"]).iterdir())


@pytest.mark.parametrize("name", WITH_HOROVOD)
def test_the_file_by_hand_with_the_image_s_own_train(engine: Engine, name: str, digits: Path, tmp_path: Path) -> None:
    options = ["--engine", engine.program, "--image", horovod_image(name), "--output", str(tmp_path), "--instance-count", "2"]
    job = f"by-hand-{os.getpid()}"
    options += ["--job-name", job, "--container-program", "train"]
    written = hvdsm(engine, "compose", "job", *options, *horovod_words(name, digits))
    assert written.returncode == 0, written.stderr
    up, down = (line.split() for line in written.stdout.splitlines() if line.endswith((" up", " down")))
    assert str(tmp_path / job / "docker-compose.yaml") in up
    env = {**engine.environ, "PATH": beside(engine)}
    try:
        done = subprocess.run([*engine.prefix, *up], env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
        said = done.stdout + done.stderr
        states = engine.output("ps", "--all", "--filter", f"name={job}-algo", "--format", "{{.Names}} {{.Status}}")
    finally:
        subprocess.run([*engine.prefix, *down], env=env, capture_output=True, timeout=SECONDS, check=True)
    assert sorted(re.findall(r"algo-\d Exited \(\d+\)", states)) == ["algo-1 Exited (0)", "algo-2 Exited (0)"], said
    assert "rank 1 of 2 on algo-2" in said
    assert accuracy(said) > 0.7, said


def test_two_hosts_and_a_secret(engine: Engine, tmp_path: Path) -> None:
    code, outcome, said = launch(engine, tmp_path, PLAIN, "--processes-per-host", "2")
    assert (code, outcome.get("world_size"), outcome.get("ranks_per_host")) == (0, 4, {"algo-1": 2, "algo-2": 2}), said
    assert all(f"rank {n} algo-{n // 2 + 1} algo-{n // 2 + 1} ['a b', '$HOME']\n" in said for n in range(4)), said
    directory = tmp_path / "out" / f"job-{os.getpid()}"
    assert sorted(path.name for path in (directory / "model").iterdir()) == [f"rank-{rank}" for rank in range(4)]
    assert not [path for path in directory.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not (directory / ".hosts").exists()


def test_the_failing_ranks_exit_code(engine: Engine, tmp_path: Path) -> None:
    code, outcome, said = launch(engine, tmp_path, FAILING)
    assert (code, outcome["status"], outcome["failure"]["host"], outcome["failure"]["rank"]) == (7, "Failed", "algo-2", 1), said


def test_time_limit(engine: Engine, tmp_path: Path) -> None:
    code, outcome, said = launch(engine, tmp_path, "import time\ntime.sleep(60)", "--max-run", "4", "--stop-grace", "1")
    assert (code, outcome["status"]) == (75, "Stopped"), said


def test_a_network_of_its_own(engine: Engine, tmp_path: Path) -> None:
    code, outcome, said = launch(engine, tmp_path, PLAIN, "--network-isolation")
    assert (code, outcome.get("world_size")) == (0, 2), said


def test_the_tests_compose_by_the_engine_s_own_program(engine: Engine) -> None:
    if engine.program == "podman":
        assert shutil.which("podman-compose", path=beside(engine)), "podman-compose is not there: run `make test-images`"
