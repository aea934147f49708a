"""The request's fields that matter in the cloud."""

from __future__ import annotations

import json
from typing import Any, Dict

import pytest

from hvdsm.compose.cloud import CloudOptions, is_own_program, parse_instance_group, with_cloud_options, with_program
from hvdsm.errors import UsageError

REQUEST: Dict[str, Any] = {
    "TrainingJobName": "job",
    "AlgorithmSpecification": {"TrainingInputMode": "File", "MetricDefinitions": [{"Name": "loss", "Regex": "l=(.*)"}]},
    "HyperParameters": {"epochs": "3"},
    "ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.c5.xlarge", "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "InputDataConfig": [
        {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": {"S3Uri": "s3://b/t", "S3DataDistributionType": "FullyReplicated"}},
        }
    ],
    "Tags": [{"Key": "team", "Value": "a"}],
}


def made(**options: Any) -> Dict[str, Any]:
    return with_cloud_options(REQUEST, CloudOptions(**options))


def test_nothing_asked_changes_nothing() -> None:
    assert made() == REQUEST


def test_image_role_and_keys() -> None:
    request = made(image="img", role="arn:r", volume_kms_key="k1", output_kms_key="k2", volume_size=5, keep_alive=60, retries=2)
    assert request["AlgorithmSpecification"]["TrainingImage"] == "img"
    assert request["RoleArn"] == "arn:r"
    assert request["ResourceConfig"] == {
        **REQUEST["ResourceConfig"],
        "VolumeSizeInGB": 5,
        "VolumeKmsKeyId": "k1",
        "KeepAlivePeriodInSeconds": 60,
    }
    assert request["OutputDataConfig"] == {"KmsKeyId": "k2"}
    assert request["RetryStrategy"] == {"MaximumRetryAttempts": 2}


def test_an_image_stands_instead_of_an_algorithm() -> None:
    request = with_cloud_options({**REQUEST, "AlgorithmSpecification": {"AlgorithmName": "a"}}, CloudOptions(image="img"))
    assert request["AlgorithmSpecification"] == {"TrainingImage": "img"}


def test_instance_groups_stand_instead_of_one_type() -> None:
    request = made(instance_groups=(("a", "ml.c5.xlarge", 2), ("b", "ml.p3.2xlarge", 1)), distribution_groups=("a",))
    assert request["ResourceConfig"] == {
        "VolumeSizeInGB": 30,
        "InstanceGroups": [
            {"InstanceGroupName": "a", "InstanceType": "ml.c5.xlarge", "InstanceCount": 2},
            {"InstanceGroupName": "b", "InstanceType": "ml.p3.2xlarge", "InstanceCount": 1},
        ],
    }
    assert request["HyperParameters"]["sagemaker_distribution_instance_groups"] == '["a"]'


def test_a_distribution_group_must_be_a_group() -> None:
    with pytest.raises(UsageError, match="no instance group zz"):
        made(distribution_groups=("zz",))
    with pytest.raises(UsageError, match="name one of these: a"):
        made(instance_groups=(("a", "ml.c5.xlarge", 2),), distribution_groups=("zz",))


@pytest.mark.parametrize("text", ["", "a", "a=ml.c5.xlarge", "a=:2", "=ml.c5.xlarge:2", "a=ml.c5.xlarge:0", "a=ml.c5.xlarge:x"])
def test_an_instance_group_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError, match="NAME=TYPE:COUNT"):
        parse_instance_group(text)


def test_an_instance_group() -> None:
    assert parse_instance_group("workers=ml.p4d.24xlarge:16") == ("workers", "ml.p4d.24xlarge", 16)


def test_spot_needs_a_limit_for_the_wait_which_it_gets() -> None:
    request = made(spot=True)
    assert request["EnableManagedSpotTraining"] is True
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 3600 + 86400}
    assert made(spot=True, max_wait=7200)["StoppingCondition"]["MaxWaitTimeInSeconds"] == 7200


def test_a_limit_for_the_wait_means_nothing_without_spot() -> None:
    with pytest.raises(UsageError, match="--max-wait"):
        made(max_wait=7200)


def test_a_request_that_asks_for_spot_may_wait_otherwise() -> None:
    request = with_cloud_options({**REQUEST, "EnableManagedSpotTraining": True}, CloudOptions(max_wait=4000))
    assert request["StoppingCondition"]["MaxWaitTimeInSeconds"] == 4000


def test_vpc() -> None:
    request = made(subnets=("subnet-1",), security_groups=("sg-1", "sg-2"), encrypt_traffic=True, network_isolation=True)
    assert request["VpcConfig"] == {"SecurityGroupIds": ["sg-1", "sg-2"], "Subnets": ["subnet-1"]}
    assert request["EnableInterContainerTrafficEncryption"] is True
    assert request["EnableNetworkIsolation"] is True


@pytest.mark.parametrize(
    ("given", "missing"), [({"subnets": ("s",)}, "--security-group"), ({"security_groups": ("g",)}, "--subnet")]
)
def test_subnets_and_security_groups_go_together(given: Dict[str, Any], missing: str) -> None:
    with pytest.raises(UsageError, match=missing):
        made(**given)


def test_channels() -> None:
    request = made(sharded=("train",), input_mode="FastFile")
    assert request["AlgorithmSpecification"]["TrainingInputMode"] == "FastFile"
    assert request["InputDataConfig"] == [
        {
            "ChannelName": "train",
            "InputMode": "FastFile",
            "DataSource": {"S3DataSource": {"S3Uri": "s3://b/t", "S3DataDistributionType": "ShardedByS3Key"}},
        }
    ]
    assert REQUEST["InputDataConfig"][0].get("InputMode") is None


def test_a_channel_to_shard_must_be_there() -> None:
    with pytest.raises(UsageError, match="there is no channel test"):
        made(sharded=("test",))


def test_entries_of_the_same_name_are_replaced() -> None:
    request = made(tags={"team": "b", "x": "1"}, metrics={"loss": "loss=(.*)", "acc": "acc=(.*)"})
    assert request["Tags"] == [{"Key": "team", "Value": "b"}, {"Key": "x", "Value": "1"}]
    assert request["AlgorithmSpecification"]["MetricDefinitions"] == [
        {"Name": "loss", "Regex": "loss=(.*)"},
        {"Name": "acc", "Regex": "acc=(.*)"},
    ]


def test_secrets_are_named_not_held() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf"
    assert json.loads(made(secrets={"TOKEN": arn})["HyperParameters"]["sagemaker_hvdsm_secrets"]) == {"TOKEN": arn}


def test_the_program_comes_as_a_channel() -> None:
    request = with_program(REQUEST, "s3://b/hvdsm/abc/")
    assert request["AlgorithmSpecification"]["ContainerEntrypoint"] == ["python3", "/opt/ml/input/data/hvdsm/hvdsm.pyz"]
    assert [channel["ChannelName"] for channel in request["InputDataConfig"]] == ["train", "hvdsm"]
    assert is_own_program(request) and not is_own_program(REQUEST)


def test_the_program_needs_its_channel_and_the_entrypoint() -> None:
    with pytest.raises(UsageError, match="is taken"):
        with_program({**REQUEST, "InputDataConfig": [{"ChannelName": "hvdsm"}]}, "s3://b/")
    with pytest.raises(UsageError, match="ContainerEntrypoint"):
        with_program({**REQUEST, "AlgorithmSpecification": {"ContainerEntrypoint": ["/run.sh"]}}, "s3://b/")
