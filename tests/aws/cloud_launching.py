"""How the tests of ``hvdsm launch --backend sagemaker`` run it: as a command, beside a sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import hvdsm

ROOT = str(Path(hvdsm.__file__).parent.parent)
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"
ROLE = "arn:aws:iam::123456789012:role/hvdsm-training"
BASE = ("--backend", "sagemaker", "--image", IMAGE, "--role", ROLE, "--instance-type", "ml.c5.xlarge")


@dataclass(frozen=True)
class Ended:
    """A command that has ended: what it printed, all in one."""

    code: int
    text: str

    @property
    def lines(self) -> List[str]:
        """Its lines."""
        return self.text.splitlines()


def variables(sandbox: Any, extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """The variables of a command that uses the sandbox, and nothing of this machine's own AWS configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HVDSM_", "SAGEMAKER_", "S3_PATH"))}
    paths = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    return {**kept, **nothing, **sandbox.environ(), "PYTHONPATH": paths, **(extra or {})}


def start(sandbox: Any, where: Path, *words: str, env: Optional[Mapping[str, str]] = None) -> subprocess.Popen[str]:
    """Start ``hvdsm WORDS…`` in a directory."""
    return subprocess.Popen(
        [sys.executable, "-m", "hvdsm", *words],
        cwd=where,
        env=variables(sandbox, env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], timeout: float = 240) -> Ended:
    """Wait for its end."""
    out, _ = process.communicate(timeout=timeout)
    return Ended(process.returncode, out)


def hvdsm_command(sandbox: Any, where: Path, *words: str, env: Optional[Mapping[str, str]] = None) -> Ended:
    """Run ``hvdsm WORDS…`` in a directory."""
    return ended(start(sandbox, where, *words, env=env))


def launch(sandbox: Any, where: Path, *words: str, env: Optional[Mapping[str, str]] = None) -> Ended:
    """Run ``hvdsm launch`` with an image, role and instance type."""
    return hvdsm_command(sandbox, where, "launch", *BASE, *words, env=env)


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """The output up to the line that has a word."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if word in line:
            return "".join(seen)
    raise AssertionError(f"{word!r} never came:\n{''.join(seen)}")


def outcome_of(where: Path, name: str) -> Dict[str, Any]:
    """``outcome.json`` of a job."""
    found: Dict[str, Any] = json.loads((where / "hvdsm-out" / name / "outcome.json").read_text())
    return found


def created(sandbox: Any) -> List[Dict[str, Any]]:
    """The requests that CreateTrainingJob was called with."""
    return [dict(body) for operation, body in sandbox.requests if operation == "CreateTrainingJob"]
