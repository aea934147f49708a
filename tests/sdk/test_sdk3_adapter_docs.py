"""The code blocks of docs/sdk3.md, one after another, as one script."""

from __future__ import annotations

import re
from pathlib import Path

from sdk3_adapter_support import ROOT, lines_of, run_with_hvdsm

from hvdsm.sandbox import Sandbox

# Each tells the log what it has been given.
TRAIN = "import os, sys\nprint('given', os.environ.get('GREETING'), *sys.argv[1:], flush=True)\n"


def test_the_blocks_run(sdk3: str, sandbox: Sandbox, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "sdk3.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(TRAIN)
    (tmp_path / "src" / "train_torch.py").write_text(TRAIN)
    (tmp_path / "fit.py").write_text("\n".join(blocks))
    ran = run_with_hvdsm(sdk3, tmp_path / "fit.py", sandbox, tmp_path)
    assert ran.code == 0, ran.output
    jobs = list(sandbox.jobs.values())
    assert [job.status for job in jobs] == ["Completed"] * 3
    said = [sorted(line for line in lines_of(job, "algo-1") if "given" in line and line.startswith("[")) for job in jobs]
    words = "--epochs 3 --augment true --layers [64, 32]"
    ranks = ("[0,algo-1]", "[1,algo-1]", "[2,algo-2]", "[3,algo-2]")
    assert said[0] == [f"{rank} given None {words}" for rank in ranks]
    assert said[1] == [f"{rank} given it's me {words} --note don't" for rank in ranks]
    assert said[2] == said[0]
