"""hvdsm-train from outside: configuration files in; argv and environment of the mpirun that is first on PATH out.

The mpirun is a stand-in that writes down what it is given.  On a single host it starts the ranks too, so that the job ends well.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import pytest
from container_jobs import ROOT, SECONDS, RunningJob, start_host, start_job

from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = pytest.mark.cluster

STAND_IN = """#!{python}
import json, os, subprocess, sys
if sys.argv[1:] == ["--version"]:
    print("mpirun (Open MPI) 4.1.6\\n\\nReport bugs to http://www.open-mpi.org/community/help/")
    sys.exit(0)
words = sys.argv[1:]
files = {{word: open(word).read() for word in words if os.path.isfile(word) and "hostfile" in word}}
with open({record!r}, "w") as file:
    json.dump({{"argv": words, "environment": dict(os.environ), "files": files}}, file)
if {ranks}:
    count = int(words[words.index("-np") + 1])
    program = words[words.index("-m") - 1:]
    for at, word in enumerate(words):
        if word == "-x" and "=" in words[at + 1]:
            name, _, value = words[at + 1].partition("=")
            os.environ[name] = value
    places = [{{"OMPI_COMM_WORLD_RANK": str(n), "OMPI_COMM_WORLD_LOCAL_RANK": str(n),
        "OMPI_COMM_WORLD_SIZE": str(count), "OMPI_COMM_WORLD_LOCAL_SIZE": str(count)}} for n in range(count)]
    running = [subprocess.Popen(program, env={{**os.environ, **place}}) for place in places]
    sys.exit(max(process.wait() for process in running))
"""

SCRIPT = "import json, sys; print(json.dumps(sys.argv[1:]))\n"


@dataclass(frozen=True)
class Seen:
    """What mpirun was given, and how the program ended."""

    argv: Tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, str]
    code: int
    log: str

    def values(self, *names: str) -> List[str]:
        """The values that follow an option, under any of its names."""
        wanted = {dashes + name for name in names for dashes in ("-", "--")}
        return [value for word, value in zip(self.argv, self.argv[1:]) if word in wanted]

    @property
    def exported(self) -> Dict[str, Optional[str]]:
        """What ``-x`` sends: names, with their values where the command line has them."""
        found: Dict[str, Optional[str]] = {}
        for word in self.values("x"):
            name, equals, value = word.partition("=")
            assert name not in found, f"-x {name} twice"
            found[name] = value if equals else None
        return found

    @property
    def parameters(self) -> Dict[str, str]:
        """MCA parameters."""
        found: Dict[str, str] = {}
        for at, word in enumerate(self.argv):
            if word in ("-mca", "--mca"):
                name, value = self.argv[at + 1 : at + 3]
                assert name not in found, f"-mca {name} twice"
                found[name] = value
        return found

    @property
    def hosts(self) -> Dict[str, int]:
        """Hosts and slots, of ``--host`` or of the hostfile."""
        words = [word for value in self.values("host", "H") for word in value.split(",")]
        for name in self.values("hostfile", "machinefile"):
            words += [line.replace(" slots=", ":") for line in self.files[name].splitlines() if line]
        return {host: int(slots or 1) for host, _, slots in (word.partition(":") for word in words)}


def write_job(base: Path, hosts: List[str], current: str, parameters: Mapping[str, str], instance: str, source: str) -> None:
    """A host's files, as the service writes them."""
    config = base / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    (base / "code").mkdir(exist_ok=True)
    (base / "code" / "train.py").write_text(source)
    resources: Dict[str, Any] = {
        "current_host": current,
        "current_instance_type": instance,
        "current_group_name": "homogeneousCluster",
        "hosts": hosts,
        "instance_groups": [{"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": hosts[::-1]}],
        "network_interface_name": "eth0",
    }
    (config / "resourceconfig.json").write_text(json.dumps(resources))
    values = {"sagemaker_program": "train.py", "sagemaker_mpi_enabled": "true", **parameters}
    (config / "hyperparameters.json").write_text(json.dumps(values))
    (config / "inputdataconfig.json").write_text(json.dumps({"train": {"TrainingInputMode": "File"}}))


def write_stand_in(folder: Path, record: str, ranks: bool) -> None:
    """The mpirun that writes down what it is given."""
    folder.mkdir()
    path = folder / "mpirun"
    path.write_text(STAND_IN.format(python=sys.executable, record=record, ranks=ranks))
    path.chmod(0o755)


