"""The rules beyond the service model: each with a request that it refuses and one that it accepts; and ``--set``."""

from __future__ import annotations

import copy
import json
import pathlib
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_samples import ACCOUNT, GROUPS, IMAGE, MINIMAL, PLAN, PREFERENCES, SERVERLESS, SPOT, VALID, WARM, changed, s3_channel

from hvdsm.aws.setting import apply_settings
from hvdsm.aws.shapes import check_service_request, problems
from hvdsm.compose.limits import check_request, check_types, problems_of
from hvdsm.compose.rules import only_here, rule_problems
from hvdsm.errors import ConfigError, UsageError

FILES = {
    "ChannelName": "files",
    "DataSource": {
        "FileSystemDataSource": {
            "FileSystemId": "fs-01234567",
            "FileSystemAccessMode": "ro",
            "FileSystemType": "EFS",
            "DirectoryPath": "/data",
        }
    },
}
CHANNEL = {**MINIMAL, "InputDataConfig": [s3_channel("train")]}
VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
MOUNTED = {**MINIMAL, "InputDataConfig": [FILES], "VpcConfig": VPC}
TAGGED = {**MINIMAL, "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "1"}]}
EXPRESS = {**MINIMAL, "OutputDataConfig": {"S3OutputPath": "s3://name--use1-az4--x-s3/out"}}
ONE_COUNT = changed(
    {**PREFERENCES, "ResourceConfig": {**PREFERENCES["ResourceConfig"], "InstanceCount": 2, "InstancePreferences": []}},
    ("ResourceConfig", "InstancePreferences"),
    [{"InstanceType": "ml.p5.48xlarge"}, {"InstanceType": "ml.p4d.24xlarge"}],
)
MANY_SPOT = {
    **MINIMAL,
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
}
ALGORITHM, RESOURCES, STOPPING = "AlgorithmSpecification", "ResourceConfig", "StoppingCondition"
SOURCE = ("InputDataConfig", 0, "DataSource", "S3DataSource")
GROUP = (RESOURCES, "InstanceGroups", 0)
PREFERENCE = (RESOURCES, "InstancePreferences", 1)
WAIT = "StoppingCondition.MaxWaitTimeInSeconds"
KEEP = "ResourceConfig.KeepAlivePeriodInSeconds"
VOLUME = "ResourceConfig.VolumeSizeInGB"

# What is accepted, the changes that break one rule, the field complained of, and words of the complaint.
RULES: List[Tuple[Any, Dict[Tuple[Any, ...], Any], str, List[str]]] = [
    (CHANNEL, {("InputDataConfig", 1): s3_channel("train")}, "InputDataConfig[1].ChannelName", ["once", "2 times", "'train'"]),
    (GROUPS, {(RESOURCES, "InstanceType"): "ml.c5.xlarge"}, "ResourceConfig.InstanceType", ["InstanceGroups", "'ml.c5.xlarge'"]),
    (GROUPS, {(RESOURCES, "InstanceCount"): 2}, "ResourceConfig.InstanceCount", ["InstanceGroups", "2"]),
    (
        {**GROUPS, "InputDataConfig": [s3_channel("train")]},
        {(*GROUP, "InstanceGroupName"): "loaders"},
        "ResourceConfig.InstanceGroups[1].InstanceGroupName",
        ["once", "'loaders'"],
    ),
    (
        GROUPS,
        {(*SOURCE, "InstanceGroupNames"): ["worker"]},
        ".".join(["InputDataConfig[0]", *SOURCE[2:]]),
        ["'workers'", "'worker'"],
    ),
    (CHANNEL, {(*SOURCE, "InstanceGroupNames"): ["a"]}, "InputDataConfig[0]", ["none", "'a'"]),
    (GROUPS, {(*SOURCE, "InstanceGroupNames"): []}, "InputDataConfig[0]", ["must be given", "'train'"]),
    (MINIMAL, {(STOPPING, "MaxRuntimeInSeconds"): 2419201}, "StoppingCondition.MaxRuntimeInSeconds", ["2,419,200", "2,419,201"]),
    (SPOT, {(STOPPING, "MaxWaitTimeInSeconds"): 3599}, WAIT, ["at least", "3,600", "3,599"]),
    (SPOT, {(STOPPING, "MaxRuntimeInSeconds"): ...}, WAIT, ["at least", "86,400", "default", "7,200"]),
    (SPOT, {(STOPPING, "MaxWaitTimeInSeconds"): ...}, WAIT, ["must be given", "EnableManagedSpotTraining"]),
    (MINIMAL, {(STOPPING, "MaxWaitTimeInSeconds"): 7200}, WAIT, ["left out", "EnableManagedSpotTraining", "7,200"]),
    (SPOT, {("EnableManagedSpotTraining",): False}, WAIT, ["left out", "7,200"]),
    (MINIMAL, {(ALGORITHM,): ...}, "AlgorithmSpecification", ["must be given"]),
    (MINIMAL, {(ALGORITHM, "AlgorithmName"): "a"}, "AlgorithmSpecification.AlgorithmName", ["TrainingImage", "'a'"]),
    (MINIMAL, {(ALGORITHM, "TrainingImage"): ...}, "AlgorithmSpecification.TrainingImage", ["must be given", "AlgorithmName"]),
    (
        {**MINIMAL, "VpcConfig": VPC, ALGORITHM: {**SPOT[ALGORITHM], "TrainingInputMode": "File"}},
        {("VpcConfig",): ...},
        "VpcConfig",
        ["must be given", "TrainingRepositoryAccessMode", "'Vpc'"],
    ),
    (
        SPOT,
        {(ALGORITHM, "TrainingImageConfig", "TrainingRepositoryAccessMode"): "Platform"},
        "AlgorithmSpecification.TrainingImageConfig.TrainingRepositoryAuthConfig",
        ["left out", "'Vpc'"],
    ),
    (CHANNEL, {("InputDataConfig", 0, "DataSource"): {}}, "InputDataConfig[0].DataSource", ["exactly one", "none"]),
    (
        {**CHANNEL, "VpcConfig": VPC},
        {("InputDataConfig", 0, "DataSource", "FileSystemDataSource"): FILES["DataSource"]["FileSystemDataSource"]},  # type: ignore[index]
        "InputDataConfig[0].DataSource",
        ["exactly one", "S3DataSource and FileSystemDataSource"],
    ),
    (MOUNTED, {("VpcConfig",): ...}, "VpcConfig", ["must be given", "InputDataConfig[0]"]),
    (
        MOUNTED,
        {("InputDataConfig", 0, "DataSource", "FileSystemDataSource", "DirectoryPath"): "data"},
        "InputDataConfig[0].DataSource.FileSystemDataSource.DirectoryPath",
        ["full path", "'data'"],
    ),
    (MOUNTED, {("InputDataConfig", 0, "InputMode"): "Pipe"}, "InputDataConfig[0].InputMode", ["'File'", "'Pipe'"]),
    (MOUNTED, {(ALGORITHM, "TrainingInputMode"): "FastFile"}, "InputDataConfig[0].InputMode", ["'File'", "'FastFile'"]),
    (
        CHANNEL,
        {("InputDataConfig", 0, "CompressionType"): "Gzip"},
        "InputDataConfig[0].CompressionType",
        ["'Pipe'", "File", "'Gzip'"],
    ),
    (CHANNEL, {("InputDataConfig", 0, "RecordWrapperType"): "RecordIO"}, "InputDataConfig[0].RecordWrapperType", ["'RecordIO'"]),
    (
        SPOT,
        {("InputDataConfig", 1, "InputMode"): "File"},
        "InputDataConfig[1].DataSource.S3DataSource.S3DataType",
        ["'Pipe'", "'File'"],
    ),
    (
        SPOT,
        {("InputDataConfig", 1, "DataSource", "S3DataSource", "AttributeNames"): ...},
        "InputDataConfig[1].DataSource.S3DataSource.AttributeNames",
        ["must be given", "AugmentedManifestFile"],
    ),
    (CHANNEL, {(*SOURCE, "AttributeNames"): ["a"]}, "InputDataConfig[0].DataSource.S3DataSource.AttributeNames", ["'S3Prefix'"]),
    (EXPRESS, {("OutputDataConfig", "KmsKeyId"): "key"}, "OutputDataConfig.KmsKeyId", ["Express", "'key'"]),
    (MINIMAL, {(RESOURCES,): ...}, "ResourceConfig", ["must be given"]),
    (MINIMAL, {(RESOURCES, "InstanceType"): ...}, "ResourceConfig.InstanceType", ["must be given"]),
    (MINIMAL, {(RESOURCES, "InstanceCount"): ...}, "ResourceConfig.InstanceCount", ["must be given"]),
    (MINIMAL, {(RESOURCES, "InstanceCount"): 0}, "ResourceConfig.InstanceCount", ["at least 1", "0"]),
    (GROUPS, {(*GROUP, "InstanceCount"): 0}, "ResourceConfig.InstanceGroups[0].InstanceCount", ["at least 1", "0"]),
    (
        SPOT,
        {(RESOURCES, "InstancePlacementConfig", "PlacementSpecifications", 0, "InstanceCount"): 0},
        "ResourceConfig.InstancePlacementConfig.PlacementSpecifications[0].InstanceCount",
        ["at least 1", "0"],
    ),
    (
        MINIMAL,
        {(RESOURCES, "SelectedInstanceType"): "ml.c5.xlarge"},
        "ResourceConfig.SelectedInstanceType",
        ["left out", "ml.c5"],
    ),
    (MINIMAL, {(RESOURCES, "SelectedInstanceCount"): 2}, "ResourceConfig.SelectedInstanceCount", ["left out", "2"]),
    (MANY_SPOT, {(RESOURCES, "KeepAlivePeriodInSeconds"): 600}, KEEP, ["EnableManagedSpotTraining", "600"]),
    (GROUPS, {(RESOURCES, "KeepAlivePeriodInSeconds"): 1600}, KEEP, ["InstanceGroups", "1,600"]),
    (MINIMAL, {(RESOURCES, "VolumeSizeInGB"): ...}, VOLUME, ["must be given", "ml.c5.xlarge"]),
    (MINIMAL, {(RESOURCES, "VolumeSizeInGB"): 0}, VOLUME, ["1 to 16,384", "0"]),
    (MINIMAL, {(RESOURCES, "VolumeSizeInGB"): 16385}, VOLUME, ["1 to 16,384", "16,385"]),
    (
        {**SERVERLESS, RESOURCES: {}},
        {(RESOURCES, "VolumeSizeInGB"): 30},
        VOLUME,
        ["serverless", "30"],
    ),
    (
        changed(MINIMAL, (RESOURCES, "InstanceType"), "ml.g5.xlarge"),
        {(RESOURCES, "VolumeKmsKeyId"): "key"},
        "ResourceConfig.VolumeKmsKeyId",
        ["ml.g5.xlarge", "'key'"],
    ),
    (PREFERENCES, {("EnableManagedSpotTraining",): True}, "ResourceConfig.InstancePreferences", ["EnableManagedSpotTraining"]),
    (PREFERENCES, {(RESOURCES, "InstanceType"): "ml.p5.48xlarge"}, "ResourceConfig.InstancePreferences", ["InstanceType"]),
    (PREFERENCES, {(RESOURCES, "InstanceGroups"): GROUPS[RESOURCES]["InstanceGroups"]}, "ResourceConfig", ["InstanceGroups"]),
    (
        PREFERENCES,
        {(RESOURCES, "InstancePlacementConfig"): {"EnableMultipleJobs": True}},
        "ResourceConfig.InstancePreferences",
        ["InstancePlacementConfig"],
    ),
    (
        PREFERENCES,
        {(*PREFERENCE, "InstanceType"): "ml.p5.48xlarge"},
        "ResourceConfig.InstancePreferences[1].InstanceType",
        ["once", "'ml.p5.48xlarge'"],
    ),
    (PREFERENCES, {(RESOURCES, "InstanceCount"): 3}, "ResourceConfig.InstanceCount", ["left out", "3"]),
    (PREFERENCES, {(*PREFERENCE, "InstanceCount"): ...}, "ResourceConfig.InstancePreferences", ["1 of 2"]),
    (PREFERENCES, {(*PREFERENCE, "InstanceCount"): 0}, "ResourceConfig.InstancePreferences[1].InstanceCount", ["at least 1"]),
    (ONE_COUNT, {(RESOURCES, "InstanceCount"): ...}, "ResourceConfig.InstanceCount", ["must be given"]),
    (PREFERENCES, {(RESOURCES, "TrainingPlanArn"): PLAN}, "ResourceConfig.InstancePreferences[0].TrainingPlanArns", ["left out"]),
    (MOUNTED, {("VpcConfig", "SecurityGroupIds"): ["subnet-1"]}, "VpcConfig.SecurityGroupIds[0]", ["sg-", "'subnet-1'"]),
    (MOUNTED, {("VpcConfig", "Subnets"): ["subnet-1", "sg-1"]}, "VpcConfig.Subnets[1]", ["subnet-", "'sg-1'"]),
    (TAGGED, {("Tags", 1, "Key"): "a"}, "Tags[1].Key", ["once", "'a'"]),
    (TAGGED, {("Tags", 0, "Key"): "AWS:x"}, "Tags[0].Key", ["aws:", "'AWS:x'"]),
    (
        SPOT,
        {("ProfilerRuleConfigurations", 0, "RuleConfigurationName"): "LossNotDecreasing"},
        "ProfilerRuleConfigurations[0].RuleConfigurationName",
        ["once", "'LossNotDecreasing'"],
    ),
    (
        SPOT,
        {("DebugHookConfig", "CollectionConfigurations", 1): {"CollectionName": "losses"}},
        "DebugHookConfig.CollectionConfigurations[1].CollectionName",
        ["once", "'losses'"],
    ),
    (
        SPOT,
        {("ProfilerConfig", "ProfilingIntervalInMilliseconds"): 300},
        "ProfilerConfig.ProfilingIntervalInMilliseconds",
        ["100, 200, 500, 1,000, 5,000, 60,000", "300"],
    ),
    (SPOT, {("ProfilerConfig", "DisableProfiler"): True}, "ProfilerRuleConfigurations", ["DisableProfiler"]),
    (SPOT, {("CheckpointConfig", "LocalPath"): "ckpt"}, "CheckpointConfig.LocalPath", ["absolute", "'ckpt'"]),
    (SERVERLESS, {("ServerlessJobConfig", "EvaluationType"): ...}, "ServerlessJobConfig.EvaluationType", ["must be given"]),
    (
        SERVERLESS,
        {("ServerlessJobConfig", "SequenceLength"): "1025K"},
        "ServerlessJobConfig.SequenceLength",
        ["1024K", "'1025K'"],
    ),
    (SERVERLESS, {("ServerlessJobConfig", "SequenceLength"): "0K"}, "ServerlessJobConfig.SequenceLength", ["1K", "'0K'"]),
]


def broken(accepted: Any, changes: Dict[Tuple[Any, ...], Any]) -> Any:
    """The request with a rule broken."""
    for place, value in changes.items():
        accepted = changed(accepted, place, value)
    return accepted


@pytest.mark.parametrize(("accepted", "changes", "path", "words"), RULES, ids=[f"{rule[2]}-{n}" for n, rule in enumerate(RULES)])
def test_each_rule_refuses_and_accepts(accepted: Any, changes: Dict[Tuple[Any, ...], Any], path: str, words: List[str]) -> None:
    assert rule_problems(accepted) == []
    check_service_request(accepted)
    lines = rule_problems(broken(accepted, changes))
    (line,) = [line for line in lines if line.startswith(path)]
    assert not [word for word in words if word not in line]
    with pytest.raises(ConfigError) as caught:
        check_service_request(broken(accepted, changes))
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({("InputDataConfig",): [s3_channel("train", S3Uri="file:///data")]}, "InputDataConfig[0].", ["s3://", "'file:///data'"]),
        ({("OutputDataConfig", "S3OutputPath"): "file:///out"}, "OutputDataConfig.S3OutputPath", ["s3://", "'file:///out'"]),
        ({("CheckpointConfig",): {"S3Uri": "file:///c"}}, "CheckpointConfig.S3Uri", ["s3://", "file:///c"]),
        (
            {("HyperParameters",): {"sagemaker_submit_directory": '"file:///src"'}},
            "HyperParameters.sagemaker_submit_directory",
            ["s3://", "file:///src"],
        ),
        ({(RESOURCES, "InstanceType"): "local"}, "ResourceConfig.InstanceType", ["ml.", "'local'"]),
        ({(RESOURCES, "InstanceType"): "local_gpu"}, "ResourceConfig.InstanceType", ["ml.", "'local_gpu'"]),
        ({("Environment",): {"API_TOKEN": "<masked>"}}, "Environment.API_TOKEN", ["<masked>"]),
        ({("HyperParameters",): {"token": '"<masked>"'}}, "HyperParameters.token", ["<masked>"]),
        ({(ALGORITHM, "ContainerArguments"): ["--token", "<masked>"]}, f"{ALGORITHM}.ContainerArguments[1]", ["<masked>"]),
        ({(ALGORITHM, "TrainingImage"): "training:1"}, f"{ALGORITHM}.TrainingImage", ["Amazon ECR", "'training:1'"]),
    ],
)
def test_what_only_a_rehearsal_can_use_is_refused(changes: Dict[Tuple[Any, ...], Any], path: str, words: List[str]) -> None:
    request = broken(MINIMAL, changes)
    with pytest.raises(ConfigError) as caught:
        check_service_request(request)
    (line,) = [line.strip() for line in str(caught.value).splitlines() if line.strip().startswith(path)]
    assert not [word for word in words if word not in line]


