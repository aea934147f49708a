"""Requests that the SageMaker SDKs 2.257 and 3.27 really send (anonymised), executed on emulated hosts."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest
from launching import Launched, launch
from request_data import BUCKET, RUN_MPI, make_s3, request_file

from hvdsm.aws.session import connect
from hvdsm.backends.local import LocalBackend, LocalOptions
from hvdsm.backends.local.running import process_start
from hvdsm.compose.cloud import with_program
from hvdsm.emulator import probe
from hvdsm.model import JobOutcome

AVAILABLE = probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}"),
]
ALL = ["a.csv", "b.csv", "sub/c.csv"]


def ran(
    tmp_path: Path,
    name: str,
    *words: str,
    change: Optional[Callable[[Dict[str, Any]], None]] = None,
    env: Optional[Dict[str, str]] = None,
    **content: str,
) -> Launched:
    root = make_s3(tmp_path, **content)
    path = request_file(tmp_path, name, change)
    return launch(tmp_path / "out", "--request", str(path), "--s3-root", str(root), *words, env=env)


def found(done: Launched) -> List[Dict[str, Any]]:
    """What the script said on each rank."""
    return [json.loads(line.split("FOUND ", 1)[1]) for line in done.lines if "FOUND {" in line]


def refused(tmp_path: Path, name: str, *words: str, code: int = 78, **content: str) -> str:
    """What is said of a request that is not executed."""
    done = ran(tmp_path, name, *words, **content)
    assert done.code == code, done.output
    assert not (tmp_path / "out" / name).exists()
    return json.dumps(done.outcome) + done.output.decode()


@pytest.mark.parametrize(
    ("name", "ranks"),
    [
        ("pytorch-plain", 2),
        ("pytorch-mpi", 4),
        ("tensorflow-mpi", 2),
        ("mxnet-mpi", 4),
        ("pytorch-isolated", 2),
        ("pytorch-spot", 2),
        ("estimator-script", 2),
    ],
)
def test_scripts_of_sdk_2(tmp_path: Path, name: str, ranks: int) -> None:
    done = ran(tmp_path, name)
    assert (done.code, done.outcome["world_size"]) == (0, ranks), done.output
    assert len(found(done)) == ranks and {entry["host"] for entry in found(done)} == {"algo-1", "algo-2"}
    assert (done.results / "model" / "model.txt").read_text() == "trained"


def test_hyperparameters_with_quotes_blanks_and_nesting(tmp_path: Path) -> None:
    first = found(ran(tmp_path, "pytorch-mpi"))[0]
    expected = {"--name": 'it\'s "q"', "--space": "a b", "--flag": "True", "--none": "", "-l": "[1, 'x']", "--lr": "0.1"}
    given = dict(zip(first["argv"][::2], first["argv"][1::2]))
    assert {key: given[key] for key in expected} == expected


def test_channels_of_every_kind(tmp_path: Path) -> None:
    read = """