def one_host(
    tmp_path: Path,
    *,
    instance: str = "ml.m5.xlarge",
    environment: Optional[Mapping[str, str]] = None,
    source: str = SCRIPT,
    **parameters: str,
) -> Seen:
    """Run hvdsm-train as a job of one host, on this machine."""
    base = tmp_path / "ml"
    write_job(base, ["algo-1"], "algo-1", parameters, instance, source)
    write_stand_in(tmp_path / "bin", str(tmp_path / "seen.json"), True)
    command = shutil.which("hvdsm-train", path=os.path.dirname(sys.executable))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "HVDSM_", "AWS_", "NCCL_"))}
    done = subprocess.run(
        [command] if command else [sys.executable, "-m", "hvdsm.container"],
        env={
            **inherited,
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": ROOT,
            "SAGEMAKER_BASE_DIR": str(base),
            "CUDA_VISIBLE_DEVICES": "",  # the defaults of a machine with GPUs are others
            **(environment or {}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    log = done.stdout.decode(errors="replace")
    assert (tmp_path / "seen.json").exists(), log
    seen = json.loads((tmp_path / "seen.json").read_text())
    return Seen(tuple(seen["argv"]), seen["environment"], seen["files"], done.returncode, log)


@pytest.fixture
def jobs() -> Iterator[List[RunningJob]]:
    """Jobs whose hosts are gone after the test."""
    running: List[RunningJob] = []
    yield running
    for job in running:
        job.cluster.close()


def two_hosts(tmp_path: Path, jobs: List[RunningJob], *, instance: str = "ml.m5.xlarge", **parameters: str) -> Seen:
    """Run hvdsm-train on two emulated hosts; the stand-in starts no rank there, so the job fails after it has been seen."""
    job = start_job(tmp_path, SCRIPT, late=("algo-1", "algo-2"))
    jobs.append(job)
    write_stand_in(tmp_path / "algo-1" / "bin", "/opt/ml/seen.json", False)
    for host in job.logs:
        write_job(tmp_path / host, ["algo-1", "algo-2"], host, parameters, instance, SCRIPT)
        start_host(job, host, environment={"HVDSM_MPIRUN": "", "PATH": f"/opt/ml/bin:{os.environ['PATH']}"})
    codes = job.codes()
    record = tmp_path / "algo-1" / "seen.json"
    assert record.exists(), job.everything()
    assert len(set(codes.values())) == 1, codes
    seen = json.loads(record.read_text())
    return Seen(tuple(seen["argv"]), seen["environment"], seen["files"], codes["algo-1"], job.read("algo-1"))


emulated = pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}")


def test_one_host_with_the_defaults(tmp_path: Path) -> None:
    seen = one_host(tmp_path)
    assert seen.code == 0, seen.log
    assert seen.values("np", "n") == ["1"]
    assert set(seen.hosts.values()) == {1}
    assert "--allow-run-as-root" in seen.argv
    assert seen.values("bind-to") == ["none"]
    assert seen.values("map-by") == ["slot"]
    assert seen.parameters["pml"] == "ob1"
    assert "openib" in seen.parameters["btl"]
    assert seen.parameters["btl_vader_single_copy_mechanism"] == "none"
    assert seen.exported["NCCL_DEBUG"] == "INFO"
    assert "PATH" in seen.exported


@pytest.mark.parametrize(("value", "count"), [("3", "3"), ('"2"', "2")])
def test_processes_of_one_host(tmp_path: Path, value: str, count: str) -> None:
    seen = one_host(tmp_path, sagemaker_mpi_num_of_processes_per_host=value)
    assert seen.code == 0, seen.log
    assert seen.values("np", "n") == [count]
    assert list(seen.hosts.values()) == [int(count)]


@emulated
def test_two_hosts(tmp_path: Path, jobs: List[RunningJob]) -> None:
    seen = two_hosts(tmp_path, jobs, sagemaker_mpi_num_of_processes_per_host="4")
    assert seen.values("np", "n") == ["8"]
    assert list(seen.hosts.items()) == [("algo-1", 4), ("algo-2", 4)]
    assert seen.parameters["btl_tcp_if_include"] == "eth0"
    assert seen.parameters["oob_tcp_if_include"] == "eth0"
    assert seen.exported["NCCL_SOCKET_IFNAME"] == "eth0"
    assert seen.code != 0, "mpirun started no rank, which is no success"


@emulated
def test_a_number_of_processes_of_all_hosts(tmp_path: Path, jobs: List[RunningJob]) -> None:
    seen = two_hosts(tmp_path, jobs, sagemaker_mpi_num_of_processes_per_host="4", sagemaker_mpi_num_processes="6")
    assert seen.values("np", "n") == ["6"]
    assert list(seen.hosts.items()) == [("algo-1", 4), ("algo-2", 4)]


def test_names_that_are_sent_and_set(tmp_path: Path) -> None:
    """The contract's variables are in mpirun's environment and sent by name; secrets never have their value in argv."""
    secrets = {"AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": "a-secret", "AWS_SESSION_TOKEN": "a-token"}
    seen = one_host(tmp_path, environment={**secrets, "LD_LIBRARY_PATH": "/opt/lib"}, lr="0.1", note='"it\'s"')
    assert seen.code == 0, seen.log
    expected = {
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_NETWORK_INTERFACE_NAME": "eth0",
        "SM_CURRENT_INSTANCE_TYPE": "ml.m5.xlarge",
        "SM_CHANNELS": '["train"]',
        "SM_HPS": '{"lr":0.1,"note":"it\'s"}',
        "SM_HP_LR": "0.1",
        "SM_HP_NOTE": "it's",
        "SM_USER_ENTRY_POINT": "train.py",
        "SM_MODULE_NAME": "train",
        "SM_USER_ARGS": '["--lr","0.1","--note","it\'s"]',
        "SM_MODEL_DIR": str(tmp_path / "ml" / "model"),
        "SM_CHANNEL_TRAIN": str(tmp_path / "ml" / "input" / "data" / "train"),
    }
    assert {name: seen.environment.get(name) for name in expected} == expected
    assert set(expected) <= set(seen.exported)
    assert {"PATH", "LD_LIBRARY_PATH", "PYTHONPATH", *secrets} <= set(seen.exported)
    for value in secrets.values():
        assert not any(value in word for word in seen.argv)


def test_custom_options_replace_ours_and_are_shell_words(tmp_path: Path) -> None:
    options = (
        "--NCCL_DEBUG WARN -x A=\"b c\" -x D='$e' -mca btl tcp,self --mca pml cm -bind-to core --map-by node "
        "-mca btl_vader_single_copy_mechanism cma --timeout 600"
    )
    seen = one_host(tmp_path, sagemaker_mpi_custom_mpi_options=json.dumps(options))
    assert seen.code == 0, seen.log
    assert seen.exported["NCCL_DEBUG"] == "WARN"
    assert (seen.exported["A"], seen.exported["D"]) == ("b c", "$e")
    assert (seen.parameters["btl"], seen.parameters["pml"]) == ("tcp,self", "cm")
    assert seen.parameters["btl_vader_single_copy_mechanism"] == "cma"
    assert (seen.values("bind-to"), seen.values("map-by"), seen.values("timeout")) == (["core"], ["node"], ["600"])


EFA = {"FI_PROVIDER": "efa", "NCCL_PROTO": "simple"}
RDMA = {**EFA, "FI_EFA_USE_DEVICE_RDMA": "1"}


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ("ml.m5.xlarge", {}),
        ("ml.g5.2xlarge", {}),
        ("ml.p3.16xlarge", {}),
        ("ml.p3dn.24xlarge", EFA),
        ("ml.g5.48xlarge", EFA),
        ("ml.p4d.24xlarge", RDMA),
        ("ml.p4de.24xlarge", RDMA),
        ("ml.p5.48xlarge", RDMA),
        ("ml.p5e.48xlarge", RDMA),
        ("ml.p5en.48xlarge", RDMA),
        ("ml.trn1.32xlarge", RDMA),
        ("ml.p6-b200.48xlarge", RDMA),
    ],
)
def test_elastic_fabric_adapter_by_instance_type(tmp_path: Path, instance: str, expected: Dict[str, str]) -> None:
    seen = one_host(tmp_path, instance=instance)
    assert seen.code == 0, seen.log
    names = ("FI_PROVIDER", "NCCL_PROTO", "FI_EFA_USE_DEVICE_RDMA")
    assert {name: seen.exported[name] for name in names if name in seen.exported} == expected


