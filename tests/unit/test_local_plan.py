"""From a request and facts about the machine to a plan, and what is staged for it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hvdsm.api import data_uri, locate_script, make_request
from hvdsm.backends.local.machine import Machine, base_environment, find_mpirun, importable
from hvdsm.backends.local.options import LocalOptions
from hvdsm.backends.local.plan import LocalPlan, make_plan
from hvdsm.backends.local.result import collect
from hvdsm.backends.local.stage import prepare, remove_tree
from hvdsm.compose.mask import MASK
from hvdsm.emulator import Availability
from hvdsm.errors import ConfigError, NamespacesUnavailable, UsageError
from hvdsm.model import JobOutcome, RankFailure

MACHINE = Machine(4, (), "/usr/bin/mpirun", Availability(ok=True, reason="", remedy=""))
NO_NAMESPACES = replace(MACHINE, availability=Availability(ok=False, reason="refused by seccomp", remedy="allow unshare"))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "my project" / "train it.py"
    path.parent.mkdir()
    path.write_text("print('hello')\n")
    return path


def request(script: Path, **options: Any) -> dict:
    return make_request(
        str(script), **{"channels": {}, "env": {}, "job_name": "job", "output": str(script.parent / "out"), **options}
    )


def plan(script: Path, machine: Machine = MACHINE, hosts: str = "auto", **options: Any) -> LocalPlan:
    return make_plan(request(script, **options), LocalOptions(output=str(script.parent / "out"), hosts=hosts), machine)


def test_plan_of_a_script(script: Path) -> None:
    made = plan(script, instance_count=2, processes_per_host=2)
    assert (made.job_name, made.hosts, made.processes, made.single) == ("job", ("algo-1", "algo-2"), 2, False)
    assert made.program == "train it.py" and made.source.files == (("train it.py", str(script)),)
    assert made.warnings == () and made.notes == ()


def test_more_processes_than_cores_is_a_warning(script: Path) -> None:
    (warning,) = plan(script, instance_count=3, processes_per_host=2).warnings
    assert "6 processes share 4 cores" in warning


def test_without_namespaces_one_host_has_all_slots(script: Path) -> None:
    made = plan(script, NO_NAMESPACES, instance_count=3, processes_per_host=2)
    assert (made.single, made.hosts, made.processes) == (True, ("algo-1",), 6)
    (note,) = made.notes
    assert "refused by seccomp" in note and "allow unshare" in note and "does not prove" in note


def test_the_launcher_is_the_first_host_of_the_distribution(script: Path) -> None:
    made = request(script)
    groups = [("data", 1), ("train", 2)]
    made["ResourceConfig"] = {
        "InstanceGroups": [
            {"InstanceGroupName": name, "InstanceType": "ml.m5.large", "InstanceCount": count} for name, count in groups
        ]
    }
    options = LocalOptions(output=str(script.parent / "out"))
    assert make_plan(made, options, MACHINE).launcher == "algo-1"
    made["HyperParameters"]["sagemaker_distribution_instance_groups"] = '["train"]'
    assert make_plan(made, options, MACHINE).launcher == "algo-2"
    alone = make_plan(made, replace(options, hosts="single"), MACHINE)
    assert (alone.hosts, alone.launcher, alone.processes) == (("algo-2",), "algo-2", 2)


def test_demanded_namespaces(script: Path) -> None:
    with pytest.raises(NamespacesUnavailable, match="refused by seccomp") as caught:
        plan(script, NO_NAMESPACES, "namespaces")
    assert caught.value.exit_code == 69 and caught.value.remedy == "allow unshare"


def test_gpus_are_divided(script: Path) -> None:
    machine = replace(MACHINE, gpus=("0", "1", "2", "3"))
    assert plan(script, machine, instance_count=2, processes_per_host=2).gpus == (("0", "1"), ("2", "3"))
    with pytest.raises(ConfigError, match="4 GPUs: each host gets 2"):
        plan(script, machine, instance_count=2, processes_per_host=3)
    single = plan(script, replace(machine, availability=NO_NAMESPACES.availability), instance_count=2)
    assert (single.processes, single.gpus) == (4, (("0", "1", "2", "3"),))


def test_results_of_an_earlier_job_are_kept(script: Path) -> None:
    (script.parent / "out" / "job").mkdir(parents=True)
    with pytest.raises(ConfigError, match="earlier job") as caught:
        plan(script)
    assert "--job-name" in (caught.value.remedy or "")


def test_masked_values_must_be_given_anew(script: Path) -> None:
    with pytest.raises(ConfigError, match=r"Environment\.HF_TOKEN") as caught:
        plan(script, env={"HF_TOKEN": MASK})
    assert "--env HF_TOKEN=" in (caught.value.remedy or "")


@pytest.mark.parametrize("missing", ["sagemaker_submit_directory", "sagemaker_program"])
def test_a_request_without_script(script: Path, missing: str) -> None:
    made = request(script)
    del made["HyperParameters"][missing]
    with pytest.raises(ConfigError, match=missing):
        make_plan(made, LocalOptions(output=str(script.parent)), MACHINE)


def test_image_and_entrypoint_are_noted(script: Path) -> None:
    made = request(script)
    made["AlgorithmSpecification"].update(TrainingImage="1.dkr/x:y", ContainerArguments=["x.py"])
    notes = make_plan(made, LocalOptions(output=str(script.parent / "out")), MACHINE).notes
    assert [word for word in ("1.dkr/x:y", "ContainerArguments") if not any(word in note for note in notes)] == []


def test_missing_channel_is_found_before_the_start(script: Path) -> None:
    with pytest.raises(ConfigError, match="channel train"):
        plan(script, channels={"train": str(script.parent / "none")})


def test_script_names(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(script.parent)
    assert locate_script(str(script), None) == ("train it.py", str(script))
    assert locate_script("train it.py", folder) == ("train it.py", folder)
    assert locate_script(str(script), folder) == ("train it.py", folder)
    monkeypatch.chdir(script.parent.parent)
    assert locate_script("my project/train it.py", "my project") == ("train it.py", folder)
    for name, directory in (("none.py", None), ("none.py", folder), ("train it.py", "no dir"), ("/etc/hostname", folder)):
        with pytest.raises(ConfigError):
            locate_script(name, directory)
    with pytest.raises(UsageError):
        make_request(None, channels={}, env={})


def test_places_of_channels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_uri("a b") == f"file://{tmp_path}/a%20b"
    assert data_uri("s3://b/k") == "s3://b/k"


def staged(made: LocalPlan) -> tuple[Any, list[str]]:
    said: list[str] = []
    return prepare(made, said.append, {}), said


def test_stage_of_two_hosts(script: Path) -> None:
    data = script.parent / "data"
    data.mkdir()
    (data / "x.csv").write_text("1")
    made = plan(script, instance_count=2, channels={"train": str(data), "one": str(data / "x.csv")}, env={"HF_TOKEN": "sesame"})
    stage, _ = staged(made)
    targets = {(mount.target, mount.host, mount.writable) for mount in stage.mounts}
    assert targets == {
        ("/opt/hvdsm/source/train it.py", None, False),
        *((path, host, mode) for host in ("algo-1", "algo-2") for path, mode in (
            ("/opt/ml", True), ("/opt/ml/input/data/train", False), ("/opt/ml/input/data/one/x.csv", False))),
    }  # fmt: skip
    for host in ("algo-1", "algo-2"):
        config = Path(stage.bases[host]) / "input" / "config"
        assert json.loads((config / "resourceconfig.json").read_text())["current_host"] == host
        values = json.loads((config / "hyperparameters.json").read_text())
        assert json.loads(values["sagemaker_submit_directory"]) == "/opt/hvdsm/source/train it.py"
        assert sorted(json.loads((config / "inputdataconfig.json").read_text())) == ["one", "train"]
    assert "sesame" not in (Path(made.job_dir) / "request.json").read_text()


def test_stage_of_the_single_host(script: Path) -> None:
    data = script.parent / "data"
    data.mkdir()
    (data / "x.csv").write_text("1")
    stage, _ = staged(plan(script, NO_NAMESPACES, instance_count=2, channels={"train": str(data), "one": str(data / "x.csv")}))
    base = Path(stage.bases["algo-1"])
    assert stage.mounts == ()
    assert (base / "input/data/train/x.csv").read_text() == "1" == (base / "input/data/one/x.csv").read_text()
    values = json.loads((base / "input/config/hyperparameters.json").read_text())
    assert json.loads(values["sagemaker_submit_directory"]) == str(script)
    assert values["sagemaker_mpi_num_of_processes_per_host"] == "2"


def test_source_directory_leaves_out_results_and_environments(script: Path) -> None:
    folder = script.parent
    for name in ("pkg/m.py", ".git/HEAD", "venv/pyvenv.cfg", "out/old/model/x", "pkg/__pycache__/m.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    os.symlink(folder, folder / "pkg" / "loop")
    os.symlink("/no/such", folder / "dangling")
    stage, said = staged(plan(script, source_dir=str(folder)))
    copy = Path(stage.work) / "source" / "my project"
    found = sorted(str(path.relative_to(copy)) for path in copy.rglob("*"))
    assert found == ["pkg", "pkg/m.py", "train it.py"]
    assert any(".git" in line and "venv" in line and "out" in line for line in said)


def test_shards_of_hosts_are_disjoint(script: Path) -> None:
    root = script.parent / "s3"
    (root / "b" / "d").mkdir(parents=True)
    for name in "abc":
        (root / "b" / "d" / name).write_text(name)
    made = request(script, instance_count=2, channels={"train": "s3://b/d"})
    made["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    options = LocalOptions(output=str(script.parent / "out"), s3_root=str(root))
    stage, _ = staged(make_plan(made, options, MACHINE))
    parts = {}
    for mount in stage.mounts:
        if mount.target.startswith("/opt/ml/input/data/train"):
            parts[mount.host] = (
                sorted(os.listdir(mount.source)) if os.path.isdir(mount.source) else [os.path.basename(mount.source)]
            )
    assert parts == {"algo-1": ["a", "c"], "algo-2": ["b"]}


def test_failed_preparation_leaves_nothing(script: Path) -> None:
    data = script.parent / "data"
    data.mkdir()
    (data / "x").write_text("1")
    made = plan(script, channels={"train": str(data)})
    script.unlink()
    os.rename(data, script.parent / "moved")
    broken = replace(made, source=replace(made.source, files=(), directory=str(script.parent / "gone")))
    with pytest.raises(ConfigError, match="No such file"):
        staged(broken)
    assert not os.path.exists(made.job_dir)


def test_results_after_success_and_failure(script: Path) -> None:
    for status, code in (("Completed", 0), ("Failed", 7)):
        made = plan(script, instance_count=2, job_name=f"job-{code}")
        stage, _ = staged(made)
        failure = RankFailure("exit", "", 7, host="algo-2", rank=1, local_rank=0) if code else None
        for host in made.hosts:
            base = Path(stage.bases[host])
            (base / "model" / "m.pt").write_text(host)
            (base / "output" / "data" / "d.txt").write_text(host)
            (base / ".hvdsm" / "outcome.json").write_text(
                JobOutcome("?", status, code, failure=failure, phases={"ranks running": 1}).to_json()
            )
        outcome = collect(made, stage, [Ended(host, code) for host in made.hosts], program_start=0.5, seconds=2.0)  # type: ignore[misc]
        results = Path(made.job_dir)
        assert (outcome.job_name, outcome.status, outcome.exit_code) == (f"job-{code}", status, code)
        assert outcome.phases == {"ranks running": 1.5}
        assert json.loads((results / "outcome.json").read_text())["exit_code"] == code
        assert (results / "output/data/d.txt").read_text() == "algo-1"
        assert (results / "output/algo-2/d.txt").read_text() == "algo-2"
        assert (results / "model").exists() == (code == 0)
        assert (results / "output/failure").exists() == (code != 0)
        assert not os.path.exists(stage.work)


class Ended:
    """A host's program that has ended."""

    def __init__(self, name: str, exit_code: int) -> None:
        self.name, self.exit_code = name, exit_code


