"""A job that is looked at, attached to and stopped from outside; and one that goes on from its model."""

import json
import os
import time

import boto3
import sagemaker
from botocore.exceptions import ClientError
from sagemaker.analytics import TrainingJobAnalytics
from sagemaker.estimator import Estimator
from sagemaker.pytorch import PyTorch

HERE = os.path.dirname(os.path.abspath(__file__))
session = sagemaker.Session()
found = {}


def torch(**arguments):
    """An estimator."""
    given = {"entry_point": "report.py", "source_dir": os.path.join(HERE, "source"), **arguments}
    return PyTorch(
        role="arn:aws:iam::123456789012:role/R", framework_version="2.0.1", py_version="py310", instance_count=1,
        instance_type="ml.c5.xlarge", **given,
    )  # fmt: skip


def said(name):
    """All that a job has written into its log until now."""
    logs, group = boto3.client("logs"), {"logGroupName": "/aws/sagemaker/TrainingJobs"}
    try:
        events = logs.filter_log_events(logStreamNamePrefix=name + "/", **group)["events"]
    except ClientError:
        return ""
    return "\n".join(event["message"] for event in events)


os.makedirs("waits", exist_ok=True)
with open("waits/train.py", "w") as file:
    file.write("import time\nopen('/opt/ml/model/half', 'w').close()\nprint('waits', flush=True)\ntime.sleep(600)\n")
long = torch(entry_point="train.py", source_dir="waits")
long.fit(wait=False, job_name="long-one")
while "waits" not in said("long-one"):
    time.sleep(0.5)
session.stop_training_job("long-one")
attached = PyTorch.attach("long-one", sagemaker_session=session)
told = session.describe_training_job("long-one")
found["stopped"] = [told["TrainingJobStatus"], told["SecondaryStatus"], attached.hyperparameters(), attached.model_data]

metrics = [{"Name": "loss", "Regex": "loss: ([0-9.]+)"}, {"Name": "accuracy", "Regex": "accuracy=([0-9.]+)"}]
first = torch(metric_definitions=metrics, base_job_name="first", hyperparameters={"a": {"b": [1]}})
first.fit(logs="All", experiment_config={"ExperimentName": "e", "TrialName": "t"})
again = Estimator.attach(first.latest_training_job.name)
found["attached"] = [again.model_data == first.model_data, again.hyperparameters()]
frame = TrainingJobAnalytics(first.latest_training_job.name, metric_names=["accuracy"]).dataframe()
found["frame"] = frame[["metric_name", "value"]].to_dict("records")
found["final"] = {m["MetricName"]: m["Value"] for m in first.latest_training_job.describe()["FinalMetricDataList"]}

second = torch()
second.fit({"model": first.model_data}, logs="None", job_name="second-one")
try:
    second.fit({"model": first.model_data}, job_name="second-one")
except ClientError as error:
    found["twice"] = str(error)
found["listed"] = [
    entry["TrainingJobName"]
    for entry in session.sagemaker_client.list_training_jobs(NameContains="-one", SortBy="CreationTime")["TrainingJobSummaries"]
]
session.logs_for_job("second-one", wait=True)
print("RESULT", json.dumps(found))
