"""The platform's files and hvdsm's settings: what is wrong in them is a ConfigError that names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from hvdsm.compose.environment import HostFacts, Paths
from hvdsm.container.config import base_paths, decode, read_config, read_settings
from hvdsm.container.hostenv import host_environment
from hvdsm.container.loop import Loop
from hvdsm.container.rendezvous import Listener
from hvdsm.container.reserved import borrowed, level_number
from hvdsm.errors import ConfigError

RESOURCE = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
PROGRAM = {"sagemaker_program": '"train.py"'}


def write(base: Path, **documents: Any) -> Paths:
    paths = Paths(str(base))
    Path(paths.config).mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        text = document if isinstance(document, str) else json.dumps(document)
        Path(paths.config, name + ".json").write_text(text, encoding="utf-8")
    return paths


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1e-3", 0.001),
        ("true", True),
        ("True", "True"),
        ('"8"', "8"),
        ("null", None),
        ("", ""),
        ("plain text", "plain text"),
        ('{"a": 1}', {"a": 1}),
        ("'a'", "'a'"),
        ("9" * 5000, None),
    ],
)
def test_values_are_json_where_they_are_json(text: str, value: Any) -> None:
    decoded = decode(text)
    assert decoded == value if len(text) < 5000 else str(decoded) == text or isinstance(decoded, int)


def test_a_deeply_nested_value_stays_text() -> None:
    text = "[" * 100_000
    assert decode(text) == text


@pytest.mark.parametrize("name", ["resourceconfig", "hyperparameters", "inputdataconfig"])
@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "nul"])
def test_a_file_that_is_no_json_object_is_named(tmp_path: Path, name: str, text: str) -> None:
    documents: Dict[str, Any] = {"resourceconfig": RESOURCE, "hyperparameters": PROGRAM, "inputdataconfig": {}}
    with pytest.raises(ConfigError, match=f"{name}.json"):
        read_config(write(tmp_path, **{**documents, name: text}), {})


def test_only_the_resource_configuration_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hvdsm launch SCRIPT"):
        read_config(Paths(str(tmp_path)), {})
    config = read_config(write(tmp_path, resourceconfig=RESOURCE), {"SAGEMAKER_PROGRAM": "t.py"})
    assert (config.job.program, config.job.hyperparameters, config.job.channels) == ("t.py", {}, ())
    assert (config.cluster.network_interface, config.cluster.instance_type) == ("eth0", "local")


@pytest.mark.parametrize(
    "groups",
    [[{"instance_group_name": "a"}], [{"instance_group_name": "a", "instance_type": "t", "hosts": None}], ["a"], {"a": 1}, 1],
)
def test_wrong_instance_groups_are_named(tmp_path: Path, groups: Any) -> None:
    with pytest.raises(ConfigError, match="instance_groups"):
        read_config(write(tmp_path, resourceconfig={**RESOURCE, "instance_groups": groups}, hyperparameters=PROGRAM), {})


@pytest.mark.parametrize("hosts", [[], "algo-1", None, 3])
def test_wrong_hosts_are_named(tmp_path: Path, hosts: Any) -> None:
    with pytest.raises(ConfigError, match=r"resourceconfig\.json"):
        read_config(write(tmp_path, resourceconfig={**RESOURCE, "hosts": hosts}, hyperparameters=PROGRAM), {})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20", 20),
        ('"10"', "10"),
        ('"debug"', "debug"),
        ("DEBUG", "DEBUG"),
        ('"Warning"', "Warning"),
        (None, 20),
        ('"loud"', "loud"),
    ],
)
def test_the_log_level_is_kept_as_it_was_given(tmp_path: Path, value: Optional[str], expected: object) -> None:
    extra = {} if value is None else {"sagemaker_container_log_level": value}
    assert read_config(write(tmp_path, resourceconfig=RESOURCE, hyperparameters={**PROGRAM, **extra}), {}).log_level == expected


@pytest.mark.parametrize(("value", "number"), [(20, 20), ("10", 10), ("debug", 10), ("Warning", 30), ("loud", 20), (None, 20)])
def test_a_log_level_as_a_number(value: object, number: int) -> None:
    assert level_number(value) == number


GROUPS = {
    "current_host": "b",
    "hosts": ["a", "b", "c"],
    "current_group_name": "train",
    "instance_groups": [
        {"instance_group_name": "data", "instance_type": "ml.c5.large", "hosts": ["a"]},
        {"instance_group_name": "train", "instance_type": "ml.g5.xlarge", "hosts": ["c", "b"]},
        {"instance_group_name": "empty", "instance_type": "ml.c5.large", "hosts": []},
    ],
}


@pytest.mark.parametrize(
    ("value", "hosts", "node_rank"),
    [(None, ("a", "b", "c"), 1), ('["train"]', ("c", "b"), 1), ('"data"', ("a",), 1), ('["train", "data"]', ("a", "c", "b"), 2)],
)
def test_distribution_groups_choose_hosts_and_launcher(
    tmp_path: Path, value: Optional[str], hosts: tuple, node_rank: int
) -> None:
    extra = {} if value is None else {"sagemaker_distribution_instance_groups": value}
    raw = {**PROGRAM, "sagemaker_mpi_enabled": "true", **extra}
    cluster = read_config(write(tmp_path, resourceconfig=GROUPS, hyperparameters=raw), {}).cluster
    assert (cluster.distribution_hosts, cluster.launcher, cluster.node_rank) == (hosts, hosts[0], node_rank)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('["tarin"]', "no instance group 'tarin'.*\n.*data, train"),
        ("[1]", "not a list of group"),
        ('["empty"]', "no host is in empty\n.*data, train"),
    ],
)
def test_distribution_groups_that_are_none_are_refused(tmp_path: Path, value: str, message: str) -> None:
    raw = {**PROGRAM, "sagemaker_distribution_instance_groups": value}
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, resourceconfig=GROUPS, hyperparameters=raw), {})


@pytest.mark.parametrize(
    "key",
    [
        "sagemaker_parameter_server_enabled",
        "sagemaker_pytorch_xla_multi_worker_enabled",
    ],
)
def test_other_distributions_say_what_to_use(tmp_path: Path, key: str) -> None:
    paths = write(tmp_path, resourceconfig=RESOURCE, hyperparameters={**PROGRAM, key: "true"})
    with pytest.raises(ConfigError, match=key + ".*\n.*try: use "):
        read_config(paths, {})
    assert read_config(paths, {}, require_program=False).job.distribution.kind == "none"
    both = write(tmp_path, resourceconfig=RESOURCE, hyperparameters={**PROGRAM, key: "true", "sagemaker_mpi_enabled": "true"})
    with pytest.raises(ConfigError, match="enabled together"):
        read_config(both, {})


def test_what_the_sdk_makes_of_pytorchddp_is_started_by_torchrun_with_a_warning(tmp_path: Path) -> None:
    key = "sagemaker_distributed_dataparallel_enabled"
    paths = write(tmp_path, resourceconfig=RESOURCE, hyperparameters={**PROGRAM, key: "true"})
    job = read_config(paths, {}).job
    assert job.distribution.kind == "torch_distributed"
    assert "torchrun starts the ranks" in str(borrowed(job.reserved))
    assert borrowed({**job.reserved, "sagemaker_torch_distributed_enabled": True}) is None
    assert read_config(paths, {}, require_program=False).job.distribution.kind == "none"


def test_workers_of_tensorflows_own_strategy_find_each_other(tmp_path: Path) -> None:
    key = "sagemaker_multi_worker_mirrored_strategy_enabled"
    paths = write(tmp_path, resourceconfig=RESOURCE, hyperparameters={**PROGRAM, key: "true"})
    config = read_config(paths, {})
    assert config.job.distribution.kind == "none"
    found = host_environment(config, HostFacts(), {}, session="s", master_address="", master_port=0)
    hosts, current = RESOURCE["hosts"], RESOURCE["current_host"]
    assert json.loads(found["TF_CONFIG"]) == {
        "cluster": {"worker": [f"{host}:8890" for host in hosts]},
        "environment": "cloud",
        "task": {"type": "worker", "index": hosts.index(current)},
    }
    own = host_environment(config, HostFacts(), {"TF_CONFIG": "mine"}, session="s", master_address="", master_port=0)
    assert own["TF_CONFIG"] == "mine"
    both = write(tmp_path, resourceconfig=RESOURCE, hyperparameters={**PROGRAM, key: "true", "sagemaker_mpi_enabled": "true"})
    with pytest.raises(ConfigError, match="enabled together"):
        read_config(both, {})


@pytest.mark.parametrize("times", [0, 1, 2])
def test_values_that_were_encoded_more_than_once(tmp_path: Path, times: int) -> None:
    raw: Dict[str, str] = {
        "sagemaker_mpi_enabled": "true",
        "sagemaker_parameter_server_enabled": "False",
        "sagemaker_mpi_num_of_processes_per_host": "8",
        "sagemaker_mpi_custom_mpi_options": '-x A="b c" --verbose',
        "sagemaker_distribution_instance_groups": '["train"]',
    }
    for _ in range(times):
        raw = {key: json.dumps(value) for key, value in raw.items()}
    config = read_config(write(tmp_path, resourceconfig=GROUPS, hyperparameters={**PROGRAM, **raw}), {})
    found = config.job.distribution
    assert (found.kind, found.processes_per_host, found.custom_mpi_options) == ("mpi", 8, '-x A="b c" --verbose')
    assert config.cluster.distribution_groups == ("train",)


def test_a_host_in_two_distribution_groups_is_refused(tmp_path: Path) -> None:
    groups = [{"instance_group_name": name, "instance_type": "t", "hosts": ["a"]} for name in ("one", "two")]
    raw = {**PROGRAM, "sagemaker_distribution_instance_groups": '["one", "two"]'}
    with pytest.raises(ConfigError, match="more than once: a"):
        read_config(write(tmp_path, resourceconfig={**GROUPS, "instance_groups": groups}, hyperparameters=raw), {})


def test_the_program_of_the_image_goes_first(tmp_path: Path) -> None:
    paths = write(tmp_path, resourceconfig=RESOURCE, hyperparameters=PROGRAM)
    assert read_config(paths, {"SAGEMAKER_PROGRAM": "other.py"}).job.program == "other.py"


@pytest.mark.parametrize(("value", "seconds"), [("30", 30.0), ('"2.5"', 2.5), ("0", None), ("", None), (None, None)])
def test_supervision(tmp_path: Path, value: Optional[str], seconds: Optional[float]) -> None:
    extra = {} if value is None else {"sagemaker_hvdsm_timeout": value, "sagemaker_hvdsm_hang_timeout": value}
    found = read_config(write(tmp_path, resourceconfig=RESOURCE, hyperparameters={**PROGRAM, **extra}), {}).job.supervision
    assert (found.timeout, found.hang_timeout, found.max_restarts) == (seconds, seconds, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("timeout", "-1"), ("hang_timeout", '"soon"'), ("max_restarts", "1.5"), ("max_restarts", "true"), ("timeout", "Infinity")],
)
def test_supervision_that_is_none_is_refused(tmp_path: Path, key: str, value: str) -> None:
    paths = write(tmp_path, resourceconfig=RESOURCE, hyperparameters={**PROGRAM, f"sagemaker_hvdsm_{key}": value})
    with pytest.raises(ConfigError, match=f"sagemaker_hvdsm_{key}"):
        read_config(paths, {})


@pytest.mark.parametrize("value", ['"0"', "0", "-1", "2.5", '"two"', "true", "[2]"])
def test_a_count_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    raw = {**PROGRAM, "sagemaker_mpi_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": value}
    with pytest.raises(ConfigError, match="sagemaker_mpi_num_of_processes_per_host"):
        read_config(write(tmp_path, resourceconfig=RESOURCE, hyperparameters=raw), {})


@pytest.mark.parametrize("value", ["nan", "inf", "1e999"])
def test_a_port_that_is_no_number_is_named(value: str) -> None:
    with pytest.raises(ConfigError, match="HVDSM_RENDEZVOUS_PORT"):
        read_settings({"HVDSM_RENDEZVOUS_PORT": value})


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_named(port: int) -> None:
    with pytest.raises(ConfigError):
        Listener(Loop(), [], read_settings({"HVDSM_RENDEZVOUS_PORT": str(port)}).rendezvous_port, "", lambda *_: None)


def test_the_base_directory() -> None:
    assert base_paths({}).code == "/opt/ml/code"
    assert base_paths({"SAGEMAKER_BASE_DIR": "/tmp/a b/"}).model == "/tmp/a b/model"