def test_a_place_in_the_container_is_no_place_of_this_machine() -> None:
    request = {
        **MINIMAL,
        "HyperParameters": {"init": "file:///tmp/rendezvous"},
        "Environment": {"CACHE": "file:///tmp"},
        ALGORITHM: {**MINIMAL[ALGORITHM], "ContainerArguments": ["--init-method", "file:///tmp/x"]},
    }
    check_service_request(request)


@pytest.mark.parametrize(
    "image",
    [
        IMAGE,
        f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn/a/b@sha256:{'0' * 64}",
        f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com/a",
        f"{ACCOUNT}.dkr-ecr.us-east-1.on.aws/a:1",
    ],
)
def test_images_of_ecr(image: str) -> None:
    assert only_here(changed(MINIMAL, (ALGORITHM, "TrainingImage"), image)) == []


def test_an_image_of_another_registry_through_the_vpc() -> None:
    algorithm = {**SPOT[ALGORITHM], "TrainingImage": "registry.example.com/training:1"}
    check_service_request({**SPOT, ALGORITHM: algorithm}, region="eu-west-1")


def test_a_warm_pool_may_be_switched_off_anywhere() -> None:
    for request in (MANY_SPOT, GROUPS):
        check_service_request(changed(request, (RESOURCES, "KeepAlivePeriodInSeconds"), 0))
    check_service_request(WARM)


