"""One script with every kind of estimator; the jobs are started together and waited for one after the other."""

# ruff: noqa: UP031

import json
import os
from concurrent.futures import ThreadPoolExecutor

import boto3
import sagemaker
from sagemaker import image_uris
from sagemaker.estimator import Estimator
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.huggingface import HuggingFace
from sagemaker.mxnet import MXNet
from sagemaker.pytorch import PyTorch
from sagemaker.s3 import S3Downloader, S3Uploader
from sagemaker.sklearn import SKLearn
from sagemaker.tensorflow import TensorFlow
from sagemaker.xgboost import XGBoost

HERE = os.path.dirname(os.path.abspath(__file__))
session = sagemaker.Session(boto3.Session(region_name="eu-west-1"))
S3Uploader.upload_string_as_file_body("1,2\n", "s3://%s/data/a.csv" % session.default_bucket(), sagemaker_session=session)
data = "s3://%s/data" % session.default_bucket()
common = {
    "entry_point": "report.py",
    "source_dir": os.path.join(HERE, "source"),
    "role": "SageMakerRole",
    "instance_count": 1,
    "instance_type": "ml.m5.large",
    "sagemaker_session": session,
}
image = image_uris.retrieve(
    "pytorch", "eu-west-1", version="2.0.1", py_version="py310", instance_type="ml.m5.large", image_scope="training"
)
own = {key: value for key, value in common.items() if key not in ("entry_point", "source_dir")}
estimators = {
    "pytorch": PyTorch(framework_version="2.0.1", py_version="py310", **common),
    "tensorflow": TensorFlow(framework_version="2.12", py_version="py310", model_dir=False, **common),
    "xgboost": XGBoost(framework_version="1.7-1", **common),
    "sklearn": SKLearn(framework_version="1.2-1", **common),
    "mxnet": MXNet(framework_version="1.9.0", py_version="py38", **common),
    "huggingface": HuggingFace(
        transformers_version="4.28.1", pytorch_version="2.0.0", py_version="py310", **{**common, "instance_type": "ml.g5.xlarge"}
    ),
    "generic": Estimator(image_uri=image, hyperparameters={"a": 1}, **common),
    "ownimage": Estimator(
        image_uri="123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine:1",
        container_entry_point=[
            "python3",
            "-c",
            "import os; open('/opt/ml/model/' + os.environ['TRAINING_JOB_NAME'], 'w').close()",
        ],
        **own,
    ),
    "builtin": Estimator(image_uri=image_uris.retrieve("linear-learner", "eu-west-1"), **own),
}
for name, estimator in estimators.items():
    estimator.fit({"train": data}, wait=False, job_name="kind-" + name)


def finish(name):
    """Wait for a job, and bring its model here."""
    try:
        estimators[name].latest_training_job.wait(logs=False)
    except UnexpectedStatusException as error:
        return [error.actual_status, str(error)]
    S3Downloader.download(estimators[name].model_data, "models/" + name, sagemaker_session=session)
    return [os.listdir("models/" + name), estimators[name].model_data]


with ThreadPoolExecutor(len(estimators)) as pool:
    found = dict(zip(estimators, pool.map(finish, estimators)))
print("RESULT", json.dumps(found))
