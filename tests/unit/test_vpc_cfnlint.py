"""The template is clean for cfn-lint, with strict types and its warnings and hints, in regions of every partition."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Tuple

import pytest

import hvdsm

TEMPLATE = Path(hvdsm.__file__).parent.parent / "vpc" / "training-cluster.yaml"
STRICT = ["-c", "I", "-x", "E3012:strict=true"]


def lint(path: Path, *regions: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "cfn-lint"
    if not program.exists():
        pytest.skip("cfn-lint is not in this environment: make setup")
    return subprocess.run(
        [str(program), "--regions", *regions, *STRICT, "--", str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=path.parent,
    )


@pytest.mark.parametrize("regions", [("us-east-1", "eu-central-1"), ("us-gov-west-1", "cn-north-1")], ids="-".join)
def test_the_template_is_clean(regions: Tuple[str, ...]) -> None:
    done = lint(TEMPLATE, *regions)
    assert done.returncode == 0 and done.stdout.strip() == "", done.stdout + done.stderr


def test_types_are_strict(tmp_path: Path) -> None:
    """What would be changed silently, as a port that is a text, is seen: the option is in force."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TEMPLATE.read_text().replace("FromPort: 500\n", 'FromPort: "500"\n', 1))
    done = lint(wrong, "us-east-1")
    assert done.returncode != 0 and "E3012" in done.stdout, done.stdout