def test_a_field_of_wrong_type_is_told_once() -> None:
    request = changed(MINIMAL, (RESOURCES, "InstanceType"), 5)
    assert rule_problems(request) == []
    (line,) = problems(request)
    assert line == "ResourceConfig.InstanceType: must be a string, not 5 (an integer)"
    assert len(problems_of(changed(MINIMAL, (RESOURCES, "InstanceCount"), "2"))) == 1
    assert len(problems_of({**MINIMAL, RESOURCES: "x"})) == 1


@pytest.mark.parametrize("value", [5, "x", True, [None], [1], ["x"]])
@pytest.mark.parametrize("place", [(ALGORITHM,), ("InputDataConfig",), (RESOURCES,), (STOPPING,), ("InputDataConfig", 0)])
def test_types_can_be_checked_alone(place: Tuple[Any, ...], value: Any) -> None:
    check_types({"RoleArn": "x", "Tags": None})
    with pytest.raises(ConfigError, match=str(place[0])):
        check_types(changed(CHANNEL, place, value))


def test_a_channel_of_s3_says_where_for_a_rehearsal_too() -> None:
    for value in (None, "", ...):
        (line,) = problems_of(changed(CHANNEL, (*SOURCE, "S3Uri"), value))
        assert line.startswith("InputDataConfig[0].DataSource.S3DataSource.S3Uri: must be given")


