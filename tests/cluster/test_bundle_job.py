"""Jobs run from the one-file runner, with nothing of hvdsm installed beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from container_jobs import OPEN_MPI, ROOT, RunningJob, write_host

from hvdsm.bundle import write
from hvdsm.emulator import ClusterSpec, EmulatedCluster, Mount

pytestmark = pytest.mark.cluster

HOSTS = ["algo-1", "algo-2"]
CHANNEL = "/opt/ml/input/data/hvdsm/hvdsm.pyz"
SCRIPT = """
import os, sys
from mpi4py import MPI
import hvdsm
world = MPI.COMM_WORLD
print("rank", world.rank, "of", world.allreduce(1), "on", os.environ["SM_CURRENT_HOST"], "by", hvdsm.__file__, flush=True)
print("preload", os.environ.get("LD_PRELOAD"), "step", hvdsm.is_rank_zero(), flush=True)
"""


@pytest.mark.parametrize("version", sorted(OPEN_MPI))
def test_two_hosts_run_mpi_from_one_file(tmp_path: Path, version: str) -> None:
    """As ContainerEntrypoint starts it in a stock image: an input channel has the file, and AWS's variables are there."""
    python = OPEN_MPI[version]
    if not os.path.exists(python):
        pytest.skip(f"Open MPI {version} is not in {python}: make setup installs it")
    for host in HOSTS:
        write_host(tmp_path, host, HOSTS, SCRIPT, {"sagemaker_mpi_num_of_processes_per_host": "2"})
        channel = tmp_path / host / "input" / "data" / "hvdsm"
        channel.mkdir(parents=True)
        write(str(channel / "hvdsm.pyz"))
    mounts = tuple(Mount(str(tmp_path / host), "/opt/ml", host=host, writable=True) for host in HOSTS)
    environment = {
        "HVDSM_REHEARSAL": "1",
        "HVDSM_OUTCOME_FILE": "/opt/ml/outcome.json",
        "HVDSM_MPIRUN": os.path.join(os.path.dirname(python), "mpirun"),
        "SAGEMAKER_TRAINING_MODULE": "sagemaker_pytorch_container.training:main",
        "LD_PRELOAD": "/usr/local/lib/libchangehostname.so",
        "PYTHONPATH": "",
    }
    with EmulatedCluster.start(
        ClusterSpec(2, mounts=mounts, visible=(os.path.dirname(os.path.dirname(python)), ROOT))
    ) as cluster:
        job = RunningJob(cluster, tmp_path, python, {}, {host: tmp_path / f"{host}.log" for host in HOSTS})
        for host in HOSTS:
            with job.logs[host].open("wb") as log:
                # -P or a path of the working tree must not decide: the directory is the root of the host.
                job.programs[host] = cluster.popen(host, [python, CHANNEL], env=environment, stdout=log, stderr=log, cwd="/")
        assert job.codes() == {"algo-1": 0, "algo-2": 0}, job.everything()
        text = job.read("algo-1")
        for rank in range(4):
            host = HOSTS[rank // 2]
            assert f"[{rank},{host}] rank {rank} of 4 on {host} by {CHANNEL}/hvdsm/__init__.py\n" in text, job.everything()
        assert text.count("preload None") == 4, text
        for host in HOSTS:
            assert "is AWS's own and is left out" in job.read(host)
            assert "LD_PRELOAD: /usr/local/lib/libchangehostname.so is left out" in job.read(host)
            assert (tmp_path / host / "output" / "success").exists()
            assert [line for line in job.left_over(host) if "hvdsm.pyz" in line or "train.py" in line] == []


def test_a_bare_python_3_8_runs_it(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
    import check

    python = check.find_oldest()
    if not python:
        pytest.skip("no Python 3.8: put python3.8 on PATH, or name one by PYTHON38")
    script = (
        "import sys, hvdsm\n"
        "print(sys.version_info[:2], [m for m in sys.modules.values() if 'site-packages' in str(m)], sys.argv[1:])\n"
    )
    write_host(tmp_path, "algo-1", ["algo-1"], script, {"sagemaker_mpi_enabled": "false", "name": "a b\n'c'"})
    bundle = write(str(tmp_path / "hvdsm.pyz")).path
    done = subprocess.run(
        [python, "-I", "-S", bundle],
        env={"PATH": "/usr/bin:/bin", "SAGEMAKER_BASE_DIR": str(tmp_path / "algo-1")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
    assert "[0,algo-1] (3, 8) [] " + repr(["--name", "a b\n'c'"]) in done.stdout
    assert (tmp_path / "algo-1" / "output" / "success").exists()
    failing = "raise ValueError('bad batch')\n"
    (tmp_path / "algo-1" / "code" / "train.py").write_text(failing)
    done = subprocess.run(
        [python, "-I", "-S", bundle],
        env={
            "PATH": "/usr/bin:/bin",
            "SAGEMAKER_BASE_DIR": str(tmp_path / "algo-1"),
            "HVDSM_OUTCOME_FILE": str(tmp_path / "outcome.json"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1, done.stdout
    assert json.loads((tmp_path / "outcome.json").read_text())["failure"]["exception"] == "ValueError"