@pytest.mark.parametrize(("lost", "kind", "code"), [((), "launch", 3), (("algo-2",), "host-lost", 1)])
def test_no_report_from_the_hosts(script: Path, lost: tuple, kind: str, code: int) -> None:
    made = plan(script, instance_count=2)
    stage, _ = staged(made)
    (Path(made.job_dir) / "logs" / "algo-2.log").write_text("last words\n")
    outcome = collect(made, stage, [Ended("algo-1", 0), Ended("algo-2", 3)], lost=lost)  # type: ignore[list-item]
    assert outcome.failure is not None
    assert (outcome.status, outcome.exit_code, outcome.failure.kind, outcome.failure.host) == ("Failed", code, kind, "algo-2")
    assert "last words" in (Path(made.job_dir) / "output" / "failure").read_text()


def test_a_completed_report_of_a_program_that_failed_is_no_success(script: Path) -> None:
    made = plan(script)
    stage, _ = staged(made)
    (Path(stage.bases["algo-1"]) / ".hvdsm" / "outcome.json").write_text(JobOutcome("j", "Completed", 0).to_json())
    outcome = collect(made, stage, [Ended("algo-1", -11)])  # type: ignore[list-item]
    assert (outcome.status, outcome.exit_code, outcome.model_dir) == ("Failed", 139, None)