def test_half_a_surrogate_pair_is_refused_for_a_rehearsal_too() -> None:
    for values in ({"A": "\ud800"}, {"\ud800": "A"}):
        (line,) = problems_of({**MINIMAL, "HyperParameters": values})
        assert line.startswith("HyperParameters") and "Unicode" in line
    assert problems_of({**MINIMAL, "Environment": {"A": "\udcff"}}) == []


def test_null_is_a_field_left_out_for_a_rehearsal_only() -> None:
    request = {
        **MINIMAL,
        "InputDataConfig": None,
        "Environment": None,
        "CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": None},
    }
    check_request(request)
    assert [line.split(":")[0] for line in problems(request)] == ["InputDataConfig", "Environment", "CheckpointConfig.LocalPath"]


@pytest.mark.parametrize("name", VALID)
def test_rules_leave_the_request_as_it_is(name: str) -> None:
    before = copy.deepcopy(VALID[name])
    check_service_request(VALID[name])
    assert VALID[name] == before


# --set


@pytest.mark.parametrize(
    ("setting", "place", "value"),
    [
        ("ResourceConfig.VolumeSizeInGB=100", (RESOURCES, "VolumeSizeInGB"), 100),
        ("InputDataConfig[0].ShuffleConfig.Seed=3", ("InputDataConfig", 0, "ShuffleConfig", "Seed"), 3),
        ("InputDataConfig[train].InputMode=Pipe", ("InputDataConfig", 0, "InputMode"), "Pipe"),
        ('InputDataConfig["train"].InputMode="Pipe"', ("InputDataConfig", 0, "InputMode"), "Pipe"),
        ("InputDataConfig[1].ChannelName=test", ("InputDataConfig", 1), {"ChannelName": "test"}),
        ("HyperParameters.optimizer.name=adam", ("HyperParameters", "optimizer.name"), "adam"),
        ("HyperParameters.a=b=c", ("HyperParameters", "a"), "b=c"),
        ('HyperParameters["a=b"]=c', ("HyperParameters", "a=b"), "c"),
        ("HyperParameters.epochs=10", ("HyperParameters", "epochs"), "10"),
        ("HyperParameters.layers=[1, 2]", ("HyperParameters", "layers"), "[1, 2]"),
        ('HyperParameters.x="null"', ("HyperParameters", "x"), "null"),
        ('HyperParameters.x="', ("HyperParameters", "x"), '"'),
        ("Environment.EMPTY=", ("Environment", "EMPTY"), ""),
        ("EnableNetworkIsolation=true", ("EnableNetworkIsolation",), True),
        ('ExperimentConfig={"RunName": "r"}', ("ExperimentConfig",), {"RunName": "r"}),
        ("RemoteDebugConfig.EnableRemoteDebug=true", ("RemoteDebugConfig",), {"EnableRemoteDebug": True}),
        ('Tags[0]={"Key": "a", "Value": "b"}', ("Tags",), [{"Key": "a", "Value": "b"}]),
        ("CheckpointConfig.LocalPath=/opt/ml/c", ("CheckpointConfig", "LocalPath"), "/opt/ml/c"),
    ],
)
def test_a_setting(setting: str, place: Tuple[Any, ...], value: Any) -> None:
    before = copy.deepcopy(CHANNEL)
    made = apply_settings(CHANNEL, [setting])
    assert before == CHANNEL
    for part in place:
        made = made[part]
    assert made == value