import json, os
base = "/opt/ml/input/data"
print("EPOCHS", json.dumps([open(f"{base}/pipe_{epoch}", "rb").read().hex() for epoch in (0, 1, 2)]), flush=True)
print("PACKED", open(f"{base}/gz/x.csv.gz", "rb").read(2).hex(), flush=True)
exec(open("/opt/ml/code/more.py").read()) if os.path.exists("/opt/ml/code/more.py") else None
"""
    from request_data import TRAIN

    done = ran(tmp_path, "pytorch-inputs", train=TRAIN + read)
    assert done.code == 0, done.output
    by_host = {entry["host"]: entry["channels"] for entry in found(done)}
    shards = {host: channels["train"] for host, channels in by_host.items()}
    assert sorted(shards["algo-1"] + shards["algo-2"]) == ALL and all(shards.values())
    for channels in by_host.values():
        assert channels["fast"] == channels["str"] == ALL
        assert channels["manifest"] == ["train/b.csv", "train/sub/c.csv"]
        assert "pipe" not in channels
    configured = ["fast", "gz", "manifest", "pipe", "str", "train"]
    assert [entry["configured"] for entry in found(done)] == [configured, configured]
    epochs = [json.loads(line.split("EPOCHS ", 1)[1]) for line in done.lines if "EPOCHS [" in line]
    # Three files, each one RecordIO record: magic number, length, content padded to four bytes.
    record = bytes.fromhex(epochs[0][0])
    assert record[:8] == bytes.fromhex("0a23d7ce06000000") and record[8:16] == b"a.csv\n\0\0"
    assert len(epochs) == 2 and all(len(set(entry)) == 1 for entry in epochs) and epochs[0] == epochs[1]
    assert sum(line.endswith("PACKED 1f8b") for line in done.lines) == 2
    assert any("CompressionType of gz" in line for line in done.lines)


def test_instance_groups_get_their_channels_only(tmp_path: Path) -> None:
    done = ran(tmp_path, "pytorch-groups")
    assert done.code == 0, done.output
    by_host = {entry["host"]: entry for entry in found(done)}
    shards = [by_host[host]["channels"]["train"] for host in ("algo-1", "algo-2")]
    assert sorted(shards[0] + shards[1]) == ALL and all(shards)
    assert by_host["algo-3"]["channels"] == {"all": ALL} and by_host["algo-3"]["configured"] == ["all"]
    assert by_host["algo-1"]["channels"]["all"] == ALL


OWN = """
import json, os, sys
facts = {name: os.environ.get(name) for name in ("TRAINING_JOB_NAME", "CALLERS_OWN", "AWS_REGION", "HOME")}
config = json.load(open("/opt/ml/input/config/resourceconfig.json"))
print("FACTS " + json.dumps({**facts, "cwd": os.getcwd(), "prefix": sys.prefix, "host": config["current_host"]}), flush=True)
open(f"/opt/ml/model/{config['current_host']}.txt", "w").write("m")
open("/opt/ml/model/same.txt", "w").write(config["current_host"])
os.makedirs("/opt/ml/output/data", exist_ok=True)
open("/opt/ml/output/data/seen.txt", "w").write("o")
"""


def test_a_program_of_ones_own_runs_as_it_is_written(tmp_path: Path) -> None:
    done = ran(tmp_path, "estimator-entrypoint", env={"CALLERS_OWN": "shell"}, own=OWN)
    assert done.code == 0, done.output
    given = [json.loads(line.split("GIVEN ", 1)[1]) for line in done.lines if "GIVEN [" in line]
    assert given == [["--name", 'it\'s "here"', "b c"]] * 2
    facts = [json.loads(line.split("FACTS ", 1)[1]) for line in done.lines if "FACTS {" in line]
    assert sorted(entry["host"] for entry in facts) == ["algo-1", "algo-2"]
    for entry in facts:
        assert (entry["TRAINING_JOB_NAME"], entry["CALLERS_OWN"], entry["cwd"]) == ("estimator-entrypoint", None, "/")
        assert entry["prefix"] == sys.prefix
    names = sorted(path.name for path in (done.results / "model").iterdir())
    assert names == ["algo-1.txt", "algo-2.txt", "same.txt"] and (done.results / "model" / "same.txt").read_text() == "algo-1"
    assert any("same.txt" in text and "clash" in text for text in done.outcome["warnings"])
    assert (done.results / "output" / "data" / "seen.txt").exists() and (done.results / "output" / "algo-2" / "seen.txt").exists()


FAILS = """
import json, os, signal, sys
host = json.load(open("/opt/ml/input/config/resourceconfig.json"))["current_host"]
if host == "algo-2":
    open("/opt/ml/output/failure", "w").write("the data is odd\\nand more")
    sys.exit(9)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_the_host_that_fails_first_says_why_and_ends_the_others(tmp_path: Path) -> None:
    done = ran(tmp_path, "estimator-entrypoint", "--stop-grace", "1", own=FAILS)
    assert (done.code, done.outcome["status"]) == (9, "Failed"), done.output
    failure = done.outcome["failure"]
    assert (failure["host"], failure["exit_code"], failure["message"]) == ("algo-2", 9, "the data is odd")
    assert done.failure == "the data is odd\nand more"
    assert not (done.results / "model").exists()
    assert any("algo-2 has failed" in line for line in done.lines)


def test_time_limit_of_a_program_of_ones_own(tmp_path: Path) -> None:
    def limited(request: Dict[str, Any]) -> None:
        request["StoppingCondition"]["MaxRuntimeInSeconds"] = 1
        request["AlgorithmSpecification"].update(ContainerEntrypoint=["sleep"], ContainerArguments=["1000"])

    done = ran(tmp_path, "estimator-entrypoint", "--stop-grace", "1", change=limited)
    assert (done.code, done.outcome["status"], done.outcome["failure"]["kind"]) == (75, "Stopped", "timeout"), done.output


ONCE = """
import os, signal
mark = "/opt/ml/checkpoints/" + open("/etc/hostname").read().strip()
if not os.path.exists(mark):
    open(mark, "w").close()
    signal.pause()
"""


def test_an_interruption_of_a_program_of_ones_own(tmp_path: Path) -> None:
    words = ("--interrupt-after", "1.5", "--stop-grace", "0", "--checkpoint", str(tmp_path / "kept"))
    done = ran(tmp_path, "estimator-entrypoint", *words, own=ONCE)
    assert (done.code, done.outcome["interruptions"]) == (0, 1), done.output
    assert sorted(os.listdir(tmp_path / "kept")) == ["algo-1", "algo-2"]


