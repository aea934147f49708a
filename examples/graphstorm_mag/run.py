"""The whole chain on two emulated hosts, with an S3 of this machine: raw data to predictions, embeddings and their quality.

    python examples/graphstorm_mag/run.py mag

prints every command and runs it in the directory ``mag``, then looks at what is in S3, and measures.  ``mag/s3`` has all objects
in the end, ``mag/results.json`` the commands, the outputs and the figures.  Exit code 1: a command failed, an output is missing
or hardly better than chance.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence

import mag_outputs

HERE = os.path.dirname(os.path.abspath(__file__))
HOSTS = 2
BUCKET = "mag"
S3 = f"s3://{BUCKET}"
ON_HOSTS = ["--instance-count", str(HOSTS), "--graph-name", "mag"]
# By what link prediction and classification differ: the task, the configuration, and which of the two graphs they are given.
TASKS = {
    "nc": ("node_classification", "mag_nc.yaml", f"{S3}/parts/dist_graph"),
    "lp": ("link_prediction", "mag_lp.yaml", f"{S3}/graph"),
}


def commands() -> List[List[str]]:
    """All commands, in order; they run in one directory."""
    own = {name: os.path.join(HERE, name) for name in ("make_mag.py", "chunk_graph.py", "mag_nc.yaml", "mag_lp.yaml")}
    found = [
        ["python", own["make_mag.py"], "raw"],
        ["hvdsm", "data", "upload", "raw", f"{S3}/raw"],
        *(["hvdsm", "data", "upload", own[yaml], f"{S3}/conf/{yaml}"] for _, yaml, _ in TASKS.values()),
        ["hvdsm", "graph", "construct", "--graph-name", "mag", "--graph-config-file", "mag.json",
         "--input-graph-s3", f"{S3}/raw", "--output-graph-s3", f"{S3}/graph", "--num-parts", str(HOSTS),
         "--add-reverse-edges", "--output-format", "DistDGL", "DGL", "--task-name", "construct"],
        ["hvdsm", "data", "download", f"{S3}/graph/", "graph"],
        ["python", own["chunk_graph.py"], "graph", "chunked"],
        ["hvdsm", "data", "upload", "chunked", f"{S3}/chunked"],
        ["hvdsm", "graph", "partition", "--graph-data-s3", f"{S3}/chunked", "--num-parts", str(HOSTS),
         "--output-data-s3", f"{S3}/parts", "--task-name", "mag"],
    ]  # fmt: skip
    for name, (task, yaml, graph) in TASKS.items():
        common = [*ON_HOSTS, "--graph-data-s3", graph, "--task-type", task, "--yaml-s3", f"{S3}/conf/{yaml}"]
        common += ["--model-artifact-s3", f"{S3}/model-{name}"]
        results = ["--output-emb-s3", f"{S3}/embeddings-{name}", "--no-validation", "true"]
        if name == "nc":
            results += ["--output-prediction-s3", f"{S3}/predictions", "--infer-all-target-nodes", "true"]
        found.append(["hvdsm", "graph", "train", *common, "--task-name", f"train-{name}"])
        found.append(["hvdsm", "graph", "infer", *common, *results, "--task-name", f"infer-{name}"])
    return [*found, ["hvdsm", "data", "download", f"{S3}/", "s3"]]


@contextmanager
def storage(endpoint: Optional[str]) -> Iterator[Dict[str, str]]:
    """Variables that lead to an S3 with the bucket: the given one, or moto's on this machine for as long as this runs."""
    if endpoint:
        yield {"AWS_ENDPOINT_URL": endpoint}
        return
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        raise SystemExit('run.py: there is no S3: pip install "moto[s3,server]", or name one by --endpoint URL') from None
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        own = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
        yield {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.get_host_and_port()[1]}", **own}
    finally:
        server.stop()


def run(words: List[str], directory: str, more: Sequence[str]) -> float:
    """Run a command, which says what it does; returns its seconds.

    Raises:
        SystemExit: it failed.
    """
    print(f"\n$ {shlex.join(words)}", flush=True)
    start = time.monotonic()
    real = [sys.executable, *(["-m", "hvdsm"] if words[0] == "hvdsm" else []), *words[1:]]
    done = subprocess.run([*real, *(more if words[1] == "graph" else [])], cwd=directory, check=False)
    if done.returncode:
        raise SystemExit(f"run.py: exit code {done.returncode} of: {shlex.join(words)}")
    return round(time.monotonic() - start, 1)


def chain(directory: str, endpoint: Optional[str], more: Sequence[str]) -> Dict[str, Any]:
    """Run everything in a new directory, and look at the results."""
    os.makedirs(directory)
    with storage(endpoint) as variables:
        os.environ.update(variables)
        # It would go before the other.
        os.environ.pop("AWS_ENDPOINT_URL_S3", None)
        # mpirun lies beside the interpreter where it has been installed by pip.
        os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
        s3 = mag_outputs.client()
        s3.create_bucket(Bucket=BUCKET)
        took = [(words, run(words, directory, more)) for words in commands()]
        results = mag_outputs.results(s3, BUCKET, os.path.join(directory, "raw"), HOSTS)
    results["commands"] = [{"command": words, "seconds": seconds} for words, seconds in took]
    with open(os.path.join(directory, "results.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    return results


def main(words: Optional[Sequence[str]] = None) -> int:
    """Run the chain and say what came out; the exit code."""
    parser = argparse.ArgumentParser(description="Construct, partition, train and infer on two emulated hosts, and check.")
    parser.add_argument("directory", nargs="?", default="mag", help="a new directory for data and jobs (default: mag)")
    parser.add_argument("--endpoint", metavar="URL", help="another S3 on this machine (default: one of moto's)")
    parser.add_argument("--env", action="append", default=[], metavar="K=V", help="environment of the hosts; repeatable")
    given = parser.parse_args(words)
    if os.path.exists(given.directory):
        parser.error(f"{given.directory}: is there already: name another directory, or remove it")
    results = chain(os.path.abspath(given.directory), given.endpoint, [w for v in given.env for w in ("--env", v)])
    print(f"\n{mag_outputs.report(results)}", flush=True)
    return 1 if results["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
