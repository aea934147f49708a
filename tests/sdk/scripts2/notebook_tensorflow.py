"""The steps of a notebook: data into S3, a TensorFlow estimator with Horovod on two instances, its metrics, its model."""

# ruff: noqa: UP031

import json
import os
import tarfile

import sagemaker
from sagemaker.s3 import S3Downloader
from sagemaker.tensorflow import TensorFlow

HERE = os.path.dirname(os.path.abspath(__file__))

sagemaker_session = sagemaker.Session()
bucket = sagemaker_session.default_bucket()
role = sagemaker.get_execution_role()

os.makedirs("data", exist_ok=True)
with open("data/points.csv", "w") as file:
    for i in range(64):
        file.write("%f,%f,%f\n" % (i / 64, 1 - i / 64, 2 * (i / 64) - (1 - i / 64)))
inputs = sagemaker_session.upload_data(path="data", bucket=bucket, key_prefix="sagemaker/DEMO-horovod")

distribution = {
    "mpi": {
        "enabled": True,
        "processes_per_host": 2,
        "custom_mpi_options": "-verbose --NCCL_DEBUG=INFO -x HOROVOD_CYCLE_TIME=1",
    }
}
estimator = TensorFlow(
    entry_point="train_horovod.py",
    source_dir=os.path.join(HERE, "source"),
    role=role,
    instance_count=2,
    instance_type="ml.p3.2xlarge",
    framework_version="2.12",
    py_version="py310",
    hyperparameters={"epochs": 20, "lr": 0.3},
    metric_definitions=[{"Name": "train:loss", "Regex": "loss: ([0-9.]+)"}],
    distribution=distribution,
    tags=[{"Key": "project", "Value": "demo"}],
    base_job_name="tf-horovod-demo",
)
estimator.fit({"train": inputs})

S3Downloader.download(estimator.model_data, "model")
with tarfile.open("model/model.tar.gz") as tar:
    names = tar.getnames()
told = estimator.latest_training_job.describe()
print(
    "RESULT",
    json.dumps(
        {
            "name": estimator.latest_training_job.name,
            "model_data": estimator.model_data,
            "names": names,
            "describe": told,
            "frame": estimator.training_job_analytics.dataframe().to_dict("records"),
            "role": role,
            "account": sagemaker_session.account_id(),
            "tags": sagemaker_session.sagemaker_client.list_tags(ResourceArn=told["TrainingJobArn"])["Tags"],
        },
        default=str,
    ),
)