def test_what_the_user_says_of_the_adapter_stands(tmp_path: Path) -> None:
    seen = one_host(tmp_path, instance="ml.p4d.24xlarge", sagemaker_mpi_custom_mpi_options="-x FI_PROVIDER=tcp")
    assert seen.exported["FI_PROVIDER"] == "tcp"
    assert seen.exported["NCCL_PROTO"] == "simple"


ARGUMENTS = {
    "a": "1",
    "batch-size": "64",
    "flag": "true",
    "layers": "[1, 2]",
    "map": '{"b": 2, "a": 1}',
    "none": "null",
    "rate": "1e-3",
    "text": '"it\'s a \\"b\\" $HOME"',
    "raw": "not json",
}


def test_arguments_of_the_script(tmp_path: Path) -> None:
    seen = one_host(tmp_path, **ARGUMENTS)
    assert seen.code == 0, seen.log
    expected = [
        *("-a", "1", "--batch-size", "64", "--flag", "True", "--layers", "[1, 2]", "--map", "a=1,b=2", "--none", ""),
        *("--rate", "0.001", "--raw", "not json", "--text", 'it\'s a "b" $HOME'),
    ]
    assert list(seen.argv[-len(expected) :]) == expected
    (line,) = [line.partition("] ")[2] for line in seen.log.splitlines() if line.startswith("[0,")]
    assert json.loads(line) == expected


def test_a_failing_script_fails_the_job(tmp_path: Path) -> None:
    seen = one_host(tmp_path, source="raise SystemExit(7)\n")
    assert seen.code == 7, seen.log
    assert (tmp_path / "ml" / "output" / "failure").exists()
    assert not (tmp_path / "ml" / "output" / "success").exists()
