"""What a job of 4,096 hosts hands to the kernel: files of any size, but argv and environment within Linux's limits."""

from __future__ import annotations

import json
from typing import Dict, List, Tuple

import pytest

from hvdsm.compose.environment import HostFacts, sm_environment
from hvdsm.compose.hostfile import job_hostfile
from hvdsm.compose.mpirun import job_command
from hvdsm.compose.ssh import known_hosts, ssh_config
from hvdsm.container import hostenv
from hvdsm.container.wire import MAX_FRAME
from hvdsm.model import Cluster, Distribution, InstanceGroup, MpiImplementation, TrainingJob

# execve(2): one string of argv or environment, with its NUL, and all of them together at the default stack limit of 8 MiB.
MAX_ARG_STRLEN = 32 * 4096
ARG_MAX = 2 << 20
HOSTS = 4096
SESSION = "/tmp/hvdsm-12345678"


def names(count: int) -> Tuple[str, ...]:
    return tuple(f"algo-{number + 1}" for number in range(count))


def environment(count: int) -> Dict[str, str]:
    """All SM_ variables of a host, with a resource configuration as the service writes it."""
    hosts = names(count)
    group = InstanceGroup("homogeneousCluster", "ml.p5.48xlarge", hosts)
    cluster = Cluster(hosts, hosts[-1], instance_type="ml.p5.48xlarge", instance_groups=(group,))
    resource = {
        "current_host": hosts[-1],
        "current_instance_type": "ml.p5.48xlarge",
        "current_group_name": "homogeneousCluster",
        "hosts": list(hosts),
        "instance_groups": [
            {"instance_group_name": "homogeneousCluster", "instance_type": "ml.p5.48xlarge", "hosts": list(hosts)}
        ],
        "network_interface_name": "eth0",
    }
    parameters = {f"parameter-{number}": "x" * 100 for number in range(80)}
    job = TrainingJob("j" * 63, "train.py", Distribution(), parameters, {"sagemaker_program": "train.py"}, ("train",))
    return sm_environment(job, cluster, HostFacts(192, 8), resource_config=resource)


def command(count: int, version: Tuple[int, ...]) -> Tuple[str, ...]:
    """The mpirun command."""
    return job_command(
        MpiImplementation("/opt/openmpi/bin/mpirun", version),
        ["python", "train.py", "--lr", "0.1"],
        python="/usr/bin/python3",
        hosts=names(count),
        slots=[8] * count,
        world_size=None,
        session=SESSION,
        interface="eth0",
        custom_options="-x A='b c'",
        environ={"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/usr/lib"},
        rehearsal=False,
    ).argv


def too_long(variables: Dict[str, str]) -> Dict[str, int]:
    """Names and sizes of the variables that execve refuses."""
    sizes = {name: len(f"{name}={value}".encode()) + 1 for name, value in variables.items()}
    return {name: size for name, size in sizes.items() if size > MAX_ARG_STRLEN}


def test_hostfile_names_every_host_once() -> None:
    lines = job_hostfile(names(HOSTS), [8] * HOSTS).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (HOSTS, "algo-1 slots=8", f"algo-{HOSTS} slots=8")


def test_ssh_files_name_every_host_once() -> None:
    hosts = names(HOSTS)
    ports = dict.fromkeys(hosts, 22)
    addresses = {host: f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n, host in enumerate(hosts)}
    config = ssh_config(hosts, key_file="/k", known_hosts_file="/h", user="root", ports=ports, addresses=addresses).splitlines()
    assert sum(line.startswith("Host algo-") for line in config) == HOSTS
    assert sum(line.startswith("  HostName ") for line in config) == HOSTS
    known = known_hosts(dict.fromkeys(hosts, "ssh-ed25519 " + "A" * 68 + " hvdsm"), ports, addresses).splitlines()
    assert len(known) == HOSTS
    assert len(set(known)) == HOSTS


@pytest.mark.parametrize("version", [(4, 1, 8), (5, 0, 11)])
def test_mpirun_command_does_not_grow_with_the_hosts(version: Tuple[int, ...]) -> None:
    one, all_of_them = command(2, version), command(HOSTS, version)
    assert sum(map(len, all_of_them)) < sum(map(len, one)) + 10  # the digits of -np
    assert sum(len(word.encode()) + 1 for word in all_of_them) < MAX_ARG_STRLEN


def test_environment_of_a_thousand_hosts_can_be_passed_on() -> None:
    variables = environment(1000)
    assert too_long(variables) == {}
    assert sum(len(name) + len(value) + 2 for name, value in variables.items()) < ARG_MAX


def test_environment_of_4096_hosts_is_within_arg_max_as_a_whole() -> None:
    assert sum(len(name) + len(value.encode()) + 2 for name, value in environment(HOSTS).items()) < ARG_MAX


def test_every_variable_but_the_training_environment_has_room_for_4096_hosts() -> None:
    """SM_TRAINING_ENV repeats the hosts in six of its keys, which the contract demands."""
    assert set(too_long(environment(HOSTS))) <= {"SM_TRAINING_ENV"}


def test_what_no_program_could_be_started_with_is_found() -> None:
    """The container program leaves such a variable out, with a warning, instead of starting nothing."""
    variables = environment(HOSTS)
    assert hostenv.too_long(variables) == sorted(too_long(variables)) == ["SM_TRAINING_ENV"]
    assert hostenv.too_long(environment(1000)) == []


def test_keys_of_4096_hosts_fit_a_frame_of_the_rendezvous() -> None:
    keys: List[Dict[str, object]] = [
        {"host": host, "slots": 8, "port": 22, "host_key": "A" * 90, "client_key": "A" * 90, "address": "10.100.100.100"}
        for host in names(HOSTS)
    ]
    message = {"do": "setup", "session": SESSION, "keys": {str(one["host"]): one for one in keys}}
    assert len(json.dumps(message)) < MAX_FRAME
