"""What the sandbox cannot do, and what the service would refuse: each is said at once or in the FailureReason."""

import os

import kit
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import ContinuousParameter
from sagemaker.core.remote_function import remote
from sagemaker.train.configs import Compute, FileSystemDataSource, InputData, Networking, SourceCode
from sagemaker.train.tuner import HyperparameterTuner

session = Session()
found = {}


def of(name, what):
    """What becomes of a call."""
    try:
        found[name] = f"no error: {what()!r}"
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"


def end(trainer, **arguments):
    """Train, and look soon."""
    trainer.train(wait=False, logs=False, **arguments)
    trainer._latest_training_job.wait(poll=1)


@remote(instance_type="ml.c5.xlarge", role=kit.ROLE, image_uri=kit.IMAGE)
def add(one, other):
    """Not run here."""
    return one + other


def tune():
    """Hyperparameter tuning."""
    ranges = {"lr": ContinuousParameter(0.1, 0.2)}
    definitions = [{"Name": "loss", "Regex": "loss: ([0-9.]+)"}]
    HyperparameterTuner(kit.trainer("x-tune"), "loss", ranges, metric_definitions=definitions, max_jobs=2).tune(wait=True)


os.makedirs("data")
with open("data/a.csv", "w") as file:
    file.write("1")
private = Networking(subnets=["subnet-0123456789abcdef0"], security_group_ids=["sg-0123456789abcdef0"])
files = FileSystemDataSource(
    file_system_id="fs-0123456789abcdef0", file_system_access_mode="ro", file_system_type="EFS", directory_path="/data"
)
missing = f"s3://{session.default_bucket()}/there/is/nothing"
of("tuner", tune)
of("remote", lambda: add(1, 2))
of(
    "file system",
    lambda: end(
        kit.trainer("x-files", networking=private), input_data_config=[InputData(channel_name="train", data_source=files)]
    ),
)
of(
    "image's own",
    lambda: end(
        kit.trainer("x-image", source_code=None), input_data_config=[InputData(channel_name="train", data_source="data")]
    ),
)
of("no data", lambda: end(kit.trainer("x-data"), input_data_config=[InputData(channel_name="train", data_source=missing)]))
of("name", lambda: end(kit.trainer("x_bad name")))
of("type", lambda: end(kit.trainer("x-type", compute=Compute(instance_type="ml.nothing.large", instance_count=1))))
os.makedirs("needy")
with open("needy/r.txt", "w") as file:
    file.write("./not-there\n")
with open("needy/t.py", "w") as file:
    file.write("print()\n")
of(
    "package",
    lambda: end(kit.trainer("x-package", source_code=SourceCode(source_dir="needy", entry_script="t.py", requirements="r.txt"))),
)
of("dry run", lambda: kit.trainer("x-dry").train(dry_run=True))
kit.result(found)
