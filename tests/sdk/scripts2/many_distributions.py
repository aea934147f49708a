"""Ways to start ranks."""

# ruff: noqa: UP031

import json
import os
from concurrent.futures import ThreadPoolExecutor

import boto3
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.instance_group import InstanceGroup
from sagemaker.pytorch import PyTorch
from sagemaker.tensorflow import TensorFlow

HERE = os.path.dirname(os.path.abspath(__file__))
groups = [InstanceGroup("head", "ml.c5.xlarge", 1), InstanceGroup("workers", "ml.m5.large", 2)]


def torch(script, **arguments):
    """A PyTorch estimator."""
    given = {"instance_count": 2, "instance_type": "ml.g4dn.xlarge", **arguments}
    return PyTorch(
        entry_point=script, source_dir=os.path.join(HERE, "source"), role="arn:aws:iam::123456789012:role/R",
        framework_version="2.0.1", py_version="py310", **given,
    )  # fmt: skip


def tensorflow(script, **arguments):
    """A TensorFlow estimator."""
    return TensorFlow(
        entry_point=script, source_dir=os.path.join(HERE, "source"), role="arn:aws:iam::123456789012:role/R", instance_count=2,
        instance_type="ml.m5.large", framework_version="2.12", py_version="py310", **arguments,
    )  # fmt: skip


options = "--mca btl_vader_single_copy_mechanism none -x GREETING=hello"
estimators = {
    "three": torch("ranks_mpi.py", instance_count=3, distribution={"mpi": {"enabled": True, "custom_mpi_options": options}}),
    "groups": torch(
        "ranks_mpi.py",
        instance_count=None,
        instance_type=None,
        instance_groups=groups,
        distribution={"mpi": {"enabled": True, "processes_per_host": 2}, "instance_groups": groups[1:]},
    ),
    "alone": torch("ranks_mpi.py", instance_count=1),
    "torchrun": torch("ranks_torch.py", distribution={"torch_distributed": {"enabled": True}}),
    "ddp": torch("ranks_torch.py", instance_type="ml.p3.16xlarge", distribution={"pytorchddp": {"enabled": True}}),
    "mirrored": tensorflow("mirrored.py", distribution={"multi_worker_mirrored_strategy": {"enabled": True}}),
    "servers": tensorflow("mirrored.py", distribution={"parameter_server": {"enabled": True}}),
}
for name, estimator in estimators.items():
    estimator.fit(wait=False, job_name="ranks-" + name)
logs = boto3.client("logs")
group = {"logGroupName": "/aws/sagemaker/TrainingJobs"}


def finish(name):
    """Wait for a job; all lines of its log, or why it failed."""
    try:
        estimators[name].latest_training_job.wait(logs=False)
    except UnexpectedStatusException as error:
        return [str(error)]
    streams = logs.describe_log_streams(logStreamNamePrefix="ranks-%s/" % name, **group)["logStreams"]
    pages = [logs.get_log_events(logStreamName=s["logStreamName"], startFromHead=True, **group)["events"] for s in streams]
    return [event["message"] for page in pages for event in page]


with ThreadPoolExecutor(len(estimators)) as pool:
    print("RESULT", json.dumps(dict(zip(estimators, pool.map(finish, estimators)))))
