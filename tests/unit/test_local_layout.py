"""What hosts find in /opt/ml/input/config."""

from __future__ import annotations

import json

from hvdsm.backends.local.layout import (
    distribution_of,
    host_hyperparameters,
    hosts_of,
    input_data_config,
    processes_of,
    program_of,
    resource_config,
)
from hvdsm.compose.request import LaunchOptions, build_request, channel_of

REQUEST = build_request(
    LaunchOptions(
        program="t.py",
        source="s3://b/s.tar.gz",
        job_name="j",
        instance_count=2,
        processes_per_host=3,
        channels={"train": "s3://b/t"},
    )
)


def test_resource_config_as_in_the_cloud() -> None:
    hosts = hosts_of({"ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.g5.2xlarge"}})
    assert resource_config(hosts, hosts[1]) == {
        "current_host": "algo-2",
        "current_instance_type": "ml.g5.2xlarge",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1", "algo-2"],
        "instance_groups": [
            {"instance_group_name": "homogeneousCluster", "instance_type": "ml.g5.2xlarge", "hosts": ["algo-1", "algo-2"]}
        ],
        "network_interface_name": "eth0",
    }


def test_instance_groups_are_numbered_through() -> None:
    groups = [
        {"InstanceGroupName": "cpu", "InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "gpu", "InstanceType": "ml.g5.xlarge", "InstanceCount": 2},
    ]
    hosts = hosts_of({"ResourceConfig": {"InstanceGroups": groups}})
    config = resource_config(hosts, hosts[2])
    assert (config["current_host"], config["current_group_name"], config["current_instance_type"]) == (
        "algo-3",
        "gpu",
        "ml.g5.xlarge",
    )
    assert [group["hosts"] for group in config["instance_groups"]] == [["algo-1"], ["algo-2", "algo-3"]]


def test_input_data_config_as_the_service_writes_it() -> None:
    assert input_data_config(REQUEST) == {
        "train": {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    }
    channel = {**channel_of("x", "s3://b/x"), "ContentType": "text/csv", "InputMode": "FastFile"}
    assert input_data_config({"InputDataConfig": [channel]})["x"]["ContentType"] == "text/csv"
    assert input_data_config({"InputDataConfig": [channel]})["x"]["TrainingInputMode"] == "FastFile"
    assert input_data_config({}) == {}


def test_what_the_request_asks_for() -> None:
    assert (distribution_of(REQUEST), processes_of(REQUEST), program_of(REQUEST)) == ("mpi", 3, "t.py")
    raw = {"HyperParameters": {"sagemaker_mpi_enabled": "False", "sagemaker_program": "raw.py"}}
    assert (distribution_of(raw), processes_of(raw), program_of(raw)) == ("none", 1, "raw.py")
    quoted = {"HyperParameters": {"sagemaker_mpi_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": '"8"'}}
    assert processes_of(quoted) == 8
    assert processes_of({"HyperParameters": {"sagemaker_mpi_enabled": "true"}}) is None
    assert program_of({"Environment": {"SAGEMAKER_PROGRAM": "e.py"}, "HyperParameters": raw["HyperParameters"]}) == "e.py"


def test_hyperparameters_of_a_host() -> None:
    values = host_hyperparameters(REQUEST, source="/opt/hvdsm/source/a b", processes=6)
    assert json.loads(values["sagemaker_submit_directory"]) == "/opt/hvdsm/source/a b"
    assert values["sagemaker_mpi_num_of_processes_per_host"] == "6"
    assert REQUEST["HyperParameters"]["sagemaker_mpi_num_of_processes_per_host"] == "3"
