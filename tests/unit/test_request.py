"""The CreateTrainingJob request: made from options, changed for a run, and its values round trip."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.compose.arguments import ARGS_KEY, MAX_VALUE, unpack_arguments
from hvdsm.compose.limits import MAX_NAME, NAME, check_request, problems_of
from hvdsm.compose.request import (
    LaunchOptions,
    build_request,
    changed_request,
    encode,
    file_path,
    file_uri,
    make_job_name,
    parse_hyperparameter,
    split_assignment,
)
from hvdsm.errors import ConfigError, MpiError, UsageError

OPTIONS = LaunchOptions(program="train.py", source="file:///home/me/train.py", timestamp="2026-01-31-12-00-00-000")
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


def test_minimal_request() -> None:
    assert build_request(OPTIONS) == {
        "TrainingJobName": "train-2026-01-31-12-00-00-000",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "HyperParameters": {
            "sagemaker_container_log_level": "20",
            "sagemaker_program": '"train.py"',
            "sagemaker_submit_directory": '"file:///home/me/train.py"',
            "sagemaker_job_name": '"train-2026-01-31-12-00-00-000"',
            "sagemaker_mpi_enabled": "true",
        },
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "local", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    }


def test_full_request() -> None:
    request = build_request(
        replace(
            OPTIONS,
            arguments=("--x", "a b", ""),
            instance_count=2,
            processes_per_host=8,
            custom_mpi_options="-x A=1",
            hyperparameters={"lr": 0.1, "name": "a b", "deep": {"k": [1, None]}},
            channels={"train": "file:///d/a%20b"},
            environment={"A": "b"},
            job_name="job-1",
            max_run=60,
            instance_type="ml.g5.2xlarge",
            region="eu-west-1",
            output="file:///out",
        )
    )
    values = request["HyperParameters"]
    assert values["sagemaker_mpi_num_of_processes_per_host"] == "8"
    assert values["sagemaker_mpi_custom_mpi_options"] == '"-x A=1"'
    assert values["sagemaker_region"] == '"eu-west-1"'
    assert (values["lr"], values["name"], values["deep"]) == ("0.1", '"a b"', '{"k": [1, null]}')
    assert json.loads(values[ARGS_KEY]) == ["--x", "a b", ""]
    assert request["ResourceConfig"]["InstanceType"] == "ml.g5.2xlarge"
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 60}
    assert request["Environment"] == {"A": "b"}
    assert request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == "file:///d/a%20b"


def test_torch_distributed_request() -> None:
    values = build_request(replace(OPTIONS, distribution="torch_distributed", processes_per_host=4))["HyperParameters"]
    assert values["sagemaker_torch_distributed_enabled"] == "true"
    assert values["sagemaker_hvdsm_processes_per_host"] == "4"
    assert not [key for key in values if "mpi" in key]


def test_no_distribution_has_no_switch() -> None:
    values = build_request(replace(OPTIONS, distribution="none"))["HyperParameters"]
    assert not [key for key in values if "enabled" in key]


@pytest.mark.parametrize(
    "change",
    [
        {"distribution": "smdataparallel"},
        {"distribution": "none", "processes_per_host": 2},
        {"distribution": "none", "custom_mpi_options": "-x A=1"},
        {"processes_per_host": 0},
        {"processes_per_host": True},
    ],
)
def test_contradictions_are_usage_errors(change: dict) -> None:
    with pytest.raises(UsageError):
        build_request(replace(OPTIONS, **change))


def test_unbalanced_options_are_found_at_once() -> None:
    with pytest.raises(MpiError):
        build_request(replace(OPTIONS, custom_mpi_options="-x A='b"))


@pytest.mark.parametrize(
    "key",
    ["sagemaker_program", "sagemaker_submit_directory", "sagemaker_mpi_enabled", "sagemaker_hvdsm_args", "sagemaker_region",
     "sagemaker_torch_distributed_enabled", "sagemaker_mpi_num_of_processes_per_host"],
)  # fmt: skip
def test_reserved_names_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        build_request(replace(OPTIONS, hyperparameters={key: "x"}))


def test_log_level_may_be_set() -> None:
    values = build_request(replace(OPTIONS, hyperparameters={"sagemaker_container_log_level": 10}))["HyperParameters"]
    assert values["sagemaker_container_log_level"] == "10"


def test_value_that_json_cannot_express() -> None:
    with pytest.raises(ConfigError, match="callback"):
        encode("callback", object())


@given(st.lists(ANY_TEXT, max_size=8))
def test_arguments_round_trip(arguments: list) -> None:
    values = build_request(replace(OPTIONS, arguments=tuple(arguments)))["HyperParameters"]
    assert unpack_arguments(values) == tuple(arguments)


@given(st.lists(st.text(min_size=200, max_size=900), min_size=4, max_size=8))
def test_long_arguments_are_split_and_joined(arguments: list) -> None:
    values = build_request(replace(OPTIONS, arguments=tuple(arguments)))["HyperParameters"]
    assert all(len(value) <= MAX_VALUE for value in values.values())
    assert unpack_arguments(values) == tuple(arguments)


def test_arguments_beyond_the_number_of_hyperparameters() -> None:
    with pytest.raises(ConfigError, match="at most 100 entries"):
        build_request(replace(OPTIONS, arguments=("x" * 300_000,)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_hyperparameters_survive_encoding(value: object) -> None:
    assert json.loads(encode("k", value)) == value


@given(JSON)
def test_json_text_is_read_as_json(value: object) -> None:
    assert parse_hyperparameter(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text", ["abc", "NaN", "Infinity", "-Infinity", "[1, NaN]", "", "1.2.3", "'a'", "[" * 100_000, "9" * 5000]
)
def test_other_text_stays_text(text: str) -> None:
    assert parse_hyperparameter(text) == text


@given(st.text(st.characters(exclude_characters="="), min_size=1), st.text())
def test_only_the_first_equals_sign_splits(name: str, value: str) -> None:
    assert split_assignment(f"{name}={value}", "--hp") == (name, value)


@pytest.mark.parametrize("text", ["novalue", "=x", ""])
def test_no_assignment(text: str) -> None:
    with pytest.raises(UsageError, match="--hp"):
        split_assignment(text, "--hp")


@given(st.text(min_size=1))
def test_made_names_are_valid(program: str) -> None:
    name = make_job_name(program, OPTIONS.timestamp)
    assert NAME.fullmatch(name) and len(name) <= MAX_NAME


@given(st.binary())
def test_any_path_survives_as_uri(rest: bytes) -> None:
    path = "/" + rest.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    uri = file_uri(path)
    assert uri.isascii() and file_path(uri) == path


@pytest.mark.parametrize("uri", ["file://host/x", "file:x", "s3://a/b", "file://"])
def test_no_local_uri(uri: str) -> None:
    with pytest.raises(ConfigError):
        file_path(uri)


def test_changes_for_one_run() -> None:
    made = build_request(replace(OPTIONS, channels={"train": "s3://b/t"}, environment={"A": "1"}))
    made["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    before = json.dumps(made)
    changed = changed_request(
        made,
        job_name="again",
        channels={"train": "file:///t", "test": "file:///u"},
        environment={"B": "2"},
        hyperparameters={"lr": 0.5},
        max_run=5,
    )
    assert json.dumps(made) == before
    assert changed["TrainingJobName"] == "again"
    assert changed["HyperParameters"]["sagemaker_job_name"] == '"again"'
    assert changed["HyperParameters"]["lr"] == "0.5"
    assert changed["Environment"] == {"A": "1", "B": "2"}
    assert changed["StoppingCondition"]["MaxRuntimeInSeconds"] == 5
    train, test = (channel["DataSource"]["S3DataSource"] for channel in changed["InputDataConfig"])
    assert (train["S3Uri"], train["S3DataDistributionType"]) == ("file:///t", "ShardedByS3Key")
    assert (test["S3Uri"], test["S3DataDistributionType"]) == ("file:///u", "FullyReplicated")


VALID = build_request(OPTIONS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"TrainingJobName": "-x"}, ["TrainingJobName", "'-x'"]),
        ({"TrainingJobName": "x" * 64}, ["TrainingJobName", "63"]),
        ({"TrainingJobName": None}, ["TrainingJobName"]),
        ({"HyperParameters": {"k": "v" * 2501}}, ["HyperParameters.k", "2,500", "2,501"]),
        ({"HyperParameters": {"k" * 257: "v"}}, ["256", "257"]),
        ({"HyperParameters": {"k": 1}}, ["HyperParameters.k", "string", "int"]),
        ({"HyperParameters": {str(n): "" for n in range(101)}}, ["100", "101"]),
        ({"HyperParameters": []}, ["HyperParameters", "map"]),
        ({"Environment": {"1A": "x"}}, ["Environment", "1A"]),
        ({"Environment": {"A": "x" * 513}}, ["Environment.A", "512", "513"]),
        ({"InputDataConfig": [{"ChannelName": "a b"}]}, ["ChannelName", "a b"]),
        ({"InputDataConfig": [{"ChannelName": ".."}]}, ["ChannelName"]),
        ({"InputDataConfig": [{"ChannelName": "a"}, {"ChannelName": "a"}]}, ["ChannelName", "2 times"]),
        ({"InputDataConfig": []}, ["1 to 20", "0"]),
        ({"ResourceConfig": None}, ["ResourceConfig"]),
        ({"ResourceConfig": {"InstanceCount": 0}}, ["InstanceCount", "0"]),
        (
            {"ResourceConfig": {"InstanceCount": 1, "InstanceGroups": [{"InstanceGroupName": "a", "InstanceCount": 1}]}},
            ["beside"],
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, ["MaxRuntimeInSeconds", "0"]),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 10, "MaxWaitTimeInSeconds": 5}}, ["MaxWaitTimeInSeconds", "10", "5"]),
        ({"AlgorithmSpecification": {"TrainingImage": "x" * 256}}, ["TrainingImage", "255"]),
        ({"AlgorithmSpecification": {"ContainerEntrypoint": ["x" * 257]}}, ["ContainerEntrypoint", "256"]),
        ({"RoleArn": "short"}, ["RoleArn", "20"]),
        ({"VpcConfig": {"SecurityGroupIds": ["a"], "Subnets": []}}, ["Subnets", "16"]),
        ({"RetryStrategy": {"MaximumRetryAttempts": 31}}, ["MaximumRetryAttempts", "31"]),
    ],
)
def test_limits_name_field_limit_and_value(change: dict, words: list) -> None:
    with pytest.raises(ConfigError) as caught:
        check_request({**VALID, **change})
    assert not [word for word in words if word not in str(caught.value)]


def test_all_problems_are_named_at_once() -> None:
    assert len(problems_of({**VALID, "TrainingJobName": "", "RoleArn": "x"})) == 2


def test_checkpoints() -> None:
    request = build_request(replace(OPTIONS, checkpoint="file:///c"))
    assert request["CheckpointConfig"] == {"S3Uri": "file:///c", "LocalPath": "/opt/ml/checkpoints"}
    other = {**request, "CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/mine"}}
    assert changed_request(other, checkpoint="file:///d")["CheckpointConfig"] == {
        "S3Uri": "file:///d",
        "LocalPath": "/opt/ml/mine",
    }
    assert changed_request(other)["CheckpointConfig"] == other["CheckpointConfig"]
    for config in ({}, {"S3Uri": ""}, {"S3Uri": "s3://" + "x" * 1024}, {"S3Uri": "s3://b", "LocalPath": "relative"}, "s3://b"):
        (line,) = problems_of({**request, "CheckpointConfig": config})
        assert line.startswith("CheckpointConfig")


def test_supervision() -> None:
    values = build_request(replace(OPTIONS, hang_timeout=90, max_restarts=0))["HyperParameters"]
    assert (values["sagemaker_hvdsm_hang_timeout"], values["sagemaker_hvdsm_max_restarts"]) == ("90", "0")
    changed = changed_request(build_request(OPTIONS), hang_timeout=1.5, max_restarts=2, hyperparameters={"a": 1})
    found = {
        key: changed["HyperParameters"][key] for key in ("a", "sagemaker_hvdsm_hang_timeout", "sagemaker_hvdsm_max_restarts")
    }
    assert found == {"a": "1", "sagemaker_hvdsm_hang_timeout": "1.5", "sagemaker_hvdsm_max_restarts": "2"}


@pytest.mark.parametrize("wrong", [0, -1, True, "60", float("nan"), float("inf")])
def test_times_that_cannot_be_meant(wrong: object) -> None:
    with pytest.raises(UsageError, match="hang timeout"):
        build_request(replace(OPTIONS, hang_timeout=wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [-1, True, "2", 1.5])
def test_restarts_that_cannot_be_meant(wrong: object) -> None:
    with pytest.raises(UsageError, match="max restarts"):
        build_request(replace(OPTIONS, max_restarts=wrong))  # type: ignore[arg-type]
