"""Tells what it was given, in its model; the lines are metrics."""

import json
import os
import sys

DATA = "/opt/ml/input/data"
host = os.environ["SM_CURRENT_HOST"]
channels = [name for name in json.loads(os.environ["SM_CHANNELS"]) if name not in ("code", "sm_drivers")]
told = {
    "argv": sys.argv[1:],
    "hps": json.loads(os.environ["SM_HPS"]),
    "environment": {name: os.environ[name] for name in ("PLAIN", "QUOTED") if name in os.environ},
    "hosts": json.loads(os.environ["SM_HOSTS"]),
    "group": json.loads(os.environ["SM_RESOURCE_CONFIG"])["current_group_name"],
    "type": os.environ["SM_CURRENT_INSTANCE_TYPE"],
    "region": os.environ["AWS_REGION"],
    "arn": os.environ["TRAINING_JOB_ARN"],
    "code": sorted(os.listdir(".")),
    "opt_ml": sorted(name for name in os.listdir("/opt/ml") if not name.startswith(".")),
    "channels": {
        name: sorted(
            os.path.relpath(os.path.join(folder, file), f"{DATA}/{name}")
            for folder, _, files in os.walk(f"{DATA}/{name}")
            for file in files
        )
        for name in channels
    },
    "checkpoints": sorted(os.listdir("/opt/ml/checkpoints")) if os.path.isdir("/opt/ml/checkpoints") else None,
}
os.makedirs("/opt/ml/checkpoints", exist_ok=True)
with open(f"/opt/ml/checkpoints/epoch-{len(told['checkpoints'] or ())}.pt", "w") as file:
    file.write("state")
with open(f"/opt/ml/model/{host}.json", "w") as file:
    json.dump(told, file)
with open(f"/opt/ml/output/data/{host}.txt", "w") as file:
    file.write("more")
os.makedirs("/opt/ml/output/tensorboard/run", exist_ok=True)
with open("/opt/ml/output/tensorboard/run/events", "w") as file:
    file.write("event")
for step in (1, 2):
    print(f"step {step} loss: {1 / 2**step}; accuracy={step * 0.25}")
print(f"report of {host} [not/markup] grüße")
