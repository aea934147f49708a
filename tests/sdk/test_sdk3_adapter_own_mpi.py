"""The SDK 3's own ``MPI()``: it does what it does in the cloud, says so, and leaves this machine as it is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Dict, List

from sdk3_adapter_support import lines_of
from sdk_support import run_script

from hvdsm.sandbox import Sandbox

FIT = """
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode
from sagemaker.train.distributed import MPI

trainer = ModelTrainer(
    training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1",
    role="arn:aws:iam::123456789012:role/sagemaker",
    base_job_name="own",
    compute=Compute(instance_type="ml.c5.xlarge", instance_count=2),
    source_code=SourceCode(source_dir="sources", entry_script="train.py"),
    distributed=MPI(process_count_per_node=2),
)
trainer.train()
"""
TRAIN = """
import os
from mpi4py import MPI

hosts = MPI.COMM_WORLD.gather(os.environ["SM_CURRENT_HOST"])
if hosts:
    print("the ranks are on", *hosts)
"""
# What the SDK's driver writes to, makes or starts.
TOUCHED = ("/etc/environment", "/root/.ssh", os.path.expanduser("~/.ssh"), "/etc/ssh", "/run/sshd", "/var/run/sshd.pid")
MADE = ("/tmp/done.algo-1", "/tmp/ready.algo-1", "/tmp/ready.algo-2")


def state(paths: List[str]) -> Dict[str, str]:
    """What files hold; directories stand for all that is in them."""
    found = {}
    for path in map(Path, paths):
        for file in [path, *path.rglob("*")]:
            digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
            found[str(file)] = f"{digest} {file.stat().st_mtime_ns}" if file.exists() else "absent"
    return found


def listens_on_ssh() -> bool:
    """Whether a socket of this machine listens on port 22."""
    found = []
    for name in ("tcp", "tcp6"):
        lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        found += [line.split()[1].rpartition(":")[2] for line in lines if line.split()[3] == "0A"]
    return f"{22:04X}" in found


def test_all_ranks_are_on_the_first_host_and_nothing_else_is_touched(sdk3: str, emulated_hosts: None, tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "train.py").write_text(TRAIN)
    (tmp_path / "fit.py").write_text(FIT)
    before, listened = state([*TOUCHED, *MADE]), listens_on_ssh()
    said: List[str] = []
    with Sandbox.start(runner="emulated", directory=str(tmp_path / "jobs"), say=said.append) as sandbox:
        ran = run_script(sdk3, tmp_path / "fit.py", sandbox, tmp_path)
        (job,) = sandbox.jobs.values()
        logged = lines_of(job, "algo-1")
    assert ran.code == 0, ran.output
    assert job.status == "Completed"
    assert any("the ranks are on algo-1 algo-1" in line for line in logged)
    for place in (said, logged):
        (warning,) = [line for line in place if "every rank runs on the first host" in line]
        assert "hvdsm.sdk.v3.MPI" in warning
        assert "hvdsm launch" in warning
    assert state([*TOUCHED, *MADE]) == before
    assert listens_on_ssh() == listened
