"""Running scripts of the SDK 3 that import hvdsm, and reading what came of their jobs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

from sdk_support import Ran, run_command, script_environment

from hvdsm.sandbox import Sandbox
from hvdsm.sandbox.jobs import TrainingJob

ROOT = Path(__file__).resolve().parents[2]


def run_with_hvdsm(python: str, script: Path, sandbox: Sandbox, directory: Path, **variables: str) -> Ran:
    """Run a script by an SDK's interpreter in which hvdsm can be imported."""
    environment = dict(script_environment(sandbox, directory, **variables))
    environment["PYTHONPATH"] = os.pathsep.join([*filter(None, [environment.get("PYTHONPATH")]), str(ROOT)])
    return run_command([python, str(script)], environment, directory)


def lines_of(job: TrainingJob, host: str) -> List[str]:
    """What CloudWatch Logs has of a host."""
    with job.store.lock:
        streams = job.store.groups["/aws/sagemaker/TrainingJobs"].streams
        (found,) = [stream for name, stream in streams.items() if name.startswith(f"{job.name}/{host}-")]
        return [event.message for event in found.events]
