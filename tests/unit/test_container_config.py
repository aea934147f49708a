"""The platform's files and hvdsm's settings: what is wrong in them is a ConfigError that names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from hvdsm.compose.environment import Paths
from hvdsm.container.config import base_paths, decode, read_config, read_settings
from hvdsm.container.loop import Loop
from hvdsm.container.rendezvous import Listener
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
    [("20", 20), ('"10"', 10), ('"debug"', 10), ("DEBUG", 10), ('"Warning"', 30), (None, 20), ('"loud"', 20)],
)
def test_the_log_level_is_a_number_or_a_name(tmp_path: Path, value: Optional[str], expected: int) -> None:
    extra = {} if value is None else {"sagemaker_container_log_level": value}
    assert read_config(write(tmp_path, resourceconfig=RESOURCE, hyperparameters={**PROGRAM, **extra}), {}).log_level == expected


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
