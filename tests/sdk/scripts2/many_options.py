"""Arguments of estimators and of fit."""

# ruff: noqa: UP031

import io
import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

import boto3
from sagemaker.debugger import (
    CollectionConfig,
    DebuggerHookConfig,
    ProfilerConfig,
    ProfilerRule,
    Rule,
    TensorBoardOutputConfig,
    rule_configs,
)
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.inputs import ShuffleConfig, TrainingInput
from sagemaker.pytorch import PyTorch
from sagemaker.s3 import S3Downloader, S3Uploader

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "source")
ROLE = "arn:aws:iam::123456789012:role/R"
s3 = boto3.client("s3")
s3.create_bucket(Bucket="options")
for i in range(4):
    S3Uploader.upload_string_as_file_body("row %d\n" % i, "s3://options/shard/part-%d.csv" % i)
entries = [{"prefix": "s3://options/shard/"}, "part-1.csv", "part-2.csv"]
S3Uploader.upload_string_as_file_body(json.dumps(entries), "s3://options/list.manifest")
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as tar:
    tar.add(os.path.join(SOURCE, "report.py"), "report.py")
s3.put_object(Bucket="options", Key="code/sourcedir.tar.gz", Body=packed.getvalue())
os.makedirs("library", exist_ok=True)
with open("library/helper.py", "w") as file:
    file.write("VALUE = 'from a dependency'\n")


def script(name, text):
    """A source directory of one script."""
    os.makedirs(name, exist_ok=True)
    with open(name + "/train.py", "w") as file:
        file.write(text)
    return {"entry_point": "train.py", "source_dir": name}


def torch(**arguments):
    """An estimator of one instance whose script reports what it got."""
    given = {"entry_point": "report.py", "source_dir": SOURCE, "instance_count": 1, "instance_type": "ml.c5.xlarge", **arguments}
    return PyTorch(role=ROLE, framework_version="2.0.1", py_version="py310", **given)


HYPERPARAMETERS = {
    "quotes": 'it\'s "so" $HOME `x` \\ %s',
    "lines": "a\nb\tc",
    "unicode": "héllo ✓ 日本",
    "nested": {"a": [1, 2.5, None, True], "b": {"c": "x y"}},
    "list": [1, "two"],
    "flag": True,
    "nothing": None,
    "empty": "",
    "number": "007",
    "long": "x" * 2000,
    "batch-size": 64,
    "rate": 1e-05,
}
both = "for place in ('model', 'output/data'):\n    open('/opt/ml/' + place + '/file', 'w').write(place)\n"
cases = {
    "values": (torch(hyperparameters=dict(HYPERPARAMETERS), environment={"MESSAGE": "a b=\"c\" $HOME\n2"}), None),
    "inputs": (
        torch(instance_count=2),
        {
            "sharded": TrainingInput(
                "s3://options/shard", distribution="ShardedByS3Key", content_type="text/csv", shuffle_config=ShuffleConfig(3)
            ),
            "manifest": TrainingInput("s3://options/list.manifest", s3_data_type="ManifestFile"),
            "fast": TrainingInput("s3://options/shard/", input_mode="FastFile"),
            "one": "s3://options/shard/part-3.csv",
        },
    ),
    "pipe": (
        torch(input_mode="Pipe", **script("pipe", "print('read', open('/opt/ml/input/data/training_0').read().split('\\n'))")),
        "s3://options/shard",
    ),
    "s3source": (torch(source_dir="s3://options/code/sourcedir.tar.gz"), None),
    "isolated": (torch(enable_network_isolation=True), {"train": "s3://options/shard"}),
    "places": (
        torch(
            output_path="s3://options/out", code_location="s3://options/mycode", disable_output_compression=True,
            dependencies=["library"], **script("places", "import library.helper\nprint(library.helper.VALUE)\n" + both),
        ),
        None,
    ),
    "spot": (
        torch(
            use_spot_instances=True, max_run=3600, max_wait=7200, checkpoint_s3_uri="s3://options/checkpoints",
            **script("spot", "open('/opt/ml/checkpoints/epoch-1.pt', 'w').write('x')\n"),
        ),
        None,
    ),
    "network": (
        torch(
            subnets=["subnet-0123abcd"], security_group_ids=["sg-0123abcd"], encrypt_inter_container_traffic=True,
            volume_kms_key="arn:aws:kms:us-east-1:123456789012:key/1", output_kms_key="key", max_retry_attempts=2,
            keep_alive_period_in_seconds=60, volume_size=100, instance_count=2, distribution={"mpi": {"enabled": True}},
        ),
        None,
    ),
    "debugger": (
        torch(
            debugger_hook_config=DebuggerHookConfig("s3://options/debug", collection_configs=[CollectionConfig("weights")]),
            rules=[Rule.sagemaker(rule_configs.vanishing_gradient()), ProfilerRule.sagemaker(rule_configs.ProfilerReport())],
            profiler_config=ProfilerConfig(system_monitor_interval_millis=500),
            **script("debugger", "print('trained')"),
        ),
        None,
    ),
    "board": (
        torch(
            tensorboard_output_config=TensorBoardOutputConfig("s3://options/board"),
            **script("board", "import os\nat = '/opt/ml/output/tensorboard'\nos.makedirs(at + '/a')\nos.mknod(at + '/a/e')\n"),
        ),
        None,
    ),
    "shell": (torch(hyperparameters={"a": "b c"}, entry_point="go.sh", source_dir="shell"), None),
    "limit": (torch(max_run=3, **script("limit", "import time\nopen('/opt/ml/model/part', 'w').close()\ntime.sleep(600)")), None),
}  # fmt: skip
os.makedirs("shell", exist_ok=True)
with open("shell/go.sh", "w") as file:
    file.write("set -e\necho shell $SM_CURRENT_HOST \"$@\"\npython -c 'print(6 * 7)'\n")
for name, (estimator, inputs) in cases.items():
    estimator.fit(inputs, wait=False, job_name="option-" + name)


def finish(name):
    """Wait for a job; how it has ended, and its log."""
    estimator, error = cases[name][0], None
    try:
        estimator.latest_training_job.wait(logs=False)
    except UnexpectedStatusException as unexpected:
        error = str(unexpected)
    told = estimator.latest_training_job.describe()
    logs = boto3.client("logs")
    group = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
    streams = logs.describe_log_streams(logStreamNamePrefix="option-%s/" % name, **group)["logStreams"]
    pages = [logs.get_log_events(logStreamName=s["logStreamName"], startFromHead=True, **group)["events"] for s in streams]
    return {
        "error": error,
        "status": [told["TrainingJobStatus"], told["SecondaryStatus"]],
        "model": told["ModelArtifacts"]["S3ModelArtifacts"],
        "lines": [event["message"] for page in pages for event in page],
        "request": {
            key: told.get(key) for key in ("VpcConfig", "CheckpointConfig", "StoppingCondition", "EnableManagedSpotTraining")
        },
    }


boto3.client("logs")
with ThreadPoolExecutor(len(cases)) as pool:
    found = dict(zip(cases, pool.map(finish, cases)))
S3Downloader.download(cases["values"][0].model_data, "values")
with tarfile.open("values/model.tar.gz") as tar:
    found["values"]["told"] = json.load(tar.extractfile("told.json"))
found["values"]["wanted"] = HYPERPARAMETERS
found["debugger"]["rules"] = cases["debugger"][0].latest_training_job.rule_job_summary()
found["keys"] = [entry["Key"] for entry in s3.list_objects_v2(Bucket="options")["Contents"]]
print("RESULT", json.dumps(found, default=str))
