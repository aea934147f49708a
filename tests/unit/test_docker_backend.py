"""The docker back end: plans, the life of a job by an engine that runs processes, and that no secret is in any file."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import pytest
from compose_support import checked

import hvdsm
from hvdsm.backends.base import NOTE, OUTPUT
from hvdsm.backends.docker import DockerBackend, DockerOptions
from hvdsm.backends.docker.calls import ownership
from hvdsm.backends.docker.claim import claimed, project_key
from hvdsm.backends.docker.cluster import ComposeCluster
from hvdsm.backends.docker.composing import run_compose
from hvdsm.backends.docker.dryrun import dry_run
from hvdsm.backends.docker.engine import Engine, find_engine
from hvdsm.backends.docker.plan import DockerPlan, make_plan, words_of
from hvdsm.backends.docker.services import describe
from hvdsm.backends.local.machine import Machine
from hvdsm.backends.making import make_request
from hvdsm.backends.signals import stopping_signals
from hvdsm.compose.cloud import CloudOptions
from hvdsm.compose.compose_file import compose_text
from hvdsm.emulator import Availability, Mount
from hvdsm.errors import BackendUnavailable, ConfigError, UsageError
from hvdsm.model import JobOutcome

HERE = Path(__file__).parent
DOCKER = Engine("docker", "docker", ("docker", "compose"), "28.0.0")
PODMAN = Engine("podman", "podman", ("podman-compose",), "4.3.1")
MACHINE = Machine(4, (), None, Availability(ok=True, reason="", remedy=""))
SECRET = "open-sesame"


def request(*words: str, hosts: int = 2, **more: Any) -> Dict[str, Any]:
    """A request whose hosts run a shell command."""
    made: Dict[str, Any] = {
        "TrainingJobName": "job",
        "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "image:1"},
        "HyperParameters": {},
        "ResourceConfig": {"InstanceCount": hosts, "InstanceType": "local", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }
    if words:
        made["AlgorithmSpecification"].update(ContainerEntrypoint=["/bin/sh", "-c"], ContainerArguments=list(words))
    return made


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "my $project's" / "train it.py"
    path.parent.mkdir()
    path.write_text("print('hello')\n")
    return path


def scripted(script: Path, **options: Any) -> Dict[str, Any]:
    return make_request(
        str(script),
        **{"channels": {}, "env": {}, "job_name": "job", "instance_count": 2, "cloud": CloudOptions(image="image:1"), **options},
    )


def planned(
    made: Dict[str, Any], tmp_path: Path, machine: Machine = MACHINE, engine: Engine = DOCKER, **options: Any
) -> DockerPlan:
    return make_plan(made, DockerOptions(output=str(tmp_path / "out"), **options), machine, engine, str(tmp_path))


def services(
    plan: DockerPlan, environ: Dict[str, str], secrets: Dict[str, str], mounts: Sequence[Mount] = ()
) -> Tuple[Any, Any, str]:
    described = describe(plan, {host: f"/job/{host}" for host in plan.hosts}, mounts, environ, secrets, "token")
    text = compose_text(described.project)
    return checked(text, described.values)["services"], described.values, text


def test_a_script_is_run_by_hvdsms_own_program(script: Path, tmp_path: Path) -> None:
    plan = planned(scripted(script, processes_per_host=2, channels={"train": str(script.parent)}), tmp_path)
    assert (plan.hosts, plan.processes, plan.command, plan.launcher) == (("algo-1", "algo-2"), 2, None, "algo-1")
    found, values, _ = services(plan, {"AWS_REGION": "eu-west-1"}, {})
    for name, service in found.items():
        assert service["entrypoint"] == ["python3", "/opt/ml/input/data/hvdsm/hvdsm.pyz"] and "command" not in service
        assert service["container_name"] == f"job-{name}" and service["hostname"] == name
        variables = service["environment"]
        assert json.loads(variables["SM_TRAINING_ENV"]) == {
            "current_host": name, "hosts": ["algo-1", "algo-2"], "job_name": "job", "master_hostname": "algo-1",
            "network_interface_name": "eth0",
        }  # fmt: skip
        assert variables["AWS_REGION"] == "eu-west-1" and variables["HVDSM_JOB_TOKEN"] is None
        assert {bind["target"] for bind in service["volumes"]} >= {"/opt/ml/input", "/opt/ml/model", "/opt/ml/output"}
        assert "/opt/ml" not in {bind["target"] for bind in service["volumes"]}, "the image's /opt/ml/code would be hidden"
    assert values == {"HVDSM_JOB_TOKEN": "token"}


def test_what_the_containers_run(script: Path, tmp_path: Path) -> None:
    assert words_of(request()) == (None, ("train",))
    assert words_of(request("echo x")) == (("/bin/sh", "-c"), ("echo x",))
    plan = planned(request(), tmp_path)
    assert plan.alone and not planned(request("x"), tmp_path).alone and not planned(scripted(script), tmp_path).alone
    assert (plan.command, plan.entrypoint, plan.arguments) == (("train",), None, ("train",))
    plan = planned(scripted(script), tmp_path, container_program="train")
    assert plan.arguments == ("train",) and plan.source is not None


def test_credentials_go_by_name(tmp_path: Path) -> None:
    names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
    environ = dict.fromkeys(names, SECRET)
    found, values, text = services(planned(request("x"), tmp_path), environ, {})
    assert [found["algo-1"]["environment"][name] for name in names] == [None] * 3 and SECRET not in text
    assert set(values) == {"HVDSM_JOB_TOKEN"}, "the engine's program has them from the caller's environment"
    found, _, _ = services(planned(request("x", EnableNetworkIsolation=True), tmp_path), environ, {})
    assert not set(names) & set(found["algo-1"]["environment"])
    (tmp_path / ".aws").mkdir()
    found, _, _ = services(planned(request("x"), tmp_path, aws_profile="dev"), environ, {})
    assert found["algo-1"]["environment"]["AWS_PROFILE"] == "dev" and not set(names) & set(found["algo-1"]["environment"])
    assert {"type": "bind", "source": f"{tmp_path}/.aws", "target": "/opt/hvdsm/aws", "read_only": True} in found["algo-2"][
        "volumes"
    ]


def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    words = [f"--api-key={SECRET}", "--token", SECRET, f"https://me:{SECRET}@host/x", "plain"]
    made = request(*words, Environment={"HF_TOKEN": SECRET, "URL": f"https://me:{SECRET}@host/", "PLAIN": "a$b", "S": SECRET})
    plan = planned(made, tmp_path)
    found, values, text = services(plan, {}, {"S": SECRET})
    assert SECRET not in text and f"'{SECRET}" not in repr(plan.docker)
    for service in found.values():
        assert service["command"] == words
        assert [service["environment"][name] for name in ("HF_TOKEN", "URL", "S", "PLAIN")] == [None, None, None, "a$b"]
        assert service["environment"]["HVDSM_SECRET_NAMES"] == "S"
    assert values["HF_TOKEN"] == values["S"] == SECRET and values["URL"].startswith("https://me:")
    del made["Environment"]["S"]
    assert SECRET not in dry_run(made, DockerOptions(output=str(tmp_path / "o")), {"PATH": "/bin"}, DOCKER).as_text()


@pytest.mark.parametrize("value", [f"--password={SECRET}", f"-v --token {SECRET}", f"-Dpassword={SECRET}"])
def test_a_secret_among_options_in_a_variable(value: str, tmp_path: Path) -> None:
    found, values, text = services(planned(request("x", Environment={"OPTS": value}), tmp_path), {}, {})
    assert SECRET not in text and found["algo-1"]["environment"]["OPTS"] is None and values["OPTS"] == value


def test_a_variable_of_the_job_is_none_of_the_engines_programs(tmp_path: Path) -> None:
    proxy = f"http://me:{SECRET}@proxy:3128/$x"
    plan = planned(request("x", Environment={"HTTPS_PROXY": proxy, "https_proxy": "http://proxy"}), tmp_path)
    found, values, text = services(plan, {}, {})
    assert SECRET not in text and "HTTPS_PROXY" not in values, "the engine would get the image by it"
    variables = found["algo-2"]["environment"]
    assert (variables["HTTPS_PROXY"], variables["https_proxy"]) == (proxy, "http://proxy")


def test_gpus_are_divided(tmp_path: Path) -> None:
    plan = planned(request("x"), tmp_path, replace(MACHINE, gpus=("0", "1", "2", "3")))
    found, _, _ = services(plan, {}, {})
    devices = [found[name]["deploy"]["resources"]["reservations"]["devices"][0] for name in plan.hosts]
    assert [device["device_ids"] for device in devices] == [["0", "1"], ["2", "3"]]
    assert devices[0]["driver"] == "nvidia" and devices[0]["capabilities"] == ["gpu"]


def test_mounts_of_one_host_and_of_all(tmp_path: Path) -> None:
    mounts = [
        Mount("/ckpt", "/opt/ml/checkpoints", writable=True),
        Mount("/data", "/opt/ml/input/data/train", host="algo-2"),
        Mount("/job/algo-1", "/opt/ml", host="algo-1", writable=True),
    ]
    found, _, _ = services(planned(request("x"), tmp_path), {}, {}, mounts)
    first = {bind["target"]: bind for bind in found["algo-1"]["volumes"]}
    assert first["/opt/ml/checkpoints"]["source"] == "/ckpt" and "/opt/ml/input/data/train" not in first
    targets = [bind["target"] for bind in found["algo-2"]["volumes"]]
    assert targets.index("/opt/ml/input") < targets.index("/opt/ml/input/data/train")


def test_what_is_refused(script: Path, tmp_path: Path) -> None:
    without = request("x")
    del without["AlgorithmSpecification"]["TrainingImage"]
    with pytest.raises(ConfigError, match="no image is named"):
        planned(without, tmp_path)
    with pytest.raises(ConfigError, match="no AWS configuration"):
        planned(request("x"), tmp_path, aws_profile="dev")
    odd = tmp_path / "a:b"
    odd.mkdir()
    with pytest.raises(ConfigError, match="colon"):
        planned(request("x"), odd, engine=PODMAN)
    assert planned(request("x"), odd).image == "image:1"
    for size in ("junk", "-1", "", "8 gb"):
        with pytest.raises(ConfigError, match="must be a size") as caught:
            planned(request("x"), tmp_path, shm_size=size)
        assert caught.value.where == "--shm-size" and caught.value.remedy
    for image in ("-x", "my image", "a\nb", "$IMAGE"):
        made = request("x")
        made["AlgorithmSpecification"]["TrainingImage"] = image
        with pytest.raises(ConfigError, match="no name of an image"):
            planned(made, tmp_path)
    (tmp_path / "out" / "job").mkdir(parents=True)
    with pytest.raises(ConfigError, match="earlier job"):
        planned(request("x"), tmp_path)


def test_engines(tmp_path: Path) -> None:
    def ask(words: Sequence[str]) -> Tuple[int, str, str]:
        if words[0].endswith("/docker"):
            return 1, "", "Cannot connect to the Docker daemon"
        return 0, "4.3.1\n", ""

    with pytest.raises(BackendUnavailable) as caught:
        find_engine("auto", {"PATH": str(tmp_path)}, ask)
    assert "docker: not installed; podman: not installed" in str(caught.value) and "--backend local" in str(caught.value)
    for name in ("docker", "podman", "podman-compose"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    found = find_engine("auto", {"PATH": str(tmp_path)}, ask)
    assert (found.name, found.compose, found.version) == ("podman", (f"{tmp_path}/podman-compose",), "4.3.1")
    with pytest.raises(BackendUnavailable, match="Cannot connect"):
        find_engine("docker", {"PATH": str(tmp_path)}, ask)
    assert find_engine("docker", {"PATH": str(tmp_path)}, lambda words: (0, "28\n", "")).compose == (
        f"{tmp_path}/docker",
        "compose",
    )


def test_files_are_given_back_to_who_is_not_root() -> None:
    assert ownership(DOCKER, "image", "/job", 0, 0) is None and ownership(PODMAN, "image", "/job", 0, 0) is None
    assert ownership(PODMAN, "image", "/job", 7, 8) == ["podman", "unshare", "chown", "-R", "0:0", "/job"]
    rootless = ownership(replace(DOCKER, rootless=True), "image", "/job", 7, 8)
    assert rootless is not None and rootless[-3:] == ["-R", "0:0", "/opt/hvdsm/job"]
    words = ownership(DOCKER, "image", '/job, "b" c', 7, 8)
    assert words is not None and words[-3:] == ["-R", "7:8", "/opt/hvdsm/job"]
    (fields,) = csv.reader([words[words.index("--mount") + 1]])
    assert fields == ["type=bind", 'source=/job, "b" c', "target=/opt/hvdsm/job"]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``docker`` on PATH that runs processes; the directory of its state."""
    state = tmp_path / "engine"
    (state / "bin").mkdir(parents=True)
    program = state / "bin" / "docker"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(HERE / "fake_engine.py"))} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("FAKE_ENGINE", str(state))
    monkeypatch.setenv("PATH", f"{state / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return state


def calls(engine: Path) -> List[List[str]]:
    return [json.loads(line) for line in (engine / "calls.jsonl").read_text().splitlines()]


def run(made: Dict[str, Any], tmp_path: Path, on_output: Any = None, **options: Any) -> Tuple[JobOutcome, bytes, List[str]]:
    backend = DockerBackend(DockerOptions(output=str(tmp_path / "out"), engine="docker", **options))
    said: List[str] = []
    job = backend.submit(backend.plan(made), said.append)
    shown = b""
    for event in backend.events(job):
        if event.kind == OUTPUT:
            shown += event.data
            if on_output is not None:
                on_output(backend, job, shown)
        elif event.kind == NOTE:
            said.append(event.text)
    return backend.outcome(job), shown, said


def test_a_job_completes(engine: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.csv").write_text("1\n")
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"file://{data}"}}}
    word = 'cat input/config/resourceconfig.json input/data/train/a.csv; echo "$HF_TOKEN" | wc -c; echo "$A"; echo x > model/$$'
    made = request(word, Environment={"A": "$x 'y'", "HF_TOKEN": SECRET}, InputDataConfig=[channel])
    outcome, shown, _ = run(made, tmp_path)
    assert outcome.ok and outcome.exit_code == 0, (outcome, shown)
    assert shown.count(b'"current_host": "algo-2"') == 1 and shown.count(b"$x 'y'\n") == 2
    assert shown.count(b"1\n") >= 2 and shown.count(f"{len(SECRET) + 1}\n".encode()) == 2, "the secret was there"
    directory = tmp_path / "out" / "job"
    assert len(list((directory / "model").iterdir())) == 2
    assert (directory / "model").stat().st_mode & 0o777 == 0o755, "open to the containers' users only while they run"
    assert sorted(path.name for path in directory.iterdir()) == [
        "docker-compose.yaml", "logs", "model", "outcome.json", "output", "request.json",
    ]  # fmt: skip
    written = [path for path in [*tmp_path.rglob("out/**/*"), engine / "calls.jsonl"] if path.is_file()]
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    verbs = [words[5] if words[0] == "compose" else words[0] for words in calls(engine) if "version" not in words]
    assert verbs[:3] == ["info", "ps", "up"] and verbs[-1] == "down" and verbs.count("start") == 2