@pytest.mark.parametrize(
    ("setting", "error", "words"),
    [
        ("ResourceConfig.VolumeSizeInGb=100", UsageError, ["--set ResourceConfig.VolumeSizeInGb", "did you mean VolumeSizeInGB"]),
        ("resourceconfig=1", UsageError, ["did you mean ResourceConfig"]),
        ("ResourceConfig.VolumeSizeInGB=big", UsageError, ["a whole number", "'big'"]),
        ("ResourceConfig.VolumeSizeInGB=NaN", UsageError, ["a whole number", "'NaN'"]),
        ("ResourceConfig.VolumeSizeInGB=1.5", ConfigError, ["a whole number", "1.5"]),
        ("EnableNetworkIsolation=True", UsageError, ["true or false", "'True'"]),
        ("ExperimentConfig={", UsageError, ["JSON", "'{'"]),
        ("ExperimentConfig=[]", ConfigError, ["an object", "a list"]),
        ('ExperimentConfig={"Run": "r"}', ConfigError, ["ExperimentConfig.Run", "RunName"]),
        ("ResourceConfig.KeepAlivePeriodInSeconds=21601", ConfigError, ["0 to 21,600", "21601"]),
        (
            "AlgorithmSpecification.TrainingInputMode=file",
            ConfigError,
            ["'Pipe', 'File', 'FastFile'", "did you mean File", "'file'"],
        ),
        ("TrainingJobName=a_b", ConfigError, ["[a-zA-Z0-9]", "'a_b'"]),
        ("TrainingJobName", UsageError, ["PATH=VALUE"]),
        ("TrainingJobName.x=1", UsageError, ["no fields", "'.x=1'"]),
        ("", UsageError, ["--set"]),
        ("=1", UsageError, ["--set"]),
        ("ResourceConfig[0]=1", UsageError, [".FIELD", "'[0]=1'"]),
        ("InputDataConfig.ChannelName=x", UsageError, ["a list", "[0]"]),
        ("InputDataConfig[2].ChannelName=x", UsageError, ["has 1 entr", "[1] adds"]),
        ("InputDataConfig[trian].InputMode=Pipe", UsageError, ["'trian'", "did you mean train"]),
        ("VpcConfig.Subnets[a]=x", UsageError, ["no names", "[a]"]),
        ("HyperParameters=x", UsageError, ["JSON", "'x'"]),
        ("HyperParameters.=x", UsageError, ["a map", ".KEY"]),
        ("Environment.1A=x", ConfigError, ["1A", "[a-zA-Z_]"]),
    ],
)
def test_a_setting_that_cannot_be(setting: str, error: type, words: List[str]) -> None:
    with pytest.raises(error) as caught:
        apply_settings(CHANNEL, [setting])
    assert not [word for word in words if word not in str(caught.value)]