def test_hvdsms_own_program_in_a_channel_is_not_fetched(tmp_path: Path) -> None:
    def shipped(request: Dict[str, Any]) -> None:
        cloud = with_program(request, "s3://not-here/hvdsm/")
        request.update(cloud)

    done = ran(tmp_path, "pytorch-mpi", change=shipped)
    assert (done.code, done.outcome["world_size"]) == (0, 4), done.output
    assert [entry["channels"] for entry in found(done)] == [{"hvdsm": ["hvdsm.pyz"]}] * 4


@pytest.mark.parametrize("name", ["trainer-script", "trainer-requirements", "trainer-inputs"])
def test_scripts_of_sdk_3(tmp_path: Path, name: str) -> None:
    def unquoted(request: Dict[str, Any]) -> None:
        request["HyperParameters"].pop("q", None)

    done = ran(tmp_path, name, change=unquoted)
    assert done.code == 0, done.output
    hosts = {entry["host"]: entry for entry in found(done)}
    assert sorted(hosts) == ["algo-1", "algo-2"]
    if name == "trainer-script":
        assert hosts["algo-2"]["argv"][:4] == ["--lr", "0.1", "--name", "a b"]
    if name == "trainer-inputs":
        channels = [hosts[host]["channels"] for host in ("algo-1", "algo-2")]
        assert sorted(channels[0]["shard"] + channels[1]["shard"]) == ALL
        assert channels[0]["m"] == ["train/b.csv", "train/sub/c.csv"] and channels[1]["train"] == ALL
    assert (done.results / "model" / "model.txt").read_text() == "trained"
    assert sum(line.endswith("finished") for line in done.lines) == 2


def test_a_failing_script_of_sdk_3(tmp_path: Path) -> None:
    done = ran(tmp_path, "trainer-script", train="raise ValueError('bad batch')")
    assert (done.code, done.outcome["failure"]["message"]) == (1, "the training script ended with 1"), done.output
    assert "ValueError: bad batch" in done.outcome["failure"]["output_tail"]


def test_requirements_are_there_without_a_way_to_an_index(tmp_path: Path) -> None:
    from test_launch_packages import NAME, wheel

    wheel(tmp_path / "wheels", "1.0")
    root = make_s3(
        tmp_path,
        train=f"import {NAME} as it\nprint('version', it.VERSION, flush=True)",
        driver="$SM_PYTHON_CMD -m pip install -r deps/needed.txt > /dev/null\n# /install_requirements.py deps/needed.txt\n"
        + "$SM_PYTHON_CMD train.py",
    )
    deps = root / BUCKET / "code" / "deps"
    deps.mkdir()
    (deps / "needed.txt").write_text(f"--no-index\n--find-links {tmp_path / 'wheels'}\n{NAME}\n")
    path = request_file(tmp_path, "trainer-script")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = launch(tmp_path / "out", "--request", str(path), "--s3-root", str(root), env=env)
    assert done.code == 0, done.output
    assert sum(line.endswith("version 1.0") for line in done.lines) == 2


def test_what_only_the_image_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    for folder, name in (("1", "estimator-arguments"), ("2", "trainer-image")):
        text = refused(tmp_path / folder, name)
        assert "the program of this job is in" in text and "ContainerEntrypoint" in text


def test_what_cannot_be_reached_names_the_remedy(tmp_path: Path) -> None:
    text = refused(tmp_path, "pytorch-file-system")
    assert "EFS" in text and "--channel training=PATH" in text
    done = launch(
        tmp_path / "out",
        *("--request", str(tmp_path / "pytorch-file-system.json"), "--s3-root", str(tmp_path / "s3")),
        *("--channel", f"training={tmp_path / 's3' / BUCKET / 'data' / 'train'}"),
    )
    assert done.code == 0 and found(done)[0]["channels"] == {"training": ALL}


def test_a_distribution_that_hvdsm_does_not_have_is_refused_before_hosts_start(tmp_path: Path) -> None:
    text = refused(tmp_path, "tensorflow-parameter-server")
    assert "sagemaker_parameter_server_enabled" in text and "hosts up" not in text


def test_a_program_of_ones_own_needs_emulated_hosts(tmp_path: Path) -> None:
    assert "--hosts namespaces" in refused(tmp_path, "estimator-entrypoint", "--hosts", "single", code=2)


def test_the_sdks_own_mpi_driver_needs_paramiko(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "sitecustomize.py").write_text("import sys\nsys.modules['paramiko'] = None\n")
    done = ran(tmp_path, "trainer-mpi", env={"PYTHONPATH": str(absent)}, driver=RUN_MPI)
    assert done.code == 78 and not (tmp_path / "out" / "trainer-mpi").exists()
    text = json.dumps(done.outcome) + done.output.decode()
    assert "paramiko" in text and "hvdsm.sdk.v3.MPI" in text and "hvdsm launch --instance-count" in text


