"""Pages of the documentation whose commands need what the tests here do not have, and the tests that run them."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable, List

ELSEWHERE: Dict[str, str] = {
    # A SageMaker service, files of the page.
    "docs/cloud.md": "tests/aws/test_docs_cloud.py",
    "docs/jobs.md": "tests/aws/test_jobs_replay.py",
    "docs/configuration.md": "tests/unit/test_settings_docs.py",
    # The SageMaker SDKs.
    "docs/local-mode.md": "tests/sdk/test_local_mode_docs.py",
    "docs/sandbox.md": "tests/sdk/test_sandbox_command_docs.py",
    "docs/sdk2.md": "tests/sdk/test_sdk2_adapter_docs.py",
    "docs/sdk3.md": "tests/sdk/test_sdk3_adapter_docs.py",
    # Data and minutes.
    "examples/lightning_cifar/README.md": "tests/workloads/test_lightning_hosts.py",
    "examples/mnist_tf_horovod/README.md": "tests/workloads/test_mnist_tf_notebook.py",
}


def here(root: str, documents: Iterable[Path]) -> List[Path]:
    """Those of some documents whose commands are run here."""
    return [document for document in documents if document.relative_to(root).as_posix() not in ELSEWHERE]
