"""Data, checkpoints, spot, groups, a VPC, tags, metrics and all else that a ModelTrainer asks for."""

import json
import os

import boto3
import kit
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.shapes import InstanceGroup
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import (
    Channel,
    CheckpointConfig,
    Compute,
    DataSource,
    InputData,
    MetricDefinition,
    Networking,
    OutputDataConfig,
    RetryStrategy,
    S3DataSource,
    SourceCode,
    StoppingCondition,
    Tag,
    TensorBoardOutputConfig,
)

session = Session()
bucket = session.default_bucket()
os.makedirs("data/deep")
for name in ("a.csv", "b.csv", "c.csv", "deep/d.csv"):
    with open(f"data/{name}", "w") as file:
        file.write(name)
uploaded = session.upload_data("data", key_prefix="fields/data")
s3 = boto3.client("s3")
s3.put_object(Bucket=bucket, Key="fields/checkpoints/epoch-0.pt", Body=b"earlier")


def source(distribution):
    """The data, to every host or divided."""
    return S3DataSource(s3_data_type="S3Prefix", s3_uri=uploaded, s3_data_distribution_type=distribution)


fast = Channel(channel_name="fast", data_source=DataSource(s3_data_source=source("FullyReplicated")), input_mode="FastFile")
trainers = {
    "channels": kit.trainer("f-channels", hosts=2),
    "plain": kit.trainer(
        "f-plain", output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/plain/", compression_type="NONE")
    ),
    "spot": kit.trainer(
        "f-spot",
        compute=Compute(
            instance_type="ml.c5.xlarge", instance_count=1, enable_managed_spot_training=True, keep_alive_period_in_seconds=None
        ),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=600, max_wait_time_in_seconds=1200),
        checkpoint_config=CheckpointConfig(s3_uri=f"s3://{bucket}/fields/checkpoints"),
    ),
    "warm": kit.trainer(
        "f-warm",
        compute=Compute(instance_type="ml.c5.xlarge", instance_count=1, volume_size_in_gb=50, keep_alive_period_in_seconds=600),
    ).with_checkpoint_config(),
    "groups": kit.trainer(
        "f-groups",
        compute=Compute(
            instance_groups=[
                InstanceGroup(instance_group_name="cpu", instance_type="ml.c5.xlarge", instance_count=1),
                InstanceGroup(instance_group_name="big", instance_type="ml.m5.4xlarge", instance_count=1),
            ],
            volume_size_in_gb=30,
        ),
    ),
    "private": kit.trainer(
        "f-private",
        networking=Networking(
            subnets=["subnet-0123456789abcdef0"],
            security_group_ids=["sg-0123456789abcdef0"],
            enable_network_isolation=True,
            enable_inter_container_traffic_encryption=True,
        ),
        tags=[Tag(key="team", value="vision"), Tag(key="cost", value="1")],
    ),
    "metrics": kit.trainer("f-metrics")
    .with_metric_definitions(
        [MetricDefinition(name="loss", regex="loss: ([0-9.]+)"), MetricDefinition(name="accuracy", regex="accuracy=([0-9.]+)")]
    )
    .with_retry_strategy(RetryStrategy(maximum_retry_attempts=2))
    .with_tensorboard_output_config(
        TensorBoardOutputConfig(s3_output_path=f"s3://{bucket}/boards", local_path="/opt/ml/output/tensorboard")
    ),
}
found = kit.train_all(
    trainers,
    channels=[
        InputData(channel_name="train", data_source=uploaded),
        InputData(channel_name="sharded", data_source=source("ShardedByS3Key")),
        InputData(channel_name="local", data_source="data"),
        fast,
    ],
)
for name, one in trainers.items():
    told = boto3.client("sagemaker").describe_training_job(TrainingJobName=one._latest_training_job.training_job_name)
    found[name]["described"] = told
private = trainers["private"]._latest_training_job
found["tags"] = boto3.client("sagemaker").list_tags(ResourceArn=private.training_job_arn)["Tags"]
found["objects"] = sorted(
    entry["Key"]
    for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]
    if entry["Key"].startswith(("fields/checkpoints", "boards", "plain/")) or "/checkpoints/" in entry["Key"]
)

elsewhere = Session(boto3.Session(region_name="eu-west-1"))
there = ModelTrainer(
    sagemaker_session=elsewhere,
    training_image=kit.IMAGE,
    source_code=SourceCode(source_dir=kit.SOURCE, entry_script="report.py"),
    base_job_name="f-elsewhere",
)
there.train(wait=False, logs=False)
job = there._latest_training_job
job.wait(poll=1)
found["elsewhere"] = {"arn": job.training_job_arn, "role": there.role, **kit.left(job)}
kit.result(json.loads(json.dumps(found, default=str)))