@pytest.mark.parametrize(("reason", "number", "code"), [("timeout", 0, 75), ("stopped", 2, 130), ("stopped", 15, 143)])
def test_a_stopped_job_is_stopped_even_when_its_ranks_end_well(script: Path, reason: str, number: int, code: int) -> None:
    made = plan(script, max_run=5)
    stage, _ = staged(made)
    (Path(stage.bases["algo-1"]) / ".hvdsm" / "outcome.json").write_text(JobOutcome("j", "Completed", 0).to_json())
    (Path(stage.bases["algo-1"]) / "model" / "m.pt").write_text("half")
    outcome = collect(made, stage, [Ended("algo-1", 0)], reason=reason, stop_signal=number)  # type: ignore[list-item]
    assert (outcome.status, outcome.exit_code) == ("Stopped", code)
    assert (outcome.failure is not None and outcome.failure.kind == "timeout") == (reason == "timeout")
    # As the service does: what a stopped job has left is uploaded.
    assert outcome.model_dir is not None and (Path(outcome.model_dir) / "m.pt").read_text() == "half"


def test_environment_of_an_outer_job_does_not_reach_this_one() -> None:
    outer = {
        "RANK": "3",
        "OMPI_COMM_WORLD_RANK": "3",
        "OMPI_MCA_ess": "x",
        "SM_HOSTS": "[]",
        "HOME": "/h",
        "PATH": "/bin",
        "TMPDIR": "/t",
    }
    assert base_environment(outer) == {"HOME": "/h", "PATH": "/bin"}
    assert base_environment({"OMPI_MCA_btl": "tcp,self"})["OMPI_MCA_btl"] == "tcp,self"


