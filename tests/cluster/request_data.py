"""A directory that stands for S3, with what the requests of ``requests/`` name: sources, data, manifests."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any, Callable, Dict, Optional

REQUESTS = Path(__file__).parent / "requests"
BUCKET = "example-bucket"

# Says what it was given and what it finds, as one line of JSON.
TRAIN = """
import json, os, sys
base = "/opt/ml/input/data"
def files(channel):
    top = os.path.join(base, channel)
    return sorted(os.path.relpath(os.path.join(d, n), top) for d, _, ns in os.walk(top) for n in ns)
print("FOUND " + json.dumps({
    "argv": sys.argv[1:],
    "host": os.environ.get("SM_CURRENT_HOST"),
    "rank": os.environ.get("RANK"),
    "world": os.environ.get("WORLD_SIZE"),
    "channels": {name: files(name) for name in sorted(os.listdir(base)) if os.path.isdir(os.path.join(base, name))},
    "configured": sorted(json.load(open("/opt/ml/input/config/inputdataconfig.json"))),
}), flush=True)
open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w").write("trained")
"""

# Has the shape of what ModelTrainer of the SageMaker SDK ships: makes itself an environment file, then runs a driver.
SM_TRAIN = """
#!/bin/bash
set -e
fail() {
    code=$?
    [ -s /opt/ml/output/failure ] || echo "the training script ended with $code" >> /opt/ml/output/failure
    exit $code
}
trap fail ERR
SM_PYTHON_CMD=$(command -v python3 || command -v python)
command -v pip3 > /dev/null || command -v pip > /dev/null
$SM_PYTHON_CMD /opt/ml/input/data/sm_drivers/scripts/environment.py
source /opt/ml/input/sm_training.env
cd /opt/ml/input/data/code
%s
echo "finished"
"""
ENVIRONMENT = """
import json
config = "/opt/ml/input/config/"
resources = json.load(open(config + "resourceconfig.json"))
parameters = {k: v for k, v in json.load(open(config + "hyperparameters.json")).items()}
json.load(open(config + "inputdataconfig.json"))
with open("/opt/ml/input/sm_training.env", "w") as file:
    for name, value in (
        ("SM_MODEL_DIR", "/opt/ml/model"), ("SM_CURRENT_HOST", resources["current_host"]), ("SM_HPS", json.dumps(parameters)),
    ):
        file.write("export %s='%s'\\n" % (name, value))
"""
BASIC = """
import json, os, subprocess, sys
words = [word for name, value in json.loads(os.environ["SM_HPS"]).items() for word in ("--" + name, value)]
sys.exit(subprocess.call([sys.executable, "train.py", *words]))
"""
RUN_PLAIN = "$SM_PYTHON_CMD /opt/ml/input/data/sm_drivers/distributed_drivers/basic_script_driver.py"
RUN_MPI = "$SM_PYTHON_CMD /opt/ml/input/data/sm_drivers/distributed_drivers/mpi_driver.py"
RUN_SH = """#!/bin/bash
printf 'GIVEN %s\\n' "$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@")"
python /opt/ml/input/data/code/own.py
"""


def make_s3(tmp_path: Path, train: str = TRAIN, own: str = "", driver: str = RUN_PLAIN) -> Path:
    """The directory.

    Args:
        tmp_path: where.
        train: the script of all sources.
        own: what ``own.py`` of the code channel does.
        driver: what ModelTrainer's script runs.
    """
    root = tmp_path / "s3"
    bucket = root / BUCKET
    for name in ("source", "data/train/sub", "lists", "packed", "code", "sm_drivers/scripts", "sm_drivers/distributed_drivers"):
        (bucket / name).mkdir(parents=True)
    with tarfile.open(bucket / "source" / "sourcedir.tar.gz", "w:gz") as archive:
        content = train.encode()
        member = tarfile.TarInfo("train.py")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    for name in ("a.csv", "b.csv", "sub/c.csv"):
        (bucket / "data" / "train" / name).write_text(f"{name}\n")
    manifest = [{"prefix": f"s3://{BUCKET}/data/"}, "train/b.csv", "train/sub/c.csv"]
    (bucket / "lists" / "files.manifest").write_text(json.dumps(manifest))
    (bucket / "packed" / "x.csv.gz").write_bytes(gzip.compress(b"packed\n"))
    (bucket / "code" / "train.py").write_text(train)
    (bucket / "code" / "own.py").write_text(own)
    (bucket / "code" / "run.sh").write_text(RUN_SH)
    (bucket / "code" / "requirements.txt").write_text("# nothing\n")
    (bucket / "sm_drivers" / "sm_train.sh").write_text(SM_TRAIN.lstrip() % driver)
    (bucket / "sm_drivers" / "scripts" / "environment.py").write_text(ENVIRONMENT)
    (bucket / "sm_drivers" / "distributed_drivers" / "basic_script_driver.py").write_text(BASIC)
    return root


def request_file(tmp_path: Path, name: str, change: Optional[Callable[[Dict[str, Any]], None]] = None) -> Path:
    """A request of ``requests/``, perhaps changed, as a file."""
    request = json.loads((REQUESTS / f"{name}.json").read_text())
    if change is not None:
        change(request)
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(request))
    return path
