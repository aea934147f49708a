"""What docs/local-mode.md shows is run as it stands."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import List

from sdk_support import client_environment, run_command

from hvdsm.sandbox import Sandbox
from hvdsm.sdk import local

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "local-mode.md"
TRAIN = """
import os, socket
with open("/opt/ml/model/%s-%s" % (socket.gethostname(), os.environ.get("OMPI_COMM_WORLD_RANK")), "w") as file:
    file.write(os.listdir("/opt/ml/input/data/train")[0])
"""


def block(name: str) -> str:
    """The only block of Python of that name."""
    blocks: List[str] = re.findall(rf"^```python {name}\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    (text,) = blocks
    return text


def run_block(python: str, name: str, sandbox: Sandbox, directory: Path) -> str:
    for folder, file, text in (("src", "train.py", TRAIN), ("data", "a.txt", "1")):
        (directory / folder).mkdir()
        (directory / folder / file).write_text(text)
    (directory / "fit.py").write_text(block(name))
    environ = local.environment(client_environment(sandbox, directory, PATH="/usr/bin:/bin"), {"hosts": "namespaces"})
    ran = run_command([python, "fit.py"], environ, directory)
    assert ran.code == 0, ran.output
    return ran.output


def models(archive: Path) -> List[str]:
    with tarfile.open(archive) as tar:
        return sorted(member.name for member in tar if member.isfile())


def test_the_block_of_sdk_2(sdk2: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    output = run_block(sdk2, "sdk2", shared_sandbox, tmp_path)
    assert f"file://{tmp_path}/out/model.tar.gz\n" in output and "algo-1  | hvdsm: 2 of 2 hosts joined (" in output
    assert models(tmp_path / "out" / "model.tar.gz") == ["algo-1-0", "algo-1-1", "algo-2-2", "algo-2-3"]


def test_the_block_of_sdk_3(sdk3: str, shared_sandbox: Sandbox, tmp_path: Path) -> None:
    run_block(sdk3, "sdk3", shared_sandbox, tmp_path)
    assert models(tmp_path / "compressed_artifacts" / "model.tar.gz") == ["algo-1-None"]