def test_hvdsm_stays_importable() -> None:
    import hvdsm

    package = os.path.dirname(os.path.dirname(hvdsm.__file__))
    entries = importable({"PYTHONPATH": "rel:/abs"}).get("PYTHONPATH", "").split(":")
    assert entries[:2] == [os.path.abspath("rel"), "/abs"]
    assert package in entries or package.endswith("-packages")


def test_mpirun_is_absolute(tmp_path: Path) -> None:
    program = tmp_path / "mpirun"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_mpirun(str(program)) == str(program)
    assert find_mpirun("/no/such/mpirun") == "/no/such/mpirun"


def test_removing_read_only_directories(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "f").write_text("x")
    folder.chmod(0o500)
    (tmp_path / "a").chmod(0o500)
    remove_tree(str(tmp_path / "a"))
    assert not (tmp_path / "a").exists()


def foreign(script: Path, **changes: Any) -> dict:
    made = request(script, instance_count=2)
    made["AlgorithmSpecification"]["ContainerEntrypoint"] = ["python3", "-c", "print(1)"]
    del made["HyperParameters"]
    return {**made, **changes}


def test_a_command_of_the_requests_own(script: Path) -> None:
    made = make_plan(foreign(script), LocalOptions(output=str(script.parent / "out")), MACHINE)
    assert (made.command, made.source, made.distribution, made.launcher) == (
        ("python3", "-c", "print(1)"),
        None,
        "none",
        "algo-1",
    )
    stage, _ = staged(made)
    assert stage.source == "" and stage.prelude is not None
    gpus = make_plan(foreign(script), LocalOptions(output=str(script.parent / "x")), replace(MACHINE, gpus=("0",))).gpus
    assert gpus is not None and len(gpus) == 2


def test_a_command_of_the_requests_own_needs_hosts(script: Path) -> None:
    with pytest.raises(NamespacesUnavailable):
        make_plan(foreign(script), LocalOptions(output=str(script.parent / "out")), NO_NAMESPACES)
    with pytest.raises(UsageError, match="emulated hosts"):
        make_plan(foreign(script), LocalOptions(output=str(script.parent / "out"), hosts="single"), MACHINE)


def test_a_channel_with_the_name_of_a_pipe(script: Path) -> None:
    data = script.parent / "data"
    data.mkdir()
    (data / "x").write_text("1")
    made = request(script, channels={"train": str(data), "train_0": str(data)})
    made["InputDataConfig"][0]["InputMode"] = "Pipe"
    with pytest.raises(ConfigError, match="pipe of the channel train"):
        make_plan(made, LocalOptions(output=str(script.parent / "out")), MACHINE)


def test_metrics_and_distributions_are_checked_before_anything_starts(script: Path) -> None:
    made = request(script)
    made["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": "("}]
    with pytest.raises(ConfigError, match="not valid"):
        make_plan(made, LocalOptions(output=str(script.parent / "out")), MACHINE)
    made = request(script)
    made["HyperParameters"]["sagemaker_parameter_server_enabled"] = "true"
    with pytest.raises(ConfigError):
        make_plan(made, LocalOptions(output=str(script.parent / "out")), MACHINE)