def test_a_later_setting_sees_an_earlier_one() -> None:
    made = apply_settings(
        MINIMAL,
        [
            "VpcConfig.Subnets=[]",
            "VpcConfig.Subnets[0]=subnet-1",
            'VpcConfig.SecurityGroupIds=["sg-1"]',
            "VpcConfig.Subnets[1]=x",
        ][1:],
    )
    assert made["VpcConfig"] == {"Subnets": ["subnet-1", "x"], "SecurityGroupIds": ["sg-1"]}


def test_null_takes_a_field_away() -> None:
    made = apply_settings(CHANNEL, ["StoppingCondition=null", "InputDataConfig[0]=null", "VpcConfig.Subnets=null", "Tags=null"])
    assert "StoppingCondition" not in made and made["InputDataConfig"] == [] and "VpcConfig" not in made and "Tags" not in made


def test_what_a_setting_replaces_is_said() -> None:
    said: List[str] = []
    request = {**MINIMAL, "Environment": {"API_TOKEN": "old"}}
    settings_ = ["ResourceConfig.VolumeSizeInGB=100", "Environment.API_TOKEN=new", "StoppingCondition=null", "Tags=[]"]
    apply_settings(request, [*settings_, "ResourceConfig.InstanceCount=2"], said.append)
    assert said == [
        "--set ResourceConfig.VolumeSizeInGB: 30 is replaced by 100",
        "--set Environment.API_TOKEN: <masked> is replaced by <masked>",
        "--set StoppingCondition: an object with 1 field is taken away",
    ]