def test_dry_run_of_a_program_of_ones_own(tmp_path: Path) -> None:
    done = ran(tmp_path, "estimator-entrypoint", "--dry-run", "--env", "HF_TOKEN=abc")
    assert done.code == 0
    assert done.outcome["command"][:2] == ["/bin/bash", "/opt/ml/input/data/code/run.sh"]
    assert done.outcome["mpirun"] is None and "abc" not in json.dumps(done.outcome)
    assert not (tmp_path / "out").exists()


def test_jobs_in_several_threads_at_once(tmp_path: Path) -> None:
    root = make_s3(tmp_path, own="import os; print('here', flush=True)")
    outcomes: Dict[str, JobOutcome] = {}
    running: Dict[str, Any] = {}

    def run(name: str) -> None:
        request = json.loads(request_file(tmp_path, name).read_text())
        backend = LocalBackend(LocalOptions(output=str(tmp_path / "out"), s3_root=str(root)))
        job = backend.submit(backend.plan(request), lambda text: None)
        running[name] = json.loads((tmp_path / "out" / name / "running.json").read_text())
        for _ in backend.events(job):
            continue
        outcomes[name] = backend.outcome(job)

    names = ["estimator-entrypoint", "pytorch-plain", "trainer-script"]
    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: outcome.status for name, outcome in outcomes.items()} == dict.fromkeys(names, "Completed")
    for name in names:
        assert running[name]["pid"] == os.getpid() and running[name]["process_start"] == process_start(os.getpid())
        assert not (tmp_path / "out" / name / "running.json").exists()


SAYS = """
import os
print("length", len(os.environ.get("TOKEN", "")), os.path.exists("/opt/ml/input/config/hyperparameters.json"), flush=True)
print("hidden", "t0ken" not in open("/opt/ml/input/config/hyperparameters.json").read(), flush=True)
print("names", sorted(name for name in os.environ if "hvdsm_secrets" in os.environ[name]), flush=True)
"""


@pytest.mark.parametrize("name", ["pytorch-plain", "estimator-entrypoint"])
def test_secrets_are_in_the_environment_of_all_hosts_and_nowhere_else(tmp_path: Path, name: str) -> None:
    from moto.server import ThreadedMotoServer

    root = make_s3(tmp_path, train=SAYS, own=SAYS)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"AWS_ACCESS_KEY_ID": "example", "AWS_SECRET_ACCESS_KEY": "example", "AWS_DEFAULT_REGION": "us-west-2"}
        environ = {**os.environ, **keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        parameters = connect("us-west-2", environ=environ).client("ssm")
        parameters.put_parameter(Name="/team/token", Value="t0ken", Type="SecureString", Overwrite=True)
        arn = parameters.get_parameter(Name="/team/token")["Parameter"]["ARN"]
        request = json.loads(request_file(tmp_path, name).read_text())
        request["HyperParameters"] = {
            **(request.get("HyperParameters") or {}),
            "sagemaker_hvdsm_secrets": json.dumps({"TOKEN": arn}),
        }
        backend = LocalBackend(LocalOptions(output=str(tmp_path / "out"), s3_root=str(root)), environ)
        job = backend.submit(backend.plan(request), lambda text: None)
        outcome = backend.outcome(job)
    finally:
        server.stop()
    logs = [(tmp_path / "out" / name / "logs" / f"algo-{number}.log").read_text() for number in (1, 2)]
    assert outcome.ok, logs
    for word in ("length 5 True", "hidden True", "names []"):
        assert all(word in log for log in logs), logs
    kept = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(kept) >= 3 and not any("t0ken" in path.read_text() for path in kept)
    assert arn in (tmp_path / "out" / name / "request.json").read_text().replace("\\", "")


def test_a_secret_is_kept_out_of_the_reason(tmp_path: Path) -> None:
    own = "import os, sys; open('/opt/ml/output/failure', 'w').write('bad token ' + os.environ['TOKEN']); sys.exit(3)"
    root = make_s3(tmp_path, own=own)
    request = json.loads(request_file(tmp_path, "estimator-entrypoint").read_text())
    backend = LocalBackend(LocalOptions(output=str(tmp_path / "out"), s3_root=str(root), variables={"TOKEN": "t0ken-value"}))
    plan = backend.plan(request)
    job = backend.submit(plan, lambda text: None)
    job.secrets = {"TOKEN": "t0ken-value"}
    outcome = backend.outcome(job)
    assert outcome.failure is not None and outcome.failure.message == "bad token <masked>"
    assert (tmp_path / "out" / plan.job_name / "output" / "failure").read_text() == "bad token <masked>"
