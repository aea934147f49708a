"""Secrets reach the ranks and roles of all hosts, fetched by each host over the network, and show up nowhere else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from container_jobs import RunningJob, start_host, start_job

from hvdsm.compose.outcome_line import decode_outcome
from hvdsm.model import JobOutcome

pytestmark = pytest.mark.cluster

VALUE = "sesame-open-sesame"
HOSTS = ("algo-1", "algo-2")
# moto's server with two secrets, whose ARNs it writes when it serves.
SERVICE = """
import json, threading, boto3
# Backwards, since this text is on the command line of a program that ranks see.
value = "VALUE"[::-1]
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("0.0.0.0", 5000, verbose=False)
server.start()
options = dict(endpoint_url="http://127.0.0.1:5000", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
secret = boto3.client("secretsmanager", **options).create_secret(Name="s", SecretString=json.dumps({"key": value}))["ARN"]
ssm = boto3.client("ssm", **options)
ssm.put_parameter(Name="/p", Value=value, Type="SecureString")
print(json.dumps([secret, ssm.get_parameter(Name="/p")["Parameter"]["ARN"]]), flush=True)
threading.Event().wait()
""".replace("VALUE", VALUE[::-1])
SCRIPT = """
import json, os, sys
from mpi4py import MPI
holders = set()
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        command, environ = (open(f"/proc/{pid}/{name}", "rb").read() for name in ("cmdline", "environ"))
    except OSError:
        continue
    assert b"sesame" not in command
    if b"sesame" in environ:
        holders.add(command.replace(b"\\0", b" ").decode())
found = {
    "values": [os.environ.get(name) for name in ("A_TOKEN", "WHOLE", "PARAMETER")], "holders": sorted(holders),
    "arguments": sys.argv[1:],
    "sm": sorted(k for k, v in os.environ.items() if k.startswith(("SM_", "HVDSM_")) and "sesame" in v),
}
with open("/opt/ml/output/found.json", "w") as file:
    json.dump(found, file)
MPI.COMM_WORLD.Barrier()
if MPI.COMM_WORLD.rank == 1 and "--fail" in sys.argv:
    print("the script tells", os.environ["A_TOKEN"], flush=True)
    raise ValueError("refused: " + os.environ["A_TOKEN"])
MPI.COMM_WORLD.Barrier()
"""


@pytest.fixture
def job(tmp_path: Path) -> Iterator[RunningJob]:
    """Two hosts, of which the second also serves secrets; the program is not started."""
    prepared = start_job(tmp_path, SCRIPT, late=HOSTS)
    with prepared.logs["algo-2"].open("wb") as errors, (tmp_path / "arns").open("wb") as arns:
        server = prepared.cluster.popen("algo-2", [sys.executable, "-c", SERVICE], stdout=arns, stderr=errors)
    prepared.programs["algo-2"] = server
    waiting = RunningJob(prepared.cluster, tmp_path, prepared.python, {"algo-2": server}, {"algo-2": tmp_path / "arns"})
    waiting.wait_for("\n", "algo-2")
    yield prepared
    prepared.cluster.close()


def start(job: RunningJob, environment: Dict[str, Dict[str, str]], **hyperparameters: Any) -> None:
    """Start the program on both hosts, with the secrets that the service has."""
    secret, parameter = json.loads((job.folder / "arns").read_text())
    named = {"A_TOKEN": secret + "#key", "WHOLE": secret, "PARAMETER": parameter}
    for host in HOSTS:
        path = job.folder / host / "input" / "config" / "hyperparameters.json"
        more = {"sagemaker_hvdsm_secrets": json.dumps(named), **hyperparameters}
        path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
        service = {"AWS_ENDPOINT_URL": "http://algo-2:5000", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        start_host(job, host, environment={**service, **environment.get(host, {})})


def own_lines(job: RunningJob) -> List[str]:
    """The lines of both logs that are not a rank's."""
    return [line for host in HOSTS for line in job.read(host).splitlines() if not line.startswith("[")]


def test_ranks_of_all_hosts_have_them_and_nothing_else_has(job: RunningJob) -> None:
    start(job, {"algo-2": {"HVDSM_SECRETS_CLIENT": "request"}}, lr="0.1")
    assert job.codes() == dict.fromkeys(HOSTS, 0), job.everything()
    assert "3 secrets fetched by boto3" in job.read("algo-1")
    assert "3 secrets fetched by signed requests" in job.read("algo-2")
    for host in HOSTS:
        found = json.loads((job.folder / host / "output" / "found.json").read_text())
        assert found["values"] == [VALUE, json.dumps({"key": VALUE}), VALUE]
        (holder,) = found["holders"]
        assert "hvdsm.container.script" in holder
        assert (found["arguments"], found["sm"]) == (["--lr", "0.1"], [])
    assert not [line for line in own_lines(job) if "sesame" in line]
    assert "sesame" not in json.dumps(job.outcome())


def test_a_failure_tells_no_value(job: RunningJob) -> None:
    start(job, {host: {"HVDSM_OUTCOME_LINE": "1"} for host in HOSTS}, fail='""')
    assert job.codes() == dict.fromkeys(HOSTS, 1), job.everything()
    for host in HOSTS:
        assert "ValueError: refused: <masked>" in str(job.failure(host))
        assert "sesame" not in str(job.failure(host)) + json.dumps(job.outcome(host))
    assert job.outcome()["failure"]["message"] == "refused: <masked>"
    lines = job.read("algo-1").splitlines()
    assert decode_outcome(lines[-1].encode()) == JobOutcome.from_dict(job.outcome())
    assert not [line for line in (*lines[:-1], *job.read("algo-2").splitlines()) if decode_outcome(line.encode())]
    assert not [line for line in own_lines(job) if "sesame" in line]
    # What the script itself prints stays as it is.
    assert f"the script tells {VALUE}" in job.read("algo-1")


def test_a_secret_that_may_not_be_had_fails_all_hosts_before_ranks(job: RunningJob) -> None:
    broken = {"AWS_ENDPOINT_URL": "http://algo-2:9", "HVDSM_SECRETS_CLIENT": "boto3"}
    start(job, {"algo-2": broken})
    assert job.codes() == dict.fromkeys(HOSTS, 78), job.everything()
    for host in HOSTS:
        assert "secret A_TOKEN (arn:aws:secretsmanager:" in str(job.failure(host))
        assert "algo-2:9" in str(job.failure(host))
    assert job.outcome()["ranks_per_host"] == {"algo-1": 0, "algo-2": 0}