def test_a_request_of_another_type_on_the_way() -> None:
    with pytest.raises(ConfigError, match="ResourceConfig: must be an object"):
        apply_settings({**MINIMAL, RESOURCES: "x"}, ["ResourceConfig.VolumeSizeInGB=1"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*".[]=\"'{}0a", "ResourceConfig", "InputDataConfig", "Tags", "HyperParameters", "Key"]), max_size=9)
)
def test_no_text_makes_a_setting_fail_otherwise(parts: List[str]) -> None:
    try:
        apply_settings(CHANNEL, ["".join(parts)])
    except (UsageError, ConfigError) as error:
        assert "--set" in str(error)


# --- requests that the SageMaker SDKs made

CAPTURED = sorted((pathlib.Path(__file__).parent.parent / "cluster" / "requests").glob("*.json"))
# Their makers never sent these, and the service would not have taken them.
REFUSED = {
    "pytorch-groups": "InstanceGroups[1].InstanceType",  # ml.c5.large is a type for hosting
    "pytorch-inputs": "InputDataConfig[3].CompressionType",  # Gzip in File mode
    "pytorch-spot": "KeepAlivePeriodInSeconds",  # a warm pool of spot instances
}


@pytest.mark.parametrize("path", CAPTURED, ids=[path.stem for path in CAPTURED])
def test_what_the_sdks_send_is_accepted(path: pathlib.Path) -> None:
    request = json.loads(path.read_text())
    check_request(request)
    if path.stem not in REFUSED:
        check_service_request(request)
        return
    with pytest.raises(ConfigError, match="1 problem\n") as caught:
        check_service_request(request)
    assert REFUSED[path.stem] in str(caught.value)
