"""What the scripts beside it have in common: trainers of the same image, jobs that run together, models that are looked into."""

import json
import os
import tarfile
import tempfile

import boto3
from sagemaker.core.utils.exceptions import FailedStatusError
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6-cpu-py312"
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "source")


def trainer(name, entry_script="report.py", hosts=1, **fields):
    """A ModelTrainer on hosts of one type, with the code beside this file."""
    fields.setdefault("source_code", SourceCode(source_dir=SOURCE, entry_script=entry_script))
    fields.setdefault("compute", Compute(instance_type="ml.c5.xlarge", instance_count=hosts))
    fields.setdefault("training_image", IMAGE)
    return ModelTrainer(base_job_name=name, **{"role": ROLE, **fields})


def train_all(trainers, **channels):
    """Start all jobs, then wait for each; what each has come to."""
    for name, one in trainers.items():
        one.train(wait=False, logs=False, input_data_config=channels.get(name))
    return {name: end_of(one._latest_training_job) for name, one in trainers.items()}


def end_of(job):
    """Wait for a job: its statuses, what the SDK says of its failure, and what it has left in S3."""
    found = {"error": None}
    try:
        job.wait(poll=1, logs=True)
    except FailedStatusError as error:
        found["error"] = str(error)
    return {**found, "status": [job.training_job_status, job.secondary_status], "reason": job.failure_reason or None, **left(job)}


def left(job):
    """What is at the job's place in S3, and the JSON files of its model."""
    bucket, _, prefix = f"{job.output_data_config.s3_output_path}/{job.training_job_name}/".partition("s3://")[2].partition("/")
    s3 = boto3.client("s3")
    keys = [entry["Key"][len(prefix) :] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())]
    kept = sorted(key for key in keys if not key.startswith("input/"))
    found = {"s3": kept, "told": {}, "model": []}
    if "output/model.tar.gz" in kept:
        assert job.model_artifacts.s3_model_artifacts == f"s3://{bucket}/{prefix}output/model.tar.gz"
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
            s3.download_fileobj(bucket, f"{prefix}output/model.tar.gz", file)
            file.flush()
            with tarfile.open(file.name) as tar:
                names = [member.name for member in tar.getmembers() if member.isfile()]
                found["model"] = sorted(names)
                found["told"] = {
                    name[: -len(".json")]: json.load(tar.extractfile(name)) for name in names if name.endswith(".json")
                }
    return found


def result(found):
    """Tell the test."""
    print("RESULT", json.dumps(found, default=str), flush=True)


def lines(job):
    """A job's log so far."""
    logs = boto3.client("logs")
    try:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job.training_job_name}/"
        )
        return [event["message"] for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []
