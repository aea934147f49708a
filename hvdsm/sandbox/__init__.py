"""A SageMaker service on this machine: training jobs with their whole life, CloudWatch Logs, and, by moto, the rest of AWS.

::

    with Sandbox.start(runner="emulated", directory="runs") as sandbox:
        os.environ.update(sandbox.environ())
        boto3.client("sagemaker").create_training_job(...)      # trains, on emulated hosts

Where things happen: ``server`` speaks HTTP; ``wire`` knows the protocols; ``sandbox`` decides who answers; ``training`` and
``logs`` are the services; ``jobs`` is a job's state; ``script`` plays a job, ``emulated`` runs one; ``faults`` go in between.
"""

from __future__ import annotations

from hvdsm.sandbox.faults import Fault, Faults
from hvdsm.sandbox.jobs import GROUP, TrainingJob
from hvdsm.sandbox.sandbox import EMULATED, INSTANT, Sandbox
from hvdsm.sandbox.script import Pace, Script, Step
from hvdsm.sandbox.stacks import Stacks, StackScript
from hvdsm.sandbox.wire import Request, ServiceError

__all__ = [
    "EMULATED",
    "GROUP",
    "INSTANT",
    "Fault",
    "Faults",
    "Pace",
    "Request",
    "Sandbox",
    "Script",
    "ServiceError",
    "StackScript",
    "Stacks",
    "Step",
    "TrainingJob",
]
