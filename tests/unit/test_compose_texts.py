"""Golden files of what the launcher composes."""

from __future__ import annotations

import json
from typing import Callable, Tuple

import pytest

from hvdsm.compose.environment import HostFacts, sm_environment
from hvdsm.compose.hostfile import hostfile, job_hostfile
from hvdsm.compose.mpirun import job_command
from hvdsm.compose.ssh import known_hosts, ssh_config, sshd_config
from hvdsm.model import Cluster, Distribution, InstanceGroup, MpiImplementation, TrainingJob

Golden = Callable[[str, str], None]
VERSIONS = {"4.1": (4, 1, 8), "5": (5, 0, 11)}
CUSTOM = "-verbose --NCCL_DEBUG=WARN -x A='b c' -bind-to core -mca btl tcp,self --mca btl_tcp_if_exclude lo -x NAME"


def mpirun(version: Tuple[int, ...], hosts: Tuple[str, ...], custom: str) -> str:
    command = job_command(
        MpiImplementation("/opt/openmpi/bin/mpirun", version),
        ["/usr/bin/python3", "train.py", "--lr", "0.1", "a b"],
        python="/usr/bin/python3",
        hosts=hosts,
        slots=[2] * len(hosts),
        world_size=None,
        session="/tmp/hvdsm-1",
        interface="eth0",
        custom_options=custom,
        environ={"PATH": "/bin", "PYTHONPATH": "/lib"},
        rehearsal=False,
    )
    return "\n".join(command.argv) + f"\n# exported: {' '.join(command.exported)}\n"


@pytest.mark.parametrize("version", sorted(VERSIONS))
@pytest.mark.parametrize(("name", "custom"), [("plain", ""), ("custom", CUSTOM)])
@pytest.mark.parametrize("hosts", [("algo-1",), ("algo-1", "algo-2")])
def test_mpirun(golden: Golden, version: str, name: str, custom: str, hosts: Tuple[str, ...]) -> None:
    golden(f"mpirun-{version}-{len(hosts)}-{name}.txt", mpirun(VERSIONS[version], hosts, custom))


def test_ssh(golden: Golden) -> None:
    folder = "/tmp/s"
    hosts, ports, addresses = ("algo-1", "algo-2"), {"algo-1": 22, "algo-2": 2222}, {"algo-1": "10.0.0.1", "algo-2": "10.0.0.2"}
    files = {"key_file": f"{folder}/client_key", "known_hosts_file": f"{folder}/known_hosts"}
    golden("ssh_config.txt", ssh_config(hosts, **files, user="root", ports=ports, addresses=addresses))
    files = {"host_key_file": f"{folder}/host_key", "authorized_keys_file": f"{folder}/authorized_keys"}
    golden("sshd_config.txt", sshd_config(port=22, **files, user="root"))
    keys = {"algo-2": "ssh-ed25519 BBBB comment", "algo-1": "ssh-ed25519 AAAA"}
    golden("known_hosts.txt", known_hosts(keys, ports, addresses))


def test_hostfile() -> None:
    assert hostfile(["algo-1", "algo-2"], [4, 4]) == "algo-1 slots=4\nalgo-2 slots=4\n"
    assert job_hostfile(["algo-1"], [4]) == "localhost slots=4\n"


def test_environment(golden: Golden) -> None:
    group = InstanceGroup("homogeneousCluster", "ml.g5.2xlarge", ("algo-2", "algo-1"))
    resource = {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"], "network_interface_name": "eth0"}
    job = TrainingJob(
        name="job",
        program="train.py",
        distribution=Distribution(),
        hyperparameters={
            "batch-size": 128,
            "lr": 0.1,
            "flag": True,
            "none": None,
            "d": {"b": 1, "a": "x"},
            "l": [1, "é"],
            "t": "é",
        },
        reserved={"sagemaker_program": "train.py", "sagemaker_mpi_enabled": True, "sagemaker_job_name": "job"},
        channels=("train", "my-data"),
        extra_arguments=("--verbatim", "a b"),
    )
    cluster = Cluster(("algo-1", "algo-2"), "algo-2", "eth0", "ml.g5.2xlarge", "homogeneousCluster", (group,))
    environment = sm_environment(job, cluster, HostFacts(8, 1, 0), resource_config=resource, input_data_config={"train": {}})
    golden("environment.json", json.dumps(environment, indent=1, sort_keys=True) + "\n")
    assert environment["SM_CURRENT_HOST"] == "algo-2"
    assert environment["SM_CHANNEL_MY-DATA"] == "/opt/ml/input/data/my-data"