def test_the_exit_code_of_a_host_is_the_jobs(engine: Path, tmp_path: Path) -> None:
    word = (
        "grep -q 'current_host\": \"algo-1' input/config/resourceconfig.json && exec sleep 60; echo why > output/failure; exit 7"
    )
    outcome, _, said = run(request(word), tmp_path, stop_grace=1.0)
    assert (outcome.status, outcome.exit_code) == ("Failed", 7) and outcome.failure is not None
    assert (outcome.failure.host, outcome.failure.message) == ("algo-2", "why")
    assert any("SIGTERM to all other hosts" in text for text in said)
    assert ["kill", "--signal", "SIGTERM", "job-algo-1"] in calls(engine)


def test_a_link_in_place_of_a_directory_is_not_followed(engine: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    assert run(request(f"rmdir output/data; ln -s {mine} output/data", hosts=1), tmp_path)[0].ok
    assert mine.stat().st_mode & 0o777 == 0o700


def test_stopping(engine: Path, tmp_path: Path) -> None:
    word = "trap 'echo saving; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    stopped: List[int] = []

    def on_output(backend: DockerBackend, job: Any, shown: bytes) -> None:
        if shown.count(b"ready\n") == 2 and not stopped:
            stopped.append(1)
            backend.stop(job, signal.SIGINT)

    outcome, shown, _ = run(request(word), tmp_path, on_output)
    assert (outcome.status, outcome.exit_code) == ("Stopped", 130) and shown.count(b"saving") == 2


def test_time_limit(engine: Path, tmp_path: Path) -> None:
    made = request("echo ready; exec sleep 60", hosts=1, StoppingCondition={"MaxRuntimeInSeconds": 1})
    outcome, _, _ = run(made, tmp_path, stop_grace=0.2)
    assert (outcome.status, outcome.exit_code) == ("Stopped", 75)


def test_a_container_that_vanishes(engine: Path, tmp_path: Path) -> None:
    def on_output(backend: DockerBackend, job: Any, shown: bytes) -> None:
        place = engine / "job-algo-1.json"
        if b"ready" in shown and place.exists():
            place.unlink()
            os.killpg(int((engine / "job-algo-1.pid").read_text()), signal.SIGKILL)

    outcome, _, said = run(request("echo ready; exec sleep 60", hosts=1), tmp_path, on_output)
    assert (outcome.status, outcome.exit_code) == ("Failed", 1) and "algo-1 was lost" in said
    assert outcome.failure is not None and outcome.failure.kind == "host-lost"


def test_a_job_of_the_same_name_is_left_alone(engine: Path, tmp_path: Path) -> None:
    (engine / "job-algo-2.json").write_text("{}")
    (engine / "job-algo-2.pid").write_text("1")
    with pytest.raises(ConfigError, match="is running") as caught:
        run(request("x"), tmp_path)
    assert caught.value.where == "job-algo-2" and "--job-name" in str(caught.value.remedy)
    assert not any(words[0] == "compose" and words[1] != "version" for words in calls(engine)), "Compose would end it"
    assert not (tmp_path / "out" / "job").exists()
    (engine / "fail-ps").write_text("broken")
    with pytest.raises(BackendUnavailable, match="cannot be asked"):
        run(request("x"), tmp_path)
    (engine / "fail-ps").unlink()
    (engine / "job-algo-2.exit").write_text("0")
    assert run(request("exit 0"), tmp_path)[0].ok, "what has ended makes room"


def test_a_job_of_the_same_name_that_is_about_to_start(engine: Path, tmp_path: Path) -> None:
    key = project_key(find_engine("docker", os.environ), os.environ, "job")
    with claimed(key, "job"):
        with pytest.raises(ConfigError, match="is running") as caught:
            run(request("exit 0"), tmp_path)
        assert "--job-name" in str(caught.value.remedy)
    assert not any(words[0] == "compose" and words[1] != "version" for words in calls(engine)), "Compose would end it"
    assert run(request("exit 0", hosts=1), tmp_path)[0].ok, "the claim has ended"
    with claimed(key, "job"):
        pass  # The job has given its own back.


@pytest.mark.parametrize("started", [False, True])
def test_an_interrupt_while_containers_are_removed(engine: Path, tmp_path: Path, started: bool) -> None:
    (engine / "job-algo-1.json").write_text("{}")
    file = tmp_path / "docker-compose.yaml"
    file.write_text(compose_text(describe(planned(request("x", hosts=1), tmp_path), {"algo-1": "/j"}, (), {}, {}, "t").project))
    heard: List[int] = []

    def stop(number: int) -> None:
        heard.append(number)
        if not started:
            raise KeyboardInterrupt

    cluster = ComposeCluster(
        replace(DOCKER, program=str(engine / "bin" / "docker"), compose=(str(engine / "bin" / "docker"), "compose")),
        str(file),
        "job",
        {"algo-1": "job-algo-1"},
        os.environ,
        print,
        lambda: signal.raise_signal(signal.SIGINT),
    )
    with stopping_signals(stop), pytest.raises(KeyboardInterrupt) if not started else nullcontext():
        cluster.close()
    assert heard == [signal.SIGINT] and calls(engine)[-1][5] == "down" and not (engine / "job-algo-1.json").exists()


def test_compose_that_hangs_is_ended() -> None:
    code, lines = run_compose(["sh", "-c", "echo working; sleep 600 & wait"], os.environ, "/", str, None, 0.5)
    assert (code, lines) == (-signal.SIGKILL, ["working"])


def test_an_interrupt_ends_what_compose_has_started(tmp_path: Path) -> None:
    inner = 'trap "echo ended > file; exit" TERM; echo ready; while :; do sleep 0.1; done'

    def say(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_compose(["sh", "-c", f"sh -c {shlex.quote(inner)}; :"], os.environ, str(tmp_path), str, say)
    assert (tmp_path / "file").read_text() == "ended\n"


def test_what_cannot_be_removed_is_named(engine: Path, tmp_path: Path) -> None:
    (engine / "fail-down").write_text("broken\n")
    outcome, _, said = run(request("exit 0", hosts=1), tmp_path)
    assert outcome.ok
    (warning,) = (text for text in said if "down failed" in text)
    assert "broken" in warning and "docker rm -f job-algo-1; docker network rm job_hvdsm" in warning


def test_a_program_that_the_image_lacks(engine: Path, tmp_path: Path) -> None:
    made = request("x", hosts=1)
    made["AlgorithmSpecification"]["ContainerEntrypoint"] = ["no-such-program"]
    outcome, shown, _ = run(made, tmp_path)
    assert (outcome.status, outcome.exit_code) == ("Failed", 127) and b"no-such-program not found" in shown


def test_containers_that_cannot_be_made(engine: Path, tmp_path: Path) -> None:
    (engine / "fail-up").write_text(f"pull access denied for image:1 with {SECRET}\n")
    backend = DockerBackend(DockerOptions(output=str(tmp_path / "out"), engine="docker"))
    said: List[str] = []
    with pytest.raises(BackendUnavailable, match="pull access denied") as caught:
        backend.submit(backend.plan(request("x", Environment={"HF_TOKEN": SECRET})), said.append)
    assert SECRET not in str(caught.value) and not any(SECRET in text for text in said)
    assert not (tmp_path / "out" / "job").exists() and calls(engine)[-1][5] == "down"


def test_hvdsms_own_program_is_staged(engine: Path, script: Path, tmp_path: Path) -> None:
    made = scripted(script, args=["a b", "$HOME", "'"], env={"A": "'"})
    backend = DockerBackend(DockerOptions(output=str(tmp_path / "out"), engine="docker"))
    plan = backend.plan(made)
    assert plan.entrypoint == ("python3", "/opt/ml/input/data/hvdsm/hvdsm.pyz")
    staged = backend._staged(plan, print)
    assert (Path(staged.work) / "hvdsm.pyz").exists() and [channel.name for channel in staged.channels] == ["hvdsm"]
    mounted = [mount for mount in staged.mounts if mount.target == "/opt/ml/input/data/hvdsm/hvdsm.pyz"]
    assert [mount.host for mount in mounted] == ["algo-1", "algo-2"] and (
        Path(staged.bases["algo-1"]) / "input/config/hyperparameters.json"
    ).exists()


def test_an_interrupt_while_the_image_is_pulled(engine: Path, tmp_path: Path) -> None:
    (engine / "slow-up").touch()
    file = tmp_path / "job.json"
    file.write_text(json.dumps(request("x")))
    words = ["launch", "--backend", "docker", "--engine", "docker", "--request", str(file), "--output", str(tmp_path / "out")]
    root = str(Path(hvdsm.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "hvdsm", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert process.stdout is not None
    while b"pulling" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and b"interrupted" in err
    assert calls(engine)[-1][5] == "down" and not (tmp_path / "out" / "job").exists()


def test_command_line(engine: Path, script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hvdsm.cli import main

    file = tmp_path / "job.json"
    file.write_text(json.dumps(request("exit 5", hosts=1)))
    words = ["launch", "--backend", "docker", "--request", str(file), "--output", str(tmp_path / "out"), "--json"]
    code = main([*words, "--dry-run", "--engine", "docker"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert checked(json.loads(out)["compose"])["services"].keys() == {"algo-1"} and not (tmp_path / "out").exists()
    code = main(words)
    out, err = capsys.readouterr()
    assert code == 5 and json.loads(out)["exit_code"] == 5, err
    assert main(["launch", "--backend", "docker", "--image", "i:1", "--delay-ms", "5", str(script)]) == UsageError.exit_code
    assert "--delay-ms" in capsys.readouterr().err
    (engine / "fail-version").write_text("Cannot connect to the Docker daemon")
    assert main(["launch", "--backend", "docker", "--engine", "docker", "--image", "i:1", str(script)]) == 69
    assert "Cannot connect" in capsys.readouterr().err


def test_the_file_alone(engine: Path, script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hvdsm.cli import main

    out = tmp_path / "out"
    words = ["--engine", "docker", "--output", str(out), "--job-name", "job", "--image", "i:1", "--instance-count", "2"]
    code = main(["compose", "job", *words, "--env", f"HF_TOKEN={SECRET}", "--env", "A=$x", str(script), "a b", "--json"])
    said, err = capsys.readouterr()
    assert code == 0, err
    assert f"{out}/job/docker-compose.yaml: 2 hosts" in said and "set before" in said and "HF_TOKEN" in said
    found = checked((out / "job" / "docker-compose.yaml").read_text())["services"]
    assert found["algo-2"]["environment"]["A"] == "$x"
    for service in found.values():
        assert all(os.path.exists(bind["source"]) for bind in service["volumes"])
    assert not [path for path in out.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not any(words[0] == "start" for words in calls(engine)), "nothing is started"
    assert not (out / "job" / "running.json").exists() and not (out / "job" / "request.json").exists()
    other = [*words[:5], "other", *words[6:]]
    assert main(["compose", "job", *other, "--hp", f"api_key={SECRET}", str(script)]) == ConfigError.exit_code
    assert SECRET not in "".join(capsys.readouterr()) and not (out / "other").exists()
    assert main(["launch", "--no-run", str(script)]) == UsageError.exit_code


def test_from_python(engine: Path, tmp_path: Path) -> None:
    stream = io.StringIO()
    made = request("echo hello; exit 4", hosts=1)
    outcome = hvdsm.launch(request=made, backend="docker", engine="docker", output=str(tmp_path / "out"), stream=stream)
    assert outcome.exit_code == 4 and "hello" in stream.getvalue()
    with pytest.raises(UsageError, match="means nothing"):
        hvdsm.launch(request=made, backend="docker", zone="a", output=str(tmp_path / "other"))
