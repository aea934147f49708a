"""Checkpoints that persist between runs, and the rehearsal of an interruption: hosts taken away, the job launched anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from launching import Launched, command, environment, finished, launch

from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}"),
]
TWO = ("--instance-count", "2", "--processes-per-host", "1")
# Where /opt/ml is, also without namespaces.
BEGIN = """
import os, signal, sys, time
base = os.path.dirname(os.environ["SM_MODEL_DIR"])
place, rank = os.path.join(base, "checkpoints"), os.environ["RANK"]
own = os.path.join(place, rank)
step = int(open(own).read()) if os.path.exists(own) else 0
print("begins at", step, "of", sorted(os.listdir(place)), flush=True)

def save(number):
    with open(own + ".new", "w") as file:
        file.write(str(number))
    os.replace(own + ".new", own)
"""
ENDLESS_AT_FIRST = (
    BEGIN
    + """
open(os.environ["SM_MODEL_DIR"] + "/of-this-run", "x").close()
open("/tmp/of-this-run-" + rank, "x").close()
if step == 0:
    signal.signal(signal.SIGTERM, lambda *_: (save(7), print("saved", flush=True), sys.exit(0)))
    print("works", flush=True)
    while True:
        time.sleep(600)
"""
)


def ran(tmp_path: Path, program: str, *words: str) -> Launched:
    (tmp_path / "t.py").write_text(program)
    return launch(tmp_path / "out", *TWO, *words, str(tmp_path / "t.py"))


@pytest.mark.parametrize("hosts", ["namespaces", "single"])
def test_checkpoints_of_a_failed_job_are_there_for_the_next(tmp_path: Path, hosts: str) -> None:
    words = ("--hosts", hosts, "--checkpoint", str(tmp_path / "ck" / "mine"))
    first = ran(tmp_path, BEGIN + "save(5)\nif rank == '1':\n    sys.exit(7)\n", *words)
    assert first.code == 7 and (tmp_path / "ck" / "mine" / "1").read_text() == "5"
    again = ran(tmp_path, BEGIN + "save(step + 1)\n", *words)
    assert again.code == 0, again.output.decode()
    assert again.said_by(1)[0].startswith("begins at 5 ")
    assert (tmp_path / "ck" / "mine" / "1").read_text() == "6"
    assert not (again.results / "checkpoints").exists()


def test_an_interruption_and_the_run_after_it(tmp_path: Path) -> None:
    done = ran(tmp_path, ENDLESS_AT_FIRST, "--checkpoint", str(tmp_path / "ck"), "--interrupt-after", "2")
    assert done.code == 0, done.output.decode()
    assert (done.outcome["status"], done.outcome["interruptions"], done.outcome["restarts"]) == ("Completed", 1, 0)
    assert done.outcome["phases"]["interrupted"] < done.outcome["phases"]["hosts up"] < done.outcome["phases"]["ranks running"]
    for rank in (0, 1):
        said = [line for line in done.said_by(rank) if line.startswith(("begins", "saved"))]
        assert (said[0][:12], said[1], said[2][:12]) == ("begins at 0 ", "saved", "begins at 7 ")
    assert "saved" in (done.results / "logs-interrupted" / "algo-2.log").read_text()
    second = (done.results / "logs" / "algo-2.log").read_text()
    assert "begins at 7" in second and "saved" not in second
    # The hosts were new ones: what the first run had left in /opt/ml and /tmp was in nobody's way.
    assert os.listdir(done.results / "model") == ["of-this-run"]
    assert json.loads((done.results / "outcome.json").read_text())["interruptions"] == 1


def test_ranks_that_do_not_heed_an_interruption_are_killed_after_the_grace(tmp_path: Path) -> None:
    program = BEGIN + "if step == 0:\n    save(3)\n    signal.signal(15, signal.SIG_IGN)\n    time.sleep(600)\n"
    words = ("--checkpoint", str(tmp_path / "ck"), "--interrupt-after", "2", "--stop-grace", "1")
    done = ran(tmp_path, program, *words)
    assert done.code == 0 and done.outcome["interruptions"] == 1, done.output.decode()
    assert any("1 s to end" in line for line in done.lines)
    assert any(line.startswith("begins at 3") for line in done.said_by(0))


def test_the_second_runs_failure_is_the_jobs(tmp_path: Path) -> None:
    program = ENDLESS_AT_FIRST + "if step == 7 and rank == '1':\n    raise ValueError('after the interruption')\n"
    done = ran(tmp_path, program, "--checkpoint", str(tmp_path / "ck"), "--interrupt-after", "2")
    assert (done.code, done.outcome["status"], done.outcome["interruptions"]) == (1, "Failed", 1)
    assert "after the interruption" in done.failure and not (done.results / "model").exists()


def test_without_checkpoints_the_script_starts_from_nothing(tmp_path: Path) -> None:
    program = (
        "import os, time\nprint('begins', os.listdir('/opt/ml/checkpoints'), flush=True)\n"
        "open('/opt/ml/checkpoints/x', 'w').close()\n"
        "if not os.path.exists('/opt/ml/input/data/told/second'):\n    time.sleep(600)\n"
    )
    # What tells the runs apart is a channel, which the test fills when the first run works.
    (tmp_path / "told").mkdir()
    (tmp_path / "told" / "first").write_text("")
    (tmp_path / "t.py").write_text(program)
    words = [*TWO, "--channel", f"told={tmp_path / 'told'}", "--interrupt-after", "2", str(tmp_path / "t.py")]
    process = subprocess.Popen(
        command(words, tmp_path / "out"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdout is not None and process.stderr is not None
    seen = b""
    while data := process.stderr.read(65536):
        seen += data
        if seen.count(b"] begins []\n") == 2:
            (tmp_path / "told" / "second").write_text("")
    done = finished(process.wait(60), process.stdout.read(), seen, tmp_path / "out")
    process.stdout.close()
    process.stderr.close()
    assert done.code == 0 and seen.count(b"] begins []\n") == 4, seen.decode()
    assert any("starts from nothing" in text for text in done.outcome["warnings"])


def test_a_job_that_ends_before_its_interruption(tmp_path: Path) -> None:
    done = ran(tmp_path, BEGIN, "--hosts", "single", "--checkpoint", str(tmp_path / "ck"), "--interrupt-after", "600")
    assert (done.code, done.outcome["interruptions"]) == (0, 0)
    assert any("never interrupted" in text for text in done.outcome["warnings"])
    assert not (done.results / "logs-interrupted").exists()


def test_a_request_with_its_own_place_for_checkpoints(tmp_path: Path) -> None:
    script = tmp_path / "t.py"
    script.write_text("import os\nopen('/data/ck/' + os.environ['RANK'], 'w').write('x')\n")
    request = {
        "TrainingJobName": "own-place",
        "HyperParameters": {
            "sagemaker_program": '"t.py"',
            "sagemaker_submit_directory": json.dumps(f"file://{script}"),
            "sagemaker_mpi_enabled": "true",
        },
        "ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.large"},
        "CheckpointConfig": {"S3Uri": "s3://bucket/some/prefix", "LocalPath": "/data/ck"},
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    (tmp_path / "s3").mkdir()
    done = launch(tmp_path / "out", "--request", str(tmp_path / "request.json"), "--s3-root", str(tmp_path / "s3"))
    assert done.code == 0, done.output.decode()
    assert sorted(os.listdir(tmp_path / "s3" / "bucket" / "some" / "prefix")) == ["0", "1"]


def test_a_stopped_job_keeps_model_and_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "t.py").write_text(
        BEGIN + "signal.signal(15, lambda *_: (save(9), open(os.environ['SM_MODEL_DIR'] + '/m', 'w').close(), sys.exit(0)))\n"
        "print('ready', flush=True)\ntime.sleep(600)\n"
    )
    words = [*TWO, "--checkpoint", str(tmp_path / "ck"), "--interrupt-after", "600", str(tmp_path / "t.py")]
    process = subprocess.Popen(
        command(words, tmp_path / "out"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdout is not None and process.stderr is not None
    seen = b""
    sent = False
    while data := process.stderr.read(65536):
        seen += data
        if not sent and seen.count(b"] ready\n") == 2:
            sent = True
            process.send_signal(signal.SIGINT)
    done = finished(process.wait(60), process.stdout.read(), seen, tmp_path / "out")
    process.stdout.close()
    process.stderr.close()
    assert (done.code, done.outcome["status"], done.outcome["interruptions"]) == (130, "Stopped", 0), seen.decode()
    assert os.listdir(done.results / "model") == ["m"] and (tmp_path / "ck" / "1").read_text() == "9"
    # One grace is named, by the program that keeps to it.
    assert seen.count(b" 10 s") == 1 and b" 5 s" not in seen
