"""Pages of the documentation whose commands need what the tests here do not have, and the tests that run them."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable, List

ELSEWHERE: Dict[str, str] = {
    # A SageMaker service, files of the page.
    "docs/cloud.md": "tests/aws/test_docs_cloud.py",
    "docs/vpc.md": "tests/aws/test_docs_vpc.py",
    "docs/images.md": "tests/aws/test_docs_images.py",
    "docs/jobs.md": "tests/aws/test_jobs_replay.py",
    "docs/configuration.md": "tests/unit/test_settings_docs.py",
    # Whatever there is on this machine, said as JSON.
    "docs/doctor.md": "tests/cluster/test_doctor_local.py",
    # A container engine.
    "docs/compose.md": "tests/unit/test_docs_compose.py",
    # Graphs in S3.
    "docs/graphs.md": "tests/unit/test_docs_graphs.py",
    # The SageMaker SDKs.
    "docs/local-mode.md": "tests/sdk/test_local_mode_docs.py",
    "docs/sandbox.md": "tests/sdk/test_sandbox_command_docs.py",
    "docs/sdk2.md": "tests/sdk/test_sdk2_adapter_docs.py",
    "docs/sdk3.md": "tests/sdk/test_sdk3_adapter_docs.py",
    # Data and minutes.
    "examples/gcmc_movielens/README.md": "tests/graph/test_gcmc_training.py",
    "examples/graphstorm_mag/README.md": "tests/graph/test_mag_chain.py",
    "examples/lightning_cifar/README.md": "tests/workloads/test_lightning_hosts.py",
    "examples/mnist_tf_horovod/README.md": "tests/workloads/test_mnist_tf_notebook.py",
}

# Trainings of the README, run and looked at by tests/examples/test_rehearsals.py.
REHEARSED: Dict[str, str] = {
    "mnist_torch_horovod": (
        "hvdsm launch --instance-count 2 --processes-per-host 2 --hp epochs=5 examples/mnist_torch_horovod/train.py"
    ),
    "ddp_torch": "hvdsm launch --instance-count 2 --processes-per-host 2 examples/ddp_torch/train.py",
}
# Run and looked at by test_bench_network.py.
BENCH = "hvdsm bench network --instance-count 4 --quick --slow-host algo-3:delay-ms=20,mbit=100"


def here(root: str, documents: Iterable[Path]) -> List[Path]:
    """Those of some documents whose commands are run here."""
    return [document for document in documents if document.relative_to(root).as_posix() not in ELSEWHERE]
