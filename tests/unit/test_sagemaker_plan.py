"""What is uploaded and sent for a request, and what is refused before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

import pytest

from hvdsm.backends.sagemaker.plan import SageMakerOptions, SageMakerPlan, make_plan
from hvdsm.backends.sagemaker.uploads import check_prefix
from hvdsm.compose.request import file_uri
from hvdsm.errors import ConfigError, HvdsmError, UsageError

ROLE = "arn:aws:iam::123456789012:role/train"
PREFIX = "s3://bucket/jobs"


def request_of(source: str, **more: Any) -> Dict[str, Any]:
    return {
        "TrainingJobName": "job-1",
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": "img", "TrainingInputMode": "File"},
        "HyperParameters": {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": json.dumps(source), "x": "1"},
        "ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.c5.xlarge", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }


def plan_of(tmp_path: Path, request: Mapping[str, Any], **options: Any) -> SageMakerPlan:
    checked: List[Mapping[str, Any]] = []

    def apply(made: Mapping[str, Any], settings: Sequence[str]) -> Mapping[str, Any]:
        return {**made, "Applied": list(settings)}

    plan = make_plan(
        request,
        SageMakerOptions(output=str(tmp_path / "out"), **options),
        region="eu-west-1",
        prefix=PREFIX,
        program=b"program",
        apply=apply,
        check=checked.append,
    )
    assert checked == [plan.request]
    return plan


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "src"
    directory.mkdir()
    (directory / "train.py").write_text("print()")
    (directory / "helper.py").write_text("")
    return directory


def channel(name: str, uri: str) -> Dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


def uri_of(request: Mapping[str, Any], name: str) -> str:
    entry = next(entry for entry in request["InputDataConfig"] if entry["ChannelName"] == name)
    return str(entry["DataSource"]["S3DataSource"]["S3Uri"])


def test_files_of_this_machine_become_uploads(tmp_path: Path, source: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("1")
    (tmp_path / "one file.csv").write_text("1")
    channels = [
        channel("train", file_uri(str(tmp_path / "data"))),
        channel("test", file_uri(str(tmp_path / "one file.csv"))),
        channel("other", "s3://else/where"),
    ]
    plan = plan_of(tmp_path, request_of(file_uri(str(source)), InputDataConfig=channels))
    assert [(upload.kind, upload.uri) for upload in plan.uploads[:3]] == [
        ("source", "s3://bucket/jobs/job-1/source/sourcedir.tar.gz"),
        ("channel", "s3://bucket/jobs/job-1/input/train/"),
        ("channel", "s3://bucket/jobs/job-1/input/test/one file.csv"),
    ]
    assert uri_of(plan.request, "train") == "s3://bucket/jobs/job-1/input/train/"
    assert uri_of(plan.request, "test") == "s3://bucket/jobs/job-1/input/test/"
    assert uri_of(plan.request, "other") == "s3://else/where"
    values = plan.request["HyperParameters"]
    assert values["sagemaker_submit_directory"] == '"s3://bucket/jobs/job-1/source/sourcedir.tar.gz"'
    assert (values["sagemaker_region"], values["x"]) == ('"eu-west-1"', "1")
    assert plan.request["OutputDataConfig"] == {"S3OutputPath": PREFIX}
    assert plan.source == ("helper.py", "train.py")


def test_the_program_is_shipped_under_a_name_made_of_its_bytes(tmp_path: Path, source: Path) -> None:
    plan = plan_of(tmp_path, request_of(file_uri(str(source))))
    upload = plan.uploads[-1]
    assert (upload.kind, upload.uri.startswith("s3://bucket/jobs/program/"), plan.program) == ("program", True, b"program")
    assert upload.uri == uri_of(plan.request, "hvdsm") + "hvdsm.pyz"


def test_an_image_with_the_program_gets_none(tmp_path: Path, source: Path) -> None:
    plan = plan_of(tmp_path, request_of(file_uri(str(source))), container_program="train")
    assert plan.program is None
    assert "ContainerEntrypoint" not in plan.request["AlgorithmSpecification"]
    assert "InputDataConfig" not in plan.request


def test_a_request_with_an_entrypoint_keeps_it(tmp_path: Path, source: Path) -> None:
    algorithm = {"TrainingImage": "img", "TrainingInputMode": "File", "ContainerEntrypoint": ["/run.sh"]}
    plan = plan_of(tmp_path, request_of(file_uri(str(source)), AlgorithmSpecification=algorithm))
    assert plan.request["AlgorithmSpecification"]["ContainerEntrypoint"] == ["/run.sh"]
    assert plan.program is None and any("ContainerEntrypoint" in note for note in plan.notes)


def test_under_network_isolation_the_source_is_data(tmp_path: Path, source: Path) -> None:
    plan = plan_of(tmp_path, request_of(file_uri(str(source)), EnableNetworkIsolation=True))
    assert uri_of(plan.request, "code") == "s3://bucket/jobs/job-1/source/"
    values = plan.request["HyperParameters"]
    assert values["sagemaker_submit_directory"] == '"/opt/ml/input/data/code/sourcedir.tar.gz"'


def test_settings_come_last_and_are_checked(tmp_path: Path, source: Path) -> None:
    plan = plan_of(tmp_path, request_of(file_uri(str(source))), settings=("A.B=1",))
    assert plan.request["Applied"] == ["A.B=1"]


def test_a_source_that_is_in_s3_stays_there(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, request_of("s3://b/source.tar.gz"))
    assert [upload.kind for upload in plan.uploads] == ["program"]


def test_a_large_source_is_told(tmp_path: Path, source: Path) -> None:
    with open(source / "weights.bin", "wb") as file:
        file.truncate(200 << 20)
    (warning,) = plan_of(tmp_path, request_of(file_uri(str(source)))).warnings
    assert "weights.bin (210 MB)" in warning and ".hvdsmignore" in warning


@pytest.mark.parametrize(
    ("change", "said", "kind"),
    [
        ({"RoleArn": None}, "--role", UsageError),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "--image", UsageError),
        ({"ResourceConfig": {"InstanceCount": 1, "InstanceType": "local", "VolumeSizeInGB": 1}}, "--instance-type", UsageError),
        ({"Environment": {"TOKEN": "<masked>"}}, r"Environment\.TOKEN", ConfigError),
        ({"CheckpointConfig": {"S3Uri": "file:///tmp/x"}}, r"--checkpoint s3://bucket/jobs/job-1/checkpoints", ConfigError),
        (
            {"InputDataConfig": [channel("train", "file:///no/such/place")]},
            "channel train: /no/such/place does not exist",
            ConfigError,
        ),
        ({"TrainingJobName": None}, "--job-name", ConfigError),
    ],
)
def test_what_is_refused(tmp_path: Path, source: Path, change: Dict[str, Any], said: str, kind: type[HvdsmError]) -> None:
    with pytest.raises(kind, match=said):
        plan_of(tmp_path, request_of(file_uri(str(source)), **change))


def test_secrets_cannot_be_fetched_in_isolation(tmp_path: Path, source: Path) -> None:
    request = request_of(file_uri(str(source)), EnableNetworkIsolation=True)
    request["HyperParameters"]["sagemaker_hvdsm_secrets"] = "{}"
    with pytest.raises(ConfigError, match="--network-isolation"):
        plan_of(tmp_path, request)


@pytest.mark.parametrize("secrets", ['{"A": "foo"}', '{"1A": "arn:aws:ssm:us-east-1:123456789012:parameter/x"}'])
def test_secrets_that_cannot_be_meant(tmp_path: Path, source: Path, secrets: str) -> None:
    request = request_of(file_uri(str(source)))
    request["HyperParameters"]["sagemaker_hvdsm_secrets"] = secrets
    with pytest.raises(ConfigError, match="A"):
        plan_of(tmp_path, request)


def with_metric(source: Path, expression: str) -> Dict[str, Any]:
    algorithm = {"TrainingImage": "img", "TrainingInputMode": "File", "MetricDefinitions": [{"Name": "m", "Regex": expression}]}
    return request_of(file_uri(str(source)), AlgorithmSpecification=algorithm)


def test_a_metric_that_is_no_expression(tmp_path: Path, source: Path) -> None:
    with pytest.raises(ConfigError, match=r"MetricDefinitions.*\(a"):
        plan_of(tmp_path, with_metric(source, "(a"))


def test_a_metric_that_only_the_service_can_read(tmp_path: Path, source: Path) -> None:
    plan = plan_of(tmp_path, with_metric(source, r"\p{L}+=(.*)"))
    assert any("only SageMaker" in text for text in plan.warnings)


@pytest.mark.parametrize("prefix", ["s3:/x", "s3://UPPER/x", "s3://a_b/x", "bucket/x", "s3://", "s3://bucket/x?y=1", "s3://ab"])
def test_a_prefix_that_is_no_place_of_s3(prefix: str) -> None:
    with pytest.raises(UsageError, match="--s3-prefix"):
        check_prefix(prefix)


def test_an_entry_point_that_is_not_in_the_source(tmp_path: Path, source: Path) -> None:
    (source / "train.py").unlink()
    with pytest.raises(ConfigError, match=r"has no train\.py"):
        plan_of(tmp_path, request_of(file_uri(str(source))))


def test_results_of_an_earlier_job_are_never_overwritten(tmp_path: Path, source: Path) -> None:
    (tmp_path / "out" / "job-1").mkdir(parents=True)
    with pytest.raises(ConfigError, match="earlier job"):
        plan_of(tmp_path, request_of(file_uri(str(source))))
