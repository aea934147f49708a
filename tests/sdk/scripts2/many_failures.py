"""Scripts that do not get to their end."""

# ruff: noqa: UP031

import json
import os
from concurrent.futures import ThreadPoolExecutor

import sagemaker
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.pytorch import PyTorch

MPI = {"mpi": {"enabled": True, "processes_per_host": 2}}
SCRIPTS = {
    "raise": ("import sys\nprint('begins')\nraise ValueError('no \"luck\", é')", {"distribution": MPI, "instance_count": 2}),
    "exit": ("raise SystemExit(3)", {}),
    "crash": ("import ctypes\nctypes.string_at(0)", {}),
    "module": ("import not_installed_here", {"distribution": MPI}),
    "syntax": ("def f(:\n    pass", {}),
    "own": ("open('/opt/ml/output/failure', 'w').write('a reason of my own')\nraise SystemExit(1)", {}),
    "second": (
        "import os, time\nif os.environ['SM_CURRENT_HOST'] == 'algo-2':\n    raise KeyError('on the second')\ntime.sleep(600)",
        {"instance_count": 2},
    ),
    "requirements": ("print(1)", {}),
}
found, estimators = {}, {}
for name, (text, arguments) in SCRIPTS.items():
    os.makedirs(name, exist_ok=True)
    with open(name + "/train.py", "w") as file:
        file.write(text + "\n")
    if name == "requirements":
        with open(name + "/requirements.txt", "w") as file:
            file.write("hvdsm-has-no-such-package==99\n")
    given = {"instance_count": 1, "instance_type": "ml.c5.xlarge", **arguments}
    estimators[name] = PyTorch(
        entry_point="train.py", source_dir=name, role="arn:aws:iam::123456789012:role/R", framework_version="2.0.1",
        py_version="py310", **given,
    )  # fmt: skip
    estimators[name].fit(wait=False, job_name="fails-" + name)


def finish(name):
    """Wait for a job; why it failed, as the SDK and as the service say it."""
    try:
        estimators[name].latest_training_job.wait(logs=False)
        return "completed"
    except UnexpectedStatusException as error:
        told = estimators[name].latest_training_job.describe()
        return [str(error), told["FailureReason"], told["SecondaryStatus"], told["SecondaryStatusTransitions"][-1]["Status"]]


with ThreadPoolExecutor(len(estimators)) as pool:
    found.update(zip(estimators, pool.map(finish, estimators)))
for name, arguments in {
    "nothing there": {"entry_point": "not-here.py", "source_dir": "exit"},
    "no data": {"entry_point": "train.py", "source_dir": "exit"},
}.items():
    try:
        PyTorch(
            role="arn:aws:iam::123456789012:role/R", framework_version="2.0.1", py_version="py310", instance_count=1,
            instance_type="ml.c5.xlarge", **arguments,
        ).fit("s3://%s/nothing" % sagemaker.Session().default_bucket())  # fmt: skip
        found[name] = "completed"
    except Exception as error:
        found[name] = str(error)
print("RESULT", json.dumps(found), flush=True)
estimators["exit"].fit()  # the exception goes to the shell
