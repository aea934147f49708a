"""The directory of checkpoints: which ones are taken, and what is staged for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict

import pytest

from hvdsm.backends.local.checkpoint import Checkpoint, checkpoint_of, make_directory
from hvdsm.backends.local.machine import Machine
from hvdsm.backends.local.options import LocalOptions
from hvdsm.backends.local.plan import LocalPlan, make_plan
from hvdsm.backends.local.result import collect
from hvdsm.backends.local.stage import lay_out, prepare
from hvdsm.compose.request import LaunchOptions, build_request, file_uri
from hvdsm.emulator import Availability
from hvdsm.errors import ConfigError, UsageError

HOSTS = Availability(ok=True, reason="", remedy="")


def config(uri: str, path: str = "") -> Dict[str, Any]:
    return {"CheckpointConfig": {"S3Uri": uri, **({"LocalPath": path} if path else {})}}


def test_where_checkpoints_are(tmp_path: Path) -> None:
    job = str(tmp_path / "out" / "job")
    here = file_uri(str(tmp_path / "a b"))
    assert checkpoint_of({}, None, job) is None
    assert checkpoint_of(config("s3://bucket/x"), None, job) is None
    assert checkpoint_of(config(here), None, job) == Checkpoint(str(tmp_path / "a b"), "/opt/ml/checkpoints")
    found = checkpoint_of(config("s3://bucket/x/y", "/opt/ml/mine/"), str(tmp_path), job)
    assert found == Checkpoint(str(tmp_path / "bucket/x/y"), "/opt/ml/mine") and found.below_base == "mine"
    assert Checkpoint("/x", "/data/ckpt").below_base is None


def test_places_that_cannot_be_meant(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    job = str(tmp_path / "out" / "job")
    for path, said in (
        ("file", "is not a directory"),
        ("file/below", "is not a directory"),
        ("out", "results"),
        ("out/job/checkpoints", "results"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            checkpoint_of(config(file_uri(str(tmp_path / path))), None, job)
        assert str(tmp_path / path) in str(caught.value) and "--checkpoint" in str(caught.value)
    with pytest.raises(ConfigError, match="leads out"):
        checkpoint_of(config("s3://b/../../x"), str(tmp_path), job)


@pytest.mark.parametrize(
    "path", ["/", "/opt/ml", "/opt", "/opt/ml/code/x", "/opt/ml/input/data/train", "/usr", "/dev/shm", "//opt/ml"]
)
def test_paths_that_the_job_needs_itself(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match="LocalPath"):
        checkpoint_of(config(file_uri(str(tmp_path)), path), None, "/nowhere/job")


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    made = Checkpoint(str(tmp_path / "a" / "b"))
    make_directory(made)
    make_directory(made)
    assert made.count() == 0 and os.path.isdir(made.directory)
    (tmp_path / "f").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        make_directory(Checkpoint(str(tmp_path / "f" / "b")))


def plan(tmp_path: Path, hosts: str, **options: Any) -> LocalPlan:
    script = tmp_path / "src" / "t.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text("")
    request = build_request(
        LaunchOptions(
            "t.py", file_uri(str(script.parent)), job_name="job", instance_count=2, checkpoint=file_uri(str(script.parent / "ck"))
        )
    )
    machine = Machine(4, (), "/usr/bin/mpirun", HOSTS)
    return make_plan(request, LocalOptions(output=str(tmp_path / "out"), hosts=hosts, **options), machine)


def test_all_hosts_share_it_and_the_source_leaves_it_out(tmp_path: Path) -> None:
    folder = tmp_path / "src" / "ck"
    folder.mkdir(parents=True)
    (folder / "old").write_text("1")
    made = plan(tmp_path, "auto")
    stage = prepare(made, lambda _: None, {})
    (shared,) = [mount for mount in stage.mounts if mount.target == "/opt/ml/checkpoints"]
    assert (shared.source, shared.host, shared.writable) == (str(folder), None, True)
    assert os.listdir(stage.source) == ["t.py"]
    assert any("(1 file)" in note and "/opt/ml/checkpoints" in note for note in made.notes)


def test_on_one_host_it_is_a_link_that_survives_the_job(tmp_path: Path) -> None:
    made = plan(tmp_path, "single")
    stage = prepare(made, lambda _: None, {})
    (Path(stage.bases["algo-1"]) / "checkpoints" / "step").write_text("7")
    (Path(stage.bases["algo-1"]) / "model" / "m").write_text("old host")
    stage = lay_out(made, stage)
    assert (Path(stage.bases["algo-1"]) / "checkpoints" / "step").read_text() == "7"
    assert os.listdir(os.path.join(stage.bases["algo-1"], "model")) == []
    collect(made, stage, [Ended("algo-1")], interruptions=1, warnings=["w"])  # type: ignore[list-item]
    assert (tmp_path / "src" / "ck" / "step").read_text() == "7"
    assert not (tmp_path / "out" / "job" / "checkpoints").exists()


class Ended:
    """A host's program that has ended."""

    exit_code = 0

    def __init__(self, name: str) -> None:
        self.name = name


def test_the_grace_of_a_stop(tmp_path: Path) -> None:
    assert plan(tmp_path, "auto").stop_grace == 10
    assert plan(tmp_path, "auto", stop_grace=0.5).stop_grace == 0.5
    for number in (-1, float("inf")):
        with pytest.raises(UsageError, match="stop grace"):
            plan(tmp_path, "auto", stop_grace=number)
    request = {**plan(tmp_path, "auto").request, "Environment": {"HVDSM_STOP_GRACE": "30"}}
    machine = Machine(4, (), None, HOSTS)
    assert make_plan(request, LocalOptions(output=str(tmp_path / "out")), machine).stop_grace == 30


def test_interruption_needs_a_time_and_should_have_checkpoints(tmp_path: Path) -> None:
    assert plan(tmp_path, "auto", interrupt_after=1).warnings == ()
    for number in (0, -1, float("nan")):
        with pytest.raises(UsageError, match="interrupt after"):
            plan(tmp_path, "auto", interrupt_after=number)
    bare = {key: value for key, value in plan(tmp_path, "auto").request.items() if key != "CheckpointConfig"}
    options = LocalOptions(output=str(tmp_path / "out"), interrupt_after=1)
    (warning,) = make_plan(bare, options, Machine(4, (), None, HOSTS)).warnings
    assert "starts from nothing" in warning
